//! How much there is of what, with a place for each.
use std::ops::AddAssign;

use ahash::AHashSet;

use super::super::columns::Part;
use super::super::counted::weight;
use super::super::dictionary::NONE;
use super::{COUNTRIES, Class, slot};

/// Places of a sum: what is told of every source and user, what is told of one of them, and the rest.
const FAILED: usize = 0;
const DENIED: usize = 1;
const LIMITED: usize = 2;
const TOLD: usize = 3;
const REST: usize = 4;

/// The place of a class where `told` is what is told.
pub(super) fn place(class: Class, told: Class) -> usize {
    match class {
        Class::FailedSignIn => FAILED,
        Class::Denial => DENIED,
        Class::RateLimit => LIMITED,
        class if class == told => TOLD,
        _ => REST,
    }
}

/// How many events there are. The smaller type does where they are not too many.
pub(super) trait Amount: Copy + Default + AddAssign + From<u32> + Into<u64> {}

impl Amount for u32 {}

impl Amount for u64 {}

/// What is counted of a source or a user.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum<A> {
    events: [A; 5],
    /// The last row, from 1.
    pub(super) last: u32,
}

impl<A: Amount> Sum<A> {
    /// Whether there is any record.
    pub(super) fn is_of_some(&self) -> bool {
        self.last != 0
    }

    /// Events by place.
    pub(super) fn events(&self) -> [u64; 5] {
        self.events.map(Into::into)
    }

    pub(super) fn total(&self) -> u64 {
        self.events().iter().sum()
    }

    pub(super) fn failed(&self) -> u64 {
        let [failed, ..] = self.events();
        failed
    }

    pub(super) fn weight(&self) -> u64 {
        let [failed, denied, limited, ..] = self.events();
        weight(failed, denied, limited)
    }
}

/// What is counted of a pair.
#[derive(Clone, Copy, Default)]
pub(super) struct PairSum<A> {
    count: A,
    /// The last row, from 1.
    pub(super) last: u32,
}

impl<A: Amount> PairSum<A> {
    pub(super) fn count(&self) -> u64 {
        self.count.into()
    }
}

/// What is counted of a country.
#[derive(Clone, Copy, Default)]
pub(super) struct CountrySum {
    /// Events by class, in the order of classes.
    pub(super) events: [u64; 8],
    /// Sources there are.
    pub(super) sources: u64,
    /// Whether there is any record.
    pub(super) is_seen: bool,
}

/// The sums by the number of the source or the user.
pub(super) fn by<A: Amount>(part: &Part<'_>, ids: &[u32], slots: usize, told: Class) -> Vec<Sum<A>> {
    let places = Class::ALL.map(|class| place(class, told));
    let mut sums = vec![Sum::default(); slots];
    for ((((at, class), id), count), row) in part.at.iter().zip(part.class).zip(ids).zip(part.count).zip(1..) {
        let place = places.get(*class as usize).copied().unwrap_or_default();
        if part.has(*at)
            && let Some(sum) = sums.get_mut(slot(*id))
            && let Some(events) = sum.events.get_mut(place)
        {
            *events += A::from(*count);
            sum.last = row;
        }
    }
    sums
}

/// The sums by the number of the pair, and of those that have none.
pub(super) fn by_pair<A: Amount>(part: &Part<'_>, slots: usize) -> Vec<PairSum<A>> {
    let mut sums = vec![PairSum::default(); slots];
    for (((at, id), count), row) in part.at.iter().zip(part.pair).zip(part.count).zip(1..) {
        if part.has(*at)
            && let Some(sum) = sums.get_mut(slot(*id))
        {
            sum.count += A::from(*count);
            sum.last = row;
        }
    }
    sums
}

/// The sums by the number of the country, with room for so many sources.
pub(super) fn by_country(part: &Part<'_>, sources: usize) -> Vec<CountrySum> {
    /// The country of a source that was not seen.
    const UNSEEN: u16 = u16::MAX;
    let mut sums = vec![CountrySum::default(); COUNTRIES];
    let mut first_of = vec![UNSEEN; sources];
    // Nearly every source has only one country: others are few enough for a set.
    let mut others: AHashSet<(u32, u16)> = AHashSet::new();
    let whence = part.source.iter().zip(part.country);
    for (((at, class), (source, country)), count) in part.at.iter().zip(part.class).zip(whence).zip(part.count) {
        if !part.has(*at) {
            continue;
        }
        let Some(sum) = sums.get_mut(usize::from(*country)) else { continue };
        if let Some(events) = sum.events.get_mut(*class as usize) {
            *events += u64::from(*count);
        }
        sum.is_seen = true;
        if let Some(first) = first_of.get_mut(slot(*source))
            && *first != *country
            && *source != NONE
        {
            let is_new = *first == UNSEEN || is_another(&mut others, *source, *country);
            if *first == UNSEEN {
                *first = *country;
            }
            sum.sources += u64::from(is_new);
        }
    }
    sums
}

/// Whether a source has this country, too. It is hardly ever asked: in the loop it would take the room of what is.
#[cold]
fn is_another(others: &mut AHashSet<(u32, u16)>, source: u32, country: u16) -> bool {
    others.insert((source, country))
}
