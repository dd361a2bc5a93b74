//! The one writer of tables, classes and overlay. Only the sync task holds it.
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use weir_common::abi::{
    ClassRow, Control, CpuState, Line, NEAR_CLASSES, OVERLAY_LIFT, Offender, OffenderKey, OverlayValue, PORT_WORDS,
    PrefixV4, PrefixV6, SLOTS, Slot, Tally, control_word,
};
use weir_common::rate;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::map::{Mapped, Table};
use super::sys;
use crate::domain::decision::Kind;
use crate::domain::overlay::{Key, Op};
use crate::domain::tables::{Image, free_filter};
use crate::domain::time::MonotonicNs;

/// The outer maps: one inner map per slot.
const OUTER: [&str; 3] = [TABLES, CLASSES, CLASS_HITS];
const TABLES: &str = "TABLES";
const CLASSES: &str = "CLASSES";
const CLASS_HITS: &str = "CLASS_HITS";

/// Class rows in a line.
const ROWS_EACH: usize = size_of::<Line>() / size_of::<ClassRow>();
/// Class counters in a line.
const HITS_EACH: usize = size_of::<Line>() / size_of::<Tally>();

/// Write access to the kernel's policy.
#[derive(Debug)]
pub struct KernelWriter {
    control: Mapped<u64>,
    policy: Mapped<Slot>,
    filters: Mapped<u64>,
    outer: Vec<(&'static str, OwnedFd)>,
    exact_v4: Table<[u8; 4], OverlayValue>,
    exact_v6: Table<[u8; 16], OverlayValue>,
    allow_v4: Table<PrefixV4, OverlayValue>,
    deny_v4: Table<PrefixV4, OverlayValue>,
    allow_v6: Table<PrefixV6, OverlayValue>,
    deny_v6: Table<PrefixV6, OverlayValue>,
    overlay_hits: Mapped<Tally>,
    offenders: Table<OffenderKey, Offender>,
    ports: Mapped<Line>,
    hits: Mutex<Vec<Option<Mapped<Line>>>>,
    cpu_states: Mapped<CpuState>,
    cpus: u32,
}

/// One slot's counters of the near classes on one CPU, at zero.
const NO_HITS: [u64; NEAR_CLASSES * size_of::<Tally>() / 8] = [0; _];

/// Sizes of the overlay as the kernel's maps have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlaySizes {
    /// Single addresses per family.
    pub addresses: u32,
    /// Prefixes per kind and family.
    pub prefixes: u32,
    /// Counters.
    pub counters: u32,
}

/// A system call that failed, with what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct WriteError {
    /// What was being written.
    pub what: String,
    /// The system call's error.
    #[source]
    pub error: io::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> WriteError {
    move |error| WriteError { what: what.into(), error }
}

impl KernelWriter {
    /// Opens the maps found by `open`.
    ///
    /// # Errors
    /// The opening's or the mapping's.
    pub fn new(open: impl Fn(&str) -> io::Result<OwnedFd>, cpus: u32) -> Result<Self, WriteError> {
        let get = |name: &'static str| open(name).map_err(failed(format!("open map {name}")));
        let policy = get("POLICY")?;
        let control = get("CONTROL")?;
        let hits = get("OVERLAY_HITS")?;
        let mut writer = Self {
            control: Mapped::new(control.as_fd()).map_err(failed("map the control words"))?,
            policy: Mapped::new(policy.as_fd()).map_err(failed("map the policy slots"))?,
            filters: Mapped::new(get("FILTERS")?.as_fd()).map_err(failed("map the filters"))?,
            outer: Vec::new(),
            exact_v4: table(get("OVERLAY_V4")?)?,
            exact_v6: table(get("OVERLAY_V6")?)?,
            allow_v4: table(get("OVERLAY_ALLOW_V4")?)?,
            deny_v4: table(get("OVERLAY_DENY_V4")?)?,
            allow_v6: table(get("OVERLAY_ALLOW_V6")?)?,
            deny_v6: table(get("OVERLAY_DENY_V6")?)?,
            overlay_hits: Mapped::new(hits.as_fd()).map_err(failed("map the overlay's counters"))?,
            offenders: table(get("OFFENDERS")?)?,
            ports: Mapped::new(get("PORTS")?.as_fd()).map_err(failed("map the table of ports"))?,
            hits: Mutex::new((0..SLOTS).map(|_| None).collect()),
            cpu_states: Mapped::new(get("CPUS")?.as_fd()).map_err(failed("map the CPUs' counters"))?,
            cpus,
        };
        for name in OUTER {
            writer.outer.push((name, get(name)?));
        }
        for slot in 0..SLOTS {
            let hits = writer.inner(CLASS_HITS, slot).ok().flatten().and_then(|inner| Mapped::new(inner.as_fd()).ok());
            writer.keep_hits(slot, hits);
        }
        Ok(writer)
    }

