//! The rules of the house, read off the sources: who may name whom, how long things are, what is never written.
//!
//! Rules enforced here, for every Rust file of the workspace unless said otherwise:
//! a file opens with a `//!` header and has at most 450 lines; a function has at most 70 lines, from the line of its
//! `fn` to the line of its closing brace, tests included; nobody writes `unsafe`, `todo!`, `unimplemented!` or
//! `#[ignore]`; and in `src/`, a stage names only the stages that [`ARROWS`] gives it.
//!
//! Sources are read as tokens, so that comments and strings are no code, and what stands inside a macro is.

use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const FILE_LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 70;

/// Macros that stand for code that is not there.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

/// What each stage may name besides itself; `a::b` allows that module of `a` alone. The first match of a path wins.
const ARROWS: &[(&str, &[&str])] = &[
    ("channel", &[]),
    ("clock", &[]),
    ("histogram", &[]),
    ("fault", &[]),
    ("record", &["channel"]),
    ("ring", &["fault"]),
    ("ingest", &["ring", "record", "channel", "clock", "histogram"]),
    ("dialect", &["record", "channel"]),
    ("subscriber", &["dialect", "channel", "fault"]),
    ("merge", &["channel", "fault"]),
    (
        "shard",
        &["ring", "record", "channel", "dialect", "subscriber", "merge", "clock", "histogram", "fault"],
    ),
    ("front", &["ring", "record", "subscriber", "dialect", "channel", "shard::mailbox"]),
    ("feed", &["record", "channel"]),
    // The program's commands start the server; the rest of control knows public faces only.
    ("control/commands", &["server", "feed"]),
    (
        "control",
        &[
            "channel",
            "record",
            "ring",
            "ingest",
            "subscriber",
            "shard",
            "front",
            "feed",
            "clock",
            "histogram",
        ],
    ),
    (
        "server",
        &["channel", "record", "ring", "ingest", "dialect", "subscriber", "shard", "front", "control"],
    ),
    ("main", &["control"]),
    ("lib", &[]),
];

/// One rule broken somewhere.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    line: usize,
    text: String,
}

fn breach(line: usize, text: impl Into<String>) -> Breach {
    Breach { line, text: text.into() }
}

#[test]
fn the_house_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "loadtest"] {
        rust_files(&root.join(folder), &mut files);
    }
    assert!(files.len() > 30, "the sources are where they are looked for: {} files", files.len());
    let mut breaches = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&file).unwrap();
        let found = examine(&name, &source);
        breaches.extend(found.into_iter().map(|breach| format!("{name}:{}: {}", breach.line, breach.text)));
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Everything that is wrong with one file, `path` counted from the workspace's root.
fn examine(path: &str, source: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    if !source.trim_start().starts_with("//!") {
        breaches.push(breach(1, "the file has no //! header"));
    }
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        breaches.push(breach(lines, format!("{lines} lines; a file has at most {FILE_LINES_MAX}")));
    }
    let tokens: TokenStream = match source.parse() {
        Ok(tokens) => tokens,
        Err(error) => return vec![breach(1, format!("not Rust: {error}"))],
    };
    let tokens: Vec<_> = tokens.into_iter().collect();
    examine_tokens(&tokens, &mut breaches);
    if let Some(stage) = path.strip_prefix("src/") {
        examine_arrows(stage, &tokens, &mut breaches);
    }
    breaches
}

fn examine_tokens(tokens: &[TokenTree], breaches: &mut Vec<Breach>) {
    for (at, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        let next = tokens.get(at + 1);
        match token {
            TokenTree::Ident(word) if word == "unsafe" => breaches.push(breach(line, "unsafe")),
            TokenTree::Ident(word)
                if UNFINISHED.iter().any(|unfinished| word == unfinished) && is_punct(next, '!') =>
            {
                breaches.push(breach(line, format!("{word}!")));
            }
            TokenTree::Ident(word) if word == "fn" => examine_function(&tokens[at..], breaches),
            TokenTree::Punct(_) if is_punct(Some(token), '#') && opens_with(next, "ignore") => {
                breaches.push(breach(line, "#[ignore]"));
            }
            TokenTree::Group(group) => {
                examine_tokens(&group.stream().into_iter().collect::<Vec<_>>(), breaches);
            }
            _ => {}
        }
    }
}

