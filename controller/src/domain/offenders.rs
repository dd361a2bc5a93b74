//! Who breaks limits again and again: offences, and the denials that follow from them.
use std::collections::HashMap;

use weir_common::abi::{Buckets, OffenderKey};
use weir_common::traffic::{Dimension, Scope};

/// Without a refusal for so long, what comes next is another offence.
const QUIET_NS: u64 = 10_000_000_000;

/// One offence after the other, as long as it goes on.
const GOES_ON_NS: u64 = 60_000_000_000;

/// How long offences are remembered after the last one.
const FORGOTTEN_NS: u64 = 3_600_000_000_000;

/// What follows from offences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// Offences after which a source is denied for a time; 0: never.
    pub deny_after: u32,
    /// How long the first time, in seconds.
    pub deny_for_s: u64,
    /// How long at the most, in seconds. Each denial is twice as long as the one before.
    pub longest_s: u64,
}

/// A limit that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// Whose limit.
    pub key: OffenderKey,
    /// The dimension that refused most since the last offence.
    pub dimension: Dimension,
    /// Packets offered since then, as far as its buckets saw them.
    pub offered: u64,
    /// Of these, refused.
    pub refused: u64,
    /// How many offences the source has on record, this one among them.
    pub offences: u32,
    /// How long the source is to be denied for it, in seconds; `None`: not at all.
    pub deny_for_s: Option<u64>,
}

/// What is remembered of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// The buckets as last looked at.
    passed: u64,
    refused: [u64; 8],
    /// The same at the last offence.
    passed_then: u64,
    refused_then: [u64; 8],
    /// When they last refused, and when the last offence was; 0: never.
    refused_at: u64,
    offence_at: u64,
}

/// What is remembered of one source.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    offences: u32,
    denials: u32,
    last_at: u64,
    denied_until: u64,
}

/// All offences that are remembered.
#[derive(Clone, Debug)]
pub struct Book {
    records: HashMap<OffenderKey, Record>,
    histories: HashMap<u64, History>,
    most: usize,
}

impl Book {
    /// Room for so many keys; the map of the kernel has no more at once.
    pub fn new(most: usize) -> Self {
        Self { records: HashMap::new(), histories: HashMap::new(), most: most.max(1) }
    }

    /// Offences since the last look, given all buckets as they are at `now_ns` of the monotonic clock.
    pub fn look(
        &mut self,
        buckets: impl IntoIterator<Item = (OffenderKey, Buckets)>,
        now_ns: u64,
        consequence: &Consequence,
    ) -> Vec<Offence> {
        let mut offences = Vec::new();
        let mut is_swept = false;
        for (key, buckets) in buckets {
            if !self.records.contains_key(&key) && self.records.len() >= self.most {
                // Once a look: where everybody offends there is nothing to forget, and all would be gone through for each.
                if !is_swept {
                    self.forget(now_ns, QUIET_NS);
                    is_swept = true;
                }
                if self.records.len() >= self.most {
                    continue;
                }
            }
            let record = self.records.entry(key).or_default();
            let total: u64 = buckets.refused.iter().sum();
            let before: u64 = record.refused.iter().sum();
            if total < before || buckets.passed < record.passed {
                // Swept and made anew in between.
                *record = Record { refused_at: record.refused_at, offence_at: record.offence_at, ..Record::default() };
            }
            let is_refusing = total > record.refused.iter().sum();
            (record.passed, record.refused) = (buckets.passed, buckets.refused);
            if !is_refusing {
                continue;
            }
            let quiet = now_ns.saturating_sub(record.refused_at) >= QUIET_NS || record.refused_at == 0;
            let goes_on = now_ns.saturating_sub(record.offence_at) >= GOES_ON_NS;
            record.refused_at = now_ns;
            let history = (key.scope != Scope::Network.slot()).then(|| self.histories.entry(key.key).or_default());
            let was_denied = history
                .as_ref()
                .is_some_and(|history| history.denied_until > record.offence_at && history.denied_until <= now_ns);
            if !quiet && !goes_on && !was_denied {
                continue;
            }
            offences.push(offence(key, record, history, now_ns, consequence));
        }
        if self.histories.len() > self.most {
            self.forget(now_ns, QUIET_NS);
        }
        offences
    }

    /// Forgets what is too long ago to matter.
    pub fn sweep(&mut self, now_ns: u64) {
        self.forget(now_ns, FORGOTTEN_NS);
    }

    fn forget(&mut self, now_ns: u64, after_ns: u64) {
        self.records.retain(|_, record| now_ns.saturating_sub(record.refused_at) < after_ns.max(QUIET_NS));
        self.histories.retain(|_, history| now_ns.saturating_sub(history.last_at) < after_ns);
    }

    /// Each source with offences, how many, and when its last denial ends on the monotonic clock; 0: it had none.
    pub fn histories(&self) -> impl Iterator<Item = (u64, u32, u64)> + '_ {
        self.histories.iter().map(|(key, history)| (*key, history.offences, history.denied_until))
    }

    /// The same of one source.
    pub fn of(&self, key: u64) -> (u32, u64) {
        self.histories.get(&key).map_or((0, 0), |history| (history.offences, history.denied_until))
    }
}

