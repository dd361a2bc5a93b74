//! From what is desired to what the kernel's tables hold: a pure, deterministic function.
mod classes;
mod flatten;
pub mod layout;

use std::collections::BTreeMap;

use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use weir_common::abi::{ClassRow, FILTERS_WORDS, RUN_STEPS, SLOTS};

pub use self::classes::{Class, MAX_CLASSES, Member, Standing};
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

    /// Whether tables with so many more entries fit for sure. Where this says no, only [`build`] can tell.
    pub fn surely_fit(&self, more: More, capacity: Capacity) -> bool {
        let count = more.addresses + more.prefixes;
        let bytes = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(BYTES_AT_MOST);
        more.classes(self.classes) <= MAX_CLASSES
            && self.addresses.iter().all(|addresses| addresses + count <= capacity.addresses)
            && self.prefixes.iter().all(|prefixes| prefixes + count <= capacity.prefixes)
            && self.bytes.saturating_add(bytes).saturating_add(BYTES_ALWAYS) <= capacity.bytes
    }
}

/// Entries that tables may get besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Single addresses.
    pub addresses: usize,
    /// Prefixes.
    pub prefixes: usize,
    /// Lists that they are on.
    pub lists: usize,
}

impl More {
    /// Classes that there are with them, at most.
    fn classes(self, now: usize) -> usize {
        let doubled = |classes: usize, times: usize| {
            let times = u32::try_from(times).ok().and_then(|times| 1usize.checked_shl(times));
            times.map_or(usize::MAX, |times| classes.saturating_mul(times))
        };
        // An address has one class after the other, as what covers it ends. What a prefix adds, every class may lie in
        // or not; and so may what all prefixes of a list add, enforced, observed or by force.
        let one_by_one = now.saturating_add(self.addresses.saturating_mul(RUN_STEPS as usize + 1));
        doubled(one_by_one, self.prefixes).min(doubled(now, self.lists.saturating_mul(KINDS_OF_ENTRY)))
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
    /// Too many combinations of lists.
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
    let flat = flatten::flatten(desired, guards, now_s).map_err(|error| match error {
        BuildError::TooManyClasses(_) => BuildError::TooManyClasses(largest_lists(desired)),
        other => other,
    })?;
    let ([v4, v6], [nets_v4, nets_v6]) = (flat.addresses, flat.prefixes);
    check(desired, "IPv4 addresses", v4, capacity.addresses, "max_addresses")?;
    check(desired, "IPv6 addresses", v6, capacity.addresses, "max_addresses")?;
    check(desired, "IPv4 prefixes", nets_v4, capacity.prefixes, "max_prefixes")?;
    check(desired, "IPv6 prefixes", nets_v6, capacity.prefixes, "max_prefixes")?;
    let tables = layout::lay_out(&flat.values, key)?;
    drop(flat.values);
    let wanted = bytes(&tables, flat.classes.len());
    if wanted > capacity.bytes {
        return Err(BuildError::TooLarge { wanted, fit: capacity.bytes, lists: largest_lists(desired) });
    }
    let rows = rows(&flat.classes, desired);
    let (addresses, prefixes, classes) = (flat.addresses, flat.prefixes, flat.classes.len());
    let sizes = Sizes { addresses, prefixes, classes, bytes: wanted };
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

/// Bytes that one more entry takes at most: half a group of IPv6 that no longer says what its background says, a word
/// and a line for each chunk; two chunks with more lines, a /64 that is looked into, and a class.
const BYTES_AT_MOST: u64 = 32 * (8 + 64) + 512;

/// Members that one list's entries can be to a class: enforced, observed, by force.
const KINDS_OF_ENTRY: usize = 3;

/// Bytes of the tables that have a size of their own: chunks of both families, the least quotient table.
const BYTES_ALWAYS: u64 = 7 << 20;

fn check(
    desired: &Desired,
    what: &'static str,
    wanted: usize,
    fit: usize,
    setting: &'static str,
) -> Result<(), BuildError> {
    if wanted <= fit {
        return Ok(());
    }
    Err(BuildError::Full { what, wanted, fit, over: wanted - fit, lists: largest_lists(desired), setting })
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

/// The first word of filters that none of the other slots has: there are as many as slots, so one always is free.
pub fn free_filter(others: &[u32; SLOTS as usize - 1]) -> u32 {
    let mut filter = 0;
    while others.contains(&filter) {
        filter += FILTERS_WORDS;
    }
    filter
}

#[cfg(test)]
mod tests;
