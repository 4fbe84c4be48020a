//! What cohorts asked for by patterns: each pattern at each rate once, with the cohorts that have it.
//!
//! Owned by one shard's thread. Invariant: a cohort stands exactly once in the list of each of its patterns.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use slab::Slab;

use super::CohortId;
use crate::channel::{ChannelName, ChannelPattern};

/// A pattern at a rate.
pub(in crate::shard) type PatternId = u32;

#[derive(Debug)]
struct Entry {
    pattern: ChannelPattern,
    every_ms: u32,
    cohorts: Vec<CohortId>,
}

/// Every pattern that somebody here has.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    entries: Slab<Entry>,
    by_key: HashMap<(ChannelPattern, u32), PatternId, RandomState>,
}

impl Patterns {
    /// The pattern at this rate.
    pub(super) fn intern(&mut self, pattern: &ChannelPattern, every_ms: u32) -> PatternId {
        let key = (pattern.clone(), every_ms);
        let entries = &mut self.entries;
        *self.by_key.entry(key).or_insert_with_key(|(pattern, _)| {
            entries.insert(Entry { pattern: pattern.clone(), every_ms, cohorts: Vec::new() }) as PatternId
        })
    }

    pub(super) fn pattern(&self, id: PatternId) -> &ChannelPattern {
        &self.entries[id as usize].pattern
    }

    pub(super) fn every_ms(&self, id: PatternId) -> u32 {
        self.entries[id as usize].every_ms
    }

    /// Whether somebody's pattern matches.
    pub(super) fn is_matched(&self, name: &ChannelName) -> bool {
        self.entries.iter().any(|(_, entry)| entry.pattern.matches(name))
    }

    /// The cohorts of every pattern that matches, each once.
    pub(super) fn cohorts_matching(&self, name: &ChannelName) -> Vec<CohortId> {
        let matching = self.entries.iter().filter(|(_, entry)| entry.pattern.matches(name));
        let mut cohorts: Vec<_> = matching.flat_map(|(_, entry)| entry.cohorts.iter().copied()).collect();
        cohorts.sort_unstable();
        cohorts.dedup();
        cohorts
    }

    pub(super) fn enlist(&mut self, id: PatternId, cohort: CohortId) {
        self.entries[id as usize].cohorts.push(cohort);
    }

    /// A cohort has it no more; without any it is dropped.
    pub(super) fn strike(&mut self, id: PatternId, cohort: CohortId) {
        let entry = &mut self.entries[id as usize];
        if let Some(place) = entry.cohorts.iter().position(|&other| other == cohort) {
            entry.cohorts.swap_remove(place);
        }
        if entry.cohorts.is_empty() {
            let gone = self.entries.remove(id as usize);
            self.by_key.remove(&(gone.pattern, gone.every_ms));
        }
    }
}
