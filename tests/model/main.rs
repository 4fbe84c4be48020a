//! The whole core without sockets: a simulator with its own clock and a naive reference, seed by seed.
//!
//! `TAPECAST_MODEL_SEED=<seed>` lives through one world alone and tells its last steps; `TAPECAST_MODEL_STEPS` sets how many
//! steps all worlds have together. Invariant: what a seed shows once it shows again.

mod book;
mod client;
mod dice;
mod market;
mod promise;
mod steps;
mod wire;
mod world;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use dice::mix;
use world::{STEPS, World};

/// Steps in all.
const STEPS_IN_ALL: u64 = 10_000_000;
/// Worlds that live at once.
const THREADS: u64 = 2;

#[expect(clippy::disallowed_methods, reason = "a seed to replay is no configuration")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// One world; what was wrong, with its last steps.
fn live(seed: u64) -> Result<(), String> {
    if World::new(seed, false).live(STEPS).is_ok() {
        return Ok(());
    }
    let mut world = World::new(seed, true);
    let Err((step, why)) = world.live(STEPS) else {
        return Err(format!("seed {seed} failed once, not twice"));
    };
    let steps: Vec<_> = world.traced.take().unwrap_or_default().into();
    Err(format!(
        "TAPECAST_MODEL_SEED={seed} fails at step {step}: {why}\n{:#?}\n{}",
        world.plan,
        steps.join("\n")
    ))
}

#[test]
fn ten_million_steps_keep_every_promise() {
    if let Some(seed) = number("TAPECAST_MODEL_SEED") {
        return live(seed).unwrap_or_else(|why| panic!("{why}"));
    }
    let base = RandomState::new().hash_one(0);
    println!("the first seed is {base}");
    let worlds = number("TAPECAST_MODEL_STEPS").unwrap_or(STEPS_IN_ALL) / STEPS;
    let next = AtomicU64::new(0);
    let work = || {
        while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < worlds)
        {
            let seed = mix(base.wrapping_add(number));
            live(seed).unwrap_or_else(|why| panic!("{why}"));
        }
    };
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| {
            scope.spawn(work);
        });
    });
}
