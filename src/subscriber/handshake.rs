//! The WebSocket handshake, strict RFC 6455, 4.2.1: what `fastwebsockets::upgrade::upgrade` does not look at.
//!
//! Pure; the front's thread, before it upgrades. Must not answer or read a body. Invariant: what is accepted here is a
//! GET without a body that every proxy on the way would read as an upgrade to WebSocket 13.

use hyper::header::{
    AsHeaderName, CONNECTION, CONTENT_LENGTH, HeaderMap, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, StatusCode, Version};

/// Why a handshake is refused. The answer carries [`Refusal::status`], [`Refusal::headers`], [`Refusal::text`] as its
/// body, and `Connection: close`: a proxy that took the request for an upgrade may go on as a tunnel, and must not find
/// a second request's answer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a GET.
    Method,
    /// Not HTTP/1.1.
    HttpVersion,
    /// A body, which could hide a second request.
    Body,
    /// No `Upgrade` at all: somebody came by plain HTTP.
    NotAnUpgrade,
    /// `websocket` does not stand in `Upgrade` exactly once.
    Upgrade,
    /// `upgrade` does not stand in `Connection` exactly once.
    Connection,
    /// Not one `Sec-WebSocket-Version` of 13.
    WebSocketVersion,
    /// Not one `Sec-WebSocket-Key` of 16 bytes in base64.
    Key,
}

impl Refusal {
    /// Status of the answer: 400, 405 or 426.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAnUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion | Self::Body | Self::Upgrade | Self::Connection | Self::Key => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// Headers that the status demands (RFC 9110, 15.5.6 and 15.5.22; RFC 6455, 4.4).
    #[must_use]
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => &[("allow", "GET")],
            StatusCode::UPGRADE_REQUIRED => &[("upgrade", "websocket"), ("sec-websocket-version", "13")],
            _ => &[],
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket handshake is a GET",
            Self::HttpVersion => "a WebSocket handshake is HTTP/1.1",
            Self::Body => "a WebSocket handshake has no body",
            Self::NotAnUpgrade => "this path speaks WebSocket only",
            Self::Upgrade => "'websocket' must stand in Upgrade exactly once",
            Self::Connection => "'Upgrade' must stand in Connection exactly once",
            Self::WebSocketVersion => "exactly one Sec-WebSocket-Version is needed, and only 13 is spoken",
            Self::Key => "exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed",
        }
    }
}

/// Checks the head of a request that came to a WebSocket path.
///
/// # Errors
/// The first thing found wrong.
pub fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let rules = [
        (method == Method::GET, Refusal::Method),
        (version == Version::HTTP_11, Refusal::HttpVersion),
        (!has_body(headers), Refusal::Body),
        (headers.contains_key(UPGRADE), Refusal::NotAnUpgrade),
        (count_token(headers, UPGRADE, b"websocket") == 1, Refusal::Upgrade),
        (count_token(headers, CONNECTION, b"upgrade") == 1, Refusal::Connection),
        (only(headers, SEC_WEBSOCKET_VERSION) == Some(b"13"), Refusal::WebSocketVersion),
        (only(headers, SEC_WEBSOCKET_KEY).is_some_and(is_key), Refusal::Key),
    ];
    rules.into_iter().find(|(is_kept, _)| !is_kept).map_or(Ok(()), |(_, refusal)| Err(refusal))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

/// How often a token stands in a list that may be spread over several lines.
fn count_token(headers: &HeaderMap, name: impl AsHeaderName, token: &[u8]) -> usize {
    let lines = headers.get_all(name).into_iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.filter(|found| found.trim_ascii().eq_ignore_ascii_case(token)).count()
}

/// The value of a header that stands there once.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes().trim_ascii())
}

