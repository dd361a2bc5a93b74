use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const START: u64 = 1_000;

fn at(second: u64) -> Now {
    Now { boot: BootSeconds(second), wall: Timestamp::from_second(i64::try_from(second).unwrap()).unwrap() }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn told(id: i64, prefix: &str, seconds: u64) -> Told {
    Told {
        id,
        prefix: net(prefix),
        seconds,
        enforcement: Enforcement::Enforce,
        reason: "ssh-bf (crowdsec)".into(),
        source: "crowdsec".into(),
    }
}

fn observed(id: i64, prefix: &str, seconds: u64) -> Told {
    Told { enforcement: Enforcement::Observe, ..told(id, prefix, seconds) }
}

fn page(new: impl IntoIterator<Item = Told>, deleted: &[i64]) -> Page {
    Page { new: new.into_iter().collect(), deleted: deleted.to_vec(), refusals: Refusals::default() }
}

/// Puts as prefix and end, removals as prefixes.
#[track_caller]
fn changed(delta: &Delta, put: &[(&str, u64)], remove: &[&str]) {
    let got: Vec<(IpNet, u64)> = delta.put.iter().map(|(prefix, put)| (*prefix, put.expiry.boot.0)).collect();
    let wanted: Vec<(IpNet, u64)> = put.iter().map(|(prefix, end)| (net(prefix), *end)).collect();
    assert_eq!(got, wanted);
    assert_eq!(delta.remove, remove.iter().map(|prefix| net(prefix)).collect::<Vec<_>>());
}

#[test]
fn a_decision_is_in_force_until_it_is_deleted() {
    let mut decisions = Decisions::default();
    changed(&decisions.apply(page([told(1, "192.0.2.1/32", 60)], &[]), at(START)), &[("192.0.2.1/32", 1_061)], &[]);
    changed(&decisions.apply(page([], &[1]), at(START + 5)), &[], &["192.0.2.1/32"]);
    changed(&decisions.apply(page([], &[1, 9]), at(START + 6)), &[], &[]);
    assert!(decisions.is_empty() && decisions.in_force().is_empty());
}

#[test]
fn a_prefix_stays_denied_while_another_decision_on_it_lives() {
    let mut decisions = Decisions::default();
    let both = [told(1, "192.0.2.1/32", 600), told(2, "192.0.2.1/32", 60)];
    changed(&decisions.apply(page(both, &[]), at(START)), &[("192.0.2.1/32", 1_601)], &[]);
    changed(&decisions.apply(page([], &[1]), at(START + 1)), &[("192.0.2.1/32", 1_061)], &[]);
    changed(&decisions.apply(page([], &[2]), at(START + 2)), &[], &["192.0.2.1/32"]);
}

#[test]
fn a_denial_goes_before_a_longer_observation_which_shows_through_when_it_ends() {
    let mut decisions = Decisions::default();
    let both = [observed(1, "192.0.2.1/32", 600), told(2, "192.0.2.1/32", 60)];
    changed(&decisions.apply(page(both, &[]), at(START)), &[("192.0.2.1/32", 1_061)], &[]);
    let later = decisions.expire(at(1_061));
    changed(&later, &[("192.0.2.1/32", 1_601)], &[]);
    assert_eq!(later.put[0].1.enforcement, Enforcement::Observe);
}

#[test]
fn an_end_that_only_seems_to_move_because_answers_are_slow_changes_nothing() {
    let mut decisions = Decisions::default();
    decisions.took(9);
    decisions.replace(page([told(1, "192.0.2.1/32", 600)], &[]), at(START));
    decisions.took(1);
    changed(&decisions.replace(page([told(1, "192.0.2.1/32", 591)], &[]), at(START)), &[], &[]);
    // Two quick answers later an end that moved has moved.
    decisions.took(1);
    changed(&decisions.replace(page([told(1, "192.0.2.1/32", 660)], &[]), at(START)), &[("192.0.2.1/32", 1_661)], &[]);
}

#[test]
fn a_range_and_an_address_in_it_are_two_things() {
    let mut decisions = Decisions::default();
    let both = [told(1, "198.51.100.0/24", 600), told(2, "198.51.100.7/32", 600)];
    decisions.apply(page(both, &[]), at(START));
    changed(&decisions.apply(page([], &[2]), at(START)), &[], &["198.51.100.7/32"]);
}

#[test]
fn what_ends_is_forgotten_without_the_servers_word() {
    let mut decisions = Decisions::default();
    decisions.apply(page([told(1, "192.0.2.1/32", 60), told(2, "192.0.2.2/32", 61)], &[]), at(START));
    assert_eq!(decisions.next_expiry(), Some(BootSeconds(1_061)));
    changed(&decisions.expire(at(1_060)), &[], &[]);
    changed(&decisions.expire(at(1_061)), &[], &["192.0.2.1/32"]);
    changed(&decisions.apply(Page::default(), at(1_062)), &[], &["192.0.2.2/32"]);
    assert_eq!(decisions.next_expiry(), None);
}

#[test]
fn the_same_told_again_changes_nothing() {
    let mut decisions = Decisions::default();
    let all = || page([told(1, "192.0.2.1/32", 60), told(2, "192.0.2.1/32", 90)], &[]);
    decisions.apply(all(), at(START));
    changed(&decisions.apply(all(), at(START)), &[], &[]);
    changed(&decisions.replace(all(), at(START)), &[], &[]);
    // What is left was rounded at another moment.
    let again = || page([told(1, "192.0.2.1/32", 51), told(2, "192.0.2.1/32", 81)], &[]);
    changed(&decisions.replace(again(), at(START + 10)), &[], &[]);
    changed(&decisions.replace(page([told(2, "192.0.2.1/32", 100)], &[]), at(START)), &[("192.0.2.1/32", 1_101)], &[]);
}

#[test]
fn a_number_that_names_another_prefix_leaves_the_first() {
    let mut decisions = Decisions::default();
    decisions.apply(page([told(1, "192.0.2.1/32", 60)], &[]), at(START));
    let moved = decisions.apply(page([told(1, "192.0.2.2/32", 60)], &[]), at(START));
    changed(&moved, &[("192.0.2.2/32", 1_061)], &["192.0.2.1/32"]);
}

#[test]
fn a_whole_answer_ends_what_is_not_in_it() {
    let mut decisions = Decisions::default();
    decisions.apply(page([told(1, "192.0.2.1/32", 60), told(2, "192.0.2.2/32", 60)], &[]), at(START));
    let delta = decisions.replace(page([told(2, "192.0.2.2/32", 60), told(3, "2001:db8::/32", 9)], &[]), at(START));
    changed(&delta, &[("2001:db8::/32", 1_010)], &["192.0.2.1/32"]);
}

#[test]
fn after_a_restart_only_what_differs_is_told() {
    let mut before = Decisions::default();
    let all = ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"];
    before.apply(page((1..).zip(all).map(|(id, prefix)| told(id, prefix, 60)), &[]), at(START));
    let mut after = Decisions::restore(before.in_force().clone(), at(START + 10));
    assert_eq!(after.len(), 3);
    let answer = page([told(1, "192.0.2.1/32", 51), told(9, "192.0.2.2/32", 500)], &[]);
    changed(&after.replace(answer, at(START + 10)), &[("192.0.2.2/32", 1_511)], &["192.0.2.3/32"]);
    assert_eq!(after.len(), 2);
    let late = Decisions::restore(before.in_force().clone(), at(1_061));
    assert!(late.is_empty());
}

#[test]
fn no_end_is_too_far_away() {
    let mut decisions = Decisions::default();
    let delta = decisions.apply(page([told(1, "192.0.2.1/32", u64::MAX)], &[]), at(START));
    changed(&delta, &[("192.0.2.1/32", u64::MAX)], &[]);
}

/// One number and what a server does with it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add {
        prefix: u8,
        seconds: u64,
        observe: bool,
    },
    Delete(usize),
    Wait(u64),
    Poll {
        late: bool,
        shuffled: bool,
    },
    /// The server answers, and nobody hears it.
    Lost,
    Restart,
    LocalExpiry,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..6, 1u64..200, any::<bool>()).prop_map(|(prefix, seconds, observe)| Step::Add { prefix, seconds, observe }),
        3 => any::<usize>().prop_map(Step::Delete),
        3 => (0u64..50).prop_map(Step::Wait),
        5 => (any::<bool>(), any::<bool>()).prop_map(|(late, shuffled)| Step::Poll { late, shuffled }),
        1 => Just(Step::Lost),
        1 => Just(Step::Restart),
        1 => Just(Step::LocalExpiry),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A server as plain as can be: everything it ever decided, and what it told last.