/// `tokens` begin at a `fn`: a definition has a name and, before any `;`, a body.
fn examine_function(tokens: &[TokenTree], breaches: &mut Vec<Breach>) {
    let Some(TokenTree::Ident(name)) = tokens.get(1) else { return };
    let body = tokens.iter().take_while(|token| !is_punct(Some(token), ';')).find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    });
    let Some(body) = body else { return };
    let (first, last) = (tokens[0].span().start().line, body.span_close().end().line);
    let lines = last - first + 1;
    if lines > FUNCTION_LINES_MAX {
        let text = format!("{name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}");
        breaches.push(breach(first, text));
    }
}

fn examine_arrows(path: &str, tokens: &[TokenTree], breaches: &mut Vec<Breach>) {
    let own = path.split(['/', '.']).next().unwrap_or(path);
    let module = path.trim_end_matches(".rs");
    let row = ARROWS.iter().find(|(stage, _)| module == *stage || own == *stage);
    let Some((_, allowed)) = row else {
        breaches.push(breach(1, format!("{own} is no stage of the table ARROWS; enter it there")));
        return;
    };
    let mut named = Vec::new();
    names(tokens, &mut named);
    for (line, path) in named {
        let first = path.split("::").next().unwrap_or("");
        let covers = |arrow: &&str| path == *arrow || path.starts_with(&format!("{arrow}::"));
        if first != own && !allowed.iter().any(covers) {
            breaches.push(breach(line, format!("{own} names {path}; it may name {allowed:?}")));
        }
    }
}

/// Every path below the crate's root that is named here: behind `crate::` and `tapecast::`, and stages behind `super::`.
fn names(tokens: &[TokenTree], out: &mut Vec<(usize, String)>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "crate" || word == "tapecast" || word == "super" => {
                let mut paths = Vec::new();
                paths_behind(&tokens[at + 1..], "", &mut paths);
                let is_stage = |path: &str| {
                    let first = path.split("::").next().unwrap_or("");
                    ARROWS.iter().any(|(stage, _)| *stage == first)
                };
                paths.retain(|path| word != "super" || is_stage(path));
                out.extend(paths.into_iter().map(|path| (token.span().start().line, path)));
            }
            TokenTree::Group(group) => names(&group.stream().into_iter().collect::<Vec<_>>(), out),
            _ => {}
        }
    }
}

/// The paths that go on with `::` at the start of `tokens`, a group `{a, b::c}` giving one each.
fn paths_behind(tokens: &[TokenTree], before: &str, paths: &mut Vec<String>) {
    let join = |word: &str| if before.is_empty() { word.to_owned() } else { format!("{before}::{word}") };
    let goes_on = is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':');
    match tokens.get(2).filter(|_| goes_on) {
        Some(TokenTree::Ident(word)) => paths_behind(&tokens[3..], &join(&word.to_string()), paths),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            for element in inner.split(|token| is_punct(Some(token), ',')) {
                if let Some(TokenTree::Ident(word)) = element.first() {
                    paths_behind(&element[1..], &join(&word.to_string()), paths);
                }
            }
        }
        _ if before.is_empty() => {}
        _ => paths.push(before.to_owned()),
    }
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn opens_with(token: Option<&TokenTree>, word: &str) -> bool {
    let Some(TokenTree::Group(group)) = token else { return false };
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(ident)) if ident == word)
}

mod planted {
    //! Each rule is shown to catch what it is for, and to pass over what only looks like it.

    use super::{FILE_LINES_MAX, FUNCTION_LINES_MAX, examine};

    fn found(path: &str, body: &str) -> Vec<String> {
        let source = format!("//! Header.\n{body}");
        examine(path, &source).into_iter().map(|breach| format!("{}: {}", breach.line, breach.text)).collect()
    }

    /// The one breach that a body has is in line 2 and says this.
    fn caught(path: &str, body: &str, part: &str) {
        let found = found(path, body);
        assert!(
            found.len() == 1 && found[0].starts_with("2: ") && found[0].contains(part),
            "{body}: {found:?}"
        );
    }

