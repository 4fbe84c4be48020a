//! What the kernel says of this process, as metrics, under the names that Prometheus' own client libraries give them.
//!
//! The admin listener's thread, at a scrape. It may read `/proc` and nothing else of the disk. Invariant: what the kernel does
//! not tell is left out, never told as 0.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::page::{Kind, Page};

const STATUS: &str = "/proc/self/status";
const DESCRIPTORS: &str = "/proc/self/fd";
const THREADS: &str = "/proc/self/task";

pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let help = "CPU time that the process has used.";
    page.counter("process_cpu_seconds", help, cpu_seconds())?;
    let help =
        "CPU time that a thread has used; one that nears a second a second is all that its stage can do.";
    page.family(Kind::Counter, "tapecast_thread_cpu_seconds", help, "thread", cpu_seconds_by_thread())?;
    if let Some(bytes) = fs::read_to_string(STATUS).ok().and_then(|status| resident_bytes(&status)) {
        page.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", bytes)?;
    }
    if let Some(open) = open_descriptors() {
        page.gauge("process_open_fds", "File descriptors that are open now.", open)?;
    }
    let Some(most) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    page.gauge("process_max_fds", "File descriptors that the process may have.", most)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Of those threads that live as long as the server: what others have used would be gone with them, and a counter never falls.
fn cpu_seconds_by_thread() -> BTreeMap<String, f64> {
    let mut used = BTreeMap::new();
    for thread in fs::read_dir(THREADS).into_iter().flatten().flatten() {
        let read = |file| fs::read_to_string(thread.path().join(file)).ok();
        let Some(name) = read("comm").map(|name| name.trim_end().to_owned()) else { continue };
        let Some(ns) = read("schedstat").and_then(|said| ns_on_cpu(&said)) else { continue };
        if matches!(name.as_str(), "ingest" | "front" | "log") || name.starts_with("shard-") {
            *used.entry(name).or_default() += ns as f64 / 1e9;
        }
    }
    used
}

fn ns_on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// A kernel that does not tell their number as the folder's size (before Linux 6.2) is asked for each of them.
fn open_descriptors() -> Option<u64> {
    let told = fs::metadata(DESCRIPTORS).ok()?.len();
    if told > 0 { Some(told) } else { Some(fs::read_dir(DESCRIPTORS).ok()?.count() as u64) }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, cpu_seconds_by_thread, ns_on_cpu, resident_bytes};

    #[test]
    fn resident_memory_is_read_or_left_out() {
        assert_eq!(resident_bytes("VmHWM:\t    99 kB\nVmRSS:\t    1200 kB\nThreads:\t3\n"), Some(1_228_800));
        assert_eq!(resident_bytes("VmRSS:\tmuch\n"), None);
        assert_eq!(resident_bytes("Name:\ttapecast\n"), None);
        assert_eq!(resident_bytes("VmRSS:\t18446744073709551615 kB\n"), None);
    }

    #[test]
    fn cpu_time_is_told_by_the_threads_that_stay() {
        assert_eq!(
            (ns_on_cpu("536055430 73199230 43\n"), ns_on_cpu(""), ns_on_cpu("much\n")),
            (Some(536_055_430), None, None)
        );
        let work = || {
            let began = cpu_seconds();
            while cpu_seconds() - began < 0.02 {}
            cpu_seconds_by_thread()
        };
        let named = |name: &str| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).unwrap().join().unwrap()
        };
        assert!(named("shard-7")["shard-7"] > 0.0);
        assert!(!named("helper").contains_key("helper"));
    }
}
