//! What the kernel says of this process, as metrics.
//!
//! The admin listener's thread, at a scrape. It may read `/proc` and nothing else of the disk. Invariant: what the kernel does
//! not tell is left out, never told as 0.

use std::fmt;
use std::fs;

use super::page::Page;

const STATUS: &str = "/proc/self/status";

/// Resident memory, under the name that Prometheus' own client libraries give it.
pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let Some(bytes) = fs::read_to_string(STATUS).ok().and_then(|status| resident_bytes(&status)) else {
        return Ok(());
    };
    page.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.", bytes)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::resident_bytes;

    #[test]
    fn resident_memory_is_read_or_left_out() {
        assert_eq!(resident_bytes("VmHWM:\t    99 kB\nVmRSS:\t    1200 kB\nThreads:\t3\n"), Some(1_228_800));
        assert_eq!(resident_bytes("VmRSS:\tmuch\n"), None);
        assert_eq!(resident_bytes("Name:\ttapecast\n"), None);
        assert_eq!(resident_bytes("VmRSS:\t18446744073709551615 kB\n"), None);
    }
}
