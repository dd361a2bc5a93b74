//! Everything that should be in force: lists and their entries.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::decision::{Decision, Enforcement, EntryInfo, Kind, ListEnforcement, ListId, Origin};
use super::entries::Entries;
use super::floods::TIGHT;
use super::prefixes::{self, Prefixes};
use super::time::BootSeconds;

/// The operator's own deny list.
pub const BLOCK: ListId = ListId(1);
/// The operator's own allow list.
pub const ALLOW: ListId = ListId(2);

/// One list: entries that share a name, a kind and an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its number.
    pub id: ListId,
    /// Its name, unique.
    pub name: Arc<str>,
    /// Lets through or drops.
    pub kind: Kind,
    /// On whose word.
    pub origin: Origin,
    /// What becomes of all its entries.
    pub enforcement: ListEnforcement,
    /// What becomes of them where the settings do not say: a feed's action, a country's rule.
    pub usual: ListEnforcement,
    /// Where it limits: the number of the limit that its sources have ([`crate::domain::floods::TIGHT`] and above).
    pub profile: u32,
    /// What was imported as a whole; replaced by the next import under the name.
    pub imported: Prefixes,
    /// When it was imported.
    pub imported_at: Option<Timestamp>,
    /// Sequence number of the import.
    pub imported_sequence: u64,
    /// Entries added one by one.
    pub entries: Entries,
}

impl List {
    /// Entries of both sorts.
    pub fn len(&self) -> usize {
        self.imported.len() + self.entries.len()
    }

    /// The list with nothing on it.
    #[must_use]
    pub fn without_entries(&self) -> Self {
        Self {
            id: self.id,
            name: Arc::clone(&self.name),
            kind: self.kind,
            origin: self.origin.clone(),
            enforcement: self.enforcement,
            usual: self.usual,
            profile: self.profile,
            imported: Prefixes::default(),
            imported_at: self.imported_at,
            imported_sequence: self.imported_sequence,
            entries: Entries::new(),
        }
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what is imported comes from elsewhere at each start: a feed's last good copy, a GeoIP database. It is
    /// not the store's to keep.
    pub fn is_derived(&self) -> bool {
        matches!(self.origin, Origin::Feed(_) | Origin::Asn | Origin::Country)
    }

    /// What becomes of an entry that says this of itself.
    fn of_entry(&self, entry: Enforcement) -> Enforcement {
        if self.enforcement == ListEnforcement::Observe { Enforcement::Observe } else { entry }
    }

    fn imported_decision(&self, prefix: IpNet) -> Decision {
        Decision {
            prefix,
            kind: self.kind,
            origin: self.origin.clone(),
            list: self.id,
            of_list: self.enforcement,
            info: EntryInfo {
                reason: Arc::clone(&self.name),
                added_at: self.imported_at.unwrap_or(Timestamp::UNIX_EPOCH),
                expiry: None,
                enforcement: self.of_entry(Enforcement::Enforce),
                forced: false,
                sequence: self.imported_sequence,
            },
        }
    }

    fn entry_decision(&self, prefix: IpNet, info: &EntryInfo) -> Decision {
        let info = EntryInfo { enforcement: self.of_entry(info.enforcement), ..info.clone() };
        let (origin, of_list) = (self.origin.clone(), self.enforcement);
        Decision { prefix, kind: self.kind, origin, list: self.id, of_list, info }
    }

    /// The decisions of the entries added one by one.
    pub fn entry_decisions(&self) -> impl Iterator<Item = Decision> + '_ {
        self.entries.iter().map(|(prefix, info)| self.entry_decision(*prefix, info))
    }

    /// The decisions of what was imported.
    pub fn imported_decisions(&self) -> impl Iterator<Item = Decision> + '_ {
        self.imported.iter().map(|prefix| self.imported_decision(prefix))
    }

    /// The decisions of this list on this very prefix: its own entry, and the imported one.
    pub fn on(&self, prefix: IpNet) -> impl Iterator<Item = Decision> + '_ {
        let entry = self.entries.get(&prefix).map(|info| self.entry_decision(prefix, info));
        let imported = self.imported.contains(&prefix).then(|| self.imported_decision(prefix));
        entry.into_iter().chain(imported)
    }
}

/// All lists. The value the sync task makes the kernel agree with.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    lists: BTreeMap<ListId, List>,
    /// The highest number that was given out: what a list that is gone has counted must not become another's.
    highest: u16,
}

impl PartialEq for Desired {
    fn eq(&self, other: &Self) -> bool {
        // Lists that are gone make no difference.
        self.lists == other.lists
    }
}

impl Eq for Desired {}

/// No list could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Another list has the name.
    #[error("list {name:?} exists and is {has}; choose another name")]
    Taken {
        /// The name.
        name: String,
        /// What the existing list is.
        has: String,
    },
    /// All numbers are given out.
    #[error("there are 65,534 lists already; remove some")]
    TooMany,
    /// Not a name.
    #[error("list name {0:?} is not a name: 1 to 64 of letters, digits, - _ and .")]
    NotAName(String),
}

/// Those of a list's entries that lie inside of a prefix, itself not among them: they follow it in order.
fn inside(entries: &Entries, prefix: IpNet) -> impl Iterator<Item = (&IpNet, &EntryInfo)> {
    let from = entries.starting_at(prefix).take_while(move |(inner, _)| prefix.contains(*inner));
    from.filter(move |(inner, _)| **inner != prefix)
}

