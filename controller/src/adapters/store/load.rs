//! The lists as they should be in force now, from rows written at another time and perhaps before a reboot.
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::change::{Change, ClassLists, ListTotals};
use super::chunks::Chunk;
use super::problem::Problem;
use super::rows::{EntryRow, Row, UserRow};
use super::scan::{damage_of, scan};
use super::sealed::State;
use crate::domain::decision::ListId;
use crate::domain::desired::Desired;
use crate::domain::http::denied_users::DeniedUser;
use crate::domain::prefixes::Prefixes;
use crate::domain::time::{BootSeconds, Expiry, Now};

/// What was saved, as of now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// All lists. Entries whose time has passed are not in it.
    pub desired: Desired,
    /// What the lists have counted.
    pub totals: BTreeMap<ListId, ListTotals>,
    /// Which lists the classes of each saved generation stand for.
    pub class_lists: BTreeMap<u64, ClassLists>,
    /// Rules that people made, and what they changed about others, as documents by id.
    pub rules: BTreeMap<String, String>,
    /// Denied users, by name. Those whose time has passed are not in it.
    pub users: Vec<DeniedUser>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Changes that make the store agree with `desired`: entries whose time has passed are removed, and expiries that
    /// were counted in another boot are counted in this one. To be applied once the wall clock can be trusted: until
    /// then another load works them out anew.
    pub settle: Vec<Change>,
}

/// Reads all rows: what is not damaged is loaded, and if anything is, the second value says what.
pub(super) fn load(
    connection: &Connection,
    now: Now,
    boot_id: &str,
) -> rusqlite::Result<(Loaded, Result<State, String>)> {
    let mut loading = Loading { now, boot_id, loaded: Loaded::default(), chunks: BTreeMap::new(), clock_behind: 0 };
    let scanned = scan(connection, |row| loading.take(row));
    let state = damage_of(State::read(connection).and_then(|state| scanned.check(&state).map(|()| state)))?;
    Ok((loading.finish(), state))
}

struct Loading<'a> {
    now: Now,
    boot_id: &'a str,
    loaded: Loaded,
    chunks: BTreeMap<ListId, Vec<Chunk>>,
    clock_behind: u64,
}

impl Loading<'_> {
    fn take(&mut self, row: Row) {
        match row {
            Row::List(header) => self.loaded.desired.insert(header.empty_list()),
            Row::Totals(list, totals) => {
                self.loaded.totals.insert(list, totals);
            }
            Row::Entry(entry) => self.take_entry(entry),
            Row::Chunk(chunk) => self.chunks.entry(chunk.list).or_default().push(chunk),
            // Asked for one by one.
            Row::Setting(..) => {}
            Row::Classes(generation, classes) => {
                self.loaded.class_lists.insert(generation, classes);
            }
            Row::Rule(id, rule) => {
                self.loaded.rules.insert(id, rule);
            }
            Row::User(user) => self.take_user(user),
        }
    }

    fn take_entry(&mut self, EntryRow { list, prefix, mut info, boot_id }: EntryRow) {
        let same_boot = boot_id.as_deref() == Some(self.boot_id);
        if let Some(saved) = info.expiry
            && !same_boot
        {
            let expiry = self.carry_over(saved, info.added_at);
            info.expiry = Some(expiry);
            if !expiry.is_over(self.now.boot) {
                self.loaded.settle.push(Change::PutEntry { list, prefix, info: info.clone() });
            }
        }
        if info.expiry.is_some_and(|expiry| expiry.is_over(self.now.boot)) {
            self.loaded.settle.push(Change::RemoveEntry { list, prefix });
        } else if let Some(list) = self.loaded.desired.list_mut(list) {
            list.entries.insert(prefix, info);
        }
    }

    fn take_user(&mut self, UserRow { mut user, boot_id }: UserRow) {
        if boot_id.as_deref() != Some(self.boot_id) {
            user.expiry = self.carry_over(user.expiry, user.since);
            if !user.expiry.is_over(self.now.boot) {
                self.loaded.settle.push(Change::PutUser(user.clone()));
            }
        }
        if user.expiry.is_over(self.now.boot) {
            self.loaded.settle.push(Change::RemoveUser { user: user.user });
        } else {
            self.loaded.users.push(user);
        }
    }

    /// An expiry of another boot in seconds of this one: what the wall clock says is left, but never more than the
    /// entry was given when it was made, because a clock that starts in 1970 would make it last for decades.
    fn carry_over(&mut self, saved: Expiry, added_at: Timestamp) -> Expiry {
        let left = saved.wall.duration_since(self.now.wall);
        let given = saved.wall.duration_since(added_at);
        let left = if given > SignedDuration::ZERO && left > given {
            self.clock_behind += 1;
            given
        } else {
            left
        };
        // Up to the next whole second, and not counting the one that has begun on the boot-time clock: never early.
        let ends_later = left > SignedDuration::ZERO;
        let seconds = if ends_later { left.as_secs() + i64::from(left.subsec_nanos() > 0) + 1 } else { 0 };
        let boot = self.now.boot.0.saturating_add(u64::try_from(seconds).unwrap_or(0));
        Expiry { boot: BootSeconds(boot), wall: saved.wall }
    }

    fn finish(mut self) -> Loaded {
        for (list, chunks) in self.chunks {
            if let Some(list) = self.loaded.desired.list_mut(list) {
                list.imported = Prefixes::new(chunks.iter().flat_map(Chunk::prefixes));
            }
        }
        if self.clock_behind > 0 {
            self.loaded.problems.push(Problem::ClockBehind { entries: self.clock_behind });
        }
        self.loaded
    }
}
