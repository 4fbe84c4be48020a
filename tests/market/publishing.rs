//! The simulation over real sockets, against small feed listeners of the test's own: slow, refusing, strict, and gone for a while.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tapecast::feed::market;
use tapecast::feed::simulate::{self, Options};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a listener does with a record.
enum Answer {
    Take,
    Refuse,
    HangUp,
}

/// Serves one connection; gives what it took.
fn serve(stream: TcpStream, mut judge: impl FnMut(usize, &str) -> Answer) -> Vec<String> {
    let mut answers = stream.try_clone().unwrap();
    let mut answer = |text: String| answers.write_all(text.as_bytes()).unwrap();
    let mut taken = Vec::new();
    for (line, number) in BufReader::new(stream).lines().map_while(Result::ok).zip(1..) {
        if line == "PING" {
            answer(format!("+PONG {}\n", taken.len()));
            continue;
        }
        match judge(taken.len(), &line) {
            Answer::Take => taken.push(line),
            Answer::Refuse => answer(format!("-ERR {number} invalid_channel no\n")),
            Answer::HangUp => break,
        }
    }
    taken
}

fn options(to: SocketAddr, rate: u32, token: Option<&str>) -> Options {
    let market = market::Options { symbols: 2, rate, seed: 1 };
    Options { to: to.to_string(), token: token.map(str::to_owned), market, shows_progress: false }
}

/// Until a listener has seen enough.
async fn until(mut seen: watch::Receiver<bool>) {
    let _ = seen.wait_for(|seen| *seen).await;
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_and_begins_with_how_the_market_stands() {
    let ((listener, address), (stop, stopped)) = (listener(), watch::channel(false));
    let server = std::thread::spawn(move || {
        let cut_off = |taken, _: &str| if taken < 40 { Answer::Take } else { Answer::HangUp };
        let before = serve(listener.accept().unwrap().0, cut_off);
        let after = serve(listener.accept().unwrap().0, |taken, _| {
            if taken == 80 {
                stop.send_replace(true);
            }
            Answer::Take
        });
        [before, after]
    });
    let summary = simulate::run(options(address, 1000, None), until(stopped)).await.unwrap();
    assert_eq!(summary.accepted, None, "what the lost connection took of the last records is not known");
    for records in server.join().unwrap() {
        for (number, record) in records.iter().enumerate() {
            let (channel, payload) = record.split_once(' ').unwrap();
            assert!(tapecast::channel::validate(channel).is_ok(), "{channel}");
            assert!(serde_json::from_str::<serde_json::Value>(payload).is_ok(), "record {number}: {payload}");
        }
        let begins = |channel: &str| records[..8].iter().any(|record| record.starts_with(channel));
        assert!(
            ["btcusdt@depth20", "ethusdt@depth20", "btcusdt@ticker"].into_iter().all(begins),
            "{records:?}"
        );
    }
}

/// A server that lets a feed connect and nothing more, as one that wants another token now, is not asked ten times a second.
#[tokio::test]
async fn who_is_hung_up_on_waits_longer_each_time() {
    let ((listener, address), (stop, stopped)) = (listener(), watch::channel(false));
    let server = std::thread::spawn(move || {
        let cut_off = |taken, _: &str| if taken < 40 { Answer::Take } else { Answer::HangUp };
        let stream = listener.accept().unwrap().0;
        // The time begins before the feed knows that it is alone.
        serve(stream.try_clone().unwrap(), cut_off);
        let hung_up = Instant::now();
        drop(stream);
        for _ in 0..4 {
            drop(listener.accept().unwrap());
        }
        let waited = hung_up.elapsed();
        stop.send_replace(true);
        waited
    });
    simulate::run(options(address, 1000, None), until(stopped)).await.unwrap();
    let waited = server.join().unwrap();
    assert!(waited >= Duration::from_millis(100 + 200 + 400 + 800), "four connections in {waited:?}");
}

#[tokio::test]
async fn what_was_accepted_and_what_was_refused_is_counted() {
    let ((listener, address), (stop, stopped)) = (listener(), watch::channel(false));
    let server = std::thread::spawn(move || {
        serve(listener.accept().unwrap().0, |taken, line| {
            assert!(taken > 0 || !line.starts_with("AUTH") || line == "AUTH secret", "{line}");
            if taken == 100 {
                stop.send_replace(true);
            }
            if line.starts_with("eth") { Answer::Refuse } else { Answer::Take }
        })
    });
    let summary = simulate::run(options(address, 1000, Some("secret")), until(stopped)).await.unwrap();
    // The token's line is taken as well.
    let taken = server.join().unwrap();
    assert_eq!((taken[0].as_str(), summary.accepted), ("AUTH secret", Some(taken.len() as u64)));
    assert!(summary.refused > 0 && summary.sent == taken.len() as u64 - 1 + summary.refused, "{summary}");
}

#[tokio::test]
async fn a_market_that_is_refused_whole_says_why() {
    let ((listener, address), (stop, stopped)) = (listener(), watch::channel(false));
    let server = std::thread::spawn(move || {
        let mut seen = 0;
        serve(listener.accept().unwrap().0, |_, _| {
            seen += 1;
            if seen == 50 {
                stop.send_replace(true);
            }
            Answer::Refuse
        })
    });
    let error = simulate::run(options(address, 1000, None), until(stopped)).await.unwrap_err().to_string();
    assert!(error.starts_with("the server refused all") && error.contains("1 invalid_channel no"), "{error}");
    assert!(server.join().unwrap().is_empty());
}

#[tokio::test]
async fn it_ends_where_no_server_takes_it() {
    let ((listener, address), (_stop, stopped)) = (listener(), watch::channel(false));
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"-ERR 1 unauthorized wrong token\n").unwrap();
        line
    });
    let error =
        simulate::run(options(address, 1000, Some("wrong")), until(stopped.clone())).await.unwrap_err();
    assert!(error.to_string().contains("unauthorized wrong token"), "{error}");
    assert_eq!(server.join().unwrap(), "AUTH wrong\n");
    let error = simulate::run(options(address, 1000, None), until(stopped)).await.unwrap_err();
    assert!(error.to_string().contains("is a server running there (tapecast serve)?"), "{error}");
}

/// A server that does not read for a while: what was due meanwhile is skipped and counted, and nothing waits for it.
#[tokio::test]
async fn what_a_slow_server_has_no_time_for_is_skipped() {
    /// Longer than a lag may be, and than what the sockets hold lasts.
    const PAUSE: Duration = Duration::from_secs(2);
    let ((listener, address), (stop, stopped)) = (listener(), watch::channel(false));
    let (pauses, pause) = std::sync::mpsc::sync_channel::<()>(1);
    let server = std::thread::spawn(move || {
        serve(listener.accept().unwrap().0, |taken, _| {
            if taken == 1000 {
                // Nobody ever sends: this is the pause, and its end.
                pause.recv_timeout(PAUSE).unwrap_err();
            }
            if taken == 60_000 {
                stop.send_replace(true);
            }
            Answer::Take
        })
    });
    let summary = simulate::run(options(address, 50_000, None), until(stopped)).await.unwrap();
    drop(pauses);
    assert_eq!(summary.accepted, Some(summary.sent), "what was sent arrived: {summary}");
    assert_eq!(server.join().unwrap().len() as u64, summary.sent);
    assert!(summary.skipped > 1000, "{summary}");
}
