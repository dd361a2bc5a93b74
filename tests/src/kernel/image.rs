//! One policy, put into the model's tables and the kernel's alike.
//!
//! This is a translation of its own, not the daemon's: every prefix gets the whole answer for what it covers, and ends
//! are left in chains, whatever the clock says, so that the packet's way has to follow them.
use std::net::IpAddr;

use ipnet::IpNet;
use weir::domain::tables::layout::{Flat, RUN, Values, lay_out};
use weir_common::abi::{
    self, ClassRow, Control, FILTER_WORDS, Line, OVERLAY_LIFT, OverlayValue, RUN_STEPS, Ruling, Segment, Slot,
    class_flag, control_word, feature, overlay_flag, ruling_flag,
};
use weir_common::addr::Source;
use weir_common::lookup::run_word;
use weir_common::model::Model;
use weir_common::tables::Asked;
use zerocopy::FromZeros as _;

use crate::reference::floods::{Waiting, Who};
use crate::reference::world::{Act, Decision, Live, Policy, SLOTS, World};

pub mod floods;

/// Keys the hash of tracked sources in all three.
pub const SEED: u64 = 0x0dd5_eed5_0dd5_eed5;

/// A policy the tables cannot express: something ends at more moments than fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyEnds;

/// A slot's descriptor and tables.
#[derive(Clone, Debug)]
pub struct SlotImage {
    /// The descriptor.
    pub slot: Slot,
    /// Address tables.
    pub lines: Vec<Line>,
    /// The words of their filter.
    pub filter: Vec<u64>,
    /// Class rows.
    pub classes: Vec<ClassRow>,
    /// The row of each port of TCP, then of UDP; empty where no port leads anywhere.
    pub ports: Vec<u8>,
}

/// Everything the judge reads.
#[derive(Clone, Debug)]
pub struct Image {
    /// The control map, clocks included.
    pub control: [u64; control_word::COUNT],
    /// All slots.
    pub slots: Vec<SlotImage>,
    /// The overlay's addresses.
    pub overlay_exact: Vec<(Source, OverlayValue)>,
    /// The overlay's prefixes: whether they deny, the prefix, the value.
    pub overlay_prefixes: Vec<(bool, Source, u8, OverlayValue)>,
    /// Who waits for UDP: the host model is told, the kernel has sockets.
    pub sockets: Vec<Waiting>,
}

/// An address as the verdict code carries it.
pub fn source(address: IpAddr) -> Source {
    match address {
        IpAddr::V4(a) => Source::V4(a.octets()),
        IpAddr::V6(a) => Source::V6(a.octets()),
    }
}

impl Image {
    /// The image of a world.
    ///
    /// # Errors
    /// [`TooManyEnds`].
    pub fn of(world: &World) -> Result<Self, TooManyEnds> {
        let mut slots = Vec::new();
        for policy in &world.slots {
            let mut slot = SlotImage::of(policy)?;
            slot.slot.layout.filter_v4 = u32::try_from(slots.len()).expect("few slots") * FILTER_WORDS;
            slots.push(slot);
        }
        if let Some(confirm) = world.confirm {
            let slot = &mut slots[world.in_force].slot;
            slot.confirm_deadline_s = confirm.deadline_s;
            slot.fallback = u32::try_from(confirm.fallback).expect("a slot");
        }
        let (overlay_exact, overlay_prefixes) = (Vec::new(), Vec::new());
        let sockets = world.sockets.clone();
        let mut image = Self { control: [0; _], slots, overlay_exact, overlay_prefixes, sockets };
        image.overlay(world)?;
        let in_force = u32::try_from(world.in_force).expect("a slot");
        let words = [
            (control_word::CONTROL, Control::new(in_force, 7, world.confirm.is_some()).word()),
            (control_word::BYPASS, u64::from(world.bypass)),
            (control_word::OVERLAY, image.overlay_flags()),
            (control_word::SEED, SEED),
            (control_word::CLOCK_NS, world.now_ns),
            (control_word::CLOCK_BOOT_S, world.now_s),
        ];
        for (word, value) in words {
            image.control[word as usize] = value;
        }
        Ok(image)
    }

