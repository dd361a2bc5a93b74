//! Disks that are full, read-only or limited. The small ones are mounted in a namespace of the test's own thread.
use std::fs;
use std::io;
use std::ptr;

use super::*;

/// Runs a test with a folder on a file system of its own, which ends with the test.
fn on_small_disk(options: &str, test: impl FnOnce(&Path) + Send) {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: takes no pointers and changes the calling thread only.
            let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
            assert_eq!(unshared, 0, "this test needs root: {}", io::Error::last_os_error());
            mount("none", Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, "");
            mount("none", folder.path(), Some("tmpfs"), 0, options);
            test(folder.path());
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[track_caller]
fn mount(source: &str, target: &Path, kind: Option<&str>, flags: libc::c_ulong, options: &str) {
    let text = |text: &str| std::ffi::CString::new(text).unwrap();
    let (source, target, options) = (text(source), text(target.to_str().unwrap()), text(options));
    let kind = kind.map(text);
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    // SAFETY: every pointer is a text that outlives the call, or null where none is needed.
    let mounted = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, options.as_ptr().cast()) };
    assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
}

/// Takes every byte that is left.
fn fill(folder: &Path) {
    let mut ballast = fs::OpenOptions::new().create(true).append(true).open(folder.join("ballast")).unwrap();
    for size in [65_536, 4_096, 1] {
        while io::Write::write_all(&mut ballast, &vec![1; size]).is_ok() {}
    }
}

fn relieve(folder: &Path) {
    fs::remove_file(folder.join("ballast")).unwrap();
}

#[track_caller]
fn assert_no_space(outcome: Result<(), StoreError>) {
    let error = outcome.unwrap_err();
    let (StoreError::Write { why: Why::NoSpace, .. } | StoreError::File { why: Why::NoSpace, .. }) = &error else {
        panic!("{error:?}")
    };
    let text = error.to_string();
    assert!(text.contains("weir.db") && text.contains("no space is left on its file system"), "{text}");
}

/// Applies entry after entry until it fails; says how many were saved.
fn apply_until_full(store: &mut Store, from: u32) -> u32 {
    for n in from..100_000 {
        let prefix = IpNet::new(n.to_be_bytes().into(), 32).unwrap();
        let info = info(&"why ".repeat(50), u64::from(n));
        if let Err(error) = store.apply(&[Change::PutEntry { list: BLOCK, prefix, info }]) {
            assert_no_space(Err(error));
            return n;
        }
    }
    panic!("the disk is never full");
}

#[test]
fn full_disk_keeps_what_was_saved_and_goes_on_once_there_is_room() {
    on_small_disk("size=1m,mode=0700", |folder| {
        let mut store = open(folder);
        let _ = store.load(now(), BOOT).unwrap();
        store.apply(&sample()).unwrap();
        store.save_good_copy().unwrap();
        let good = fs::read(folder.join("weir.db.good")).unwrap();
        let mut saved = 0;
        for round in 0..5 {
            store.apply(&[setting("sequence", &format!("before {round}"))]).unwrap();
            fill(folder);
            saved = apply_until_full(&mut store, saved);
            let (before, problems) = Everything::of(&mut store).unwrap();
            assert_eq!(problems, []);
            assert_eq!(before.desired.len(), 322 + saved as usize, "round {round}");
            assert_no_space(store.apply(&[setting("config", &"x".repeat(2_000_000)), remove("192.0.2.1/32")]));
            assert_no_space(store.save_good_copy());
            assert_eq!(fs::read(folder.join("weir.db.good")).unwrap(), good);
            assert!(!folder.join("weir.db.good.new").exists());
            assert_eq!(Everything::of(&mut store).unwrap().0, before);
            relieve(folder);
            store.apply(&[setting("sequence", &round.to_string())]).unwrap();
            saved += 1;
            let prefix = IpNet::new((saved - 1).to_be_bytes().into(), 32).unwrap();
            store.apply(&[Change::PutEntry { list: BLOCK, prefix, info: info("room", 1) }]).unwrap();
            if round % 2 == 0 {
                let before = Everything::of(&mut store).unwrap().0;
                drop(store);
                store = open(folder);
                assert_eq!(Everything::of(&mut store).unwrap().0, before);
            }
        }
        report(&format!("entries saved on a disk of 1 MiB that was full five times: {saved}"));
    });
}

#[test]
fn start_on_a_full_disk_has_everything() {
    on_small_disk("size=1m,mode=0700", |folder| {
        let mut store = open(folder);
        let _ = store.load(now(), BOOT).unwrap();
        store.apply(&sample()).unwrap();
        let saved = Everything::of(&mut store).unwrap().0;
        drop(store);
        fill(folder);
        let mut store = open(folder);
        assert_eq!(Everything::of(&mut store).unwrap(), (saved.clone(), vec![]));
        assert_no_space(store.apply(&[remove("192.0.2.1/32")]));
        drop(store);
        assert_eq!(Everything::of(&mut open(folder)).unwrap(), (saved, vec![]));
        relieve(folder);
        open(folder).apply(&[remove("192.0.2.1/32")]).unwrap();
    });
}

