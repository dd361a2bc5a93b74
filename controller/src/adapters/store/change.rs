//! What is saved: the changes of a batch, and the values they carry.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::domain::decision::{EntryInfo, Kind, ListEnforcement, ListId, Origin};
use crate::domain::desired::{Desired, List};
use crate::domain::entries::Entries;
use crate::domain::erasure::Mentions;
use crate::domain::floods::TIGHT;
use crate::domain::http::denied_users::DeniedUser;
use crate::domain::prefixes::Prefixes;

/// Which lists each class of a generation stands for.
pub type ClassLists = BTreeMap<u32, Vec<ListId>>;

/// One step of a batch given to [`Store::apply`](super::Store::apply).
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Saves what a list is; its entries and imports stay as they are.
    PutList(ListHeader),
    /// Forgets a list with all that is on it, and its totals.
    RemoveList(ListId),
    /// Saves an entry in place of the one on this very prefix. Its expiry belongs to the boot that
    /// [`Store::load`](super::Store::load) was told of.
    PutEntry {
        /// The list, which must have been saved before or earlier in the batch.
        list: ListId,
        /// What it covers.
        prefix: IpNet,
        /// What stands beside it.
        info: EntryInfo,
    },
    /// Forgets an entry; nothing happens if there is none.
    RemoveEntry {
        /// The list.
        list: ListId,
        /// What it covers.
        prefix: IpNet,
    },
    /// Replaces what was imported to a list. Only the parts that differ from what is saved are written.
    PutImported {
        /// The list, which must have been saved before or earlier in the batch.
        list: ListId,
        /// All of its imported prefixes.
        prefixes: Prefixes,
    },
    /// Saves what a list has counted; nothing happens if the list is gone.
    SetTotals {
        /// The list.
        list: ListId,
        /// What it has counted.
        totals: ListTotals,
    },
    /// Saves a setting.
    SetSetting {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Forgets a setting; nothing happens if there is none.
    RemoveSetting {
        /// Its name.
        key: String,
    },
    /// Saves which lists each class of a generation stands for.
    PutClassLists {
        /// The generation.
        generation: u64,
        /// Its classes.
        classes: ClassLists,
    },
    /// Forgets the classes of a generation; nothing happens if there are none.
    RemoveClassLists {
        /// The generation.
        generation: u64,
    },
    /// Saves a rule that people made, or what they changed about one that comes with weir.
    PutRule {
        /// Its id.
        id: String,
        /// All about it, as a document.
        rule: String,
    },
    /// Forgets a rule; nothing happens if there is none.
    RemoveRule {
        /// Its id.
        id: String,
    },
    /// Saves that a user is denied, in place of what is saved of the same one. The end belongs to the boot that
    /// [`Store::load`](super::Store::load) was told of.
    PutUser(DeniedUser),
    /// Forgets a denied user; nothing happens if there is none.
    RemoveUser {
        /// The name.
        user: String,
    },
    /// Adds a record to the audit trail, which keeps the latest 100,000.
    Audit(AuditRecord),
    /// Lets go of the oldest records, up to the first made at `oldest` or later by the wall clock.
    TrimAudit {
        /// From when on they stay.
        oldest: Timestamp,
    },
    /// Blots out who is to be mentioned nowhere in all records.
    EraseAudit {
        /// Who is not to be found any more.
        mentions: Mentions,
    },
}

impl Change {
    /// The changes that save all of `desired` to a store that holds none of its lists.
    pub fn all_of(desired: &Desired) -> Vec<Self> {
        let mut changes = Vec::new();
        for list in desired.lists() {
            changes.push(Self::PutList(ListHeader::of(list)));
            if !list.imported.is_empty() {
                changes.push(Self::PutImported { list: list.id, prefixes: list.imported.clone() });
            }
            changes.extend(list.entries.iter().map(|(prefix, info)| Self::PutEntry {
                list: list.id,
                prefix: *prefix,
                info: info.clone(),
            }));
        }
        changes
    }
}

/// What a list is, without what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListHeader {
    /// Its number.
    pub id: ListId,
    /// Its name.
    pub name: Arc<str>,
    /// Lets through or drops.
    pub kind: Kind,
    /// On whose word.
    pub origin: Origin,
    /// Carried out or counted.
    pub enforcement: ListEnforcement,
    /// When it was last imported.
    pub imported_at: Option<Timestamp>,
    /// Sequence number of that import.
    pub imported_sequence: u64,
}

impl ListHeader {
    /// What `list` is.
    pub fn of(list: &List) -> Self {
        Self {
            id: list.id,
            name: Arc::clone(&list.name),
            kind: list.kind,
            origin: list.origin.clone(),
            enforcement: list.enforcement,
            imported_at: list.imported_at,
            imported_sequence: list.imported_sequence,
        }
    }

    /// The list it is, with nothing on it.
    pub(super) fn empty_list(self) -> List {
        List {
            id: self.id,
            name: self.name,
            kind: self.kind,
            origin: self.origin,
            enforcement: self.enforcement,
            usual: ListEnforcement::Enforce,
            profile: TIGHT,
            imported: Prefixes::default(),
            imported_at: self.imported_at,
            imported_sequence: self.imported_sequence,
            entries: Entries::new(),
        }
    }
}

/// What the decisions of a list have hit since the list was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListTotals {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One line of the audit trail: who did what to what, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what; may be empty.
    pub target: String,
    /// The rest.
    pub detail: serde_json::Value,
}

impl AuditRecord {
    /// Blots out who is to be mentioned nowhere; whose doing it is stays. Whether they were mentioned.
    pub fn blot(&mut self, mentions: &Mentions) -> bool {
        let of_target = mentions.blot(&mut self.target);
        mentions.blot_value(&mut self.detail) || of_target
    }
}

/// A stretch of the audit trail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditTrail {
    /// The records that could be read, oldest first.
    pub records: Vec<AuditRecord>,
    /// How many could not, because they are damaged.
    pub damaged: u64,
}
