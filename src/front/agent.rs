//! What a client calls itself, made safe to keep and to show.
//!
//! Pure; the front's thread. Invariant: the text is short and holds no control character, whatever was sent.

use hyper::header::{HeaderMap, USER_AGENT};

use crate::shard::mailbox::AGENT_BYTES_MAX;

/// The first `User-Agent`, escaped and cut at [`AGENT_BYTES_MAX`]; `None`: there is none, or an empty one.
pub(super) fn agent(headers: &HeaderMap) -> Option<Box<str>> {
    let said = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    let mut agent = String::with_capacity(said.len().min(AGENT_BYTES_MAX));
    for character in said.chars() {
        let start = agent.len();
        if character.is_control() {
            agent.extend(character.escape_unicode());
        } else {
            agent.push(character);
        }
        if agent.len() > AGENT_BYTES_MAX {
            agent.truncate(start);
            break;
        }
    }
    (!agent.is_empty()).then(|| agent.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(bytes: &[u8]) -> Option<Box<str>> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_bytes(bytes).unwrap());
        agent(&headers)
    }

    #[test]
    fn what_clients_call_themselves_is_kept_as_it_is() {
        assert_eq!(of(b"python/3.13 websockets/15.0").as_deref(), Some("python/3.13 websockets/15.0"));
        assert_eq!((of(b""), agent(&HeaderMap::new())), (None, None));
    }

    #[test]
    fn no_control_character_and_no_long_text_comes_through() {
        assert_eq!(of("a\tb\u{9b}c".as_bytes()).as_deref(), Some("a\\u{9}b\\u{9b}c"));
        assert_eq!(of(b"\xff").as_deref(), Some("\u{fffd}"));
        assert_eq!(of(&[b'x'; 1000]).unwrap().len(), AGENT_BYTES_MAX);
        let euros = of("\u{20ac}".repeat(100).as_bytes()).unwrap();
        assert_eq!(euros.len(), AGENT_BYTES_MAX / 3 * 3, "a character is not cut");
    }
}
