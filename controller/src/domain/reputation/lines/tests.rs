use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

const HALF_LIFE_S: u64 = 100;

fn held(class: Class, source: &str, points: f64) -> Held {
    let kind = if class == Class::Good { Kind::Calm } else { Kind::Offence };
    Held::new(kind, class, source.into(), None, points, at(0))
}

/// The lines after all these, by class and source, those that were merged in brackets.
#[track_caller]
fn check(added: &[(Class, &str, f64)], expected: &[&str]) {
    let mut lines = Lines::default();
    for (class, source, points) in added {
        lines.add(&held(*class, source, *points), HalfLife::new(HALF_LIFE_S));
    }
    let shown = lines.iter().map(|line| match line.kind {
        Kind::Merged => format!("[{} {}]", line.source, line.count),
        _ => format!("{} {}", line.class.name(), line.source),
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

const EIGHT: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn eight(class: Class, points: f64) -> Vec<(Class, &'static str, f64)> {
    EIGHT.map(|source| (class, source, points)).to_vec()
}

fn named(class: Class, sources: &[&str]) -> Vec<String> {
    sources.iter().map(|source| format!("{} {source}", class.name())).collect()
}

fn with(names: Vec<String>, more: &[&str]) -> Vec<String> {
    names.into_iter().chain(more.iter().map(|name| (*name).to_owned())).collect()
}

#[track_caller]
fn check_added(class: Class, more: &[(Class, &str, f64)], expected: &[String]) {
    let added = [eight(class, 10.0 * if class == Class::Good { -1.0 } else { 1.0 }).as_slice(), more].concat();
    check(&added, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_least_is_merged_away_even_if_it_is_the_newest() {
    let expected = with(named(Class::Proven, &EIGHT), &["[proven 2]"]);
    check_added(Class::Proven, &[(Class::Proven, "i", 9.0), (Class::Proven, "j", 8.0)], &expected);
    let expected = with(named(Class::Proven, &EIGHT[1..]), &["proven i", "[proven 1]"]);
    check_added(Class::Proven, &[(Class::Proven, "i", 11.0)], &expected);
}

#[test]
fn what_is_forged_hides_nothing_that_is_proven() {
    let more = [(Class::Spoofable, "i", 90.0), (Class::Spoofable, "j", 90.0)];
    check_added(Class::Proven, &more, &with(named(Class::Proven, &EIGHT), &["[spoofable 2]"]));
}

#[test]
fn the_first_that_is_proven_has_the_place_of_what_may_be_forged() {
    let more = [(Class::Proven, "i", 1.0), (Class::Proven, "j", 2.0)];
    let expected = with(named(Class::Spoofable, &EIGHT[1..]), &["[spoofable 1]", "proven j", "[proven 1]"]);
    check_added(Class::Spoofable, &more, &expected);
}

#[test]
fn good_behaviour_is_merged_with_its_like() {
    let more = [(Class::Good, "i", -9.0), (Class::Proven, "j", 1.0)];
    let expected = with(named(Class::Good, &EIGHT[1..]), &["[good 2]", "proven j"]);
    check_added(Class::Good, &more, &expected);
}

#[test]
fn what_has_faded_more_is_less() {
    let (mut lines, half_life) = (Lines::default(), HalfLife::new(HALF_LIFE_S));
    for source in EIGHT {
        lines.add(&Held { at: at(300), ..held(Class::Proven, source, 2.0) }, half_life);
    }
    lines.add(&held(Class::Proven, "i", 15.0), half_life);
    assert!(lines.iter().any(|line| line.kind == Kind::Merged && line.weight > 14.0));
    lines.add(&held(Class::Proven, "j", 17.0), half_life);
    assert!(lines.iter().any(|line| line.source.as_ref() == "j"));
}
