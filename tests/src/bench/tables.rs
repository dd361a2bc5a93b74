//! `cargo xtask bench tables`: what the address tables answer, how fast, in how much memory.
//!
//! Every row runs the same packets through the program and through an empty one, in turn. How many of them must be
//! dropped is counted beforehand by a search in sorted ranges, and a row with another number fails.
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use weir_common::abi;
use weir_common::traffic::Dimension;

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::IpNet;
use serde::Serialize;
use weir::adapters::kernel::object;
use weir::domain::decision::{Enforcement, Kind, Origin};
use weir::domain::desired::Desired;
use weir::domain::guard::Guards;
use weir::domain::limits::{HIGHEST_RATE, Limit as Rates, Rate};
use weir::domain::prefixes::Prefixes;
use weir::domain::tables::{self, Capacity, Image};
use weir_common::verdict::Verdict;

use super::Args;
use super::alike;
use super::floor;
use super::lists::{KEY, address};
use super::memory::{self, Memory};
use super::rig::{Extras, Family, Numbers, Program, Rig};
use super::sequence::{self, Draw};
use super::spread::Spread;
use crate::tables::info;

/// One row.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is listed.
    pub lists: String,
    /// Who sends.
    pub sources: &'static str,
    /// What is done beside the list verdict.
    pub beside: &'static str,
    /// Over the empty program, paired, in nanoseconds a packet.
    pub net_ns: Spread,
    /// The empty program behind the generator.
    pub empty_ns: f64,
    /// Share of packets that were dropped, in percent; each of them had to be.
    pub dropped_percent: f64,
}

