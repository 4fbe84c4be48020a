//! Merging against naive readers: what a book, a table of symbols or a chart holds is the same, however records were merged.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::{Merged, merge};
use crate::channel::Merge;

/// What comes out, each payload as text; `=` where a record stays as it is.
fn merged(how: Merge, payloads: &[&str]) -> Vec<(usize, String)> {
    let bytes: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    let text = |payload: Option<Vec<u8>>| {
        payload.map_or_else(|| "=".to_owned(), |text| String::from_utf8(text).unwrap())
    };
    merge(how, &bytes).into_iter().map(|Merged { last, payload }| (last, text(payload))).collect()
}

/// Where the merges end.
fn ends(how: Merge, payloads: &[&str]) -> Vec<usize> {
    merged(how, payloads).into_iter().map(|(last, _)| last).collect()
}

const SPOT: [&str; 3] = [
    r#"{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":10,"u":12,"b":[["1.10","2"],["1.00","0.0"]],"a":[]}"#,
    r#"{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":13,"u":13,"b":[],"a":[["1.20","5.50"]]}"#,
    r#"{"u":20,"s":"BTCUSDT", "E" : 3.0e1 ,"e":"depthUpdate","U":14,"a":[["1.30","1"],["1.20","0"]],"b":[["1.00","7"],["0.9","1"]]}"#,
];

const FUTURES: [&str; 2] = [
    r#"{"e":"depthUpdate","E":1,"T":1,"s":"ETHUSD_PERP","ps":"ETHUSD","U":10,"u":12,"pu":7,"b":[["1","2"]],"a":[]}"#,
    r#"{"e":"depthUpdate","E":2,"T":2,"s":"ETHUSD_PERP","ps":"ETHUSD","U":15,"u":19,"pu":12,"b":[["1","3"]],"a":[["2","0"]]}"#,
];

#[test]
fn diffs_become_one_with_the_levels_of_all_and_the_last_ones_fields() {
    let union = r#"{"u":20,"s":"BTCUSDT","E":3.0e1,"e":"depthUpdate","U":10,"a":[["1.20","0"],["1.30","1"]],"b":[["1.10","2"],["1.00","7"],["0.9","1"]]}"#;
    assert_eq!(merged(Merge::BinanceDepth, &SPOT), [(2, union.to_owned())]);
    let union = r#"{"e":"depthUpdate","E":2,"T":2,"s":"ETHUSD_PERP","ps":"ETHUSD","U":10,"u":19,"pu":7,"b":[["1","3"]],"a":[["2","0"]]}"#;
    assert_eq!(merged(Merge::BinanceDepth, &FUTURES), [(1, union.to_owned())]);
    assert_eq!(merged(Merge::BinanceDepth, &SPOT[..1]), [(0, "=".to_owned())], "nothing to merge");
    assert_eq!(merged(Merge::BinanceDepth, &[]), []);
}

