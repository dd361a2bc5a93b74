//! From what is desired to what the kernel's tables hold: a pure, deterministic function.
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use weir_common::abi::{CHAIN_STEPS, ClassRow, Entry, PrefixV4, PrefixV6, class_flag, feature};

use super::desired::Desired;
use super::guard::Guards;
use super::prefixes;
use super::resolve::{Item, Step, resolve};

/// Most classes a generation can have.
pub const MAX_CLASSES: usize = 65_536;

/// The tables of one generation, ready to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Exact IPv4 addresses, in order.
    pub exact_v4: Vec<([u8; 4], Entry)>,
    /// Exact IPv6 addresses, in order.
    pub exact_v6: Vec<([u8; 16], Entry)>,
    /// IPv4 prefixes, in order.
    pub prefix_v4: Vec<(PrefixV4, Entry)>,
    /// IPv6 prefixes, in order.
    pub prefix_v6: Vec<(PrefixV6, Entry)>,
    /// What lies beneath entries that end.
    pub chain: Vec<Entry>,
    /// Class rows; 0 is the class of the unlisted.
    pub classes: Vec<ClassRow>,
    /// The lists each class stands for.
    pub class_lists: Vec<Vec<u16>>,
}

/// How many entries fit into each of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Single addresses per family.
    pub addresses: usize,
    /// Prefixes per family.
    pub prefixes: usize,
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
    /// Too many combinations of lists.
    #[error(
        "the lists overlap in more than {MAX_CLASSES} different ways; nothing was changed; merge or drop some of: {0}"
    )]
    TooManyClasses(String),
    /// Too many entries that end one after the other over one address.
    #[error(
        "{prefix} is covered by {steps} entries that end one after the other; the kernel follows {}; nothing was \
         changed; remove some of them",
        CHAIN_STEPS
    )]
    ChainTooLong {
        /// The prefix.
        prefix: IpNet,
        /// The steps it would need.
        steps: usize,
    },
}

impl Image {
    /// [`feature`] bits for the tables that hold something.
    pub fn features(&self) -> u32 {
        let mut features = 0;
        for (bit, empty) in [
            (feature::EXACT_V4, self.exact_v4.is_empty()),
            (feature::EXACT_V6, self.exact_v6.is_empty()),
            (feature::PREFIX_V4, self.prefix_v4.is_empty()),
            (feature::PREFIX_V6, self.prefix_v6.is_empty()),
        ] {
            if !empty {
                features |= bit;
            }
        }
        features
    }

    /// Entries in all address tables.
    pub fn len(&self) -> usize {
        self.exact_v4.len() + self.exact_v6.len() + self.prefix_v4.len() + self.prefix_v6.len()
    }

