//! The real program under the kernel's test-run, the same code on the host, and a reference written apart from both:
//! they must say the same of every frame.
#![expect(clippy::expect_used, clippy::panic, reason = "a broken expectation is the test's failure")]
#![expect(clippy::print_stdout, reason = "how often each verdict was reached is part of what the tests say")]
use std::collections::{BTreeMap, BTreeSet};
use std::env;

use weir_common::model::Model;
use weir_common::verdict::{Action, Verdict};
use weir_tests::differential;
use weir_tests::fixtures::random::Rng;
use weir_tests::fixtures::{self, Fixture, Scenario, allow, deny, net, rule, weaker};
use weir_tests::frames::{V4, V6, v6};
use weir_tests::kernel::SHORTEST;
use weir_tests::kernel::image::Image;
use weir_tests::kernel::trio::Trio;
use weir_tests::reference::world::{Confirm, Live, World};
use weir_tests::reference::{Outcome, Plant};

mod answers;
mod flips;
mod limits;
mod memory;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Random and mutated frames in all.
const RANDOM_FRAMES: usize = 1_200_000;

fn of(scenario: Scenario) -> impl Iterator<Item = Fixture> {
    fixtures::all().into_iter().filter(move |fixture| fixture.scenario == scenario)
}

/// All three judges' verdict on a frame.
#[track_caller]
fn verdict(trio: &mut Trio, frame: &[u8]) -> Outcome {
    trio.run(frame).unwrap_or_else(|disagreement| panic!("{disagreement}"))
}

#[track_caller]
fn check(trio: &mut Trio, frame: &[u8], decides: Verdict, observed: Option<Verdict>) {
    assert_eq!(verdict(trio, frame), Outcome { verdict: decides, observed });
}

fn from_v4(last: u8) -> Vec<u8> {
    V4::from([192, 0, 2, last]).frame()
}

fn from_v6(last: u64) -> Vec<u8> {
    V6::from(v6(0x2001_0db8, 1, last)).frame()
}

/// The standard lists' clocks, and lists of one's own.
fn world(change: impl FnOnce(&mut World)) -> World {
    let mut world = World { now_s: 5_000, now_ns: 5_000 * SECOND, ..World::default() };
    change(&mut world);
    world
}

#[test]
fn fixtures_are_many_and_their_names_are_their_own() {
    let named = fixtures::named();
    let all = fixtures::all();
    let claims: BTreeSet<&str> = all.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(claims.len(), all.len());
    assert!(named.len() >= 100, "{} named fixtures", named.len());
    println!("{} named fixtures, {} with those made by counting", named.len(), all.len());
}

