//! Ten million forged sources beside what was decided before them: no denial, no allow entry, no live change is lost.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, ensure};
use weir::domain::decision::{Kind, Origin};
use weir::domain::desired::Desired;
use weir::domain::guard::Guards;
use weir::domain::overlay::{Key, Op};
use weir::domain::prefixes::Prefixes;
use weir::domain::tables::{self, Capacity};
use weir_common::abi::{OverlayValue, Ruling, Segment, overlay_flag};
use weir_common::verdict::Verdict;

use crate::bench::floods;
use crate::bench::lists::{KEY, address};
use crate::bench::rig::{Extras, Family, Numbers, Program, Rig};
use crate::bench::sequence::Share;

/// Packets of forged sources, drawn from a billion: hardly one of them comes twice.
const FORGED: u32 = 10_000_000;
const FROM: Numbers = Numbers { first: 0, count: 1 << 30 };
/// Packets judged at once.
const STEP: u32 = 500_000;
/// Each so-many-th packet is from one that is denied, and each so-many-th from one that is allowed.
const EACH: [u64; 2] = [32, 64];

/// Numbers that nobody forges: denied and allowed by lists, denied and allowed by live changes.
const DENIED: Numbers = Numbers { first: 1 << 30, count: 100_000 };
const ALLOWED: Numbers = Numbers { first: (1 << 30) + (1 << 20), count: 1_000 };
const DENIED_LIVE: Numbers = Numbers { first: (1 << 30) + (2 << 20), count: 1_000 };
const ALLOWED_LIVE: Numbers = Numbers { first: (1 << 30) + (3 << 20), count: 1_000 };

/// Sends forged sources past everything that is held against floods, and others in between.
///
/// # Errors
/// Where one of the others got another verdict than it must, and where the kernel's maps grew.
pub fn run(out: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let mut rig = Rig::load()?;
    rig.fill(&listed()?)?;
    rig.extras(Extras { track: true, samples: true });
    rig.floods(&floods::everything()?)?;
    live(&rig)?;
    let before = memory(&rig)?;
    let mut said = Vec::new();
    for (what, denied, allowed) in [("lists", DENIED, ALLOWED), ("live changes", DENIED_LIVE, ALLOWED_LIVE)] {
        let share = |each, numbers: Numbers| Share { each, first: numbers.first, count: numbers.count };
        rig.shares = [share(EACH[0], denied), share(EACH[1], allowed)];
        let mut all = BTreeMap::<Verdict, u64>::new();
        for _ in 0..FORGED / STEP {
            super::go_on(stop)?;
            for (verdict, packets) in rig.run(Family::V4, Program::Weir, FROM, STEP)?.counted {
                *all.entry(verdict).or_default() += packets;
            }
        }
        let of = |verdict| all.get(&verdict).copied().unwrap_or(0);
        let wanted = EACH.map(|each| u64::from(FORGED) / each);
        ensure!(
            [of(Verdict::Denied), of(Verdict::Allowed)] == wanted,
            "{} packets of denied sources and {} of allowed ones were sent by {what}, and all were counted as {all:?}",
            wanted[0],
            wanted[1]
        );
        said.push(format!(
            "{} of {} denied and {} of {} allowed by {what}",
            wanted[0], wanted[0], wanted[1], wanted[1]
        ));
    }
    let after = memory(&rig)?;
    ensure!(after <= before + before / 100, "the maps took {before} bytes before and {after} after");
    writeln!(
        out,
        "forged: {FORGED} packets, each of another source, twice: {}; maps {} -> {} KiB",
        said.join(", "),
        before >> 10,
        after >> 10
    )?;
    Ok(())
}

fn of(numbers: Numbers) -> impl Iterator<Item = ipnet::IpNet> {
    (numbers.first..numbers.first + numbers.count).map(|number| address(Family::V4, number))
}

fn listed() -> Result<tables::Image> {
    let mut desired = Desired::new();
    for (name, kind, numbers) in [("denied", Kind::Deny, DENIED), ("allowed", Kind::Allow, ALLOWED)] {
        let id = desired.list_for(name, kind, &Origin::Operator)?;
        if let Some(list) = desired.list_mut(id) {
            list.imported = Prefixes::new(of(numbers));
        }
    }
    let capacity = Capacity { addresses: 1_000_000, prefixes: 1_000_000, bytes: 1 << 30 };
    Ok(tables::build(&desired, &Guards::default(), capacity, 0, KEY)?)
}

fn live(rig: &Rig) -> Result<()> {
    let allow = Ruling::allow(0, 9);
    let deny = Ruling::deny(1, 8, Verdict::Denied, 0);
    let set = |address: IpAddr, enforced: Ruling| {
        let mut value = OverlayValue::default();
        value.segments[0] = Segment { enforced, ..Segment::default() };
        Op::Set(Key::Address(address), Box::new(value))
    };
    let ops: Vec<Op> = of(DENIED_LIVE)
        .map(|net| set(net.addr(), deny))
        .chain(of(ALLOWED_LIVE).map(|net| set(net.addr(), allow)))
        .collect();
    Ok(rig.writer().overlay(&ops, overlay_flag::EXACT_V4)?)
}

/// Bytes that the kernel says all maps take.
fn memory(rig: &Rig) -> Result<u64> {
    let mut sum = 0;
    for fd in rig.maps()? {
        let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:")).context("no memlock in fdinfo")?;
        sum += bytes.trim().parse::<u64>().with_context(|| format!("memlock: {bytes}"))?;
    }
    Ok(sum)
}
