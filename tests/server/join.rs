//! Joining and leaving: snapshot and live records meet at one sequence, whatever is published meanwhile, and behind the
//! acknowledgement of an unsubscription nothing comes.
//!
//! Native subscribers, for they see sequences. Random choices come from a seed that is printed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::{Feed, Subscriber, TEXT, masked};
use crate::harness::Server;
use crate::native::Stands;
use crate::tape::Random;

const SEED: u64 = 6;

/// Room for the whole of a test: nobody is slow for good, and the shards of a busy machine are not lapped.
const ROOMY: [&str; 4] = [
    "ring.bytes=134217728",
    "outbox.bytes_max=67108864",
    "limits.messages_per_second=0",
    "limits.messages_burst=0",
];

#[test]
fn a_channel_that_does_not_exist_yet_is_waited_for() {
    let server = Server::start(1, &ROOMY);
    let mut subscriber = Subscriber::native(&server);
    let answer = subscriber.subscribe(1, &["new@trade"]);
    assert_eq!(answer.text, r#"{"op":"ack","id":1,"channels":[{"channel":"new@trade","seq":0}]}"#);
    let mut stands = Stands::default();
    stands.join(&answer.text);
    let mut feed = Feed::connect(&server);
    feed.publish("new@trade", "1");
    feed.publish("new@trade", "2");
    assert_eq!(feed.ping(), 2);
    assert_eq!(stands.hear(&subscriber.text()), 1);
    assert_eq!(stands.hear(&subscriber.text()), 2);
    server.wait_until_quiet(2);
}

#[test]
fn without_a_snapshot_only_what_comes_later_comes() {
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    feed.publish("a@trade", "1");
    feed.ping();
    server.wait_until_quiet(1);
    let mut subscriber = Subscriber::native(&server);
    let request = r#"{"op":"subscribe","id":1,"channels":["a@trade"],"snapshot":false}"#;
    let answer = subscriber.ask(1, request);
    assert_eq!(answer.text, r#"{"op":"ack","id":1,"channels":[{"channel":"a@trade","seq":1}]}"#);
    feed.publish("a@trade", "2");
    feed.ping();
    let text = subscriber.text();
    assert!(text.starts_with(r#"{"ch":"a@trade","seq":2,"#) && !text.contains("snap"), "{text}");
}

/// Channels of the tests under traffic: half of them `every`, half `latest`, the last ones late to exist.
const CHANNELS: usize = 24;

fn channel(number: usize) -> String {
    format!("c{number}@{}", if number.is_multiple_of(2) { "trade" } else { "bookTicker" })
}

/// Publishes on all channels until it is told to stop; how many records that was.
fn publish_until(stop: &AtomicBool, feed: &mut Feed) -> u64 {
    let mut published = 0;
    for round in 1_u64.. {
        // The last channels begin when others have come far.
        let late = |number: usize| number >= CHANNELS - 4 && round <= 40 * (number + 5 - CHANNELS) as u64;
        for number in (0..CHANNELS).filter(|&number| !late(number)) {
            let before = if number >= CHANNELS - 4 { 40 * (number + 5 - CHANNELS) as u64 } else { 0 };
            feed.publish(&channel(number), &(round - before).to_string());
            published += 1;
        }
        if round % 4 == 0 {
            assert_eq!(feed.ping(), published);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    assert_eq!(feed.ping(), published);
    published
}

#[test]
fn subscribing_and_leaving_at_any_moment_leaves_no_hole() {
    println!("seed {SEED}");
    let server = Server::start(2, &ROOMY);
    let stop = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let feed = scope.spawn(|| publish_until(&stop, &mut Feed::connect(&server)));
        let clients: Vec<_> = (0..12)
            .map(|number| {
                scope.spawn({
                    let server = &server;
                    move || come_and_go(server, number)
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        stop.store(true, Ordering::Relaxed);
        let published = feed.join().unwrap();
        let heard: u64 = ended.into_iter().map(Result::unwrap).sum();
        println!("{published} records published, {heard} heard");
        published
    });
    let metrics = server.wait_until_quiet(published);
    assert_eq!(metrics.shard("missed_records"), 0, "{metrics}");
}

/// Subscribes and unsubscribes at random moments, and checks all that comes between.
fn come_and_go(server: &Server, number: u64) -> u64 {
    let mut random = Random::new(SEED + number);
    let mut subscriber = Subscriber::native(server);
    let mut stands = Stands::default();
    let mut mine: Vec<usize> = Vec::new();
    for id in 0..60 {
        let choice = random.below(CHANNELS);
        let answer = match mine.iter().position(|&channel| channel == choice) {
            Some(place) => {
                mine.swap_remove(place);
                subscriber.unsubscribe(id, &[&channel(choice)])
            }
            None => {
                let other = random.below(CHANNELS);
                mine.retain(|&channel| channel != other);
                mine.extend([choice, other]);
                mine.dedup();
                subscriber.subscribe(id, &[&channel(choice), &channel(other)])
            }
        };
        for text in &answer.before {
            stands.hear(text);
        }
        if mine.contains(&choice) {
            stands.join(&answer.text);
        } else {
            stands.leave(&channel(choice));
        }
        for _ in 0..if mine.is_empty() { 0 } else { random.below(60) } {
            stands.hear(&subscriber.text());
        }
    }
    stands.heard
}

#[test]
fn those_alike_become_one_cohort_and_part_again() {
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    let join = |channels: &[&str]| {
        let (mut subscriber, mut stands) = (Subscriber::native(&server), Stands::default());
        stands.join(&subscriber.subscribe(1, channels).text);
        (subscriber, stands)
    };
    let mut alike: Vec<_> = (0..20).map(|_| join(&["a@trade", "b@trade"])).collect();
    alike.extend((0..20).map(|_| join(&["b@trade", "a@trade"])));
    server.wait_until("one cohort", |metrics| metrics.shard("cohorts") == 1);
    let mut sequence = 0;
    let mut publish = |alike: &mut Vec<(Subscriber, Stands)>| {
        sequence += 1;
        feed.publish("a@trade", &sequence.to_string());
        feed.publish("b@trade", &sequence.to_string());
        feed.ping();
        for (subscriber, stands) in alike {
            stands.hear(&subscriber.text());
            stands.hear(&subscriber.text());
        }
    };
    publish(&mut alike);
    let (mut other, mut its) = alike.pop().unwrap();
    other.unsubscribe(2, &["a@trade"]);
    its.leave("a@trade");
    server.wait_until("two cohorts", |metrics| metrics.shard("cohorts") == 2);
    drop(alike.pop());
    publish(&mut alike);
    its.hear(&other.text());
    its.join(&other.subscribe(3, &["a@trade"]).text);
    its.hear(&other.text());
    server.wait_until("one cohort again", |metrics| metrics.shard("cohorts") == 1);
    alike.push((other, its));
    publish(&mut alike);
    server.wait_until_quiet(6);
}

/// A raw connection that asks for envelopes and back while records come: the answer is where the shape changes.
#[test]
fn the_shape_changes_between_two_records() {
    let server = Server::start(1, &ROOMY);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut subscriber = Subscriber::connect(&server, "/ws/c0@trade");
        server.wait_until("the subscription", |metrics| metrics.shard("subscriptions") == 1);
        let feed = scope.spawn(|| publish_until(&stop, &mut Feed::connect(&server)));
        let (mut combined, mut last) = (false, 0);
        for id in 0..40 {
            let request =
                format!(r#"{{"method":"SET_PROPERTY","params":["combined",{}],"id":{id}}}"#, !combined);
            let answer = subscriber.ask(id, &request);
            assert_eq!(answer.text, format!(r#"{{"result":null,"id":{id}}}"#));
            answer.before.iter().for_each(|text| last = follow(last, text, combined));
            combined = !combined;
            for _ in 0..20 {
                last = follow(last, &subscriber.text(), combined);
            }
        }
        stop.store(true, Ordering::Relaxed);
        feed.join().unwrap();
    });
}

fn follow(last: u64, text: &str, combined: bool) -> u64 {
    let next = last + 1;
    let due = if combined { format!(r#"{{"stream":"c0@trade","data":{next}}}"#) } else { next.to_string() };
    assert_eq!(text, due);
    next
}

/// Channels named in the URL are subscribed with snapshots, behind the greeting; and a request may come in pieces.
#[test]
fn channels_of_the_url_are_joined_and_a_request_in_pieces_is_read() {
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    feed.publish("a@trade", "1");
    feed.ping();
    server.wait_until_quiet(1);
    let mut subscriber = Subscriber::connect(&server, "/v1/ws?channels=a@trade,b@trade");
    assert!(subscriber.text().starts_with(r#"{"op":"hello""#));
    let snapshot = subscriber.text();
    assert!(
        snapshot.starts_with(r#"{"ch":"a@trade","seq":1,"#) && snapshot.contains(r#""snap":true"#),
        "{snapshot}"
    );
    let request = masked(TEXT, br#"{"op":"list","id":7}"#);
    for piece in request.chunks(3) {
        subscriber.write(piece);
    }
    assert_eq!(subscriber.text(), r#"{"op":"list","id":7,"channels":["a@trade","b@trade"]}"#);
}
