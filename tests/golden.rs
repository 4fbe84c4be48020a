//! Golden pairs: what a client says and what it is told, word for word, by the public face of every dialect.
//!
//! A file under `tests/golden/<dialect>/` is a session, line by line:
//!
//! ```text
//! # a comment
//! latest CHANNEL N      from here on the channel's latest sequence is N
//! limit N               a subscriber may have N channels
//! ? PATH[?QUERY]        a handshake; it begins the session anew
//! = SHAPE [CHANNEL…]    what the handshake asked for; or `= 400 TEXT`, or `= another dialect's`
//! ! MESSAGE             the greeting; VERSION stands for the crate's
//! > MESSAGE             the client says this
//! < MESSAGE             and is told this; no such line: nothing
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tapecast::channel::ChannelName;
use tapecast::dialect::{
    ALL, Command, Dialect, Fault, FaultCode, Hello, Joined, Opening, Outcome, Rejected, Request, RequestId,
    Shape, Subscribe, Subscribed,
};

#[test]
fn every_golden_session_goes_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for dialect in ALL {
        let sessions = files(&root.join(dialect.name()));
        assert!(!sessions.is_empty(), "no golden pairs of {}", dialect.name());
        for path in sessions {
            play(*dialect, &path);
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn play(dialect: &'static dyn Dialect, path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut session = Session::new(dialect);
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" | "#" => {}
            "latest" => session.set_latest(rest),
            "limit" => session.channels_max = rest.parse().unwrap(),
            "?" => session.open(rest, &place),
            "!" => assert_eq!(session.greeting(), rest, "{place}"),
            ">" => session.hear(rest, &place),
            "=" | "<" => assert_eq!(session.told.take().as_deref(), Some(rest), "{place}"),
            _ => panic!("{place}: not a line of a golden session"),
        }
    }
    session.expect_silence(path.to_str().unwrap());
}

/// A subscriber's session without a socket: it carries commands out on a list of names.
struct Session {
    dialect: &'static dyn Dialect,
    channels_max: usize,
    latest: HashMap<String, u64>,
    subscribed: Vec<ChannelName>,
    shape: Shape,
    told: Option<String>,
}

impl Session {
    fn new(dialect: &'static dyn Dialect) -> Self {
        let (latest, subscribed) = (HashMap::new(), Vec::new());
        Self { dialect, channels_max: 1024, latest, subscribed, shape: Shape::Payload, told: None }
    }

    fn set_latest(&mut self, rest: &str) {
        let (channel, sequence) = rest.split_once(' ').unwrap();
        self.latest.insert(channel.to_owned(), sequence.parse().unwrap());
    }

    fn expect_silence(&mut self, place: &str) {
        assert_eq!(self.told.take(), None, "{place}: before this line something was told");
    }

    fn open(&mut self, target: &str, place: &str) {
        self.expect_silence(place);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        self.told = Some(match self.dialect.open(path, query) {
            None => "another dialect's".to_owned(),
            Some(Err(text)) => format!("400 {text}"),
            Some(Ok(opening)) => self.begin(opening),
        });
    }

    fn begin(&mut self, opening: Opening) -> String {
        assert_eq!(opening.dialect.name(), self.dialect.name());
        self.shape = opening.shape;
        self.subscribed = names(&opening.subscribe);
        let names = self.subscribed.iter().map(|name| format!(" {}", name.as_str()));
        format!("{:?}", self.shape).to_lowercase() + &names.collect::<String>()
    }

    fn greeting(&self) -> String {
        let hello =
            Hello { epoch: "e\"1", heartbeat_ms: 20_000, channels_max: 1024, message_bytes_max: 65_536 };
        let mut out = Vec::new();
        self.dialect.greet(&hello, &mut out);
        String::from_utf8(out).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    fn hear(&mut self, message: &str, place: &str) {
        self.expect_silence(place);
        let (id, result) = match self.dialect.read(message.as_bytes()) {
            Ok(Request { id, command }) => (id, self.carry_out(command)),
            Err(Rejected { id, fault }) => (id, Err(fault)),
        };
        if let Err(fault) = result {
            self.tell(&id, &Outcome::Refused(&fault));
        } else if let Ok(done) = result {
            done.as_outcome(|outcome| self.tell(&id, outcome));
        }
    }

    fn tell(&mut self, id: &RequestId, outcome: &Outcome<'_>) {
        let mut out = Vec::new();
        self.dialect.answer(id, outcome, &mut out);
        self.told = Some(String::from_utf8(out).unwrap()).filter(|told| !told.is_empty());
    }

    fn carry_out(&mut self, command: Command) -> Result<Done, Fault> {
        Ok(match command {
            Command::Subscribe(wanted) => {
                assert_eq!(wanted.snapshot, self.dialect.name() == "native");
                self.subscribe(names(&wanted))?
            }
            Command::Unsubscribe { channels, .. } => {
                self.subscribed.retain(|name| !channels.contains(name));
                Done::Left(channels)
            }
            Command::List => Done::Listed(self.subscribed.clone()),
            Command::Ping => Done::Pong,
            Command::SetShape(shape) => {
                self.shape = shape;
                Done::ShapeSet
            }
            Command::GetShape => Done::ShapeIs(self.shape),
        })
    }

    fn subscribe(&mut self, channels: Vec<ChannelName>) -> Result<Done, Fault> {
        let mut all = self.subscribed.clone();
        all.extend(channels.iter().filter(|name| !self.subscribed.contains(name)).cloned());
        if all.len() > self.channels_max {
            let text = format!("more than {} channels", self.channels_max);
            return Err(Fault::new(FaultCode::TooManyChannels, text));
        }
        self.subscribed = all;
        let sequence = |name: &ChannelName| self.latest.get(name.as_str()).copied().unwrap_or(0);
        Ok(Done::Joined(channels.iter().map(|name| (name.clone(), sequence(name))).collect()))
    }
}

fn names(subscribe: &Subscribe) -> Vec<ChannelName> {
    subscribe.channels.iter().map(|wanted| wanted.name.clone()).collect()
}

/// An outcome that owns what it tells.
enum Done {
    Joined(Vec<(ChannelName, u64)>),
    Left(Vec<ChannelName>),
    Listed(Vec<ChannelName>),
    Pong,
    ShapeSet,
    ShapeIs(Shape),
}

impl Done {
    fn as_outcome(&self, tell: impl FnOnce(&Outcome<'_>)) {
        match self {
            Self::Joined(channels) => {
                let joined = channels.iter().map(|(name, sequence)| (name.as_str(), *sequence));
                let joined: Vec<_> =
                    joined.map(|(channel, sequence)| Joined { channel, sequence, recovered: None }).collect();
                tell(&Outcome::Subscribed(Subscribed { channels: &joined, patterns: &[] }));
            }
            Self::Left(channels) => tell(&Outcome::Unsubscribed(channels, &[])),
            Self::Listed(channels) => {
                tell(&Outcome::Listed(&channels.iter().map(ChannelName::as_str).collect::<Vec<_>>()));
            }
            Self::Pong => tell(&Outcome::Pong),
            Self::ShapeSet => tell(&Outcome::ShapeSet),
            Self::ShapeIs(shape) => tell(&Outcome::ShapeIs(*shape)),
        }
    }
}
