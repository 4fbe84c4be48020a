//! The monotonic clock, the CPU clocks, and waiting for a time.
//!
//! Used by every tool's own thread. Must not read the wall clock: a stamp is compared across processes
//! of one machine, which `CLOCK_MONOTONIC` allows and a stepped wall clock does not.
//! Invariant: all times are nanoseconds of `CLOCK_MONOTONIC`.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::io;
use std::num::NonZeroU64;

/// Now, ns.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// CPU time of the calling thread, ns.
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// Seconds as nanoseconds.
pub(crate) fn seconds(count: f64) -> u64 {
    (count * 1e9) as u64
}

/// Takes away the 50 us by which the kernel may round the calling thread's timers.
pub(crate) fn sharpen_timers() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?)
}

/// Sleeps until `deadline_ns`; at once if it has passed.
pub(crate) fn sleep_until(deadline_ns: u64) -> io::Result<()> {
    if now_ns() >= deadline_ns {
        return Ok(());
    }
    match rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &timespec(deadline_ns)) {
        Ok(()) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Nanoseconds as the kernel wants them.
pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
