use std::net::Ipv4Addr;

use super::super::{Analyzers, run};
use super::*;
use crate::domain::http::analyzers::parameter::Given;
use crate::domain::http::analyzers::settings::Settings;

const DAY_MS: i64 = 86_400_000;

/// Numbers that follow from a seed: `SplitMix64`.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1, neither of them.
    fn share(&mut self) -> f64 {
        (f64::from(u32::try_from(self.next() >> 32).unwrap()) + 0.5) / 4_294_967_296.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// A gap of chance with this mean.
    fn gap(&mut self, mean: f64) -> f64 {
        -mean * self.share().ln()
    }

    fn pareto(&mut self, least: f64, steepness: f64) -> f64 {
        least * self.share().powf(-1.0 / steepness)
    }
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// One person who comes for a while, reads in bursts, and goes.
    Person,
    /// Many people behind one address: all day, most at noon, with many agents.
    Office,
    /// Ever new paths, slowly, day and night.
    Crawler,
    /// The same path every 30 seconds.
    Monitor,
    /// Something planted.
    Flood,
    Scanner,
    AgentSwitcher,
    Robot,
    Download,
    Failing,
}

const PLANTED: [(Kind, &str); 6] = [
    (Kind::Flood, "request rate"),
    (Kind::Scanner, "distinct paths"),
    (Kind::AgentSwitcher, "agent changes"),
    (Kind::Robot, "timing regularity"),
    (Kind::Download, "bytes"),
    (Kind::Failing, "error share"),
];

#[derive(Clone, Debug)]
struct Request {
    at_ms: i64,
    source: u32,
    path: u32,
    agent: u32,
    status: u16,
    bytes: u32,
}

