//! Live changes that the tables do not hold yet: what each overlay value must be, as a function of what live changes have
//! said since and of what each policy slot's tables were built from.
//!
//! A slot's tables hold every change up to the *snapshot* they were built from, and nothing else: a change that comes with
//! a flip is desired before any slot has it. So what remains under a lifted address is asked of the slot's own *base*,
//! never of what is desired now. A key needs an overlay value as long as some slot that a packet may be judged by was built
//! before the key's latest live change.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use weir_common::abi::{LIFT_SEGMENTS, OVERLAY_LIFT, OVERLAY_SEGMENTS, OverlayValue, Segment, overlay_flag};

use super::decision::{Decision, Kind, ListEnforcement, ListId};
use super::desired::Desired;
use super::guard::Guards;
use super::prefixes::{is_single, single};
use super::resolve::{Item, resolve};
use super::time::BootSeconds;

/// A policy slot that a packet may be judged by, now or once a build or a confirm ends.
#[derive(Clone, Debug)]
pub struct SlotView {
    /// Its index.
    pub slot: usize,
    /// The last change its tables hold.
    pub snapshot: u64,
    /// What its tables were built from.
    pub base: Arc<Desired>,
}

impl SlotView {
    fn holds(&self, sequence: u64) -> bool {
        sequence <= self.snapshot
    }

    /// What its tables have from a list on this very prefix.
    fn says(&self, list: ListId, prefix: IpNet) -> Vec<Decision> {
        self.base.list(list).map_or_else(Vec::new, |list| list.on(prefix).collect())
    }
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

#[derive(Clone, Debug, PartialEq)]
struct Cell {
    counter: u32,
    /// The list its hits are counted for: the strongest decision's when it was made.
    list: u16,
    /// What live changes said, a list each, of the key's address or prefix.
    said: Vec<Said>,
}

impl Cell {
    /// The key's latest change.
    fn sequence(&self) -> u64 {
        self.said.iter().map(|said| said.sequence).max().unwrap_or(0)
    }
}

/// What a list has on a prefix since a live change, whatever it had before.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    list: ListId,
    /// Empty: nothing any more.
    decisions: Vec<Decision>,
    /// The change's number.
    sequence: u64,
}

impl Said {
    /// Whether these are the same decisions. What becomes of their list as a whole is no part of that.
    fn is(&self, decisions: &[Decision]) -> bool {
        self.decisions.iter().map(|d| d.info.sequence).eq(decisions.iter().map(|d| d.info.sequence))
    }
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
    /// The slots a packet may be judged by, the one in force first.
    pub slots: &'a [SlotView],
    /// Boot-time clock.
    pub now: BootSeconds,
}