    /// The host model with this policy.
    pub fn model(&self, offenders: usize) -> Model {
        let mut model = Model::new();
        for (index, slot) in self.slots.iter().enumerate() {
            model.slots[index] = slot.slot;
            model.tables[index].lines.clone_from(&slot.lines);
            model.tables[index].filter.clone_from(&slot.filter);
            model.tables[index].classes.clone_from(&slot.classes);
            for (place, row) in slot.ports.iter().enumerate().filter(|(_, row)| **row != 0) {
                let port = u16::try_from(place % (1 << 16)).expect("sixteen bits");
                model.tables[index].ports.insert((place >> 16 != 0, port), *row);
            }
        }
        for (source, value) in &self.overlay_exact {
            model.put_overlay(*source, full(*source), false, *value);
        }
        for (denies, source, len, value) in &self.overlay_prefixes {
            model.put_overlay(*source, *len, *denies, *value);
        }
        for waiting in &self.sockets {
            let ports = u32::from(waiting.from.port()) << 16 | u32::from(waiting.to.port());
            let asked = match waiting.who {
                Who::ThisSender => Asked::ThisSender,
                Who::AnAsker => Asked::AnAsker,
                Who::AService => Asked::AService,
            };
            model.sockets.insert((source(waiting.from.ip()), source(waiting.to.ip()), ports), asked);
        }
        model.control = self.control;
        model.monotonic_ns.set(self.control[control_word::CLOCK_NS as usize]);
        model.boot_seconds.set(self.control[control_word::CLOCK_BOOT_S as usize]);
        model.offender_capacity = offenders;
        model
    }

    fn overlay_flags(&self) -> u64 {
        let exact = self.overlay_exact.iter().map(|(source, _)| match source {
            Source::V4(_) => overlay_flag::EXACT_V4,
            Source::V6(_) => overlay_flag::EXACT_V6,
        });
        let prefixes = self.overlay_prefixes.iter().map(|(denies, source, ..)| match (source, denies) {
            (Source::V4(_), false) => overlay_flag::ALLOW_V4,
            (Source::V4(_), true) => overlay_flag::DENY_V4,
            (Source::V6(_), false) => overlay_flag::ALLOW_V6,
            (Source::V6(_), true) => overlay_flag::DENY_V6,
        });
        exact.chain(prefixes).fold(0, |flags, bit| flags | bit)
    }

