//! Where a feed may not be fetched from: addresses and names of this machine, its networks and its cloud.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::domain::special;

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, h: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, h), len)
}

/// Never fetched from, whatever is allowed: no server has such an address, or it is a cloud's metadata service, which
/// hands credentials of the machine to whoever asks from it.
const NEVER_V4: [(Ipv4Net, &str); 7] = [
    (v4(0, 0, 0, 0, 8), "this-network space"),
    (v4(169, 254, 0, 0, 16), "link-local space, where clouds keep their metadata service"),
    (v4(100, 100, 100, 200, 32), "a cloud's metadata service"),
    (v4(168, 63, 129, 16, 32), "a cloud's metadata service"),
    (v4(192, 0, 0, 192, 32), "a cloud's metadata service"),
    (v4(224, 0, 0, 0, 4), "multicast space"),
    (v4(240, 0, 0, 0, 4), "reserved space"),
];

const NEVER_V6: [(Ipv6Net, &str); 4] = [
    (v6(0, 0, 0, 0, 128), "the unspecified address"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local space"),
    (v6(0xff00, 0, 0, 0, 8), "multicast space"),
    (v6(0xfd00, 0x0ec2, 0, 0x254, 128), "a cloud's metadata service"),
];

/// An address or name that a feed may not be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    /// What it is, for people.
    pub what: &'static str,
    /// Whether `allow_private` would allow it.
    pub allowable: bool,
}

/// Why the address may not be asked for a feed; none where it may.
pub fn forbidden(address: IpAddr, allow_private: bool) -> Option<Forbidden> {
    let found = match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => special_v4(inner),
            None => special_v6(address),
        },
    };
    found.filter(|found| !(allow_private && found.allowable))
}

/// Why the host name may not be asked, whatever it resolves to; none where it may. Names of this machine and of
/// private networks, in any case and with or without the last dot.
pub fn forbidden_name(host: &str, allow_private: bool) -> Option<Forbidden> {
    if allow_private {
        return None;
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let local = matches!(last, "localhost" | "localdomain");
    let inner = matches!(last, "local" | "internal" | "intranet" | "lan") || name.ends_with(".home.arpa");
    match (local, inner) {
        (true, _) => Some(Forbidden { what: "a name of this machine", allowable: true }),
        (false, true) => Some(Forbidden { what: "a name of private networks", allowable: true }),
        (false, false) => None,
    }
}

/// The IPv4 address that packets to this one reach: IPv4-mapped, IPv4-compatible, or behind the well-known NAT64 prefix
/// (networks with DNS64 give these for every IPv4 host).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);
    const COMPATIBLE: Ipv6Net = v6(0, 0, 0, 0, 96);
    if let Some(inner) = address.to_ipv4_mapped() {
        return Some(inner);
    }
    let low = u32::try_from(address.to_bits() & u128::from(u32::MAX)).unwrap_or_default();
    let compatible = COMPATIBLE.contains(&address) && low > 1;
    (NAT64.contains(&address) || compatible).then(|| Ipv4Addr::from_bits(low))
}

fn special_v4(address: Ipv4Addr) -> Option<Forbidden> {
    let never = NEVER_V4.iter().find(|(space, _)| space.contains(&address));
    never.map(|(_, what)| Forbidden { what, allowable: false }).or_else(|| private(address.into()))
}

fn special_v6(address: Ipv6Addr) -> Option<Forbidden> {
    let never = NEVER_V6.iter().find(|(space, _)| space.contains(&address));
    never.map(|(_, what)| Forbidden { what, allowable: false }).or_else(|| private(address.into()))
}

/// Fetched from only where the operator says so.
fn private(address: IpAddr) -> Option<Forbidden> {
    special::purpose(IpNet::from(address)).map(|purpose| Forbidden { what: purpose.what, allowable: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, without: bool, with: bool) {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(forbidden(address, false).is_none(), without, "{address}");
        assert_eq!(forbidden(address, true).is_none(), with, "{address} with allow_private");
    }

    #[test]
    fn public_addresses_are_asked() {
        check("1.1.1.1", true, true);
        check("2606:4700::1", true, true);
        check("64:ff9b::101:101", true, true);
    }

    #[test]
    fn private_ones_are_asked_only_where_allowed() {
        for address in ["10.0.0.1", "127.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "192.0.2.1", "::1"] {
            check(address, false, true);
        }
        for address in ["fd00::1", "2001:db8::1", "2002:7f00:1::", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "::7f00:1"] {
            check(address, false, true);
        }
    }

    #[test]
    fn metadata_multicast_and_nowhere_are_never_asked() {
        for address in ["169.254.169.254", "100.100.100.200", "168.63.129.16", "0.0.0.0", "255.255.255.255", "::"] {
            check(address, false, false);
        }
        for address in ["224.0.0.1", "ff02::1", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            check(address, false, false);
        }
    }

    #[test]
    fn names_of_this_machine_are_not_asked() {
        for name in ["localhost", "LOCALHOST.", "a.localhost", "printer.local", "metadata.google.internal"] {
            assert!(forbidden_name(name, false).is_some(), "{name}");
            assert!(forbidden_name(name, true).is_none(), "{name}");
        }
        assert!(forbidden_name("localhost.example.com", false).is_none());
    }
}