impl Desired {
    /// The two lists every instance has, empty.
    pub fn new() -> Self {
        let mut desired = Self::default();
        for (id, name, kind) in [(BLOCK, "block", Kind::Deny), (ALLOW, "allow", Kind::Allow)] {
            desired.insert(List {
                id,
                name: Arc::from(name),
                kind,
                origin: Origin::Operator,
                enforcement: ListEnforcement::Enforce,
                usual: ListEnforcement::Enforce,
                profile: TIGHT,
                imported: Prefixes::default(),
                imported_at: None,
                imported_sequence: 0,
                entries: Entries::new(),
            });
        }
        desired
    }

    /// Puts a list in place of the one with its number.
    pub fn insert(&mut self, list: List) {
        self.highest = self.highest.max(list.id.0);
        self.lists.insert(list.id, list);
    }

    /// The same lists with their content, each of them as it stands in another's: what an image says whose rows were made
    /// anew for it.
    #[must_use]
    pub fn standing_as_in(&self, other: &Self) -> Self {
        let mut desired = self.clone();
        desired.lists.retain(|id, list| {
            other.list(*id).is_some_and(|as_it_stands| {
                (list.enforcement, list.profile) = (as_it_stands.enforcement, as_it_stands.profile);
                true
            })
        });
        desired
    }

    /// Takes a list out.
    pub fn remove_list(&mut self, id: ListId) -> Option<List> {
        self.lists.remove(&id)
    }

    /// All lists, by number.
    pub fn lists(&self) -> impl Iterator<Item = &List> {
        self.lists.values()
    }

    /// All lists, to change.
    pub fn lists_mut(&mut self) -> impl Iterator<Item = &mut List> {
        self.lists.values_mut()
    }

    /// The list with this number.
    pub fn list(&self, id: ListId) -> Option<&List> {
        self.lists.get(&id)
    }

    /// The list with this number, to change.
    pub fn list_mut(&mut self, id: ListId) -> Option<&mut List> {
        self.lists.get_mut(&id)
    }

    /// The list with this name.
    pub fn named(&self, name: &str) -> Option<&List> {
        self.lists.values().find(|list| &*list.name == name)
    }

    /// The number of the list with this name, made if there is none.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn list_for(&mut self, name: &str, kind: Kind, origin: &Origin) -> Result<ListId, ListError> {
        if let Some(list) = self.named(name) {
            // A feed may change its place among feeds and is the same feed.
            if list.kind == kind && list.origin.name() == origin.name() {
                return Ok(list.id);
            }
            let kind = match list.kind {
                Kind::Allow => "an allow list",
                Kind::Deny => "a deny list",
            };
            return Err(ListError::Taken { name: name.to_owned(), has: format!("{kind} of {}", list.origin) });
        }
        let is_name = (1..=64).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !is_name {
            return Err(ListError::NotAName(name.to_owned()));
        }
        let new = (self.highest.saturating_add(1)..u16::MAX).chain(1..u16::MAX).map(ListId);
        let id = new.into_iter().find(|id| !self.lists.contains_key(id)).ok_or(ListError::TooMany)?;
        self.insert(List {
            id,
            name: Arc::from(name),
            kind,
            origin: origin.clone(),
            enforcement: ListEnforcement::Enforce,
            usual: ListEnforcement::Enforce,
            profile: TIGHT,
            imported: Prefixes::default(),
            imported_at: None,
            imported_sequence: 0,
            entries: Entries::new(),
        });
        Ok(id)
    }

    /// Entries on all lists.
    pub fn len(&self) -> usize {
        self.lists.values().map(List::len).sum()
    }

    /// Whether no list has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every decision on this very prefix.
    pub fn on(&self, prefix: IpNet) -> Vec<Decision> {
        self.lists.values().flat_map(|list| list.on(prefix)).collect()
    }

    /// Every decision that covers `prefix`, the widest first.
    pub fn covering(&self, prefix: IpNet) -> Vec<Decision> {
        prefixes::covering(prefix).flat_map(|wide| self.on(wide)).collect()
    }

    /// At how many moments entries over one address of the prefix end, at most: of those that cover the prefix, and of
    /// those inside of it, however they nest. Stops counting behind `enough`.
    pub fn ends_within(&self, prefix: IpNet, enough: usize) -> usize {
        // Only what was added one by one ends.
        let with_entries = || self.lists.values().filter(|list| !list.entries.is_empty());
        let around = prefixes::covering(prefix)
            .flat_map(|wide| with_entries().filter_map(move |list| list.entries.get(&wide)))
            .filter(|info| info.expiry.is_some())
            .count();
        let inside = with_entries().flat_map(|list| inside(&list.entries, prefix));
        around + inside.filter(|(_, info)| info.expiry.is_some()).take(enough + 1).count()
    }

    /// How many prefixes of lists lie inside of another, itself not counted; what is on several lists counts for each.
    /// Stops counting behind `enough`, but for what was imported.
    pub fn inside(&self, prefix: IpNet, enough: usize) -> usize {
        let imported: usize = self.lists.values().map(|list| list.imported.inside(prefix)).sum();
        let entries = self.lists.values().flat_map(|list| inside(&list.entries, prefix));
        imported + entries.take(enough.saturating_add(1)).count()
    }

    /// Takes out entries whose time has passed; says which.
    pub fn expire(&mut self, now: BootSeconds) -> Vec<(ListId, IpNet)> {
        let mut gone = Vec::new();
        for list in self.lists.values_mut() {
            let id = list.id;
            list.entries.retain(|prefix, info| {
                let over = info.expiry.is_some_and(|expiry| expiry.is_over(now));
                if over {
                    gone.push((id, *prefix));
                }
                !over
            });
        }
        gone
    }

    /// Every decision, list by list, imported ones first.
    pub fn decisions(&self) -> impl Iterator<Item = Decision> + '_ {
        self.lists.values().flat_map(|list| list.imported_decisions().chain(list.entry_decisions()))
    }
}