    fn overlay(&mut self, world: &World) -> Result<(), TooManyEnds> {
        let added: Vec<Decision> = world
            .overlay
            .iter()
            .filter_map(|live| match live {
                Live::Add(decision) => Some(*decision),
                Live::Lift(..) => None,
            })
            .collect();
        let mut addresses: Vec<IpAddr> = world
            .overlay
            .iter()
            .filter_map(|live| match live {
                Live::Add(decision) => is_single(decision.prefix).then(|| decision.prefix.addr()),
                Live::Lift(address, _) => Some(*address),
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut counter = 0;
        let guards = &world.slots[world.in_force];
        for address in addresses {
            let key = IpNet::from(address);
            let own: Vec<Decision> = added.iter().filter(|d| d.prefix == key).copied().collect();
            let mut value = OverlayValue { counter, ..OverlayValue::default() };
            counter += 1;
            value.segments = segments(&own, Guard::of(guards, key))?;
            if world.overlay.iter().any(|live| matches!(live, Live::Lift(lifted, _) if *lifted == address)) {
                for (at, (lifted, policy)) in value.lifted.iter_mut().zip(&world.slots).enumerate() {
                    if world.unlifted[at] {
                        continue;
                    }
                    value.flags |= OVERLAY_LIFT << at;
                    let gone = |d: &Decision| d.prefix == key && world.overlay.contains(&Live::Lift(address, d.rank));
                    let mut left = policy.covering(key);
                    left.retain(|decision| !gone(decision));
                    *lifted = segments(&left, Guard::of(policy, key))?;
                }
            }
            self.overlay_exact.push((source(address), value));
        }
        let mut keys: Vec<(bool, IpNet)> = added
            .iter()
            .filter(|decision| !is_single(decision.prefix))
            .map(|decision| (decision.act != Act::Allow, decision.prefix))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for (denies, key) in keys {
            // A longest match hides the wider prefixes of its own map, so the value stands for them too.
            let own: Vec<Decision> = added
                .iter()
                .filter(|d| d.prefix.contains(&key) && !is_single(d.prefix) && (d.act != Act::Allow) == denies)
                .copied()
                .collect();
            let segments = segments(&own, Guard::of(guards, key))?;
            let value = OverlayValue { counter, segments, ..OverlayValue::default() };
            counter += 1;
            self.overlay_prefixes.push((denies, source(key.network()), key.prefix_len(), value));
        }
        Ok(())
    }
}

impl SlotImage {
    fn of(policy: &Policy) -> Result<Self, TooManyEnds> {
        let mut slot = Slot::new_zeroed();
        slot.generation = 7;
        let ports = floods::fill(&mut slot, &policy.floods);
        if policy.budget_passes {
            slot.features |= feature::BUDGET_PASSES;
        }
        if policy.observe_all {
            slot.features |= feature::OBSERVE_ALL;
        }
        if policy.samples != 0 {
            slot.sample_cost = weir_common::rate::cost(policy.samples);
            slot.sample_window = slot.sample_cost * policy.samples;
        }
        if policy.tracks {
            slot.features |= feature::TRACK_SOURCES;
        }
        let mut answers = Answers { runs: Vec::new(), classes: vec![ClassRow::default()] };
        let mut keys: Vec<IpNet> = policy.decisions.iter().map(|decision| decision.prefix).collect();
        keys.extend(policy.protected.iter().chain(&policy.never_block));
        keys.extend(policy.floods.profiles.iter().flat_map(|profile| &profile.of));
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !policy.torn.iter().any(|torn| IpNet::from(*torn) == *key));
        let mut values = Vec::new();
        for key in keys {
            values.push((key, answers.value(policy, key)?));
        }
        for (at, torn) in policy.torn.iter().enumerate() {
            // A class without a row, or a run that is nowhere.
            values.push((IpNet::from(*torn), if at % 2 == 0 { 9_999 } else { RUN | 0x98_967f }));
        }
        // The torn class must still be taken for one.
        let classes = 10_000;
        let (v4, v6) = (flat(&values, bits_v4), flat(&values, bits_v6));
        let tables = lay_out(&Values { v4, v6, runs: answers.runs, classes }, [SEED, !SEED]).expect("few values");
        slot.layout = tables.layout;
        slot.hits_stride = u32::try_from(answers.classes.len().div_ceil(4)).expect("few classes");
        for (near, row) in slot.near_rows.iter_mut().zip(&answers.classes) {
            *near = *row;
        }
        Ok(Self { slot, lines: tables.lines, filter: tables.filter, classes: answers.classes, ports })
    }
}

/// First and last address of a prefix, and the one behind.
type Span<A> = (A, A, Option<A>);

/// The addresses of one family and the ranges around them, by looking at every prefix for every one.
fn flat<A: Copy + Ord>(values: &[(IpNet, u32)], bits: impl Fn(IpNet) -> Option<Span<A>>) -> Flat<A> {
    let mine: Vec<(IpNet, u32, Span<A>)> =
        values.iter().filter_map(|(key, value)| Some((*key, *value, bits(*key)?))).collect();
    let mut exact: Vec<(A, u32)> = mine
        .iter()
        .filter(|(key, value, _)| is_single(*key) && *value != 0)
        .map(|(_, value, (first, ..))| (*first, *value))
        .collect();
    exact.sort_unstable();
    let prefixes = || mine.iter().filter(|(key, ..)| !is_single(*key));
    let mut starts: Vec<A> =
        prefixes().flat_map(|(_, _, (first, _, behind))| [Some(*first), *behind]).flatten().collect();
    starts.sort_unstable();
    starts.dedup();
    let narrowest = |start: A| {
        prefixes()
            .filter(|(_, _, (first, last, _))| *first <= start && start <= *last)
            .max_by_key(|(key, ..)| key.prefix_len())
            .map_or(0, |(_, value, _)| *value)
    };
    let ranges = starts.into_iter().map(|start| (start, narrowest(start))).collect();
    Flat { exact, ranges }
}

/// First and last address of an IPv4 prefix, and the one behind.
fn bits_v4(prefix: IpNet) -> Option<Span<u32>> {
    let IpNet::V4(net) = prefix else { return None };
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    Some((first, last, last.checked_add(1)))
}

/// The same of an IPv6 prefix.
fn bits_v6(prefix: IpNet) -> Option<Span<u128>> {
    let IpNet::V6(net) = prefix else { return None };
    let (first, last) = (u128::from(net.network()), u128::from(net.broadcast()));
    Some((first, last, last.checked_add(1)))
}

/// Class rows, and what ends.
struct Answers {
    runs: Vec<u64>,
    classes: Vec<ClassRow>,
}

impl Answers {
    fn value(&mut self, policy: &Policy, key: IpNet) -> Result<u32, TooManyEnds> {
        let guard = Guard::of(policy, key);
        let steps = steps(&policy.covering(key), guard);
        if steps.len() > RUN_STEPS as usize + 1 {
            return Err(TooManyEnds);
        }
        let mut classes = Vec::new();
        for step in &steps {
            let (enforced, observed) = (step.enforced, step.observed);
            classes.push(self.class(ClassRow::new(enforced, observed, guard.flags())));
        }
        let [first, after @ ..] = classes.as_slice() else { return Ok(0) };
        if after.is_empty() {
            return Ok(u32::from(*first));
        }
        let at = u32::try_from(self.runs.len()).expect("few runs");
        for (step, (class, segment)) in classes.iter().zip(&steps).take(after.len()).enumerate() {
            let next = if step + 1 == after.len() { after[step] } else { u16::MAX };
            self.runs.push(run_word(segment.expires_at_s, *class, next));
        }
        Ok(RUN | at)
    }

