//! Requests in the words of each dialect.
//!
//! Pure. Invariant: what is asked for is said whole, with its id.

use crate::client::{Command, PATTERNS, Tongue};
use crate::market::Market;

/// The text of a request.
pub(crate) fn spell(tongue: Tongue, command: &Command, id: u64, market: &Market) -> String {
    let names = |places: &[usize], patterns: &[usize]| {
        let names = places.iter().map(|&place| market.channels[place].name.as_str());
        let all = names.chain(patterns.iter().map(|&pattern| PATTERNS[pattern]));
        all.map(|name| format!(r#""{name}""#)).collect::<Vec<_>>().join(",")
    };
    let is_native = tongue == Tongue::Native;
    match command {
        Command::Subscribe(ask) if is_native => {
            let mut text = format!(
                r#"{{"op":"subscribe","id":{id},"channels":[{}],"snapshot":{}"#,
                names(&ask.places, &ask.patterns),
                ask.snapshot
            );
            if ask.every_ms > 0 {
                text += &format!(r#","every_ms":{}"#, ask.every_ms);
            }
            if let Some((is_ours, places)) = &ask.resume {
                let epoch = if *is_ours { crate::world::EPOCH } else { "another" };
                let sequences = places.iter();
                let sequences: Vec<_> = sequences
                    .map(|(place, last)| format!(r#""{}":{last}"#, market.channels[*place].name.as_str()))
                    .collect();
                text += &format!(r#","resume":{{"epoch":"{epoch}","seq":{{{}}}}}"#, sequences.join(","));
            }
            text + "}"
        }
        Command::Subscribe(ask) => {
            format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":{id}}}"#, names(&ask.places, &[]))
        }
        Command::Unsubscribe { places, patterns } if is_native => {
            format!(r#"{{"op":"unsubscribe","id":{id},"channels":[{}]}}"#, names(places, patterns))
        }
        Command::Unsubscribe { places, .. } => {
            format!(r#"{{"method":"UNSUBSCRIBE","params":[{}],"id":{id}}}"#, names(places, &[]))
        }
        Command::List if is_native => format!(r#"{{"op":"list","id":{id}}}"#),
        Command::List => format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#),
        Command::Ping => format!(r#"{{"op":"ping","id":{id}}}"#),
        Command::Bad(_) => format!(r#"{{"op":"subscribe","id":{id},"channels":["no channel"]}}"#),
    }
}
