use super::*;
use crate::domain::feed::reach::Hits;

fn parsed(entries: usize, rejected: usize) -> Parsed {
    let net: ipnet::IpNet = "192.0.2.1/32".parse().unwrap();
    let lines = entries + rejected;
    let mut parsed = Parsed { entries: vec![net; entries], rejected, lines, ..Parsed::default() };
    if rejected > 0 {
        parsed.reasons.insert("syntax", rejected as u64);
    }
    parsed
}

#[track_caller]
fn check(limits: &Limits, parsed: &Parsed, before: Option<usize>, reach: &Reach, wanted: &[&str]) {
    let judgement = judge(limits, parsed, parsed.entries.len(), before, reach);
    let labels: Vec<&str> = judgement.doubts.iter().map(Doubt::label).collect();
    assert_eq!(labels, wanted, "{}", judgement.text());
    assert_eq!(judgement.accepts(false), wanted.is_empty());
    assert_eq!(judgement.accepts(true), !wanted.contains(&"unfit"));
}

#[track_caller]
fn sizes(before: Option<usize>, entries: usize, wanted: &[&str]) {
    check(&Limits::default(), &parsed(entries, 0), before, &Reach::default(), wanted);
}

#[test]
fn a_list_may_lose_half_and_grow_fourfold() {
    sizes(None, 5_000, &[]);
    sizes(Some(1_000), 500, &[]);
    sizes(Some(1_000), 499, &["shrank"]);
    sizes(Some(1_000), 4_000, &[]);
    sizes(Some(1_000), 4_001, &["grew"]);
}

#[test]
fn small_lists_grow_and_shrink_as_they_like() {
    sizes(Some(10), 1, &[]);
    sizes(Some(11), 1, &["shrank"]);
    sizes(Some(3), 4_000, &[]);
    sizes(Some(3), 4_001, &["grew"]);
}

#[test]
fn an_empty_list_is_believed_only_where_that_can_be_right() {
    sizes(None, 0, &["empty"]);
    sizes(Some(11), 0, &["empty"]);
    sizes(Some(10), 0, &[]);
    let may_be = Limits { least_entries: Some(0), ..Limits::default() };
    check(&may_be, &parsed(0, 0), Some(5_000), &Reach::default(), &[]);
    let least = Limits { least_entries: Some(100), ..Limits::default() };
    check(&least, &parsed(99, 0), None, &Reach::default(), &["too_few"]);
    let most = Limits { most_entries: 98, ..Limits::default() };
    check(&most, &parsed(99, 0), None, &Reach::default(), &["too_many"]);
}

#[test]
fn a_list_of_which_much_is_not_understood_is_doubted() {
    let check = |entries, rejected, wanted: &[&str]| {
        check(&Limits::default(), &parsed(entries, rejected), None, &Reach::default(), wanted);
    };
    check(90, 10, &[]);
    check(89, 11, &["rejected"]);
    check(2, 5, &[]);
    check(0, 3, &["rejected", "empty"]);
}

#[test]
fn content_that_is_no_list_is_refused_even_with_force() {
    let mut page = parsed(100, 0);
    page.unfit = Some("an HTML page".to_owned());
    check(&Limits::default(), &page, Some(100), &Reach::default(), &["unfit"]);
}

#[test]
fn a_list_that_counts_itself_otherwise_is_doubted() {
    let mut cut = parsed(100, 0);
    cut.declared = Some(101);
    check(&Limits::default(), &cut, Some(100), &Reach::default(), &["declared"]);
    cut.declared = Some(100);
    check(&Limits::default(), &cut, Some(100), &Reach::default(), &[]);
}

#[test]
fn a_list_with_many_guarded_lines_is_suspicious_and_one_with_cdn_lines_is_not() {
    let guarded = |label: &'static str, lines: usize| {
        let mut list = parsed(100, lines);
        list.reasons.clear();
        list.reasons.insert(label, lines as u64);
        list
    };
    for label in SUSPICIOUS {
        check(&Limits::default(), &guarded(label, 10), None, &Reach::default(), &[]);
        check(&Limits::default(), &guarded(label, 11), None, &Reach::default(), &["suspicious"]);
    }
    check(&Limits::default(), &guarded(HARMLESS, 50), None, &Reach::default(), &[]);
}

#[test]
fn a_list_that_covers_too_much_is_doubted() {
    let wide = Reach { addresses_v4: 1 << 28, share_v4: 0.0625, ..Reach::default() };
    check(&Limits::default(), &parsed(100, 0), None, &wide, &["too_wide"]);
    let hits = Reach { protected: Hits { entries: 11, ..Hits::default() }, ..Reach::default() };
    check(&Limits::default(), &parsed(100, 0), None, &hits, &["suspicious"]);
}

#[test]
fn no_number_overflows() {
    let limits = Limits { most_growth_percent: u32::MAX, most_shrink_percent: 0, ..Limits::default() };
    let judgement = size(&limits, usize::MAX - 1, Some(usize::MAX));
    assert_eq!(judgement, Some(Doubt::TooMany { entries: usize::MAX - 1, most: 2_000_000 }));
    assert!(exceeds(u64::MAX, u64::MAX, 99) && !exceeds(u64::MAX, u64::MAX, 100));
}