    fn clean(path: &str, body: &str) {
        assert_eq!(found(path, body), Vec::<String>::new(), "{body}");
    }

    #[test]
    fn forbidden_arrows() {
        caught("src/ring/words.rs", "use crate::record::Head;", "ring names record::Head");
        caught("src/ingest/line.rs", "use crate::{ring::Kind, shard};", "ingest names shard");
        caught("src/shard/worker.rs", "fn f() { crate::control::main(); }", "shard names control::main");
        caught("src/front/routes.rs", "use crate::shard::stats::Stats;", "front names shard::stats::Stats");
        caught(
            "src/front/routes.rs",
            "use crate::{shard::{mailbox::Mailbox, stats}};",
            "front names shard::stats",
        );
        caught(
            "src/subscriber/outbox.rs",
            "use super::super::ring::Reader;",
            "subscriber names ring::Reader",
        );
        caught("src/channel.rs", "fn f() { assert!(crate::record::X); }", "channel names record::X");
        caught("src/channel.rs", "pub use super::ring;", "channel names ring");
        caught("src/control/admin.rs", "use crate::server;", "control names server");
        caught("src/control/mod.rs", "use crate::dialect;", "control names dialect");
        caught("src/main.rs", "fn f() { tapecast::server::run(); }", "main names server::run");
    }

    #[test]
    fn a_stage_that_the_table_does_not_know() {
        assert_eq!(found("src/extra.rs", "").len(), 1);
    }

    #[test]
    fn permitted_arrows() {
        clean("src/ingest/line.rs", "use crate::{channel::{self, Catalogue}, record::Head, ring};");
        clean("src/front/routes.rs", "use crate::shard::mailbox::{Mailbox, Reservation};");
        clean("src/shard/worker.rs", "use super::mailbox; use crate::shard::stats; use crate::ring::Reader;");
        clean("src/control/commands.rs", "fn f() { crate::server::run(); crate::feed::tail::run(); }");
        clean(
            "src/ring/words.rs",
            "/// As [`crate::record`].\nconst WHY: &str = \"crate::shard\"; // crate::control",
        );
        clean("src/ring/words.rs", "use crate::ring::sync; pub(crate) fn f() {}");
        clean("tests/any.rs", "use tapecast::server::run;");
    }

    #[test]
    fn headers_and_lengths() {
        assert_eq!(examine("tests/any.rs", "fn f() {}").len(), 1, "no header");
        clean("tests/any.rs", &"\n".repeat(FILE_LINES_MAX - 1));
        assert_eq!(found("tests/any.rs", &"\n".repeat(FILE_LINES_MAX)).len(), 1, "one line too many");
        let function = |lines: usize| format!("fn f()\nwhere\n    u8: Copy,\n{{{}}}", "\n".repeat(lines - 4));
        clean("tests/any.rs", &function(FUNCTION_LINES_MAX));
        caught("tests/any.rs", &function(FUNCTION_LINES_MAX + 1), "f has 71 lines");
        caught("tests/any.rs", &format!("mod m {{ impl X {{ {} }} }}", function(80)), "f has 80 lines");
        clean(
            "tests/any.rs",
            &format!("type F = fn(u8); trait T {{ fn f(); }} mod m {{{}}}", "\n".repeat(80)),
        );
    }

    #[test]
    fn what_is_never_written() {
        caught("tests/any.rs", "fn f() { unsafe { g() } }", "unsafe");
        caught("tests/any.rs", "unsafe impl Send for X {}", "unsafe");
        caught("tests/any.rs", "fn f() { todo!() }", "todo!");
        caught("tests/any.rs", "fn f() { vec![unimplemented!(\"later\")]; }", "unimplemented!");
        caught("tests/any.rs", "#[ignore = \"slow\"] fn f() {}", "#[ignore]");
        clean("tests/any.rs", "// unsafe\nconst WORD: &str = \"unsafe todo!() #[ignore]\";");
        clean("tests/any.rs", "#![forbid(unsafe_code)] fn todo() {}");
    }
}
