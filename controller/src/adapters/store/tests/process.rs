//! Daemons that are killed, daemons in each other's way, and how long things take.
//!
//! A second process is this test program again, told by the environment which part to play.
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const PART: &str = "WEIR_STORE_TEST_PART";
const FOLDER: &str = "WEIR_STORE_TEST_FOLDER";

/// A process that plays a part until it is killed or done.
struct Player {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Player {
    fn start(part: &str, folder: &Path) -> Self {
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{module}::play_a_part"), "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line it says; `None` once it has ended.
    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(word) = line.trim_end().strip_prefix("said ") {
                return Some(word.to_owned());
            }
        }
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next()).collect()
    }
}

fn say(word: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("\nsaid {word}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a second process does; nothing when the tests are run.
#[test]
fn play_a_part() {
    let (Ok(part), Some(folder)) = (std::env::var(PART), std::env::var_os(FOLDER)) else { return };
    let folder = Path::new(&folder);
    match part.as_str() {
        "write" => write_on_and_on(&mut open(folder)),
        "hold" => {
            let _store = open(folder);
            say("open");
            std::thread::sleep(Duration::from_mins(1));
        }
        "recover" => {
            let (mut store, problems) = Store::open(folder).unwrap();
            say(if problems.is_empty() { "silent" } else { "loud" });
            let _ = store.load(now(), BOOT).unwrap();
            say("loaded");
        }
        "limited" => with_limited_file_size(&mut open(folder)),
        other => panic!("no part {other}"),
    }
}

fn address(n: u32) -> IpNet {
    IpNet::new(n.to_be_bytes().into(), 32).unwrap()
}

/// Saves an entry after the other, each with its number as a setting, and says each number once it is saved.
fn write_on_and_on(store: &mut Store) {
    let _ = store.load(now(), BOOT).unwrap();
    let first: u32 = store.setting("sequence").unwrap().map_or(0, |number| number.parse().unwrap());
    for n in first + 1.. {
        let mut changes = vec![
            Change::PutEntry { list: BLOCK, prefix: address(n), info: info("x", u64::from(n)) },
            setting("sequence", &n.to_string()),
            Change::Audit(record(i64::from(n))),
        ];
        if n % 7 == 0 {
            let prefixes = Prefixes::new((0..n * 5).map(|k| address(k.wrapping_mul(70_001))));
            changes.push(Change::PutImported { list: ALLOW, prefixes });
        }
        store.apply(&changes).unwrap();
        say(&n.to_string());
        if n % 16 == 0 {
            store.save_good_copy().unwrap();
        }
    }
}

#[test]
fn kill_between_writes_loses_nothing_that_was_acknowledged() {
    let folder = folder();
    let (mut acknowledged, mut chance) = (0_u32, 12_345_u32);
    for round in 0..50 {
        let mut writer = Player::start("write", folder.path());
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        for _ in 0..=(chance >> 16) % 40 {
            acknowledged = writer.next().unwrap().parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros(u64::from(chance >> 8) % 3_000));
        if let Some(last) = writer.kill().last() {
            acknowledged = last.parse().unwrap();
        }

        let mut store = open(folder.path());
        let loaded = store.load(now(), BOOT).unwrap();
        let saved: u32 = store.setting("sequence").unwrap().unwrap().parse().unwrap();
        assert!(
            saved == acknowledged || saved == acknowledged + 1,
            "round {round}: {saved}, {acknowledged} acknowledged"
        );
        // A batch is there as a whole or not at all.
        let entries = &loaded.desired.list(BLOCK).unwrap().entries;
        assert!(entries.keys().copied().eq((1..=saved).map(address)), "round {round}");
        let imported = saved / 7 * 7 * 5;
        assert_eq!(
            loaded.desired.list(ALLOW).unwrap().imported,
            Prefixes::new((0..imported).map(|k| address(k.wrapping_mul(70_001))))
        );
        assert_eq!(store.audit_since(Timestamp::MIN, usize::MAX).unwrap().records.len(), saved as usize);
        assert_eq!(loaded.problems, []);
    }
    report(&format!("50 kills, {acknowledged} changes acknowledged, none lost"));
}

#[test]
fn kill_during_recovery_ends_at_the_good_copy_and_is_never_silent() {
    let (folder, aside) = (folder(), folder());
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&sample()).unwrap();
    store.save_good_copy().unwrap();
    let copied = Everything::of(&mut store).unwrap().0;
    store.apply(&[put("198.51.100.1/32", info("lost", 50))]).unwrap();
    drop(store);
    let mut content = fs::read(folder.path().join("weir.db")).unwrap();
    content[20_000..30_000].fill(0);
    fs::write(folder.path().join("weir.db"), &content).unwrap();
    let files = ["weir.db", "weir.db.good", "weir.db.last"];
    for file in files {
        fs::copy(folder.path().join(file), aside.path().join(file)).unwrap();
    }
    let mut told = [0; 3];
    for round in 0..100_u64 {
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        for file in files {
            fs::copy(aside.path().join(file), folder.path().join(file)).unwrap();
        }
        let child = Player::start("recover", folder.path());
        std::thread::sleep(Duration::from_micros(1_000 + round * 200));
        let said = child.kill();
        assert!(!said.contains(&"silent".to_owned()));
        let (mut store, problems) = Store::open(folder.path()).unwrap();
        match said.len() {
            // Told, and perhaps loaded just before the end.
            1 => {}
            2 => assert_eq!(problems, []),
            _ => assert!(
                matches!(problems[..], [Problem::FellBack { .. } | Problem::Behind { .. }]),
                "round {round}: {problems:?}"
            ),
        }
        told[said.len()] += 1;
        assert_eq!(Everything::of(&mut store).unwrap().0, copied, "round {round}");
    }
    report(&format!("killed before it told, before it loaded, after: {told:?}"));
}

#[test]
fn kill_during_the_first_start_leaves_a_folder_to_start_with() {
    for round in 0..60_u64 {
        let folder = folder();
        let child = Player::start("recover", folder.path());
        std::thread::sleep(Duration::from_micros(1_000 + round * 200));
        child.kill();
        let mut store = open(folder.path());
        assert_eq!(store.load(now(), BOOT).unwrap().desired, Desired::new(), "round {round}");
        store.apply(&sample()).unwrap();
    }
}

#[test]
fn second_daemon_is_told_who_has_the_folder() {
    let folder = folder();
    let mut holder = Player::start("hold", folder.path());
    assert_eq!(holder.next().as_deref(), Some("open"));
    let error = Store::open(folder.path()).unwrap_err();
    let StoreError::Held { pid: Some(pid), .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, holder.child.id());
    let text = error.to_string();
    assert!(text.contains(&format!("process {pid}")) && text.contains(folder.path().to_str().unwrap()), "{text}");
    holder.kill();
    // The lock ends with its holder, and is then this process's.
    let store = open(folder.path());
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(store);
    open(folder.path());
}

/// Writes up to a limit on file sizes, which is this process's alone, and beyond it once it is lifted.
fn with_limited_file_size(store: &mut Store) {
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&sample()).unwrap();
    let saved = Everything::of(store).unwrap();
    // SAFETY: without the default action, a write beyond the limit is an error like others.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = |bytes| {
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the pointer is to a value that outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    };
    let big = [setting("config", &"x".repeat(3_000_000)), remove("192.0.2.1/32")];
    limit(1_000_000);
    for _ in 0..3 {
        let error = store.apply(&big).unwrap_err();
        assert!(matches!(error, StoreError::Write { why: Why::Quota, .. }), "{error:?}");
        assert!(error.to_string().contains("a disk quota or file size limit is reached"), "{error}");
        assert_eq!(Everything::of(store).unwrap(), saved);
    }
    limit(libc::RLIM_INFINITY);
    store.apply(&big).unwrap();
    say("lifted");
}

