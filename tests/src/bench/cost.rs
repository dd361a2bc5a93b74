//! What a packet costs over an empty program: the same packets through both, in turn, in the same round.
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use weir_common::abi;
use weir_common::traffic::Dimension;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use weir::adapters::kernel::object;
use weir::domain::decision::Enforcement;
use weir::domain::limits::{HIGHEST_RATE, Limit as Rates, Rate};
use weir_common::verdict::Verdict;

use super::lists;
use super::rig::{Family, Numbers, Program, Rig, Run};
use super::spread::Spread;

/// Sizes of the tables, per family.
const ENTRIES: [u64; 3] = [0, 120_000, 1_000_000];

/// A limit that no source breaks in a test-run: the highest there is.
const HIGHEST: u64 = HIGHEST_RATE;

/// A limit that one source breaks at once.
const LOW: u64 = 1_000;

/// One source or as many as there are packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The same in every packet.
    One,
    /// Another in every packet.
    Random,
}

/// What becomes of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Listed, dropped.
    Denied,
    /// Not listed, passed.
    Clean,
}

/// The limit for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// None.
    Off,
    /// One that is kept.
    On,
    /// One that is broken: nearly all is dropped.
    Broken,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `v4` or `v6`.
    pub family: &'static str,
    /// Listed addresses.
    pub entries: u64,
    /// Sources.
    pub source: Source,
    /// What becomes of the packets.
    pub fate: Fate,
    /// The limit.
    pub limit: Limit,
    /// Over the empty program, paired, in nanoseconds a packet.
    pub net_ns: Spread,
    /// weir behind the generator.
    pub weir_ns: Spread,
    /// The empty program behind the generator.
    pub empty_ns: Spread,
}

struct Case {
    family: Family,
    entries: u64,
    source: Source,
    fate: Fate,
    limit: Limit,
}

/// Measures every row.
///
/// # Errors
/// Where the kernel refuses something, and where any packet got another verdict than it must.
pub fn measure(rounds: usize, packets: u32, progress: &mut impl Write, stop: &AtomicBool) -> Result<Vec<Row>> {
    let mut rig = Rig::load()?;
    let mut rows = Vec::new();
    for entries in ENTRIES {
        writeln!(progress, "cost: tables of {entries} addresses of each family")?;
        rig.fill(&lists::denying(&(0..entries), lists::KEY)?)?;
        for case in cases(entries) {
            super::go_on(stop)?;
            rows.push(row(&mut rig, &case, rounds, packets)?);
        }
    }
    rows.sort_by_key(|row| (row.family, row.entries));
    Ok(rows)
}

fn cases(entries: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::ALL {
        for source in [Source::One, Source::Random] {
            for fate in [Fate::Denied, Fate::Clean] {
                for limit in [Limit::Off, Limit::On, Limit::Broken] {
                    // Nobody is denied by an empty list; a denied source never comes to the limit it would break; and
                    // to break a limit takes more than one packet.
                    let is_possible = fate == Fate::Clean || (entries > 0 && limit != Limit::Broken);
                    if is_possible && (limit != Limit::Broken || source == Source::One) {
                        cases.push(Case { family, entries, source, fate, limit });
                    }
                }
            }
        }
    }
    cases
}

impl Case {
    fn numbers(&self) -> Numbers {
        let (first, all) = match self.fate {
            Fate::Denied => (0, self.entries),
            Fate::Clean => (self.entries, self.family.numbers() - self.entries),
        };
        let count = match self.source {
            Source::One => 1,
            Source::Random => all,
        };
        Numbers { first, count }
    }

    /// Whether the packets got the verdicts they must.
    fn check(&self, run: &Run, packets: u32) -> Result<()> {
        let packets = u64::from(packets);
        let is_right = match (self.fate, self.limit) {
            (Fate::Denied, _) => run.counted == [(Verdict::Denied, packets)],
            (Fate::Clean, Limit::Off | Limit::On) => run.counted == [(Verdict::Pass, packets)],
            (Fate::Clean, Limit::Broken) => {
                let of = |verdict| run.counted.iter().find(|(v, _)| *v == verdict).map_or(0, |(_, packets)| *packets);
                let (passed, refused) = (of(Verdict::Pass), of(Verdict::RateSource));
                // A full burst, and what is earned while the run lasts: how long that is on a shared machine, only a
                // clock beside it could tell, so nearly all must do.
                passed + refused == packets && passed * 100 <= packets
            }
        };
        if is_right {
            return Ok(());
        }
        let counted: Vec<String> =
            run.counted.iter().map(|(verdict, packets)| format!("{packets} {}", verdict.name())).collect();
        bail!(
            "wrong verdicts: {packets} packets, {} entries, {}, {:?} source, {:?}, limit {:?}: counted {}",
            self.entries,
            self.family.name(),
            self.source,
            self.fate,
            self.limit,
            counted.join(", ")
        )
    }
}

fn words(limit: Limit) -> Result<abi::Limit> {
    let rate = match limit {
        Limit::Off => return Ok(abi::Limit::default()),
        Limit::On => HIGHEST,
        Limit::Broken => LOW,
    };
    let rate = NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN);
    let rate = Rate::new(Dimension::Packets, rate, None)?;
    let limit = Rates::new([(Dimension::Packets, rate)], Enforcement::Enforce).context("a limit")?;
    Ok(limit.words(object::possible_cpus()?))
}

fn row(rig: &mut Rig, case: &Case, rounds: usize, packets: u32) -> Result<Row> {
    rig.limit(words(case.limit)?);
    let numbers = case.numbers();
    let (mut net, mut weir, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    // The first rounds only warm up; one source must become known as one that is near its limit, and stays it.
    let warm_up = if case.source == Source::One { 4 } else { 1 };
    for round in 0..warm_up + rounds {
        let without = rig.run(case.family, Program::Empty, numbers, packets)?;
        let with = rig.run(case.family, Program::Weir, numbers, packets)?;
        case.check(&with, packets)?;
        if round >= warm_up {
            let (with, without) = (nanoseconds(with.ns)?, nanoseconds(without.ns)?);
            net.push(with - without);
            weir.push(with);
            empty.push(without);
        }
    }
    Ok(Row {
        family: case.family.name(),
        entries: case.entries,
        source: case.source,
        fate: case.fate,
        limit: case.limit,
        net_ns: Spread::of(net),
        weir_ns: Spread::of(weir),
        empty_ns: Spread::of(empty),
    })
}

fn nanoseconds(ns: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(ns)?))
}

/// The rows as a table.
///
/// # Errors
/// The writer's.
pub fn print(rows: &[Row], rounds: usize, packets: u32, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "cost: ns a packet over an empty XDP_DROP behind the same generator, paired; median [min..max] of {rounds} rounds \
         of {packets} packets"
    )?;
    writeln!(out, "family  entries  source  packets  limit   net                 weir  empty")?;
    for row in rows {
        writeln!(
            out,
            "{:<6} {:>8}  {:<6}  {:<7}  {:<6}  {:<18} {:>5.0}  {:>5.0}",
            row.family,
            row.entries,
            name(row.source),
            name(row.fate),
            name(row.limit),
            row.net_ns.to_string(),
            row.weir_ns.median,
            row.empty_ns.median,
        )?;
    }
    Ok(())
}

/// A word as JSON has it.
fn name(word: impl Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
