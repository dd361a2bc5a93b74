//! What limits cost and hold while sources are forged: nanoseconds, the loud one among millions, and the honest beside.
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use weir::config;
use weir::domain::floods::Floods;
use weir::domain::tables::Image;
use weir::domain::time::MonotonicNs;
use weir_common::abi::OffenderKey;
use weir_common::addr::Source;
use weir_common::traffic::Scope;
use weir_common::verdict::Verdict;

use super::Args;
use super::lists;
use super::rig::{Extras, Family, Numbers, Program, Rig};
use super::sequence::{self, Share};
use super::spread::Spread;

/// A limit of each source's packets that forged ones keep to.
const PACKETS: &str = "[limits.source]\npackets_per_second = 2000\nburst = 4000\n";

/// The profile that comes with weir, and a limit for everything that is not reached.
const ALL: &str = concat!(
    include_str!("../../../controller/drill/profile.toml"),
    "\n[limits.global]\npackets_per_second = 100000000\nbytes_per_second = 125000000000\n"
);

/// Addresses on the list.
const LISTED: u64 = 1_000_000;

/// Sources of the flood.
const FORGED: u64 = 10_000_000;

/// One row of costs.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is on.
    pub what: &'static str,
    /// How many sources.
    pub sources: u64,
    /// Over the empty program, paired, in nanoseconds a packet.
    pub net_ns: Spread,
    /// A count in the kernel's own map of the least recently used (a million entries), over the empty program.
    pub least_recent_ns: Option<Spread>,
    /// How many times that is the first.
    pub times: Option<f64>,
    /// The empty program behind the generator.
    pub empty_ns: f64,
}

/// One loud source and honest ones among forged ones, again and again.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Runs.
    pub runs: usize,
    /// Runs in which the loud one was limited within a second.
    pub within_a_second: usize,
    /// From the first packet to its first refused one, in milliseconds.
    pub milliseconds: Spread,
    /// Packets of honest sources, all runs together.
    pub honest: u64,
    /// Of these, refused.
    pub honest_refused: u64,
    /// Offenders when it was over, of which one is the loud source.
    pub offenders: usize,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Costs.
    pub rows: Vec<Row>,
    /// The loud one, unless only costs were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// Measures.
///
/// # Errors
/// Where the kernel refuses something, and where a packet got another verdict than it must.
pub fn measure(rounds: usize, args: &Args, progress: &mut impl Write, stop: &AtomicBool) -> Result<Measured> {
    let packets = args.packets;
    let mut rig = Rig::load()?;
    let mut rows = Vec::new();
    rig.extras(Extras { track: false, samples: false });
    rig.floods(&floods(PACKETS)?)?;
    for sources in [1, 10_000, 100_000, 1_000_000, FORGED, 1 << 30] {
        super::go_on(stop)?;
        writeln!(progress, "floods: a limit of packets, {sources} sources")?;
        rows.push(row(&mut rig, "limit of packets", sources, rounds, packets, true)?);
    }
    drop(rig);
    let mut rig = Rig::load()?;
    rig.fill(&listed()?)?;
    rig.extras(Extras { track: true, samples: true });
    rig.floods(&everything()?)?;
    for sources in [1, FORGED] {
        super::go_on(stop)?;
        writeln!(progress, "floods: everything on, {sources} sources")?;
        rows.push(row(&mut rig, "1M list, all limits, top, samples", sources, rounds, packets, false)?);
    }
    drop(rig);
    let found = if args.alone { None } else { Some(found(100, progress, stop)?) };
    Ok(Measured { rows, found })
}

fn floods(text: &str) -> Result<Floods> {
    Ok(config::parse(text, "bench", std::iter::empty())?.config.floods)
}

/// Everything that can be held against floods: the profile that comes with weir, and a limit for everything.
///
/// # Errors
/// Where the profile is none.
pub fn everything() -> Result<Floods> {
    floods(ALL)
}

fn listed() -> Result<Image> {
    lists::denying(&(FIRST_LISTED..FIRST_LISTED + LISTED), lists::KEY)
}

/// The first number that is listed: none of them floods.
const FIRST_LISTED: u64 = 1 << 30;