/// Whether this is base64 of 16 bytes: 22 digits and the padding. Spare bits of the last digit are not looked at.
fn is_key(value: &[u8]) -> bool {
    let Some(digits) = value.strip_suffix(b"==") else { return false };
    digits.len() == 22
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("host", "example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn head(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let parse = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(parse) {
            headers.append(name, value);
        }
        headers
    }

    fn check_head(lines: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        check(&Method::GET, Version::HTTP_11, &head(lines))
    }

    /// The good request with these lines in place of those of the same name.
    fn with(lines: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let others = GOOD.into_iter().filter(|(name, _)| lines.iter().all(|(other, _)| other != name));
        check_head(&others.chain(lines.iter().copied()).collect::<Vec<_>>())
    }

    fn without(name: &str) -> Result<(), Refusal> {
        check_head(&GOOD.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>())
    }

    #[test]
    fn what_real_clients_send_is_accepted() {
        assert_eq!(check_head(&GOOD), Ok(()));
        assert_eq!(with(&[("upgrade", "WebSocket")]), Ok(()));
        assert_eq!(with(&[("connection", "keep-alive, Upgrade")]), Ok(()), "Firefox");
        assert_eq!(with(&[("connection", "keep-alive"), ("connection", "upgrade")]), Ok(()));
        assert_eq!(with(&[("content-length", "0")]), Ok(()));
        let extensions = "permessage-deflate; client_max_window_bits, a; b=\"\\c\\c";
        assert_eq!(with(&[("sec-websocket-extensions", extensions)]), Ok(()));
    }

    #[test]
    fn another_method_or_version_is_refused() {
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
            assert_eq!(check(&method, Version::HTTP_11, &head(&GOOD)), Err(Refusal::Method));
        }
        for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_2] {
            assert_eq!(check(&Method::GET, version, &head(&GOOD)), Err(Refusal::HttpVersion));
        }
    }

    #[test]
    fn upgrade_and_connection_stand_there_exactly_once() {
        assert_eq!(without("upgrade"), Err(Refusal::NotAnUpgrade));
        assert_eq!(without("connection"), Err(Refusal::Connection));
        for upgrade in ["h2c", "", "websockets", "websocket/13", "websocket, websocket"] {
            assert_eq!(with(&[("upgrade", upgrade)]), Err(Refusal::Upgrade), "{upgrade}");
        }
        assert_eq!(with(&[("upgrade", "websocket"), ("upgrade", "websocket")]), Err(Refusal::Upgrade));
        for connection in ["close", "keep-alive", "", "Upgrade, upgrade", "upgrade;q=1"] {
            assert_eq!(with(&[("connection", connection)]), Err(Refusal::Connection), "{connection}");
        }
    }

    #[test]
    fn only_version_13_is_spoken() {
        assert_eq!(without("sec-websocket-version"), Err(Refusal::WebSocketVersion));
        for version in ["7", "8", "12", "14", "", "13, 8", "+13", "013"] {
            assert_eq!(
                with(&[("sec-websocket-version", version)]),
                Err(Refusal::WebSocketVersion),
                "{version}"
            );
        }
        let twice = [("sec-websocket-version", "13"), ("sec-websocket-version", "13")];
        assert_eq!(with(&twice), Err(Refusal::WebSocketVersion));
    }

    #[test]
    fn a_key_is_sixteen_bytes() {
        assert_eq!(without("sec-websocket-key"), Err(Refusal::Key));
        for key in [
            "",
            "AAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAA-==",
            "AAAAAAAAAAAAAAAAAAAAAAAA==",
        ] {
            assert_eq!(with(&[("sec-websocket-key", key)]), Err(Refusal::Key), "{key}");
        }
        let twice = [("sec-websocket-key", GOOD[4].1), ("sec-websocket-key", GOOD[4].1)];
        assert_eq!(with(&twice), Err(Refusal::Key));
    }

    #[test]
    fn a_body_is_refused() {
        for lines in [
            [("content-length", "5")],
            [("content-length", "00")],
            [("content-length", "+0")],
            [("transfer-encoding", "chunked")],
            [("transfer-encoding", "identity")],
        ] {
            assert_eq!(with(&lines), Err(Refusal::Body), "{lines:?}");
        }
        assert_eq!(with(&[("content-length", "0"), ("content-length", "5")]), Err(Refusal::Body));
    }

    #[test]
    fn answers_carry_what_their_status_demands() {
        assert_eq!(Refusal::WebSocketVersion.status(), 426);
        assert!(Refusal::WebSocketVersion.headers().contains(&("sec-websocket-version", "13")));
        assert_eq!(Refusal::NotAnUpgrade.headers(), Refusal::WebSocketVersion.headers());
        assert_eq!(
            (Refusal::Method.status().as_u16(), Refusal::Method.headers()),
            (405, &[("allow", "GET")][..])
        );
        assert_eq!((Refusal::Body.status().as_u16(), Refusal::Body.headers()), (400, &[][..]));
    }
}