impl Context<'_> {
    fn seconds(&self) -> u32 {
        u32::try_from(self.now.0).unwrap_or(u32::MAX)
    }

    fn all_hold(&self, said: &Said) -> bool {
        self.slots.iter().all(|slot| slot.holds(said.sequence))
    }

    /// Whether a slot was built before this and has something of the list on the prefix.
    fn is_against(&self, said: &Said, prefix: IpNet) -> bool {
        let mut before = self.slots.iter().filter(|slot| !slot.holds(said.sequence));
        before.any(|slot| !slot.says(said.list, prefix).is_empty())
    }

    /// The decisions, as their list stands now.
    fn standing(&self, said: &Said, prefix: IpNet) -> Vec<Decision> {
        let now = self.desired.list(said.list).map_or_else(Vec::new, |list| list.on(prefix).collect());
        if said.is(&now) { now } else { said.decisions.clone() }
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
        let mut new = context.desired.on(prefix);
        new.retain(|decision| decision.info.sequence == sequence);
        if before.iter().chain(&new).any(limits) {
            return Err(NeedsRebuild::Limits);
        }
        let mut lists: Vec<ListId> = before.iter().chain(&new).map(|decision| decision.list).collect();
        lists.sort_unstable();
        lists.dedup();
        if is_single(&prefix) {
            let key = Key::Address(prefix.addr());
            return self.say(context, key, &lists, sequence).map(|op| op.into_iter().collect());
        }
        let has = |list: &ListId| context.slots.iter().any(|slot| !slot.says(*list, prefix).is_empty());
        if lists.iter().any(has) {
            return Err(NeedsRebuild::LiftedPrefix);
        }
        let (mut ops, mut before) = (Vec::new(), Vec::new());
        for kind in [Kind::Allow, Kind::Deny] {
            let key = Key::Prefix(kind, prefix);
            let of_kind = |list: &&ListId| context.desired.list(**list).is_some_and(|list| list.kind == kind);
            let lists: Vec<ListId> = lists.iter().filter(of_kind).copied().collect();
            before.push((key, self.cells.get(&key).cloned()));
            let said = self.say(context, key, &lists, sequence);
            match said.and_then(|op| self.beneath(context, kind, prefix).map(|more| op.into_iter().chain(more))) {
                Ok(more) => ops.extend(more),
                Err(reason) => {
                    for (key, old) in before {
                        self.put_back(key, old);
                    }
                    return Err(reason);
                }
            }
        }
        Ok(ops)
    }

    /// Writes for a prefix on which entries have ended: none where it has no value, since the tables hold their ends as
    /// well. The desired state of `context` is without them.
    pub fn ended(&mut self, context: &Context<'_>, prefix: IpNet) -> Vec<Op> {
        let mut ops = Vec::new();
        for key in keys_of(prefix) {
            if !self.cells.contains_key(&key) {
                continue;
            }
            // A value that cannot be had stays as it was: what has ended in it ends by itself.
            ops.extend(self.say(context, key, &[], 0).ok().flatten());
            if let Key::Prefix(kind, prefix) = key {
                ops.extend(self.beneath(context, kind, prefix).unwrap_or_default());
            }
        }
        ops
    }

    /// Takes back what a list was said to have on a prefix by this very change: it has what is desired now. The next
    /// [`Self::refresh`] says what has to be written.
    pub fn take_back(&mut self, desired: &Desired, list: ListId, prefix: IpNet, sequence: u64) {
        for key in keys_of(prefix) {
            let said = self.cells.get_mut(&key).into_iter().flat_map(|cell| &mut cell.said);
            for said in said.filter(|said| said.list == list && said.sequence == sequence) {
                said.decisions = desired.list(list).map_or_else(Vec::new, |list| list.on(prefix).collect());
            }
        }
    }

    /// Writes that make every value right for the slots of `context`, and remove those no slot needs any more.
    ///
    /// Called when a build starts (its slot is then one of those a packet may be judged by), after its flip (the old slot
    /// then is not), and when it has failed. A value that would need more moments than it holds keeps the first ones: such a key is in the
    /// tables being built, which take over within the grace period.
    pub fn refresh(&mut self, context: &Context<'_>) -> Vec<Op> {
        let mut ops = Vec::new();
        let keys: Vec<Key> = self.cells.keys().copied().collect();
        // What goes, goes first: a value that stays must not carry a wider one that is folded.
        for key in &keys {
            let Some(cell) = self.cells.get_mut(key) else { continue };
            cell.said.retain(|said| !context.all_hold(said));
            prune(&mut cell.said, context, prefix_of(key));
            if cell.said.is_empty() {
                ops.extend(self.forget(key));
            }
        }
        for key in &keys {
            if let Ok(op) = self.set(context, *key, Excess::Cut) {
                ops.extend(op);
            }
        }
        ops
    }

    /// Values of narrower prefixes, which hide this one from the kernel's longest match and so carry it along.
    fn beneath(&mut self, context: &Context<'_>, kind: Kind, prefix: IpNet) -> Result<Vec<Op>, NeedsRebuild> {
        let narrower = self.narrower(kind, prefix);
        let mut ops = Vec::new();
        for key in narrower {
            ops.extend(self.set(context, key, Excess::Refuse)?);
        }
        Ok(ops)
    }

    /// Keys of a kind on prefixes inside of another: they follow it in the order of keys.
    fn narrower(&self, kind: Kind, prefix: IpNet) -> Vec<Key> {
        let wide = Key::Prefix(kind, prefix);
        let inside = |key: &&Key| matches!(key, Key::Prefix(k, p) if *k == kind && prefix.contains(p));
        self.cells.range(wide..).map(|(key, _)| key).take_while(inside).filter(|key| **key != wide).copied().collect()
    }

    /// Takes down what lists have on a key since a change, and says what has to be written for it.
    fn say(
        &mut self,
        context: &Context<'_>,
        key: Key,
        lists: &[ListId],
        sequence: u64,
    ) -> Result<Option<Op>, NeedsRebuild> {
        let prefix = prefix_of(&key);
        let old = self.cells.get(&key).cloned();
        let mut said = old.as_ref().map_or_else(Vec::new, |cell| cell.said.clone());
        for list in lists {
            said.retain(|said| said.list != *list);
            let decisions = context.desired.list(*list).map_or_else(Vec::new, |list| list.on(prefix).collect());
            said.push(Said { list: *list, decisions, sequence });
        }
        prune(&mut said, context, prefix);
        if said.is_empty() {
            return Ok(self.forget(&key));
        }
        let (counter, list) = match &old {
            Some(cell) => (cell.counter, cell.list),
            None => (self.reserve(&key)?, 0),
        };
        self.cells.insert(key, Cell { counter, list, said });
        let op = self.set(context, key, Excess::Refuse);
        if op.is_err() {
            self.put_back(key, old);
        }
        op
    }

    /// Makes a key's cell what it was before a change that goes by rebuild.
    fn put_back(&mut self, key: Key, old: Option<Cell>) {
        let Some(old) = old else {
            self.forget(&key);
            return;
        };
        if self.cells.contains_key(&key) {
            self.cells.insert(key, old);
        } else if let Ok(counter) = self.reserve(&key) {
            // Forgotten a moment ago: its room and its counter are free.
            self.cells.insert(key, Cell { counter, ..old });
        }
    }

    /// The value of a key as its cell says it must be, if it has one.
    fn set(&mut self, context: &Context<'_>, key: Key, excess: Excess) -> Result<Option<Op>, NeedsRebuild> {
        let Some(cell) = self.cells.get(&key) else { return Ok(None) };
        let prefix = prefix_of(&key);
        let (flags, now_s) = (context.guards.flags(prefix), context.seconds());
        let decisions = self.live(context, key);
        let mut value = OverlayValue {
            segments: segments::<OVERLAY_SEGMENTS>(&decisions, flags, now_s, excess)?,
            counter: cell.counter,
            ..OverlayValue::default()
        };
        if let Key::Address(_) = key {
            for slot in context.slots {
                let Some(remaining) = remaining(context, slot, &cell.said, prefix) else { continue };
                if let Some(lifted) = value.lifted.get_mut(slot.slot) {
                    value.flags |= OVERLAY_LIFT << slot.slot;
                    *lifted = segments::<LIFT_SEGMENTS>(&remaining, flags, now_s, excess)?;
                }
            }
        }
        let sequence = cell.sequence();
        let halves = [sequence & 0xffff_ffff, sequence >> 32];
        value.sequence = halves.map(|half| u32::try_from(half).unwrap_or(0));
        let strongest = decisions.iter().min_by_key(|d| d.order()).map_or(0, |d| d.list.0);
        if let Some(cell) = self.cells.get_mut(&key) {
            cell.list = strongest;
        }
        Ok(Some(Op::Set(key, Box::new(value))))
    }

    /// The decisions a value stands for whatever the slot: on the address itself, or on the prefix and the wider ones of
    /// its map.
    fn live(&self, context: &Context<'_>, key: Key) -> Vec<Decision> {
        let kind = match key {
            Key::Address(address) => {
                let prefix = single(address);
                let said = self.cells.get(&key).into_iter().flat_map(|cell| &cell.said);
                let said = said.filter(|said| is_for_all(context, said, prefix));
                return said.flat_map(|said| context.standing(said, prefix)).collect();
            }
            Key::Prefix(kind, _) => kind,
        };
        let mut decisions = Vec::new();
        for wide in super::prefixes::covering(prefix_of(&key)) {
            let Some(cell) = self.cells.get(&Key::Prefix(kind, wide)) else { continue };
            // A value of a prefix is one for all slots. Where the one in force was built from a later word, that holds.
            let said = cell.said.iter().filter(|said| {
                let mut in_force = context.slots.iter().take(1);
                in_force.all(|slot| !slot.holds(said.sequence) || said.is(&slot.says(said.list, wide)))
            });
            decisions.extend(said.flat_map(|said| context.standing(said, wide)));
        }
        decisions
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

    /// Takes a key's value away, if it has one.
    fn forget(&mut self, key: &Key) -> Option<Op> {
        let cell = self.cells.remove(key)?;
        self.free.push(cell.counter);
        let count = match key {
            Key::Address(address) => &mut self.addresses[usize::from(address.is_ipv6())],
            Key::Prefix(kind, prefix) => self.prefixes.entry((*kind, matches!(prefix, IpNet::V6(_)))).or_default(),
        };
        *count = count.saturating_sub(1);
        Some(Op::Remove(*key, cell.counter, cell.list))
    }
}

