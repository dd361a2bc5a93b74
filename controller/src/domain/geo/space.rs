//! Sets of addresses as sorted, disjoint ranges, and the fewest prefixes they come to.
use std::net::IpAddr;
use std::sync::LazyLock;

use ipnet::IpNet;

use super::layer::Range;
use crate::domain::prefixes::{self, Prefixes};
use crate::domain::special;

/// Addresses of a family as numbers.
pub(super) trait Number: Copy + Ord {
    /// The first.
    const FIRST: Self;
    /// The last.
    const LAST: Self;
    /// Bits of an address.
    const BITS: u8;
    /// The next, if there is one.
    fn next(self) -> Option<Self>;
    /// The one before, if there is one.
    fn previous(self) -> Option<Self>;
    /// How far it is to `last`.
    fn distance(self, last: Self) -> Self;
    /// The prefix of this length that starts here ends here; `None` where none starts here.
    fn last_of(self, len: u8) -> Option<Self>;
    /// The prefix that starts here.
    fn prefix(self, len: u8) -> IpNet;
}

/// The same for both families: only the number's width differs.
macro_rules! number {
    ($number:ty, $bits:literal) => {
        impl Number for $number {
            const FIRST: Self = Self::MIN;
            const LAST: Self = Self::MAX;
            const BITS: u8 = $bits;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn distance(self, last: Self) -> Self {
                last.saturating_sub(self)
            }
            fn last_of(self, len: u8) -> Option<Self> {
                let host = Self::MAX.checked_shr(u32::from(len)).unwrap_or(0);
                (self & host == 0).then_some(self | host)
            }
            fn prefix(self, len: u8) -> IpNet {
                let address = IpAddr::from(self.to_be_bytes());
                IpNet::new(address, len).unwrap_or_else(|_| prefixes::single(address))
            }
        }
    };
}

number!(u32, 32);
number!(u128, 128);

/// A set of addresses of one family: first and last of each range, sorted, neither overlapping nor touching.
type Spans<N> = Vec<(N, N)>;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Space {
    v4: Spans<u32>,
    v6: Spans<u128>,
}

impl Space {
    /// Every address there is.
    pub fn all() -> Self {
        Self { v4: vec![(u32::FIRST, u32::LAST)], v6: vec![(u128::FIRST, u128::LAST)] }
    }

    /// What these ranges cover, in any order.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut space = Self::default();
        for range in ranges {
            space.push(range);
        }
        Self { v4: merged(space.v4), v6: merged(space.v6) }
    }

    /// Adds a range behind all others.
    pub(super) fn push(&mut self, range: Range) {
        match range {
            Range::V4(first, last) => self.v4.push((first, last)),
            Range::V6(first, last) => self.v6.push((first, last)),
        }
    }

    /// What is not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { v4: difference(&self.v4, &other.v4), v6: difference(&self.v6, &other.v6) }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The fewest prefixes that cover it and nothing else.
    pub fn prefixes(&self) -> Prefixes {
        let mut all = Vec::new();
        self.v4.iter().for_each(|(first, last)| split(*first, *last, &mut all));
        self.v6.iter().for_each(|(first, last)| split(*first, *last, &mut all));
        Prefixes::new(all)
    }
}

fn merged<N: Number>(mut spans: Spans<N>) -> Spans<N> {
    spans.sort_unstable();
    let mut out: Spans<N> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match out.last_mut() {
            Some((_, end)) if end.next().is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => out.push((first, last)),
        }
    }
    out
}

fn difference<N: Number>(from: &[(N, N)], taken: &[(N, N)]) -> Spans<N> {
    let mut out = Vec::with_capacity(from.len());
    let mut taken = taken.iter().peekable();
    for &(first, last) in from {
        let mut at = Some(first);
        while let (Some(start), Some(&&(out_first, out_last))) = (at, taken.peek()) {
            if out_last < start {
                taken.next();
                continue;
            }
            if out_first > last {
                break;
            }
            if let Some(end) = out_first.previous().filter(|end| start <= *end) {
                out.push((start, end));
            }
            at = out_last.next().filter(|next| *next <= last);
        }
        if let Some(start) = at {
            out.push((start, last));
        }
    }
    out
}