    /// Whether no address table has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one prefix carries by itself, before what covers it is added.
struct Own {
    address: u128,
    len: u8,
    item: Option<Item>,
    flags: u32,
}

/// Makes the tables.
///
/// Each entry is complete: its class is the set of all lists that cover it, so the kernel needs the longest match only.
///
/// # Errors
/// [`BuildError`]; nothing has changed then.
pub fn build(desired: &Desired, guards: &Guards, capacity: Capacity, now_s: u32) -> Result<Image, BuildError> {
    let mut builder = Builder {
        now_s,
        image: Image { classes: vec![ClassRow::default()], class_lists: vec![Vec::new()], ..Image::default() },
        class_ids: HashMap::new(),
        chain_ids: HashMap::new(),
        desired,
    };
    let (mut v4, mut v6) = owned_prefixes(desired, guards, now_s);
    builder.family(&mut v4, 32)?;
    builder.family(&mut v6, 128)?;
    let image = builder.image;
    check(desired, "IPv4 addresses", image.exact_v4.len(), capacity.addresses, "max_addresses")?;
    check(desired, "IPv6 addresses", image.exact_v6.len(), capacity.addresses, "max_addresses")?;
    check(desired, "IPv4 prefixes", image.prefix_v4.len(), capacity.prefixes, "max_prefixes")?;
    check(desired, "IPv6 prefixes", image.prefix_v6.len(), capacity.prefixes, "max_prefixes")?;
    Ok(image)
}

/// Whether tables of all that is desired and of `more` fit for sure: entries that several lists share are counted for
/// each. Where this says no, only [`build`] can tell.
pub fn surely_fit(desired: &Desired, guards: &Guards, more: &[IpNet], capacity: Capacity) -> bool {
    let guarded = || guards.protected_prefixes().chain(guards.never_block_prefixes()).chain(more.iter().copied());
    let all = desired.len() + guarded().count();
    if all <= capacity.addresses.min(capacity.prefixes) {
        return true;
    }
    let (mut addresses, mut nets) = ([0; 2], [0; 2]);
    let listed = desired.lists().flat_map(|list| list.imported.iter().chain(list.entries.keys().copied()));
    for prefix in listed.chain(guarded()) {
        let kind = if prefixes::is_single(&prefix) { &mut addresses } else { &mut nets };
        kind[usize::from(matches!(prefix, IpNet::V6(_)))] += 1;
    }
    addresses.iter().all(|count| *count <= capacity.addresses) && nets.iter().all(|count| *count <= capacity.prefixes)
}

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

fn owned_prefixes(desired: &Desired, guards: &Guards, now_s: u32) -> (Vec<Own>, Vec<Own>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut put = |prefix: IpNet, item: Option<Item>, flags: u32| {
        let own = |address| Own { address, len: prefix.prefix_len(), item, flags };
        match prefix.network() {
            IpAddr::V4(a) => v4.push(own(u128::from(u32::from(a)))),
            IpAddr::V6(a) => v6.push(own(u128::from(a))),
        }
    };
    for list in desired.lists() {
        // One template for a million entries that share everything but the prefix.
        let Some(template) = list.imported_template().as_ref().map(Item::from) else { continue };
        for prefix in list.imported.iter() {
            put(prefix, Some(Item { len: prefix.prefix_len(), ..template }), 0);
        }
    }
    for list in desired.lists() {
        for decision in list.entry_decisions() {
            let item = Item::from(&decision);
            if item.is_live(now_s) {
                put(decision.prefix, Some(item), 0);
            }
        }
    }
    for prefix in guards.protected_prefixes() {
        put(prefix, None, class_flag::PROTECTED);
    }
    for prefix in guards.never_block_prefixes() {
        put(prefix, None, class_flag::NEVER_BLOCK);
    }
    (v4, v6)
}

struct Builder<'a> {
    now_s: u32,
    image: Image,
    class_ids: HashMap<(ClassKey, Vec<u16>), u32>,
    chain_ids: HashMap<EntryKey, u32>,
    desired: &'a Desired,
}

/// A class row as a key.
type ClassKey = (u64, u64, u32);
/// An entry as a key.
type EntryKey = (u32, u32, u32);

/// A prefix on the way from the root to the one being built.
struct Ancestor {
    address: u128,
    len: u8,
    items: Vec<Item>,
    flags: u32,
}