#[test]
fn on_a_full_disk_the_log_is_folded_and_used_again() {
    on_small_disk("size=1m,mode=0700", |folder| {
        let mut store = open(folder);
        let change = |n: u32| [setting("config", &format!("{n:1000}"))];
        store.apply(&change(0)).unwrap();
        // As happens by itself after a thousand pages.
        store.fold_log().unwrap();
        (1..20).for_each(|n| store.apply(&change(n)).unwrap());
        fill(folder);
        (20..500).for_each(|n| store.apply(&change(n)).unwrap());
        drop(store);
        assert_eq!(open(folder).setting("config").unwrap(), Some(format!("{:1000}", 499)));
    });
}

#[test]
fn start_without_a_free_inode_says_so() {
    on_small_disk("size=1m,nr_inodes=8,mode=0700", |folder| {
        let mut store = open(folder);
        store.apply(&sample()).unwrap();
        let saved = Everything::of(&mut store).unwrap().0;
        for n in 0.. {
            if fs::write(folder.join(format!("ballast{n}")), "").is_err() {
                break;
            }
        }
        // The files that are open are enough to go on.
        store.apply(&[setting("config", "x")]).unwrap();
        assert_no_space(store.save_good_copy());
        store.apply(&[setting("config", "interfaces = [\"eth0\"]\n")]).unwrap();
        drop(store);
        // The log was removed with the end of the daemon; two files came in its place.
        fs::write(folder.join("ballast"), "").unwrap();
        match Store::open(folder) {
            Ok(_) => panic!("there was an inode left"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("weir.db") && text.contains("no space is left"), "{error:?}");
            }
        }
        fs::remove_file(folder.join("ballast")).unwrap();
        assert_eq!(Everything::of(&mut open(folder)).unwrap(), (saved, vec![]));
    });
}

#[test]
fn store_that_never_had_room_is_not_half_made() {
    on_small_disk("size=1m,mode=0700", |folder| {
        fill(folder);
        assert_no_space(Store::open(&folder.join("state")).map(drop));
        relieve(folder);
        open(&folder.join("state"));
    });
}

#[test]
fn damaged_store_on_a_full_disk_is_left_as_it_is_until_there_is_room() {
    on_small_disk("size=1m,mode=0700", |folder| {
        let mut store = open(folder);
        let _ = store.load(now(), BOOT).unwrap();
        store.apply(&sample()).unwrap();
        store.save_good_copy().unwrap();
        let saved = Everything::of(&mut store).unwrap().0;
        drop(store);
        let mut content = fs::read(folder.join("weir.db")).unwrap();
        content[20_000..40_000].fill(0);
        fs::write(folder.join("weir.db"), &content).unwrap();
        fill(folder);
        assert_no_space(Store::open(folder).map(drop));
        relieve(folder);
        let (mut store, problems) = Store::open(folder).unwrap();
        assert!(matches!(problems[..], [Problem::FellBack { .. }]), "{problems:?}");
        assert_eq!(Everything::of(&mut store).unwrap().0, saved);
    });
}

#[test]
fn read_only_disk_is_named() {
    on_small_disk("size=1m,mode=0700", |folder| {
        let mut store = open(folder);
        store.apply(&sample()).unwrap();
        drop(store);
        mount("none", folder, None, libc::MS_REMOUNT | libc::MS_RDONLY, "");
        let error = Store::open(folder).unwrap_err();
        assert!(matches!(error, StoreError::File { why: Why::ReadOnly, .. }), "{error:?}");
        assert!(error.to_string().contains("its file system is read-only; mount it writable"), "{error}");
        mount("none", folder, None, libc::MS_REMOUNT, "");
        assert_eq!(open(folder).load(now(), BOOT).unwrap().desired.len(), 322);
    });
}

#[test]
fn events_on_a_full_disk_are_written_once_there_is_room_and_what_was_there_stays() {
    use crate::domain::http::event::{Event, EventKind};
    use crate::domain::http::recorded::{self, Recorded};

    on_small_disk("size=1m,mode=0700", |folder| {
        let (mut store, problem) = EventStore::open(folder, SharedPrivacy::default()).unwrap();
        assert_eq!(problem, None);
        let events = |from: u32| -> Vec<Recorded> {
            let event = |number: u32| {
                let mut event = Event::new(Timestamp::from_second(1_790_000_000).unwrap(), EventKind::AuthFailed);
                event.user = Some(format!("user{number}"));
                event.message = Some("why ".repeat(50));
                Recorded::of(&event, recorded::class_of(&event), true)
            };
            (from..from + 50).map(event).collect()
        };
        let mut kept = store.record(&events(0)).unwrap().len();
        fill(folder);
        let error = loop {
            match store.record(&events(u32::try_from(kept).unwrap())) {
                Ok(heads) => kept += heads.len(),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("no space is left"), "{error}");
        let count = |store: &EventStore| {
            let mut count = 0;
            store.event_heads(|_| count += 1).unwrap();
            count
        };
        assert_eq!(count(&store), kept, "all of it or nothing");
        relieve(folder);
        kept += store.record(&events(u32::try_from(kept).unwrap())).unwrap().len();
        assert_eq!(count(&store), kept);
        drop(store);
        let (store, problem) = EventStore::open(folder, SharedPrivacy::default()).unwrap();
        assert_eq!((problem, count(&store)), (None, kept));
    });
}
