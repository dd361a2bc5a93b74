//! Servers that lie, break or attack: each is told by its name, and none changes what is in force.
use std::fmt::Write as _;

use weir::domain::report::{FeedState, RefreshReport};
use weir_tests::harness::{Plan, is_release};

use super::cases::{Case, cases};
use super::web::Web;
use super::{PUBLIC, all_in_force, feeds, from, idle, list, outcome, refreshed, settled};

/// Entries of a good list.
const GOOD: u32 = 20;

/// Memory that all of them together may take at the same moment, above what the good lists took, in kibibytes.
const MOST_KIB: u64 = 192 << 10;

/// What bounds are taken to be: a MiB, and this many seconds.
const BOUNDS: &str = "most_mib = 1\ndeadline = \"3s\"\ninterval = \"1h\"";

#[test]
fn hostile_servers_change_nothing_and_each_is_told_by_name() {
    let mut site = idle(&Plan::default());
    let web = Web::new(&site);
    // What is an honest answer, as "not modified" is to who asks for changes, is held to account elsewhere.
    let is_hostile = |case: &Case| !matches!(case.wanted, "changed" | "unchanged" | "unasked_not_modified");
    let cases: Vec<Case> = cases().into_iter().filter(is_hostile).collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    let path = |case: &Case| format!("/{}", case.name);
    let mut config = String::new();
    for (case, host) in cases.iter().zip(2u8..) {
        web.put(&path(case), list(host, GOOD));
        config.write_str(&web.feed(case.name, host, &path(case), BOUNDS)).unwrap();
    }
    site.place.configure(&config);
    site.start();
    let before = all_in_force(&site);
    let mut frames = Vec::new();
    for (_, host) in cases.iter().zip(2u8..) {
        frames.push(from(&format!("{PUBLIC}.{host}.0.1")));
        frames.push(from(&format!("{PUBLIC}.{host}.1.1")));
    }
    // What hostile answers hold.
    frames.extend(["192.0.2.1", "192.0.2.2", "192.0.2.9"].map(from));
    let count = cases.len() as u64;
    let judged = [("feed", count), ("pass", count + 3)];
    site.send(&frames);
    site.saw(&judged);

    let generation = settled(&site, cases.iter().zip(2u8..).map(|(_, host)| host));
    let most_before = site.daemon().kibibytes("VmHWM");
    for case in &cases {
        web.put_steps(&path(case), (case.steps)(web.port()));
    }
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    let said = refreshed(&site, &names);
    assert_eq!(said.code, Some(1), "{said:?}");
    let report: RefreshReport = serde_json::from_str(&said.out).unwrap();
    assert!(!report.changed);
    let most = site.daemon().kibibytes("VmHWM").saturating_sub(most_before);

    let mut wrong = String::new();
    for (case, (was, row)) in cases.iter().zip(before.iter().zip(feeds(&site))) {
        assert_eq!(case.name, row.name);
        let is_told = row.problem.as_deref().is_some_and(|problem| problem.len() > 20);
        let counted = outcome(&row, case.wanted) == 1 && outcome(&row, "changed") == 1 && row.outcomes.len() == 2;
        let stays = row.entries == u64::from(GOOD) && row.last_success == was.last_success;
        if !(is_told && counted && stays && row.state == FeedState::Failing) {
            writeln!(wrong, "{}: wanted {}: {row:?}", case.name, case.wanted).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    site.send(&frames);
    site.saw(&judged);
    assert_eq!(site.api().status().generation, generation);
    println!("{count} hostile servers at once: 0 changes, memory {most} KiB above the good lists' at the most");
    assert!(most < MOST_KIB, "{most} KiB");
}

#[test]
fn many_large_answers_at_once_stay_within_their_memory() {
    // Unoptimised builds take their time for it.
    let (count, lines) = if is_release() { (24, 30_000) } else { (12, 8_000) };
    let mut site = idle(&Plan::default());
    let web = Web::new(&site);
    let mut config = String::new();
    for host in 2..2 + count {
        web.put(&format!("/{host}"), list(host, GOOD));
        config.write_str(&web.feed(&format!("feed{host}"), host, &format!("/{host}"), "most_mib = 32")).unwrap();
    }
    site.place.configure(&config);
    site.start();
    all_in_force(&site);
    let before = site.daemon().kibibytes("VmHWM");
    // A KiB of comments a line, and next to nothing on the wire.
    let line = format!("#{}\n", "nothing ".repeat(128));
    let packed = super::cases::gzip(&line.repeat(lines).into_bytes());
    for host in 2..2 + count {
        let steps = super::server::answer("200 OK", &["Content-Encoding: gzip"], &packed);
        web.put_steps(&format!("/{host}"), steps);
    }
    let report: RefreshReport = serde_json::from_str(&refreshed(&site, &[]).out).unwrap();
    assert!(!report.changed);
    let most = site.daemon().kibibytes("VmHWM").saturating_sub(before);
    println!("{count} answers of {lines} KiB at once: memory {most} KiB above");
    assert!(feeds(&site).iter().all(|row| row.state == FeedState::Refused && row.entries == u64::from(GOOD)));
    assert!(most < 2 * MOST_KIB, "{most} KiB");
}
