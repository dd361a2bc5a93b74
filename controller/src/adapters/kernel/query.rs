//! One question to the kernel's own tables, answered by the same code that judges packets.
use std::cell::{Cell, OnceCell};
use std::io;
use std::ops::DerefMut;
use std::os::fd::{AsFd as _, OwnedFd};

use weir_common::abi::{
    ClassRow, CpuState, Line, NetworkSet, OffenderKey, OverlayValue, PrefixV4, PrefixV6, Sample, Slot, SourceSet,
};
use weir_common::addr::Source;
use weir_common::judge::{Classification, classify, slot_in_force};
use weir_common::tables::{Asked, Buckets, Fault, Tables};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::map::{Mapped, Table};
use super::sys;
use crate::domain::time::BootSeconds;

/// The kernel's policy, opened for questions.
#[derive(Debug)]
pub struct KernelPolicy {
    control: Mapped<u64>,
    policy: Mapped<Slot>,
    tables: OwnedFd,
    filters: Mapped<u64>,
    classes: OwnedFd,
    overlay: [OwnedFd; 6],
}

const OVERLAY: [&str; 6] =
    ["OVERLAY_V4", "OVERLAY_V6", "OVERLAY_ALLOW_V4", "OVERLAY_ALLOW_V6", "OVERLAY_DENY_V4", "OVERLAY_DENY_V6"];

impl KernelPolicy {
    /// Opens the maps found by `open`.
    ///
    /// # Errors
    /// The opening's or the mapping's.
    pub fn new(open: impl Fn(&str) -> io::Result<OwnedFd>) -> io::Result<Self> {
        let all = |names: [&str; 6]| -> io::Result<[OwnedFd; 6]> {
            let fds: Vec<OwnedFd> = names.iter().map(|name| open(name)).collect::<io::Result<_>>()?;
            fds.try_into().map_err(|fds: Vec<OwnedFd>| io::Error::other(format!("{} maps of 6", fds.len())))
        };
        Ok(Self {
            control: Mapped::new(open("CONTROL")?.as_fd())?,
            policy: Mapped::new(open("POLICY")?.as_fd())?,
            tables: open("TABLES")?,
            filters: Mapped::new(open("FILTERS")?.as_fd())?,
            classes: open("CLASSES")?,
            overlay: all(OVERLAY)?,
        })
    }

    /// What the tables and the overlay in force say of a source, and whether drops are only observed.
    ///
    /// # Errors
    /// [`Fault`] where a table that should be there is not.
    pub fn classify(&self, source: Source, now: BootSeconds) -> Result<(Classification, Slot), Fault> {
        let question = Question {
            policy: self,
            now,
            slots: Default::default(),
            lines: vec![OnceCell::new(); LINES],
            read: Cell::new(0),
            row: OnceCell::new(),
            values: Default::default(),
        };
        let (index, slot) = slot_in_force(&question).ok_or(Fault)?;
        let slot = *slot;
        Ok((classify(&question, index, &slot, source)?, slot))
    }
}

/// Lines that the longest look-up reads, and more.
const LINES: usize = 128;

/// One question; what it read stays until it is answered.
struct Question<'a> {
    policy: &'a KernelPolicy,
    now: BootSeconds,
    slots: [OnceCell<Slot>; weir_common::abi::SLOTS as usize],
    lines: Vec<OnceCell<Line>>,
    read: Cell<usize>,
    row: OnceCell<ClassRow>,
    values: [OnceCell<Option<OverlayValue>>; 3],
}

impl Question<'_> {
    fn inner(outer: &OwnedFd, slot: u32) -> Option<OwnedFd> {
        let mut id = [0; 4];
        match sys::map_lookup(outer.as_fd(), &slot.to_ne_bytes(), &mut id) {
            Ok(true) => sys::map_by_id(u32::from_ne_bytes(id)).ok(),
            _ => None,
        }
    }

    fn overlay(&self, place: usize, v4: usize, source: Source, exact: bool) -> Option<&OverlayValue> {
        let value = self.values.get(place)?.get_or_init(|| {
            let at = v4 + usize::from(matches!(source, Source::V6(_)));
            let map = self.policy.overlay.get(at)?.try_clone().ok()?;
            let found = match (source, exact) {
                (Source::V4(address), true) => get(map, &address),
                (Source::V6(address), true) => get(map, &address),
                (Source::V4(address), false) => get(map, &PrefixV4 { prefix_len: 32, address }),
                (Source::V6(address), false) => get(map, &PrefixV6 { prefix_len: 128, address }),
            };
            found.ok().flatten()
        });
        value.as_ref()
    }
}