/// What tables of a kind take.
#[derive(Clone, Debug, Serialize)]
pub struct Size {
    /// What is listed.
    pub lists: String,
    /// Kernel memory of a generation, in MiB.
    pub mib: f64,
    /// Building it from sorted lists, in milliseconds.
    pub build_ms: f64,
    /// Classes.
    pub classes: usize,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Tables {
    /// Speed.
    pub rows: Vec<Row>,
    /// Memory.
    pub sizes: Vec<Size>,
    /// What a read of memory costs meanwhile.
    pub memory: Memory,
    /// What a listed source of a million must cost.
    pub floor: Vec<floor::Row>,
    /// One list beside many, unless only some lists were asked for.
    pub alike: Vec<alike::Row>,
}

/// Prefixes of a list.
pub type Listed = Vec<IpNet>;

/// A set of lists under one name.
struct Lists {
    name: String,
    listed: Vec<Listed>,
    family: Family,
    /// Boot-time seconds at which the entries end, each another; 0: never.
    ends_from: u32,
}

/// Measures.
///
/// # Errors
/// Where the kernel refuses something, and where a packet got another verdict than it must.
pub fn measure(rounds: usize, args: &Args, progress: &mut impl Write, stop: &AtomicBool) -> Result<Tables> {
    let mut rig = Rig::load()?;
    let mut tables = Tables {
        rows: Vec::new(),
        sizes: Vec::new(),
        memory: memory::measure(rounds),
        floor: Vec::new(),
        alike: Vec::new(),
    };
    for lists in cases(args.full) {
        if !args.lists.is_empty() && !args.lists.iter().any(|text| lists.name.contains(text)) {
            continue;
        }
        super::go_on(stop)?;
        writeln!(progress, "tables: {}", lists.name)?;
        let start = Instant::now();
        let image = lists.image()?;
        let build_ms = start.elapsed().as_secs_f64() * 1e3;
        let mib = f64::from(u32::try_from(image.sizes.bytes / 1024)?) / 1024.0;
        tables.sizes.push(Size { lists: lists.name.clone(), mib, build_ms, classes: image.sizes.classes });
        rig.fill(&image)?;
        drop(image);
        let answers = Answers::of(&lists);
        for (sources, numbers) in lists.sources() {
            let warm = numbers.count == 1;
            for (beside, extras, limited) in besides(sources, args.alone) {
                rig.extras(extras);
                rig.limit(if limited { highest()? } else { abi::Limit::default() });
                let packets = args.packets;
                let work = Work { family: lists.family, numbers, packets, rounds: rounds + usize::from(warm) };
                tables.rows.push(row(&mut rig, &lists.name, (sources, beside), &work, &answers)?);
            }
            if lists.name == MILLION_NAME && sources == "listed" {
                tables.floor = floor::measure(&mut rig, numbers, args.packets, rounds, stop)?;
            }
        }
    }
    drop(rig);
    if args.lists.is_empty() {
        writeln!(progress, "tables: one list and many")?;
        tables.alike = alike::measure(rounds, args.packets, stop)?;
    }
    Ok(tables)
}

/// What is done beside the list verdict: nothing; what the default configuration does; a limit as well.
fn besides(sources: &str, alone: bool) -> Vec<(&'static str, Extras, bool)> {
    let none = Extras { track: false, samples: false };
    let mut all = vec![("", none, false)];
    if sources != "any" && !alone {
        all.push(("samples", Extras { samples: true, ..none }, false));
        all.push(("top", Extras { track: true, ..none }, false));
        all.push(("samples, top, limit", Extras { track: true, samples: true }, true));
    }
    all
}

fn highest() -> Result<abi::Limit> {
    let rate = NonZeroU64::new(HIGHEST_RATE).unwrap_or(NonZeroU64::MIN);
    let rate = Rate::new(Dimension::Packets, rate, None)?;
    let limit = Rates::new([(Dimension::Packets, rate)], Enforcement::Enforce).context("a limit")?;
    Ok(limit.words(object::possible_cpus()?))
}

/// How many a million addresses are.
pub const MILLION: u64 = 1_000_000;
const MILLION_NAME: &str = "1M v4 addresses";

fn cases(full: bool) -> Vec<Lists> {
    let addresses =
        |from: u64, count: u64| -> Listed { (from..from + count).map(|number| address(Family::V4, number)).collect() };
    let made =
        |name: &str, family: Family, listed: Vec<Listed>| Lists { name: name.to_owned(), listed, family, ends_from: 0 };
    let (million, hundred) = (addresses(0, MILLION), cidr(Family::V4, 0, 100_000));
    let mut cases = vec![
        made("none, v4", Family::V4, vec![Vec::new()]),
        made("none, v6", Family::V6, vec![Vec::new()]),
        made("10k v4 addresses", Family::V4, vec![addresses(0, 10_000)]),
        made("100k v4 addresses", Family::V4, vec![addresses(0, 100_000)]),
        made(MILLION_NAME, Family::V4, vec![million.clone()]),
        made("1M v4 addresses in 100 lists", Family::V4, parts(100, &million)),
        made("100k v4 CIDR", Family::V4, vec![hundred.clone()]),
        made("100k v4 CIDR as 250 countries", Family::V4, parts(250, &disjoint(&hundred))),
        made("1M v4 addresses, 100k v4 CIDR", Family::V4, vec![million, hundred]),
        made("100k v6 prefixes", Family::V6, vec![cidr(Family::V6, 0, 100_000)]),
        made("100k v6 addresses", Family::V6, vec![(0..100_000).map(|number| address(Family::V6, number)).collect()]),
        Lists {
            ends_from: u32::MAX - 200_000,
            ..made("100k v4 addresses, each with an end", Family::V4, vec![addresses(0, 100_000)])
        },
    ];
    if full {
        cases.push(made("1M v4 CIDR", Family::V4, vec![cidr(Family::V4, 0, MILLION)]));
        cases.push(made("10M v4 addresses", Family::V4, vec![addresses(0, 10 * MILLION)]));
    }
    cases
}

/// Lists of which each has a part.
pub fn parts(count: usize, all: &[IpNet]) -> Vec<Listed> {
    all.chunks(all.len().div_ceil(count)).map(<[IpNet]>::to_vec).collect()
}

/// As countries are: none overlaps another.
pub fn disjoint(all: &[IpNet]) -> Listed {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.dedup_by(|next, kept| kept.contains(&*next));
    all
}

/// Prefixes around the addresses with these numbers, of the usual lengths.
pub fn cidr(family: Family, from: u64, count: u64) -> Vec<IpNet> {
    (from..from + count).map(|number| prefix(family, number)).collect()
}

/// The tables of deny lists with these.
///
/// # Errors
/// Where they do not fit.
pub fn deny(listed: &[Vec<IpNet>]) -> Result<Image> {
    Lists { name: String::new(), listed: listed.to_vec(), family: Family::V4, ends_from: 0 }.image()
}

/// A prefix around the address with this number, its length from the usual mix.
fn prefix(family: Family, number: u64) -> IpNet {
    let single = address(family, number);
    // Its own order, so that neighbours in one are none in the other.
    let share = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (share, pick) = (share % 1_000, (share / 1_000) % 1_000);
    let at = |range: std::ops::RangeInclusive<u64>| range.start() + pick % (range.end() - range.start() + 1);
    let len = match family {
        Family::V4 => match share {
            0..500 => 32,
            500..750 => 24,
            750..890 => at(25..=31),
            890..950 => at(22..=23),
            950..995 => at(17..=21),
            _ => at(14..=16),
        },
        Family::V6 => 32 + 4 * at(0..=8),
    };
    let len = u8::try_from(len).unwrap_or(u8::MAX);
    IpNet::new(single.addr(), len).map_or(single, |net| net.trunc())
}

impl Lists {
    fn image(&self) -> Result<Image> {
        let mut desired = Desired::new();
        for (at, listed) in self.listed.iter().enumerate() {
            let id = desired.list_for(&format!("list{at}"), Kind::Deny, &Origin::Operator)?;
            let Some(list) = desired.list_mut(id) else { continue };
            if self.ends_from == 0 {
                list.imported = Prefixes::new(listed.iter().copied());
            } else {
                list.entries =
                    (self.ends_from..).zip(listed).map(|(end, prefix)| (*prefix, info(end, false, false))).collect();
            }
        }
        let capacity = Capacity { addresses: 20_000_000, prefixes: 20_000_000, bytes: 1 << 32 };
        Ok(tables::build(&desired, &Guards::default(), capacity, 0, KEY)?)
    }