/// Of all prefixes that start at `first` and end by `last` the widest, and so on behind it.
fn split<N: Number>(first: N, last: N, out: &mut Vec<IpNet>) {
    let mut at = Some(first);
    while let Some(start) = at.filter(|start| *start <= last) {
        let widest = (0..N::BITS).find_map(|len| Some((len, start.last_of(len).filter(|end| *end <= last)?)));
        let (len, end) = widest.unwrap_or((N::BITS, start));
        out.push(start.prefix(len));
        at = end.next();
    }
}

/// Where the public IPv6 internet is: `2000::/3`.
const PUBLIC_V6: (u128, u128) = (0x2 << 124, (0x4 << 124) - 1);

/// Space that belongs to no country, whatever a database says: private, CGNAT, loopback, link-local, multicast,
/// documentation and other special-purpose space, and all of IPv6 but `2000::/3`. No rule on countries or systems ever
/// denies it.
pub fn special_purpose() -> &'static Space {
    static SPACE: LazyLock<Space> = LazyLock::new(|| {
        let public = Space { v4: Vec::new(), v6: vec![PUBLIC_V6] };
        let Space { v6, .. } = Space::all().without(&public);
        let rest = v6.into_iter().map(|(first, last)| Range::V6(first, last));
        Space::new(special::spaces().map(|(space, _)| Range::from(space)).chain(rest))
    });
    &SPACE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(space: &Space, address: u32) -> bool {
        space.v4.iter().any(|(first, last)| (*first..=*last).contains(&address))
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let edge = prop_oneof![0u32..40, (u32::MAX - 40)..=u32::MAX];
        prop::collection::vec((edge.clone(), edge).prop_map(|(a, b)| Range::V4(a.min(b), a.max(b))), 0..8)
    }

    /// All numbers near either end of the family.
    fn near_the_ends() -> impl Iterator<Item = u32> {
        (0..64).chain(u32::MAX - 64..=u32::MAX)
    }

    proptest! {
        #[test]
        fn the_difference_is_what_only_the_first_holds(a in ranges(), b in ranges()) {
            let (a, b) = (Space::new(a), Space::new(b));
            let left = a.without(&b);
            for address in near_the_ends() {
                prop_assert_eq!(holds(&left, address), holds(&a, address) && !holds(&b, address));
            }
        }

        #[test]
        fn prefixes_cover_the_space_and_are_the_fewest(a in ranges()) {
            let space = Space::new(a);
            let nets: Vec<IpNet> = space.prefixes().iter().collect();
            prop_assert_eq!(Space::new(nets.iter().copied().map(Range::from)), space);
            prop_assert_eq!(IpNet::aggregate(&nets).len(), nets.len());
        }
    }

    #[test]
    fn special_space_is_what_no_country_has() {
        let special = ["10.1.2.3/32", "100.64.0.1/32", "fe80::1/128", "2001:db8::1/128", "4000::/2", "::/3"];
        let public = ["8.8.8.8/32", "11.0.0.0/8", "2400::/12", "2c00::/12"];
        let space = |nets: &[&str]| Space::new(nets.iter().map(|text| Range::from(text.parse::<IpNet>().unwrap())));
        assert!(space(&special).without(special_purpose()).is_empty());
        assert_eq!(space(&public).without(special_purpose()), space(&public));
    }

    #[test]
    fn all_addresses_come_to_two_prefixes() {
        let all: Vec<String> = Space::all().prefixes().iter().map(|net| net.to_string()).collect();
        assert_eq!(all, ["0.0.0.0/0", "::/0"]);
        assert!(Space::all().without(&Space::all()).is_empty());
    }
}
