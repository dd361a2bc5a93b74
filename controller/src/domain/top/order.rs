//! The order of rows.
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::prefixes::single;
use crate::domain::report::{TopBy, TopRow};

/// Sorts rows: numbers from the largest, words and addresses from the smallest, unknown ones last; the other way around
/// where `reversed`. Rows that are equal in that stay in the order of their packets, then of their addresses, so that
/// they do not change places without reason.
pub fn sort(rows: &mut [TopRow], by: TopBy, reversed: bool) {
    rows.sort_by_cached_key(|row| Key::of(row, by, reversed));
}

/// What stands in a row's place in the order.
#[derive(PartialEq)]
struct Key {
    first: Rank,
    reversed: bool,
    packets: u64,
    prefix: Option<IpNet>,
    country: Option<String>,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Rank {
    /// A number: the largest first.
    Figure(f64),
    /// A word: by the alphabet, none last.
    Word(Option<String>),
    /// An address: the smallest first, none last.
    Prefix(Option<IpNet>),
}

impl Key {
    fn of(row: &TopRow, by: TopBy, reversed: bool) -> Self {
        Self {
            first: Rank::of(row, by),
            reversed,
            packets: row.packets,
            prefix: row.address.as_deref().and_then(prefix),
            country: row.country.clone(),
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let first = self.first.order(&other.first);
        let first = if self.reversed { first.reverse() } else { first };
        first
            .then_with(|| other.packets.cmp(&self.packets))
            .then_with(|| self.prefix.cmp(&other.prefix))
            .then_with(|| self.country.cmp(&other.country))
    }
}

impl Rank {
    /// A row's, in an order.
    #[expect(clippy::cast_precision_loss, reason = "two that differ by less are as good as equal")]
    pub fn of(row: &TopRow, by: TopBy) -> Self {
        match by {
            TopBy::Packets => Self::Figure(row.packets_per_second),
            TopBy::Bytes => Self::Figure(row.bytes_per_second),
            TopBy::Drops => Self::Figure(row.dropped as f64),
            TopBy::AllPackets => Self::Figure(row.packets as f64),
            TopBy::AllBytes => Self::Figure(row.bytes as f64),
            TopBy::DroppedShare => Self::Figure(row.dropped_share().unwrap_or(-1.0)),
            TopBy::Address => Self::Prefix(row.address.as_deref().and_then(prefix)),
            TopBy::Country => Self::Word(row.country.clone()),
            TopBy::Asn => Self::Figure(row.asn.map_or(-1.0, f64::from)),
            TopBy::Sources => Self::Figure(row.sources as f64),
        }
    }

    /// Which of two comes first.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Figure(a), Self::Figure(b)) => b.total_cmp(a),
            (Self::Word(a), Self::Word(b)) => last_if_unknown(a.as_ref(), b.as_ref()),
            (Self::Prefix(a), Self::Prefix(b)) => last_if_unknown(a.as_ref(), b.as_ref()),
            // Keys of one order are of one kind.
            _ => Ordering::Equal,
        }
    }
}

fn last_if_unknown<T: Ord>(a: Option<&T>, b: Option<&T>) -> Ordering {
    a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
}

/// An address or a prefix, as rows have it.
pub fn prefix(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(single))
}