#[test]
fn every_fixture_gets_its_verdict_from_kernel_host_and_reference() {
    let mut trio = Trio::new();
    let mut wrong = Vec::new();
    for scenario in Scenario::ALL {
        trio.install(&scenario.world());
        for fixture in of(scenario) {
            trio.pass(10 * MILLISECOND, 0);
            match trio.run(&fixture.frame) {
                Ok(outcome) if outcome == Outcome { verdict: fixture.verdict, observed: fixture.observed } => {}
                Ok(outcome) => wrong.push(format!("{}: {outcome:?}, not {:?}", fixture.name, fixture.verdict)),
                Err(disagreement) => wrong.push(format!("{}: {disagreement}", fixture.name)),
            }
        }
        trio.audit();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_length_of_every_fixture_gets_one_verdict_and_hides_no_denied_source() {
    let mut trio = Trio::new();
    let mut runs = 0;
    for scenario in Scenario::ALL {
        trio.install(&scenario.world());
        for fixture in of(scenario) {
            for len in 0..=fixture.frame.len() {
                trio.pass(10 * MILLISECOND, 0);
                let outcome = trio
                    .run(&fixture.frame[..len])
                    .unwrap_or_else(|disagreement| panic!("{} at {len} bytes: {disagreement}", fixture.name));
                let hides = fixture.verdict == Verdict::Denied && outcome.verdict.action() == Action::Pass;
                assert!(!hides, "{} passes at {len} bytes as {:?}", fixture.name, outcome.verdict);
                if len < SHORTEST && scenario == Scenario::Lists {
                    assert_eq!(outcome.verdict, Verdict::Malformed, "{} at {len} bytes", fixture.name);
                }
                runs += 1;
            }
        }
        trio.audit();
    }
    println!("{runs} lengths");
}

fn seed() -> u64 {
    match env::var("WEIR_SEED") {
        Ok(text) => text.parse().expect("WEIR_SEED is a number"),
        Err(_) => 20_260_501,
    }
}

#[test]
fn a_million_random_and_mutated_frames_get_one_verdict_from_all_three() {
    let seed = seed();
    println!("WEIR_SEED={seed}");
    let workers = 2;
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = |worker: u64| {
            let mut rng = Rng::new(seed.wrapping_add(worker));
            differential::run(&mut Trio::new(), &mut rng, RANDOM_FRAMES / 2)
        };
        let handles: Vec<_> = (0..workers).map(|worker| scope.spawn(move || run(worker))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a worker's panic is the test's")).collect()
    });
    let mut verdicts = BTreeMap::<Verdict, usize>::new();
    let mut observed = BTreeMap::<Verdict, usize>::new();
    for counts in results {
        let counts = counts.unwrap_or_else(|failure| panic!("WEIR_SEED={seed}: {failure}"));
        for (outcome, count) in counts {
            *verdicts.entry(outcome.verdict).or_default() += count;
            if let Some(verdict) = outcome.observed {
                *observed.entry(verdict).or_default() += count;
            }
        }
    }
    println!("{:<12} {:>9} {:>9}", "verdict", "enforced", "observed");
    for verdict in Verdict::ALL {
        let count = |of: &BTreeMap<Verdict, usize>| of.get(&verdict).copied().unwrap_or(0);
        if count(&verdicts) + count(&observed) > 0 {
            println!("{:<12} {:>9} {:>9}", verdict.name(), count(&verdicts), count(&observed));
        }
    }
    assert!(verdicts.values().sum::<usize>() >= 1_000_000);
    for verdict in REACHABLE {
        let count = |of: &BTreeMap<Verdict, usize>| of.get(&verdict).copied().unwrap_or(0);
        assert!(count(&verdicts) >= 100, "{} was not reached often enough", verdict.name());
        // Rarer by far: that takes a list or a limit that is observed, and nothing that is stronger.
        let drops = verdict.action() == Action::Drop;
        assert!(!drops || count(&observed) >= 20, "{} was not observed often enough", verdict.name());
    }
}

/// Every verdict that a packet can get now: the walk's own, and what lists can hold.
const REACHABLE: [Verdict; 22] = [
    Verdict::Pass,
    Verdict::Allowed,
    Verdict::NotIp,
    Verdict::Essential,
    Verdict::Bypassed,
    Verdict::Fault,
    Verdict::Denied,
    Verdict::Feed,
    Verdict::Country,
    Verdict::Asn,
    Verdict::Reputation,
    Verdict::Rule,
    Verdict::Crowdsec,
    Verdict::Offender,
    Verdict::Malformed,
    Verdict::Bogon,
    Verdict::Budget,
    Verdict::Fragment,
    Verdict::Port,
    Verdict::RateSource,
    Verdict::RateNetwork,
    Verdict::RateGlobal,
];

#[test]
fn a_wrong_rule_anywhere_makes_the_comparison_fail() {
    let (some, others) = Plant::ALL.split_at(Plant::ALL.len() / 2);
    let unseen: Vec<Plant> = std::thread::scope(|scope| {
        let handles = [some, others].map(|plants| scope.spawn(|| unseen(plants)));
        handles.into_iter().flat_map(|handle| handle.join().expect("a worker's panic is the test's")).collect()
    });
    assert_eq!(unseen, []);
}

/// Those that no frame told from what is right.
fn unseen(plants: &[Plant]) -> Vec<Plant> {
    let mut trio = Trio::new();
    let mut unseen = Vec::new();
    for plant in plants {
        trio.plant(Some(*plant));
        match differential::run(&mut trio, &mut Rng::new(seed()), 400_000) {
            Ok(_) => unseen.push(*plant),
            Err(failure) => {
                let after = failure.lines().find(|line| line.starts_with("after")).unwrap_or_default().to_owned();
                println!("{plant:?} was seen {}", after.split(',').next().unwrap_or_default());
            }
        }
    }
    unseen
}

#[test]
fn a_kernel_table_that_lacks_one_entry_makes_the_comparison_fail() {
    let mut trio = Trio::new();
    let whole = fixtures::standard();
    let mut lacking = whole.clone();
    lacking.slots[0].decisions.retain(|decision| decision.prefix != net("192.0.2.66"));
    trio.install_apart(&lacking, &whole);
    let disagreement = trio.run(&from_v4(66)).unwrap_err();
    assert_eq!(disagreement.kernel.map(|kernel| kernel.verdict), Some(Verdict::Pass));
    assert_eq!((disagreement.model.verdict, disagreement.reference.verdict), (Verdict::Denied, Verdict::Denied));
    check(&mut trio, &from_v4(67), Verdict::Pass, None);
}

#[test]
fn a_table_that_is_not_there_lets_pass_as_a_fault() {
    let mut trio = Trio::new();
    trio.install(&fixtures::standard());
    let fault = Outcome { verdict: Verdict::Fault, observed: None };
    assert_eq!(trio.kernel().run(&from_v4(66)).unwrap().verdict, Verdict::Denied);
    trio.kernel().tear_out("TABLES", 0).unwrap();
    assert_eq!(trio.kernel().run(&from_v4(66)).unwrap(), fault);
    assert_eq!(trio.kernel().run(&from_v6(0x66)).unwrap(), fault);
    let image = Image::of(&fixtures::standard()).unwrap();
    let mut model: Model = image.model(1);
    model.tables.clear();
    assert_eq!(weir_common::judge::judge(&from_v4(66)[..], &model).verdict(), Verdict::Fault);
}

#[test]
fn essential_traffic_has_a_small_bucket_and_is_judged_like_any_other_beyond_it() {
    let mut trio = Trio::new();
    trio.install(&fixtures::standard());
    let solicitation =
        |source: [u8; 16]| V6::from(source).hops(255).carrying(58, weir_tests::frames::icmpv6(135, 0)).frame();
    let (denied, unlisted) = (solicitation(fixtures::DENIED_V6), solicitation(fixtures::UNLISTED_V6));
    for _ in 0..500 {
        check(&mut trio, &denied, Verdict::Essential, None);
    }
    check(&mut trio, &denied, Verdict::Denied, None);
    check(&mut trio, &unlisted, Verdict::Pass, None);
    check(&mut trio, &solicitation([0; 16]), Verdict::Bogon, None);
    trio.pass(2 * MILLISECOND, 0);
    check(&mut trio, &denied, Verdict::Essential, None);
    check(&mut trio, &denied, Verdict::Denied, None);
    trio.audit();
}

#[test]
fn an_expired_narrow_entry_uncovers_the_wide_one_at_the_very_second() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![
            deny("192.0.2.5").until(5_010),
            rule("192.0.2.0/24").until(5_020),
            weaker("192.0.0.0/16", 7, Verdict::Feed).until(5_030),
            allow("2001:db8:0:1::5").until(5_010),
            deny("2001:db8:0:1::/64").until(5_020).observed(),
            rule("2001:db8::/48").until(5_030),
        ];
    }));
    for second in 5_000..5_040 {
        let v4 = match second {
            ..5_010 => Verdict::Denied,
            5_010..5_020 => Verdict::Rule,
            5_020..5_030 => Verdict::Feed,
            _ => Verdict::Pass,
        };
        let (six, observed) = match second {
            ..5_010 => (Verdict::Allowed, None),
            5_010..5_030 => (Verdict::Rule, None),
            _ => (Verdict::Pass, None),
        };
        check(&mut trio, &from_v4(5), v4, None);
        check(&mut trio, &from_v6(5), six, observed);
        trio.pass(0, 1);
    }
    trio.audit();
}

