//! What holds for every dialect, whatever a client sends: no panic, and an answer that is JSON with the id as it came.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::value::RawValue;

use super::*;

const GOOD: &[&str] = &[
    r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","币安@depth@100ms"],"id":1}"#,
    r#"{"method":"SET_PROPERTY","params":["combined",true],"id":"0d6c3f5e-7a3c-4a3b-9f6e-1b2c3d4e5f60"}"#,
    r#"{"id":-9223372036854775808,"method":"LIST_SUBSCRIPTIONS"}"#,
    r#"{"op":"subscribe","id":1,"channels":["btcusdt@ticker"],"snapshot":false,"every_ms":0}"#,
    r#"{"op":"unsubscribe","id":"a\u0000\ud83d\ude00","channels":["btcusdt@ticker"]}"#,
    r#"{"op":"ping","id":123456789012345678901234567890}"#,
];

/// Reads a message with every dialect; what is refused is answered.
fn read_and_refuse(message: &[u8]) {
    for dialect in ALL {
        let Err(Rejected { id, fault }) = dialect.read(message) else { continue };
        assert!(fault.text.len() <= Fault::TEXT_BYTES_MAX);
        let mut out = Vec::new();
        dialect.answer(&id, &Outcome::Refused(&fault), &mut out);
        // Raw values: an id may be an integer that no number type holds.
        let answer: HashMap<&str, &RawValue> = serde_json::from_slice(&out).expect("an answer is JSON");
        assert!(answer.contains_key("error") || answer["op"].get() == "\"error\"", "{answer:?}");
    }
}

/// How every dialect refuses a message.
fn codes(message: &str) -> Vec<Option<FaultCode>> {
    ALL.iter().map(|dialect| dialect.read(message.as_bytes()).err().map(|it| it.fault.code)).collect()
}

#[test]
fn a_message_cut_anywhere_is_not_json() {
    for message in
        GOOD.iter().flat_map(|message| (0..message.len()).map(move |end| &message.as_bytes()[..end]))
    {
        for dialect in ALL {
            let code = dialect.read(message).unwrap_err().fault.code;
            assert_eq!(code, FaultCode::InvalidJson, "{}", String::from_utf8_lossy(message));
        }
    }
}

#[test]
fn depth_numbers_doubles_and_surrogates_are_answered() {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let digits = "9".repeat(60_000);
    for value in [deep.as_str(), &closed, &digits, "1e999999999", "-0.0", r#""\ud800""#, "{\"\":{}}"] {
        for key in ["id", "method", "op", "params", "channels", "snapshot", "every_ms", "resume", "other"] {
            read_and_refuse(format!(r#"{{"{key}":{value}}}"#).as_bytes());
            read_and_refuse(format!(r#"{{"op":"subscribe","{key}":{value},"channels":[]}}"#).as_bytes());
            read_and_refuse(format!(r#"{{"method":"SUBSCRIBE","{key}":{value},"id":1}}"#).as_bytes());
        }
        read_and_refuse(value.as_bytes());
    }
    assert_eq!(
        codes(&format!(r#"{{"op":"list","method":"LIST_SUBSCRIPTIONS","id":1,"x":{closed}}}"#)),
        [None; 2]
    );
    assert_eq!(codes(r#"{"op":"list","op":"list","id":1}"#)[0], Some(FaultCode::InvalidRequest));
}

#[test]
fn a_text_of_a_client_is_cut_at_a_character() {
    let message = format!(r#"{{"op":"{}"}}"#, "€".repeat(20_000));
    let text = native::Native.read(message.as_bytes()).unwrap_err().fault.text;
    assert!(text.len() > Fault::TEXT_BYTES_MAX - 4 && text.len() <= Fault::TEXT_BYTES_MAX, "{}", text.len());
}

#[test]
fn each_path_belongs_to_one_dialect_at_most() {
    for path in
        ["/ws", "/ws/", "/ws/0", "/ws/a@b", "/stream", "/v1/ws", "/", "", "/wsx", "/v1/ws/", "/streams"]
    {
        let names: Vec<_> =
            ALL.iter().filter(|dialect| dialect.open(path, None).is_some()).map(|it| it.name()).collect();
        assert!(names.len() <= 1, "{path}: {names:?}");
    }
}

fn value() -> impl Strategy<Value = String> {
    select(vec![
        "1",
        "-7",
        "null",
        "true",
        "1.5",
        "9223372036854775808",
        "\"abc-1\"",
        "\"a b\"",
        "[]",
        "[\"combined\"]",
        "[\"combined\",false]",
        "[\"btcusdt@trade\",\"x\"]",
        "[1]",
        "{}",
        "\"SUBSCRIBE\"",
        "\"GET_PROPERTY\"",
        "\"subscribe\"",
        "\"list\"",
    ])
    .prop_map(str::to_owned)
}

#[test]
fn the_protocols_document_tells_each_code_of_the_native_dialect() {
    let document = include_str!("../../docs/protocol.md");
    for code in FaultCode::ALL {
        let is_binances = matches!(code, FaultCode::UnknownProperty | FaultCode::InvalidValue);
        let row = format!("\n| `{}` |", code.label());
        assert_eq!(document.contains(&row), !is_binances, "{row}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(message in vec(any::<u8>(), 0..200)) {
        read_and_refuse(&message);
    }

    #[test]
    fn good_messages_with_wrong_bytes_are_answered(
        message in select(GOOD),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut message = message.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(message.len());
            message[place] = byte;
        }
        read_and_refuse(&message);
    }

    #[test]
    fn objects_of_known_keys_are_answered(
        pairs in vec((select(vec!["id", "method", "op", "params", "channels", "every_ms"]), value()), 0..5),
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        read_and_refuse(format!("{{{}}}", pairs.join(",")).as_bytes());
    }

    #[test]
    fn an_id_is_echoed_byte_for_byte(number in any::<i64>(), word in "[0-9A-Za-z-]{0,36}") {
        for id in [number.to_string(), format!("\"{word}\"")] {
            let message = format!(r#"{{ "op":"list", "method":"LIST_SUBSCRIPTIONS", "id" : {id} }}"#);
            for dialect in ALL {
                let request = dialect.read(message.as_bytes()).unwrap();
                prop_assert_eq!(request.id.0.as_deref(), Some(id.as_str()));
                let mut out = Vec::new();
                dialect.answer(&request.id, &Outcome::Listed(&[]), &mut out);
                let echoed = format!("\"id\":{id}");
                prop_assert!(String::from_utf8(out).unwrap().contains(&echoed));
            }
        }
    }

    #[test]
    fn any_query_opens_or_is_refused(query in "[a-z@/,&=%0-9$.*+é]{0,60}") {
        let queries = [query.clone(), format!("streams={query}"), format!("channels={query}")];
        for (dialect, path) in ALL.iter().flat_map(|it| ["/ws/", "/stream", "/v1/ws"].map(|path| (it, path))) {
            for query in &queries {
                let _ = dialect.open(path, Some(query));
                let _ = dialect.open(&format!("{path}{query}"), None);
            }
        }
    }
}