fn get<K, V>(map: OwnedFd, key: &K) -> Result<Option<V>, Fault>
where
    K: FromBytes + IntoBytes + Immutable + Copy,
    V: FromBytes + IntoBytes + Immutable + Copy,
{
    Table::<K, V>::new(map).and_then(|table| table.get(key)).or(Err(Fault))
}

/// No packet, no buckets.
struct NoBuckets;

impl Buckets for NoBuckets {
    fn tat(&self, _: usize) -> u64 {
        0
    }
    fn set_tat(&self, _: usize, _: u64) {}
    fn add_tat(&self, _: usize, _: u64) {}
    fn count_passed(&self, _: u64) {}
    fn count_refused(&self, _: usize, _: u64) {}
}

impl Tables for Question<'_> {
    type Buckets = NoBuckets;
    type Lines = u32;

    fn control(&self, word: u32) -> Option<u64> {
        self.policy.control.read(word as usize)
    }
    fn slot(&self, slot: u32) -> Option<&Slot> {
        let cell = self.slots.get(slot as usize)?;
        if cell.get().is_none() {
            let slot = self.policy.policy.read(slot as usize)?;
            return Some(cell.get_or_init(|| slot));
        }
        cell.get()
    }
    fn lines(&self, slot: u32) -> Option<u32> {
        Some(slot)
    }

    fn line(&self, slot: u32, index: u32) -> Option<&Line> {
        let line: Line = get(Self::inner(&self.policy.tables, slot)?, &index).ok().flatten()?;
        let at = self.read.replace(self.read.get() + 1);
        Some(self.lines.get(at)?.get_or_init(|| line))
    }
    fn filter_word(&self, word: u32) -> Option<u64> {
        self.policy.filters.read(word as usize)
    }
    fn far_row(&self, slot: u32, class: u32) -> Option<&ClassRow> {
        let line: Line = get(Self::inner(&self.policy.classes, slot)?, &(class >> 1)).ok().flatten()?;
        let half = line.as_bytes().chunks(size_of::<ClassRow>()).nth((class & 1) as usize)?;
        let row = ClassRow::read_from_bytes(half).ok()?;
        Some(self.row.get_or_init(|| row))
    }
    fn overlay_exact(&self, source: Source) -> Option<&OverlayValue> {
        self.overlay(0, 0, source, true)
    }
    fn overlay_allow(&self, source: Source) -> Option<&OverlayValue> {
        self.overlay(1, 2, source, false)
    }
    fn overlay_deny(&self, source: Source) -> Option<&OverlayValue> {
        self.overlay(2, 4, source, false)
    }
    fn boot_seconds(&self) -> u64 {
        self.now.0
    }
    fn monotonic_ns(&self) -> u64 {
        0
    }
    fn with_cpu<R>(&self, _: impl FnOnce(&mut CpuState) -> R) -> Option<R> {
        None
    }
    fn sources(&self, _: u32) -> Option<impl DerefMut<Target = SourceSet>> {
        None::<&mut SourceSet>
    }
    fn count_far_class(&self, _: &Slot, _: u32, _: u32, _: u64) {}
    fn count_overlay(&self, _: u32, _: u64) {}
    fn networks(&self, _: u32) -> Option<impl DerefMut<Target = NetworkSet>> {
        None::<&mut NetworkSet>
    }
    fn flows(&self, _: u32) -> Option<impl DerefMut<Target = Line>> {
        None::<&mut Line>
    }
    fn fragment(&self, _: u32) -> u64 {
        0
    }
    fn set_fragment(&self, _: u32, _: u64) {}
    fn offender(&self, _: &OffenderKey) -> Option<NoBuckets> {
        None
    }
    fn insert_offender(&self, _: &OffenderKey, _: u64) -> bool {
        false
    }
    fn shared_buckets(&self, _: u32) -> Option<NoBuckets> {
        None
    }
    fn asked(&self, _: Source, _: Source, _: u32, _: u32) -> Asked {
        Asked::Nobody
    }
    fn port_row(&self, _: u32, _: bool, _: u32) -> u32 {
        0
    }
    fn interface(&self) -> u32 {
        0
    }
    fn emit(&self, _: impl FnOnce(&mut Sample)) -> bool {
        false
    }
}