    fn count(&self) -> u64 {
        self.listed.iter().map(|list| u64::try_from(list.len()).unwrap_or(0)).sum()
    }

    fn sources(&self) -> Vec<(&'static str, Numbers)> {
        let all = self.family.numbers();
        let first = self.listed.first().map_or(0, |list| u64::try_from(list.len()).unwrap_or(0));
        let listed = if self.listed.len() > 2 { self.count() } else { first };
        let mut sources = vec![("unlisted", Numbers { first: listed, count: all - listed })];
        if listed > 0 {
            sources.push(("listed", Numbers { first: 0, count: listed }));
            sources.push(("one listed", Numbers { first: 0, count: 1 }));
            sources.push(("any", Numbers { first: 0, count: all }));
        }
        sources.push(("one unlisted", Numbers { first: all - 3, count: 1 }));
        sources
    }
}

/// Where a source is listed, by a search in sorted ranges.
struct Answers {
    family: Family,
    /// First and last addresses, disjoint, in order.
    ranges: Vec<(u128, u128)>,
}

impl Answers {
    fn of(lists: &Lists) -> Self {
        let mut ranges: Vec<(u128, u128)> = lists
            .listed
            .iter()
            .flatten()
            .map(|prefix| match prefix {
                IpNet::V4(net) => (u32::from(net.network()).into(), u32::from(net.broadcast()).into()),
                IpNet::V6(net) => (net.network().into(), net.broadcast().into()),
            })
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let inside = next.0 <= kept.1;
            if inside {
                kept.1 = kept.1.max(next.1);
            }
            inside
        });
        Self { family: lists.family, ranges }
    }

    fn is_listed(&self, number: u64) -> bool {
        let address = match self.family {
            Family::V4 => u32::from_be_bytes(sequence::v4(number)).into(),
            Family::V6 => u128::from_be_bytes(sequence::v6(number)),
        };
        let behind = self.ranges.partition_point(|(first, _)| *first <= address);
        behind > 0 && self.ranges.get(behind - 1).is_some_and(|(_, last)| address <= *last)
    }

    /// Packets that must be dropped of the draws from the first on.
    fn dropped(&self, numbers: Numbers, packets: u32) -> u64 {
        let draws = (0..u64::from(packets)).map(|counter| {
            sequence::drawn(&Draw { first: numbers.first, count: numbers.count, counter, shares: <[_; 2]>::default() })
        });
        draws.map(|number| u64::from(self.is_listed(number))).sum()
    }
}

