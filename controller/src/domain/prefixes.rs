//! A list's imported prefixes: sorted, compact, shared between generations.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Many prefixes with nothing of their own beside them. Cloning shares the memory.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    v4: Arc<Vec<Ipv4Net>>,
    v6: Arc<Vec<Ipv6Net>>,
    /// A bit for each length that has been among them: most look-ups ask for lengths that never were.
    lengths_v4: u64,
    lengths_v6: [u64; 3],
}

impl PartialEq for Prefixes {
    fn eq(&self, other: &Self) -> bool {
        // The lengths may name one that is gone.
        self.v4 == other.v4 && self.v6 == other.v6
    }
}

impl Eq for Prefixes {}

impl Prefixes {
    /// The prefixes, sorted, each once, host bits cleared.
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => v4.push(net.trunc()),
                IpNet::V6(net) => v6.push(net.trunc()),
            }
        }
        // The order of `Ipv4Net`, compared as one number: a million in no order take half the time.
        v4.sort_unstable_by_key(|net| u64::from(u32::from(net.network())) << 8 | u64::from(net.prefix_len()));
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        v4.shrink_to_fit();
        v6.shrink_to_fit();
        let lengths_v4 = v4.iter().fold(0, |bits, net| bits | 1u64 << net.prefix_len());
        let mut lengths_v6 = [0; 3];
        for net in &v6 {
            if let Some(bits) = lengths_v6.get_mut(usize::from(net.prefix_len() / 64)) {
                *bits |= 1u64 << (net.prefix_len() % 64);
            }
        }
        Self { v4: Arc::new(v4), v6: Arc::new(v6), lengths_v4, lengths_v6 }
    }

    fn has_length(&self, prefix: &IpNet) -> bool {
        let len = prefix.prefix_len();
        match prefix {
            IpNet::V4(_) => self.lengths_v4 >> len & 1 == 1,
            IpNet::V6(_) => self.lengths_v6.get(usize::from(len / 64)).is_some_and(|bits| bits >> (len % 64) & 1 == 1),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The IPv4 ones, sorted.
    pub fn v4(&self) -> &[Ipv4Net] {
        &self.v4
    }

    /// The IPv6 ones, sorted.
    pub fn v6(&self) -> &[Ipv6Net] {
        &self.v6
    }

    /// All of them, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.v4.iter().copied().map(IpNet::V4).chain(self.v6.iter().copied().map(IpNet::V6))
    }

    /// Whether this very prefix is among them.
    pub fn contains(&self, prefix: &IpNet) -> bool {
        if !self.has_length(prefix) {
            return false;
        }
        match prefix {
            IpNet::V4(net) => self.v4.binary_search(net).is_ok(),
            IpNet::V6(net) => self.v6.binary_search(net).is_ok(),
        }
    }

    /// How many of them lie inside of a prefix, itself not counted.
    pub fn inside(&self, prefix: IpNet) -> usize {
        // In order, with nothing in between: those that start at its first address and are wider come before it.
        let between = |first: usize, behind: usize| behind.saturating_sub(first);
        match prefix {
            IpNet::V4(net) => between(
                self.v4.partition_point(|one| *one <= net),
                self.v4.partition_point(|one| one.network() <= net.broadcast()),
            ),
            IpNet::V6(net) => between(
                self.v6.partition_point(|one| *one <= net),
                self.v6.partition_point(|one| one.network() <= net.broadcast()),
            ),
        }
    }

    /// Takes one out; `false` where it was not among them. Copies only if the memory is shared.
    pub fn remove(&mut self, prefix: &IpNet) -> bool {
        match prefix {
            IpNet::V4(net) => {
                let Ok(at) = self.v4.binary_search(net) else { return false };
                Arc::make_mut(&mut self.v4).remove(at);
            }
            IpNet::V6(net) => {
                let Ok(at) = self.v6.binary_search(net) else { return false };
                Arc::make_mut(&mut self.v6).remove(at);
            }
        }
        true
    }
}

impl Prefixes {
    /// Puts one prefix in, host bits cleared.
    pub fn insert(&mut self, prefix: IpNet) {
        match prefix.trunc() {
            IpNet::V4(net) => {
                let Err(at) = self.v4.binary_search(&net) else { return };
                Arc::make_mut(&mut self.v4).insert(at, net);
                self.lengths_v4 |= 1u64 << net.prefix_len();
            }
            IpNet::V6(net) => {
                let Err(at) = self.v6.binary_search(&net) else { return };
                Arc::make_mut(&mut self.v6).insert(at, net);
                if let Some(bits) = self.lengths_v6.get_mut(usize::from(net.prefix_len() / 64)) {
                    *bits |= 1u64 << (net.prefix_len() % 64);
                }
            }
        }
    }
}

/// Every prefix that covers `prefix`, itself included, from the widest to the narrowest.
pub fn covering(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    let (address, longest) = (prefix.network(), prefix.prefix_len());
    (0..=longest).filter_map(move |len| match address {
        IpAddr::V4(a) => Some(IpNet::V4(Ipv4Net::new(mask4(a, len), len).ok()?)),
        IpAddr::V6(a) => Some(IpNet::V6(Ipv6Net::new(mask6(a, len), len).ok()?)),
    })
}

/// The prefix that is just this address.
pub fn single(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// Whether the prefix is one address.
pub fn is_single(prefix: &IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

fn mask4(address: Ipv4Addr, len: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

fn mask6(address: Ipv6Addr, len: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
    Ipv6Addr::from(u128::from(address) & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn removing_from_a_shared_list_leaves_the_other_copy_alone() {
        let first = Prefixes::new([net("192.0.2.1/32"), net("2001:db8::/32"), net("192.0.2.1/32")]);
        let mut second = first.clone();
        assert!(second.remove(&net("192.0.2.1/32")));
        assert!(!second.remove(&net("192.0.2.1/32")));
        assert_eq!((first.len(), second.len()), (2, 1));
    }

    #[test]
    fn what_lies_inside_of_a_prefix_is_counted_without_itself_and_what_is_wider() {
        let all = ["0.0.0.0/0", "192.0.2.0/23", "192.0.2.0/24", "192.0.2.0/32", "192.0.2.255/32", "192.0.3.0/32"];
        let all = Prefixes::new(all.into_iter().chain(["2001:db8::/32", "2001:db8::/48", "2001:db9::/48"]).map(net));
        for (prefix, inside) in [
            ("0.0.0.0/0", 5),
            ("192.0.2.0/23", 4),
            ("192.0.2.0/24", 2),
            ("192.0.2.0/32", 0),
            ("192.0.2.128/25", 1),
            ("255.0.0.0/8", 0),
            ("::/0", 3),
            ("2001:db8::/32", 1),
            ("2001:db9::/48", 0),
        ] {
            assert_eq!(all.inside(net(prefix)), inside, "{prefix}");
        }
    }

    #[test]
    fn covering_prefixes_run_from_the_whole_to_the_one() {
        let all: Vec<_> = covering(net("192.0.2.1/32")).collect();
        assert_eq!(all.len(), 33);
        assert_eq!((all[0], all[24], all[32]), (net("0.0.0.0/0"), net("192.0.2.0/24"), net("192.0.2.1/32")));
    }
}
