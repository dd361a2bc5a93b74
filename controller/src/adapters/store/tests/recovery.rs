//! What is said and done about a store that can't be used as it is.
use std::fs;
use std::os::unix::fs::FileExt as _;

use rusqlite::Connection;

use super::super::schema;
use super::*;

/// A store with the sample in it, with or without a good copy of that.
fn with_sample(copy: bool) -> (TempDir, Everything) {
    let folder = folder();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&sample()).unwrap();
    if copy {
        store.save_good_copy().unwrap();
    }
    let everything = Everything::of(&mut store).unwrap().0;
    (folder, everything)
}

/// Overwrites the first place where `word` stands in the database.
#[track_caller]
fn spoil(folder: &Path, file: &str, word: &str) {
    let path = folder.join(file);
    let content = fs::read(&path).unwrap();
    let at = content.windows(word.len()).position(|bytes| bytes == word.as_bytes()).unwrap();
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"#", at as u64).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn fallback_says_both_files_the_time_of_the_copy_and_what_is_lost() {
    let (folder, copied) = with_sample(true);
    let mut store = open(folder.path());
    let new = (1..=12).map(|n| put(&format!("198.51.100.{n}/32"), info("new", n)));
    store.apply(&new.chain([remove("192.0.2.4/32"), remove("192.0.2.5/32")]).collect::<Vec<_>>()).unwrap();
    drop(store);
    let before = Timestamp::now();
    spoil(folder.path(), "weir.db", "reason 7");

    let (mut store, problems) = Store::open(folder.path()).unwrap();
    let [Problem::FellBack { db, good, broken, copied_at, entries, difference, .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(*copied_at <= before && copied_at.duration_since(before).abs().as_secs() < 60);
    assert_eq!((*entries, difference.missing, difference.restored), (322, 12, 3));
    assert_eq!(difference.examples.len(), 8);
    let text = problems[0].to_string();
    let broken = broken.as_ref().unwrap();
    for part in [db, good, broken] {
        assert!(text.contains(part.to_str().unwrap()), "{text}");
    }
    for part in ["322 entries", "12 entries that could still be read are not in it", "198.51.100.1/32", " and 4 more)"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(Everything::of(&mut store).unwrap(), (copied, vec![]));
    // What is kept can be looked into.
    let broken = Connection::open(broken).unwrap();
    let rows: i64 = broken.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 32);
    drop(store);
    open(folder.path());
}

#[test]
fn problems_are_told_again_until_the_store_has_been_loaded() {
    let (folder, copied) = with_sample(true);
    let mut store = open(folder.path());
    store.apply(&[put("198.51.100.1/32", info("new", 50))]).unwrap();
    drop(store);
    spoil(folder.path(), "weir.db", "reason 7");
    let (store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
    drop(store);
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(problems[..], [Problem::Behind { .. }]), "{problems:?}");
    assert_eq!(Everything::of(&mut store).unwrap().0, copied);
    drop(store);
    open(folder.path());
}

#[test]
fn salvage_says_how_many_rows_are_lost_and_keeps_the_others() {
    let (folder, saved) = with_sample(false);
    spoil(folder.path(), "weir.db", "reason 7");
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    let [Problem::Salvaged { entries: 321, lost: Some(1), .. }] = &problems[..] else { panic!("{problems:?}") };
    assert!(problems[0].to_string().contains("rows lost: 1. "), "{}", problems[0]);
    let mut expected = saved;
    expected.desired.list_mut(BLOCK).unwrap().entries.remove(&net("192.0.2.7/32"));
    assert_eq!(Everything::of(&mut store).unwrap(), (expected, vec![]));
}

#[test]
fn salvage_without_the_header_of_a_list_has_nothing_of_that_list() {
    let (folder, saved) = with_sample(false);
    spoil(folder.path(), "weir.db", "feeddeny");
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    let [Problem::Salvaged { entries: 22, .. }] = &problems[..] else { panic!("{problems:?}") };
    let mut expected = saved;
    expected.desired.remove_list(FEED);
    expected.totals.remove(&FEED);
    assert_eq!(Everything::of(&mut store).unwrap(), (expected, vec![]));
}

#[test]
fn broken_definition_of_one_table_does_not_cost_the_others() {
    let (folder, saved) = with_sample(false);
    spoil(folder.path(), "weir.db", "CREATE TABLE settings");
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(&problems[..], [Problem::Salvaged { lost: Some(2), .. }]), "{problems:?}");
    assert_eq!(Everything::of(&mut store).unwrap().0, Everything { settings: vec![None; 3], ..saved });
}

#[test]
fn damaged_copy_of_a_damaged_store_is_said_to_be_damaged() {
    let (folder, _) = with_sample(true);
    spoil(folder.path(), "weir.db", "reason 7");
    spoil(folder.path(), "weir.db.good", "reason 8");
    let (_store, problems) = Store::open(folder.path()).unwrap();
    let [Problem::CopyDamaged { .. }, Problem::Salvaged { lost: Some(1), .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
}

#[test]
fn many_breakdowns_leave_one_broken_file() {
    let (folder, _) = with_sample(true);
    for n in 0..6 {
        let word = format!("reason {n}");
        spoil(folder.path(), "weir.db", &word);
        let (mut store, problems) = Store::open(folder.path()).unwrap();
        assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
        let _ = store.load(now(), BOOT).unwrap();
        store.save_good_copy().unwrap();
    }
    let expected = ["weir.db", "weir.db.broken", "weir.db.good", "weir.db.last", "weir.lock"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn half_made_files_of_a_killed_daemon_are_cleared_away() {
    let (folder, saved) = with_sample(true);
    for name in ["weir.db.new", "weir.db.new-journal", "weir.db.good.new", "weir.db.good.new-wal", "weir.db-shm"] {
        fs::write(folder.path().join(name), b"half").unwrap();
    }
    assert_eq!(Everything::of(&mut open(folder.path())).unwrap().0, saved);
    assert_eq!(names(folder.path()), ["weir.db", "weir.db.good", "weir.db.last", "weir.lock"]);
}

#[test]
fn store_of_a_later_weir_is_refused_and_left_alone() {
    let (folder, _) = with_sample(true);
    let later = Connection::open(folder.path().join("weir.db")).unwrap();
    later.pragma_update(None, "user_version", 4).unwrap();
    schema::stamp(&later, 4, "9.8.7").unwrap();
    later.close().unwrap();
    let before = fs::read(folder.path().join("weir.db")).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    let StoreError::Newer { found: 4, known: 3, .. } = &error else { panic!("{error}") };
    let text = error.to_string();
    for part in ["weir.db", "weir 9.8.7 (schema 4)", concat!("weir ", env!("CARGO_PKG_VERSION")), "up to 3"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(fs::read(folder.path().join("weir.db")).unwrap(), before);
}

#[test]
fn store_of_the_weir_before_is_brought_up_to_date_with_all_that_is_in_it() {
    let (folder, saved) = with_sample(false);
    let made = [Change::RemoveRule { id: "own".to_owned() }, Change::RemoveUser { user: "bob".to_owned() }];
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&made).unwrap();
    drop(store);
    let before = Connection::open(folder.path().join("weir.db")).unwrap();
    before.execute_batch("DROP TABLE rules; DROP TABLE users;").unwrap();
    before.pragma_update(None, "user_version", 2).unwrap();
    schema::stamp(&before, 2, "0.0.9").unwrap();
    before.close().unwrap();
    let mut store = open(folder.path());
    let (after, problems) = Everything::of(&mut store).unwrap();
    assert_eq!(problems, []);
    assert_eq!(after, Everything { rules: BTreeMap::new(), users: Vec::new(), ..saved });
    store.apply(&[Change::PutRule { id: "own".to_owned(), rule: "{}".to_owned() }]).unwrap();
    drop(store);
    assert_eq!(Everything::of(&mut open(folder.path())).unwrap().0.rules.len(), 1);
}

#[test]
fn version_that_nobody_wrote_is_damage() {
    for version in [0, 1, 2, 4, -1] {
        let (folder, saved) = with_sample(true);
        let connection = Connection::open(folder.path().join("weir.db")).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        connection.close().unwrap();
        let (mut store, problems) = Store::open(folder.path()).unwrap();
        assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
        assert_eq!(Everything::of(&mut store).unwrap().0, saved);
    }
}

#[test]
fn older_database_put_in_place_is_noticed_and_a_later_copy_preferred() {
    let (folder, _) = with_sample(false);
    let (db, aside) = (folder.path().join("weir.db"), folder.path().join("aside"));
    fs::copy(&db, &aside).unwrap();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&[put("198.51.100.1/32", info("later", 50))]).unwrap();
    let later = Everything::of(&mut store).unwrap().0;
    drop(store);

    fs::copy(&aside, &db).unwrap();
    let (store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(problems[..], [Problem::Behind { at: 2, acknowledged: 3, .. }]), "{problems:?}");
    drop(store);

    // With the copy of a later change at hand, that is what is gone on with.
    fs::remove_file(folder.path().join("weir.db.last")).unwrap();
    let mut store = open(folder.path());
    store.apply(&[put("198.51.100.1/32", info("later", 50))]).unwrap();
    store.save_good_copy().unwrap();
    drop(store);
    fs::copy(&aside, &db).unwrap();
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
    assert!(problems[0].to_string().contains("weir.db.last"), "{}", problems[0]);
    assert_eq!(Everything::of(&mut store).unwrap().0, later);
}

#[test]
fn damage_while_running_is_found_by_the_next_copy_and_keeps_the_one_before() {
    let (folder, copied) = with_sample(true);
    let good = fs::read(folder.path().join("weir.db.good")).unwrap();
    let mut store = open(folder.path());
    store.apply(&[put("198.51.100.1/32", info("later", 50))]).unwrap();
    store.fold_log().unwrap();
    spoil(folder.path(), "weir.db", "reason 7");
    // Until now, the pages were in memory as they were written.
    store.connection.release_memory().unwrap();
    let error = store.save_good_copy().unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(folder.path().join("weir.db.good")).unwrap(), good);
    assert!(!folder.path().join("weir.db.good.new").exists());
    let loaded = store.load(now(), BOOT).unwrap();
    assert!(matches!(loaded.problems[..], [Problem::Unreadable { .. }]), "{:?}", loaded.problems);
    assert_eq!(loaded.desired.len(), copied.desired.len());
    drop(store);
    let (mut store, problems) = Store::open(folder.path()).unwrap();
    assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
    assert_eq!(Everything::of(&mut store).unwrap().0, copied);
}

#[test]
fn copy_is_made_only_after_a_change() {
    let (folder, _) = with_sample(true);
    let good = folder.path().join("weir.db.good");
    let mut store = open(folder.path());
    store.save_good_copy().unwrap();
    fs::remove_file(&good).unwrap();
    store.save_good_copy().unwrap();
    assert!(!good.exists());
    store.apply(&[setting("sequence", "32")]).unwrap();
    store.save_good_copy().unwrap();
    assert!(good.exists());
}
