//! From what is desired to what the kernel's tables hold: a pure, deterministic function.
mod classes;
mod flatten;
mod forecast;
pub mod layout;

use std::collections::BTreeMap;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use weir_common::abi::{ClassRow, FILTER_WORDS, RUN_STEPS, SLOTS};

pub use self::classes::{Class, MAX_CLASSES, Member, Standing};
pub use self::forecast::{Forecast, More, OneChange};
use self::layout::{LayoutError, Tables};
use super::desired::Desired;
use super::guard::Guards;

/// The tables of one generation, ready to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The address tables.
    pub tables: Tables,
    /// Class rows; 0 is the class of the unlisted.
    pub rows: Vec<ClassRow>,
    /// The lists each class stands for.
    pub classes: Vec<Class>,
    /// How large they are.
    pub sizes: Sizes,
    /// Whether new rows are enough when a list is switched: the classes keep apart whatever lists keep apart.
    pub is_switchable: bool,
}

/// How large the tables of a generation are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Single addresses, IPv4 and IPv6.
    pub addresses: [usize; 2],
    /// Prefixes, IPv4 and IPv6.
    pub prefixes: [usize; 2],
    /// Classes.
    pub classes: usize,
    /// Kernel memory of address tables and class rows, in bytes; class counters come to 16 for each class and CPU.
    pub bytes: u64,
}

impl Sizes {
    /// Addresses and prefixes that the tables tell apart.
    pub fn entries(&self) -> usize {
        self.addresses.iter().chain(&self.prefixes).sum()
    }

    /// Whether tables of this size may be: of `desired`, the error names the lists.
    ///
    /// # Errors
    /// [`BuildError::Full`], [`BuildError::TooLarge`].
    pub fn check(&self, desired: &Desired, capacity: Capacity) -> Result<(), BuildError> {
        let ([v4, v6], [nets_v4, nets_v6]) = (self.addresses, self.prefixes);
        for (what, wanted, fit, setting) in [
            ("IPv4 addresses", v4, capacity.addresses, "max_addresses"),
            ("IPv6 addresses", v6, capacity.addresses, "max_addresses"),
            ("IPv4 prefixes", nets_v4, capacity.prefixes, "max_prefixes"),
            ("IPv6 prefixes", nets_v6, capacity.prefixes, "max_prefixes"),
        ] {
            if wanted > fit {
                let (over, lists) = (wanted - fit, largest_lists(desired));
                return Err(BuildError::Full { what, wanted, fit, over, lists, setting });
            }
        }
        if self.bytes > capacity.bytes {
            return Err(BuildError::TooLarge {
                wanted: self.bytes,
                fit: capacity.bytes,
                lists: largest_lists(desired),
            });
        }
        Ok(())
    }
}

/// How much the tables may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Single addresses per family.
    pub addresses: usize,
    /// Prefixes per family.
    pub prefixes: usize,
    /// Kernel memory of one generation's tables, in bytes. Filters are not among it: room for them is there from the start.
    pub bytes: u64,
}

impl Capacity {
    /// Whether less fits than into another, of anything.
    pub fn is_below(self, other: Self) -> bool {
        self.addresses < other.addresses || self.prefixes < other.prefixes || self.bytes < other.bytes
    }

