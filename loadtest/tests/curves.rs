//! `loadtest curves` over a peer, as a user runs it: measures, writes, draws, and draws again.
//!
//! Asserts what a reader of the files relies on, not a figure. Must not leave anything behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that is removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loadtest-curves-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the tool and returns what it printed.
fn curves(arguments: &str, folder: &Path) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .arg("curves")
        .args(arguments.split_whitespace())
        .arg(folder)
        .output()
        .expect("the tool starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

#[test]
fn a_sweep_is_measured_written_and_drawn_again_the_same() {
    let folder = Folder::new("sweep");
    let said = curves(
        "latency-load cost-frames --scenario quiet --server bare --peers no-such-server --at 100000 --repeat 1 \
         --seconds 0.2 --warmup 0.1 --server-cores 0 --tools-core 0 --out",
        &folder.0,
    );
    let read = |name: &str| fs::read_to_string(folder.0.join(name)).expect("the file was written");
    let csv = read("latency-load.csv");
    assert!(csv.starts_with("# command: target/release/loadtest curves latency-load"), "{csv}");
    assert!(csv.lines().any(|line| line.starts_with("bare,100000,0,100000,")), "{csv}");
    assert!(csv.contains("no-such-server,100000,0,0,"), "a server that does not start has its row: {csv}");
    assert!(said.contains("no-such-server at 100k, 1 of its measurements: failed: "), "{said}");
    let svg = read("latency-load.svg");
    assert!(svg.contains("no-such-server at 100k"), "the picture tells of it: {svg}");
    fs::remove_file(folder.0.join("latency-load.svg")).expect("it is there");
    curves("latency-load cost-frames --draw", &folder.0);
    assert_eq!(read("latency-load.svg"), svg);
    assert!(read("cost-frames.svg").contains("frames a read"));
}
