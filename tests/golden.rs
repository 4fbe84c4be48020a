//! Golden pairs: what a client says and what it is told, word for word, by the public face of every dialect.
//!
//! A file under `tests/golden/<dialect>/` is a session, line by line:
//!
//! ```text
//! # a comment
//! latest CHANNEL N      from here on the channel's latest sequence is N
//! limit N               a subscriber may have N channels
//! refuse CODE TEXT      the shard will refuse the next request
//! asked TEXT            what the last request asked for, beyond names
//! ? PATH[?QUERY]        a handshake; it begins the session anew
//! = SHAPE [CHANNEL…]    what the handshake asked for; or `= 400 TEXT`, or `= another dialect's`
//! ! MESSAGE             the greeting; VERSION stands for the crate's
//! > MESSAGE             the client says this
//! < MESSAGE             and is told this; no such line: nothing
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tapecast::channel::{ChannelName, ChannelPattern};
use tapecast::dialect::{
    ALL, Command, Dialect, Fault, FaultCode, Hello, Joined, Matched, Opening, Outcome, Rejected, Request,
    RequestId, Resume, ResumeFrom, Shape, Subscribe, Subscribed, Wanted,
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
            "refuse" => session.fault = Some(fault(rest)),
            "asked" => assert_eq!(session.asked, rest, "{place}"),
            "?" => session.open(rest, &place),
            "!" => assert_eq!(session.greeting(), rest, "{place}"),
            ">" => session.hear(rest, &place),
            "=" | "<" => assert_eq!(session.told.take().as_deref(), Some(rest), "{place}"),
            _ => panic!("{place}: not a line of a golden session"),
        }
    }
    session.expect_silence(path.to_str().unwrap());
}

fn fault(rest: &str) -> Fault {
    let (code, text) = rest.split_once(' ').unwrap();
    let all = [FaultCode::NotConflatable, FaultCode::TooManyChannels];
    Fault::new(all.into_iter().find(|it| it.label() == code).unwrap(), text)
}

/// The numbering of sequences.
const EPOCH: &str = "e\"1";
/// The time that a ping is answered with.
const WALL_US: u64 = 1_723_161_254_024_619;

/// A subscriber's session without a socket: it carries commands out on a list of names.
struct Session {
    dialect: &'static dyn Dialect,
    channels_max: usize,
    latest: HashMap<String, u64>,
    subscribed: Vec<ChannelName>,
    patterns: Vec<ChannelPattern>,
    shape: Shape,
    /// How the shard refuses the next request.
    fault: Option<Fault>,
    asked: String,
    told: Option<String>,
}

impl Session {
    fn new(dialect: &'static dyn Dialect) -> Self {
        Self {
            dialect,
            channels_max: 1024,
            latest: HashMap::new(),
            subscribed: Vec::new(),
            patterns: Vec::new(),
            shape: Shape::Payload,
            fault: None,
            asked: String::new(),
            told: None,
        }
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
        self.patterns = opening.subscribe.patterns.clone();
        let names = self.subscribed.iter().map(ChannelName::as_str);
        let names = names.chain(self.patterns.iter().map(ChannelPattern::as_str));
        let names = names.map(|name| format!(" {name}")).collect::<String>();
        format!("{:?}", self.shape).to_lowercase() + &names + &asked(&opening.subscribe, self.dialect)
    }

    fn greeting(&self) -> String {
        let hello =
            Hello { epoch: EPOCH, heartbeat_ms: 20_000, channels_max: 1024, message_bytes_max: 65_536 };
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
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        Ok(match command {
            Command::Subscribe(wanted) => {
                self.asked = asked(&wanted, self.dialect).trim().to_owned();
                self.subscribe(&wanted)?
            }
            Command::Unsubscribe { channels, patterns } => {
                self.subscribed.retain(|name| !channels.contains(name));
                self.patterns.retain(|pattern| !patterns.contains(pattern));
                Done::Left(channels, patterns)
            }
            Command::List => Done::Listed(self.subscribed.clone(), self.patterns.clone()),
            Command::Ping => Done::Pong,
            Command::SetShape(shape) => {
                self.shape = shape;
                Done::ShapeSet
            }
            Command::GetShape => Done::ShapeIs(self.shape),
        })
    }

