//! Rules of delivery as they are written: `[{ kind = "ticker*", delivery = "latest" }]`, or one word for every kind.
//!
//! Pure. Invariant: every fault of every rule is found, each with its place in the list.

use toml::{Table, Value};

use super::{nearest, value};
use crate::channel::{Delivery, DeliveryRules, Merge, OnSlow, Rule};

const KEYS: [&str; 4] = ["kind", "delivery", "merge", "slow"];
const DELIVERIES: [(&str, Delivery); 2] = [("every", Delivery::Every), ("latest", Delivery::Latest)];
const MERGES: [(&str, Merge); 3] = [
    ("binance-depth", Merge::BinanceDepth),
    ("binance-array", Merge::BinanceArray),
    ("binance-kline", Merge::BinanceKline),
];
const SLOW: [(&str, OnSlow); 2] = [("gap", OnSlow::Gap), ("close", OnSlow::Close)];

/// What is wrong with rules.
#[derive(Debug)]
pub(super) struct Fault {
    /// The rule's place in the list, from 0, and its key; no key where the whole rule is meant.
    pub(super) place: Option<(usize, String)>,
    pub(super) text: String,
}

/// A rule as it is written.
pub(super) fn write(kind: &str, rule: Rule) -> Table {
    let mut table = Table::new();
    let mut put = |key: &str, word: Option<&str>| {
        if let Some(word) = word {
            table.insert(key.to_owned(), word.into());
        }
    };
    put("kind", Some(kind));
    match rule.delivery {
        Delivery::Merge(merge) => put("merge", word_of(&MERGES, merge)),
        delivery => put("delivery", word_of(&DELIVERIES, delivery)),
    }
    if rule.on_slow != OnSlow::Gap {
        put("slow", word_of(&SLOW, rule.on_slow));
    }
    table
}

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], meant: T) -> Option<&'static str> {
    words.iter().find(|(_, meaning)| *meaning == meant).map(|(word, _)| *word)
}

/// The rules, or all that is wrong with them.
pub(super) fn read(written: &Value) -> Result<DeliveryRules, Vec<Fault>> {
    let rules = match written {
        Value::String(word) => {
            let meant = DELIVERIES.iter().find(|(known, _)| known == word);
            return meant.map(|(_, delivery)| DeliveryRules::all(*delivery)).ok_or_else(|| no_rules(written));
        }
        Value::Array(rules) => rules,
        _ => return Err(no_rules(written)),
    };
    let mut faults = Vec::new();
    let read: Vec<_> =
        rules.iter().enumerate().filter_map(|(at, rule)| read_rule(at, rule, &mut faults)).collect();
    if faults.is_empty() { Ok(DeliveryRules::new(read)) } else { Err(faults) }
}

fn no_rules(written: &Value) -> Vec<Fault> {
    let near = written.as_str().and_then(|word| nearest::word(word, &["every", "latest"]));
    let near = near.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
    let text = format!(
        r#"{} cannot be; write "every", "latest", or rules as [{{ kind = "ticker*", delivery = "latest" }}]{near}"#,
        value::shown(written)
    );
    vec![Fault { place: None, text }]
}

fn read_rule(at: usize, written: &Value, faults: &mut Vec<Fault>) -> Option<(Box<str>, Rule)> {
    let Value::Table(table) = written else {
        let text = format!(
            r#"{} is no rule; write {{ kind = "ticker*", delivery = "latest" }}"#,
            value::shown(written)
        );
        faults.push(Fault { place: Some((at, String::new())), text });
        return None;
    };
    let mut one = OneRule { at, table, faults };
    let before = one.faults.len();
    one.unknown_keys();
    let kind = one.kind();
    let delivery = one.word("delivery", &DELIVERIES);
    let merge = one.word("merge", &MERGES);
    let slow = one.word("slow", &SLOW);
    if one.faults.len() > before {
        return None;
    }
    match resolve(delivery, merge, slow) {
        Ok(rule) => Some((kind?, rule)),
        Err(why) => {
            one.fault("", why);
            None
        }
    }
}

