//! Whatever can be in force can be saved and comes back the same.
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn timestamps() -> impl Strategy<Value = Timestamp> {
    let (first, last) = (Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
    prop_oneof![
        3 => (first..=last).prop_map(|at| Timestamp::from_nanosecond(at).unwrap()),
        1 => Just(Timestamp::MAX),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::UNIX_EPOCH),
    ]
}

fn prefixes() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(address, len)| IpNet::new(address.into(), len).unwrap()),
        (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(address, len)| IpNet::new(address.into(), len).unwrap()),
        // Many under the same first bytes.
        (0_u8..4, any::<u8>()).prop_map(|(a, b)| IpNet::new([192, 0, a, b].into(), 32).unwrap()),
    ]
}

fn enforcements() -> impl Strategy<Value = Enforcement> {
    prop_oneof![Just(Enforcement::Enforce), Just(Enforcement::Observe)]
}

fn list_enforcements() -> impl Strategy<Value = ListEnforcement> {
    prop_oneof![
        Just(ListEnforcement::Enforce),
        Just(ListEnforcement::Observe),
        Just(ListEnforcement::Limit),
        Just(ListEnforcement::Off)
    ]
}

fn infos() -> impl Strategy<Value = EntryInfo> {
    let expiry = prop_oneof![
        Just(None),
        // Not over yet: the boot clock stands at 1,000.
        (1_001_u64.., timestamps()).prop_map(|(boot, wall)| Some(Expiry { boot: BootSeconds(boot), wall })),
    ];
    let parts = (any::<String>(), timestamps(), expiry, enforcements(), any::<bool>(), any::<u64>());
    parts.prop_map(|(reason, added_at, expiry, enforcement, forced, sequence)| EntryInfo {
        reason: reason.into(),
        added_at,
        expiry,
        enforcement,
        forced,
        sequence,
    })
}

fn origins() -> impl Strategy<Value = Origin> {
    prop_oneof![Just(Origin::Operator), "x[a-z0-9_-]{0,30}".prop_map(|name| name.parse().unwrap())]
}

fn desireds() -> impl Strategy<Value = Desired> {
    let list = (
        (any::<String>(), any::<bool>(), origins(), list_enforcements()),
        vec(prefixes(), 0..40),
        (proptest::option::of(timestamps()), any::<u64>()),
        btree_map(prefixes(), infos(), 0..20),
    );
    btree_map(any::<u16>(), list, 0..5).prop_map(|lists| {
        let mut desired = Desired::new();
        for (id, ((name, allows, origin, enforcement), imported, (imported_at, imported_sequence), entries)) in lists {
            let header = ListHeader {
                id: ListId(id),
                name: name.into(),
                kind: if allows { Kind::Allow } else { Kind::Deny },
                origin,
                enforcement,
                imported_at,
                imported_sequence,
            };
            let mut list = header.empty_list();
            list.imported = Prefixes::new(imported);
            list.entries = entries.into_iter().collect();
            desired.insert(list);
        }
        desired
    })
}

/// The changes that turn one value into the other.
fn difference(from: &Desired, to: &Desired) -> Vec<Change> {
    let gone = from.lists().filter(|list| to.list(list.id).is_none()).map(|list| Change::RemoveList(list.id));
    let mut changes: Vec<_> = gone.collect();
    for list in to.lists() {
        changes.push(Change::PutList(ListHeader::of(list)));
        changes.push(Change::PutImported { list: list.id, prefixes: list.imported.clone() });
        for (prefix, info) in list.entries.iter() {
            changes.push(Change::PutEntry { list: list.id, prefix: *prefix, info: info.clone() });
        }
        let old = from.list(list.id).into_iter().flat_map(|list| list.entries.keys());
        changes.extend(
            old.filter(|prefix| !list.entries.contains_key(prefix))
                .map(|prefix| Change::RemoveEntry { list: list.id, prefix: *prefix }),
        );
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn desired_comes_back_as_it_was_saved(first in desireds(), second in desireds()) {
        let folder = folder();
        let mut store = open(folder.path());
        prop_assert_eq!(store.load(now(), BOOT).unwrap().desired, Desired::new());
        store.apply(&Change::all_of(&first)).unwrap();
        prop_assert_eq!(&store.load(now(), BOOT).unwrap().desired, &first);
        store.apply(&difference(&first, &second)).unwrap();
        drop(store);
        let loaded = open(folder.path()).load(now(), BOOT).unwrap();
        prop_assert_eq!(loaded, Loaded { desired: second, ..Loaded::default() });
    }

    #[test]
    fn settings_and_records_come_back_as_they_were_saved(
        key in any::<String>(), value in any::<String>(), at in timestamps(), words in any::<[String; 3]>(),
        classes in btree_map(any::<u32>(), vec(any::<u16>().prop_map(ListId), 0..4), 0..9), generation in any::<u64>(),
    ) {
        let folder = folder();
        let mut store = open(folder.path());
        let [actor, action, target] = words;
        let detail = serde_json::json!({ "a": [value.clone(), null, 1.5, generation], "b": { "c": true } });
        let record = AuditRecord { at, actor, action, target, detail };
        store.append_audit(record.clone()).unwrap();
        store.apply(&[
            setting(&key, &value),
            Change::PutClassLists { generation, classes: classes.clone() },
        ]).unwrap();
        drop(store);
        let mut store = open(folder.path());
        prop_assert_eq!(store.setting(&key).unwrap(), Some(value));
        prop_assert_eq!(store.audit_since(Timestamp::MIN, 9).unwrap().records, [record]);
        prop_assert_eq!(store.load(now(), BOOT).unwrap().class_lists, BTreeMap::from([(generation, classes)]));
    }
}

#[test]
fn taking_one_of_many_imported_prefixes_writes_one_piece() {
    let folder = folder();
    let mut store = open(folder.path());
    let mut prefixes =
        Prefixes::new((0_u32..200_000).map(|n| IpNet::new((n * 21_001).to_be_bytes().into(), 32).unwrap()));
    let import = |prefixes: &Prefixes| [Change::PutImported { list: BLOCK, prefixes: prefixes.clone() }];
    store.apply(&import(&prefixes)).unwrap();
    store.fold_log().unwrap();
    assert!(prefixes.remove(&net("0.0.0.0/32")));
    store.apply(&import(&prefixes)).unwrap();
    let log = std::fs::metadata(folder.path().join("weir.db-wal")).unwrap().len();
    assert!(log < 40_000, "{log}");
    assert_eq!(store.load(now(), BOOT).unwrap().desired.list(BLOCK).unwrap().imported, prefixes);
    store.apply(&import(&Prefixes::default())).unwrap();
    assert_eq!(store.load(now(), BOOT).unwrap().desired, Desired::new());
}
