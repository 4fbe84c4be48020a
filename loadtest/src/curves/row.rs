//! One measurement of a curve as a line of its CSV, and back.
//!
//! Pure. Must not judge: what a measurement is worth was said when it was taken. Invariant: what is written is read
//! back as it was, up to the digits that the file keeps.

/// What a measurement may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It shows the server.
    Sound,
    /// The server did not hold the load: the line of its latencies ends here.
    NotHeld,
    /// It does not show the server alone: the load tool was saturated, or something was lost. Drawn hollow.
    Doubtful,
    /// There are no figures.
    Failed,
}

const STATES: [(State, &str); 4] = [
    (State::Sound, "sound"),
    (State::NotHeld, "not-held"),
    (State::Doubtful, "doubtful"),
    (State::Failed, "failed"),
];

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) server: String,
    /// What the curve changes: offered deliveries a second, subscribers, channels, bytes, shards.
    pub(crate) at: f64,
    pub(crate) round: u32,
    pub(crate) figures: Figures,
    pub(crate) state: State,
    /// Why it is not sound; empty where it is.
    pub(crate) why: String,
}

/// What was measured; all zero of a measurement that failed.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Deliveries a second; records a second where nothing is delivered.
    pub(crate) offered: f64,
    pub(crate) arrived: f64,
    pub(crate) frames_a_read: f64,
    /// CPU of the server for each that arrived, ns.
    pub(crate) cpu_ns: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Cores: the server's CPU, what it waited for one, and what the load tool used of its own.
    pub(crate) server_cpu: f64,
    pub(crate) server_waited: f64,
    pub(crate) tools_cpu: f64,
}

/// The first line of a CSV that is no comment.
pub(crate) const HEAD: &str = "server,at,round,offered_a_second,arrived_a_second,frames_a_read,server_cpu_ns_each,\
                               p50_us,p99_us,server_cpu,server_waited,tools_cpu,state,why";
const COLUMNS: usize = 14;

impl Row {
    /// The line of this measurement. Commas and line ends within texts become spaces.
    pub(crate) fn line(&self) -> String {
        let f = &self.figures;
        let state = STATES.iter().find(|(state, _)| *state == self.state).map_or("", |(_, name)| name);
        format!(
            "{},{},{},{:.0},{:.0},{:.2},{:.2},{:.1},{:.1},{:.3},{:.3},{:.3},{state},{}",
            plain(&self.server),
            self.at,
            self.round,
            f.offered,
            f.arrived,
            f.frames_a_read,
            f.cpu_ns,
            f.p50_us,
            f.p99_us,
            f.server_cpu,
            f.server_waited,
            f.tools_cpu,
            plain(&self.why),
        )
    }

    /// Reads a line; the error says what is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != COLUMNS {
            return Err(format!("{} columns, not {COLUMNS}: {line}", fields.len()));
        }
        let number = |index: usize| -> Result<f64, String> {
            let value: f64 = fields[index].parse().map_err(|error| format!("{error}: {}", fields[index]))?;
            if value.is_finite() { Ok(value) } else { Err(format!("no number: {}", fields[index])) }
        };
        let state = STATES.iter().find(|(_, name)| *name == fields[12]);
        Ok(Self {
            server: fields[0].to_owned(),
            at: number(1)?,
            round: number(2)? as u32,
            figures: Figures {
                offered: number(3)?,
                arrived: number(4)?,
                frames_a_read: number(5)?,
                cpu_ns: number(6)?,
                p50_us: number(7)?,
                p99_us: number(8)?,
                server_cpu: number(9)?,
                server_waited: number(10)?,
                tools_cpu: number(11)?,
            },
            state: state.map(|(state, _)| *state).ok_or_else(|| format!("no state: {}", fields[12]))?,
            why: fields[13].to_owned(),
        })
    }
}

fn plain(text: &str) -> String {
    text.replace([',', '\n', '\r'], " ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sound measurement with these figures.
    pub(in crate::curves) fn row(server: &str, at: f64, round: u32, cpu_ns: f64) -> Row {
        let figures = Figures {
            offered: at,
            arrived: at,
            frames_a_read: 2.5,
            cpu_ns,
            p50_us: 130.5,
            p99_us: 420.0,
            server_cpu: 0.75,
            server_waited: 0.125,
            tools_cpu: 0.5,
        };
        Row { server: server.to_owned(), at, round, figures, state: State::Sound, why: String::new() }
    }

    #[test]
    fn every_state_comes_back_as_it_was_written() {
        for (state, _) in STATES {
            let written = Row { state, why: "the tool".to_owned(), ..row("bare", 250_000.0, 2, 31.25) };
            assert_eq!(Row::parse(&written.line()), Ok(written));
        }
        assert_eq!(HEAD.split(',').count(), COLUMNS);
    }

    #[test]
    fn a_text_cannot_break_the_columns() {
        let told = Row { why: "a, b\nc".to_owned(), ..row("cmd --with 1,2", 1.0, 0, 1.0) };
        let read = Row::parse(&told.line()).expect("a line");
        assert_eq!((read.server.as_str(), read.why.as_str()), ("cmd --with 1 2", "a  b c"));
    }

    #[test]
    fn nonsense_is_refused() {
        let line = row("bare", 1.0, 0, 1.0).line();
        for broken in [line.replace("sound", "fine"), line.replace("2.50", "x"), line.replace("2.50", "NaN")]
        {
            assert!(Row::parse(&broken).is_err(), "{broken}");
        }
        assert!(Row::parse("bare,1").is_err());
    }
}