/// How busy people are at this time of day: from 0.15 at four in the morning to 1 at four in the afternoon.
fn busy(at_s: f64) -> f64 {
    0.575 - 0.425 * ((at_s / 86_400.0 - 4.0 / 24.0) * std::f64::consts::TAU).cos()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up numbers within their types")]
fn requests(kind: Kind, source: u32, from_s: f64, days: f64, dice: &mut Dice, out: &mut Vec<Request>) {
    let until_s = from_s + days * 86_400.0;
    let mut request = |at_s: f64, path: u64, agent: u64, status: u16, bytes: f64| {
        let (path, agent) = (path as u32, agent as u32);
        out.push(Request { at_ms: (at_s * 1_000.0) as i64, source, path, agent, status, bytes: bytes.min(4e9) as u32 });
    };
    let ordinary = |dice: &mut Dice| match dice.below(100) {
        0..=2 => 404,
        3..=12 => 304,
        13..=14 => 302,
        15 if dice.below(10) == 0 => 500,
        _ => 200,
    };
    let size = |dice: &mut Dice| dice.pareto(2_000.0, 1.3);
    match kind {
        Kind::Person => {
            let visits = dice.pareto(1.0, 1.1).min(12.0) as u64;
            let agent = dice.next();
            for _ in 0..visits * days.ceil() as u64 {
                let at_s = from_s + dice.share() * days * 86_400.0;
                if dice.share() > busy(at_s) {
                    continue;
                }
                let (mut now_s, pages) = (at_s, dice.pareto(3.0, 1.2).min(80.0) as u64);
                for _ in 0..pages {
                    let page = dice.below(400) * 10;
                    request(now_s, page, agent, ordinary(dice), size(dice));
                    // What the page needs.
                    for asset in 0..dice.below(8) {
                        now_s += dice.gap(0.1);
                        request(now_s, 5_000 + asset, agent, 200, size(dice));
                    }
                    now_s += dice.pareto(4.0, 1.2).min(600.0);
                }
            }
        }
        Kind::Office => {
            let per_s = dice.pareto(0.01, 1.1).min(1.0);
            let people = 3 + dice.below(40);
            let mut now_s = from_s;
            while now_s < until_s {
                now_s += dice.gap(1.0 / per_s);
                if dice.share() < busy(now_s) {
                    request(now_s, dice.below(500), dice.below(people), ordinary(dice), size(dice));
                }
            }
        }
        Kind::Crawler => {
            let every_s = 3.0 + dice.pareto(2.0, 1.0).min(60.0);
            let mut now_s = from_s;
            while now_s < until_s {
                now_s += every_s * (0.5 + dice.share());
                request(now_s, dice.below(20_000), 1, ordinary(dice), size(dice));
            }
        }
        Kind::Monitor => {
            let mut now_s = from_s + dice.share() * 30.0;
            while now_s < until_s {
                now_s += 30.0;
                request(now_s + dice.share() * 0.05, 1, 2, 200, 500.0);
            }
        }
        Kind::Flood => {
            for _ in 0..60_000 {
                request(from_s + dice.share() * 600.0, 7, 3, 200, size(dice));
            }
        }
        Kind::Scanner => {
            for path in 0..9_000u32 {
                request(from_s + f64::from(path) * 0.1 + dice.share(), 100_000 + u64::from(path), 4, 404, 300.0);
            }
        }
        Kind::AgentSwitcher => {
            for _ in 0..3_000 {
                request(from_s + dice.share() * 900.0, dice.below(50), dice.next(), 200, size(dice));
            }
        }
        Kind::Robot => {
            for step in 0..3_600 {
                request(from_s + f64::from(step), dice.below(50), 5, 200, size(dice));
            }
        }
        Kind::Download => {
            for _ in 0..400 {
                request(from_s + dice.share() * 1_200.0, dice.below(400), 6, 200, 4e8);
            }
        }
        Kind::Failing => {
            for _ in 0..2_000 {
                request(from_s + dice.share() * 900.0, dice.below(20), 7, 500, 200.0);
            }
        }
    }
}

/// A day and more of 1,000 sources.
fn calm(seed: u64, days: f64) -> Vec<Request> {
    let mut dice = Dice(seed);
    let mut out = Vec::new();
    for source in 0..1_000 {
        let kind = match source % 50 {
            0..=2 => Kind::Office,
            3..=4 => Kind::Crawler,
            5 if source % 100 == 5 => Kind::Monitor,
            _ => Kind::Person,
        };
        requests(kind, source, 0.0, days, &mut dice, &mut out);
    }
    out
}

fn event(request: &Request) -> Event {
    let mut event = Event::new(
        Timestamp::from_millisecond(1_800_000_000_000 - 1_800_000_000_000 % DAY_MS + request.at_ms).unwrap(),
        EventKind::HttpRequest,
    );
    event.client = Some(address(request.source));
    event.uri = Some(format!("/p/{:x}x", request.path));
    event.user_agent = Some(format!("agent {}", request.agent));
    (event.status, event.bytes_sent) = (Some(request.status), Some(u64::from(request.bytes)));
    event.raw = format!("{} {}", request.source, request.path);
    event
}

fn address(source: u32) -> IpAddr {
    Ipv4Addr::from_bits(0xc000_0200 + source).into()
}

fn only_anomaly() -> Analyzers {
    let mut settings = Settings::default();
    for name in settings::NAMES {
        if name != "anomaly" {
            settings.set(name, "enabled", &Given::Flag(false)).unwrap();
        }
    }
    Analyzers::seeded(&settings, 1)
}

fn judged(mut requests: Vec<Request>) -> (Vec<Finding>, Vec<(IpAddr, f64)>) {
    requests.sort_by_key(|request| request.at_ms);
    let mut analyzers = only_anomaly();
    let found = run(&mut analyzers, requests.iter().map(event));
    (found, analyzers.ranking(1_001))
}

#[test]
fn nobody_stands_out_on_a_calm_day() {
    for seed in 0..2 {
        let (found, ranking) = judged(calm(seed, 1.0));
        assert_eq!(found, [], "{seed}");
        // Well below, so that another seed's day is as calm.
        assert!(ranking.iter().all(|(_, score)| *score < 0.65), "{seed}: {:?}", ranking.first());
    }
}

#[test]
fn what_is_planted_ranks_first_of_a_thousand() {
    for (kind, feature) in PLANTED {
        let seed = 100 + u64::from(feature.as_bytes()[0]);
        let mut sent = calm(seed, 0.4);
        requests(kind, 1_000, 30_000.0, 1.0, &mut Dice(seed), &mut sent);
        let (found, ranking) = judged(sent);
        assert_eq!(ranking[0].0, address(1_000), "{kind:?}");
        assert!(ranking[0].1 > 0.7 && ranking[1].1 < 0.7, "{kind:?}: {:?}", &ranking[..2]);
        let first = found.first().unwrap();
        assert!(found.iter().all(|finding| finding.source == Some(address(1_000))), "{kind:?}");
        assert!(first.indicators.iter().any(|words| words.starts_with(feature)), "{kind:?}: {:?}", first.indicators);
        assert!(!first.evidence.is_empty() && first.value == Some(first.value.unwrap().clamp(0.7, 1.0)));
    }
}

#[test]
fn a_short_file_is_judged_at_its_end() {
    let mut sent: Vec<Request> =
        calm(7, 1.0).into_iter().filter(|sent| (40_000_000..41_500_000).contains(&sent.at_ms)).collect();
    requests(Kind::Scanner, 1_000, 40_300.0, 1.0, &mut Dice(7), &mut sent);
    let (found, ranking) = judged(sent);
    assert_eq!(ranking[0].0, address(1_000));
    assert_eq!(found.iter().map(|finding| finding.source).collect::<Vec<_>>(), [Some(address(1_000))]);
}

#[test]
fn what_a_source_always_did_is_no_anomaly_and_what_it_never_did_is() {
    let mut sent = calm(8, 0.5);
    // One fails as long as anybody knows; a crawler, known for hours, begins to.
    for time in 0..10 {
        requests(Kind::Failing, 1_000, f64::from(time) * 4_000.0, 1.0, &mut Dice(8), &mut sent);
    }
    requests(Kind::Failing, 3, 36_000.0, 1.0, &mut Dice(8), &mut sent);
    let (found, _) = judged(sent);
    assert!(!found.is_empty() && found.iter().all(|finding| finding.source == Some(address(3))), "{found:?}");
}

#[test]
fn a_few_wrong_clocks_change_nothing() {
    let mut sent = calm(9, 0.2);
    sent.sort_by_key(|request| request.at_ms);
    let straight = run(&mut only_anomaly(), sent.iter().map(event));
    let mut analyzers = only_anomaly();
    let mut found = Vec::new();
    for (number, request) in sent.iter().enumerate() {
        if number % 1_000 == 0 {
            let mut wrong = event(request);
            wrong.time = if number % 2_000 == 0 { Timestamp::MAX } else { Timestamp::MIN };
            found.extend(analyzers.observe(&wrong));
        }
        found.extend(analyzers.observe(&event(request)));
    }
    found.extend(analyzers.finish());
    assert_eq!(found, straight);
}