#[test]
fn a_chain_as_long_as_the_kernel_follows_ends_each_entry_at_its_second() {
    let mut trio = Trio::new();
    let prefixes = [
        "192.0.2.5",
        "192.0.2.4/31",
        "192.0.2.4/30",
        "192.0.2.0/29",
        "192.0.2.0/28",
        "192.0.2.0/27",
        "192.0.2.0/26",
        "192.0.2.0/25",
    ];
    let verdicts = [
        Verdict::Denied,
        Verdict::Rule,
        Verdict::Reputation,
        Verdict::Offender,
        Verdict::Crowdsec,
        Verdict::Feed,
        Verdict::Asn,
        Verdict::Country,
    ];
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![weaker("192.0.2.0/24", 9, Verdict::Unverified)];
        for (at, (prefix, verdict)) in (1u16..).zip(prefixes.iter().zip(verdicts)) {
            world.slots[0].decisions.push(weaker(prefix, at, verdict).until(5_000 + u32::from(at)));
        }
    }));
    for verdict in verdicts {
        check(&mut trio, &from_v4(5), verdict, None);
        trio.pass(0, 1);
    }
    check(&mut trio, &from_v4(5), Verdict::Unverified, None);
}

#[test]
fn the_overlay_adds_and_lifts_beside_the_tables() {
    let mut trio = Trio::new();
    let lift = |address: &str, rank: u16| Live::Lift(address.parse().unwrap(), rank);
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![
            deny("192.0.2.7"),
            deny("192.0.2.8"),
            rule("192.0.2.8/29"),
            deny("192.0.2.9"),
            allow("192.0.2.20"),
            rule("2001:db8:0:1::7"),
        ];
        world.overlay = vec![
            Live::Add(deny("192.0.2.1")),
            Live::Add(allow("192.0.2.9")),
            Live::Add(deny("192.0.2.32/27")),
            Live::Add(allow("192.0.2.48/28")),
            Live::Add(deny("192.0.2.50").observed()),
            Live::Add(deny("2001:db8:0:1::40/122")),
            Live::Add(allow("2001:db8:0:1::41")),
            Live::Add(deny("192.0.2.20")),
            Live::Add(rule("192.0.2.66").until(5_005)),
            Live::Add(deny("192.0.2.80/28").until(5_005)),
            Live::Add(rule("192.0.2.64/26")),
            lift("192.0.2.7", 1),
            lift("192.0.2.8", 1),
            lift("2001:db8:0:1::7", 3),
        ];
    }));
    for (host, expected) in [
        (1, Verdict::Denied),
        (7, Verdict::Pass),
        (8, Verdict::Rule),
        (9, Verdict::Allowed),
        (20, Verdict::Allowed),
        (33, Verdict::Denied),
        (49, Verdict::Allowed),
        (50, Verdict::Allowed),
        (64, Verdict::Rule),
        (66, Verdict::Rule),
        (81, Verdict::Denied),
        (128, Verdict::Pass),
    ] {
        check(&mut trio, &from_v4(host), expected, None);
    }
    for (host, expected) in
        [(7, Verdict::Pass), (0x40, Verdict::Denied), (0x41, Verdict::Allowed), (0x80, Verdict::Pass)]
    {
        check(&mut trio, &from_v6(host), expected, None);
    }
    trio.pass(0, 5);
    // A narrow value that has ended must not hide the wide one beneath it.
    check(&mut trio, &from_v4(66), Verdict::Rule, None);
    check(&mut trio, &from_v4(81), Verdict::Rule, None);
    trio.audit();
}

