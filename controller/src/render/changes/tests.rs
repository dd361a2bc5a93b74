//! Changes as people read them.
use super::*;
use crate::domain::report::{ChangeRow, PendingRow, ReachRow};

fn row(prefix: &str, change: &str) -> ChangeRow {
    ChangeRow { prefix: prefix.to_owned(), change: change.to_owned(), list: "block".to_owned() }
}

#[track_caller]
fn check_change(report: &ChangeReport, expected: &str) {
    let mut text = String::new();
    change(report, Style::Plain, &mut text).unwrap();
    assert_eq!(text, expected);
}

#[test]
fn each_prefix_is_named_with_what_became_of_it() {
    let mut report = ChangeReport {
        changed: true,
        dry_run: false,
        changes: vec![row("192.0.2.7/32", "added"), row("192.0.2.8/32", "unchanged")],
        notes: vec!["192.0.2.0/24 covers it still\x07".to_owned()],
    };
    check_change(
        &report,
        "192.0.2.7/32 added (block)\n192.0.2.8/32 unchanged (block)\nnote: 192.0.2.0/24 covers it still\\u{7}\n",
    );
    report.dry_run = true;
    report.notes.clear();
    check_change(&report, "192.0.2.7/32 would be added (block)\n192.0.2.8/32 unchanged (block)\n");
}

#[test]
fn of_many_prefixes_the_number_is_told() {
    let mut changes: Vec<_> = (0..1_500).map(|_| row("192.0.2.7/32", "removed")).collect();
    changes.push(row("192.0.2.8/32", "unchanged"));
    let report = ChangeReport { changed: true, dry_run: false, changes, notes: Vec::new() };
    check_change(&report, "1,500 prefixes removed (block)\n1 prefix unchanged (block)\n");
}

fn imported() -> ImportReport {
    ImportReport {
        list: "ipsum".to_owned(),
        format: "ipsum".to_owned(),
        lines: 120_437,
        accepted: 120_430,
        rejected: 0,
        rejects: Vec::new(),
        ending: 0,
        reasons: BTreeMap::new(),
        reach: ReachRow {
            prefixes_v4: 120_430,
            addresses_v4: 120_430,
            share_v4_percent: 0.0028,
            ..ReachRow::default()
        },
        changed: true,
        dry_run: false,
        generation: 18,
    }
}

#[track_caller]
fn check_import(report: &ImportReport, expected: &str) {
    let mut text = String::new();
    import(report, Style::Plain, &mut text).unwrap();
    assert_eq!(text, expected);
}

#[test]
fn an_import_says_what_it_took() {
    let took = "\
ipsum: 120,430 entries from 120,437 lines (ipsum)
reach: 120,430 IPv4 prefixes = 120,430 addresses (0.0028 % of IPv4), 0 IPv6 prefixes
";
    let mut report = imported();
    check_import(&report, &format!("{took}in force as generation 18\n"));
    report.dry_run = true;
    check_import(&report, &format!("{took}the list would change; nothing was changed\n"));
    report.changed = false;
    check_import(&report, &format!("{took}the list would stay as it is\n"));
    report.dry_run = false;
    check_import(&report, &format!("{took}unchanged: the list held the same already\n"));
}

#[test]
fn refused_lines_are_shown_up_to_a_number() {
    let mut report = imported();
    report.rejected = 25;
    let reject = |line| RejectRow { line, text: "a\x1b".to_owned(), why: "not an address".to_owned() };
    report.rejects = (1..=21).map(reject).collect();
    report.rejects[1] = RejectRow { line: 0, text: "192.0.2.1/32".to_owned(), why: "is this machine".to_owned() };
    let mut text = String::new();
    import(&report, Style::Plain, &mut text).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let first = ["25 lines refused:", "  line 1: not an address: \"a\\u{1b}\"", "  192.0.2.1/32: is this machine"];
    assert_eq!(lines.get(2..5), Some(&first[..]));
    let last = ["  line 20: not an address: \"a\\u{1b}\"", "  and 5 more", "in force as generation 18"];
    assert_eq!(lines.get(22..), Some(&last[..]));
}

#[test]
fn settings_that_wait_for_their_confirmation_say_how() {
    let mut report = ConfigReport {
        changed: true,
        dry_run: false,
        generation: 19,
        pending: Some(PendingRow { deadline: "2026-11-21T05:01:00Z".parse().unwrap(), seconds_left: 60 }),
        notes: vec!["mode: takes effect with a restart".to_owned()],
    };
    let text = |report: &ConfigReport| {
        let mut text = String::new();
        config(report, "2026-11-21T05:00:00Z".parse().unwrap(), Style::Plain, &mut text).unwrap();
        text
    };
    let expected = "\
settings in force as generation 19
undone in 1m (2026-11-21 05:01:00Z) unless confirmed: weir config confirm
note: mode: takes effect with a restart
";
    assert_eq!(text(&report), expected);
    report.pending = None;
    report.notes.clear();
    report.dry_run = true;
    assert_eq!(text(&report), "settings would change; nothing was changed\n");
    report.changed = false;
    assert_eq!(text(&report), "settings would stay as they are\n");
    report.dry_run = false;
    assert_eq!(text(&report), "settings unchanged, generation 19\n");
}
