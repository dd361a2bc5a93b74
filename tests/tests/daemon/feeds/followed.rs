//! A real list, followed from a server.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use weir_common::verdict::Verdict;
use weir_tests::frames::V4;
use weir_tests::harness::{PATIENCE, Plan, data, is_release, wait_for};

use super::web::Web;
use super::{all_in_force, feed, from, idle, outcome, refresh, settled};

/// Entries of the real list.
const IPSUM: u64 = 120_430;

#[test]
fn an_unchanged_ipsum_costs_one_conditional_request_and_a_changed_one_is_enforced_within_a_second() {
    let test = "an_unchanged_ipsum_costs_one_conditional_request_and_a_changed_one_is_enforced_within_a_second";
    let Some(file) = data(test, "feeds/ipsum.txt") else { return };
    let ipsum = std::fs::read_to_string(file).unwrap();
    let sources = ipsum.lines().filter(|line| !line.starts_with('#'));
    let sources = sources.filter_map(|line| line.split('\t').next()?.parse::<Ipv4Addr>().ok());
    let listed: Vec<Vec<u8>> = sources.step_by(1_000).map(|source| V4::from(source.octets()).frame()).collect();
    let count = listed.len() as u64;

    let mut site = idle(&Plan { alone: true, ..Plan::default() });
    let web = Web::new(&site);
    web.put("/ipsum", ipsum.clone());
    site.place.configure(&web.feed("ipsum", 2, "/ipsum", "interval = \"1h\""));
    site.start();
    let rows = all_in_force(&site);
    // Some of its lines name resolvers and the like, which no feed may deny.
    let entries = rows[0].entries;
    assert_eq!(
        (entries + rows[0].reasons["never_block"], rows[0].format.as_deref()),
        (IPSUM, Some("ipsum")),
        "{rows:?}"
    );
    println!("ipsum: {entries} entries, refused {:?}", rows[0].reasons);
    site.send(&listed);
    site.send(&[from("192.0.2.1")]);
    site.saw(&[("feed", count), ("pass", 1)]);

    let generation = settled(&site, [2]);
    let first = web.asked("/ipsum");
    assert!(first.len() == 1 && !first[0].head.contains("if-none-match"), "{}", first.len());
    let report = refresh(&site, &["ipsum"]);
    assert!(!report.changed, "{report:?}");
    let second = web.asked("/ipsum");
    assert!(second.len() == 1 && second[0].head.contains("if-none-match: \""), "{}", second.len());
    let row = feed(&site, "ipsum");
    assert_eq!((outcome(&row, "changed"), outcome(&row, "unchanged"), row.entries), (1, 1, entries));
    assert!(row.last_success > rows[0].last_success);
    assert_eq!(site.api().status().generation, generation, "nothing changed, and yet a new policy was built");

    // Two that are new, and one that is gone.
    let (new, gone) = ("45.0.0.1", listed[0].clone());
    let changed =
        ipsum.replacen(ipsum.lines().find(|line| !line.starts_with('#')).unwrap(), "45.0.0.1\t3\n45.0.0.2\t1", 1);
    web.put("/ipsum", changed);
    let reader = site.place.reader();
    let dropped = || reader.counters().enforced[Verdict::Feed as usize].packets;
    let before = dropped();
    let enforced = std::thread::scope(|scope| {
        let asking = scope.spawn(|| refresh(&site, &["ipsum"]));
        let when = wait_for("the new entry drops", PATIENCE, || {
            site.send(&[from(new)]);
            (dropped() > before).then(Instant::now)
        });
        let report = asking.join().unwrap();
        let change = report.feeds[0].change.unwrap();
        assert!(report.changed && (change.added, change.removed) == (2, 1), "{report:?}");
        when
    });
    let third = web.asked("/ipsum");
    let after = enforced.duration_since(third[0].at);
    println!("a changed list of {} entries: {} ms from the request to the first drop", entries + 1, after.as_millis());
    let most = Duration::from_secs(if is_release() { 1 } else { 15 });
    assert!(third.len() == 1 && after < most, "{after:?}");
    let passed = |slot: Verdict| reader.counters().enforced[slot as usize].packets;
    let (passing, dropping) = (passed(Verdict::Pass), passed(Verdict::Feed));
    site.send(&[gone, from("45.0.0.2")]);
    wait_for("what is gone passes", PATIENCE, || (passed(Verdict::Pass) == passing + 1).then_some(()));
    wait_for("what is new drops", PATIENCE, || (passed(Verdict::Feed) == dropping + 1).then_some(()));
    assert!(site.api().status().generation > generation);
}
