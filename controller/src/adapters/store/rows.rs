//! What the rows of the tables mean.
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};

use super::change::{ClassLists, ListHeader, ListTotals};
use super::chunks::Chunk;
use super::sealed::Table;
use crate::domain::decision::{Enforcement, EntryInfo, Kind, ListEnforcement, ListId, Origin};
use crate::domain::http::denied_users::DeniedUser;
use crate::domain::time::{BootSeconds, Expiry};

// A new word in a column, or a new column, is a new schema version: see `schema.rs`.

pub(super) static LISTS: Table = Table {
    name: "lists",
    keys: &["id"],
    rest: &["name", "kind", "origin", "enforcement", "imported_at", "imported_sequence"],
};
pub(super) static TOTALS: Table = Table { name: "totals", keys: &["list"], rest: &["packets", "bytes"] };
pub(super) static ENTRIES: Table = Table {
    name: "entries",
    keys: &["list", "prefix"],
    rest: &["reason", "added_at", "expires_at", "expires_boot", "boot_id", "enforcement", "forced", "sequence"],
};
pub(super) static IMPORTED: Table =
    Table { name: "imported", keys: &["list", "family", "bucket"], rest: &["prefixes"] };
pub(super) static SETTINGS: Table = Table { name: "settings", keys: &["name"], rest: &["value"] };
pub(super) static RULES: Table = Table { name: "rules", keys: &["id"], rest: &["rule"] };
pub(super) static USERS: Table =
    Table { name: "users", keys: &["name"], rest: &["reason", "added_at", "expires_at", "expires_boot", "boot_id"] };
pub(super) static CLASS_LISTS: Table = Table { name: "class_lists", keys: &["generation"], rest: &["classes"] };

/// A table with the way to understand its columns.
pub(super) type Reader = (&'static Table, fn(&mut Columns<'_>) -> Option<Row>);

/// All tables of sealed rows, lists before what is on them.
pub(super) static READERS: [Reader; 8] = [
    (&LISTS, |columns| Some(Row::List(list(columns)?))),
    (&TOTALS, |columns| Some(Row::Totals(columns.list()?, totals(columns)?))),
    (&ENTRIES, |columns| Some(Row::Entry(entry(columns)?))),
    (&IMPORTED, |columns| Some(Row::Chunk(chunk(columns)?))),
    (&SETTINGS, |columns| Some(Row::Setting(columns.text()?.to_owned(), columns.text()?.to_owned()))),
    (&CLASS_LISTS, |columns| Some(Row::Classes(columns.unsigned()?, classes(columns)?))),
    (&RULES, |columns| Some(Row::Rule(columns.text()?.to_owned(), columns.text()?.to_owned()))),
    (&USERS, |columns| Some(Row::User(user(columns)?))),
];

/// A row of any table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Row {
    List(ListHeader),
    Totals(ListId, ListTotals),
    Entry(EntryRow),
    Chunk(Chunk),
    Setting(String, String),
    Classes(u64, ClassLists),
    Rule(String, String),
    User(UserRow),
}

/// A denied user, and the boot the end was counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserRow {
    pub(super) user: DeniedUser,
    pub(super) boot_id: Option<Arc<str>>,
}

/// An entry, and the boot its expiry was counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryRow {
    pub(super) list: ListId,
    pub(super) prefix: IpNet,
    pub(super) info: EntryInfo,
    pub(super) boot_id: Option<Arc<str>>,
}

