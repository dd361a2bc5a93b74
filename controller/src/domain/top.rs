//! Who sends: from two measurements of the tracked sources to rows in order.
//!
//! Filters choose sources before these are put together, so that networks and countries tell of what was asked for,
//! and of all tracked sources rather than of the first.
pub mod filter;
pub mod order;

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::filter::Filter;
use super::guard::bare;
use super::report::{TopBy, TopGroup, TopRow};

/// What a source sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

impl Sent {
    /// What was sent since an earlier measurement of the same source. One that was forgotten and tracked anew in between
    /// has begun from nothing.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        if self.packets < earlier.packets {
            return self;
        }
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes.saturating_sub(earlier.bytes),
            dropped: self.dropped.saturating_sub(earlier.dropped),
        }
    }
}

/// A tracked source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// An IPv4 address or an IPv6 /64.
    pub prefix: IpNet,
    /// Since it is tracked.
    pub all: Sent,
    /// During the measurement.
    pub lately: Sent,
    /// Its country, where it is known.
    pub country: Option<String>,
    /// Its autonomous system, where it is known.
    pub asn: Option<u32>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What a row is.
    pub group: TopGroup,
    /// What rows are sorted by.
    pub by: TopBy,
    /// Whether the other way around.
    pub reversed: bool,
    /// Which sources count.
    pub filter: Filter,
    /// Most rows.
    pub limit: usize,
}

/// Rows in order, and how many there would be without the limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The first of them.
    pub rows: Vec<TopRow>,
    /// All.
    pub matching: u64,
    /// Packets a second of all.
    pub packets_per_second: f64,
}

/// The rows asked for, of sources that were measured for `seconds`.
pub fn rows(sources: impl IntoIterator<Item = Source>, seconds: f64, query: &Query) -> Rows {
    let mut groups: BTreeMap<GroupKey, Sums> = BTreeMap::new();
    for source in sources {
        if query.filter.takes(&source.prefix, source.country.as_deref(), source.asn) {
            let key = GroupKey::of(&source, query.group);
            groups.entry(key).and_modify(|sums| sums.add(&source)).or_insert_with(|| Sums::of(&source));
        }
    }
    let mut rows: Vec<TopRow> = groups.into_iter().map(|(key, sums)| sums.row(&key, seconds)).collect();
    order::sort(&mut rows, query.by, query.reversed);
    let matching = rows.len() as u64;
    let packets_per_second = rows.iter().map(|row| row.packets_per_second).sum();
    rows.truncate(query.limit);
    Rows { rows, matching, packets_per_second }
}

/// The /24 or /48 around a prefix; what is wider already stays.
pub fn network_of(prefix: &IpNet) -> IpNet {
    match prefix {
        IpNet::V4(net) if net.prefix_len() > 24 => Ipv4Net::new_assert(net.addr(), 24).trunc().into(),
        IpNet::V6(net) if net.prefix_len() > 48 => Ipv6Net::new_assert(net.addr(), 48).trunc().into(),
        IpNet::V4(_) | IpNet::V6(_) => *prefix,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Prefix(IpNet),
    Country(Option<String>),
}

impl GroupKey {
    fn of(source: &Source, group: TopGroup) -> Self {
        match group {
            TopGroup::Source => Self::Prefix(source.prefix),
            TopGroup::Network => Self::Prefix(network_of(&source.prefix)),
            TopGroup::Country => Self::Country(source.country.clone()),
        }
    }
}

/// What a row's sources sent together, and what they have in common.
#[derive(Clone, Debug)]
struct Sums {
    sources: u64,
    all: Sent,
    lately: Sent,
    country: Option<String>,
    asn: Option<u32>,
}

impl Sums {
    fn of(source: &Source) -> Self {
        Self { sources: 1, all: source.all, lately: source.lately, country: source.country.clone(), asn: source.asn }
    }

    fn add(&mut self, source: &Source) {
        self.sources += 1;
        for (into, from) in [(&mut self.all, source.all), (&mut self.lately, source.lately)] {
            into.packets = into.packets.saturating_add(from.packets);
            into.bytes = into.bytes.saturating_add(from.bytes);
            into.dropped = into.dropped.saturating_add(from.dropped);
        }
        self.country = self.country.take().filter(|country| source.country.as_ref() == Some(country));
        self.asn = self.asn.filter(|asn| source.asn == Some(*asn));
    }

    fn row(self, key: &GroupKey, seconds: f64) -> TopRow {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let address = match key {
            GroupKey::Prefix(prefix) => Some(bare(*prefix)),
            GroupKey::Country(_) => None,
        };
        TopRow {
            address,
            packets: self.all.packets,
            bytes: self.all.bytes,
            dropped: self.all.dropped,
            packets_per_second: per_second(self.lately.packets),
            bytes_per_second: per_second(self.lately.bytes),
            dropped_per_second: per_second(self.lately.dropped),
            country: self.country,
            asn: self.asn,
            sources: self.sources,
        }
    }
}

#[cfg(test)]
mod tests;
