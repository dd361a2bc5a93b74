//! What holds whatever comes.
use proptest::prelude::*;

use super::*;

/// Evidence about one source: of few origins, so that lines are added to, and of many, so that they are merged.
fn evidence(sources: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Evidence> {
    let kinds =
        prop_oneof![4 => Just(Kind::Alert), 2 => Just(Kind::Offence), 1 => Just(Kind::SignIn), 1 => Just(Kind::Calm)];
    let place = (0..3u32, 0..3u32);
    (sources, kinds, 0..16u128, 1.0..99.0f64, 0..400_000i64, any::<bool>(), place).prop_map(
        |(source, kind, rule, points, second, spoofable, (network, asn))| Evidence {
            who: Who { network: format!("network {network}").into(), asn: (asn > 0).then_some(asn), ..who(source) },
            kind,
            points: if kind.is_good() { -points / 9.0 } else { points },
            at: at(second),
            spoofable,
            ..alert(source, rule, points)
        },
    )
}

/// One source's evidence, the first of which opens its entry.
fn story() -> impl Strategy<Value = Vec<Evidence>> {
    prop::collection::vec(evidence(1..=1), 0..40).prop_map(|mut story| {
        for evidence in &mut story {
            evidence.who = who(1);
        }
        story.insert(0, alert(1, 99, 10.0));
        story
    })
}

fn told(story: &[Evidence]) -> Ledger {
    let mut ledger = ledger();
    for evidence in story {
        assert!(ledger.add(evidence));
    }
    ledger
}

fn faded(evidence: &Evidence, now: Timestamp) -> f64 {
    let half_lives = now.duration_since(evidence.at).as_secs_f64() / 86_400.0;
    evidence.points * 0.5f64.powf(half_lives)
}

fn is_near(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1e-3)
}

fn network_points(ledger: &Ledger, who: &Who, now: Timestamp) -> f64 {
    let lines = ledger.assess(who, &[], now).lines;
    lines.iter().filter(|line| line.kind == "network").fold(0.0, |sum, line| sum + line.points)
}

#[derive(Clone, Debug)]
enum Deed {
    Add(Evidence),
    Remove(u64, u128),
    Reset(u64),
    Rename(u64, u64),
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => evidence(1..=6).prop_map(Deed::Add),
        2 => (1..=6u64, 0..16u128).prop_map(|(source, rule)| Deed::Remove(source, rule)),
        1 => (1..=6u64).prop_map(Deed::Reset),
        1 => (1..=6u64, 1..=6u64).prop_map(|(old, new)| Deed::Rename(old, new)),
        1 => Just(Deed::Restart),
    ]
}

