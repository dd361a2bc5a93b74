//! What happened, counted: an index in memory of the security events that are stored, from which the audit report is made.
//!
//! Of each record it holds when, of what class, from where, by whom, at what, how often: a few columns of numbers, and each
//! text once. A report goes through the columns of a million records in some milliseconds.
mod columns;
mod count;
mod counted;
mod dictionary;
mod room;
mod seen;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::counted::{ByClass, Counted, CountryRow, Row, SourceRow, ThreatLevel, UNKNOWN_COUNTRY, UserRow};
pub use self::seen::{Class, Filter, Seen};

use self::columns::{Columns, Record};
use self::dictionary::{Dictionary, NONE, Texts};
use self::seen::{COUNTRIES, NO_COUNTRY, country, country_id};

/// The index.
#[derive(Debug, Default)]
pub struct Tally {
    columns: Columns,
    sources: Texts,
    users: Texts,
    endpoints: Texts,
    /// Those of the classes of which the report says who it was from where.
    pairs: Dictionary<Pair>,
}

/// A source, a user, and what they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    class: Class,
    source: u32,
    user: u32,
}

impl From<&Self> for Pair {
    fn from(pair: &Self) -> Self {
        *pair
    }
}

impl Tally {
    /// Of no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record in. One whose number is not above that of the one before is known already, and left out.
    pub fn push(&mut self, seen: &Seen<'_>) {
        if self.columns.last_number().is_some_and(|last| seen.number <= last) {
            return;
        }
        let (source, user) = (self.sources.take_text(seen.source), self.users.take_text(seen.user));
        self.columns.push(Record {
            number: seen.number,
            at: seen.at.as_microsecond(),
            class: seen.class,
            source,
            user,
            country: country_id(seen.country),
            endpoint: self.endpoints.take_text(seen.endpoint),
            pair: pair(&mut self.pairs, seen.class, source, user),
            count: seen.count,
        });
    }

    /// Records there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let texts = [&self.sources, &self.users, &self.endpoints].map(Texts::bytes_with_texts);
        self.columns.bytes() + self.pairs.bytes() + texts.iter().sum::<usize>()
    }

    /// When the earliest of them happened.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.columns.earliest().map(timestamp)
    }

    /// Lets go of every record up to and including this number.
    pub fn remove_through(&mut self, number: i64) {
        for row in self.columns.rows_through(number) {
            self.let_go(row);
        }
        self.tidy();
    }

    /// Lets go of the records of these numbers, in whatever order; of others nothing is done.
    pub fn remove(&mut self, numbers: &[i64]) {
        for number in numbers {
            if let Some(row) = self.columns.row_of(*number) {
                self.let_go(row);
            }
        }
        self.tidy();
    }

    /// All users and endpoints, each once of each.
    pub fn texts(&self) -> Vec<Arc<str>> {
        self.users.things().chain(self.endpoints.things()).cloned().collect()
    }

    /// Has users and endpoints called otherwise for which `change` says something.
    pub fn change_texts(&mut self, change: impl Fn(&str) -> Option<String>) {
        let mut is_renumbered = false;
        let [_, users, endpoints] = self.columns.texts();
        for (dictionary, column) in [(&mut self.users, users), (&mut self.endpoints, endpoints)] {
            let Some(numbers) = dictionary.change(&change) else { continue };
            renumber(column, &numbers);
            is_renumbered = true;
        }
        if is_renumbered {
            self.pair_again();
        }
    }

    /// Lets go of all records.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn let_go(&mut self, row: usize) {
        if let Some(record) = self.columns.blot_out(row) {
            self.sources.give_back(record.source);
            self.users.give_back(record.user);
            self.endpoints.give_back(record.endpoint);
            self.pairs.give_back(record.pair);
        }
    }

    fn tidy(&mut self) {
        if !self.columns.tidy() {
            return;
        }
        let dictionaries = [&mut self.sources, &mut self.users, &mut self.endpoints];
        let mut is_renumbered = false;
        for (dictionary, column) in dictionaries.into_iter().zip(self.columns.texts()) {
            let Some(numbers) = dictionary.tidy() else { continue };
            renumber(column, &numbers);
            is_renumbered = true;
        }
        if is_renumbered {
            self.pair_again();
        } else if let Some(numbers) = self.pairs.tidy() {
            renumber(self.columns.pairs(), &numbers);
        }
    }

    fn pair_again(&mut self) {
        self.pairs = Dictionary::default();
        for (id, class, source, user) in self.columns.pairs_of() {
            *id = pair(&mut self.pairs, class, source, user);
        }
    }

    /// The numbers of the records that pass, the greatest in front, without the first `offset` of them and at most `limit`;
    /// and how many pass in all.
    pub fn select(&self, filter: &Filter<'_>, limit: usize, offset: usize) -> (Vec<i64>, u64) {
        let source = filter.source.map(|source| self.sources.id(source));
        let user = filter.user.map(|user| self.users.id(user));
        if source == Some(None) || user == Some(None) {
            return (Vec::new(), 0);
        }
        let (source, user) = (source.flatten(), user.flatten());
        let since = filter.since.map_or(i64::MIN, Timestamp::as_microsecond);
        let until = filter.until.unwrap_or(Timestamp::MAX).as_microsecond();
        let part = self.columns.part(since, until);
        let (mut numbers, mut total) = (Vec::new(), 0);
        let who = part.source.iter().zip(part.user);
        for (((number, at), class), who) in part.number.iter().zip(part.at).zip(part.class).zip(who).rev() {
            let passes = part.has(*at)
                && filter.class.is_none_or(|class_asked| *class == class_asked)
                && source.is_none_or(|source| *who.0 == source)
                && user.is_none_or(|user| *who.1 == user);
            if passes && total >= offset && numbers.len() < limit {
                numbers.push(*number);
            }
            total += usize::from(passes);
        }
        (numbers, total as u64)
    }

    /// The numbers of all records that are from one of these sources, and of those that are by one of these users: what is
    /// to be erased with them.
    pub fn numbers_of(&self, sources: &[String], users: &[String]) -> Vec<i64> {
        let mut sources: Vec<u32> = sources.iter().filter_map(|source| self.sources.id(source.as_str())).collect();
        sources.sort_unstable();
        let users: Vec<u32> = users.iter().filter_map(|user| self.users.id(user.as_str())).collect();
        let part = self.columns.part(i64::MIN, i64::MAX);
        let all = part.number.iter().zip(part.source).zip(part.user);
        all.filter(|((_, source), id)| sources.binary_search(source).is_ok() || users.contains(id))
            .map(|((number, _), _)| *number)
            .collect()
    }

    /// What happened from `since` to `until`, both of them included, with the first `most` of each list.
    pub fn report(&self, since: Timestamp, until: Timestamp, most: usize) -> Counted {
        count::report(self, since.as_microsecond(), until.as_microsecond(), most)
    }
}

fn renumber(column: &mut [u32], numbers: &[u32]) {
    for id in column {
        *id = numbers.get(slot(*id)).copied().unwrap_or(NONE);
    }
}

/// The number of a pair; of a class of which nobody asks for them, none.
fn pair(pairs: &mut Dictionary<Pair>, class: Class, source: u32, user: u32) -> u32 {
    match class {
        Class::FailedSignIn | Class::Denial | Class::RateLimit => pairs.take(&Pair { class, source, user }),
        Class::SignIn | Class::Anomaly | Class::Request | Class::Message | Class::Other => NONE,
    }
}

/// The place of a number in a row of places.
fn slot(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

/// The moment of microseconds that a moment had.
fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
