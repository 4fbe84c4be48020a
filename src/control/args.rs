//! The command line as it is typed: commands and flags, nothing resolved.
//!
//! Before any thread runs. It reads no file and gives no flag a meaning beyond its form. Invariant: a flag that
//! stands for a configuration key goes the configuration's way, so that it is judged in one place.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use toml::Value;

use super::config::{Environment, FlagSetting};
use crate::feed;

/// What weighs more than what, below the flags of `serve --help`.
const LAYERS: &str = "\
Every key may stand in the file, in the environment or behind --set; of several, the last of these counts:
  the file         ring.bytes = 268435456
  the environment  TAPECAST_RING_BYTES=268435456
  --set and flags  --set ring.bytes=268435456

docs/tapecast.example.toml has every key with its default and why one would change it; `tapecast check FILE` says
what is wrong with a file. TAPECAST_LOG says what is logged, as info or tapecast::ingest=debug; TAPECAST_LOG_FORMAT=json
writes it as JSON.";

/// The process's environment, for whom it concerns.
#[expect(clippy::disallowed_methods, reason = "here, and nowhere else, the configuration is read from it")]
pub(super) fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

/// A market-data fan-out server: one feed in, thousands of WebSocket subscribers out.
#[derive(Debug, Parser)]
#[command(name = "tapecast", version, about)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server.
    #[command(after_help = LAYERS)]
    Serve(Serve),
    /// Run server and simulated market in one process, and print the address to open.
    Demo(Demo),
    /// Publish a simulated market to a server's ingest, until Ctrl-C.
    Simulate(Simulate),
    /// Send a recording to a server's ingest.
    Replay(Replay),
    /// Subscribe and print what comes, one record a line.
    Tail(Tail),
    /// Read a configuration file and say what is wrong with it, line by line.
    Check {
        /// The configuration, in TOML.
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Configuration file, in TOML [default: what TAPECAST_CONFIG names, else none].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where subscribers connect [default: 0.0.0.0:9001].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where feeds connect, TCP and HTTP [default: 127.0.0.1:9002].
    #[arg(long, value_name = "ADDR")]
    ingest_listen: Option<SocketAddr>,
    /// A Unix socket where feeds connect too.
    #[arg(long, value_name = "PATH")]
    ingest_unix: Option<String>,
    /// Where metrics and health are served [default: 127.0.0.1:9003].
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Shards, a thread each [default: the number of cores].
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// Any key of the configuration, as ring.bytes=268435456; may be given often.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Print the configuration in force, each key with where it comes from, and exit.
    #[arg(long)]
    pub(super) print_config: bool,
}

impl Serve {
    /// The flags that stand for keys, as far as they were given.
    pub(super) fn flags(&self) -> Vec<FlagSetting> {
        let address = |address: SocketAddr| Value::String(address.to_string());
        let given = [
            ("--listen", "subscribers.listen", self.listen.map(address)),
            ("--ingest-listen", "ingest.listen", self.ingest_listen.map(address)),
            ("--ingest-unix", "ingest.unix", self.ingest_unix.clone().map(Value::String)),
            ("--admin-listen", "admin.listen", self.admin_listen.map(address)),
            ("--shards", "shards", self.shards.map(|shards| Value::Integer(shards.into()))),
        ];
        let setting =
            |(flag, key, value): (_, _, Option<Value>)| Some(FlagSetting { flag, key, value: value? });
        given.into_iter().filter_map(setting).collect()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where the page and subscribers are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    pub(super) listen: SocketAddr,
}

/// Publish a simulated market to a server's ingest, until Ctrl-C.
///
/// Channels are named and payloads made as Binance's: bookTicker, depth and trade in bursts that all symbols share, and what
/// follows from them: ticker, kline_1m, depth20. Symbols differ in popularity as they do on an exchange.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The server's ingest.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9002")]
    to: String,
    /// How many symbols.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=feed::market::SYMBOLS_MAX as i64))]
    symbols: u16,
    /// Messages a second in the mean, of bookTicker, depth and trade; tickers, klines and depth20 come on top.
    #[arg(long, value_name = "R", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// The same seed gives the same market again.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The server's ingest token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl From<Simulate> for feed::simulate::Options {
    fn from(typed: Simulate) -> Self {
        let Simulate { to, symbols, rate, seed, token } = typed;
        let market = feed::market::Options { symbols: symbols.into(), rate, seed };
        Self { to, token, market, shows_progress: true }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Newline-delimited JSON, plain or gzip.
    file: PathBuf,
    /// The server's ingest.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9002")]
    to: String,
    /// How many times faster than recorded, or "max".
    #[arg(long, value_name = "X|max", default_value_t)]
    speed: feed::pace::Speed,
    /// Begin again at the end, until Ctrl-C.
    #[arg(long = "loop")]
    repeat: bool,
    /// Send this venue's records alone.
    #[arg(long, value_name = "NAME")]
    venue: Option<String>,
    /// Name the channels `<venue>:<symbol>@<kind>`.
    #[arg(long)]
    venue_prefix: bool,
    /// The server's ingest token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl From<Replay> for feed::replay::Options {
    fn from(typed: Replay) -> Self {
        let Replay { file, to, speed, repeat, venue, venue_prefix, token } = typed;
        Self { file, to, speed, repeat, venue, venue_prefix, token }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Tail {
    /// The server's address for subscribers, as 127.0.0.1:9001.
    address: String,
    /// Channels and patterns, as btcusdt@trade or '*@ticker'.
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
}

impl From<Tail> for feed::tail::Options {
    fn from(Tail { address, channels }: Tail) -> Self {
        Self { address, channels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_settings_only_when_given() {
        let args =
            Args::try_parse_from(["tapecast", "serve", "--shards", "2", "--listen", "[::]:0"]).unwrap();
        let Command::Serve(serve) = args.command else { panic!("serve was typed") };
        let flags: Vec<_> = serve.flags().iter().map(|given| (given.key, given.value.clone())).collect();
        let expected =
            [("subscribers.listen", Value::String("[::]:0".into())), ("shards", Value::Integer(2))];
        assert_eq!(flags, expected);
    }
}
