//! Server-Sent Events: `GET /v1/sse`, the native messages as the data of events, for clients without WebSocket.
//!
//! Pure; opened on the front's thread, the rest on the shard's. It reads nothing: the request is all that its client says.
//! Invariant: what is appended is whole events, none of which a payload can end early.

use super::native::{EVERY_MS_MAX, Native};
use super::query::{self, Names};
use super::{
    Dialect, Farewell, Fault, FaultCode, Hello, Opening, Outcome, Rejected, Request, RequestId, Resume,
    ResumeFrom, Shape, Subscribe, Wanted, json,
};

/// Milliseconds after which a client comes back that was cut off, unless it is told otherwise.
const RETRY_MS: &[u8] = b"retry: 2000\n";

/// What keeps a silent stream alive, and finds out that its client is gone: a comment, which clients pass over.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// The dialect.
pub struct Sse;

/// Reads the query of a request, and its `Last-Event-ID`; without the header the query's `last_event_id` counts, for clients that
/// cannot set headers.
///
/// # Errors
/// What the client must mend.
pub fn open(query: &str, last_event_id: Option<&[u8]>) -> Result<Opening, Fault> {
    let Names { channels, patterns } = query::names(query)?;
    let in_query = query::text(query, "last_event_id")?;
    let last_event_id = last_event_id.or_else(|| in_query.as_deref().map(str::as_bytes));
    let every_ms = query::number(query, "every_ms", u64::from(EVERY_MS_MAX))?.unwrap_or(0);
    let subscribe = Subscribe {
        channels: channels.into_iter().map(Wanted::from).collect(),
        patterns,
        snapshot: query::flag(query, "snapshot")?.unwrap_or(true),
        every_ms: u32::try_from(every_ms).unwrap_or(EVERY_MS_MAX),
        resume: last_event_id.filter(|id| !id.is_empty()).map(resume),
    };
    Ok(Opening { dialect: &Sse, shape: Shape::Sse, subscribe })
}

/// Where a client had come to. An id that is none of ours is one of another numbering, for a client that has been here before must be
/// told the state anew.
fn resume(id: &[u8]) -> Resume {
    let read = std::str::from_utf8(id).ok().and_then(query::position);
    read.unwrap_or_else(|| Resume { epoch: "".into(), from: ResumeFrom::Ordinal(0) })
}

/// Appends the last event of a stream that the server ends: what a close frame would say.
pub fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: close\ndata: {\"code\":");
    json::push(&code, out);
    out.extend_from_slice(b",\"reason\":");
    json::push(reason, out);
    out.extend_from_slice(b"}\n\n");
}

/// Appends what says why a request is refused.
pub fn refusal(code: &str, message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"code":"#);
    json::push(code, out);
    out.extend_from_slice(br#","message":"#);
    json::push(message, out);
    out.push(b'}');
}

impl Dialect for Sse {
    fn name(&self) -> &'static str {
        "sse"
    }

    // No path of a handshake: the front opens it by `open` above.
    fn open(&self, _path: &str, _query: Option<&str>) -> Option<Result<Opening, String>> {
        None
    }

    fn greet(&self, hello: &Hello<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(RETRY_MS);
        out.extend_from_slice(b"event: hello\ndata: ");
        Native.greet(hello, out);
        out.extend_from_slice(b"\n\n");
    }

    fn read(&self, _message: &[u8]) -> Result<Request, Rejected> {
        let fault = Fault::new(FaultCode::InvalidRequest, "nothing is read from an event stream");
        Err(Rejected { id: RequestId(None), fault })
    }

    fn answer(&self, _id: &RequestId, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        // Its one request is its subscription, and what follows is the answer.
        if let Outcome::Refused(fault) = outcome {
            out.extend_from_slice(b"event: error\ndata: ");
            refusal(fault.code.label(), &fault.text, out);
            out.extend_from_slice(b"\n\n");
        }
    }

    fn farewell(&self, farewell: &Farewell, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        Native.farewell(farewell, out);
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(say: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        say(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn resumed(query: &str, header: Option<&[u8]>) -> Option<(Box<str>, u64)> {
        let resume = open(query, header).unwrap().subscribe.resume?;
        let ResumeFrom::Ordinal(ordinal) = resume.from else { panic!("{resume:?}") };
        Some((resume.epoch, ordinal))
    }

    #[test]
    fn a_query_says_what_to_subscribe_to() {
        let opening = open("channels=a@ticker,*@trade&every_ms=250&snapshot=false", None).unwrap();
        assert_eq!((opening.shape, opening.dialect.name()), (Shape::Sse, "sse"));
        let Subscribe { channels, patterns, snapshot, every_ms, resume } = opening.subscribe;
        assert_eq!((channels.len(), patterns.len(), snapshot, every_ms, resume), (1, 1, false, 250, None));
        assert!(open("channels=a@b", None).unwrap().subscribe.snapshot);
        for bad in ["every_ms=x", "every_ms=3600001", "snapshot=0", "every_ms=-1", "last_event_id=%ff"] {
            let fault = open(&format!("channels=a@b&{bad}"), None).err().unwrap();
            assert_eq!(fault.code, FaultCode::InvalidRequest, "{bad}");
        }
    }

    #[test]
    fn the_header_beats_the_query_and_rubbish_is_another_numbering() {
        let query = "channels=a@b&last_event_id=e1:7";
        assert_eq!(resumed(query, None), Some(("e1".into(), 7)));
        assert_eq!(resumed(query, Some(b"e2:9")), Some(("e2".into(), 9)));
        for rubbish in [&b"rubbish"[..], b"\xff\xfe", b"e1:-7", b"e1:"] {
            assert_eq!(resumed(query, Some(rubbish)), Some(("".into(), 0)), "{rubbish:?}");
        }
        assert_eq!(resumed("channels=a@b", Some(b"")), None, "an empty id is none");
    }

    #[test]
    fn what_is_said_is_whole_events() {
        let hello = Hello { epoch: "e1", heartbeat_ms: 20_000, channels_max: 7, message_bytes_max: 9 };
        let greeting = said(|out| Sse.greet(&hello, out));
        assert!(greeting.starts_with("retry: 2000\nevent: hello\ndata: {\"op\":\"hello\",\"epoch\":\"e1\""));
        assert!(greeting.ends_with("}\n\n"), "{greeting:?}");
        let fault = Fault::new(FaultCode::TooManyChannels, "a \"few\"\n");
        assert_eq!(
            said(|out| Sse.answer(&RequestId(None), &Outcome::Refused(&fault), out)),
            "event: error\ndata: {\"code\":\"too_many_channels\",\"message\":\"a \\\"few\\\"\\n\"}\n\n"
        );
        assert_eq!(said(|out| Sse.answer(&RequestId(None), &Outcome::Pong { wall_us: 1 }, out)), "");
        let farewell = Farewell { in_ms: 30_000, reconnect_ms: (1000, 9000) };
        assert_eq!(
            said(|out| Sse.farewell(&farewell, out)),
            "data: {\"op\":\"shutdown\",\"in_ms\":30000,\"reconnect_ms\":[1000,9000]}\n\n"
        );
        assert_eq!(
            said(|out| close(1008, "no pong", out)),
            "event: close\ndata: {\"code\":1008,\"reason\":\"no pong\"}\n\n"
        );
    }
}
