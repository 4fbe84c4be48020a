//! A feed of one's own: publishes made-up trades and tickers. The standard library is all that it needs.
//!
//!     cargo run --release --example feed -- [HOST:PORT] [RECORDS]      127.0.0.1:9002, until Ctrl-C
//!
//! `TAPECAST_INGEST_TOKEN` holds the ingest's token, where it wants one. Keep `Feed` and `main`; replace `market`. It runs on one thread, and waits
//! for the server's answer to a batch before it sends the next: at most one batch is sent twice, and taken once.

#![expect(clippy::disallowed_methods, reason = "a program by itself: it reads its environment, and sleeps")]

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Records a write: the larger, the cheaper; the last of them waits for the first.
const BATCH: usize = 20;

/// Made-up records, a line each: channel, `#` and the feed's own sequence in that channel, payload.
fn market() -> impl Iterator<Item = String> {
    let mut cents = [("btcusdt", 6_173_763_u64), ("ethusdt", 268_380)];
    (1_u64..).flat_map(move |number| {
        cents.iter_mut().for_each(|(_, cents)| *cents = *cents + number * 7919 % 101 - 50);
        cents.into_iter().flat_map(move |(symbol, cents)| {
            let (name, price) = (symbol.to_uppercase(), format!("{}.{:02}", cents / 100, cents % 100));
            let trade = format!(r#"{{"e":"trade","s":"{name}","t":{number},"p":"{price}","q":"0.010"}}"#);
            let ticker = format!(r#"{{"e":"24hrTicker","s":"{name}","c":"{price}"}}"#);
            [format!("{symbol}@trade#{number} {trade}\n"), format!("{symbol}@ticker#{number} {ticker}\n")]
        })
    })
}

/// A connection to the feed listener.
struct Feed {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Feed {
    /// The session keeps its name over reconnects: what is then published twice is taken once.
    fn connect(address: &str, session: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        let mut feed = Self { answers: BufReader::new(stream.try_clone()?), stream };
        let token = std::env::var("TAPECAST_INGEST_TOKEN").ok().map(|token| format!("AUTH {token}\n"));
        feed.publish(&[token.unwrap_or_default(), format!("SESSION {session}\n")])?;
        Ok(feed)
    }

    /// Sends a batch and waits for `+PONG`: by then each line was taken, or refused with an answer that says why.
    fn publish(&mut self, lines: &[String]) -> io::Result<()> {
        self.stream.write_all((lines.concat() + "PING\n").as_bytes())?;
        for answer in self.answers.by_ref().lines() {
            match answer? {
                pong if pong.starts_with("+PONG ") => return Ok(()),
                refusal => eprintln!("refused: {refusal}"),
            }
        }
        Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"))
    }
}

fn reconnect(address: &str, session: &str) -> Feed {
    let mut delay = Duration::from_millis(250);
    loop {
        sleep(delay);
        match Feed::connect(address, session) {
            Ok(feed) => return feed,
            Err(error) => eprintln!("{address}: {error}"),
        }
        delay = (2 * delay).min(Duration::from_secs(15));
    }
}

fn run(address: &str, records: usize) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let session = format!("feed-{}-{}", std::process::id(), since.as_nanos());
    let mut feed = Feed::connect(address, &session)?;
    let mut lines = market().take(records);
    loop {
        let batch: Vec<String> = lines.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        while let Err(error) = feed.publish(&batch) {
            eprintln!("{address}: {error}; reconnecting");
            feed = reconnect(address, &session);
        }
        sleep(Duration::from_millis(100));
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let records = arguments.next().map_or(Ok(usize::MAX), |records| records.parse());
    let Ok(records) = records else {
        eprintln!("usage: feed [HOST:PORT] [RECORDS]");
        return ExitCode::from(2);
    };
    if let Err(error) = run(&address, records) {
        eprintln!("cannot feed {address}: {error}; does a server listen for feeds there (tapecast serve)?");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
