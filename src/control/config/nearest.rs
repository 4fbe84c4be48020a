//! What somebody meant who wrote a key or a word that there is not.
//!
//! Pure. Invariant: nothing is suggested that shares only its length with what was written.

use strsim::osa_distance;

/// A section that has nothing to do with the one that was written: the right key in the wrong place.
const ELSEWHERE: usize = 3;

/// A name that holds the one that was written, or is held by it.
const PART: usize = 2;

/// More than these at the same distance are no help.
const SUGGESTIONS_MAX: usize = 3;

/// Names that fit into one another by chance are shorter than this.
const PART_CHARS_MIN: usize = 4;

/// The nearest of the words, where one is nearer than all others.
pub(super) fn word<'a>(wrong: &str, words: &[&'a str]) -> Option<&'a str> {
    let cost = |right: &'a str| Some((distance(&plain(wrong), &plain(right))?, right));
    let mut near: Vec<_> = words.iter().filter_map(|right| cost(right)).collect();
    near.sort_by_key(|(cost, _)| *cost);
    match near.as_slice() {
        [(one, _), (other, _), ..] if one == other => None,
        near => near.first().map(|(_, right)| *right),
    }
}

/// The nearest keys, all equally near: a slip in the section, in the name, or the right name in another section.
pub(super) fn keys<'a>(wrong: &str, keys: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wrong = plain(wrong);
    let near = keys.into_iter().filter_map(|right| Some((key_cost(&wrong, right)?, right)));
    let near: Vec<_> = near.collect();
    let least = near.iter().map(|(cost, _)| *cost).min();
    let nearest: Vec<_> =
        near.into_iter().filter(|(cost, _)| Some(*cost) == least).map(|(_, right)| right).collect();
    if nearest.len() > SUGGESTIONS_MAX { Vec::new() } else { nearest }
}

/// As it would be written: keys have neither capitals nor hyphens.
fn plain(wrong: &str) -> String {
    wrong.to_lowercase().replace('-', "_")
}

fn key_cost(wrong: &str, right: &str) -> Option<usize> {
    if right.replace('.', "_") == wrong {
        return Some(0);
    }
    let (wrong_section, wrong_name) = wrong.rsplit_once('.').unwrap_or(("", wrong));
    let (right_section, right_name) = right.rsplit_once('.').unwrap_or(("", right));
    let section = match (wrong_section, right_section) {
        (wrong, right) if wrong == right => 0,
        // Left out, or put above the first section.
        ("", _) | (_, "") => 1,
        (wrong, right) => distance(wrong, right).unwrap_or(ELSEWHERE),
    };
    Some(section + distance(wrong_name, right_name)?)
}

/// How far a name is from another one, where it is near.
fn distance(wrong: &str, right: &str) -> Option<usize> {
    let slips = osa_distance(wrong, right);
    let slips_max = 1.max(wrong.chars().count() / 3);
    let shorter = wrong.chars().count().min(right.chars().count());
    let is_part = shorter >= PART_CHARS_MIN && (wrong.contains(right) || right.contains(wrong));
    if slips <= slips_max { Some(slips) } else { is_part.then_some(PART) }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn or(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 12] = [
        "shards",
        "ingest.listen",
        "ingest.connections_max",
        "feed.stale_after",
        "ring.bytes",
        "ring.channels_max",
        "subscribers.listen",
        "limits.connections",
        "limits.channels",
        "limits.message_bytes",
        "outbox.bytes_max",
        "admin.listen",
    ];

    #[test]
    fn slips_and_wrong_places_are_seen_through() {
        for (wrong, right) in [
            ("limits.conections", &["limits.connections"][..]),
            ("limit.connections", &["limits.connections"]),
            ("limits.bytes_max", &["outbox.bytes_max"]),
            ("bytes_max", &["outbox.bytes_max"]),
            ("shard", &["shards"]),
            ("ring.shards", &["shards"]),
            ("rings.byte", &["ring.bytes"]),
            ("ring.channels", &["ring.channels_max"]),
            ("feed.stale", &["feed.stale_after"]),
            ("Ring.Channels-Max", &["ring.channels_max"]),
            ("limits_channels", &["limits.channels"]),
            ("listen", &["ingest.listen", "subscribers.listen", "admin.listen"]),
            ("subscriber.listen", &["subscribers.listen"]),
            ("kafka.brokers", &[]),
            ("ring.x", &[]),
        ] {
            assert_eq!(keys(wrong, KEYS), right, "{wrong}");
        }
    }

    #[test]
    fn words_that_are_far_are_not_meant() {
        assert_eq!(word("lates", &["every", "latest"]), Some("latest"));
        assert_eq!(word("Every", &["every", "latest"]), Some("every"));
        assert_eq!(word("binance", &["binance-depth"]), Some("binance-depth"));
        assert_eq!(word("binance_depth", &["binance-depth"]), Some("binance-depth"));
        assert_eq!(word("newest", &["close", "skip"]), None);
        assert_eq!(word("binance", &["binance-depth", "binance-kline"]), None, "both are as near");
    }

    #[test]
    fn names_are_joined_as_in_a_sentence() {
        assert_eq!((or(&["a"]), or(&["a", "b"])), ("a".to_owned(), "a or b".to_owned()));
        assert_eq!(or(&["a", "b", "c"]), "a, b or c");
    }
}