#[test]
fn a_lift_answers_for_each_slot_by_itself() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![deny("192.0.2.7"), rule("192.0.2.0/24")];
        world.slots[1].decisions = vec![deny("192.0.2.7"), allow("192.0.2.0/24")];
        world.slots[2].decisions = vec![rule("192.0.2.7").until(5_003), weaker("192.0.2.0/24", 7, Verdict::Feed)];
        world.slots[3].decisions = vec![deny("192.0.2.7")];
        world.overlay = vec![Live::Lift("192.0.2.7".parse().unwrap(), 1)];
    }));
    for (slot, expected) in [(0, Verdict::Rule), (1, Verdict::Allowed), (2, Verdict::Rule), (3, Verdict::Pass)] {
        trio.change(|world| world.in_force = slot);
        check(&mut trio, &from_v4(7), expected, None);
    }
    trio.change(|world| (world.in_force, world.now_s) = (2, 5_003));
    check(&mut trio, &from_v4(7), Verdict::Feed, None);
    trio.audit();
}

#[test]
fn tables_that_the_overlay_knows_nothing_of_answer_for_themselves() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![deny("192.0.2.7"), rule("192.0.2.0/24")];
        // A later daemon's: without the address that was lifted, with the prefixes around it.
        world.slots[1].decisions = vec![rule("192.0.2.0/24")];
        world.slots[2].decisions = vec![deny("192.0.2.7"), allow("192.0.2.0/24")];
        world.unlifted = [false, true, true, true];
        world.overlay = vec![Live::Lift("192.0.2.7".parse().unwrap(), 1)];
    }));
    for (slot, expected) in [(0, Verdict::Rule), (1, Verdict::Rule), (2, Verdict::Allowed), (3, Verdict::Pass)] {
        trio.change(|world| world.in_force = slot);
        check(&mut trio, &from_v4(7), expected, None);
    }
    trio.audit();
}