    /// Sizes of the overlay.
    ///
    /// # Errors
    /// The system call's.
    pub fn overlay_sizes(&self) -> Result<OverlaySizes, WriteError> {
        Ok(OverlaySizes {
            addresses: self.exact_v4.capacity().map_err(failed("read the overlay's size"))?,
            prefixes: self.deny_v4.capacity().map_err(failed("read the overlay's size"))?,
            counters: u32::try_from(self.overlay_hits.len()).unwrap_or(u32::MAX) / self.cpus.max(1),
        })
    }

    /// The control word that names the slot in force.
    pub fn descriptor(&self) -> Control {
        Control::from_word(self.word(control_word::CONTROL))
    }

    /// A control word.
    pub fn word(&self, word: u32) -> u64 {
        self.control.read(word as usize).unwrap_or(0)
    }

    /// Sets a control word.
    pub fn set_word(&self, word: u32, value: u64) {
        self.control.publish(word as usize, value);
    }

    /// The descriptor of a slot.
    pub fn slot(&self, slot: u32) -> Option<Slot> {
        self.policy.read(slot as usize)
    }

    /// Writes what destination ports lead to, for a slot that no packet is judged by; empty words: nowhere.
    pub fn write_ports(&self, slot: u32, words: &[u64]) {
        let lines = PORT_WORDS as usize / 8;
        let first = slot as usize % SLOTS as usize * lines;
        let mut chunks = words.as_chunks::<8>().0.iter();
        for at in first..first + lines {
            let words = chunks.next().copied().unwrap_or_default();
            self.ports.write(at, Line { words });
        }
    }

    /// Writes a generation into a slot that no packet is judged by, with what destination ports lead to
    /// ([`crate::domain::ports::PortTable`]). Nothing changes for packets until [`Self::flip`].
    ///
    /// # Errors
    /// [`WriteError`]; the slot is then of no use, and none of the others has changed.
    pub fn write_slot(&self, slot: u32, image: &Image, mut descriptor: Slot, ports: &[u64]) -> Result<(), WriteError> {
        self.write_ports(slot, ports);
        descriptor.layout = image.tables.layout;
        descriptor.layout.filter_v4 = self.free_filter(slot)?;
        for (at, word) in (descriptor.layout.filter_v4 as usize..).zip(&image.tables.filter) {
            self.filters.write(at, *word);
        }
        let lines = filled(TABLES, image.tables.lines.len(), &image.tables.lines)?;
        self.put(slot, TABLES, lines.0.as_fd())?;
        self.put_rows(slot, &image.rows, descriptor)
    }

    /// The first word of a filter that no slot but this one has.
    ///
    /// # Errors
    /// Where a slot cannot be read: its filter could be in force.
    fn free_filter(&self, slot: u32) -> Result<u32, WriteError> {
        let missing = || failed("read the filters of the slots")(io::Error::from(io::ErrorKind::NotFound));
        let mut others = [0; SLOTS as usize - 1];
        for (filter, other) in others.iter_mut().zip((0..SLOTS).filter(|other| *other != slot)) {
            *filter = self.slot(other).ok_or_else(missing)?.layout.filter_v4;
        }
        Ok(free_filter(&others))
    }

    /// Writes a generation that has the address tables of another slot, with rows of its own: lists were switched, none
    /// was changed.
    ///
    /// # Errors
    /// As [`Self::write_slot`].
    pub fn write_rows(
        &self,
        slot: u32,
        from: u32,
        rows: &[ClassRow],
        mut descriptor: Slot,
        ports: &[u64],
    ) -> Result<(), WriteError> {
        self.write_ports(slot, ports);
        let missing = || failed(format!("read the tables of slot {from}"))(io::Error::from(io::ErrorKind::NotFound));
        descriptor.layout = self.policy.read(from as usize).ok_or_else(missing)?.layout;
        let lines = self.inner(TABLES, from)?.ok_or_else(missing)?;
        self.put(slot, TABLES, lines.as_fd())?;
        self.put_rows(slot, rows, descriptor)
    }

