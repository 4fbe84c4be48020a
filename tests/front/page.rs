//! What the page's files are served with. Whether they make a page that works is asked in a browser: `tests/outside/page.test.mjs`.

use crate::harness::{Harness, assert_refused, options};

const HTML: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";

/// Asks with further header lines: the status, the head in lower case, the body.
fn ask(front: &Harness, method: &str, path: &str, headers: &str) -> (u16, String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    let answer = front.say(request);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The page's own files, as its HTML and its modules name them.
fn files(front: &Harness) -> Vec<String> {
    let (_, _, html) = ask(front, "GET", "/", HTML);
    let mut found = vec!["/tapecast.js".to_owned()];
    let named = html.split(['"', '\'']).filter(|part| part.starts_with("page/"));
    found.extend(named.map(|name| format!("/{name}")));
    let mut at = 0;
    while at < found.len() {
        let (_, _, text) = ask(front, "GET", &found[at], "");
        for part in text.split("from \"./").skip(1) {
            let file = format!("/page/{}", part.split('"').next().unwrap());
            if !found.contains(&file) {
                found.push(file);
            }
        }
        at += 1;
    }
    found
}

#[test]
fn a_browser_gets_the_page_and_everybody_else_the_index() {
    let front = Harness::new(options());
    let (status, head, page) = ask(&front, "GET", "/", HTML);
    assert_eq!((status, header(&head, "content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(header(&head, "vary"), Some("accept"), "a cache must not give one the other's");
    let version = format!(r#"<meta name="tapecast-version" content="{}">"#, env!("CARGO_PKG_VERSION"));
    assert!(page.contains(&version), "{page}");
    for accept in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        let (status, head, text) = ask(&front, "GET", "/", accept);
        assert_eq!((status, header(&head, "content-type")), (200, Some("text/plain; charset=utf-8")));
        assert_eq!(header(&head, "vary"), Some("accept"));
        assert!(text.contains("/v1/ws") && text.contains("/tapecast.js"), "{text}");
    }
}

#[test]
fn every_file_that_the_page_names_is_served_and_may_load_nothing_from_elsewhere() {
    let front = Harness::new(options());
    let files = files(&front);
    assert!(files.len() > 15, "they are found: {files:?}");
    for path in files.iter().map(String::as_str).chain(["/"]) {
        let (status, head, body) = ask(&front, "GET", path, HTML);
        assert_eq!(status, 200, "{path}");
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header(&head, "referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(header(&head, "cache-control"), Some("no-cache"), "{path}");
        let policy = header(&head, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        let kind = header(&head, "content-type").unwrap();
        let wanted = match path.rsplit_once('.').map(|(_, kind)| kind) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(kind, wanted, "{path}");
        assert_eq!(header(&head, "content-length"), Some(body.len().to_string().as_str()), "{path}");
        let open_to_all = header(&head, "access-control-allow-origin") == Some("*");
        assert_eq!(open_to_all, path == "/tapecast.js", "{path}");
    }
}

#[test]
fn a_file_that_is_known_is_not_sent_again() {
    let front = Harness::new(options());
    let (_, head, _) = ask(&front, "GET", "/", HTML);
    let tag = header(&head, "etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let (status, head, body) = ask(&front, "GET", "/", &format!("{HTML}If-None-Match: {known}\r\n"));
        assert_eq!((status, body.as_str()), (304, ""), "{known}");
        assert_eq!(header(&head, "etag"), Some(tag.as_str()));
    }
    let (status, head, body) = ask(&front, "GET", "/page/app.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((status, body.is_empty()), (200, false), "each file has a tag of its own");
    assert_ne!(header(&head, "etag"), Some(tag.as_str()));
}

#[test]
fn head_is_answered_without_a_body_and_other_methods_are_refused() {
    let front = Harness::new(options());
    for path in ["/", "/page/style.css", "/tapecast.js"] {
        let (_, _, body) = ask(&front, "GET", path, HTML);
        let (status, head, nothing) = ask(&front, "HEAD", path, HTML);
        let length = body.len().to_string();
        assert_eq!((status, header(&head, "content-length")), (200, Some(length.as_str())), "{path}");
        assert_eq!(nothing, "", "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            assert_refused(
                &front.say(format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")),
                405,
            );
        }
    }
}
