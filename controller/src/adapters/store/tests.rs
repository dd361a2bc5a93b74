//! The store as the daemon sees it. What a damaged, full or dying machine does to it is in the modules below.
mod damage;
mod disk;
mod process;
mod recovery;
mod round_trip;
mod times;

use std::collections::BTreeMap;
use std::path::Path;

use ipnet::IpNet;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::domain::decision::{Enforcement, EntryInfo, Kind, ListEnforcement, ListId, Origin};
use crate::domain::desired::{ALLOW, BLOCK, Desired};
use crate::domain::http::denied_users::DeniedUser;
use crate::domain::prefixes::Prefixes;
use crate::domain::time::{BootSeconds, Expiry};

const BOOT: &str = "4d1b2a90-6c1e-4c40-9a3f-0d6b1c0e7f11";
const FEED: ListId = ListId(3);
const WATCHED: ListId = ListId(4);
const SETTINGS: [&str; 3] = ["config", "sequence", "removed"];

/// A folder in memory where there is one, so that thousands of stores cost no disk writes.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

fn now() -> Now {
    Now { boot: BootSeconds(1_000), wall: "2026-03-01T12:00:00Z".parse().unwrap() }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn info(reason: &str, sequence: u64) -> EntryInfo {
    EntryInfo {
        reason: reason.into(),
        added_at: now().wall,
        expiry: None,
        enforcement: Enforcement::Enforce,
        forced: false,
        sequence,
    }
}

fn put(prefix: &str, info: EntryInfo) -> Change {
    Change::PutEntry { list: BLOCK, prefix: net(prefix), info }
}

fn remove(prefix: &str) -> Change {
    Change::RemoveEntry { list: BLOCK, prefix: net(prefix) }
}

fn setting(key: &str, value: &str) -> Change {
    Change::SetSetting { key: key.to_owned(), value: value.to_owned() }
}

fn user(seconds: u64) -> DeniedUser {
    let (user, reason) = ("bob".to_owned(), "5 failed sign-ins".to_owned());
    DeniedUser { user, reason, since: now().wall, expiry: now().after(seconds) }
}

fn record(number: i64) -> AuditRecord {
    AuditRecord {
        at: Timestamp::from_second(1_700_000_000 + number).unwrap(),
        actor: "uid 0 (root)".to_owned(),
        action: "block.add".to_owned(),
        target: format!("192.0.2.{number}/32"),
        detail: serde_json::json!({ "sequence": number, "reason": "x" }),
    }
}

#[expect(clippy::print_stdout, reason = "what was measured and counted is for whoever runs the tests")]
pub(super) fn report(text: &str) {
    println!("{text}");
}

/// Opens a store that nothing is wrong with.
#[track_caller]
fn open(folder: &Path) -> Store {
    let (store, problems) = Store::open(folder).unwrap();
    assert_eq!(problems, []);
    store
}

/// All that can be read from a store.
#[derive(Clone, Debug, PartialEq)]
struct Everything {
    desired: Desired,
    totals: BTreeMap<ListId, ListTotals>,
    class_lists: BTreeMap<u64, ClassLists>,
    rules: BTreeMap<String, String>,
    users: Vec<DeniedUser>,
    settings: Vec<Option<String>>,
    audit: AuditTrail,
}

impl Everything {
    fn of(store: &mut Store) -> Result<(Self, Vec<Problem>), StoreError> {
        let loaded = store.load(now(), BOOT)?;
        let settings = SETTINGS.iter().map(|key| store.setting(key)).collect::<Result<_, _>>()?;
        let audit = store.audit_since(Timestamp::MIN, usize::MAX)?;
        let Loaded { desired, totals, class_lists, rules, users, problems, settle: _ } = loaded;
        Ok((Self { desired, totals, class_lists, rules, users, settings, audit }, problems))
    }

    /// Whether all that is on these lists is on those of `other` too.
    fn is_part_of(&self, other: &Self) -> bool {
        self.desired.lists().all(|list| {
            let Some(whole) = other.desired.list(list.id) else { return false };
            list.entries.iter().all(|(prefix, info)| whole.entries.get(prefix) == Some(info))
                && list.imported.iter().all(|prefix| whole.imported.contains(&prefix))
        })
    }
}

/// A little of everything that can be saved.
fn sample() -> Vec<Change> {
    sample_of(20)
}

fn sample_of(entries: u16) -> Vec<Change> {
    let mut desired = Desired::new();
    let automation: Origin = "fail2ban".parse().unwrap();
    assert_eq!(desired.list_for("feed", Kind::Deny, &automation).unwrap(), FEED);
    assert_eq!(desired.list_for("watched", Kind::Deny, &Origin::Operator).unwrap(), WATCHED);
    let feed = desired.list_mut(FEED).unwrap();
    feed.imported = Prefixes::new((0_u32..300).map(|n| match n % 3 {
        0 => IpNet::from(std::net::IpAddr::from([198, 51, 100, n.to_le_bytes()[0]])),
        1 => net(&format!("2001:db8:{n:x}::/48")),
        _ => net(&format!("10.{}.0.0/16", n / 3)),
    }));
    feed.imported_at = Some(now().wall);
    feed.imported_sequence = 7;
    desired.list_mut(WATCHED).unwrap().enforcement = ListEnforcement::Observe;
    let block = desired.list_mut(BLOCK).unwrap();
    for n in 0..entries {
        let expiry = (n % 2 == 0).then(|| now().after(3_600 + u64::from(n)));
        let info = EntryInfo { expiry, forced: n == 3, ..info(&format!("reason {n}"), u64::from(n)) };
        block.entries.insert(net(&format!("192.0.{}.{}/32", 2 + n / 256, n % 256)), info);
    }
    block.entries.insert(net("2001:db8:ffff::/64"), info("", u64::MAX));
    desired.list_mut(ALLOW).unwrap().entries.insert(net("203.0.113.0/24"), info("office", 30));

    let mut changes = Change::all_of(&desired);
    changes.extend([
        Change::SetTotals { list: FEED, totals: ListTotals { packets: u64::MAX, bytes: 12 } },
        setting("config", "interfaces = [\"eth0\"]\n"),
        setting("sequence", "31"),
        Change::PutClassLists {
            generation: 9,
            classes: BTreeMap::from([(1, vec![FEED]), (2, vec![BLOCK, FEED]), (u32::MAX, vec![])]),
        },
    ]);
    changes.extend([
        Change::PutRule { id: "own".to_owned(), rule: "{\"title\":\"a \u{e4}\"}".to_owned() },
        Change::PutUser(user(600)),
    ]);
    changes.extend((0..5).map(|n| Change::Audit(record(n))));
    changes
}

#[test]
fn new_store_has_the_two_lists_and_nothing_on_them() {
    let folder = folder();
    let mut store = open(&folder.path().join("state/weir"));
    let loaded = store.load(now(), BOOT).unwrap();
    assert_eq!(loaded, Loaded { desired: Desired::new(), ..Loaded::default() });
    assert_eq!(store.setting("config").unwrap(), None);
}

#[test]
fn everything_is_there_after_a_restart() {
    let folder = folder();
    let mut store = open(folder.path());
    let before = store.load(now(), BOOT).unwrap();
    store.apply(&sample()).unwrap();
    let (saved, problems) = Everything::of(&mut store).unwrap();
    assert_eq!((problems, before.desired), (vec![], Desired::new()));
    assert_eq!((saved.desired.len(), saved.audit.records.len()), (322, 5));
    drop(store);
    assert_eq!(Everything::of(&mut open(folder.path())).unwrap(), (saved, vec![]));
}

#[test]
fn saving_the_same_again_is_not_a_change() {
    let folder = folder();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    let changes: Vec<_> = sample().into_iter().filter(|change| !matches!(change, Change::Audit(_))).collect();
    store.apply(&changes).unwrap();
    let commits = store.commits;
    store.apply(&changes).unwrap();
    store.apply(&[]).unwrap();
    assert_eq!(store.commits, commits);
}

#[test]
fn what_is_removed_is_gone() {
    let folder = folder();
    let mut store = open(folder.path());
    let _ = store.load(now(), BOOT).unwrap();
    store.apply(&sample()).unwrap();
    store
        .apply(&[
            remove("192.0.2.1/32"),
            remove("192.0.2.99/32"),
            Change::RemoveList(FEED),
            Change::RemoveSetting { key: "config".to_owned() },
            Change::RemoveClassLists { generation: 9 },
            Change::RemoveRule { id: "own".to_owned() },
            Change::RemoveUser { user: "bob".to_owned() },
        ])
        .unwrap();
    drop(store);
    let (after, problems) = Everything::of(&mut open(folder.path())).unwrap();
    assert_eq!(problems, []);
    assert_eq!(after.desired.len(), 21);
    assert_eq!(after.desired.list(FEED), None);
    assert_eq!((after.totals, after.class_lists), (BTreeMap::new(), BTreeMap::new()));
    assert!(after.rules.is_empty() && after.users.is_empty());
    assert_eq!(after.settings, [None, Some("31".to_owned()), None]);
}

#[test]
fn refused_batch_leaves_nothing_behind() {
    let folder = folder();
    let mut store = open(folder.path());
    store.apply(&sample()).unwrap();
    let saved = Everything::of(&mut store).unwrap();
    let nowhere = ListId(900);
    for last in [
        Change::PutEntry { list: nowhere, prefix: net("192.0.2.77/32"), info: info("", 1) },
        Change::PutImported { list: nowhere, prefixes: Prefixes::new([net("192.0.2.77/32")]) },
    ] {
        let error = store.apply(&[remove("192.0.2.1/32"), setting("config", ""), last]).unwrap_err();
        assert!(matches!(error, StoreError::NoSuchList { list, .. } if list == nowhere), "{error}");
    }
    store.apply(&[Change::SetTotals { list: nowhere, totals: ListTotals::default() }]).unwrap();
    assert_eq!(Everything::of(&mut store).unwrap(), saved);
}

#[test]
fn audit_trail_is_read_from_a_moment_on_and_keeps_the_latest() {
    let folder = folder();
    let mut store = open(folder.path());
    for batch in [0..60_000, 60_000..100_003] {
        store.apply(&batch.map(|n| Change::Audit(record(n))).collect::<Vec<_>>()).unwrap();
    }
    store.append_audit(AuditRecord { at: Timestamp::UNIX_EPOCH, ..record(0) }).unwrap();
    let since = |second: i64, limit| {
        let trail = store.audit_since(Timestamp::from_second(1_700_000_000 + second).unwrap(), limit).unwrap();
        assert_eq!(trail.damaged, 0);
        trail.records.iter().map(|record| record.at.as_second() - 1_700_000_000).collect::<Vec<_>>()
    };
    // The clock having been set back does not hide what was recorded before.
    assert_eq!(since(100_000, usize::MAX), [100_000, 100_001, 100_002]);
    assert_eq!(since(0, 2), [100_001, 100_002]);
    assert_eq!(since(-1_700_000_000, usize::MAX).len(), 100_000);
    drop(store);
    open(folder.path());
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = folder();
    let folder = outer.path().join("weir");
    let mut store = open(&folder);
    store.apply(&sample()).unwrap();
    store.save_good_copy().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    for file in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    drop(store);
    std::fs::set_permissions(folder.join("weir.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&folder));
    assert_eq!(mode(&folder.join("weir.db")), 0o600);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = Store::open(&folder).unwrap_err();
    assert!(matches!(error, StoreError::Exposed { mode: 0o777, .. }), "{error}");
}
