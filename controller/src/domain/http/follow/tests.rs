use super::*;

mod model;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn id(inode: u64) -> FileId {
    FileId { device: 1, inode }
}

fn seen(inode: u64, text: &str, born: i64) -> Seen {
    let head = text.as_bytes().iter().copied().take(HEAD_BYTES).collect();
    Seen { id: id(inode), size: text.len() as u64, head, born: Some(at(born)) }
}

fn mark(inode: u64, read: &str) -> Mark {
    let fingerprint = Fingerprint::of(read.as_bytes());
    Mark { id: id(inode), born: None, offset: read.len() as u64, fingerprint, is_closed: false }
}

fn read(inode: u64, from: u64, why: Why) -> Reading {
    Reading { id: id(inode), from, why }
}

/// What is planned at second 100 after a look at second 50.
#[track_caller]
fn check(marks: &[Mark], look: &Look<'_>, readings: &[Reading], lost: &[Lost]) {
    let plan = plan(marks, Some(at(50)), Unknown::FromStart, look);
    assert_eq!((plan.readings.as_slice(), plan.lost.as_slice()), (readings, lost));
}

const NOTHING: Look<'static> = Look { now: Timestamp::UNIX_EPOCH, at_path: None, held: &[], siblings: &[] };

#[test]
fn the_first_file_is_read_from_its_end_if_it_was_there_before() {
    let there = seen(1, "a\nb\n", 0);
    let look = Look { at_path: Some(&there), ..NOTHING };
    assert_eq!(plan(&[], None, Unknown::FromEnd, &look).readings, [read(1, 4, Why::FromEnd)]);
    assert_eq!(plan(&[], None, Unknown::FromStart, &look).readings, [read(1, 0, Why::New)]);
    assert_eq!(plan(&[], None, Unknown::FromEnd, &NOTHING), Plan::default());
}

#[test]
fn a_file_that_grew_is_read_on_and_one_rotated_away_before_the_new_one() {
    let (old, new) = (seen(1, "a\nb\nc\n", 0), seen(2, "d\n", 60));
    let marks = [mark(1, "a\nb\n")];
    check(&marks, &Look { at_path: Some(&old), ..NOTHING }, &[read(1, 4, Why::GoesOn)], &[]);
    let rotated = [read(1, 4, Why::GoesOn), read(2, 0, Why::New)];
    check(
        &marks,
        &Look { at_path: Some(&new), now: at(100), held: std::slice::from_ref(&old), siblings: &[] },
        &rotated,
        &[],
    );
    // While nobody held it, it is found by its number.
    check(
        &marks,
        &Look { at_path: Some(&new), now: at(100), held: &[], siblings: std::slice::from_ref(&old) },
        &rotated,
        &[],
    );
    // The new one is not there yet.
    check(&marks, &Look { siblings: std::slice::from_ref(&old), ..NOTHING }, &[read(1, 4, Why::GoesOn)], &[]);
}

#[test]
fn a_truncated_file_starts_over_whatever_its_size() {
    for text in ["", "x\n", "x\ny\nz\nand more\n"] {
        let there = seen(1, text, 0);
        let lost = [Lost::Truncated { offset: 4 }];
        check(&[mark(1, "a\nb\n")], &Look { at_path: Some(&there), ..NOTHING }, &[read(1, 0, Why::StartedOver)], &lost);
    }
}

#[test]
fn the_rest_of_a_truncated_file_comes_from_its_copy() {
    let (there, copy) = (seen(1, "x\ny\nz\n", 0), seen(2, "a\nb\nc\n", 60));
    let look = Look { at_path: Some(&there), now: at(100), held: &[], siblings: std::slice::from_ref(&copy) };
    check(&[mark(1, "a\nb\n")], &look, &[read(2, 4, Why::Copy), read(1, 0, Why::StartedOver)], &[]);
    // A copy that is shorter than what was read is none of it.
    let short = seen(2, "a\n", 60);
    let look = Look { at_path: Some(&there), now: at(100), held: &[], siblings: std::slice::from_ref(&short) };
    let plan = plan(&[mark(1, "a\nb\n")], Some(at(50)), Unknown::FromStart, &look);
    assert_eq!(plan.lost, [Lost::Truncated { offset: 4 }]);
}

#[test]
fn a_copy_of_a_file_that_is_whole_is_not_read() {
    let (there, copy) = (seen(1, "a\nb\nc\n", 0), seen(2, "a\nb\nc\n", 60));
    let look = Look { at_path: Some(&there), now: at(100), held: &[], siblings: std::slice::from_ref(&copy) };
    check(&[mark(1, "a\nb\n")], &look, &[read(1, 4, Why::GoesOn)], &[]);
    // Nor if nothing was read of it yet.
    check(&[mark(1, "")], &look, &[read(1, 0, Why::GoesOn)], &[]);
}

#[test]
fn files_that_came_and_went_between_two_looks_are_read_in_their_order() {
    let (oldest, old, new) = (seen(1, "a\nb\n", 0), seen(3, "c\n", 60), seen(2, "e\n", 80));
    let siblings = [seen(4, "d\n", 70), oldest, old, seen(5, "long ago\n", 10)];
    let look = Look { at_path: Some(&new), now: at(100), held: &[], siblings: &siblings };
    let expected = [read(1, 2, Why::GoesOn), read(3, 0, Why::Missed), read(4, 0, Why::Missed), read(2, 0, Why::New)];
    check(&[mark(1, "a\n")], &look, &expected, &[]);
}

