use std::os::unix::fs::PermissionsExt as _;

use jiff::Timestamp;

use super::cases::LIST;
use crate::adapters::feeds::cache::{Cache, Copy, Meta};
use crate::adapters::feeds::fetch::{Validators, hash};

const SOURCE: [u8; 32] = [3; 32];
const MOST: u64 = 1 << 20;

fn meta(feed: &str, body: &[u8]) -> Meta {
    Meta {
        feed: feed.to_owned(),
        source: SOURCE,
        validators: Validators { etag: Some("\"1\"".to_owned()), last_modified: None, index: Some([5; 32]) },
        sha256: hash(body),
        fetched_at: Timestamp::UNIX_EPOCH,
        checked_at: Timestamp::UNIX_EPOCH,
        entries: 2,
    }
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let listed = std::fs::read_dir(folder.join("feeds")).unwrap();
    let mut names: Vec<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_read_back_as_it_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap(), None);
    cache.save(&meta("a", LIST), LIST).unwrap();
    let copy = cache.load("a", SOURCE, MOST).unwrap().unwrap();
    assert_eq!(copy, Copy { meta: meta("a", LIST), body: LIST.to_vec() });
    cache.save(&meta("a", b"other"), b"other").unwrap();
    let mut later = meta("a", b"other");
    later.checked_at = Timestamp::from_second(9).unwrap();
    cache.touch(&later).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap().unwrap(), Copy { meta: later, body: b"other".to_vec() });
    assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
    for name in names(folder.path()) {
        let mode = std::fs::metadata(folder.path().join("feeds").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn no_flipped_or_missing_byte_gives_another_body() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    cache.save(&meta("a", LIST), LIST).unwrap();
    let mut refused = 0;
    for name in names(folder.path()) {
        let path = folder.path().join("feeds").join(name);
        let whole = std::fs::read(&path).unwrap();
        let flipped = (0..whole.len()).flat_map(|at| {
            [1u8, 0x20, 0x80].map(|bit| {
                let mut bytes = whole.clone();
                bytes[at] ^= bit;
                bytes
            })
        });
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        for bytes in flipped.chain(cut) {
            std::fs::write(&path, bytes).unwrap();
            match cache.load("a", SOURCE, MOST) {
                Ok(Some(copy)) => assert_eq!(copy.body, LIST),
                Ok(None) => panic!("a damaged copy is no missing copy"),
                Err(error) => {
                    refused += 1;
                    assert!(["cache_damaged", "cache_foreign"].contains(&error.label()), "{error}");
                    assert!(error.to_string().contains("feed a "), "{error}");
                }
            }
        }
        std::fs::write(&path, whole).unwrap();
    }
    assert!(refused > 300, "{refused}");
    assert!(cache.load("a", SOURCE, MOST).unwrap().is_some());
}

#[test]
fn a_copy_of_another_feed_or_source_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    cache.save(&meta("a", LIST), LIST).unwrap();
    assert_eq!(cache.load("a", [4; 32], MOST).unwrap_err().label(), "cache_foreign");
    cache.save(&meta("b", LIST), LIST).unwrap();
    let at = |start: &str| {
        let name = names(folder.path()).into_iter().find(|name| name.starts_with(start) && name.ends_with("json"));
        folder.path().join("feeds").join(name.unwrap())
    };
    std::fs::copy(at("b-"), at("a-")).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap_err().label(), "cache_foreign");
}

#[test]
fn a_copy_beyond_the_limit_is_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let bomb = vec![b'#'; 8 << 20];
    cache.save(&meta("a", &bomb), &bomb).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap_err().label(), "cache_too_large");
    assert_eq!(cache.load("a", SOURCE, 8 << 20).unwrap().unwrap().body.len(), 8 << 20);
    let document = names(folder.path()).into_iter().find(|name| name.ends_with("json")).unwrap();
    std::fs::write(folder.path().join("feeds").join(document), vec![b' '; 1 << 20]).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap_err().label(), "cache_damaged");
}

#[test]
fn names_of_feeds_lead_to_no_other_place_and_to_no_other_copy() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let feeds = ["../../etc/passwd", "a/b", "a_b", "", ".", "..", "\u{202e}x\0y", &"n".repeat(4_000), "a.b", "a-b"];
    for (number, feed) in feeds.iter().enumerate() {
        let body = number.to_string();
        cache.save(&meta(feed, body.as_bytes()), body.as_bytes()).unwrap();
    }
    for (number, feed) in feeds.iter().enumerate() {
        assert_eq!(cache.load(feed, SOURCE, MOST).unwrap().unwrap().body, number.to_string().as_bytes());
    }
    assert_eq!(names(folder.path()).len(), 2 * feeds.len());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn copies_of_feeds_no_longer_configured_go_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    for feed in ["a", "a-b", "gone"] {
        cache.save(&meta(feed, LIST), LIST).unwrap();
    }
    let mine = folder.path().join("feeds/README");
    std::fs::write(&mine, "mine").unwrap();
    let half = names(folder.path()).into_iter().find(|name| name.starts_with("a-")).unwrap();
    let half = format!("{}.new", half.split('.').next().unwrap());
    std::fs::write(folder.path().join("feeds").join(half), "half").unwrap();
    assert_eq!(cache.retain(&["a", "a-b"]).unwrap(), 3);
    assert!(mine.exists() && cache.load("gone", SOURCE, MOST).unwrap().is_none());
    assert!(cache.load("a", SOURCE, MOST).unwrap().is_some() && cache.load("a-b", SOURCE, MOST).unwrap().is_some());
}

#[test]
fn a_copy_is_never_read_through_a_link_or_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    cache.save(&meta("a", LIST), LIST).unwrap();
    let document = names(folder.path()).into_iter().find(|name| name.ends_with("json")).unwrap();
    let path = folder.path().join("feeds").join(document);
    std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap_err().label(), "cache_io");
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(cache.load("a", SOURCE, MOST).unwrap_err().label(), "cache_io");
}