    /// Class rows, and counters at zero behind them; then the descriptor, which says where both are.
    fn put_rows(&self, slot: u32, rows: &[ClassRow], mut descriptor: Slot) -> Result<(), WriteError> {
        let packed: Vec<Line> = rows
            .chunks(ROWS_EACH)
            .map(|rows| {
                let mut line = Line::default();
                for (place, row) in line.as_mut_bytes().chunks_mut(size_of::<ClassRow>()).zip(rows) {
                    place.copy_from_slice(row.as_bytes());
                }
                line
            })
            .collect();
        let stride = rows.len().div_ceil(HITS_EACH);
        for (near, row) in descriptor.near_rows.iter_mut().zip(rows) {
            *near = *row;
        }
        let near = slot as usize % SLOTS as usize;
        for cpu in 0..self.cpu_states.len() {
            let offset = offset_of!(CpuState, near_hits) + near * size_of_val(&NO_HITS);
            self.cpu_states.write_part(cpu, offset, NO_HITS);
        }
        descriptor.hits_stride = u32::try_from(stride).unwrap_or(u32::MAX);
        let (rows, _) = filled(CLASSES, packed.len(), &packed)?;
        self.put(slot, CLASSES, rows.as_fd())?;
        let (hits, mapped) = filled(CLASS_HITS, stride * self.cpus as usize, &[])?;
        self.put(slot, CLASS_HITS, hits.as_fd())?;
        self.keep_hits(slot, Some(mapped));
        self.policy.write(slot as usize, descriptor);
        Ok(())
    }

    /// Makes a slot the one in force: one store, and every packet from then on is judged by it.
    pub fn flip(&self, descriptor: Control) {
        self.control.publish(control_word::CONTROL as usize, descriptor.word());
    }

    /// Waits until no packet is judged by what was in force before, and frees a retired slot's tables.
    ///
    /// The kernel waits for a grace period when an element of an array of maps changes; that is the wait.
    ///
    /// # Errors
    /// The system call's.
    pub fn retire(&self, slot: u32) -> Result<(), WriteError> {
        // The counters stay readable through their mapping: they are folded after this.
        self.clear(slot, TABLES)
    }

    fn clear(&self, slot: u32, name: &'static str) -> Result<(), WriteError> {
        let outer = self.outer(name)?;
        sys::map_delete(outer, &slot.to_ne_bytes()).map_err(failed(format!("retire {name} of slot {slot}")))?;
        Ok(())
    }

