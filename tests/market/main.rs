//! The simulated market against the statistics of real recordings, and against itself as a reader of its events knows it.
//!
//! Statistics and consistency open no socket and read no clock: seeds and times in, events out, and each failure prints its seed. `publishing`
//! and `program` publish the market over real sockets, to listeners of their own.

mod consistency;
mod measure;
mod program;
mod publishing;
mod reader;
mod statistics;