impl Row {
    /// Where it is kept.
    pub(super) fn table(&self) -> &'static Table {
        match self {
            Self::List(_) => &LISTS,
            Self::Totals(..) => &TOTALS,
            Self::Entry(_) => &ENTRIES,
            Self::Chunk(_) => &IMPORTED,
            Self::Setting(..) => &SETTINGS,
            Self::Classes(..) => &CLASS_LISTS,
            Self::Rule(..) => &RULES,
            Self::User(_) => &USERS,
        }
    }

    /// The list it belongs to, if it must belong to one.
    pub(super) fn owner(&self) -> Option<ListId> {
        match self {
            Self::Totals(list, _) => Some(*list),
            Self::Entry(entry) => Some(entry.list),
            Self::Chunk(chunk) => Some(chunk.list),
            Self::List(_) | Self::Setting(..) | Self::Classes(..) | Self::Rule(..) | Self::User(_) => None,
        }
    }

    /// Its columns.
    pub(super) fn columns(&self) -> rusqlite::Result<Vec<Value>> {
        Ok(match self {
            Self::List(list) => vec![
                number(list.id),
                text(&list.name),
                text(match list.kind {
                    Kind::Allow => "allow",
                    Kind::Deny => "deny",
                }),
                text(list.origin.name()),
                text(list_enforcement_word(list.enforcement)),
                moment(list.imported_at),
                unsigned(list.imported_sequence),
            ],
            Self::Totals(list, totals) => vec![number(*list), unsigned(totals.packets), unsigned(totals.bytes)],
            Self::Entry(EntryRow { list, prefix, info, boot_id }) => vec![
                number(*list),
                text(&prefix.to_string()),
                text(&info.reason),
                moment(Some(info.added_at)),
                moment(info.expiry.map(|expiry| expiry.wall)),
                info.expiry.map_or(Value::Null, |expiry| unsigned(expiry.boot.0)),
                info.expiry.and(boot_id.as_deref()).map_or(Value::Null, text),
                text(enforcement_word(info.enforcement)),
                Value::Integer(i64::from(info.forced)),
                unsigned(info.sequence),
            ],
            Self::Chunk(Chunk { list, family, bucket, prefixes }) => vec![
                number(*list),
                Value::Integer(i64::from(*family)),
                Value::Integer(i64::from(*bucket)),
                Value::Blob(prefixes.clone()),
            ],
            Self::Setting(key, value) => vec![text(key), text(value)],
            Self::Classes(generation, classes) => {
                let json = serde_json::to_string(classes);
                let json = json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                vec![unsigned(*generation), Value::Text(json)]
            }
            Self::Rule(id, rule) => vec![text(id), text(rule)],
            Self::User(UserRow { user, boot_id }) => vec![
                text(&user.user),
                text(&user.reason),
                moment(Some(user.since)),
                moment(Some(user.expiry.wall)),
                unsigned(user.expiry.boot.0),
                boot_id.as_deref().map_or(Value::Null, text),
            ],
        })
    }
}

/// A list's number as a column.
pub(super) fn number(list: ListId) -> Value {
    Value::Integer(i64::from(list.0))
}

/// A text as a column.
pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A number as a column; SQLite's are signed.
pub(super) fn unsigned(number: u64) -> Value {
    Value::Integer(number.cast_signed())
}

fn moment(moment: Option<Timestamp>) -> Value {
    moment.map_or(Value::Null, |moment| Value::Text(moment.to_string()))
}

fn list_enforcement_word(enforcement: ListEnforcement) -> &'static str {
    match enforcement {
        ListEnforcement::Enforce => "enforce",
        ListEnforcement::Observe => "observe",
        ListEnforcement::Limit => "limit",
        ListEnforcement::Off => "off",
    }
}

fn enforcement_word(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforce => "enforce",
        Enforcement::Observe => "observe",
    }
}

/// The columns of a row, taken one after the other; `None` for one that is not of the kind asked for.
#[derive(Debug)]
pub(super) struct Columns<'r>(std::vec::IntoIter<ValueRef<'r>>);

impl<'r> Columns<'r> {
    pub(super) fn new(columns: Vec<ValueRef<'r>>) -> Self {
        Self(columns.into_iter())
    }

