//! The atomics of the ring: those of `std`, or loom's where a model is explored.
//!
//! The rest of the ring names atomics through this file alone, so that what is modelled is what runs.

#[cfg(not(feature = "loom"))]
pub(super) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

#[cfg(feature = "loom")]
pub(super) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};