fn row(rig: &mut Rig, what: &'static str, sources: u64, rounds: usize, packets: u32, compare: bool) -> Result<Row> {
    let numbers = Numbers { first: 0, count: sources };
    let (mut net, mut least, mut empties) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let weir = rig.run(Family::V4, Program::Weir, numbers, packets)?;
        let others: Vec<_> = weir
            .counted
            .iter()
            .filter(|(verdict, _)| !matches!(verdict, Verdict::Pass | Verdict::RateSource | Verdict::RateNetwork))
            .collect();
        ensure!(others.is_empty(), "a packet of {what} got another verdict than it must: {others:?}");
        let empty = rig.run(Family::V4, Program::Empty, numbers, packets)?;
        let least_recent =
            if compare { Some(rig.run(Family::V4, Program::LeastRecent, numbers, packets)?) } else { None };
        // The first only warms up.
        if round == 0 {
            continue;
        }
        net.push(over(weir.ns, empty.ns));
        empties.push(over(empty.ns, 0));
        least.extend(least_recent.map(|run| over(run.ns, empty.ns)));
    }
    let net_ns = Spread::of(net);
    let least_recent_ns = compare.then(|| Spread::of(least));
    let times = least_recent_ns.map(|spread| spread.median / net_ns.median.max(0.1));
    Ok(Row { what, sources, net_ns, least_recent_ns, times, empty_ns: Spread::of(empties).median })
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds")]
fn over(ns: u64, empty: u64) -> f64 {
    ns as f64 - empty as f64
}

/// Packets handed over at once while the loud source is waited for.
const AT_ONCE: u32 = 20_000;

/// The loud source's number, and the honest ones': those that nobody forges.
const LOUD: u64 = (1 << 30) + 7;
const HONEST: Numbers = Numbers { first: (1 << 30) + 1_000, count: 4_096 };

/// Ten million forged sources, one packet in 32 of a loud one, one in 64 of thousands of honest ones.
fn found(runs: usize, progress: &mut impl Write, stop: &AtomicBool) -> Result<Found> {
    let mut rig = Rig::load()?;
    rig.floods(&floods(PACKETS)?)?;
    rig.shares =
        [Share { each: 32, first: LOUD, count: 1 }, Share { each: 64, first: HONEST.first, count: HONEST.count }];
    let reader = rig.reader();
    let key =
        OffenderKey { key: Source::V4(sequence::v4(LOUD)).key().word(), scope: Scope::Source.slot(), reserved: 0 };
    let forged = Numbers { first: 0, count: FORGED };
    let mut found =
        Found { runs, within_a_second: 0, milliseconds: Spread::of([]), honest: 0, honest_refused: 0, offenders: 0 };
    let mut times = Vec::new();
    for run in 0..runs {
        super::go_on(stop)?;
        if run % 10 == 0 {
            writeln!(progress, "floods: the loud one among {FORGED}, {run} of {runs}")?;
        }
        rig.writer().sweep_offenders(MonotonicNs(u64::MAX), Duration::ZERO, Duration::ZERO)?;
        let before = reader.counters();
        let (mut sent, mut first) = (0u64, None);
        let start = Instant::now();
        // A second of it, whenever the loud one is found.
        while start.elapsed().as_secs_f64() < 1.0 {
            rig.run(Family::V4, Program::Weir, forged, AT_ONCE)?;
            sent += u64::from(AT_ONCE);
            let refused = reader.offender(&key)?.map_or(0, |offender| offender.buckets.refused.iter().sum());
            if refused > 0 && first.is_none() {
                first = Some(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let refused: u64 = reader.offender(&key)?.map_or(0, |offender| offender.buckets.refused.iter().sum());
        let after = reader.counters();
        let slot = Verdict::RateSource.slot() as usize;
        let dropped = after.enforced[slot].packets - before.enforced[slot].packets;
        if dropped < refused {
            bail!("{refused} packets of the loud source were refused, and {dropped} dropped");
        }
        found.within_a_second += usize::from(first.is_some());
        times.extend(first);
        found.honest += sent / 64;
        // Whoever else was refused is not the loud one; forged ones send too little to be.
        found.honest_refused += dropped - refused;
        found.offenders = found.offenders.max(reader.all_offenders()?.len());
    }
    found.milliseconds = Spread::of(times);
    Ok(found)
}

/// Prints it for people.
///
/// # Errors
/// The writer's.
pub fn print(measured: &Measured, rounds: usize, packets: u32, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "\nfloods: {rounds} rounds of {packets} packets, ns over the empty program")?;
    writeln!(out, "{:<36}{:>12}  {:<18}{:<22}{:>6}  empty", "on", "sources", "net", "least recently used", "times")?;
    for row in &measured.rows {
        let compared = row.least_recent_ns.map_or_else(|| "-".to_owned(), |spread| spread.to_string());
        let times = row.times.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}"));
        let net = row.net_ns.to_string();
        writeln!(out, "{:<36}{:>12}  {net:<18}{compared:<22}{times:>6}  {:.0}", row.what, row.sources, row.empty_ns)?;
    }
    let Some(found) = &measured.found else { return Ok(()) };
    let Found { runs, within_a_second, milliseconds, honest, honest_refused, offenders } = found;
    writeln!(
        out,
        "a loud source among {FORGED} forged ones: limited within a second in {within_a_second} of {runs} runs,"
    )?;
    writeln!(
        out,
        "  after {milliseconds} ms; {honest_refused} of {honest} honest packets refused; at most {offenders} offenders"
    )
}
