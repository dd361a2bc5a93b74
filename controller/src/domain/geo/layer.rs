//! A value for every address: sorted boundaries, found by bisection.
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::space::{Number, Space};

/// Addresses from a first to a last one, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Range {
    /// IPv4.
    V4(u32, u32),
    /// IPv6.
    V6(u128, u128),
}

/// Two addresses that are no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// One address of each family.
    #[error("{0} and {1} are not of one family")]
    TwoFamilies(IpAddr, IpAddr),
    /// The last comes before the first.
    #[error("{0} comes after {1}")]
    Backwards(IpAddr, IpAddr),
}

impl Range {
    /// From `first` to `last`, both included.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        let range = match (first, last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Self::V4(a.into(), b.into()),
            (IpAddr::V6(a), IpAddr::V6(b)) => Self::V6(a.into(), b.into()),
            _ => return Err(RangeError::TwoFamilies(first, last)),
        };
        if first > last { Err(RangeError::Backwards(first, last)) } else { Ok(range) }
    }

    /// Both as one, where `other` starts right behind this.
    pub fn joined(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::V4(first, end), Self::V4(next, last)) if end.checked_add(1) == Some(next) => {
                Some(Self::V4(first, last))
            }
            (Self::V6(first, end), Self::V6(next, last)) if end.checked_add(1) == Some(next) => {
                Some(Self::V6(first, last))
            }
            _ => None,
        }
    }
}

impl From<IpNet> for Range {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V4(net) => Self::V4(net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => Self::V6(net.network().into(), net.broadcast().into()),
        }
    }
}

/// A value for every address, or none. Cloning shares the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer<V> {
    v4: Arc<Side<u32, V>>,
    v6: Arc<Side<u128, V>>,
}

impl<V> Default for Layer<V> {
    fn default() -> Self {
        let (v4, v6) =
            (Side { starts: Vec::new(), values: Vec::new() }, Side { starts: Vec::new(), values: Vec::new() });
        Self { v4: Arc::new(v4), v6: Arc::new(v6) }
    }
}

impl<V: Copy + Ord> Layer<V> {
    /// From ranges in any order. Where they overlap the one of fewer addresses is right, as in a longest-prefix match,
    /// and of two as large the later. `None` is a value too: known to have none.
    pub fn build(ranges: impl IntoIterator<Item = (Range, Option<V>)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (range, value) in ranges {
            match range {
                Range::V4(first, last) => v4.push((first, last, value)),
                Range::V6(first, last) => v6.push((first, last, value)),
            }
        }
        Self { v4: Arc::new(Side::sweep(&v4)), v6: Arc::new(Side::sweep(&v6)) }
    }

    /// The value of an address. An IPv4-mapped IPv6 address is the IPv4 address.
    pub fn get(&self, address: IpAddr) -> Option<V> {
        match address.to_canonical() {
            IpAddr::V4(a) => self.v4.get(a.into()),
            IpAddr::V6(a) => self.v6.get(a.into()),
        }
    }

    /// Ranges that have a value, in order; neighbours differ.
    pub fn ranges(&self) -> impl Iterator<Item = (Range, V)> + '_ {
        let v4 = self.v4.ranges().map(|(first, last, value)| (Range::V4(first, last), value));
        v4.chain(self.v6.ranges().map(|(first, last, value)| (Range::V6(first, last), value)))
    }

    /// The addresses of each value that is wanted, in one pass.
    pub fn spaces(&self, wanted: impl Fn(V) -> bool) -> BTreeMap<V, Space> {
        let mut spaces: BTreeMap<V, Space> = BTreeMap::new();
        for (range, value) in self.ranges().filter(|(_, value)| wanted(*value)) {
            spaces.entry(value).or_default().push(range);
        }
        spaces
    }

    /// The addresses that have one of the wanted values.
    pub fn space(&self, wanted: impl Fn(V) -> bool) -> Space {
        Space::new(self.ranges().filter(|(_, value)| wanted(*value)).map(|(range, _)| range))
    }

    /// The values there are, in order.
    pub fn values(&self) -> Vec<V> {
        let mut values: Vec<V> = self.v4.values.iter().chain(&self.v6.values).copied().flatten().collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// How many IPv4 addresses have a value.
    pub fn known_v4(&self) -> u64 {
        self.v4.ranges().map(|(first, last, _)| u64::from(last.saturating_sub(first)) + 1).sum()
    }

    /// How many boundaries it has.
    pub fn len(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }

    /// Whether no address has a value.
    pub fn is_empty(&self) -> bool {
        self.ranges().next().is_none()
    }

    /// Bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}

/// One family: each value holds from its start to the next one's; the first starts at zero.
#[derive(Debug, PartialEq, Eq)]
struct Side<N, V> {
    starts: Vec<N>,
    values: Vec<Option<V>>,
}

impl<N: Number, V: Copy + Eq> Side<N, V> {
    fn sweep(ranges: &[(N, N, Option<V>)]) -> Self {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|place| ranges.get(*place).map(|(first, _, _)| *first));
        let mut waiting = order.into_iter().filter_map(|place| Some((place, *ranges.get(place)?))).peekable();
        let mut side = Self { starts: Vec::new(), values: Vec::new() };
        // Ranges around where the sweep is, the smallest on top.
        let mut around = BinaryHeap::new();
        let mut at = N::FIRST;
        loop {
            while let Some((place, (first, last, _))) = waiting.next_if(|(_, (first, _, _))| *first <= at) {
                around.push(Reverse((first.distance(last), Reverse(place), last)));
            }
            while around.peek().is_some_and(|Reverse((_, _, last))| *last < at) {
                around.pop();
            }
            let top = around.peek().and_then(|Reverse((_, Reverse(place), _))| ranges.get(*place));
            side.push(at, top.and_then(|(_, _, value)| *value));
            let end = top.and_then(|(_, last, _)| last.next());
            let next = waiting.peek().map(|(_, (first, _, _))| *first);
            let Some(boundary) = end.into_iter().chain(next).min() else { break };
            at = boundary;
        }
        side.starts.shrink_to_fit();
        side.values.shrink_to_fit();
        side
    }

    fn push(&mut self, at: N, value: Option<V>) {
        if self.values.last() != Some(&value) {
            self.starts.push(at);
            self.values.push(value);
        }
    }

    fn get(&self, address: N) -> Option<V> {
        let place = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        self.values.get(place).copied().flatten()
    }

    fn ranges(&self) -> impl Iterator<Item = (N, N, V)> + '_ {
        let ends = self.starts.iter().skip(1).map(|start| start.previous().unwrap_or(N::FIRST)).chain([N::LAST]);
        let all = self.starts.iter().copied().zip(ends).zip(&self.values);
        all.filter_map(|((first, last), value)| value.map(|value| (first, last, value)))
    }

    fn bytes(&self) -> usize {
        self.starts.capacity() * size_of::<N>() + self.values.capacity() * size_of::<Option<V>>()
    }
}

#[cfg(test)]
mod tests;
