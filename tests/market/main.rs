//! The simulated market against the statistics of real recordings, and against itself as a reader of its events knows it.
//!
//! Nothing here opens a socket or reads the clock: seeds and times in, events out. Each failure prints its seed.

mod consistency;
mod measure;
mod program;
mod reader;
mod statistics;
