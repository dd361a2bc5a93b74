//! Live changes that the tables do not hold yet: what each overlay value must be, as a function of what is desired and
//! of what each policy slot's tables hold.
//!
//! A slot's tables hold every change up to the *snapshot* they were built from. A key needs an overlay value as long as
//! some slot that a packet may be judged by was built before the key's latest change.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::abi::{LIFT_SEGMENTS, OVERLAY_LIFT, OVERLAY_SEGMENTS, OverlayValue, Segment, overlay_flag};

use super::decision::{Decision, Kind, ListEnforcement};
use super::desired::Desired;
use super::guard::Guards;
use super::prefixes::{is_single, single};
use super::resolve::{Item, resolve};
use super::time::BootSeconds;

/// A policy slot that a packet may be judged by, now or once a build or a confirm ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Its index.
    pub slot: usize,
    /// The last change its tables hold.
    pub snapshot: u64,
}

/// Where an overlay value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// In the map of single addresses.
    Address(IpAddr),
    /// In a map of prefixes.
    Prefix(Kind, IpNet),
}

/// One write to the kernel's overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Store the value.
    Set(Key, Box<OverlayValue>),
    /// Remove the value; its counter's hits belong to the list.
    Remove(Key, u32, u16),
}

/// Why a change cannot be made live and goes by rebuild and flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedsRebuild {
    /// A map of the overlay is full.
    #[error("the overlay is full")]
    Full,
    /// The change is on a list that limits: which limit a source has stands in the tables alone.
    #[error("a list that limits has its sources in the tables")]
    Limits,
    /// The tables hold a prefix that is to go.
    #[error("the tables hold the prefix")]
    LiftedPrefix,
    /// More moments of change than a value holds.
    #[error("the key changes too often")]
    TooManySegments,
}

/// Sizes of the kernel's overlay maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Single addresses per family.
    pub addresses: usize,
    /// Prefixes per kind and family.
    pub prefixes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    counter: u32,
    /// The key's latest change.
    sequence: u64,
    /// Some slot's tables hold what is no longer desired.
    lift: bool,
    /// The list its hits are counted for: the strongest decision's when it was made.
    list: u16,
}

/// All keys that have a value, and which counters are free.
#[derive(Clone, Debug)]
pub struct Overlay {
    room: Room,
    cells: BTreeMap<Key, Cell>,
    free: Vec<u32>,
    addresses: [usize; 2],
    prefixes: BTreeMap<(Kind, bool), usize>,
}

/// What the planner needs to know beside the overlay itself.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What should be in force, the change included.
    pub desired: &'a Desired,
    /// Protected and never-block sets.
    pub guards: &'a Guards,
    /// The slots a packet may be judged by.
    pub slots: &'a [SlotView],
    /// Boot-time clock.
    pub now: BootSeconds,
}

impl Context<'_> {
    fn seconds(&self) -> u32 {
        u32::try_from(self.now.0).unwrap_or(u32::MAX)
    }

    fn all_hold(&self, sequence: u64) -> bool {
        self.slots.iter().all(|slot| sequence <= slot.snapshot)
    }

    fn any_holds(&self, sequence: u64) -> bool {
        self.slots.iter().any(|slot| sequence <= slot.snapshot)
    }
}

impl Overlay {
    /// An empty overlay.
    pub fn new(room: Room, counters: u32) -> Self {
        Self {
            room,
            cells: BTreeMap::new(),
            free: (0..counters).rev().collect(),
            addresses: [0; 2],
            prefixes: BTreeMap::new(),
        }
    }

    /// Keys that have a value.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Single addresses that have a value.
    pub fn addresses(&self) -> usize {
        self.addresses.iter().sum()
    }

    /// Prefixes that have a value.
    pub fn prefixes(&self) -> usize {
        self.prefixes.values().sum()
    }

    /// The counter of a key.
    pub fn counter(&self, key: &Key) -> Option<u32> {
        self.cells.get(key).map(|cell| cell.counter)
    }

