//! Whom a list would hit: addresses, protected and never-block prefixes, sources that behaved well.
//!
//! All of it by spans of addresses: the list's prefixes become spans that do not touch, and what is asked about is
//! looked up in them. A million entries against a hundred thousand prefixes take a fraction of a second.
use std::cmp::Ordering;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use crate::domain::prefixes::Prefixes;
use crate::domain::special;

/// Prefixes shown of each set.
pub const SHOWN: usize = 5;

/// All IPv4 addresses.
const ALL_V4: u64 = 1 << 32;

/// Whom a list would hit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reach {
    /// IPv4 prefixes.
    pub prefixes_v4: usize,
    /// IPv6 prefixes.
    pub prefixes_v6: usize,
    /// IPv4 addresses, each once however many prefixes cover it.
    pub addresses_v4: u64,
    /// Their share of all IPv4 addresses, from 0 to 1.
    pub share_v4: f64,
    /// The share of all IPv4 addresses that are routed, from 0 to 1.
    pub share_routable_v4: f64,
    /// Protected prefixes.
    pub protected: Hits,
    /// Never-block prefixes.
    pub never_block: Hits,
    /// Sources that behaved well lately.
    pub well_behaved: Hits,
    /// Packets that those were let through.
    pub well_behaved_packets: u64,
}

/// Prefixes of a set that a list would hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// Of the set: wholly covered by the list.
    pub covered: u64,
    /// Of the set: wider than what the list names in them.
    pub touched: u64,
    /// Of the list: prefixes that meet any of the set.
    pub entries: u64,
    /// The first [`SHOWN`] of the set that are covered or touched.
    pub first: Vec<IpNet>,
}

impl Hits {
    /// How many of the set are hit.
    pub fn total(&self) -> u64 {
        self.covered.saturating_add(self.touched)
    }

    /// Whether any is.
    pub fn any(&self) -> bool {
        self.total() > 0
    }
}

/// How many prefixes came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Not there before.
    pub added: u64,
    /// No longer there.
    pub removed: u64,
}

/// Whom the list would hit of the protected and the never-block prefixes and of the sources that behaved well lately,
/// each with the packets it was let through.
pub fn reach(
    list: &Prefixes,
    protected: impl IntoIterator<Item = IpNet>,
    never_block: impl IntoIterator<Item = IpNet>,
    well_behaved: impl IntoIterator<Item = (IpNet, u64)>,
) -> Reach {
    let spans =
        Both { v4: Spans::of(list.v4().iter().copied().map(span4)), v6: Spans::of(list.v6().iter().map(span6)) };
    let addresses_v4 = spans.v4.addresses();
    let unrouted = Spans::of(
        special::spaces().filter_map(|(space, _)| if let IpNet::V4(net) = space { Some(span4(net)) } else { None }),
    );
    let routable = ALL_V4.saturating_sub(unrouted.addresses());
    let routed = addresses_v4.saturating_sub(spans.v4.common(&unrouted));
    let mut well_behaved_packets = 0u64;
    let sources = well_behaved.into_iter().map(|(prefix, packets)| {
        if spans.holds(prefix) != Held::No {
            well_behaved_packets = well_behaved_packets.saturating_add(packets);
        }
        prefix
    });
    let well_behaved = spans.hits(list, sources);
    Reach {
        prefixes_v4: list.v4().len(),
        prefixes_v6: list.v6().len(),
        addresses_v4,
        share_v4: share(addresses_v4, ALL_V4),
        share_routable_v4: share(routed, routable),
        protected: spans.hits(list, protected),
        never_block: spans.hits(list, never_block),
        well_behaved,
        well_behaved_packets,
    }
}

/// What changed from one list to the next, in one pass over both.
pub fn change(before: &Prefixes, after: &Prefixes) -> Change {
    let mut change = Change::default();
    count(before.v4(), after.v4(), &mut change);
    count(before.v6(), after.v6(), &mut change);
    change
}

