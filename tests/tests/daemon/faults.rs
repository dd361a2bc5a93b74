//! What happens to a machine: its power goes, its clock is wrong, its kernel refuses.
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir::adapters::kernel::object::open_map;
use weir::adapters::kernel::sys;
use weir::domain::http::alert::Alert;
use weir::domain::report::{EventList, ReputationRow};
use weir_common::abi::OverlayValue;
use weir_tests::harness::api::change;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// Where [`Disk`]'s filesystem stops at once, as the kernel's header `ext4.h` numbers it.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Nothing is written any more, not even the journal.
static NO_LOG_FLUSH: u32 = 2;

/// A disk of its own, whose power can be cut.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

#[track_caller]
fn run(program: &str, args: &[&OsStr]) {
    let outcome = Command::new(program).args(args).output();
    let outcome = outcome.unwrap_or_else(|error| panic!("{program}: {error}; install it with `cargo xtask setup`"));
    assert!(outcome.status.success(), "{program}: {}", String::from_utf8_lossy(&outcome.stderr));
}

impl Disk {
    fn new(image: PathBuf, mounted: PathBuf) -> Self {
        File::create(&image).unwrap().set_len(96 << 20).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()]);
        fs::create_dir(&mounted).unwrap();
        let disk = Self { image, mounted };
        disk.mount();
        fs::remove_dir(disk.mounted.join("lost+found")).unwrap();
        disk
    }

    fn mount(&self) {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.mounted.as_ref()]);
    }

    fn unmount(&self) {
        // A process that another test has just forked holds all that was open, until it is another program.
        wait_for("the disk to be unmounted", PATIENCE, || {
            Command::new("umount").arg(&self.mounted).output().unwrap().status.success().then_some(())
        });
    }

    /// The way to its switch.
    fn switch(&self) -> File {
        File::open(&self.mounted).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left is in the test's own folder, and the failure of the test is what should be seen.
        drop(Command::new("umount").arg("-l").arg(&self.mounted).output());
    }
}

fn cut(switch: &File) {
    // SAFETY: the number is that of a request which reads one word, and the word lives for as long as it takes.
    let outcome = unsafe { libc::ioctl(switch.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const NO_LOG_FLUSH) };
    assert_eq!(outcome, 0, "cut the power: {}", std::io::Error::last_os_error());
}

fn failed(address: &str, user: &str) -> Value {
    json!({"type": "auth_failed", "address": address, "user": user, "endpoint": "/login"})
}

/// What was answered before the power went.
#[derive(Default)]
struct Answered {
    blocked: Vec<String>,
    alerts: Vec<String>,
    acknowledged: Vec<String>,
}

impl Answered {
    /// Asks for one change after the other until one is refused: then there was no power.
    ///
    /// What is answered behind the cut is no promise: a file system that is shut down may still tell a process that waited
    /// for its journal that all is written, where without power nobody would be there to be told.
    fn until_the_cut(&mut self, site: &Site, round: usize, is_cut: &AtomicBool) {
        let (api, begin) = (site.api(), Instant::now());
        for number in 0.. {
            assert!(begin.elapsed() < 2 * PATIENCE, "the power was not cut");
            let address = format!("198.18.{round}.{}", number % 250);
            let asked = json!({"prefixes": [address]}).to_string().into_bytes();
            if api.ask("POST", "/api/block", &asked).status != 200 || is_cut.load(Ordering::SeqCst) {
                return;
            }
            self.blocked.push(address);
            let asked = json!({"title": format!("Alert {round}-{number}"), "severity": "low"});
            let answer = api.ask("POST", "/api/alerts", asked.to_string().as_bytes());
            if !(200..300).contains(&answer.status) || is_cut.load(Ordering::SeqCst) {
                return;
            }
            let id = answer.document::<Value>()["id"].as_str().unwrap().to_owned();
            self.alerts.push(id.clone());
            // Also what nobody waits for is written meanwhile.
            let events = json!([failed("203.0.113.9", &format!("user{number}"))]);
            api.ask("POST", "/api/events", events.to_string().as_bytes());
            let update = json!({"status": "acknowledged"});
            let answer = api.ask("PUT", &format!("/api/alerts/{id}"), update.to_string().as_bytes());
            if answer.status != 200 || is_cut.load(Ordering::SeqCst) {
                return;
            }
            self.acknowledged.push(id);
        }
    }
}