/// The keys of what is said about a prefix.
fn keys_of(prefix: IpNet) -> Vec<Key> {
    if is_single(&prefix) {
        return vec![Key::Address(prefix.addr())];
    }
    [Kind::Allow, Kind::Deny].map(|kind| Key::Prefix(kind, prefix)).to_vec()
}

/// What a key covers.
fn prefix_of(key: &Key) -> IpNet {
    match key {
        Key::Address(address) => single(*address),
        Key::Prefix(_, prefix) => *prefix,
    }
}

/// Lets go of decisions that have ended, and of what says nothing against any slot's tables.
fn prune(said: &mut Vec<Said>, context: &Context<'_>, prefix: IpNet) {
    for said in &mut *said {
        said.decisions.retain(|decision| decision.info.expiry.is_none_or(|expiry| !expiry.is_over(context.now)));
    }
    said.retain(|said| !said.decisions.is_empty() || context.is_against(said, prefix));
}

/// Whether what was said of an address holds beside every slot's tables: none of them was built from a later word.
fn is_for_all(context: &Context<'_>, said: &Said, prefix: IpNet) -> bool {
    context.slots.iter().all(|slot| !slot.holds(said.sequence) || said.is(&slot.says(said.list, prefix)))
}

/// What is to stand in place of the answer of a slot's tables for an address; `None` where that is right as it is.
fn remaining(context: &Context<'_>, slot: &SlotView, said: &[Said], prefix: IpNet) -> Option<Vec<Decision>> {
    let later: Vec<&Said> = said.iter().filter(|said| !slot.holds(said.sequence)).collect();
    let is_gone =
        |decision: &Decision| decision.prefix == prefix && later.iter().any(|said| said.list == decision.list);
    // Not for all slots, so it is not beside them.
    let own: Vec<Decision> = later
        .iter()
        .filter(|said| !is_for_all(context, said, prefix))
        .flat_map(|said| context.standing(said, prefix))
        .collect();
    let mut covering = slot.base.covering(prefix);
    if own.is_empty() && !covering.iter().any(is_gone) {
        return None;
    }
    covering.retain(|decision| !is_gone(decision));
    covering.extend(own);
    Some(covering)
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
