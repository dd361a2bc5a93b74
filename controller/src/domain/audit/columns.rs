//! Records as columns of numbers: what is asked for is all that is read.
use super::Class;
use super::dictionary::NONE;

/// The time of a record that is gone: later than any.
const GONE: i64 = i64::MAX;

/// A record by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) class: Class,
    pub(super) source: u32,
    pub(super) user: u32,
    pub(super) country: u16,
    pub(super) endpoint: u32,
    pub(super) pair: u32,
    pub(super) count: u32,
}

/// All records, in the order of their numbers. A record that is gone stays in its row, without anything that was known of
/// it, until there are enough of them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    number: Vec<i64>,
    at: Vec<i64>,
    class: Vec<Class>,
    source: Vec<u32>,
    user: Vec<u32>,
    country: Vec<u16>,
    endpoint: Vec<u32>,
    pair: Vec<u32>,
    count: Vec<u32>,
    /// The greatest number there was, though its record may be gone.
    last: Option<i64>,
    /// Rows of records that are gone, and how many of them are the first.
    gone: usize,
    front: usize,
}

impl Columns {
    pub(super) fn push(&mut self, record: Record) {
        self.last = Some(record.number);
        self.number.push(record.number);
        self.at.push(record.at);
        self.class.push(record.class);
        self.source.push(record.source);
        self.user.push(record.user);
        self.country.push(record.country);
        self.endpoint.push(record.endpoint);
        self.pair.push(record.pair);
        self.count.push(record.count);
    }

    /// Records there are.
    pub(super) fn len(&self) -> usize {
        self.number.len() - self.gone
    }

    /// About how many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        let row = 2 * size_of::<i64>() + size_of::<Class>() + size_of::<u16>() + 5 * size_of::<u32>();
        self.number.capacity() * row
    }

    /// The greatest number there was.
    pub(super) fn last_number(&self) -> Option<i64> {
        self.last
    }

    /// The earliest time.
    pub(super) fn earliest(&self) -> Option<i64> {
        self.at.iter().copied().min().filter(|at| *at != GONE)
    }

    /// The row of a number.
    pub(super) fn row_of(&self, number: i64) -> Option<usize> {
        self.number.binary_search(&number).ok()
    }

    /// The rows up to and including a number, of which nothing is known to be gone.
    pub(super) fn rows_through(&mut self, number: i64) -> std::ops::Range<usize> {
        let end = self.number.partition_point(|other| *other <= number);
        let front = self.front;
        self.front = front.max(end);
        front..end
    }

    /// The rows between the first and the last whose time is in a range.
    pub(super) fn part(&self, since: i64, until: i64) -> Part<'_> {
        let all = Part {
            times: (since, until.min(GONE - 1)),
            number: &self.number,
            at: &self.at,
            class: &self.class,
            source: &self.source,
            user: &self.user,
            country: &self.country,
            endpoint: &self.endpoint,
            pair: &self.pair,
            count: &self.count,
        };
        let begin = self.at.iter().position(|at| all.has(*at)).unwrap_or(self.at.len());
        let end = self.at.iter().rposition(|at| all.has(*at)).map_or(begin, |last| last + 1);
        all.between(begin, end)
    }

    /// Blots out a record, and says what it was: nothing, if it is gone already.
    pub(super) fn blot_out(&mut self, row: usize) -> Option<Record> {
        let at = self.at.get_mut(row).filter(|at| **at != GONE)?;
        let at = std::mem::replace(at, GONE);
        let blotted = |column: &mut Vec<u32>| column.get_mut(row).map_or(NONE, |id| std::mem::replace(id, NONE));
        let record = Record {
            number: *self.number.get(row)?,
            at,
            class: std::mem::replace(self.class.get_mut(row)?, Class::Other),
            source: blotted(&mut self.source),
            user: blotted(&mut self.user),
            country: std::mem::take(self.country.get_mut(row)?),
            endpoint: blotted(&mut self.endpoint),
            pair: blotted(&mut self.pair),
            count: blotted(&mut self.count),
        };
        self.gone += 1;
        Some(record)
    }

    /// The columns of sources, users and endpoints.
    pub(super) fn texts(&mut self) -> [&mut Vec<u32>; 3] {
        [&mut self.source, &mut self.user, &mut self.endpoint]
    }

    /// The column of pairs.
    pub(super) fn pairs(&mut self) -> &mut [u32] {
        &mut self.pair
    }

    /// The column of pairs, with class, source and user.
    pub(super) fn pairs_of(&mut self) -> impl Iterator<Item = (&mut u32, Class, u32, u32)> {
        let of = self.class.iter().zip(&self.source).zip(&self.user);
        self.pair.iter_mut().zip(of).map(|(pair, ((class, source), user))| (pair, *class, *source, *user))
    }

    /// Closes up if more than a quarter of all rows are of records that are gone; whether it has.
    pub(super) fn tidy(&mut self) -> bool {
        if self.gone * 4 <= self.number.len() {
            return false;
        }
        let at = std::mem::take(&mut self.at);
        close_up(&mut self.number, &at);
        close_up(&mut self.class, &at);
        close_up(&mut self.source, &at);
        close_up(&mut self.user, &at);
        close_up(&mut self.country, &at);
        close_up(&mut self.endpoint, &at);
        close_up(&mut self.pair, &at);
        close_up(&mut self.count, &at);
        self.at = at.into_iter().filter(|at| *at != GONE).collect();
        (self.gone, self.front) = (0, 0);
        true
    }
}

/// Some of the columns' rows, not all of them in the range of time: see [`Self::has`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    times: (i64, i64),
    pub(super) number: &'a [i64],
    pub(super) at: &'a [i64],
    pub(super) class: &'a [Class],
    pub(super) source: &'a [u32],
    pub(super) user: &'a [u32],
    pub(super) country: &'a [u16],
    pub(super) endpoint: &'a [u32],
    pub(super) pair: &'a [u32],
    pub(super) count: &'a [u32],
}

impl Part<'_> {
    fn between(self, begin: usize, end: usize) -> Self {
        Self {
            times: self.times,
            number: self.number.get(begin..end).unwrap_or_default(),
            at: self.at.get(begin..end).unwrap_or_default(),
            class: self.class.get(begin..end).unwrap_or_default(),
            source: self.source.get(begin..end).unwrap_or_default(),
            user: self.user.get(begin..end).unwrap_or_default(),
            country: self.country.get(begin..end).unwrap_or_default(),
            endpoint: self.endpoint.get(begin..end).unwrap_or_default(),
            pair: self.pair.get(begin..end).unwrap_or_default(),
            count: self.count.get(begin..end).unwrap_or_default(),
        }
    }

    /// Whether a time is in the range: of a record that is gone it is not.
    pub(super) fn has(&self, at: i64) -> bool {
        self.times.0 <= at && at <= self.times.1
    }
}

fn close_up<T>(column: &mut Vec<T>, at: &[i64]) {
    let mut times = at.iter();
    column.retain(|_| times.next().is_some_and(|at| *at != GONE));
    column.shrink_to(column.len() + column.len() / 4);
}
