//! What the sync task knows and everybody else may read.
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use jiff::Timestamp;
use weir_common::abi::SLOTS;

use crate::adapters::kernel::link::Mode;
use crate::adapters::kernel::reader::KernelReader;
use crate::adapters::kernel::writer::KernelWriter;
use crate::detected::Detected;
use crate::domain::decision::Enforcement;
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;
use crate::domain::overlay::{Overlay, SlotView};
use crate::domain::tables::{Capacity, Class, Forecast, More, OneChange, Sizes};
use crate::domain::time::BootSeconds;
use crate::followed::Followed;

use super::settings::Settings;
use super::trail::Trail;

/// A settings change that is undone at its deadline.
#[derive(Clone, Debug)]
pub struct Pending {
    /// When the kernel undoes it.
    pub deadline: BootSeconds,
    /// The same on the wall clock.
    pub deadline_wall: Timestamp,
    /// The settings it falls back to.
    pub fallback: Arc<Settings>,
    /// The slot it falls back to.
    pub slot: SlotView,
}

/// An interface, as weir has it attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// The index it is attached to.
    pub index: Option<u32>,
    /// How.
    pub mode: Option<Mode>,
}

/// Packets and bytes by list.
pub type ListTotals = BTreeMap<u16, (u64, u64)>;

/// Everything in force, and what is on its way.
#[derive(Debug)]
pub struct State {
    /// What should be in force.
    pub desired: Desired,
    /// Whom no decision may cut off.
    pub guards: Guards,
    /// What is live beside the tables.
    pub overlay: Overlay,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The last settings in force that were not on trial: what is followed agrees with them.
    pub settled: Arc<Settings>,
    /// Overrides the settings' enforcement, by `weir enforcement`.
    pub enforcement: Option<Enforcement>,
    /// A change that waits for its confirmation.
    pub pending: Option<Pending>,
    /// The policy's number.
    pub generation: u64,
    /// The slot in force.
    pub current: SlotView,
    /// The slot being built.
    pub building: Option<SlotView>,
    /// Number of the last change.
    pub sequence: u64,
    /// Packets and bytes by list, up to the slot in force.
    pub totals: ListTotals,
    /// The lists each class of a slot stands for.
    pub classes: [Arc<Vec<Class>>; SLOTS as usize],
    /// Interfaces.
    pub interfaces: Vec<InterfaceState>,
    /// What is wrong, by the part it is wrong with.
    pub problems: BTreeMap<String, String>,
    /// How large the tables in force are.
    pub tables: Sizes,
    /// What the tables come to at most once what is live is folded into them.
    pub forecast: Forecast,
    /// Whether new rows are enough when a list is switched.
    pub is_switchable: bool,
    /// Keys that fit into the overlay.
    pub overlay_room: u64,
    /// Sources that can have an exact bucket at once.
    pub offender_room: u64,
}

impl State {
    /// The enforcement in force.
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement.unwrap_or(self.settings.enforcement)
    }

    /// How much the tables may hold: what is added must fit whichever settings stay.
    pub fn capacity(&self) -> Capacity {
        let fallback = self.pending.as_ref().map_or(&self.settled, |pending| &pending.fallback);
        self.settings.capacity.min(self.settled.capacity).min(fallback.capacity)
    }

    /// What a change adds to the tables, at most.
    pub(super) fn more(&self, change: OneChange) -> More {
        self.forecast.of(&self.desired, &self.guards, change, self.is_switchable)
    }

    /// The slots a packet may be judged by, the one in force first.
    pub fn slots(&self) -> Vec<SlotView> {
        let fallback = self.pending.as_ref().map(|pending| &pending.slot);
        [Some(&self.current), self.building.as_ref(), fallback].into_iter().flatten().cloned().collect()
    }
}

/// The state behind its lock, and the kernel's counters beside it.
///
/// Only the sync task writes, and only for as long as it takes to change values in memory.
#[derive(Clone, Debug)]
pub struct Shared {
    state: Arc<RwLock<State>>,
    /// The kernel's counters.
    pub reader: Arc<KernelReader>,
    writer: Arc<KernelWriter>,
    /// What is known of what is followed.
    pub followed: Arc<Followed>,
    /// What is known of detection.
    pub detected: Arc<Detected>,
    /// The latest changes.
    pub trail: Arc<Trail>,
    /// When the daemon started.
    pub started: Instant,
}

impl Shared {
    /// The state, shared.
    pub fn new(state: State, reader: Arc<KernelReader>, writer: Arc<KernelWriter>, followed: Arc<Followed>) -> Self {
        let (detected, trail) = (Arc::default(), Arc::default());
        Self { state: Arc::new(RwLock::new(state)), reader, writer, followed, detected, trail, started: Instant::now() }
    }

    /// Packets and bytes of each class of a slot.
    pub fn class_hits(&self, slot: usize) -> Vec<(u64, u64)> {
        self.writer.class_hits(u32::try_from(slot).unwrap_or(u32::MAX))
    }

    /// The state, to read.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        // A poisoned lock means that a reader or the writer panicked; the values are still whole, because every change is
        // made by assignments of finished values.
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The state, to change: the sync task's alone.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