impl Builder<'_> {
    /// Walks a family's prefixes in order with the stack of those that cover the current one.
    fn family(&mut self, own: &mut [Own], bits: u8) -> Result<(), BuildError> {
        own.sort_unstable_by_key(|own| (own.address, own.len, own.item.map_or(0, |item| item.list)));
        let mut stack: Vec<Ancestor> = Vec::new();
        let mut at = 0;
        while at < own.len() {
            let (address, len) = (own[at].address, own[at].len);
            while stack.last().is_some_and(|top| !covers(top, address, bits)) {
                stack.pop();
            }
            let (mut items, mut flags) = stack.last().map_or((Vec::new(), 0), |top| (top.items.clone(), top.flags));
            while at < own.len() && own[at].address == address && own[at].len == len {
                items.extend(own[at].item);
                flags |= own[at].flags;
                at += 1;
            }
            self.entry(address, len, bits, &items, flags)?;
            if len < bits {
                stack.push(Ancestor { address, len, items, flags });
            }
        }
        Ok(())
    }

    fn entry(&mut self, address: u128, len: u8, bits: u8, items: &[Item], flags: u32) -> Result<(), BuildError> {
        let steps = resolve(items, flags, self.now_s);
        if steps.len() > CHAIN_STEPS {
            return Err(BuildError::ChainTooLong { prefix: prefix_of(address, len, bits), steps: steps.len() });
        }
        // From the last step back to the first, so that each entry can name the one beneath it.
        let unlisted = self.class(Ruled::default(), flags, &[])?;
        let mut entry = Entry { class: unlisted, expires_at_s: 0, next: 0 };
        for (i, step) in steps.iter().enumerate().rev() {
            let last = i + 1 == steps.len();
            let next = if step.expires_at_s == 0 || (last && unlisted == 0) { 0 } else { self.chain(entry) };
            let class = self.class(Ruled::from(step), flags, &step.lists)?;
            entry = Entry { class, expires_at_s: step.expires_at_s, next };
        }
        if entry.class == 0 {
            return Ok(());
        }
        if bits == 32 {
            let address = u32::try_from(address).unwrap_or(0).to_be_bytes();
            if len == bits {
                self.image.exact_v4.push((address, entry));
            } else {
                self.image.prefix_v4.push((PrefixV4 { prefix_len: u32::from(len), address }, entry));
            }
        } else if len == bits {
            self.image.exact_v6.push((address.to_be_bytes(), entry));
        } else {
            let key = PrefixV6 { prefix_len: u32::from(len), address: address.to_be_bytes() };
            self.image.prefix_v6.push((key, entry));
        }
        Ok(())
    }

    fn chain(&mut self, entry: Entry) -> u32 {
        let key = (entry.class, entry.expires_at_s, entry.next);
        if let Some(id) = self.chain_ids.get(&key) {
            return *id;
        }
        self.image.chain.push(entry);
        let id = u32::try_from(self.image.chain.len()).unwrap_or(u32::MAX);
        self.chain_ids.insert(key, id);
        id
    }

    fn class(&mut self, ruled: Ruled, flags: u32, lists: &[u16]) -> Result<u32, BuildError> {
        let row = ClassRow { enforced: ruled.0, observed: ruled.1, flags, rate_profile: 0 };
        if row == ClassRow::default() && lists.is_empty() {
            return Ok(0);
        }
        let key = ((row.enforced.word(), row.observed.word(), flags), lists.to_vec());
        if let Some(id) = self.class_ids.get(&key) {
            return Ok(*id);
        }
        if self.image.classes.len() >= MAX_CLASSES {
            return Err(BuildError::TooManyClasses(largest_lists(self.desired)));
        }
        let id = u32::try_from(self.image.classes.len()).unwrap_or(u32::MAX);
        self.image.classes.push(row);
        self.image.class_lists.push(lists.to_vec());
        self.class_ids.insert(key, id);
        Ok(id)
    }
}

/// The two rulings of a class row.
#[derive(Clone, Copy, Default)]
struct Ruled(weir_common::abi::Ruling, weir_common::abi::Ruling);

impl From<&Step> for Ruled {
    fn from(step: &Step) -> Self {
        Self(step.enforced, step.observed)
    }
}

fn covers(ancestor: &Ancestor, address: u128, bits: u8) -> bool {
    let shift = u32::from(bits - ancestor.len);
    let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
    ancestor.address & mask == address & mask
}

fn prefix_of(address: u128, len: u8, bits: u8) -> IpNet {
    let address = if bits == 32 {
        IpAddr::from(u32::try_from(address).unwrap_or(0).to_be_bytes())
    } else {
        IpAddr::from(address.to_be_bytes())
    };
    IpNet::new(address, len).unwrap_or_else(|_| prefixes::single(address))
}

/// Packets and bytes of each list, from a generation's class counters.
pub fn attribute(class_lists: &[Vec<u16>], hits: &[(u64, u64)]) -> BTreeMap<u16, (u64, u64)> {
    let mut totals: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
    for (lists, (packets, bytes)) in class_lists.iter().zip(hits) {
        for list in lists {
            let total = totals.entry(*list).or_default();
            total.0 += packets;
            total.1 += bytes;
        }
    }
    totals
}

#[cfg(test)]
pub(crate) use tests::model_at_zero as tests_support_model;

#[cfg(test)]
mod tests;
