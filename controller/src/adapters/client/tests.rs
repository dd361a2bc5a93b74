//! Requests as they arrive, and answers as they go wrong.
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use super::fake::FakeDaemon;
use super::*;
use crate::domain::report::RejectRow;

#[test]
fn addresses_are_built_of_whole_parts() {
    assert_eq!(url(&["status"], &[]).as_str(), "http://weir/api/status");
    assert_eq!(url(&["explain", "2001:db8::1"], &[]).as_str(), "http://weir/api/explain/2001:db8::1");
    let url = url(&["block", "import"], &[("name", "a b&c"), ("format", "auto")]);
    assert_eq!(url.as_str(), "http://weir/api/block/import?name=a+b%26c&format=auto");
}

fn failure(socket: &Path) -> ClientError {
    Client::new(socket).unwrap().status().expect_err("no answer")
}

#[test]
fn a_daemon_that_is_not_there_is_told_from_one_that_left() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("weir.sock");
    let text = failure(&socket).to_string();
    assert!(
        text.ends_with("weir.sock: no such file; start it with `weir run -i IFACE`, or name its socket with --socket"),
        "{text}"
    );
    drop(UnixListener::bind(&socket).unwrap());
    let error = failure(&socket);
    assert!(error.is_unreachable() && error.to_string().contains("nobody listens there any more"), "{error}");
    let error = failure(&folder.path().join("a".repeat(200)));
    assert!(error.is_unreachable() && error.to_string().contains("no socket can have this path"), "{error}");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// Takes one connection, reads the request's head, and says this.
fn saying(words: &'static str) -> (tempfile::TempDir, std::thread::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("weir.sock")).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).unwrap() > 0);
        stream.write_all(words.as_bytes()).unwrap();
    });
    (folder, thread)
}

#[test]
fn an_answer_that_breaks_off_is_lost() {
    for words in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"version\""] {
        let (folder, thread) = saying(words);
        let error = failure(&folder.path().join("weir.sock"));
        assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
        assert!(error.to_string().contains("a change may have been made all the same"), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn whoever_is_not_weir_is_found_out() {
    for body in ["{}", "hello", ""] {
        let daemon = FakeDaemon::always(200, body);
        let error = failure(&daemon.socket());
        assert!(matches!(error, ClientError::NotWeir { .. }), "{body}: {error:?}");
    }
}

#[test]
fn failures_without_a_document_are_told_as_they_came() {
    for (status, body, words) in [
        (500, "", "status 500 Internal Server Error and no reason"),
        (404, "not found\n", "status 404 Not Found: not found"),
        (413, "length limit exceeded", "import the list in parts"),
    ] {
        let daemon = FakeDaemon::always(status, body);
        let error = failure(&daemon.socket());
        assert!(matches!(error, ClientError::Unexplained { .. }) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn problems_are_the_daemons_own_words() {
    let refused = FakeDaemon::refusing(403, REFUSED, "covers this machine");
    assert!(
        matches!(failure(&refused.socket()), ClientError::Refused(problem) if problem.detail == "covers this machine")
    );
    let missing = FakeDaemon::refusing(404, "about:blank", "no such list");
    assert!(matches!(failure(&missing.socket()), ClientError::NotFound(_)));
    let problem = Problem {
        kind: "about:blank".to_owned(),
        title: "Unprocessable Content".to_owned(),
        status: 422,
        detail: "1 of 3 lines is refused".to_owned(),
        rejects: vec![RejectRow { line: 2, text: "x".to_owned(), why: "no".to_owned() }],
        hits: Vec::new(),
    };
    let full = FakeDaemon::always(422, serde_json::to_string(&problem).unwrap());
    assert_eq!(failure(&full.socket()).problem(), Some(&problem));
}

#[test]
fn exports_are_handed_on_whatever_their_size() {
    let lines = "192.0.2.1\n".repeat(100_000);
    let daemon = FakeDaemon::always(200, lines.clone());
    let mut taken = Vec::new();
    let client = Client::new(&daemon.socket()).unwrap();
    client
        .export(Kind::Deny, ExportFormat::Plain, |piece| {
            taken.extend_from_slice(piece);
            Ok::<_, ClientError>(())
        })
        .unwrap();
    assert_eq!(taken.len(), lines.len());
    assert_eq!(daemon.asked(), ["GET /api/block/export"]);
}
