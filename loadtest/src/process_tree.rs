//! CPU and memory of a process and of all that it started, from `/proc`.
//!
//! The driver's thread. Must not keep anything between two readings. Invariant: a process that ends while it is
//! read counts as nothing, and a reading never fails: what cannot be read is 0.
//!
//! A peer may be a process of ours that holds a daemon, and the daemon a master with a worker: what is measured is
//! all of them. Pages that two of them share count twice, so memory is told by differences.

use std::fs;
use std::path::PathBuf;

/// CPU of all threads since they began, ns.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// On the core.
    pub(crate) cpu_ns: u64,
    /// Ready, but waiting for the core: somebody else disturbs the run.
    pub(crate) waited_ns: u64,
}

impl Usage {
    /// What came since `before`. A thread that ended meanwhile took its part along, so this may be less than it was.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
        }
    }

    /// Of `lasted_ns` on `cores`, how long something else had a core that this was ready for, at most. Threads that wait for
    /// each other wait for nobody else: while they have all cores between them, nothing was taken from them.
    pub(crate) fn robbed_ns(self, lasted_ns: u64, cores: usize) -> u64 {
        (lasted_ns * cores as u64).saturating_sub(self.cpu_ns).min(self.waited_ns)
    }
}

/// CPU so far, from each thread's `schedstat` (nanoseconds, where `stat` has hundredths of a second).
pub(crate) fn usage(root: u32) -> Usage {
    usage_of(tree(root).into_iter().flat_map(tasks))
}

/// Of this process alone, without those that it started.
pub(crate) fn own_usage() -> Usage {
    usage_of(tasks(std::process::id()))
}

fn usage_of(tasks: impl IntoIterator<Item = PathBuf>) -> Usage {
    let mut usage = Usage::default();
    for task in tasks {
        let text = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
        usage.cpu_ns += numbers.next().unwrap_or(0);
        usage.waited_ns += numbers.next().unwrap_or(0);
    }
    usage
}

/// Resident bytes: `VmRSS`.
pub(crate) fn resident_bytes(root: u32) -> u64 {
    tree(root).into_iter().map(resident_bytes_of_one).sum()
}

fn resident_bytes_of_one(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The process itself, its children, theirs, and so on.
fn tree(root: u32) -> Vec<u32> {
    let mut processes = vec![root];
    let mut next = 0;
    while let Some(process) = processes.get(next) {
        let found: Vec<u32> = tasks(*process).into_iter().flat_map(children).collect();
        processes.extend(found);
        next += 1;
    }
    processes
}

/// The threads of a process, as folders of `/proc`.
fn tasks(process: u32) -> Vec<PathBuf> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    tasks.flatten().map(|task| task.path()).collect()
}

/// The processes that a thread started.
fn children(task: PathBuf) -> Vec<u32> {
    let text = fs::read_to_string(task.join("children")).unwrap_or_default();
    text.split_whitespace().filter_map(|process| process.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn threads_that_wait_for_each_other_are_not_robbed() {
        let of = |cpu_ns, waited_ns| Usage { cpu_ns, waited_ns }.robbed_ns(1_000, 1);
        assert_eq!([of(1_000, 900), of(700, 200), of(900, 400), of(1_100, 50)], [0, 200, 100, 0]);
        assert_eq!(Usage { cpu_ns: 1_500, waited_ns: 800 }.robbed_ns(1_000, 2), 500);
    }

    #[test]
    fn what_ended_is_not_counted_backwards() {
        let (before, after) = (Usage { cpu_ns: 9, waited_ns: 2 }, Usage { cpu_ns: 7, waited_ns: 5 });
        assert_eq!(after.since(before), Usage { cpu_ns: 0, waited_ns: 3 });
    }

    #[test]
    fn a_grandchild_counts_and_what_is_gone_is_nothing() {
        let script = "sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo up; read x' ; true";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let root = child.id();
        assert_eq!(tree(root).len(), 2, "the shell and the one that counted");
        let (all, alone) = (usage(root).cpu_ns, tasks(root).len());
        assert_eq!(alone, 1);
        assert!(all > 1_000_000, "the counting is in it: {all} ns");
        assert!(resident_bytes(root) > resident_bytes_of_one(root));
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!((usage(root), resident_bytes(root)), (Usage::default(), 0));
    }
}
