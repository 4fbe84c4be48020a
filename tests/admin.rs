//! The admin listener over real sockets: health, readiness, metrics, and what it says to everything else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tapecast::channel::{Catalogue, DeliveryRules};
use tapecast::control::admin::Admin;
use tapecast::control::metrics::Sources;
use tapecast::shard::mailbox::{self, Mailbox};
use tapecast::{front, ingest, ring, shard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

fn sources() -> Sources {
    let options = ring::Options { bytes: 1 << 16, channels_max: 16, body_bytes_max: 512, readers: 2 };
    let (_, ring) = ring::new(&options).unwrap();
    Sources {
        shards: vec![Arc::new(shard::stats::Stats::default()), Arc::new(shard::stats::Stats::default())],
        ingest: Arc::new(ingest::Stats::default()),
        front: Arc::new(front::Stats::default()),
        ring,
        ring_bytes: options.bytes,
        catalogue: Arc::new(Catalogue::new(DeliveryRules::default())),
        ready: Arc::new(AtomicBool::new(false)),
    }
}

/// Runs `talk` against a listener that ends when `talk` does.
fn with_admin<F: Future<Output = ()>>(sources: Sources, talk: impl FnOnce(SocketAddr) -> F) {
    with_shards(sources, Vec::new(), talk);
}

/// As `with_admin`, with shards that the admin listener may ask.
fn with_shards<F: Future<Output = ()>>(
    sources: Sources,
    shards: Vec<Mailbox>,
    talk: impl FnOnce(SocketAddr) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = admin.address();
        let (sender, shutdown) = watch::channel(false);
        let running = tokio::spawn(admin.run(sources, shards, shutdown));
        talk(address).await;
        sender.send_replace(true);
        running.await.unwrap().unwrap();
    });
}

/// Everything that comes back for these bytes until the server closes.
async fn said(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    said(address, format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).await
}

#[test]
fn health_and_readiness_are_told_apart() {
    let sources = sources();
    let ready = Arc::clone(&sources.ready);
    with_admin(sources, async |address| {
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 "));
        ready.store(true, Ordering::Relaxed);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
        ready.store(false, Ordering::Relaxed);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503 "));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn metrics_tell_every_stage() {
    let sources = sources();
    sources.ingest.refused[ingest::RefusalCode::InvalidJson as usize].store(7, Ordering::Relaxed);
    sources.ingest.accepted.store(12, Ordering::Relaxed);
    sources.ingest.publish.record(700, 1);
    sources.front.refused_address.store(3, Ordering::Relaxed);
    with_admin(sources, async |address| {
        let page = get(address, "/metrics").await;
        for line in [
            "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r",
            "tapecast_shard_matched_records_total{shard=\"0\"} 0",
            "tapecast_shard_pending_records{shard=\"1\"} 0",
            "tapecast_shard_closed_subscribers_total{shard=\"1\",reason=\"slow\"} 0",
            "tapecast_ingest_accepted_records_total 12",
            "tapecast_ingest_refused_records_total{code=\"invalid_json\"} 7",
            "tapecast_front_refused_connections_total{limit=\"address\"} 3",
            "tapecast_ring_history_seconds 0.0",
            "tapecast_ingest_publish_seconds_bucket{le=\"0.000001024\"} 1",
            "tapecast_ingest_publish_seconds_count 1",
            "tapecast_shard_drain_seconds_count{shard=\"1\"} 0",
            "tapecast_shard_send_seconds_bucket{le=\"+Inf\",shard=\"0\"} 0",
            "tapecast_ring_size_bytes 65536",
            "tapecast_channels 0",
            "tapecast_ready 0",
            concat!("tapecast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(page.lines().any(|found| found == line.trim_end()), "{line} is not on\n{page}");
        }
        assert!(page.contains("\nprocess_start_time_seconds 1"), "{page}");
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} on\n{page}")).parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1024.0 * 1024.0, "{page}");
        assert!(value("process_cpu_seconds_total") > 0.0, "{page}");
        let (open, most) = (value("process_open_fds"), value("process_max_fds"));
        assert!(3.0 < open && open < most, "{page}");
    });
}

#[test]
fn everything_else_is_refused_and_disturbs_nobody() {
    with_admin(sources(), async |address| {
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404 "));
        assert!(get(address, "/metrics/").await.starts_with("HTTP/1.1 404 "));
        let post = said(address, b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
        assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
        assert!(said(address, b"\x16\x03\x01 no HTTP\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut vanishing = TcpStream::connect(address).await.unwrap();
        vanishing.write_all(b"GET /met").await.unwrap();
        drop(vanishing);
        assert!(get(address, "/healthz").await.ends_with("\r\n\r\nok\n"));
    });
}

#[test]
fn subscribers_are_asked_for_and_closed_by_no_other_method() {
    with_admin(sources(), async |address| {
        assert!(get(address, "/admin/subscribers").await.ends_with("\r\n\r\n[]"), "there is no shard");
        for (method, path, allowed) in [
            ("DELETE", "/admin/subscribers", "GET, HEAD"),
            ("POST", "/admin/subscribers?sort=lag", "GET, HEAD"),
            ("GET", "/admin/subscribers/0-1", "DELETE"),
            ("POST", "/admin/subscribers/0-1", "DELETE"),
        ] {
            let answer =
                said(address, format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
            let allow = format!("allow: {allowed}\r\n");
            assert!(
                answer.starts_with("HTTP/1.1 405 ") && answer.contains(&allow),
                "{method} {path}: {answer}"
            );
        }
        for query in ["sort=name", "limit=0", "limit=1001", "limit=all", "x"] {
            let answer = get(address, &format!("/admin/subscribers?{query}")).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("sort=lag|outbox|"), "{answer}");
        }
        for (id, status) in [("", 400), ("x", 400), ("0-", 400), ("0-1-2", 400), ("0-1", 404), ("9-1", 404)] {
            let request = format!("DELETE /admin/subscribers/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = said(address, request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{id}: {answer}");
        }
    });
}

/// The second of two shards is stuck, the first one has ended.
#[test]
fn a_shard_that_does_not_answer_is_named_and_holds_up_nobody_for_long() {
    let (gone, post) = mailbox::new(1, Arc::default());
    drop(post);
    let (stuck, _post) = mailbox::new(1, Arc::default());
    let asked = stuck.clone();
    with_shards(sources(), vec![gone, stuck], async |address| {
        let delete = async |id: &str| {
            let request = format!("DELETE /admin/subscribers/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
            said(address, request.as_bytes()).await
        };
        let (listed, deleted) = tokio::join!(get(address, "/admin/subscribers"), delete("1-1"));
        let silences = r#"[{"shard":0,"error":"the shard did not answer in time"},{"shard":1,"error":"#;
        assert!(listed.starts_with("HTTP/1.1 200 ") && listed.contains(silences), "{listed}");
        assert!(deleted.starts_with("HTTP/1.1 504 ") && deleted.contains("shard 1"), "{deleted}");
        while asked.evict(1).is_some() {}
        assert!(get(address, "/admin/subscribers").await.starts_with("HTTP/1.1 503 "));
        assert!(delete("1-1").await.starts_with("HTTP/1.1 503 "));
    });
}

#[test]
fn a_port_taken_is_named() {
    let first = Admin::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Admin::bind(first.address()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&format!("admin.listen {}", first.address())), "{error}");
}