fn offence(
    key: OffenderKey,
    record: &mut Record,
    history: Option<&mut History>,
    now_ns: u64,
    consequence: &Consequence,
) -> Offence {
    let since = |dimension: &Dimension| {
        let at = |counts: &[u64; 8]| counts.get(dimension.slot()).copied().unwrap_or(0);
        at(&record.refused).saturating_sub(at(&record.refused_then))
    };
    let dimension = Dimension::ALL.into_iter().max_by_key(since).unwrap_or(Dimension::Packets);
    let refused: u64 = Dimension::ALL.iter().map(since).sum();
    let offered = record.passed.saturating_sub(record.passed_then).saturating_add(refused);
    (record.passed_then, record.refused_then, record.offence_at) = (record.passed, record.refused, now_ns);
    let mut found = Offence { key, dimension, offered, refused, offences: 1, deny_for_s: None };
    if let Some(history) = history {
        history.offences = history.offences.saturating_add(1);
        history.last_at = now_ns;
        found.offences = history.offences;
        let is_due = consequence.deny_after != 0 && history.offences >= consequence.deny_after;
        if is_due && history.denied_until <= now_ns {
            let doubled = consequence.deny_for_s.saturating_mul(1 << history.denials.min(32));
            let seconds = doubled.min(consequence.longest_s);
            history.denials = history.denials.saturating_add(1);
            history.denied_until = now_ns.saturating_add(seconds.saturating_mul(1_000_000_000));
            found.deny_for_s = Some(seconds);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NEVER: Consequence = Consequence { deny_after: 0, deny_for_s: 60, longest_s: 600 };
    const THIRD: Consequence = Consequence { deny_after: 3, ..NEVER };

    fn key(key: u64, scope: Scope) -> OffenderKey {
        OffenderKey { key, scope: scope.slot(), reserved: 0 }
    }

    fn refused(packets: u64) -> Buckets {
        let mut buckets = Buckets { passed: 10 * packets, ..Buckets::default() };
        buckets.refused[Dimension::Syn.slot()] = packets;
        buckets
    }

    #[test]
    fn who_keeps_to_the_limit_offends_nobody() {
        let mut book = Book::new(10);
        let within = Buckets { passed: 1_000, ..Buckets::default() };
        assert_eq!(book.look([(key(7, Scope::Source), within)], SECOND, &THIRD), []);
        assert_eq!(book.of(7), (0, 0));
    }

    #[test]
    fn an_offence_names_its_dimension_and_what_was_offered() {
        let mut book = Book::new(10);
        let found = book.look([(key(7, Scope::Source), refused(5))], SECOND, &NEVER);
        let expected = Offence {
            key: key(7, Scope::Source),
            dimension: Dimension::Syn,
            offered: 55,
            refused: 5,
            offences: 1,
            deny_for_s: None,
        };
        assert_eq!(found, [expected]);
        // What goes on is one offence a minute, with what came since.
        assert_eq!(book.look([(key(7, Scope::Source), refused(6))], 2 * SECOND, &NEVER), []);
        assert_eq!(book.look([(key(7, Scope::Source), refused(6))], 59 * SECOND, &NEVER), []);
        let found = book.look([(key(7, Scope::Source), refused(9))], 61 * SECOND, &NEVER);
        assert_eq!((found[0].refused, found[0].offences), (4, 2));
    }

    #[test]
    fn after_so_many_offences_denials_follow_each_twice_as_long_and_bounded() {
        let mut book = Book::new(10);
        let mut lengths = Vec::new();
        let mut at = 0;
        for round in 1..=10 {
            at += 700 * SECOND;
            let found = book.look([(key(7, Scope::Source), refused(round))], at, &THIRD);
            lengths.push(found[0].deny_for_s);
        }
        let seconds = [None, None, Some(60), Some(120), Some(240), Some(480), Some(600), Some(600)];
        assert_eq!(lengths[..8], seconds);
    }

    #[test]
    fn who_is_denied_is_not_denied_again_until_it_ends_and_then_at_once() {
        let first = Consequence { deny_after: 1, ..NEVER };
        let mut book = Book::new(10);
        assert_eq!(book.look([(key(7, Scope::Source), refused(1))], SECOND, &first)[0].deny_for_s, Some(60));
        // A port's limit counts for the same source.
        let found = book.look([(key(7, Scope::Port), refused(1))], 2 * SECOND, &first);
        assert_eq!((found[0].deny_for_s, found[0].offences), (None, 2));
        let found = book.look([(key(7, Scope::Source), refused(2))], 62 * SECOND, &first);
        assert_eq!(found[0].deny_for_s, Some(120));
    }

    #[test]
    fn a_network_is_never_denied() {
        let first = Consequence { deny_after: 1, ..NEVER };
        let mut book = Book::new(10);
        let found = book.look([(key(7, Scope::Network), refused(1))], SECOND, &first);
        assert_eq!((found[0].deny_for_s, book.of(7)), (None, (0, 0)));
    }

    #[test]
    fn a_million_offenders_take_no_more_room_than_there_is() {
        let mut book = Book::new(1_000);
        for look in 0..500 {
            let new = (look * 2_000..(look + 1) * 2_000).map(|number| (key(number, Scope::Source), refused(1)));
            book.look(new, SECOND + look, &THIRD);
            assert!(book.records.len() <= 1_000 && book.histories.len() <= 2_000, "{look}");
        }
        book.sweep(3_700 * SECOND);
        assert_eq!((book.records.len(), book.histories.len()), (0, 0));
    }

    #[test]
    fn buckets_made_anew_count_from_nothing() {
        let mut book = Book::new(10);
        book.look([(key(7, Scope::Source), refused(50))], SECOND, &NEVER);
        let found = book.look([(key(7, Scope::Source), refused(3))], 20 * SECOND, &NEVER);
        assert_eq!((found[0].refused, found[0].offered), (3, 33));
    }
}
