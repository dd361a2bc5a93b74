//! Who must not be cut off: the protected and never-block sets, and the one function that every door asks.
use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::decision::{Kind, Origin};
use super::prefixes;

/// Widest IPv4 prefix that may be denied without `--force`.
pub const WIDEST_V4: u8 = 8;
/// Widest IPv6 prefix that may be denied without `--force`.
pub const WIDEST_V6: u8 = 19;

/// The two sets. Both are small: own addresses, gateways, resolvers; ranges of CDNs and search engines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    protected: BTreeMap<IpNet, String>,
    never_block: BTreeMap<IpNet, String>,
}

/// Someone a denial would hit who must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The protected or never-block prefix.
    pub prefix: IpNet,
    /// Why it is in the set.
    pub why: String,
}

/// Why a denial is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It covers protected addresses.
    #[error("{prefix} covers {}, which must not be cut off; {hint}", list(.hits))]
    Protected {
        /// What was to be denied.
        prefix: IpNet,
        /// Whom it would have hit.
        hits: Vec<Hit>,
        /// What `--force` would do.
        hint: &'static str,
    },
    /// It covers never-block addresses and no person asked for it.
    #[error("{prefix} covers {} of the never-block set, which automatic decisions cannot cross", list(.hits))]
    NeverBlock {
        /// What was to be denied.
        prefix: IpNet,
        /// Whom it would have hit.
        hits: Vec<Hit>,
    },
    /// It is wider than any one source of abuse.
    #[error("{prefix} is {share} of all {family} addresses; narrow it, or add --force if you mean it")]
    TooWide {
        /// What was to be denied.
        prefix: IpNet,
        /// Its share, for people.
        share: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// It is special-purpose space no abuse comes from.
    #[error("{prefix} lies in {what}; add --force if you mean it")]
    Special {
        /// What was to be denied.
        prefix: IpNet,
        /// The space.
        what: &'static str,
    },
}

fn list(hits: &[Hit]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<String> =
        hits.iter().take(SHOWN).map(|hit| format!("{} ({})", bare(hit.prefix), hit.why)).collect();
    if hits.len() > SHOWN {
        text.push(format!("{} more", hits.len() - SHOWN));
    }
    text.join(", ")
}

/// A prefix as people write it: a single address without its length.
pub fn bare(prefix: IpNet) -> String {
    if prefixes::is_single(&prefix) { prefix.addr().to_string() } else { prefix.to_string() }
}

impl Guards {
    /// Both sets, with the reason each prefix is in.
    pub fn new(
        protected: impl IntoIterator<Item = (IpNet, String)>,
        never_block: impl IntoIterator<Item = (IpNet, String)>,
    ) -> Self {
        Self {
            protected: protected.into_iter().map(|(prefix, why)| (prefix.trunc(), why)).collect(),
            never_block: never_block.into_iter().map(|(prefix, why)| (prefix.trunc(), why)).collect(),
        }
    }

    /// The protected prefixes.
    pub fn protected_prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.protected.keys().copied()
    }

    /// The never-block prefixes.
    pub fn never_block_prefixes(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.never_block.keys().copied()
    }

    /// Why the address is protected, if it is.
    pub fn protects(&self, address: IpAddr) -> Option<&str> {
        covers_address(&self.protected, address)
    }

    /// Why the address is in the never-block set, if it is.
    pub fn never_blocks(&self, address: IpAddr) -> Option<&str> {
        covers_address(&self.never_block, address)
    }

    /// [`weir_common::abi::class_flag`] bits of an address.
    pub fn flags(&self, prefix: IpNet) -> u32 {
        let mut flags = 0;
        let covered = |set: &BTreeMap<IpNet, String>| prefixes::covering(prefix).any(|wide| set.contains_key(&wide));
        if covered(&self.protected) {
            flags |= weir_common::abi::class_flag::PROTECTED;
        }
        if covered(&self.never_block) {
            flags |= weir_common::abi::class_flag::NEVER_BLOCK;
        }
        flags
    }

    /// Whether `--force` on this prefix overrides protection: only where it names what is protected, or part of it.
    pub fn overrides(&self, prefix: IpNet) -> bool {
        self.flags(prefix) & weir_common::abi::class_flag::PROTECTED != 0
    }

    /// The protected addresses inside a wider prefix, which stay reachable whatever is denied around them.
    pub fn spared(&self, prefix: IpNet) -> Vec<Hit> {
        overlapping(&self.protected, prefix).into_iter().filter(|hit| !hit.prefix.contains(&prefix)).collect()
    }

    /// Whether a decision may be made: the one question at every door (command line, API, feed, alert, store, fleet).
    ///
    /// Allowing is always fine. `forced` is the operator's `--force`, which an automation cannot give. It overrides
    /// protection for what the operator named ([`Guards::overrides`]); protected addresses inside a wider prefix stay
    /// reachable.
    ///
    /// # Errors
    /// [`Refusal`] with whom the denial would have hit.
    pub fn admit(&self, prefix: IpNet, kind: Kind, origin: &Origin, forced: bool) -> Result<(), Refusal> {
        if kind == Kind::Allow || (forced && origin.is_operator()) {
            return Ok(());
        }
        let widest = match prefix {
            IpNet::V4(_) => WIDEST_V4,
            IpNet::V6(_) => WIDEST_V6,
        };
        let hits = overlapping(&self.protected, prefix);
        if !hits.is_empty() {
            let hint = if hits.iter().any(|hit| hit.prefix.contains(&prefix)) {
                "add --force if you mean it"
            } else {
                "--force denies the rest of it (and an address in it only if that is named itself)"
            };
            return Err(Refusal::Protected { prefix, hits, hint });
        }
        if prefix.prefix_len() < widest {
            let family = if matches!(prefix, IpNet::V4(_)) { "IPv4" } else { "IPv6" };
            return Err(Refusal::TooWide { prefix, share: share(prefix.prefix_len()), family });
        }
        if let Some(what) = special(prefix) {
            return Err(Refusal::Special { prefix, what });
        }
        if !origin.is_operator() {
            let hits = overlapping(&self.never_block, prefix);
            if !hits.is_empty() {
                return Err(Refusal::NeverBlock { prefix, hits });
            }
        }
        Ok(())
    }
}

