//! What sources are thought of: evidence for and against them, which fades, and the answers that follow from it.
//!
//! Pure: the time is each piece of evidence's own, or given.
pub mod answers;
pub mod assessment;
pub mod evidence;
mod fading;
pub mod lines;
mod neighbours;
pub mod policy;
mod ranks;
mod reads;
pub mod saved;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use self::answers::{Answers, Past, PastRow, Step, StepRow};
pub use self::assessment::{Assessment, Line, Prior};
pub use self::evidence::{Evidence, Kind, Weights, Who};
pub use self::lines::{Class, Held};
pub use self::policy::{Answer, Grade, Policy};
pub use self::saved::Saved;

use self::fading::{Fading, HalfLife, Rank};
use self::lines::{Lines, proven};
use self::neighbours::Neighbours;
use self::ranks::Ranks;
use crate::domain::http::alert::AlertId;

/// The part of what speaks against a source that speaks against its network.
pub const NETWORK_SHARE: f64 = 0.10;
/// The part of what speaks against a source that speaks against its autonomous system.
pub const ASN_SHARE: f64 = 0.02;
/// Most points that a source has on account of its network.
pub const NETWORK_AT_MOST: f64 = 15.0;
/// Most points that a source has on account of its autonomous system.
pub const ASN_AT_MOST: f64 = 10.0;
/// Autonomous systems that are remembered. Fewer than twice as many are announced.
const MOST_ASNS: usize = 65_536;

/// What is called otherwise from now on, by what it was called.
pub type Renamed = BTreeMap<Arc<str>, Arc<str>>;

/// How much is remembered, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most sources, and most networks. Sources against which nothing is proven may have a quarter of the room.
    pub most_sources: usize,
    /// How long half of any points take to fade, in seconds; at least 1.
    pub half_life_s: u64,
}

/// What is held of one source.
#[derive(Clone, Debug)]
struct Entry {
    who: Who,
    lines: Lines,
    /// Where it stands, and in which of the two classes, as last noted.
    rank: Rank,
    is_proven: bool,
    /// Whether it may have been written somewhere.
    is_saved: bool,
}

impl Entry {
    fn new(who: Who, is_saved: bool) -> Self {
        Self { who, lines: Lines::default(), rank: Rank::LEAST, is_proven: false, is_saved }
    }

    fn note_rank(&mut self, half_life: HalfLife) {
        self.rank = self.lines.rank(half_life);
        self.is_proven = self.lines.iter().any(|line| line.class == Class::Proven);
    }

    fn is_bad(&self) -> bool {
        self.lines.iter().any(Held::is_bad)
    }
}

/// All evidence that is left.
///
/// Where there is no room for another source, the one with the least points goes. Evidence that anybody can forge never
/// takes the room of a source against which something is proven.
#[derive(Clone, Debug)]
pub struct Ledger {
    limits: Limits,
    half_life: HalfLife,
    sources: BTreeMap<Arc<str>, Entry>,
    ranks: Ranks,
    networks: Neighbours<Arc<str>>,
    asns: Neighbours<u32>,
    /// To be written, and to be deleted, where it is written.
    changed: BTreeSet<Arc<str>>,
    gone: BTreeSet<Arc<str>>,
    overflowed: u64,
}

