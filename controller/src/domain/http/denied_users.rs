//! Users who are denied for a time: whoever asks about a user is told.
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::alert::{NAME_CHARS, cut};
use crate::domain::time::{BootSeconds, Expiry, Now};

/// A user who is denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeniedUser {
    /// Who.
    pub user: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: jiff::Timestamp,
    /// Until when.
    #[serde(skip)]
    pub expiry: Expiry,
}

/// A user is denied, or for longer than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The user, as denied now.
    pub denied: DeniedUser,
    /// Who is not denied any more, as there was no room for both.
    pub gone: Option<String>,
}

/// The users who are denied. Attackers choose names, so there is room for so many: where it is full, the one whose denial
/// ends first goes.
#[derive(Clone, Debug)]
pub struct DeniedUsers {
    users: BTreeMap<String, DeniedUser>,
    by_end: BTreeSet<(BootSeconds, String)>,
    most: usize,
}

impl DeniedUsers {
    /// Nobody, and room for so many.
    pub fn new(most: usize) -> Self {
        Self { users: BTreeMap::new(), by_end: BTreeSet::new(), most: most.max(1) }
    }

    /// Those who were denied before.
    pub fn restore(most: usize, users: impl IntoIterator<Item = DeniedUser>) -> Self {
        let mut restored = Self::new(most);
        for denied in users {
            drop(restored.make_room());
            restored.insert(denied);
        }
        restored
    }

    /// Denies a user until then. One who is denied already is so until the later end. What changed; `None`: nothing.
    pub fn deny(&mut self, user: &str, reason: &str, expiry: Expiry, now: Now) -> Option<Denial> {
        let user = cut(user, NAME_CHARS);
        let since = match self.users.get(&user) {
            Some(before) if !before.expiry.is_over(now.boot) && before.expiry.boot >= expiry.boot => return None,
            Some(before) if !before.expiry.is_over(now.boot) => before.since,
            _ => now.wall,
        };
        let before = self.lift(&user);
        let gone = if before.is_some() { None } else { self.make_room() };
        let denied = DeniedUser { user, reason: cut(reason, NAME_CHARS), since, expiry };
        self.insert(denied.clone());
        Some(Denial { denied, gone })
    }

    fn insert(&mut self, denied: DeniedUser) {
        self.by_end.insert((denied.expiry.boot, denied.user.clone()));
        self.users.insert(denied.user.clone(), denied);
    }

    /// Lets the one go whose denial ends first, where it is full.
    fn make_room(&mut self) -> Option<String> {
        if self.users.len() < self.most {
            return None;
        }
        let (_, first) = self.by_end.pop_first()?;
        self.users.remove(&first);
        Some(first)
    }

    /// Denies a user no longer; who it was, if somebody was.
    pub fn lift(&mut self, user: &str) -> Option<DeniedUser> {
        let denied = self.users.remove(user)?;
        self.by_end.remove(&(denied.expiry.boot, denied.user.clone()));
        Some(denied)
    }

    /// The denial of a user, if one is in force.
    pub fn of(&self, user: &str, now: BootSeconds) -> Option<&DeniedUser> {
        self.users.get(user).filter(|denied| !denied.expiry.is_over(now))
    }

    /// All who are denied, by name.
    pub fn list(&self, now: BootSeconds) -> impl Iterator<Item = &DeniedUser> {
        self.users.values().filter(move |denied| !denied.expiry.is_over(now))
    }

    /// Forgets denials that are over, and says whose.
    pub fn sweep(&mut self, now: BootSeconds) -> Vec<String> {
        let mut over = Vec::new();
        while self.by_end.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, user)) = self.by_end.pop_first() {
                self.users.remove(&user);
                over.push(user);
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(second: u64) -> Now {
        let wall = jiff::Timestamp::constant(1_790_000_000, 0) + jiff::SignedDuration::from_secs(second.cast_signed());
        Now { boot: BootSeconds(second), wall }
    }

    fn names(users: &DeniedUsers, second: u64) -> Vec<&str> {
        users.list(BootSeconds(second)).map(|denied| denied.user.as_str()).collect()
    }

    #[test]
    fn a_user_is_denied_until_the_end_or_a_lift() {
        let mut users = DeniedUsers::new(10);
        users.deny("bob", "guessed", now(0).after(900), now(0));
        users.deny("eve", "guessed", now(0).after(60), now(0));
        assert_eq!(names(&users, 30), ["bob", "eve"]);
        assert_eq!(names(&users, 62), ["bob"]);
        assert!(users.of("bob", BootSeconds(900)).is_some() && users.of("bob", BootSeconds(901)).is_none());
        assert_eq!(users.lift("bob").map(|denied| denied.user), Some("bob".to_owned()));
        assert_eq!(users.lift("bob"), None);
        assert_eq!(users.sweep(BootSeconds(100)), ["eve"]);
        assert!(users.users.is_empty() && users.by_end.is_empty());
    }

    #[test]
    fn a_denial_is_lengthened_and_never_shortened() {
        let mut users = DeniedUsers::new(10);
        users.deny("bob", "first", now(0).after(900), now(0));
        users.deny("bob", "second", now(10).after(60), now(10));
        assert_eq!(users.of("bob", BootSeconds(10)).unwrap().reason, "first");
        users.deny("bob", "third", now(20).after(900), now(20));
        let denied = users.of("bob", BootSeconds(910)).unwrap();
        assert_eq!((denied.reason.as_str(), denied.since), ("third", now(0).wall));
    }

    #[test]
    fn a_million_names_take_no_more_room_than_there_is() {
        let mut users = DeniedUsers::new(100);
        users.deny("bob", "", now(0).after(86_400), now(0));
        for number in 0..10_000 {
            users.deny(&number.to_string(), "", now(1).after(900), now(1));
            assert!(users.users.len() <= 100 && users.users.len() == users.by_end.len());
        }
        assert!(users.of("bob", BootSeconds(1)).is_some(), "who is denied longest stays");
    }
}