fn count<T: Ord>(before: &[T], after: &[T], change: &mut Change) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some(old), Some(new)) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        if order != Ordering::Greater {
            before.next();
        }
        if order != Ordering::Less {
            after.next();
        }
        change.removed = change.removed.saturating_add(u64::from(order == Ordering::Less));
        change.added = change.added.saturating_add(u64::from(order == Ordering::Greater));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people; 2^33 is exact in an f64 anyway")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// First and last address.
type Span<T> = (T, T);

fn span4(net: Ipv4Net) -> Span<u32> {
    (net.network().to_bits(), net.broadcast().to_bits())
}

fn span6(net: &Ipv6Net) -> Span<u128> {
    (net.network().to_bits(), net.broadcast().to_bits())
}

/// Whether a set of spans holds a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    No,
    Partly,
    Wholly,
}

/// An address as a number.
trait Number: Copy + Ord {
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Spans in order that neither overlap nor touch.
struct Spans<T>(Vec<Span<T>>);

impl<T: Number> Spans<T> {
    /// The union of these, which are sorted by their first address.
    fn of(sorted: impl Iterator<Item = Span<T>>) -> Self {
        let mut spans: Vec<Span<T>> = Vec::new();
        for (first, last) in sorted {
            match spans.last_mut() {
                Some((_, end)) if first <= *end || end.next() == Some(first) => *end = last.max(*end),
                _ => spans.push((first, last)),
            }
        }
        Self(spans)
    }

    fn holds(&self, (first, last): Span<T>) -> Held {
        // The first span that does not end before it.
        let at = self.0.partition_point(|(_, end)| *end < first);
        match self.0.get(at) {
            Some((start, end)) if *start <= first && last <= *end => Held::Wholly,
            Some((start, _)) if *start <= last => Held::Partly,
            _ => Held::No,
        }
    }

    /// How many of these, sorted by their first address, meet any of the spans.
    fn meeting(&self, sorted: impl Iterator<Item = Span<T>>) -> u64 {
        let mut spans = self.0.iter().peekable();
        let mut met = 0u64;
        for (first, last) in sorted {
            while spans.next_if(|(_, end)| *end < first).is_some() {}
            match spans.peek() {
                Some((start, _)) if *start <= last => met = met.saturating_add(1),
                Some(_) => {}
                None => break,
            }
        }
        met
    }
}

impl Spans<u32> {
    fn addresses(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last.saturating_sub(*first)) + 1).sum()
    }

    /// Addresses that are in both.
    fn common(&self, other: &Self) -> u64 {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = 0u64;
        while let (Some((a, b)), Some((c, d))) = (ours.peek(), theirs.peek()) {
            let (first, last) = (a.max(c), b.min(d));
            if first <= last {
                common = common.saturating_add(u64::from(last - first) + 1);
            }
            if b <= d {
                ours.next()
            } else {
                theirs.next()
            };
        }
        common
    }
}

struct Both {
    v4: Spans<u32>,
    v6: Spans<u128>,
}

impl Both {
    fn holds(&self, prefix: IpNet) -> Held {
        match prefix {
            IpNet::V4(net) => self.v4.holds(span4(net)),
            IpNet::V6(net) => self.v6.holds(span6(&net)),
        }
    }

    fn hits(&self, list: &Prefixes, set: impl IntoIterator<Item = IpNet>) -> Hits {
        let mut hits = Hits::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in set {
            match self.holds(prefix) {
                Held::No => continue,
                Held::Partly => hits.touched = hits.touched.saturating_add(1),
                Held::Wholly => hits.covered = hits.covered.saturating_add(1),
            }
            if hits.first.len() < SHOWN {
                hits.first.push(prefix);
            }
            match prefix {
                IpNet::V4(net) => v4.push(span4(net)),
                IpNet::V6(net) => v6.push(span6(&net)),
            }
        }
        if hits.any() {
            v4.sort_unstable();
            v6.sort_unstable();
            let v4 = Spans::of(v4.into_iter()).meeting(list.v4().iter().copied().map(span4));
            let v6 = Spans::of(v6.into_iter()).meeting(list.v6().iter().map(span6));
            hits.entries = v4.saturating_add(v6);
        }
        hits
    }
}

#[cfg(test)]
mod tests;