    fn subscribe(&mut self, wanted: &Subscribe) -> Result<Done, Fault> {
        let mut all = self.subscribed.clone();
        all.extend(names(wanted).into_iter().filter(|name| !self.subscribed.contains(name)));
        if all.len() > self.channels_max {
            let text = format!("more than {} channels", self.channels_max);
            return Err(Fault::new(FaultCode::TooManyChannels, text));
        }
        self.subscribed = all;
        self.patterns.extend(wanted.patterns.iter().cloned());
        let joined = names(wanted).into_iter().map(|name| {
            let sequence = self.latest.get(name.as_str()).copied().unwrap_or(0);
            let recovered = wanted.resume.as_ref().and_then(|resume| recovered(resume, &name, sequence));
            (name, sequence, recovered)
        });
        let matched = wanted.patterns.iter().map(|pattern| {
            let names = self.latest.keys().map(|name| ChannelName::parse(name).unwrap());
            (pattern.clone(), names.filter(|name| pattern.matches(name)).count())
        });
        Ok(Done::Joined(joined.collect(), matched.collect()))
    }
}

fn names(subscribe: &Subscribe) -> Vec<ChannelName> {
    subscribe.channels.iter().map(|wanted| wanted.name.clone()).collect()
}

/// What a request asks for beyond names, where that is not what is usual.
fn asked(subscribe: &Subscribe, dialect: &dyn Dialect) -> String {
    let mut asked = String::new();
    let rated = |wanted: &Wanted| {
        let rated = wanted.rated.as_ref()?;
        Some(format!(" {}={}/{}", wanted.name.as_str(), rated.source.as_str(), rated.every_ms))
    };
    asked.extend(subscribe.channels.iter().filter_map(rated));
    if subscribe.snapshot != (dialect.name() == "native") {
        asked += &format!(" snapshot={}", subscribe.snapshot);
    }
    if subscribe.every_ms > 0 {
        asked += &format!(" every_ms={}", subscribe.every_ms);
    }
    if let Some(Resume { epoch, from: ResumeFrom::Sequences(sequences) }) = &subscribe.resume {
        asked += &format!(" resume={epoch}/{}", sequences.len());
    }
    asked
}

fn recovered(resume: &Resume, name: &ChannelName, latest: u64) -> Option<bool> {
    let ResumeFrom::Sequences(sequences) = &resume.from else { return None };
    Some(*resume.epoch == *EPOCH && *sequences.get(name)? <= latest)
}

/// An outcome that owns what it tells.
enum Done {
    Joined(Vec<(ChannelName, u64, Option<bool>)>, Vec<(ChannelPattern, usize)>),
    Left(Vec<ChannelName>, Vec<ChannelPattern>),
    Listed(Vec<ChannelName>, Vec<ChannelPattern>),
    Pong,
    ShapeSet,
    ShapeIs(Shape),
}

impl Done {
    fn as_outcome(&self, tell: impl FnOnce(&Outcome<'_>)) {
        match self {
            Self::Joined(channels, patterns) => {
                let joined = channels.iter();
                let joined: Vec<_> = joined
                    .map(|(name, sequence, recovered)| Joined {
                        channel: name.as_str(),
                        sequence: *sequence,
                        recovered: *recovered,
                    })
                    .collect();
                let matched = patterns.iter();
                let matched: Vec<_> =
                    matched.map(|(it, count)| Matched { pattern: it.as_str(), count: *count }).collect();
                tell(&Outcome::Subscribed(Subscribed { channels: &joined, patterns: &matched }));
            }
            Self::Left(channels, patterns) => tell(&Outcome::Unsubscribed(channels, patterns)),
            Self::Listed(channels, patterns) => {
                let names = channels.iter().map(ChannelName::as_str);
                let names: Vec<_> = names.chain(patterns.iter().map(ChannelPattern::as_str)).collect();
                tell(&Outcome::Listed(&names));
            }
            Self::Pong => tell(&Outcome::Pong { wall_us: WALL_US }),
            Self::ShapeSet => tell(&Outcome::ShapeSet),
            Self::ShapeIs(shape) => tell(&Outcome::ShapeIs(*shape)),
        }
    }
}