#[test]
fn a_power_cut_loses_no_change_that_was_answered() {
    let mut site = Site::idle(&Plan::default());
    site.place.configure("[rules]\nshipped = false\n[events]\napplication = true\n");
    let disk = Disk::new(site.place.folder().join("disk"), site.place.state());
    let mut answered = Answered::default();
    for round in 0..6 {
        site.start();
        let switch = disk.switch();
        // At another moment each time: while the first change is made, amid many, after a checkpoint.
        let after = Duration::from_millis([90, 250, 420, 700, 1_300, 2_100][round]);
        let is_cut = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(after);
                is_cut.store(true, Ordering::SeqCst);
                cut(&switch);
            });
            answered.until_the_cut(&site, round, &is_cut);
        });
        // What is in force stays so while nothing can be written.
        if let Some(address) = answered.blocked.last() {
            assert_eq!(site.api().explain(address).verdict, "denied", "round {round}");
        }
        site.kill();
        drop(switch);
        disk.unmount();
        disk.mount();
    }
    println!("answered: {} denials, {} alerts", answered.blocked.len(), answered.alerts.len());
    assert!(answered.blocked.len() >= 6 && answered.acknowledged.len() >= 6, "the disk is too slow to say anything");
    site.start();
    for address in &answered.blocked {
        assert_eq!(site.api().explain(address).verdict, "denied", "{address}");
    }
    for id in &answered.alerts {
        let alert: Alert = site.api().get(&format!("/api/alerts/{id}"));
        let is_acknowledged = answered.acknowledged.contains(id);
        assert!(!is_acknowledged || alert.triage.status.name() == "acknowledged", "{alert:?}");
    }
    let status = site.api().status();
    assert!(status.health.problems.is_empty(), "nothing is damaged: {:?}", status.health.problems);
    site.terminate();
    disk.unmount();
}

/// The library that shows one process another wall clock.
fn another_clock() -> PathBuf {
    let library = fs::read_dir("/usr/lib").into_iter().flatten().flatten().find_map(|folder| {
        let library = folder.path().join("faketime/libfaketimeMT.so.1");
        library.is_file().then_some(library)
    });
    library.expect("libfaketimeMT.so.1 is not installed: `cargo xtask setup` installs it")
}

/// Sets the clock of the daemon, in seconds from this machine's, and waits until it goes by that.
fn step(site: &Site, clock: &Path, seconds: i64) {
    fs::write(clock, format!("{seconds:+}\n")).unwrap();
    let title = format!("a clock of {seconds:+}");
    wait_for(&title, PATIENCE, || {
        let made: Alert = site.api().post("/api/alerts", &json!({"title": title, "severity": "low"}));
        let off = made.created_at.duration_since(jiff::Timestamp::now()).as_secs() - seconds;
        (off.abs() < 30).then_some(())
    });
}