/// What the parts say together, or which of them to leave out.
fn resolve(
    delivery: Option<Delivery>,
    merge: Option<Merge>,
    slow: Option<OnSlow>,
) -> Result<Rule, &'static str> {
    let delivery = match (delivery, merge) {
        (None, None) => {
            return Err(
                r#"a rule needs `delivery` or `merge`; write delivery = "every" or delivery = "latest", or a `merge`"#,
            );
        }
        (Some(Delivery::Latest), Some(_)) => {
            return Err(
                r#"delivery = "latest" leaves out what `merge` would keep; write `merge` without `delivery`"#,
            );
        }
        (Some(Delivery::Latest), None) if slow.is_some() => {
            return Err(
                r#"with delivery = "latest" no queue grows; leave `slow` out, or write delivery = "every""#,
            );
        }
        (_, Some(merge)) => Delivery::Merge(merge),
        (Some(delivery), None) => delivery,
    };
    Ok(Rule { delivery, on_slow: slow.unwrap_or(OnSlow::Gap) })
}

/// One rule as it is read, with where its faults go.
struct OneRule<'a> {
    at: usize,
    table: &'a Table,
    faults: &'a mut Vec<Fault>,
}

impl OneRule<'_> {
    /// Notes a fault under the name that the rule's reader knows it by.
    fn fault(&mut self, key: &str, text: &str) {
        let name = match self.table.get("kind") {
            Some(Value::String(kind)) if key != "kind" => format!("{kind:?}"),
            _ => format!("rule {}", self.at + 1),
        };
        let text = format!("{name}: {text}");
        self.faults.push(Fault { place: Some((self.at, key.to_owned())), text });
    }

    fn unknown_keys(&mut self) {
        let table = self.table;
        for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let near = nearest::word(key, &KEYS);
            let near = near.map_or_else(
                || "a rule has kind, delivery, merge and slow".to_owned(),
                |key| format!("did you mean {key}?"),
            );
            self.fault(key, &format!("{key:?} is no key of a rule; {near}"));
        }
    }

    fn kind(&mut self) -> Option<Box<str>> {
        match self.table.get("kind") {
            None => self.fault("", r#"a rule needs `kind`; write kind = "*" for every kind"#),
            Some(Value::String(kind)) if is_kind_pattern(kind) => return Some(kind.as_str().into()),
            Some(other) => {
                let text = format!(
                    "kind = {} cannot be; write a kind; '*' only at its end (any run of characters), '#' only at its \
                     end (digits)",
                    value::shown(other)
                );
                self.fault("kind", &text);
            }
        }
        None
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let written = self.table.get(key)?;
        let found = words.iter().find(|(word, _)| written.as_str() == Some(*word));
        if found.is_none() {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(key, &format!("{key} = {}", value::not_a_word(written, &words)));
        }
        found.map(|(_, meaning)| *meaning)
    }
}

