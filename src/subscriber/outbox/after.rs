//! How far channels were read past the shard's cursor for one subscriber: what the cursor brings up to there comes no more.
//!
//! Pure. Kept over an unsubscription, so that who subscribes again is sent nothing twice. Invariant: a place is forgotten only
//! when the cursor has passed the record that was read.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Stop;
use crate::channel::ChannelId;

/// The last record read, and whose it was: the place may have been given to another channel since.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    generation: u32,
    stop: Stop,
}

/// By a channel's index and a number that tells subscriptions to one channel apart.
#[derive(Debug, Default)]
pub(super) struct After(HashMap<(u32, u32), Ahead, RandomState>);

impl After {
    pub(super) fn set(&mut self, channel: ChannelId, alias: u32, stop: Stop) {
        self.0.insert((channel.index, alias), Ahead { generation: channel.generation, stop });
    }

    pub(super) fn get(&self, channel: ChannelId, alias: u32) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let ahead = self.0.get(&(channel.index, alias));
        ahead.filter(|ahead| ahead.generation == channel.generation).map_or(0, |ahead| ahead.stop.sequence)
    }

    pub(super) fn settle(&mut self, cursor: u64) {
        self.0.retain(|_, ahead| ahead.stop.position >= cursor);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
