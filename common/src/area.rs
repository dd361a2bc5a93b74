//! Maps of one element whose address stands in the program.
//!
//! A look-up in an array is a dozen instructions, the address of a map's only element is one. The program has a mark in
//! place of each address; whoever loads it makes the maps, and puts them where the marks are.
use crate::abi::{Buckets, FILTER_WORDS, PORT_LIMITS, PORT_WORDS, SLOTS, Slot, control_word};

/// A map of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The map's name.
    pub name: &'static str,
    /// Bytes of its element.
    pub bytes: usize,
    /// The number in the program in place of its address.
    pub mark: u64,
}

impl Area {
    /// An area of `T`s, one behind the other.
    const fn of<T>(name: &'static str, number: u64, count: usize) -> Self {
        // No address, and no number that the program has for another reason.
        Self { name, bytes: size_of::<T>() * count, mark: 0x5765_6972_a12e_a000 + number }
    }
}

/// The control words.
pub const CONTROL: Area = Area::of::<u64>("CONTROL", 0, control_word::COUNT);
/// The policy slots.
pub const POLICY: Area = Area::of::<Slot>("POLICY", 1, SLOTS as usize);
/// The filters before the address tables, one for each slot; which one a slot has, its layout says.
pub const FILTERS: Area = Area::of::<u64>("FILTERS", 2, (SLOTS * FILTER_WORDS) as usize);
/// The byte of each destination port, slot by slot.
pub const PORTS: Area = Area::of::<u64>("PORTS", 3, (SLOTS * PORT_WORDS) as usize);
/// The buckets for everything, then those of the limits of ports.
pub const SHARED: Area = Area::of::<Buckets>("SHARED", 4, PORT_LIMITS + 1);

/// All of them.
pub const ALL: [Area; 5] = [CONTROL, POLICY, FILTERS, PORTS, SHARED];