    fn class(&mut self, row: ClassRow) -> u16 {
        let known = self.classes.iter().position(|other| *other == row);
        let index = known.unwrap_or_else(|| {
            self.classes.push(row);
            self.classes.len() - 1
        });
        u16::try_from(index).expect("few classes")
    }
}

impl Policy {
    /// The decisions that cover the whole of `key`.
    fn covering(&self, key: IpNet) -> Vec<Decision> {
        self.decisions.iter().filter(|decision| decision.prefix.contains(&key)).copied().collect()
    }
}

/// Whether a key is in the protected and the never-block set.
#[derive(Clone, Copy)]
struct Guard {
    protected: bool,
    never_block: bool,
    profile: u32,
}

impl Guard {
    fn of(policy: &Policy, key: IpNet) -> Self {
        let covered = |set: &[IpNet]| set.iter().any(|guarded| guarded.contains(&key));
        Self {
            protected: covered(&policy.protected),
            never_block: covered(&policy.never_block),
            profile: u32::try_from(policy.floods.profile_of(|prefix| prefix.contains(&key))).expect("few profiles"),
        }
    }

    fn flags(self) -> u32 {
        let protected = if self.protected { class_flag::PROTECTED } else { 0 };
        let never_block = if self.never_block { class_flag::NEVER_BLOCK } else { 0 };
        protected | never_block | class_flag::profile(self.profile)
    }
}

/// What holds from one end to the next, the clock left aside.
fn steps(decisions: &[Decision], guard: Guard) -> Vec<Segment> {
    let mut ends: Vec<u32> = decisions.iter().map(|d| d.expires_at_s).filter(|end| *end != 0).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.push(0);
    let mut start = 0;
    let mut steps = Vec::new();
    for end in ends {
        let best = |observe: bool| {
            let mut live: Vec<&Decision> = decisions
                .iter()
                .filter(|d| d.is_live(start) && d.observe == observe && !(observe && d.act == Act::Allow))
                .collect();
            // What protection voids is left for the kernel to void, but must not hide what stands.
            live.sort_by_key(|d| {
                (!d.stands(guard.protected, guard.never_block), d.rank, u8::MAX - d.prefix.prefix_len())
            });
            live.first().map_or(Ruling::NONE, |decision| ruling(decision))
        };
        steps.push(Segment { expires_at_s: end, enforced: best(false), observed: best(true) });
        start = u64::from(end);
    }
    steps
}

fn segments<const N: usize>(decisions: &[Decision], guard: Guard) -> Result<[Segment; N], TooManyEnds> {
    let mut steps = steps(decisions, guard);
    // The empty step at the end is what a value's unused segments say anyway.
    steps.pop_if(|last| last.enforced.is_none() && last.observed.is_none());
    let mut segments = [Segment::default(); N];
    if steps.len() > N {
        return Err(TooManyEnds);
    }
    segments[..steps.len()].copy_from_slice(&steps);
    Ok(segments)
}

fn ruling(decision: &Decision) -> Ruling {
    let list = decision.rank + 100;
    let flags = if decision.forced { ruling_flag::FORCED } else { 0 };
    match decision.act {
        Act::Allow => Ruling::allow(decision.rank, list),
        Act::Deny(verdict) => Ruling::deny(decision.rank, list, verdict, flags),
    }
}

fn is_single(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

fn full(source: Source) -> u8 {
    match source {
        Source::V4(_) => 32,
        Source::V6(_) => 128,
    }
}

const _: () = assert!(SLOTS == abi::SLOTS as usize);
