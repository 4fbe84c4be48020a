//! What a connection is at: a request and its answer, whose time is ours to bound, or a stream or a wait, which take their own.
//!
//! The front's thread asks; a guard may be dropped on any thread. Invariant: a connection is occupied exactly as long as a guard of
//! its lives, and is counted so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Counter, Stats, count};

/// The side of who answers.
pub(super) struct Occupation {
    stats: Arc<Stats>,
    busy: watch::Sender<bool>,
}

/// The side of who bounds the connection's time.
pub(super) struct Watcher(watch::Receiver<bool>);

/// The connection is at something that takes its own time, until this is dropped.
pub(super) struct Occupied {
    stats: Arc<Stats>,
    busy: watch::Sender<bool>,
    gauge: Counter,
}

impl Occupation {
    pub(super) fn new(stats: Arc<Stats>) -> (Self, Watcher) {
        let (busy, watcher) = watch::channel(false);
        (Self { stats, busy }, Watcher(watcher))
    }

    /// From here on the connection takes its own time, counted by this gauge.
    pub(super) fn begin(&self, gauge: Counter) -> Occupied {
        let stats = Arc::clone(&self.stats);
        count(gauge(&stats));
        self.busy.send_replace(true);
        Occupied { stats, busy: self.busy.clone(), gauge }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        // ORDERING: Relaxed: a gauge guards no other memory.
        (self.gauge)(&self.stats).fetch_sub(1, Ordering::Relaxed);
        self.busy.send_replace(false);
    }
}

impl Watcher {
    /// Resolves when the connection was not occupied for this long; each end of an occupation begins the time anew.
    pub(super) async fn idle_for(&mut self, limit: Duration) {
        loop {
            // A sender that is gone changes nothing any more.
            let _ = self.0.wait_for(|busy| !*busy).await;
            tokio::select! {
                () = sleep(limit) => return,
                Ok(_) = self.0.wait_for(|busy| *busy) => {}
            }
        }
    }
}
