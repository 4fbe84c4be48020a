//! The checker's feed: plays the tape on time over the line protocol.
//!
//! A thread of its own. Must not skip: what is late is sent at once. Invariant: the time of a record is noted before its first
//! byte is written, so that no latency is too short.

use super::tape::Tape;
use crate::clock;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Records that come closer than this go out together.
const TICK_NS: u64 = 250_000;
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

/// When each record of a tape is sent, by its place; 0 before.
pub(crate) fn times(tape: &Tape) -> Arc<Vec<AtomicU64>> {
    Arc::new(tape.records.iter().map(|_| AtomicU64::new(0)).collect())
}

/// Plays everything; when its last byte was written, ns. An error where the server refused any of it.
pub(crate) fn play(tape: &Tape, to: SocketAddr, speed: f64, sent_ns: &[AtomicU64]) -> io::Result<u64> {
    clock::sharpen_timers()?;
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ACKNOWLEDGED_WITHIN))?;
    let start_ns = clock::now_ns();
    let due_ns = |place: usize| start_ns + (tape.records[place].at_ns as f64 / speed) as u64;
    let (mut place, mut batch) = (0, Vec::with_capacity(BATCH_BYTES_MAX * 2));
    while place < tape.records.len() {
        clock::sleep_until(due_ns(place))?;
        let now_ns = clock::now_ns();
        batch.clear();
        while place < tape.records.len() && batch.len() < BATCH_BYTES_MAX && due_ns(place) <= now_ns {
            let record = &tape.records[place];
            batch.extend_from_slice(tape.channels[record.channel].as_bytes());
            batch.push(b' ');
            batch.extend_from_slice(tape.payload(record));
            batch.push(b'\n');
            sent_ns[place].store(now_ns, Relaxed);
            place += 1;
        }
        socket.write_all(&batch)?;
        clock::sleep_until(now_ns + TICK_NS)?;
    }
    let end_ns = clock::now_ns();
    confirm(socket, tape.records.len())?;
    Ok(end_ns)
}

fn confirm(mut socket: TcpStream, records: usize) -> io::Result<()> {
    socket.write_all(b"PING\n")?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    match answer.trim_end() == format!("+PONG {records}") {
        true => Ok(()),
        false => Err(io::Error::other(format!("of {records} records the server says {answer:?}"))),
    }
}