#[test]
fn an_unconfirmed_change_falls_back_at_its_deadline_without_the_daemon() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[1].decisions = vec![deny("192.0.2.5")];
        world.slots[3].decisions = vec![allow("192.0.2.5")];
        world.in_force = 3;
        world.confirm = Some(Confirm { deadline_s: 5_060, fallback: 1 });
    }));
    for second in 5_000..5_070 {
        let expected = if second < 5_060 { Verdict::Allowed } else { Verdict::Denied };
        check(&mut trio, &from_v4(5), expected, None);
        trio.pass(0, 1);
    }
    // Confirmed: the same slot, and no deadline any more.
    trio.change(|world| world.confirm = None);
    check(&mut trio, &from_v4(5), Verdict::Allowed, None);
    trio.audit();
}

#[test]
fn switches_hold_from_the_next_packet_on() {
    let mut trio = Trio::new();
    trio.install(&fixtures::standard());
    let denied = from_v4(66);
    check(&mut trio, &denied, Verdict::Denied, None);
    trio.change(|world| world.bypass = true);
    check(&mut trio, &denied, Verdict::Bypassed, None);
    trio.change(|world| world.bypass = false);
    check(&mut trio, &denied, Verdict::Denied, None);
    trio.change(|world| world.slots[0].observe_all = true);
    check(&mut trio, &denied, Verdict::Pass, Some(Verdict::Denied));
    trio.change(|world| world.slots[0].observe_all = false);
    check(&mut trio, &denied, Verdict::Denied, None);
    trio.audit();
}

#[test]
fn protection_voids_automatic_denials_in_tables_and_overlay_and_no_forced_one() {
    let mut trio = Trio::new();
    trio.install(&world(|world| {
        world.slots[0].decisions = vec![rule("192.0.2.1"), deny("192.0.2.2").by_force(), rule("192.0.2.3")];
        world.slots[0].protected = vec![net("192.0.2.1"), net("192.0.2.2"), net("192.0.2.5"), net("192.0.2.6")];
        world.slots[0].never_block = vec![net("192.0.2.3"), net("192.0.2.4"), net("192.0.2.7")];
        world.overlay = vec![
            Live::Add(rule("192.0.2.0/24")),
            Live::Add(rule("192.0.2.5").observed()),
            Live::Add(deny("192.0.2.6").by_force()),
            Live::Add(deny("192.0.2.7")),
        ];
    }));
    for (host, expected) in [
        (1, Verdict::Pass),
        (2, Verdict::Denied),
        (3, Verdict::Pass),
        (4, Verdict::Pass),
        (5, Verdict::Pass),
        (6, Verdict::Denied),
        (7, Verdict::Denied),
        (8, Verdict::Rule),
    ] {
        check(&mut trio, &from_v4(host), expected, None);
    }
    trio.audit();
}