#[test]
fn a_wall_clock_that_jumps_releases_nobody_and_takes_nothing_of_what_is_kept() {
    const DECADE: i64 = 10 * 365 * 86_400;
    let mut site = Site::idle(&Plan::default());
    let clock = site.place.folder().join("clock");
    fs::write(&clock, "+0\n").unwrap();
    site.environment = vec![
        ("LD_PRELOAD".to_owned(), another_clock().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()),
        ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ("NO_FAKE_STAT".to_owned(), "1".to_owned()),
    ];
    // What is kept for a minute would be let go of at once.
    site.place.configure(
        "[rules]\nshipped = false\n[events]\napplication = true\n[alerts]\nretention = \"7d\"\n[audit]\nretention = \"30d\"\n",
    );
    site.start();
    let api = site.api();
    let _: Value = api.post("/api/events", &vec![failed("203.0.113.9", "bob"); 8]);
    let verdict = |site: &Site| site.api().explain("203.0.113.9").verdict;
    wait_for("it is denied", PATIENCE, || (verdict(&site) == "rule").then_some(()));
    let from = Instant::now();
    site.weir(&["block", "add", "198.51.100.7", "--for", "3s"]).well();
    let until = from + Duration::from_secs(3);
    let kept = |site: &Site| {
        let events: EventList = site.api().get("/api/events?source=203.0.113.9");
        let alerts: Value = site.api().get("/api/alerts?source=203.0.113.9");
        (events.total, alerts["total"].as_u64().unwrap())
    };
    let score = |site: &Site| site.api().get::<ReputationRow>("/api/reputation/203.0.113.9").score;
    let before = wait_for("what is kept", PATIENCE, || Some(kept(&site)).filter(|(events, _)| *events > 0));
    let score_before = score(&site);
    assert!(score_before > 0);
    for seconds in [3_600, -3_600, DECADE, -DECADE, -1_700_000_000, 0] {
        step(&site, &clock, seconds);
        assert_eq!(verdict(&site), "rule", "{seconds:+}");
        assert_eq!(kept(&site), before, "{seconds:+}");
        assert!(score(&site).abs_diff(score_before) <= 1, "{seconds:+}: {} was {score_before}", score(&site));
        if Instant::now() + Duration::from_millis(500) < until {
            assert_eq!(site.api().explain("198.51.100.7").verdict, "denied", "{seconds:+}");
        }
    }
    // Its time is over when it is over, whatever the clock says.
    wait_for("its end", PATIENCE, || (site.api().explain("198.51.100.7").verdict != "denied").then_some(()));
    assert!(Instant::now() + Duration::from_millis(100) > until);
    let changes =
        |site: &Site| site.api().get::<Value>("/api/audit?since=2000-01-01T00:00:00Z")["changes_total"].clone();
    let changes_before = changes(&site).as_u64().unwrap();
    assert!(changes_before > 0);
    let restarted = |site: &mut Site, seconds: i64| {
        site.terminate();
        fs::write(&clock, format!("{seconds:+}\n")).unwrap();
        site.start();
        assert_eq!(verdict(site), "rule", "{seconds:+}");
        assert_eq!(kept(site), before, "{seconds:+}");
        assert!(changes(site).as_u64().unwrap() >= changes_before, "{seconds:+}: {}", changes(site));
    };
    let has_its_score = |site: &Site| {
        wait_for("its score", PATIENCE, || (score(site).abs_diff(score_before) <= 1).then_some(()));
    };
    // A machine that begins in 1970, whose clock is set while weir runs.
    restarted(&mut site, -1_700_000_000);
    has_its_score(&site);
    step(&site, &clock, 0);
    assert_eq!((verdict(&site).as_str(), kept(&site)), ("rule", before));
    assert!(score(&site).abs_diff(score_before) <= 1, "{} was {score_before}", score(&site));
    // One that begins in the future has no less to tell once its clock is right.
    restarted(&mut site, DECADE);
    restarted(&mut site, 0);
    has_its_score(&site);
}

#[test]
fn a_change_that_the_kernel_refuses_is_not_made() {
    let mut site = Site::new("");
    let api = site.api();
    let map = open_map(&site.place.instance().maps(), "OVERLAY_V4").unwrap();
    // Somebody else's values: as many as there is room for.
    let value = [0; size_of::<OverlayValue>()];
    let taken: Vec<[u8; 4]> = (0u32..1 << 20)
        .map(|number| (0xf000_0000 | number).to_be_bytes())
        .take_while(|key| sys::map_update(map.as_fd(), key, &value, 0).is_ok())
        .collect();
    assert!(!taken.is_empty());
    let body = serde_json::to_vec(&change(&["192.0.2.1"])).unwrap();
    let answer = api.ask("POST", "/api/block", &body);
    assert!(answer.status >= 500, "{}", answer.text());
    assert!(api.explain("192.0.2.1").entries.is_empty());
    for key in &taken {
        sys::map_delete(map.as_fd(), key).unwrap();
    }
    api.block(&["192.0.2.2"]);
    let is_as_answered = |site: &Site| {
        for (address, verdict) in [("192.0.2.1", "pass"), ("192.0.2.2", "denied")] {
            assert_eq!(site.api().explain(address).verdict, verdict, "{address}");
        }
    };
    is_as_answered(&site);
    site.kill();
    site.start();
    is_as_answered(&site);
}