#[derive(Default)]
struct Server {
    /// Number, prefix, true end, whether observed, the time it was added, when it was deleted.
    all: Vec<(i64, IpNet, u64, bool, u64, Option<u64>)>,
    /// How many were told, and the deletions up to when.
    cursor: (usize, u64),
}

impl Server {
    fn live(&self, now: u64) -> impl Iterator<Item = &(i64, IpNet, u64, bool, u64, Option<u64>)> {
        self.all.iter().filter(move |(_, _, end, _, _, deleted)| *end > now && deleted.is_none())
    }

    fn tell(entry: &(i64, IpNet, u64, bool, u64, Option<u64>), now: u64, late: u64) -> Told {
        let prefix = entry.1.to_string();
        // Rounding up may give one second more.
        let seconds = entry.2 - now + late;
        if entry.3 { observed(entry.0, &prefix, seconds) } else { told(entry.0, &prefix, seconds) }
    }

    fn answer(&mut self, startup: bool, now: u64, late: u64) -> Page {
        let (told_up_to, deleted_up_to) = if startup { (0, 0) } else { self.cursor };
        let new: Vec<Told> = self
            .live(now)
            .filter(|entry| usize::try_from(entry.0).unwrap() > told_up_to)
            .map(|entry| Self::tell(entry, now, late))
            .collect();
        let ended = |entry: &&(i64, IpNet, u64, bool, u64, Option<u64>)| {
            // Two seconds more, as the real one does: deletions are told twice.
            entry.5.unwrap_or(entry.2) + 2 >= deleted_up_to && entry.5.unwrap_or(entry.2) <= now
        };
        let deleted = if startup { Vec::new() } else { self.all.iter().filter(ended).map(|entry| entry.0).collect() };
        self.cursor = (self.all.len(), now);
        Page { new, deleted, refusals: Refusals::default() }
    }