    /// Every key's counter with the list its hits are counted for.
    pub fn counters(&self) -> impl Iterator<Item = (u32, u16)> + '_ {
        self.cells.values().map(|cell| (cell.counter, cell.list))
    }

    /// The word that tells the kernel which maps hold anything.
    pub fn flags(&self) -> u64 {
        let mut flags = 0;
        if self.addresses[0] > 0 {
            flags |= overlay_flag::EXACT_V4;
        }
        if self.addresses[1] > 0 {
            flags |= overlay_flag::EXACT_V6;
        }
        for ((kind, v6), count) in &self.prefixes {
            if *count > 0 {
                flags |= match (kind, v6) {
                    (Kind::Allow, false) => overlay_flag::ALLOW_V4,
                    (Kind::Deny, false) => overlay_flag::DENY_V4,
                    (Kind::Allow, true) => overlay_flag::ALLOW_V6,
                    (Kind::Deny, true) => overlay_flag::DENY_V6,
                };
            }
        }
        flags
    }

    /// Writes for a change of `prefix`: `before` are the decisions on it that were replaced or removed, `sequence` is the
    /// change's number. The desired state of `context` includes the change.
    ///
    /// # Errors
    /// [`NeedsRebuild`]; the overlay has not changed then.
    pub fn change(
        &mut self,
        context: &Context<'_>,
        prefix: IpNet,
        before: &[Decision],
        sequence: u64,
    ) -> Result<Vec<Op>, NeedsRebuild> {
        let limits = |decision: &Decision| decision.of_list == ListEnforcement::Limit;
        let new = context.desired.on(prefix).into_iter().filter(|decision| decision.info.sequence == sequence);
        if before.iter().any(limits) || new.into_iter().any(|decision| limits(&decision)) {
            return Err(NeedsRebuild::Limits);
        }
        if is_single(&prefix) {
            let key = Key::Address(prefix.addr());
            let lift = before.iter().any(|gone| context.any_holds(gone.info.sequence))
                || self.cells.get(&key).is_some_and(|cell| cell.lift);
            return self.set(context, key, lift, sequence, Excess::Refuse).map(|op| op.into_iter().collect());
        }
        if before.iter().any(|gone| context.any_holds(gone.info.sequence)) {
            return Err(NeedsRebuild::LiftedPrefix);
        }
        let mut ops = Vec::new();
        let mut before = Vec::new();
        for kind in [Kind::Allow, Kind::Deny] {
            let key = Key::Prefix(kind, prefix);
            let wanted = context.desired.on(prefix).iter().any(|decision| decision.kind == kind);
            if !wanted && !self.cells.contains_key(&key) {
                continue;
            }
            before.push((key, self.cells.get(&key).copied()));
            before.extend(self.narrower(kind, prefix).map(|(key, cell)| (key, Some(cell))));
            match self.set(context, key, false, sequence, Excess::Refuse).and_then(|op| {
                ops.extend(op);
                self.beneath(context, kind, prefix)
            }) {
                Ok(more) => ops.extend(more),
                Err(reason) => {
                    self.put_back(before);
                    return Err(reason);
                }
            }
        }
        Ok(ops)
    }

    /// Writes for a prefix on which entries have ended: none where it has no value, since the tables hold their ends as
    /// well. The desired state of `context` is without them.
    pub fn ended(&mut self, context: &Context<'_>, prefix: IpNet) -> Vec<Op> {
        let keys = if is_single(&prefix) {
            vec![Key::Address(prefix.addr())]
        } else {
            [Kind::Allow, Kind::Deny].map(|kind| Key::Prefix(kind, prefix)).to_vec()
        };
        let mut ops = Vec::new();
        for key in keys {
            let Some(cell) = self.cells.get(&key).copied() else { continue };
            // A value that cannot be had stays as it was: what has ended in it ends by itself.
            ops.extend(self.set(context, key, cell.lift, cell.sequence, Excess::Refuse).ok().flatten());
            if let Key::Prefix(kind, prefix) = key {
                ops.extend(self.beneath(context, kind, prefix).unwrap_or_default());
            }
        }
        ops
    }

    /// Writes that make every value right for the slots of `context`, and remove those no slot needs any more.
    ///
    /// Called when a build starts (its slot is then one of those a packet may be judged by) and after its flip (the old
    /// slot then is not). A value that would need more moments than it holds keeps the first ones: such a key is in the
    /// tables being built, which take over within the grace period.
    pub fn refresh(&mut self, context: &Context<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        let keys: Vec<(Key, Cell)> = self.cells.iter().map(|(key, cell)| (*key, *cell)).collect();
        // What goes, goes first: a value that stays must not carry a wider one that is folded.
        for (key, cell) in &keys {
            if context.all_hold(cell.sequence) {
                self.forget(key);
                ops.push(Op::Remove(*key, cell.counter, cell.list));
            }
        }
        for (key, cell) in keys {
            if !context.all_hold(cell.sequence)
                && let Ok(op) = self.set(context, key, cell.lift, cell.sequence, Excess::Cut)
            {
                ops.extend(op);
            }
        }
        ops
    }

    /// Values of narrower prefixes, which hide this one from the kernel's longest match and so carry it along.
    fn beneath(&mut self, context: &Context<'_>, kind: Kind, prefix: IpNet) -> Result<Vec<Op>, NeedsRebuild> {
        let narrower: Vec<(Key, Cell)> = self.narrower(kind, prefix).collect();
        let mut ops = Vec::new();
        for (key, cell) in narrower {
            ops.extend(self.set(context, key, false, cell.sequence, Excess::Refuse)?);
        }
        Ok(ops)
    }

    /// Values of a kind on prefixes inside of another: they follow it in the order of keys.
    fn narrower(&self, kind: Kind, prefix: IpNet) -> impl Iterator<Item = (Key, Cell)> + '_ {
        let from = self.cells.range(Key::Prefix(kind, prefix)..);
        let inside = move |key: &Key| matches!(key, Key::Prefix(k, p) if *k == kind && prefix.contains(p));
        let within = from.take_while(move |(key, _)| inside(key)).map(|(key, cell)| (*key, *cell));
        within.filter(move |(key, _)| *key != Key::Prefix(kind, prefix))
    }

    /// Takes back what a change that was refused has done to keys.
    fn put_back(&mut self, before: Vec<(Key, Option<Cell>)>) {
        for (key, cell) in before.into_iter().rev() {
            match (self.cells.get(&key).copied(), cell) {
                (Some(_), Some(cell)) => {
                    self.cells.insert(key, cell);
                }
                (Some(_), None) => self.forget(&key),
                (None, Some(cell)) => {
                    // Its own counter is among the free ones again, maybe not on top.
                    let Ok(counter) = self.reserve(&key) else { continue };
                    if let Some(free) = self.free.iter_mut().rev().find(|free| **free == cell.counter) {
                        *free = counter;
                    }
                    self.cells.insert(key, cell);
                }
                (None, None) => {}
            }
        }
    }

    /// Makes the key's value what it must be, or removes it.
    fn set(
        &mut self,
        context: &Context<'_>,
        key: Key,
        lift: bool,
        sequence: u64,
        excess: Excess,
    ) -> Result<Option<Op>, NeedsRebuild> {
        let decisions = self.own_decisions(context, key);
        let has_own = match key {
            Key::Address(_) => !decisions.is_empty(),
            Key::Prefix(kind, prefix) => context.desired.on(prefix).iter().any(|decision| decision.kind == kind),
        };
        if !lift && !has_own {
            let Some(cell) = self.cells.get(&key).copied() else { return Ok(None) };
            self.forget(&key);
            return Ok(Some(Op::Remove(key, cell.counter, cell.list)));
        }
        let prefix = match key {
            Key::Address(address) => single(address),
            Key::Prefix(_, prefix) => prefix,
        };
        let flags = context.guards.flags(prefix);
        let mut value = OverlayValue {
            segments: segments::<OVERLAY_SEGMENTS>(&decisions, flags, context.seconds(), excess)?,
            ..OverlayValue::default()
        };
        if lift {
            value.flags = OVERLAY_LIFT;
            let covering = context.desired.covering(prefix);
            for slot in context.slots {
                let in_tables: Vec<Decision> =
                    covering.iter().filter(|d| d.info.sequence <= slot.snapshot).cloned().collect();
                if let Some(lifted) = value.lifted.get_mut(slot.slot) {
                    *lifted = segments::<LIFT_SEGMENTS>(&in_tables, flags, context.seconds(), excess)?;
                }
            }
        }
        let strongest = decisions.iter().min_by_key(|d| d.order()).map_or(0, |d| d.list.0);
        let counter = match self.cells.get(&key) {
            Some(cell) => cell.counter,
            None => self.reserve(&key)?,
        };
        value.counter = counter;
        let halves = [sequence & 0xffff_ffff, sequence >> 32];
        value.sequence = halves.map(|half| u32::try_from(half).unwrap_or(0));
        self.cells.insert(key, Cell { counter, sequence, lift, list: strongest });
        Ok(Some(Op::Set(key, Box::new(value))))
    }

    /// The decisions a value stands for: on the address itself, or on the prefix and the wider ones of its map.
    fn own_decisions(&self, context: &Context<'_>, key: Key) -> Vec<Decision> {
        match key {
            Key::Address(address) => context.desired.on(single(address)),
            Key::Prefix(kind, prefix) => super::prefixes::covering(prefix)
                .filter(|wide| *wide == prefix || self.cells.contains_key(&Key::Prefix(kind, *wide)))
                .flat_map(|wide| context.desired.on(wide))
                .filter(|decision| decision.kind == kind)
                .collect(),
        }
    }

    fn reserve(&mut self, key: &Key) -> Result<u32, NeedsRebuild> {
        let (count, room) = match key {
            Key::Address(address) => (&mut self.addresses[usize::from(address.is_ipv6())], self.room.addresses),
            Key::Prefix(kind, prefix) => {
                let family = matches!(prefix, IpNet::V6(_));
                (self.prefixes.entry((*kind, family)).or_default(), self.room.prefixes)
            }
        };
        if *count >= room {
            return Err(NeedsRebuild::Full);
        }
        let counter = self.free.pop().ok_or(NeedsRebuild::Full)?;
        *count += 1;
        Ok(counter)
    }

    fn forget(&mut self, key: &Key) {
        let Some(cell) = self.cells.remove(key) else { return };
        self.free.push(cell.counter);
        let count = match key {
            Key::Address(address) => &mut self.addresses[usize::from(address.is_ipv6())],
            Key::Prefix(kind, prefix) => self.prefixes.entry((*kind, matches!(prefix, IpNet::V6(_)))).or_default(),
        };
        *count = count.saturating_sub(1);
    }
}

/// What becomes of more moments of change than a value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    /// The change goes by rebuild and flip.
    Refuse,
    /// The last one kept stands until the tables take over.
    Cut,
}

fn segments<const N: usize>(
    decisions: &[Decision],
    flags: u32,
    now_s: u32,
    excess: Excess,
) -> Result<[Segment; N], NeedsRebuild> {
    let items: Vec<Item> = decisions.iter().map(Item::from).collect();
    let steps = resolve(&items, flags, now_s);
    let mut segments = [Segment::default(); N];
    if steps.len() > N && excess == Excess::Refuse {
        return Err(NeedsRebuild::TooManySegments);
    }
    for (segment, step) in segments.iter_mut().zip(&steps) {
        *segment = step.segment();
    }
    if steps.len() > N
        && let Some(last) = segments.last_mut()
    {
        last.expires_at_s = 0;
    }
    Ok(segments)
}

#[cfg(test)]
mod tests;