fn share(len: u8) -> String {
    if len == 0 { "all".to_owned() } else { format!("1/{}", 1u64 << len.min(63)) }
}

fn covers_address(set: &BTreeMap<IpNet, String>, address: IpAddr) -> Option<&str> {
    let mut covering: Vec<_> = prefixes::covering(prefixes::single(address)).collect();
    covering.reverse();
    covering.iter().find_map(|prefix| set.get(prefix)).map(String::as_str)
}

/// The set's prefixes that cover `prefix` or lie inside it.
fn overlapping(set: &BTreeMap<IpNet, String>, prefix: IpNet) -> Vec<Hit> {
    set.iter()
        .filter(|(guarded, _)| guarded.contains(&prefix) || prefix.contains(*guarded))
        .map(|(guarded, why)| Hit { prefix: *guarded, why: why.clone() })
        .collect()
}

/// Space that no remote abuse comes from and whose denial usually cuts off the machine's own network: loopback,
/// link-local, multicast, unspecified. Private space is left to the operator: floods do come from there.
fn special(prefix: IpNet) -> Option<&'static str> {
    const V4: [(Ipv4Net, &str); 4] = [
        (Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 8), "this-network space 0.0.0.0/8"),
        (Ipv4Net::new_assert(std::net::Ipv4Addr::from_bits(0x7f00_0000), 8), "loopback space 127.0.0.0/8"),
        (Ipv4Net::new_assert(std::net::Ipv4Addr::new(169, 254, 0, 0), 16), "link-local space 169.254.0.0/16"),
        (Ipv4Net::new_assert(std::net::Ipv4Addr::new(224, 0, 0, 0), 4), "multicast space 224.0.0.0/4"),
    ];
    const V6: [(Ipv6Net, &str); 3] = [
        (Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 127), "loopback space ::/127"),
        (Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), "link-local space fe80::/10"),
        (Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8), "multicast space ff00::/8"),
    ];
    match prefix {
        IpNet::V4(net) => V4.iter().find(|(space, _)| space.contains(&net)).map(|(_, what)| *what),
        IpNet::V6(net) => V6.iter().find(|(space, _)| space.contains(&net)).map(|(_, what)| *what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn guards() -> Guards {
        Guards::new(
            [(net("192.0.2.1/32"), "default gateway".to_owned()), (net("2001:db8::1/128"), "resolver".to_owned())],
            [(net("198.51.100.0/24"), "a CDN".to_owned())],
        )
    }

    #[track_caller]
    fn check(prefix: &str, origin: &str, forced: bool, refused: Option<&str>) {
        let result = guards().admit(net(prefix), Kind::Deny, &origin.parse().unwrap(), forced);
        match (result, refused) {
            (Ok(()), None) => {}
            (Err(refusal), Some(part)) => {
                assert!(refusal.to_string().contains(part), "{refusal}");
            }
            (result, refused) => panic!("{prefix} {origin}: {result:?}, wanted {refused:?}"),
        }
    }

    #[test]
    fn protected_addresses_are_refused_to_all_but_a_forcing_operator() {
        check("192.0.2.1/32", "operator", false, Some("default gateway"));
        check("192.0.2.0/24", "operator", false, Some("192.0.2.1 (default gateway)"));
        check("192.0.2.1/32", "fail2ban", true, Some("default gateway"));
        check("192.0.2.1/32", "operator", true, None);
        check("2001:db8::/32", "operator", false, Some("resolver"));
    }

    #[test]
    fn never_block_stops_automations_and_not_people() {
        check("198.51.100.7/32", "fail2ban", false, Some("never-block"));
        check("198.51.100.7/32", "operator", false, None);
        check("198.51.0.0/16", "fail2ban", false, Some("198.51.100.0/24 (a CDN)"));
    }

    #[test]
    fn the_whole_internet_and_special_space_need_force() {
        check("0.0.0.0/0", "operator", false, Some("192.0.2.1"));
        check("64.0.0.0/4", "operator", false, Some("1/16 of all IPv4"));
        check("2000::/3", "operator", false, Some("resolver"));
        check("127.0.0.1/32", "operator", false, Some("loopback"));
        check("fe80::1/128", "operator", false, Some("link-local"));
        check("64.0.0.0/4", "operator", true, None);
        check("203.0.113.9/32", "operator", false, None);
    }
}