    /// What fits into both.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            addresses: self.addresses.min(other.addresses),
            prefixes: self.prefixes.min(other.prefixes),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

/// Why no tables can be made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Too many entries.
    #[error(
        "{over} {what} do not fit: {wanted} wanted, {fit} fit ({lists}); nothing was changed; raise `[state] {setting}` \
         or drop a list"
    )]
    Full {
        /// What is too many.
        what: &'static str,
        /// How many are wanted.
        wanted: usize,
        /// How many fit.
        fit: usize,
        /// How many do not.
        over: usize,
        /// The largest lists behind them.
        lists: String,
        /// The setting that holds the ceiling.
        setting: &'static str,
    },
    /// Too much memory.
    #[error(
        "the tables would take {wanted} bytes of kernel memory and may take {fit} ({lists}); nothing was changed; raise \
         `[state] max_table_mib` or drop a list"
    )]
    TooLarge {
        /// Bytes they would take.
        wanted: u64,
        /// Bytes they may take.
        fit: u64,
        /// The largest lists behind them.
        lists: String,
    },
    /// Too many combinations of lists: those that are in the most of them, with in how many.
    #[error(
        "the lists overlap in more than {MAX_CLASSES} different ways; nothing was changed; merge or drop some of: {0}"
    )]
    TooManyClasses(String),
    /// Too many entries that end one after the other over one address.
    #[error(
        "{prefix} is covered by {ends} entries that end one after the other; the kernel follows {}; nothing was \
         changed; remove some of them",
        RUN_STEPS
    )]
    TooManyEnds {
        /// The prefix.
        prefix: IpNet,
        /// The ends it has.
        ends: usize,
    },
    /// The tables cannot be laid out.
    #[error("{0}; nothing was changed; drop a list")]
    Layout(#[from] LayoutError),
}

fn bytes(tables: &Tables, rows: usize) -> u64 {
    let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    count(size_of_val(&*tables.lines)).saturating_add(count(rows * size_of::<ClassRow>()))
}

/// Makes the tables. `key` keys their hashes: who does not know it cannot aim at a line.
///
/// An address's value is complete: its class is the set of all lists that cover it, so the kernel needs one answer only.
///
/// # Errors
/// [`BuildError`]; nothing has changed then.
pub fn build(
    desired: &Desired,
    guards: &Guards,
    capacity: Capacity,
    now_s: u32,
    key: [u64; 2],
) -> Result<Image, BuildError> {
    let flat = flatten::flatten(desired, guards, now_s)?;
    let (addresses, prefixes, classes) = (flat.addresses, flat.prefixes, flat.classes.len());
    let mut sizes = Sizes { addresses, prefixes, classes, bytes: 0 };
    // Before anything is laid out.
    sizes.check(desired, capacity)?;
    let tables = layout::lay_out(&flat.values, key)?;
    drop(flat.values);
    sizes.bytes = bytes(&tables, flat.classes.len());
    sizes.check(desired, capacity)?;
    let rows = rows(&flat.classes, desired);
    Ok(Image { tables, rows, classes: flat.classes, sizes, is_switchable: !flat.is_merged })
}

/// The rows of classes, as the lists stand.
pub fn rows(classes: &[Class], desired: &Desired) -> Vec<ClassRow> {
    let standing = Standing::of(desired);
    classes.iter().map(|class| standing.row(class)).collect()
}

/// Keys for one generation's hashes, from the secret of this boot.
pub fn generation_key(secret: u64, generation: u64) -> [u64; 2] {
    let mut hash = Sha256::new();
    hash.update(secret.to_le_bytes());
    hash.update(generation.to_le_bytes());
    let digest = hash.finalize();
    let mut key = [0; 2];
    for (word, bytes) in key.iter_mut().zip(digest.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    key
}

/// The largest lists with their sizes, for an error a person can act upon.
fn largest_lists(desired: &Desired) -> String {
    let mut lists: Vec<_> = desired.lists().map(|list| (list.len(), &list.name)).collect();
    lists.sort_by(|a, b| b.cmp(a));
    let named: Vec<String> = lists.iter().take(3).map(|(len, name)| format!("{name}: {len}")).collect();
    named.join(", ")
}

/// Packets and bytes of each list, from a generation's class counters.
pub fn attribute(classes: &[Class], hits: &[(u64, u64)]) -> BTreeMap<u16, (u64, u64)> {
    let mut totals: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    for (class, (packets, bytes)) in classes.iter().zip(hits) {
        for list in class.lists() {
            let total = totals.entry(list).or_default();
            total.0 += packets;
            total.1 += bytes;
        }
    }
    totals
}

/// The first word of a filter that none of the other slots has: there are as many as slots, so one always is free.
pub fn free_filter(others: &[u32; SLOTS as usize - 1]) -> u32 {
    let mut filter = 0;
    while others.contains(&filter) {
        filter += FILTER_WORDS;
    }
    filter
}

#[cfg(test)]
mod tests;