    fn unsigned(&mut self) -> Option<u64> {
        match self.0.next()? {
            ValueRef::Integer(number) => Some(number.cast_unsigned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<ListId> {
        self.unsigned()?.try_into().ok().map(ListId)
    }

    /// Takes the next one if it is empty.
    fn skip_empty(&mut self) -> bool {
        let is_empty = self.0.as_slice().first() == Some(&ValueRef::Null);
        if is_empty {
            self.0.next();
        }
        is_empty
    }

    pub(super) fn text(&mut self) -> Option<&'r str> {
        match self.0.next()? {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    pub(super) fn moment(&mut self) -> Option<Timestamp> {
        self.text()?.parse().ok()
    }

    fn enforcement(&mut self) -> Option<Enforcement> {
        match self.text()? {
            "enforce" => Some(Enforcement::Enforce),
            "observe" => Some(Enforcement::Observe),
            _ => None,
        }
    }

    fn list_enforcement(&mut self) -> Option<ListEnforcement> {
        match self.text()? {
            "enforce" => Some(ListEnforcement::Enforce),
            "observe" => Some(ListEnforcement::Observe),
            "limit" => Some(ListEnforcement::Limit),
            "off" => Some(ListEnforcement::Off),
            _ => None,
        }
    }

    fn flag(&mut self) -> Option<bool> {
        match self.unsigned()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn blob(&mut self) -> Option<&'r [u8]> {
        match self.0.next()? {
            ValueRef::Blob(blob) => Some(blob),
            _ => None,
        }
    }
}

fn list(columns: &mut Columns<'_>) -> Option<ListHeader> {
    Some(ListHeader {
        id: columns.list()?,
        name: columns.text()?.into(),
        kind: match columns.text()? {
            "allow" => Kind::Allow,
            "deny" => Kind::Deny,
            _ => return None,
        },
        origin: Origin::stored(columns.text()?).ok()?,
        enforcement: columns.list_enforcement()?,
        imported_at: if columns.skip_empty() { None } else { Some(columns.moment()?) },
        imported_sequence: columns.unsigned()?,
    })
}

fn totals(columns: &mut Columns<'_>) -> Option<ListTotals> {
    Some(ListTotals { packets: columns.unsigned()?, bytes: columns.unsigned()? })
}

fn entry(columns: &mut Columns<'_>) -> Option<EntryRow> {
    let (list, prefix) = (columns.list()?, columns.text()?.parse().ok()?);
    let (reason, added_at) = (columns.text()?.into(), columns.moment()?);
    let expiry = if columns.skip_empty() {
        // Without one moment there is no other.
        if !columns.skip_empty() {
            return None;
        }
        None
    } else {
        let wall = columns.moment()?;
        Some(Expiry { boot: BootSeconds(columns.unsigned()?), wall })
    };
    let boot_id = if columns.skip_empty() { None } else { Some(Arc::from(columns.text()?)) };
    let (enforcement, forced, sequence) = (columns.enforcement()?, columns.flag()?, columns.unsigned()?);
    Some(EntryRow {
        list,
        prefix,
        info: EntryInfo { reason, added_at, expiry, enforcement, forced, sequence },
        boot_id,
    })
}

fn user(columns: &mut Columns<'_>) -> Option<UserRow> {
    let (user, reason, since) = (columns.text()?.to_owned(), columns.text()?.to_owned(), columns.moment()?);
    let wall = columns.moment()?;
    let expiry = Expiry { boot: BootSeconds(columns.unsigned()?), wall };
    let boot_id = if columns.skip_empty() { None } else { Some(Arc::from(columns.text()?)) };
    Some(UserRow { user: DeniedUser { user, reason, since, expiry }, boot_id })
}

fn chunk(columns: &mut Columns<'_>) -> Option<Chunk> {
    let (list, family, bucket) = (columns.list()?, columns.unsigned()?, columns.unsigned()?);
    let (family, bucket) = (u8::try_from(family).ok()?, u16::try_from(bucket).ok()?);
    let chunk = Chunk { list, family, bucket, prefixes: columns.blob()?.to_vec() };
    chunk.is_well_formed().then_some(chunk)
}

fn classes(columns: &mut Columns<'_>) -> Option<ClassLists> {
    serde_json::from_str(columns.text()?).ok()
}
