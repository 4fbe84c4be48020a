//! Do the ring and the cycle still take as few instructions as they did?
//!
//! Instructions are counted by callgrind, so the answer does not depend on how busy the machine is. This program runs itself under
//! valgrind twice for each part, with what is in question and without it: so nothing counts of how it began, and of a cycle not what
//! published its records. It fails where that is 5 % above the figure in `instructions.txt`. x86-64 alone: elsewhere there are others.
//!
//! `cargo bench --features drive --bench instructions`; `-- --renew` writes the figures of now into the file; `-- --test` runs each part
//! without counting. The system's allocator: on these paths nothing allocates, and where something begins to it is to be seen.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use tapecast::ring::{self, Kind, Next, Options, Stamp};

mod rig;
#[path = "rig/scenario.rs"]
mod scenario;

use rig::{RECORDS_A_CYCLE, Rig, WARM_CYCLES};
use scenario::{SCENARIOS, Scenario};

/// Growth that fails, and shrinkage that is to be written down, in hundredths of the figure.
const TOLERATED_PERCENT: u64 = 5;
/// Rounds of a run. A round is a cycle, or as many records through the ring.
const ROUNDS: u64 = 200;
const RENEW: &str = "cargo bench --features drive --bench instructions -- --renew";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["--test"] => {
            parts().for_each(|part| run(part, true));
            Ok(())
        }
        ["--with", part] => {
            run(part, true);
            Ok(())
        }
        ["--without", part] => {
            run(part, false);
            Ok(())
        }
        [] => count_all().and_then(|counted| compare(&counted)),
        ["--renew"] => count_all().and_then(|counted| renew(&counted)),
        _ => Err(format!("not understood: {words:?}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn parts() -> impl Iterator<Item = &'static str> {
    std::iter::once("ring").chain(SCENARIOS.iter().map(|scenario| scenario.name))
}

/// All rounds of a part; or all that is around what is in question.
fn run(part: &str, is_whole: bool) {
    match SCENARIOS.iter().find(|scenario| scenario.name == part) {
        Some(scenario) => cycles(scenario, is_whole),
        None => ring_rounds(if is_whole { ROUNDS } else { 0 }),
    }
}

/// Cycles; or what they would send is published alone. The publisher does not see the difference.
fn cycles(scenario: &Scenario, is_whole: bool) {
    let mut rig = Rig::new(scenario);
    let mut deliveries = 0;
    for _ in 0..ROUNDS {
        rig.publish();
        if is_whole {
            deliveries += rig.cycle();
        }
    }
    let taken = scenario.subscribers * scenario.channels_each;
    let expected = if is_whole { ROUNDS as usize * RECORDS_A_CYCLE * taken / scenario.channels } else { 0 };
    // Channels come in turn, so the last cycles may have some of them once more than others.
    assert!((deliveries as usize).abs_diff(expected) <= taken, "{deliveries}, not {expected}");
}

/// Publishes batch after batch on 200 channels in turn, and reads each record out, in a ring that was gone round before.
fn ring_rounds(rounds: u64) {
    let options = Options { bytes: 1 << 19, channels_max: 1024, body_bytes_max: 4096, readers: 1 };
    let (mut publisher, ring) = ring::new(&options).expect("the sizes fit");
    let mut reader = ring.reader(0);
    let (mut ordinal, mut read, mut out) = (0, 0, Vec::with_capacity(1024));
    for _ in 0..WARM_CYCLES as u64 + rounds {
        for _ in 0..RECORDS_A_CYCLE {
            ordinal += 1;
            let (kind, channel) = (Kind::Data, (ordinal % 200) as u32);
            let stamp = Stamp {
                kind,
                flags: 0,
                channel,
                generation: 1,
                sequence: ordinal,
                ordinal,
                monotonic_ns: ordinal,
            };
            publisher.publish(&stamp, &[&[7; 32], black_box(&rig::PAYLOAD)]).expect("the ring takes it");
        }
        while let Next::Entry(entry) = reader.next() {
            out.clear();
            ring.copy_body(&entry, 0, &mut out).expect("a batch laps nobody");
            black_box(&out);
            read += u64::from(entry.kind == Some(Kind::Data));
        }
    }
    assert_eq!(read, ordinal);
}

/// What each part takes a round.
fn count_all() -> Result<Vec<(&'static str, u64)>, String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("figures are for Linux on x86-64 alone: nothing is compared here");
        return Ok(Vec::new());
    }
    parts()
        .map(|part| {
            let (with, without) = (count("--with", part)?, count("--without", part)?);
            Ok((part, with.saturating_sub(without) / ROUNDS))
        })
        .collect()
}

/// Keeps libc from choosing by the processor how it copies: it takes 16 bytes an instruction everywhere.
const SSE2_ALONE: &str =
    "glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX512F,-AVX512VL,-SSSE3,-ERMS,-FSRM";

/// Instructions of a whole run, in an environment that is empty else.
fn count(how: &str, part: &str) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(this);
    valgrind.args([how, part]).env_clear();
    valgrind.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    valgrind.env("GLIBC_TUNABLES", SSE2_ALONE);
    let output = valgrind.output().map_err(|error| format!("valgrind does not run ({error}): install it"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.filter(|_| output.status.success()).ok_or_else(|| format!("{part} under valgrind failed: {said}"))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output();
    version.map_or_else(
        |_| "rustc unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

fn renew(counted: &[(&str, u64)]) -> Result<(), String> {
    if counted.is_empty() {
        return Err("nothing was counted, so the figures stay as they are".to_owned());
    }
    let lines: String = counted.iter().map(|(part, figure)| format!("{part} {figure}\n")).collect();
    let text = format!(
        "# Instructions a round ({RECORDS_A_CYCLE} records, through the ring or a cycle), counted by callgrind with {}.\n\
         # Renewed, where a change is worth its growth or has brought a gain, by:\n# {RENEW}\n{lines}",
        compiler()
    );
    print!("{text}");
    std::fs::write(file(), text).map_err(|error| format!("{}: {error}", file().display()))
}

fn compare(counted: &[(&str, u64)]) -> Result<(), String> {
    let text = std::fs::read_to_string(file()).map_err(|error| format!("{}: {error}", file().display()))?;
    let mut grown = Vec::new();
    for (part, now) in counted {
        let line = text.lines().find_map(|line| line.strip_prefix(part)?.strip_prefix(' '));
        let before: u64 = line
            .and_then(|figure| figure.trim().parse().ok())
            .ok_or_else(|| format!("{} has no figure of {part}: {RENEW}", file().display()))?;
        let change = (*now as f64 / before as f64 - 1.0) * 100.0;
        println!("{part}: {now} instructions a round, committed {before} ({change:+.2} %)");
        if now * 100 > before * (100 + TOLERATED_PERCENT) {
            grown.push(format!("{part} grew from {before} to {now} instructions a round ({change:+.2} %)"));
        } else if now * 100 < before * (100 - TOLERATED_PERCENT) {
            println!("{part} takes less than it did: write it down, so that it stays so: {RENEW}");
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let made = text.lines().next().unwrap_or_default();
    let hint = format!("The file says: {made}\nThis is {}. If it is worth it: {RENEW}", compiler());
    Err(format!("{}\n{hint}", grown.join("\n")))
}