#[test]
fn a_diff_that_does_not_follow_begins_anew() {
    let diff = |symbol: &str, ids: &str| format!(r#"{{"e":"depthUpdate","s":{symbol},{ids},"b":[],"a":[]}}"#);
    let one = diff(r#""A""#, r#""U":1,"u":4"#);
    for (ids, follows) in [
        (r#""U":5,"u":5"#, true),
        (r#""U":6,"u":7"#, false),
        (r#""U":4,"u":7"#, false),
        (r#""U":5,"u":5,"pu":4"#, false),
    ] {
        let next = diff(r#""A""#, ids);
        assert_eq!(ends(Merge::BinanceDepth, &[&one, &next]).len() == 1, follows, "{ids}");
    }
    let future = diff(r#""A""#, r#""U":1,"u":4,"pu":0"#);
    for (ids, follows) in
        [(r#""U":9,"u":9,"pu":4"#, true), (r#""U":5,"u":5,"pu":3"#, false), (r#""U":5,"u":5"#, false)]
    {
        let next = diff(r#""A""#, ids);
        assert_eq!(ends(Merge::BinanceDepth, &[&future, &next]).len() == 1, follows, "{ids}");
    }
    let other = diff(r#""B""#, r#""U":5,"u":5"#);
    assert_eq!(ends(Merge::BinanceDepth, &[&one, &other]), [0, 1], "another symbol");
    let last = diff(r#""A""#, r#""U":1,"u":18446744073709551615"#);
    assert_eq!(ends(Merge::BinanceDepth, &[&last, &one]), [0, 1], "ids end somewhere");
}

#[test]
fn what_is_no_diff_stands_alone() {
    for strange in [
        "",
        "5",
        "[]",
        "{",
        "\u{feff}{}",
        &SPOT[2][..SPOT[2].len() - 1],
        &format!("{}}}", SPOT[2]),
        &SPOT[2].replace("depthUpdate", "bookTicker"),
        &SPOT[2].replace(r#""s":"BTCUSDT","#, ""),
        &SPOT[2].replace(r#""U":14"#, r#""U":14.0"#),
        &SPOT[2].replace(r#""U":14"#, r#""U":14,"U":14"#),
        &SPOT[2].replace(r#""U":14"#, r#""U":-14"#),
        &SPOT[2].replace(r#""U":14"#, r#""U":"14""#),
        &SPOT[2].replace(r#""b":[["1.00","7"]"#, r#""b":[["1.00","7",[]]"#),
        &SPOT[2].replace(r#""b":[["1.00","7"]"#, r#""b":[["1.00"]"#),
        &SPOT[2].replace(r#""b":[["1.00","7"]"#, r#""b":[[1.00,7]"#),
        &SPOT[2].replace("1.30", "1\\u002e30"),
        &SPOT[2].replace("}", r#","a":[]}"#),
        &SPOT[2].replace(r#""a":"#, r#""asks":"#),
    ] {
        assert_ne!(strange, SPOT[2]);
        // Behind it everything goes on as if it had never been: no level of it is left in the merge that follows.
        let met = merged(Merge::BinanceDepth, &[FUTURES[0], FUTURES[1], strange, SPOT[0], SPOT[1]]);
        let clean = merged(Merge::BinanceDepth, &SPOT[..2]).remove(0).1;
        assert_eq!(met.iter().map(|(last, _)| *last).collect::<Vec<_>>(), [1, 2, 4], "{strange}");
        assert_eq!((met[1].1.as_str(), &met[2].1), ("=", &clean), "{strange}");
    }
    let not_text: [&[u8]; 2] = [b"\"\xff\"", SPOT[0].as_bytes()];
    assert_eq!(merge(Merge::BinanceDepth, &not_text).len(), 2);
}

#[test]
fn arrays_keep_each_symbols_newest_element() {
    let union = merged(
        Merge::BinanceArray,
        &[
            r#"[{"s":"A","c":"1.10"},{"s":"B","c":"2"},{"s":"C","c":"0"}]"#,
            "[]",
            r#" [ {"s":"D"} , {"c":"1.20","s":"A" } ]"#,
            r#"[{"s":"C","c":"9"}]"#,
        ],
    );
    let expected = r#"[{"s":"B","c":"2"},{"s":"D"},{"c":"1.20","s":"A" },{"s":"C","c":"9"}]"#;
    assert_eq!(union, [(3, expected.to_owned())]);
    for strange in
        [r#"[{"s":"Z"},{"c":"1"}]"#, r#"{"s":"Z"}"#, r#"[{"s":"Z"},5]"#, r#"[{"s":"Z"}"#, r#"[{"s":5}]"#, ""]
    {
        let met =
            merged(Merge::BinanceArray, &[r#"[{"s":"A"}]"#, strange, r#"[{"s":"B"}]"#, r#"[{"s":"C"}]"#]);
        let expected = [(0, "="), (1, "="), (3, r#"[{"s":"B"},{"s":"C"}]"#)];
        assert_eq!(met, expected.map(|(last, text)| (last, text.to_owned())), "{strange}");
    }
}

#[test]
fn klines_keep_closed_bars_and_the_newest() {
    let (open, closed, strange) =
        (r#"{"e":"kline","k":{"t":1,"x":false}}"#, r#"{"k":{"x":true}}"#, r#"{"k":{}}"#);
    let ends = |payloads: &[&str]| ends(Merge::BinanceKline, payloads);
    assert_eq!(ends(&[open, open, closed, open, open]), [2, 4]);
    assert_eq!(ends(&[closed, closed]), [0, 1]);
    assert_eq!(
        ends(&[open, open, strange, open, open]),
        [1, 2, 4],
        "it replaces nothing, nothing replaces it"
    );
    assert_eq!(ends(&[open]), [0]);
    let all = merged(Merge::BinanceKline, &[open, closed, open, open]);
    assert!(all.iter().all(|(_, text)| text == "="), "a bar is never changed: {all:?}");
}

/// A naive reader's book: what a side holds at each price.
type Book = BTreeMap<(char, String), String>;

fn apply(book: &mut Book, diff: &Value) {
    for side in ['b', 'a'] {
        for level in diff[side.to_string()].as_array().unwrap() {
            let (price, quantity) = (level[0].as_str().unwrap().to_owned(), level[1].as_str().unwrap());
            match quantity.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                true => book.remove(&(side, price)),
                false => book.insert((side, price), quantity.to_owned()),
            };
        }
    }
}

/// What happens next on a channel of diffs.
#[derive(Clone, Debug)]
enum Step {
    Diff { ids: u64, levels: Vec<(bool, u8, u8)> },
    Hole,
    Strange,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let level = (any::<bool>(), 0..12_u8, 0..4_u8);
    let diff =
        (1..5_u64, prop::collection::vec(level, 0..8)).prop_map(|(ids, levels)| Step::Diff { ids, levels });
    let step = prop_oneof![12 => diff, 1 => Just(Step::Hole), 1 => Just(Step::Strange)];
    prop::collection::vec(step, 1..40)
}

/// The payloads of these steps, and which of them follow their predecessor.
fn payloads(steps: &[Step], is_futures: bool) -> Vec<(String, bool)> {
    let (mut last, mut follows, mut out) = (100, false, Vec::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Hole => (last, follows) = (last + 3, false),
            Step::Strange => {
                out.push((
                    format!(r#"{{"e":"depthUpdate","U":{},"b":[["1","9"]],"x":{at}}}"#, last + 1),
                    false,
                ));
                follows = false;
            }
            Step::Diff { ids, levels } => {
                let side = |is_bid: bool| {
                    let own = levels.iter().filter(|(side, ..)| *side == is_bid);
                    own.map(|(_, price, size)| format!(r#"["{price}.00","{size}.0"]"#))
                        .collect::<Vec<_>>()
                        .join(",")
                };
                let (first, previous) =
                    (last + 1, if is_futures { format!(r#","pu":{last}"#) } else { String::new() });
                last += ids;
                let (b, a) = (side(true), side(false));
                let head = format!(r#""e":"depthUpdate","E":{at},"s":"A","U":{first},"u":{last}{previous}"#);
                out.push((format!(r#"{{{head},"b":[{b}],"a":[{a}]}}"#), follows));
                follows = true;
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn merged_diffs_make_the_same_book(steps in steps(), is_futures: bool) {
        let payloads = payloads(&steps, is_futures);
        let bytes: Vec<&[u8]> = payloads.iter().map(|(payload, _)| payload.as_bytes()).collect();
        let value = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap();
        let (mut fast, mut slow, mut from) = (Book::new(), Book::new(), 0);
        for Merged { last, payload } in merge(Merge::BinanceDepth, &bytes) {
            prop_assert!(from <= last && last < bytes.len());
            prop_assert!(!payloads[from].1, "record {} went on, and yet began a merge", from);
            prop_assert!(payloads[from + 1..=last].iter().all(|(_, follows)| *follows));
            prop_assert_eq!(payload.is_some(), last > from);
            let longest = bytes[from..=last].iter().map(|payload| payload.len()).sum::<usize>();
            let one = payload.as_deref().unwrap_or(bytes[last]);
            prop_assert!(one.len() <= longest);
            let (one, first, newest) = (value(one), value(bytes[from]), value(bytes[last]));
            let of = |name: &str| if matches!(name, "U" | "pu") { first[name].clone() } else { newest[name].clone() };
            for (name, value) in one.as_object().unwrap().iter().filter(|(name, _)| !matches!(name.as_str(), "b" | "a")) {
                prop_assert_eq!(value, &of(name));
            }
            if one.get("u").is_some() {
                bytes[from..=last].iter().for_each(|payload| apply(&mut fast, &value(payload)));
                apply(&mut slow, &one);
                prop_assert_eq!(&fast, &slow);
            }
            from = last + 1;
        }
        prop_assert_eq!(from, bytes.len());
    }

    #[test]
    fn merged_arrays_make_the_same_table(arrays in prop::collection::vec(prop::collection::vec((0..6_u8, any::<u8>()), 0..5), 1..20)) {
        let element = |(symbol, value): &(u8, u8)| format!(r#"{{"v":{value},"s":"S{symbol}"}}"#);
        let text = |array: &Vec<(u8, u8)>| format!("[{}]", array.iter().map(element).collect::<Vec<_>>().join(","));
        let texts: Vec<String> = arrays.iter().map(text).collect();
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let merged = merge(Merge::BinanceArray, &bytes);
        prop_assert_eq!(merged.len(), 1);
        let all: BTreeMap<u8, u8> = arrays.iter().flatten().copied().collect();
        let one = merged[0].payload.as_deref().unwrap_or(bytes[0]);
        prop_assert!(one.len() <= bytes.iter().map(|payload| payload.len()).sum());
        let one: Vec<Value> = serde_json::from_slice(one).unwrap();
        let table: Vec<_> = one.iter().map(|element| (element["s"].as_str().unwrap().to_owned(), element["v"].as_u64())).collect();
        let expected: BTreeMap<_, _> = all.iter().map(|(symbol, value)| (format!("S{symbol}"), Some(u64::from(*value)))).collect();
        if bytes.len() > 1 {
            prop_assert_eq!(table.len(), expected.len(), "one element a symbol");
        }
        prop_assert_eq!(table.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}