    /// Packets and bytes of each class of a slot, summed over CPUs.
    pub fn class_hits(&self, slot: u32) -> Vec<(u64, u64)> {
        let all = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Some(lines)) = all.get(slot as usize) else { return Vec::new() };
        let near: Vec<[Tally; NEAR_CLASSES]> = (0..self.cpu_states.len())
            .filter_map(|cpu| self.cpu_states.read(cpu)?.near_hits.get(slot as usize).copied())
            .collect();
        let stride = lines.len() / self.cpus.max(1) as usize;
        let mut sums = vec![(0u64, 0u64); stride * HITS_EACH];
        for cpu in 0..self.cpus as usize {
            for (at, sums) in sums.chunks_mut(HITS_EACH).enumerate() {
                let line = lines.read(cpu * stride + at).unwrap_or_default();
                for (sum, tally) in sums.iter_mut().zip(line.words.as_chunks::<2>().0) {
                    sum.0 += tally[0];
                    sum.1 += tally[1];
                }
            }
        }
        for of_cpu in near {
            for (sum, tally) in sums.iter_mut().zip(of_cpu) {
                sum.0 += tally.packets;
                sum.1 += tally.bytes;
            }
        }
        sums
    }

    /// Carries out overlay writes, then tells the packets which maps hold anything. Values appear before their flag and
    /// go after it, so no packet misses one that stands.
    ///
    /// # Errors
    /// [`WriteError`] of the first write that failed; those before it are done.
    pub fn overlay(&self, ops: &[Op], flags: u64) -> Result<(), WriteError> {
        for op in ops {
            match op {
                Op::Set(key, value) => self.set_value(*key, value)?,
                Op::Remove(key, counter, _) => {
                    self.remove_value(*key)?;
                    self.clear_counter(*counter);
                }
            }
        }
        self.set_word(control_word::OVERLAY, flags);
        Ok(())
    }

    /// What every value has counted, by the list that decides it first.
    ///
    /// # Errors
    /// The system call's.
    pub fn overlay_totals(&self) -> Result<Vec<(u16, Tally)>, WriteError> {
        let mut values = all_values(&self.exact_v4)?;
        values.extend(all_values(&self.exact_v6)?);
        for table in [&self.allow_v4, &self.deny_v4] {
            values.extend(all_values(table)?);
        }
        for table in [&self.allow_v6, &self.deny_v6] {
            values.extend(all_values(table)?);
        }
        let stride = self.overlay_hits.len() / self.cpus.max(1) as usize;
        let mut totals = Vec::new();
        for value in values {
            let [first, ..] = value.segments;
            let list = if first.enforced.is_none() { first.observed.list() } else { first.enforced.list() };
            let mut sum = Tally::default();
            for cpu in 0..self.cpus as usize {
                let tally = self.overlay_hits.read(cpu * stride + value.counter as usize).unwrap_or_default();
                sum.packets += tally.packets;
                sum.bytes += tally.bytes;
            }
            totals.push((list, sum));
        }
        Ok(totals)
    }

    /// Has the tables of a slot that no packet is judged by answer for themselves, whatever the overlay holds: an earlier
    /// daemon may have lifted addresses for tables of its own in the slot.
    ///
    /// # Errors
    /// The system call's.
    pub fn clear_lifts(&self, slot: u32) -> Result<(), WriteError> {
        unlift(&self.exact_v4, slot)?;
        unlift(&self.exact_v6, slot)
    }

    /// Removes every value, whatever it is: for a start from the store.
    ///
    /// # Errors
    /// The system call's.
    pub fn clear_overlay(&self) -> Result<(), WriteError> {
        self.set_word(control_word::OVERLAY, 0);
        empty(&self.exact_v4)?;
        empty(&self.exact_v6)?;
        empty(&self.allow_v4)?;
        empty(&self.deny_v4)?;
        empty(&self.allow_v6)?;
        empty(&self.deny_v6)?;
        for counter in 0..self.overlay_hits.len() {
            self.overlay_hits.write(counter, Tally::default());
        }
        Ok(())
    }

    /// Removes offenders that were not seen for `idle`; where more than half of the room is taken, also those that were not
    /// for `crowded` and whose buckets have filled up again. Says how many.
    ///
    /// # Errors
    /// The system call's.
    pub fn sweep_offenders(&self, now: MonotonicNs, idle: Duration, crowded: Duration) -> Result<usize, WriteError> {
        let nanoseconds = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let capacity = self.offenders.capacity().map_err(failed("read the room for offenders"))? as usize;
        let all = self.offenders.entries().map_err(failed("read the offenders"))?;
        let is_crowded = all.len() > capacity / 2;
        let mut swept = 0;
        for (key, offender) in all {
            let unseen = now.0.saturating_sub(offender.buckets.seen_ns);
            let is_full = offender.buckets.tat.iter().all(|tat| *tat <= rate::ticks(now.0));
            let is_over = unseen >= nanoseconds(idle) || is_crowded && is_full && unseen >= nanoseconds(crowded);
            if is_over && self.offenders.remove(&key).map_err(failed("remove an offender"))? {
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn clear_counter(&self, counter: u32) {
        let stride = self.overlay_hits.len() / self.cpus.max(1) as usize;
        for cpu in 0..self.cpus as usize {
            self.overlay_hits.write(cpu * stride + counter as usize, Tally::default());
        }
    }

    fn set_value(&self, key: Key, value: &OverlayValue) -> Result<(), WriteError> {
        let done = match key {
            Key::Address(std::net::IpAddr::V4(a)) => self.exact_v4.set(&a.octets(), value),
            Key::Address(std::net::IpAddr::V6(a)) => self.exact_v6.set(&a.octets(), value),
            Key::Prefix(kind, IpNet::V4(net)) => self.v4(kind).set(&prefix_v4(net), value),
            Key::Prefix(kind, IpNet::V6(net)) => self.v6(kind).set(&prefix_v6(net), value),
        };
        done.map_err(failed(format!("put {key:?} into the overlay")))
    }

    fn remove_value(&self, key: Key) -> Result<(), WriteError> {
        let done = match key {
            Key::Address(std::net::IpAddr::V4(a)) => self.exact_v4.remove(&a.octets()),
            Key::Address(std::net::IpAddr::V6(a)) => self.exact_v6.remove(&a.octets()),
            Key::Prefix(kind, IpNet::V4(net)) => self.v4(kind).remove(&prefix_v4(net)),
            Key::Prefix(kind, IpNet::V6(net)) => self.v6(kind).remove(&prefix_v6(net)),
        };
        done.map(drop).map_err(failed(format!("take {key:?} out of the overlay")))
    }

    fn v4(&self, kind: Kind) -> &Table<PrefixV4, OverlayValue> {
        match kind {
            Kind::Allow => &self.allow_v4,
            Kind::Deny => &self.deny_v4,
        }
    }

    fn v6(&self, kind: Kind) -> &Table<PrefixV6, OverlayValue> {
        match kind {
            Kind::Allow => &self.allow_v6,
            Kind::Deny => &self.deny_v6,
        }
    }

    fn outer(&self, name: &str) -> Result<BorrowedFd<'_>, WriteError> {
        let found = self.outer.iter().find(|(outer, _)| *outer == name);
        found
            .map(|(_, fd)| fd.as_fd())
            .ok_or_else(|| failed(format!("open map {name}"))(io::Error::from(io::ErrorKind::NotFound)))
    }

    fn put(&self, slot: u32, name: &'static str, inner: BorrowedFd<'_>) -> Result<(), WriteError> {
        let value = inner.as_raw_fd().to_ne_bytes();
        sys::map_update(self.outer(name)?, &slot.to_ne_bytes(), &value, 0)
            .map_err(failed(format!("put {name} into slot {slot}")))
    }

    /// The inner map of a slot, if it has one.
    fn inner(&self, name: &str, slot: u32) -> Result<Option<OwnedFd>, WriteError> {
        let what = || format!("open {name} of slot {slot}");
        let mut id = [0; 4];
        let found = sys::map_lookup(self.outer(name)?, &slot.to_ne_bytes(), &mut id).map_err(failed(what()))?;
        if !found {
            return Ok(None);
        }
        sys::map_by_id(u32::from_ne_bytes(id)).map(Some).map_err(failed(what()))
    }

    fn keep_hits(&self, slot: u32, hits: Option<Mapped<Line>>) {
        let mut all = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.get_mut(slot as usize) {
            *place = hits;
        }
    }
}

/// A new inner map of so many lines, the first of them filled.
fn filled(name: &str, len: usize, lines: &[Line]) -> Result<(OwnedFd, Mapped<Line>), WriteError> {
    let entries = u32::try_from(len.max(1)).unwrap_or(u32::MAX);
    let value = u32::try_from(size_of::<Line>()).unwrap_or(u32::MAX);
    let inner = sys::inner_array_create(name, value, entries)
        .map_err(failed(format!("create {name} for {entries} entries")))?;
    let mapped = Mapped::new(inner.as_fd()).map_err(failed(format!("map {name}")))?;
    for (at, line) in lines.iter().enumerate() {
        mapped.write(at, *line);
    }
    Ok((inner, mapped))
}

fn table<K, V>(fd: OwnedFd) -> Result<Table<K, V>, WriteError>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
    V: FromBytes + IntoBytes + Immutable + Copy,
{
    Table::new(fd).map_err(failed("open a map"))
}

fn all_values<K>(table: &Table<K, OverlayValue>) -> Result<Vec<OverlayValue>, WriteError>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
{
    let keys = table.keys().map_err(failed("read the overlay"))?;
    keys.iter()
        .filter_map(|key| table.get(key).transpose())
        .collect::<io::Result<_>>()
        .map_err(failed("read the overlay"))
}

fn unlift<K>(table: &Table<K, OverlayValue>, slot: u32) -> Result<(), WriteError>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
{
    let bit = OVERLAY_LIFT << slot;
    for (key, mut value) in table.entries().map_err(failed("read the overlay"))? {
        if value.flags & bit != 0 {
            value.flags &= !bit;
            table.set(&key, &value).map_err(failed("change the overlay"))?;
        }
    }
    Ok(())
}

fn empty<K>(table: &Table<K, OverlayValue>) -> Result<(), WriteError>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
{
    for key in table.keys().map_err(failed("read the overlay"))? {
        table.remove(&key).map_err(failed("empty the overlay"))?;
    }
    Ok(())
}

fn prefix_v4(net: ipnet::Ipv4Net) -> PrefixV4 {
    PrefixV4 { prefix_len: u32::from(net.prefix_len()), address: net.network().octets() }
}

fn prefix_v6(net: ipnet::Ipv6Net) -> PrefixV6 {
    PrefixV6 { prefix_len: u32::from(net.prefix_len()), address: net.network().octets() }
}