    /// What must be in force, and the true end of it.
    fn table(&self, now: u64) -> BTreeMap<IpNet, (bool, u64)> {
        let mut table: BTreeMap<IpNet, (bool, u64)> = BTreeMap::new();
        for (_, prefix, end, observe, _, _) in self.live(now) {
            let stands = table.entry(*prefix).or_default();
            *stands = (*stands).max((!observe, *end));
        }
        table
    }
}

const PREFIXES: [&str; 6] =
    ["192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24", "198.51.100.7/32", "2001:db8::/32", "2001:db8::1/128"];

fn mirror(table: &mut BTreeMap<IpNet, Put>, delta: &Delta) {
    for (prefix, put) in &delta.put {
        assert_ne!(table.insert(*prefix, put.clone()), Some(put.clone()), "{prefix} did not change");
    }
    for prefix in &delta.remove {
        assert!(table.remove(prefix).is_some(), "{prefix} was not there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn whoever_applies_the_changes_has_what_the_server_has(steps in steps()) {
        let (mut server, mut decisions) = (Server::default(), Decisions::default());
        let (mut now, mut startup, mut followed) = (START, true, BTreeMap::new());
        // A restored entry has no number: a decision that ends a second before or after may be taken for it.
        let mut early = 1;
        for step in steps {
            match step {
                Step::Add { prefix, seconds, observe } => {
                    let id = i64::try_from(server.all.len()).unwrap() + 1;
                    server.all.push((id, net(PREFIXES[usize::from(prefix)]), now + seconds, observe, now, None));
                }
                Step::Delete(which) if !server.all.is_empty() => {
                    let which = which % server.all.len();
                    let entry = &mut server.all[which];
                    entry.5 = entry.5.or((entry.2 > now).then_some(now));
                }
                Step::Delete(_) => {}
                Step::Wait(seconds) => now += seconds,
                Step::Lost => {
                    server.answer(startup, now, 0);
                    startup = true;
                }
                Step::Restart => {
                    // What is over by then was taken out of the kernel's tables by its own clock.
                    decisions = Decisions::restore(followed.clone(), at(now));
                    followed = decisions.in_force().clone();
                    (startup, early) = (true, 0);
                }
                Step::LocalExpiry => mirror(&mut followed, &decisions.expire(at(now))),
                Step::Poll { late, shuffled } => {
                    let mut page = server.answer(startup, now, u64::from(late));
                    if shuffled {
                        page.new.reverse();
                        page.new.extend(page.new.clone());
                        page.deleted.extend(page.deleted.clone());
                    }
                    let again = page.clone();
                    let delta = if startup { decisions.replace(page, at(now)) } else { decisions.apply(page, at(now)) };
                    mirror(&mut followed, &delta);
                    prop_assert!(decisions.apply(again, at(now)).is_empty());
                    startup = false;
                    let wanted = server.table(now);
                    prop_assert_eq!(followed.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
                    for (prefix, (denies, end)) in wanted {
                        let put = &followed[&prefix];
                        prop_assert_eq!(put.enforcement == Enforcement::Enforce, denies, "{}", prefix);
                        // Never early; at most the reading's second, and the rounding's, late.
                        prop_assert!((end + early..=end + 3 - early).contains(&put.expiry.boot.0), "{} {:?} {}", prefix, put, end);
                    }
                    prop_assert_eq!(&followed, decisions.in_force());
                }
            }
        }
    }
}