impl Ledger {
    /// One that holds nothing against anybody.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            half_life: HalfLife::new(limits.half_life_s),
            sources: BTreeMap::new(),
            ranks: Ranks::default(),
            networks: Neighbours::new(NETWORK_SHARE, NETWORK_AT_MOST, limits.most_sources),
            asns: Neighbours::new(ASN_SHARE, ASN_AT_MOST, MOST_ASNS),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            overflowed: 0,
        }
    }

    /// Takes a piece of evidence in, and returns whether it was.
    ///
    /// It is not where it says nothing: points that are no number, or whose sign does not suit their kind; a kind that only
    /// the ledger makes. Good behaviour is not of a source that has nothing against it, nor are no points; of others these
    /// count the line up. And evidence that anybody can forge is not where there is no room for it.
    pub fn add(&mut self, evidence: &Evidence) -> bool {
        let Some(held) = Held::of(evidence) else { return false };
        if held.points == 0.0 {
            return self.note(&evidence.who, &held);
        }
        self.take_in(&evidence.who, &[held])
    }

    fn note(&mut self, who: &Who, held: &Held) -> bool {
        let Some(entry) = self.sources.get_mut(&who.key) else { return false };
        let is_noted = entry.lines.note(held, self.half_life);
        if is_noted {
            self.changed.insert(Arc::clone(&who.key));
        }
        is_noted
    }

    /// Adds lines to a source. Returns whether there was room, where it is new.
    fn take_in(&mut self, who: &Who, lines: &[Held]) -> bool {
        let (mut entry, is_new) = match self.take_out(&who.key) {
            Some(entry) => (entry, false),
            None if lines.iter().any(Held::is_bad) => (Entry::new(who.clone(), self.gone.contains(&who.key)), true),
            None => return false,
        };
        self.place(&mut entry, who);
        for line in lines {
            entry.lines.add(line, self.half_life);
        }
        entry.note_rank(self.half_life);
        if is_new && !self.make_room(&entry) {
            self.overflowed = self.overflowed.saturating_add(1);
            return false;
        }
        if let Some(given) = proven(lines, self.half_life) {
            self.give(&entry.who, given);
        }
        self.put(entry);
        true
    }

    /// What is to be said of a source, `priors` being what is known of it otherwise. Of one that nothing is held against,
    /// these and what its neighbours did are all.
    pub fn assess(&self, who: &Who, priors: &[Prior], now: Timestamp) -> Assessment {
        let entry = self.sources.get(&who.key);
        let mut lines = entry.map(|entry| entry.lines.read(now, self.half_life)).unwrap_or_default();
        lines.extend(priors.iter().filter_map(Line::of));

        let own = entry.and_then(|entry| entry.lines.proven(self.half_life).map(|own| (&entry.who, own)));
        let in_network = own.filter(|(known, _)| known.network == who.network).map(|(_, own)| own);
        let points = self.networks.prior(&who.network, in_network, now, self.half_life);
        if points > 0.0 {
            lines.push(Line::prior("network", who.network.as_ref().to_owned(), points));
        }
        if let Some(asn) = who.asn {
            let in_asn = own.filter(|(known, _)| known.asn == who.asn).map(|(_, own)| own);
            let points = self.asns.prior(&asn, in_asn, now, self.half_life);
            if points > 0.0 {
                lines.push(Line::prior("asn", format!("AS{asn}"), points));
            }
        }
        Assessment::new(lines)
    }

    /// Takes back what an alert said: it was a false positive. Returns the points taken away.
    ///
    /// Where its line has been merged with others, up to `estimate` points as they were `at` that time are taken from what
    /// these have left, once. That time is best the alert's own: the estimate fades from there. The points returned are
    /// as of that time, or of the last evidence they were added to, whichever is later.
    pub fn remove_alert(&mut self, key: &str, alert: AlertId, estimate: f64, at: Timestamp) -> f64 {
        let Some(mut entry) = self.take_out(key) else { return 0.0 };
        let mut removed = entry.lines.remove_alert(alert);
        if removed.is_empty() && estimate.is_finite() {
            removed = entry.lines.correct(alert, Fading { points: estimate, at }, self.half_life);
            for line in &mut removed {
                line.points = -line.points;
            }
        }
        if let Some(taken) = proven(&removed, self.half_life) {
            self.give(&entry.who, taken.times(-1.0));
        }
        let points = removed.iter().fold(0.0, |sum, line| sum + line.fading().left(at, self.half_life));
        if entry.is_bad() {
            entry.note_rank(self.half_life);
            self.put(entry);
            self.trim();
        } else {
            self.forget(&entry);
        }
        points
    }

    /// Forgets a source, and what it added to what is held against its network. Returns whether it was there.
    pub fn reset(&mut self, key: &str) -> bool {
        let Some(entry) = self.take_out(key) else { return false };
        if let Some(own) = entry.lines.proven(self.half_life) {
            self.give(&entry.who, own.times(-1.0));
        }
        self.forget(&entry);
        true
    }

    /// Notes where a source is now: what it has counts against its neighbours there, and no longer against those before.
    /// What is not known of it now is as it was.
    fn place(&mut self, entry: &mut Entry, who: &Who) {
        let asn = who.asn.or(entry.who.asn);
        if entry.who.network == who.network && entry.who.asn == asn {
            return;
        }
        let own = entry.lines.proven(self.half_life);
        if let Some(own) = own {
            self.give(&entry.who, own.times(-1.0));
        }
        entry.who.network = Arc::clone(&who.network);
        entry.who.asn = asn;
        if let Some(own) = own {
            self.give(&entry.who, own);
        }
    }

    /// Adds what a source has to what its neighbours have; of negative points, takes it back.
    fn give(&mut self, who: &Who, points: Fading) {
        self.networks.give(&who.network, points, self.half_life);
        if let Some(asn) = who.asn {
            self.asns.give(&asn, points, self.half_life);
        }
    }
}

#[cfg(test)]
mod tests;
