//! Control: arguments, configuration, admin listener, metrics, shutdown.
//! SKELETON.

/// Runs the program.
#[must_use]
pub fn main() -> std::process::ExitCode {
    todo!()
}
