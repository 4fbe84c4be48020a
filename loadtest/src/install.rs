//! What the peers need from the package registries: npm's by `npm ci`, Debian's by `apt-get install`.
//!
//! Starts programs and waits for them. Must not install what is there already, nor leave a service running.
//! Invariant: [`install`] succeeds only if everything that the peer needs is there afterwards.

use clap::Args;
use clap::builder::PossibleValuesParser;
use std::env;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const PEERS: [&str; 6] = ["bun", "ws", "socketio", "nchan", "nats", "mosquitto"];
/// Where `package.json` is, from the repository's root.
const NPM_FOLDER: &str = "loadtest/peers";
/// Where daemons are, whether or not it is in the PATH of somebody who is not root.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// Run as root, packages behind it as arguments. It leaves no service running.
const APT: &str = include_str!("../../tests/apt");

/// Whose needs to install.
#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// Peers [default: all that need something]
    #[arg(value_parser = PossibleValuesParser::new(PEERS))]
    peers: Vec<String>,
}

/// One thing that a peer needs.
enum Need {
    /// A package of `package.json`.
    Npm(&'static str),
    /// A file: a program by its name, or anything else by its path. And the Debian packages that bring it.
    Debian { file: &'static str, packages: &'static [&'static str] },
}

/// The `install` tool: all that were asked for, whatever became of those before.
pub(crate) fn main(arguments: &InstallArguments) -> io::Result<()> {
    let asked = arguments.peers.iter().map(String::as_str);
    let peers: Vec<&str> = if arguments.peers.is_empty() { PEERS.to_vec() } else { asked.collect() };
    let mut failed = Vec::new();
    for peer in peers {
        match install(peer) {
            Ok(()) => println!("{peer}: installed"),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(io::Error::other(failed.join("\n"))) }
}

/// Sees to it that what `peer` needs is there; a name that needs nothing from a registry is always well.
///
/// From the repository's root. An error names the peer, what failed, and what to do.
pub(crate) fn install(peer: &str) -> io::Result<()> {
    install_from(Path::new("."), peer)
}

fn install_from(root: &Path, peer: &str) -> io::Result<()> {
    needs(peer)
        .iter()
        .try_for_each(|need| need.meet(root))
        .map_err(|error| io::Error::other(format!("{peer} could not be installed: {error}")))
}

fn needs(peer: &str) -> Vec<Need> {
    const NODE: Need = Need::Debian { file: "node", packages: &["nodejs"] };
    const NPM: Need = Need::Debian { file: "npm", packages: &["npm"] };
    match peer {
        "bun" => vec![NODE, NPM, Need::Npm("bun")],
        "ws" => vec![NODE, NPM, Need::Npm("bufferutil"), Need::Npm("ws")],
        "socketio" => vec![NODE, NPM, Need::Npm("bufferutil"), Need::Npm("socket.io")],
        "nchan" => vec![
            Need::Debian { file: "nginx", packages: &["nginx"] },
            Need::Debian {
                file: "/usr/lib/nginx/modules/ngx_nchan_module.so",
                packages: &["libnginx-mod-nchan"],
            },
        ],
        "nats" => vec![Need::Debian { file: "nats-server", packages: &["nats-server"] }],
        "mosquitto" => vec![Need::Debian { file: "mosquitto", packages: &["mosquitto"] }],
        _ => Vec::new(),
    }
}

impl Need {
    fn meet(&self, root: &Path) -> io::Result<()> {
        match self {
            Self::Npm(package) => npm_ci(&root.join(NPM_FOLDER), package),
            Self::Debian { file, packages } => apt_install(file, packages),
        }
    }
}

/// Installs all of the folder's packages unless `package` is there in the version that is locked.
fn npm_ci(folder: &Path, package: &str) -> io::Result<()> {
    let path = folder.join("package-lock.json");
    let hint =
        |error| io::Error::other(format!("{}: {error}; run it from the repository's root", path.display()));
    // `npm ci` begins by removing what is there: two at once would break each other.
    let lock = File::open(&path).map_err(hint)?;
    lock.lock().map_err(hint)?;
    let locked = locked_version(&fs::read_to_string(&path).map_err(hint)?, package)
        .ok_or_else(|| io::Error::other(format!("{} has no {package}", path.display())))?;
    let is_there = || installed_version(folder, package).is_some_and(|version| version == locked);
    if is_there() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    run(&mut npm, "npm ci", "see that the npm registry can be reached, and run it in loadtest/peers")?;
    if is_there() { Ok(()) } else { Err(io::Error::other(format!("npm ci left no {package} {locked}"))) }
}

fn locked_version(lock: &str, package: &str) -> Option<String> {
    let lock: serde_json::Value = serde_json::from_str(lock).ok()?;
    Some(lock["packages"][format!("node_modules/{package}")]["version"].as_str()?.to_owned())
}

fn installed_version(folder: &Path, package: &str) -> Option<String> {
    let text = fs::read_to_string(folder.join("node_modules").join(package).join("package.json")).ok()?;
    let said: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(said["version"].as_str()?.to_owned())
}

fn apt_install(file: &str, packages: &[&str]) -> io::Result<()> {
    if is_there(file) {
        return Ok(());
    }
    let names = packages.join(" ");
    let what = format!("apt-get install {names}");
    let hint = format!("as root, run: apt-get update && apt-get install --no-install-recommends {names}");
    if !is_there("apt-get") {
        return Err(io::Error::other(format!(
            "{file} is missing and there is no apt-get: install {names} by hand"
        )));
    }
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("sh")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("sh");
        sudo
    };
    run(command.args(["-c", APT, "apt"]).args(packages), &what, &hint)?;
    if is_there(file) { Ok(()) } else { Err(io::Error::other(format!("{what} left no {file}"))) }
}

/// Whether a program is found, or a file is at its path.
fn is_there(file: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain([SYSTEM_PROGRAMS.into()]).any(|folder| folder.join(file).is_file())
}

/// Runs a command to its end. What it said is shown if it fails, and its last line is part of the error.
fn run(command: &mut Command, what: &str, hint: &str) -> io::Result<()> {
    eprintln!("loadtest: {what}");
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::other(format!("{}: {error}; {hint}", command.get_program().display())))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    eprint!("{}{said}", String::from_utf8_lossy(&done.stdout));
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(io::Error::other(format!("{what}: {} ({}); {hint}", done.status, last.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_installed_is_an_error_that_names_it() {
        for peer in ["bun", "ws", "socketio"] {
            let said = install_from(Path::new("/nowhere"), peer).expect_err("no lock is there").to_string();
            assert!(said.starts_with(&format!("{peer} could not be installed: ")), "{said}");
            assert!(said.ends_with("run it from the repository's root"), "{said}");
        }
    }

    #[test]
    fn a_command_that_fails_says_how_and_what_to_do() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no route >&2; echo >&2; exit 3"]);
        let said = run(&mut command, "fetch", "plug it in").expect_err("it fails").to_string();
        assert_eq!(said, "fetch: exit status: 3 (no route); plug it in");
        let said =
            run(&mut Command::new("no-such-program"), "fetch", "get it").expect_err("missing").to_string();
        assert!(said.starts_with("no-such-program: ") && said.ends_with("; get it"), "{said}");
    }

    #[test]
    fn a_package_counts_only_in_the_locked_version() {
        let lock = r#"{"packages":{"":{},"node_modules/ws":{"version":"8.1.0"},"node_modules/a/node_modules/ws":{}}}"#;
        assert_eq!(locked_version(lock, "ws").as_deref(), Some("8.1.0"));
        assert_eq!(locked_version(lock, "bun"), None);
        assert_eq!(installed_version(Path::new("/nowhere"), "ws"), None);
    }

    #[test]
    fn whoever_is_offered_needs_something_and_our_own_need_nothing() {
        assert!(PEERS.iter().all(|peer| !needs(peer).is_empty()));
        for own in ["tapecast", "bare", "obvious", "some/server --flag"] {
            assert!(install_from(Path::new("/nowhere"), own).is_ok());
        }
    }
}