fn is_kind_pattern(text: &str) -> bool {
    let stem = text.strip_suffix(['*', '#']).unwrap_or(text);
    !text.is_empty() && !stem.contains(['*', '#', '@', '"', '\\', '>']) && !stem.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<DeliveryRules, String> {
        read(&text.parse::<Value>().unwrap())
            .map_err(|faults| faults.into_iter().map(|fault| fault.text).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn rules_say_how_to_merge_and_what_becomes_of_the_slow() {
        let depth = Delivery::Merge(Merge::BinanceDepth);
        for (written, delivery, on_slow) in [
            (r#"merge = "binance-depth""#, depth, OnSlow::Gap),
            (r#"delivery = "every", merge = "binance-depth", slow = "gap""#, depth, OnSlow::Gap),
            (
                r#"merge = "binance-array", slow = "close""#,
                Delivery::Merge(Merge::BinanceArray),
                OnSlow::Close,
            ),
            (r#"merge = "binance-kline""#, Delivery::Merge(Merge::BinanceKline), OnSlow::Gap),
            (r#"delivery = "every", slow = "close""#, Delivery::Every, OnSlow::Close),
        ] {
            let rules = rules(&format!(r#"[{{ kind = "depth", {written} }}]"#)).unwrap();
            assert_eq!(rules.rule("depth@100ms"), Rule { delivery, on_slow }, "{written}");
            let again = write("depth", rules.rule("depth"));
            assert_eq!(read(&Value::Array(vec![again.into()])).unwrap(), rules, "{written}");
        }
        for (written, part) in [
            (
                r#"merge = "binance-dept""#,
                "\"depth\": merge = \"binance-dept\" cannot be; write \"binance-depth\", \"binance-array\" or \
                 \"binance-kline\"; did you mean \"binance-depth\"?",
            ),
            (r#"delivery = "every", slow = "drop""#, "slow = \"drop\" cannot be; write \"gap\" or \"close\""),
            (
                r#"delivery = "latest", merge = "binance-kline""#,
                "\"depth\": delivery = \"latest\" leaves out what `merge` would keep; write `merge` without",
            ),
            (r#"delivery = "latest", slow = "close""#, "leave `slow` out"),
            (r#"slow = "close""#, "a rule needs `delivery` or `merge`"),
        ] {
            let said = rules(&format!(r#"[{{ kind = "depth", {written} }}]"#)).unwrap_err();
            assert!(said.contains(part), "{written}: {said}");
        }
    }

    #[test]
    fn deliveries_are_one_word_or_rules() {
        assert_eq!(rules(r#""latest""#).unwrap(), DeliveryRules::all(Delivery::Latest));
        let two = rules(r#"[{ kind = "ticker*", delivery = "latest" }, { kind = "*", delivery = "every" }]"#);
        let expected = DeliveryRules::new([
            ("ticker*".into(), Rule::new(Delivery::Latest)),
            ("*".into(), Rule::new(Delivery::Every)),
        ]);
        assert_eq!(two.unwrap(), expected);
        for (text, part) in [
            (r#""lates""#, r#""every", "latest", or rules"#),
            (r#""lates""#, r#"did you mean "latest"?"#),
            ("5", r#"5 cannot be; write "every", "latest", or rules"#),
            ("[5]", "5 is no rule; write { kind = \"ticker*\""),
            (r#"[{ kind = "a*b", delivery = "latest" }]"#, "'*' only at its end"),
            (r#"[{ kind = "", delivery = "latest" }]"#, "'*' only at its end"),
            (r#"[{ kind = "a", delivery = "latst" }]"#, "\"a\": delivery = \"latst\" cannot be"),
            (
                r#"[{ kind = "a", delivry = "latest" }]"#,
                "\"delivry\" is no key of a rule; did you mean deliv",
            ),
            (r#"[{ kind = "a", x = 1 }]"#, "a rule has kind, delivery, merge and slow"),
            (r#"[{ kind = "a" }]"#, "\"a\": a rule needs `delivery` or `merge`"),
            (r#"[{ delivery = "latest" }]"#, "rule 1: a rule needs `kind`"),
        ] {
            let said = rules(text).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn every_fault_of_every_rule_is_told_with_its_place() {
        let text = r#"[{ kind = "a", delivery = "latst", slow = "x" }, { kind = "b", delivery = "every" }, { dlivery = 1 }]"#;
        let faults = read(&text.parse::<Value>().unwrap()).unwrap_err();
        let places: Vec<_> = faults.into_iter().filter_map(|fault| fault.place).collect();
        let expected = [(0, "delivery"), (0, "slow"), (2, "dlivery"), (2, "")];
        assert_eq!(places, expected.map(|(at, key)| (at, key.to_owned())));
    }
}