proptest! {
    #[test]
    fn in_whatever_order_evidence_arrives_the_sum_is_that_of_all_that_is_left(
        (story, shuffled) in story().prop_flat_map(|story| {
            let rest = story[1..].to_vec();
            (Just(story), Just(rest).prop_shuffle())
        }),
        now in 400_000..900_000i64,
    ) {
        let now = at(now);
        let straight = told(&story).assess(&who(1), &[], now);
        let mut other = told(&story[..1]);
        for evidence in &shuffled {
            other.add(evidence);
        }
        let other = other.assess(&who(1), &[], now);

        let sum = |counts: fn(&Evidence) -> bool| {
            story.iter().filter(|evidence| counts(evidence)).fold(0.0, |sum, evidence| sum + faded(evidence, now))
        };
        let good = sum(|evidence| evidence.kind.is_good()).max(-lines::GOOD_AT_MOST);
        let expected = good + sum(|evidence| !evidence.kind.is_good());
        let proven = good + sum(|evidence| !evidence.kind.is_good() && !evidence.spoofable);
        prop_assert!(is_near(straight.sum, expected), "{} {expected}", straight.sum);
        prop_assert!(is_near(other.sum, expected), "{} {expected}", other.sum);
        for assessment in [straight, other] {
            let of_proven = assessment.lines.iter().filter(|line| !line.spoofable);
            prop_assert!(is_near(of_proven.fold(0.0, |sum, line| sum + line.points), proven));
            prop_assert!(assessment.proven <= assessment.score && assessment.score <= 100);
            prop_assert!(assessment.lines.len() <= lines::MOST_LINES + 3);
            prop_assert!(is_near(assessment.lines.iter().map(|line| line.points).sum(), assessment.sum));
            let sizes: Vec<_> = assessment.lines.iter().map(|line| line.points.abs()).collect();
            prop_assert!(sizes.is_sorted_by(|a, b| a >= b));
            prop_assert_eq!(assessment.lines.iter().map(|line| line.count).sum::<u64>(), story.len() as u64);
        }
    }

    #[test]
    fn more_evidence_against_a_source_never_lowers_its_score(
        story in story(), mut more in evidence(1..=1), now in 400_000..900_000i64,
    ) {
        if more.kind.is_good() {
            (more.kind, more.points) = (Kind::Alert, -more.points);
        }
        let mut ledger = told(&story);
        let before = ledger.assess(&who(1), &[], at(now));
        ledger.add(&Evidence { who: who(1), ..more });
        let after = ledger.assess(&who(1), &[], at(now));
        prop_assert!(after.score >= before.score && after.proven >= before.proven);
    }

    #[test]
    fn without_new_evidence_no_score_rises(
        mut story in story(), (now, more) in (-1..900_000i64, 0..900_000i64),
    ) {
        // Before the time of the last evidence, good behaviour may fade while what is bad does not yet.
        if now < 400_000 {
            story.retain(|evidence| !evidence.kind.is_good());
        }
        let ledger = told(&story);
        let [before, after] = [now, now + more].map(|second| ledger.assess(&who(1), &[], at(second)));
        prop_assert!(after.score <= before.score && after.proven <= before.proven, "{before:?} {after:?}");
    }

    #[test]
    fn a_false_positive_never_takes_what_other_evidence_says(
        story in story(), removed in 0..16u128, estimate in 0.0..300.0f64, second in 0..450_000i64,
    ) {
        let mut ledger = told(&story);
        let now = at(450_000);
        let before = ledger.assess(&who(1), &[], now);
        let taken = ledger.remove_alert(&who(1).key, id(removed), estimate, at(second));
        let after = ledger.assess(&who(1), &[], now);
        prop_assert!(taken >= 0.0 && after.sum <= before.sum + 1e-9);
        let kept = before.lines.iter().filter(|line| {
            line.points < 0.0 || (line.kind != "merged" && line.alert != Some(id(removed)))
        });
        let kept = kept.fold(0.0, |sum, line| sum + line.points);
        prop_assert!(after.sum >= kept - 1e-9, "{} {kept}", after.sum);
        prop_assert!(after.proven <= before.proven);
    }

    #[test]
    fn a_network_counts_what_its_other_sources_have(deeds in prop::collection::vec(deed(), 1..60)) {
        let now = at(400_000);
        let mut ledger = Ledger::new(Limits { most_sources: 100, half_life_s: 864_000_000 });
        for deed in deeds {
            match deed {
                Deed::Add(evidence) => { ledger.add(&evidence); }
                Deed::Remove(source, rule) => { ledger.remove_alert(&who(source).key, id(rule), 10.0, now); }
                Deed::Reset(source) => { ledger.reset(&who(source).key); }
                Deed::Rename(old, new) => ledger.rename(&who(old).key, &who(new).key),
                Deed::Restart => {
                    let saved = {
                        let keys: Vec<_> = ledger.keys_with_evidence().cloned().collect();
                        ledger.changed.extend(keys);
                        ledger.take_changed(usize::MAX)
                    };
                    ledger = Ledger::new(ledger.limits);
                    ledger.restore(saved, now);
                }
            }
        }
        let all: Vec<_> = ledger.sources.values().cloned().collect();
        for entry in &all {
            let others = all.iter().filter(|other| {
                other.who.key != entry.who.key && other.who.network == entry.who.network
            });
            let points = others.filter_map(|other| other.lines.proven(ledger.half_life));
            let points = points.fold(0.0, |sum, own| sum + own.left(now, ledger.half_life)) * NETWORK_SHARE;
            let expected = if points < 0.01 { 0.0 } else { points.min(NETWORK_AT_MOST) };
            let found = network_points(&ledger, &entry.who, now);
            prop_assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn whatever_comes_a_ledger_keeps_to_its_limits(
        stories in prop::collection::vec(evidence(1..=40), 1..200), most_sources in 1..20usize,
    ) {
        let mut ledger = ledger_of(most_sources);
        for evidence in &stories {
            let was_proven: Vec<_> =
                ledger.sources.values().filter(|entry| entry.is_proven).map(|entry| entry.who.key.clone()).collect();
            let is_there = ledger.contains(&evidence.who.key);
            let is_taken = ledger.add(evidence);
            prop_assert!(ledger.len() <= most_sources);
            prop_assert!(ledger.ranks.spoofable() <= (most_sources / 4).max(1));
            prop_assert!(!is_there || is_taken);
            prop_assert_eq!(is_taken, ledger.contains(&evidence.who.key));
            prop_assert!(!evidence.spoofable || was_proven.iter().all(|key| ledger.contains(key)));
        }
    }
}
