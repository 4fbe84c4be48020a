//! `figures`: what it costs to keep the promises, each figure by a subcommand that prints its line.
//!
//! The driver's thread. Must not judge: bounds are for whoever reads the lines. Invariant: every figure says with what numbers it
//! was taken.

mod crowd;
mod rates;
mod resume;
mod stopped;
mod subscribe;

use clap::{Args, Subcommand};
use std::io;

/// Which figure.
#[derive(Debug, Clone, Args)]
pub(crate) struct FiguresArguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Debug, Clone, Subcommand)]
enum Figure {
    /// Memory while some of many readers are stopped
    Stopped(stopped::StoppedArguments),
    /// Bytes and CPU that a chosen rate saves
    Rates(rates::RatesArguments),
    /// Time to resume a thousand records
    Resume(resume::ResumeArguments),
    /// Time from a subscribe to its snapshot at many subscribes a second
    Subscribe(subscribe::SubscribeArguments),
}

/// The `figures` tool.
pub(crate) fn main(arguments: &FiguresArguments) -> io::Result<()> {
    match &arguments.figure {
        Figure::Stopped(arguments) => stopped::main(arguments),
        Figure::Rates(arguments) => rates::main(arguments),
        Figure::Resume(arguments) => resume::main(arguments),
        Figure::Subscribe(arguments) => subscribe::main(arguments),
    }
}