#[test]
fn a_number_that_was_given_anew_is_another_file() {
    // Deleted and made anew at once: the same number, another beginning.
    let there = seen(1, "x\ny\n", 60);
    let lost = [Lost::Truncated { offset: 2 }];
    check(&[mark(1, "a\n")], &Look { at_path: Some(&there), ..NOTHING }, &[read(1, 0, Why::StartedOver)], &lost);
    // Under another name, it was made, filled and rotated away unseen.
    let new = seen(2, "z\n", 70);
    let look = Look { at_path: Some(&new), now: at(100), held: &[], siblings: std::slice::from_ref(&there) };
    let expected = [read(1, 0, Why::Missed), read(2, 0, Why::New)];
    check(&[mark(1, "a\n")], &look, &expected, &[Lost::Gone { offset: 2 }]);
}

#[test]
fn a_file_that_is_gone_is_said_to_be_unless_nothing_was_expected_of_it() {
    let new = seen(2, "z\n", 70);
    let look = Look { at_path: Some(&new), ..NOTHING };
    check(&[mark(1, "a\n")], &look, &[read(2, 0, Why::New)], &[Lost::Gone { offset: 2 }]);
    check(&[Mark { is_closed: true, ..mark(1, "a\n") }], &look, &[read(2, 0, Why::New)], &[]);
}

#[test]
fn only_so_many_files_are_kept_in_mind() {
    let mut held: Vec<Seen> = (1..=16).map(|inode| seen(inode, &format!("{inode}\nand more\n"), 0)).collect();
    let new = seen(17, "new\n", 60);
    let look = Look { at_path: Some(&new), now: at(100), held: &held, siblings: &[] };
    let mut marks: Vec<Mark> = (1..=16).map(|inode| mark(inode, &format!("{inode}\n"))).collect();
    let all = plan(&marks, Some(at(50)), Unknown::FromStart, &look);
    assert_eq!(all.lost, [Lost::TooMany { offset: 2 }]);
    assert_eq!(all.readings.len(), MOST_MARKS);
    // Rather one that was read to its end, and rather still one that nothing more is expected of.
    held[6] = seen(7, "7\n", 0);
    let look = Look { at_path: Some(&new), now: at(100), held: &held, siblings: &[] };
    let all = plan(&marks, Some(at(50)), Unknown::FromStart, &look);
    assert!(all.lost.is_empty() && all.readings.iter().all(|reading| reading.id != id(7)), "{all:?}");
    marks[4].is_closed = true;
    let all = plan(&marks, Some(at(50)), Unknown::FromStart, &look);
    assert!(all.lost.is_empty() && all.readings.iter().all(|reading| reading.id != id(5)), "{all:?}");
}

#[test]
fn names_of_rotated_files_are_known_and_others_are_not() {
    for (base, name, expected) in [
        ("access.log", "access.log.1", true),
        ("access.log", "access.log.10", true),
        ("access.log", "access.log-20261128", true),
        ("access.log", "access.log-2026-11-28T00:00", true),
        ("access.log", "access.log.old", true),
        ("access.log", "access.1.log", true),
        ("access.log", "access-20261128.log", true),
        ("access.log", "access.log", false),
        ("access.log", "access.log.1.gz", false),
        ("access.log", "access.log.", false),
        ("access.log", "access.logs", false),
        ("access.log", "access.log.bak.txt", false),
        ("access.log", "other.log.1", false),
        ("access.log", "access-blog.log", false),
        ("access.log", "access.err.log", false),
        ("access", "access.1", true),
        ("", "", false),
    ] {
        assert_eq!(is_rotated_name(base, name), expected, "{base} {name}");
    }
    for (name, expected) in [("a.log.1.gz", true), ("a.zst", true), ("a.log", false), ("gz", false), ("", false)] {
        assert_eq!(is_compressed_name(name), expected, "{name}");
    }
}

#[test]
fn only_old_lines_that_were_there_before_are_history() {
    let limit = SignedDuration::from_mins(5);
    for (is_catch_up, own_time, expected) in [
        (true, Some(at(0)), true),
        (true, Some(at(1_000)), false),
        (true, Some(at(1_000_000)), false),
        (true, None, true),
        (false, Some(at(0)), false),
        (false, None, false),
    ] {
        assert_eq!(is_history(is_catch_up, own_time, at(1_001), limit), expected, "{is_catch_up} {own_time:?}");
    }
}

#[test]
fn checkpoints_come_back_as_they_were_written() {
    let marks = vec![mark(1, "a\n"), Mark { is_closed: true, ..mark(u64::MAX, "b") }];
    let checkpoint = Checkpoint { path: "/var/log/nginx/access.log".into(), marks, looked_at: at(1) };
    let text = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), checkpoint);
}

#[test]
fn a_beginning_is_told_by_all_that_was_read_of_it() {
    let head = vec![b'x'; HEAD_BYTES];
    let fingerprint = Fingerprint::of(&head);
    assert!(fingerprint.begins(&head) && fingerprint.begins(&[&head[..], b"more"].concat()));
    assert!(!fingerprint.begins(&head[1..]) && !fingerprint.begins(b""));
    assert!(Fingerprint::of(b"").begins(b"anything") && !Fingerprint::of(b"").is_telling());
}
