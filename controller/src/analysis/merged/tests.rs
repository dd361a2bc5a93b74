use std::fs;

use super::*;

fn line(second: u32, name: &str) -> String {
    format!("192.0.2.7 - - [28/Nov/2026:10:00:{second:02} +0000] \"GET /{name} HTTP/1.1\" 200 9\n")
}

fn paths(files: &[(&str, &[(u32, &str)])]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let put = |(name, lines): &(&str, &[(u32, &str)])| {
        let path = folder.path().join(name);
        let text: String = lines.iter().map(|(second, name)| line(*second, name)).collect();
        fs::write(&path, text).unwrap();
        path
    };
    let paths = files.iter().map(put).collect();
    (folder, paths)
}

fn merged(files: &[PathBuf]) -> Merged<'static> {
    let stdin = || -> Box<dyn Read> { Box::new(std::io::empty()) };
    Merged::new(files, &Choice::default(), &TimeZone::UTC, Timestamp::UNIX_EPOCH, stdin).unwrap()
}

#[track_caller]
fn check(files: &[(&str, &[(u32, &str)])], expected: &str) {
    let (_folder, paths) = paths(files);
    let mut merged = merged(&paths);
    let mut seen = String::new();
    while let Some(event) = merged.next() {
        seen.push_str(event.uri.as_deref().unwrap_or("?").trim_start_matches('/'));
    }
    assert_eq!(seen, expected);
    assert!(merged.next().is_none());
}

#[test]
fn events_of_several_files_come_in_the_order_of_time() {
    check(&[], "");
    check(&[("a", &[])], "");
    check(&[("a", &[(1, "a"), (2, "b")])], "ab");
    check(&[("new", &[(5, "e"), (6, "f")]), ("old", &[(1, "a"), (2, "b")])], "abef");
    check(&[("a", &[(1, "a"), (3, "c"), (5, "e")]), ("b", &[(2, "b"), (4, "d")])], "abcde");
    // At one time, in the order they were named.
    check(&[("a", &[(1, "a"), (1, "b")]), ("b", &[(1, "c")])], "abc");
    // A clock that stepped back in one file holds up neither.
    check(&[("a", &[(5, "a"), (1, "b"), (6, "c")]), ("b", &[(4, "x"), (7, "z")])], "xabcz");
}

#[test]
fn of_a_rotated_set_few_files_are_open_at_once() {
    let sets: Vec<(String, Vec<(u32, &str)>)> = (0..20).map(|at| (format!("{at:02}"), vec![(at, "x")])).collect();
    let files: Vec<(&str, &[(u32, &str)])> =
        sets.iter().map(|(name, lines)| (name.as_str(), lines.as_slice())).collect();
    let (_folder, paths) = paths(&files);
    let mut merged = merged(&paths);
    let mut most = 0;
    while merged.next().is_some() {
        most = most.max(merged.open.len());
    }
    assert!(most <= 2, "{most}");
    assert!(merged.rows().iter().all(|row| row.parsed == 1 && row.problem.is_none()));
}