#[test]
fn failed_write_leaves_the_store_as_it_was_and_the_next_one_works() {
    let folder = folder();
    let mut limited = Player::start("limited", folder.path());
    assert_eq!(limited.next().as_deref(), Some("lifted"));
    assert!(limited.child.wait().unwrap().success());
    assert_eq!(open(folder.path()).load(now(), BOOT).unwrap().desired.len(), 321);
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// Prints; what is too slow on any machine fails. The numbers that count are those of a release build on a disk: a debug
/// build does a tenth.
#[test]
fn times_are_printed() {
    let folder = TempDir::new().unwrap();
    let mut store = open(folder.path());
    let mut took: Vec<f64> = (0..1_000)
        .map(|n| {
            let begun = Instant::now();
            let info = EntryInfo { expiry: Some(now().after(3_600)), ..info("too many requests", u64::from(n)) };
            store.apply(&[Change::PutEntry { list: BLOCK, prefix: address(n), info }]).unwrap();
            milliseconds(begun)
        })
        .collect();
    took.sort_by(f64::total_cmp);
    report(&format!("1,000 applies of one entry: median {:.3} ms, p99 {:.3} ms", took[500], took[990]));

    let (count, batch) = if cfg!(debug_assertions) { (100_000, 10_000) } else { (1_000_000, 100_000) };
    let mut prefixes = Prefixes::new((0..count).map(|n: u32| address(n.wrapping_mul(4_294_001))));
    assert_eq!(prefixes.len(), count as usize);
    let mut timed = |what: &str, step: &mut dyn FnMut(&mut Store)| {
        let begun = Instant::now();
        step(&mut store);
        let took = milliseconds(begun);
        report(&format!("{what}: {took:.1} ms"));
        assert!(took < 20_000.0, "{what}");
    };
    let import = |prefixes: &Prefixes| [Change::PutImported { list: ALLOW, prefixes: prefixes.clone() }];
    timed(&format!("import of {count} prefixes"), &mut |store| store.apply(&import(&prefixes)).unwrap());
    timed("the same import again", &mut |store| store.apply(&import(&prefixes)).unwrap());
    let gone = prefixes.iter().nth(50_000).unwrap();
    assert!(prefixes.remove(&gone));
    timed("the import without one prefix", &mut |store| store.apply(&import(&prefixes)).unwrap());
    timed("good copy of it", &mut |store| store.save_good_copy().unwrap());
    timed("load of it", &mut |store| assert_eq!(store.load(now(), BOOT).unwrap().desired.len(), count as usize + 999));
    let many: Vec<_> = (0..batch)
        .map(|n| Change::PutEntry { list: BLOCK, prefix: address(n), info: info("one batch", u64::from(n)) })
        .collect();
    timed(&format!("one batch of {batch} entries"), &mut |store| store.apply(&many).unwrap());
    timed("load of all", &mut |store| drop(store.load(now(), BOOT).unwrap()));
    drop(store);
    let begun = Instant::now();
    drop(open(folder.path()));
    report(&format!("open with every check: {:.1} ms", milliseconds(begun)));
}
