//! Expiries across restarts, reboots and wrong clocks.
use super::*;

const NEXT_BOOT: &str = "9a0c53c1-07e5-4a7e-8f57-4a54f1e6d3aa";

/// A store with an entry that lasts an hour, saved at `now`.
fn with_an_hour() -> (TempDir, Expiry) {
    let folder = folder();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    let expiry = now().after(3_600);
    store.apply(&[put("192.0.2.1/32", EntryInfo { expiry: Some(expiry), ..info("", 1) })]).unwrap();
    (folder, expiry)
}

fn at(boot: u64, wall: &str) -> Now {
    Now { boot: BootSeconds(boot), wall: wall.parse().unwrap() }
}

/// What the entry's expiry is when the store is loaded at `now` in `boot_id`; `None` if the entry is not loaded.
#[track_caller]
fn check(now: Now, boot_id: &str, expected: Option<u64>, problems: &[Problem]) {
    let (folder, saved) = with_an_hour();
    let mut store = open(folder.path());
    let loaded = store.load(now, boot_id).unwrap();
    let entries = &loaded.desired.list(BLOCK).unwrap().entries;
    let expiry = entries.values().next().map(|info| info.expiry.unwrap());
    assert_eq!(expiry.map(|expiry| expiry.boot.0), expected);
    assert!(expiry.is_none_or(|expiry| expiry.wall == saved.wall));
    assert_eq!(loaded.problems, problems);

    // Settled, the store says the same whatever the wall clock does afterwards in this boot.
    store.apply(&loaded.settle).unwrap();
    let later = Now { wall: "2099-01-01T00:00:00Z".parse().unwrap(), ..now };
    let again = store.load(later, boot_id).unwrap();
    assert_eq!((again.desired, again.settle, again.problems), (loaded.desired, vec![], vec![]));
}

#[test]
fn same_boot_counts_by_the_boot_clock_whatever_the_wall_clock_says() {
    for wall in ["1970-01-01T00:00:00Z", "2026-03-01T12:30:00Z", "2036-01-01T00:00:00Z"] {
        // The second that had begun when it was made does not count.
        check(at(2_800, wall), BOOT, Some(4_601), &[]);
        check(at(4_600, wall), BOOT, Some(4_601), &[]);
        check(at(4_601, wall), BOOT, None, &[]);
    }
}

#[test]
fn another_boot_counts_what_the_wall_clock_says_is_left() {
    check(at(30, "2026-03-01T12:10:00Z"), NEXT_BOOT, Some(30 + 3_001), &[]);
    // Never early: part of a second is a second, and the one that has begun does not count.
    check(at(30, "2026-03-01T12:59:58.3Z"), NEXT_BOOT, Some(30 + 3), &[]);
    check(at(30, "2026-03-01T13:00:00Z"), NEXT_BOOT, None, &[]);
    check(at(30, "2036-03-01T13:00:00Z"), NEXT_BOOT, None, &[]);
}

#[test]
fn clock_that_starts_in_1970_lengthens_by_no_more_than_the_full_length() {
    for wall in ["1970-01-01T00:00:05Z", "2016-03-01T12:00:00Z", "2026-03-01T11:00:00Z"] {
        check(at(5, wall), NEXT_BOOT, Some(5 + 3_601), &[Problem::ClockBehind { entries: 1 }]);
    }
}

#[test]
fn entries_without_end_stay() {
    let folder = folder();
    open(folder.path()).apply(&[put("192.0.2.1/32", info("", 1))]).unwrap();
    let loaded = open(folder.path()).load(at(1, "2099-01-01T00:00:00Z"), NEXT_BOOT).unwrap();
    assert_eq!((loaded.desired.len(), loaded.settle, loaded.problems), (1, vec![], vec![]));
}

#[test]
fn expiry_saved_before_any_load_is_of_no_known_boot() {
    let folder = folder();
    let expiry = now().after(3_600);
    let entry = EntryInfo { expiry: Some(expiry), ..info("", 1) };
    open(folder.path()).apply(&[put("192.0.2.1/32", entry)]).unwrap();
    let loaded = open(folder.path()).load(at(7, "2026-03-01T12:30:00Z"), BOOT).unwrap();
    let entry = loaded.desired.list(BLOCK).unwrap().entries.get(&net("192.0.2.1/32")).unwrap().clone();
    assert_eq!(entry.expiry.unwrap().boot, BootSeconds(7 + 1_801));
}

#[test]
fn unending_expiry_survives_a_reboot() {
    let folder = folder();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    let expiry = Some(now().after(u64::MAX));
    store.apply(&[put("192.0.2.1/32", EntryInfo { expiry, ..info("", 1) })]).unwrap();
    let loaded = store.load(now(), NEXT_BOOT).unwrap();
    assert_eq!(loaded.desired.len(), 1);
}

#[test]
fn denied_users_are_denied_as_long_as_entries_are() {
    for (boot, moment, expected) in [
        (BOOT, at(1_599, "2036-01-01T00:00:00Z"), Some(1_601)),
        (BOOT, at(1_601, "1970-01-01T00:00:00Z"), None),
        (NEXT_BOOT, at(30, "2026-03-01T12:04:00Z"), Some(30 + 361)),
        (NEXT_BOOT, at(30, "2026-03-01T12:10:00Z"), None),
        (NEXT_BOOT, at(30, "1970-01-01T00:00:00Z"), Some(30 + 601)),
    ] {
        let folder = folder();
        let mut store = open(folder.path());
        let _ = store.load(now(), BOOT).unwrap();
        store.apply(&[Change::PutUser(user(600))]).unwrap();
        let loaded = store.load(moment, boot).unwrap();
        assert_eq!(loaded.users.first().map(|user| user.expiry.boot.0), expected, "{moment:?}");
        store.apply(&loaded.settle).unwrap();
        let again = store.load(moment, boot).unwrap();
        assert_eq!((again.users, again.settle), (loaded.users, vec![]));
    }
}
