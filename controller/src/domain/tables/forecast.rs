//! What the next build comes to at most, known without one: so much is added live, and all of it must fit.
use std::ops::AddAssign;

use ipnet::IpNet;
use weir_common::abi::RUN_STEPS;

use super::classes::MAX_CLASSES;
use super::{Capacity, Sizes};
use crate::domain::desired::Desired;
use crate::domain::guard::Guards;

/// Bytes that one more entry takes at most: half a group of IPv6 that no longer says what its background says, a word
/// and a line for each chunk; two chunks with more lines, a /64 that is looked into, and a class.
const BYTES_AT_MOST: u64 = 32 * (8 + 64) + 512;

/// Bytes of the tables that have a size of their own: chunks of both families, the least quotient table.
const BYTES_ALWAYS: u64 = 8 << 20;

/// Members that one list's entries can be to a class: enforced, observed, by force.
const KINDS_OF_ENTRY: usize = 3;

/// One change of what is desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneChange {
    /// What its entry names.
    pub prefix: IpNet,
    /// Place of its list in the order of origins; `None`: entries of several lists go at once.
    pub rank: Option<u16>,
    /// Whether its list has had nothing on the prefix before.
    pub is_new: bool,
    /// Moments at which entries end that are not among what is desired yet.
    pub ends: usize,
}

/// What changes add to the tables, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Addresses and prefixes.
    pub entries: usize,
    /// Classes.
    pub classes: usize,
}

impl AddAssign for More {
    fn add_assign(&mut self, more: Self) {
        self.entries = self.entries.saturating_add(more.entries);
        self.classes = self.classes.saturating_add(more.classes);
    }
}

/// The tables that are in force or were tried, and what has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    tables: Sizes,
    more: More,
}

/// What the next build comes to at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    in_force: Known,
    /// A build that was tried tells more, as long as everything it was of stays.
    tried: Option<Known>,
    /// What has changed since the build began that runs.
    meanwhile: More,
}

impl Forecast {
    /// Of tables that hold all that is desired.
    pub fn new(tables: Sizes) -> Self {
        Self { in_force: Known { tables, more: More::default() }, tried: None, meanwhile: More::default() }
    }

    /// A build of all that is desired begins.
    pub fn begins(&mut self) {
        self.meanwhile = More::default();
    }

    /// The build that ran is in force.
    pub fn built(&mut self, tables: Sizes) {
        (self.in_force, self.tried) = (Known { tables, more: self.meanwhile }, None);
    }

    /// All that is desired was tried, and comes to this.
    pub fn tried(&mut self, tables: Sizes) {
        self.tried = Some(Known { tables, more: More::default() });
    }

    /// A change that waited for a build went back.
    pub fn undone(&mut self) {
        self.tried = None;
    }

    /// A change was made.
    pub fn changed(&mut self, more: More) {
        self.in_force.more += more;
        self.meanwhile += more;
        if let Some(tried) = &mut self.tried {
            tried.more += more;
        }
    }

    fn known(&self) -> Known {
        self.tried.unwrap_or(self.in_force)
    }

    /// Classes of the next build, at most.
    pub fn classes(&self) -> usize {
        let Known { tables, more } = self.known();
        tables.classes.saturating_add(more.classes)
    }

    /// What a change adds at most. What is `desired` may have it already or not yet; `is_switchable`: the classes keep
    /// apart whatever lists keep apart.
    pub fn of(&self, desired: &Desired, guards: &Guards, change: OneChange, is_switchable: bool) -> More {
        let OneChange { prefix, rank, is_new, ends } = change;
        // Each class that covers an address of the prefix becomes another, and which one depends on the place that the
        // entry has among those of its rank, which are in the order of their lengths. An entry that goes or becomes
        // another leaves a place as well.
        let peers = 1 + desired.lists().filter(|list| Some(list.origin.rank(list.kind)) == rank).count();
        let places = peers.saturating_mul(KINDS_OF_ENTRY).saturating_add(1);
        let places = if is_new { places } else { places.saturating_mul(places + 1) };
        let by_class = if is_switchable && rank.is_some() { self.classes().saturating_mul(places) } else { usize::MAX };
        // And no more become others than there are values inside of it: its own, and one for each prefix that is
        // listed there. A value is one class after the other, as what covers it ends.
        let steps = RUN_STEPS as usize;
        let inside = |enough| desired.inside(prefix, enough).saturating_add(guards.inside(prefix, enough));
        let values = 1usize.saturating_add(inside(by_class.min(MAX_CLASSES)));
        let after_each_other = 1 + desired.ends_within(prefix, steps).saturating_add(ends).min(steps);
        More { entries: 1, classes: values.saturating_mul(after_each_other).min(by_class) }
    }

    /// Whether the next build surely has room for more. Where this says no, only [`super::build`] can tell.
    pub fn surely_fits(&self, more: More, capacity: Capacity) -> bool {
        let mut known = self.known();
        known.more += more;
        let Known { tables, more: More { entries, classes } } = known;
        let bytes = u64::try_from(entries).unwrap_or(u64::MAX).saturating_mul(BYTES_AT_MOST);
        tables.classes.saturating_add(classes) <= MAX_CLASSES
            && tables.addresses.iter().all(|addresses| addresses.saturating_add(entries) <= capacity.addresses)
            && tables.prefixes.iter().all(|prefixes| prefixes.saturating_add(entries) <= capacity.prefixes)
            && tables.bytes.saturating_add(bytes).saturating_add(BYTES_ALWAYS) <= capacity.bytes
    }
}
