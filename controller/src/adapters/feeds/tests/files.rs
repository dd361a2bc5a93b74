use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::cases::LIST;
use super::*;
use crate::adapters::feeds::fetch::hash;

async fn fetch(path: &std::path::Path, known: Option<&Known>) -> Result<Answer, FetchError> {
    let mut request = Request::new("test", Source::parse(path.to_str().unwrap(), Protocol::Plain).unwrap());
    request.bounds = BOUNDS;
    fetcher().fetch(&request, known).await
}

#[tokio::test]
async fn a_regular_file_is_read_and_its_hash_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, LIST).unwrap();
    let answer = fetch(&path, None).await.unwrap();
    assert_eq!((answer.outcome, answer.sha256, answer.requests), (Outcome::Changed(LIST.to_vec()), hash(LIST), 0));
    let same = fetch(&path, Some(&known(None, hash(LIST)))).await.unwrap();
    assert_eq!(same.outcome, Outcome::Unchanged);
    let url = Source::parse(&format!("file://{}", path.display()), Protocol::Plain).unwrap();
    assert_eq!(url, Source::File(path.clone()));
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let noted = fetch(&path, None).await.unwrap();
    assert!(noted.notes.iter().any(|note| note.contains("may write")), "{:?}", noted.notes);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(label(&fetch(&link, None).await), "changed");
}

#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("to-a-device")).unwrap();
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    let rows = [
        (at("pipe"), "not_a_file", "a pipe"),
        (at("socket"), "not_a_file", "a socket"),
        (at(""), "not_a_file", "a folder"),
        ("/dev/zero".into(), "not_a_file", "a device"),
        (at("to-a-device"), "not_a_file", "a device"),
        (at("missing"), "file", "cannot be read"),
        (at("loop"), "file", "cannot be read"),
    ];
    for (path, wanted, text) in rows {
        let started = std::time::Instant::now();
        let error = fetch(&path, None).await.unwrap_err();
        assert_eq!(error.label(), wanted, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(started.elapsed() < BOUNDS.deadline / 2, "{}", path.display());
    }
}

#[tokio::test]
async fn a_huge_file_is_refused_without_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(label(&fetch(&path, None).await), "too_many_bytes");
    File::create(&path).unwrap().set_len(BOUNDS.body_bytes).unwrap();
    assert_eq!(body(fetch(&path, None).await).len(), 1 << 20);
    // It says that it has nothing and has more.
    let endless = fetch("/proc/kallsyms".as_ref(), None).await;
    assert!(["too_many_bytes", "file"].contains(&label(&endless)), "{}", label(&endless));
}
