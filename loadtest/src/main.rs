//! Load tools of Tapecast.
fn main() {}