struct Work {
    family: Family,
    numbers: Numbers,
    packets: u32,
    rounds: usize,
}

fn row(
    rig: &mut Rig,
    lists: &str,
    (sources, beside): (&'static str, &'static str),
    work: &Work,
    answers: &Answers,
) -> Result<Row> {
    let wanted = answers.dropped(work.numbers, work.packets);
    let (mut net, mut empty) = (Vec::new(), Vec::new());
    for round in 0..=work.rounds {
        rig.restart_draws();
        let without = rig.run(work.family, Program::Empty, work.numbers, work.packets)?;
        rig.restart_draws();
        let with = rig.run(work.family, Program::Weir, work.numbers, work.packets)?;
        let of = |verdict| with.counted.iter().find(|(v, _)| *v == verdict).map_or(0, |(_, packets)| *packets);
        let (dropped, passed) = (of(Verdict::Denied), of(Verdict::Pass));
        if dropped != wanted || dropped + passed != u64::from(work.packets) {
            bail!(
                "wrong verdicts: {lists}, {sources}: {wanted} of {} packets are listed, and they were counted as {:?}",
                work.packets,
                with.counted
            );
        }
        // The first round warms up.
        if round > 0 {
            ensure!(with.ns < 1_000_000 && without.ns < 1_000_000, "a packet took a millisecond");
            let (with, without) = (f64::from(u32::try_from(with.ns)?), f64::from(u32::try_from(without.ns)?));
            net.push(with - without);
            empty.push(without);
        }
    }
    let share = f64::from(u32::try_from(wanted)?) * 100.0 / f64::from(work.packets);
    Ok(Row {
        lists: lists.to_owned(),
        sources,
        beside,
        net_ns: Spread::of(net),
        empty_ns: Spread::of(empty).median,
        dropped_percent: share,
    })
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(tables: &Tables, rounds: usize, packets: u32, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "tables: ns a packet over an empty XDP_DROP behind the same generator, paired; median [min..max] of {rounds} rounds \
         of {packets} packets"
    )?;
    writeln!(
        out,
        "{:<36}  {:<12}  {:<19}  {:>14}  {:>5}  {:>8}",
        "lists", "sources", "beside", "net", "empty", "dropped"
    )?;
    for row in &tables.rows {
        writeln!(
            out,
            "{:<36}  {:<12}  {:<19}  {:>14}  {:>5.0}  {:>7.1}%",
            row.lists,
            row.sources,
            row.beside,
            row.net_ns.to_string(),
            row.empty_ns,
            row.dropped_percent
        )?;
    }
    let Memory { near_ns, far_ns } = tables.memory;
    writeln!(out, "a read that the next one waits for: {near_ns} ns over 1 MiB, {far_ns} ns over 8 MiB")?;
    if !tables.floor.is_empty() {
        floor::print(&tables.floor, out)?;
    }
    if !tables.alike.is_empty() {
        alike::print(&tables.alike, out)?;
    }
    writeln!(out, "{:<36}  {:>10}  {:>10}  {:>7}", "lists", "memory", "build", "classes")?;
    for size in &tables.sizes {
        writeln!(out, "{:<36}  {:>6.1} MiB  {:>7.1} ms  {:>7}", size.lists, size.mib, size.build_ms, size.classes)?;
    }
    Ok(())
}
