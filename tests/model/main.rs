//! The whole core without sockets: a simulator with its own clock and a naive reference, seed by seed.
//!
//! `TAPECAST_MODEL_SEED=<seed>` lives through one world alone and tells its last steps; `TAPECAST_MODEL_STEPS` sets how many
//! steps all worlds have together. Invariant: what a seed shows once it shows again.

mod book;
mod client;
mod dice;
mod market;
mod promise;
mod spell;
mod steps;
mod wire;
mod world;

use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use dice::mix;
use tapecast::fault::{self, Planted};
use tapecast::shard::stats::Ledger;
use tapecast::subscriber::close::CloseReason;
use world::{STEPS, World};

/// Steps in all.
const STEPS_IN_ALL: u64 = 10_000_000;
/// Worlds that live at once.
const THREADS: u64 = 2;

#[expect(clippy::disallowed_methods, reason = "a seed to replay is no configuration")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// One world; its ledger, or what was wrong, with its last steps.
fn live(seed: u64) -> Result<Ledger, String> {
    let mut world = World::new(seed, false);
    if world.live(STEPS).is_ok() {
        return Ok(world.ledger());
    }
    let mut world = World::new(seed, true);
    let Err((step, why)) = world.live(STEPS) else {
        return Err(format!("seed {seed} failed once, not twice"));
    };
    let steps: Vec<_> = world.traced.take().unwrap_or_default().into();
    let (plan, steps) = (&world.plan, steps.join("\n"));
    Err(format!("TAPECAST_MODEL_SEED={seed} fails at step {step}: {why}\n{plan:#?}\n{steps}"))
}

/// What must have happened in many worlds, else they show nothing.
fn happened(ledgers: &[Ledger]) -> Vec<(&'static str, u64)> {
    let sum = |of: fn(&Ledger) -> u64| ledgers.iter().map(of).sum();
    vec![
        ("delivered", sum(|of| of.delivered)),
        ("conflated", sum(|of| of.conflated)),
        ("merged", sum(|of| of.merged)),
        ("dropped", sum(|of| of.dropped)),
        ("withdrawn", sum(|of| of.withdrawn)),
        ("abandoned", sum(|of| of.abandoned)),
        ("missed", sum(|of| of.missed)),
        ("lapped", sum(|of| of.lapped)),
        ("gaps", sum(|of| of.gaps)),
        ("recovered", sum(|of| of.recovered)),
        ("unrecovered", sum(|of| of.unrecovered)),
        ("requests", sum(|of| of.requests)),
        ("refused", sum(|of| of.requests_refused)),
        ("encoded", sum(|of| of.encoded)),
        ("encoded singly", sum(|of| of.encoded_singly)),
        ("closed as slow", sum(|of| of.closed[CloseReason::Slow.index()])),
        ("closed as lapped", sum(|of| of.closed[CloseReason::Lapped.index()])),
        ("cut for the torn pool", sum(|of| of.closed[CloseReason::TornPoolFull.index()])),
    ]
}

#[test]
fn ten_million_steps_keep_every_promise() {
    if let Some(seed) = number("TAPECAST_MODEL_SEED") {
        live(seed).unwrap_or_else(|why| panic!("{why}"));
        return;
    }
    let base = RandomState::new().hash_one(0);
    println!("the first seed is {base}");
    let worlds = number("TAPECAST_MODEL_STEPS").unwrap_or(STEPS_IN_ALL) / STEPS;
    let next = AtomicU64::new(0);
    let work = || {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let seeds =
            numbers.take_while(|number| *number < worlds).map(|number| mix(base.wrapping_add(number)));
        seeds.map(|seed| live(seed).unwrap_or_else(|why| panic!("{why}"))).collect::<Vec<_>>()
    };
    let ledgers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a world failed")).collect()
    });
    for (what, times) in happened(&ledgers) {
        println!("{what}: {times}");
        assert!(times > 0, "nothing was ever {what}");
    }
}

/// Steps within which a planted fault is found.
const CAUGHT_WITHIN: u64 = 2_000_000;

/// A fault makes some world fail, or panic, before long.
fn is_caught(fault: Planted) -> Option<String> {
    fault::plant(Some(fault));
    let caught = (0..CAUGHT_WITHIN / STEPS).find_map(|number| {
        let mut world = World::new(mix(number), false);
        let lived = catch_unwind(AssertUnwindSafe(|| world.live(STEPS)));
        let (step, why) = match lived {
            Ok(Ok(())) => return None,
            Ok(Err(failed)) => failed,
            Err(_) => (0, "a panic".to_owned()),
        };
        // What is left of a core that broke is not to be touched again.
        std::mem::forget(world);
        Some(format!("world {number}, step {step}: {}", why.lines().next().unwrap_or("")))
    });
    fault::plant(None);
    caught
}

#[test]
fn each_planted_fault_is_caught() {
    for number in 0..CAUGHT_WITHIN / STEPS {
        live(mix(number)).unwrap_or_else(|why| panic!("without a fault: {why}"));
    }
    for &fault in Planted::ALL {
        match is_caught(fault) {
            Some(how) => println!("{fault:?}: {how}"),
            None => panic!("{fault:?} was not noticed in {CAUGHT_WITHIN} steps"),
        }
    }
}
