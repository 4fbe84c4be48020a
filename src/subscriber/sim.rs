//! A connection in memory: a pipe whose room the simulator sets, so that it decides what each offer takes; or, for a bench, a sink.
//!
//! Built with the feature `drive` alone. Its two ends are on one thread; they only have the types of two. It behaves as a socket on its
//! reactor does: who was refused is woken once by what changes that. Invariant: bytes come out in the order in which they went in.

use std::io;
use std::sync::{Arc, PoisonError};
#[expect(clippy::disallowed_types, reason = "a model on one thread: nobody waits for this lock")]
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// The server's end.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "a model on one thread: nobody waits for this lock")]
pub struct SimPipe(Arc<Mutex<State>>);

/// The client's end.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "a model on one thread: nobody waits for this lock")]
pub struct SimClient(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What the client said, as far as it was not read.
    to_server: Vec<u8>,
    /// What the server said, as far as the client did not take it.
    to_client: Vec<u8>,
    /// Bytes that the server may still say.
    room: usize,
    /// The server may say anything, and nothing of it is kept.
    is_sink: bool,
    /// An offer was refused since there was room last.
    refused: bool,
    /// A read found nothing since something came last.
    drained: bool,
    /// Who waits to write or to read: one, as a subscriber has one waker.
    waiting: Option<Waker>,
    client_gone: bool,
    server_gone: bool,
}

/// A pipe without room.
#[must_use]
pub fn pipe() -> (SimPipe, SimClient) {
    let state = Arc::default();
    (SimPipe(Arc::clone(&state)), SimClient(state))
}

impl SimPipe {
    /// Takes what there is room for.
    ///
    /// # Errors
    /// `BrokenPipe` once the client is gone; `WouldBlock` without room.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        if state.client_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.is_sink {
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(state.room);
        if taken == 0 && !bytes.is_empty() {
            state.refused = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.room -= taken;
        state.to_client.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Reads what is there; 0: the client is gone.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        let taken = buffer.len().min(state.to_server.len());
        if taken == 0 && !state.client_gone {
            state.drained = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(state.to_server.drain(..taken)) {
            *to = from;
        }
        Ok(taken)
    }

    /// Whether an offer may be taken; else the context's waker is called once one may.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        let refused = state.refused && !state.client_gone;
        state.ready_unless(refused, context)
    }

    /// Whether a read may find something; else the context's waker is called once one may.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        let drained = state.drained && !state.client_gone;
        state.ready_unless(drained, context)
    }
}

impl Drop for SimPipe {
    fn drop(&mut self) {
        lock(&self.0).server_gone = true;
    }
}

impl SimClient {
    /// Says something to the server.
    pub fn say(&self, bytes: &[u8]) {
        let mut state = lock(&self.0);
        state.to_server.extend_from_slice(bytes);
        state.drained = false;
        state.wake();
    }

    /// From now on the server may say this many bytes.
    pub fn set_room(&self, bytes: usize) {
        let mut state = lock(&self.0);
        state.room = bytes;
        if bytes > 0 && std::mem::take(&mut state.refused) {
            state.wake();
        }
    }

    /// From now on the server may say anything, and nothing of it is kept: what is measured is who offers, not who takes.
    pub fn swallow(&self) {
        lock(&self.0).is_sink = true;
    }

    /// Appends what the server said since the last time.
    pub fn take(&self, out: &mut Vec<u8>) {
        out.append(&mut lock(&self.0).to_client);
    }

    /// Whether the server has let go of the connection.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        lock(&self.0).server_gone
    }
}

impl Drop for SimClient {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.client_gone = true;
        state.wake();
    }
}

impl State {
    fn ready_unless(&mut self, waits: bool, context: &Context<'_>) -> Poll<io::Result<()>> {
        if waits {
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

#[expect(clippy::disallowed_types, reason = "a model on one thread: nobody waits for this lock")]
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
