//! Address space with a purpose of its own: nothing on the public internet sends from there.
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why a prefix is not of the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// What the space is for, with the space.
    pub what: &'static str,
    /// Whether denying it cuts off the machine itself or its link whoever asks: loopback, link-local, multicast. The
    /// rest may be somebody's own network, which an operator may well deny.
    pub is_vital: bool,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(a: u16, b: u16, c: u16, len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), len)
}

const fn vital(what: &'static str) -> Purpose {
    Purpose { what, is_vital: true }
}

const fn own(what: &'static str) -> Purpose {
    Purpose { what, is_vital: false }
}

/// IPv4, as IANA's special-purpose registry has it; disjoint, in order.
const V4: [(Ipv4Net, Purpose); 15] = [
    (v4(0, 0, 0, 0, 8), vital("this-network space 0.0.0.0/8")),
    (v4(10, 0, 0, 0, 8), own("private space 10.0.0.0/8")),
    (v4(100, 64, 0, 0, 10), own("carrier-grade NAT space 100.64.0.0/10")),
    (v4(127, 0, 0, 0, 8), vital("loopback space 127.0.0.0/8")),
    (v4(169, 254, 0, 0, 16), vital("link-local space 169.254.0.0/16")),
    (v4(172, 16, 0, 0, 12), own("private space 172.16.0.0/12")),
    (v4(192, 0, 0, 0, 24), own("protocol assignments 192.0.0.0/24")),
    (v4(192, 0, 2, 0, 24), own("documentation space 192.0.2.0/24")),
    (v4(192, 88, 99, 0, 24), own("6to4 relay space 192.88.99.0/24")),
    (v4(192, 168, 0, 0, 16), own("private space 192.168.0.0/16")),
    (v4(198, 18, 0, 0, 15), own("benchmarking space 198.18.0.0/15")),
    (v4(198, 51, 100, 0, 24), own("documentation space 198.51.100.0/24")),
    (v4(203, 0, 113, 0, 24), own("documentation space 203.0.113.0/24")),
    (v4(224, 0, 0, 0, 4), vital("multicast space 224.0.0.0/4")),
    (v4(240, 0, 0, 0, 4), own("reserved space 240.0.0.0/4")),
];

/// IPv6; what is not in `2000::/3` is special as a whole, the named spaces first.
const V6: [(Ipv6Net, Purpose); 13] = [
    (v6(0, 0, 0, 127), vital("loopback space ::/127")),
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), own("IPv4-mapped space ::ffff:0:0/96")),
    (v6(0x64, 0xff9b, 0, 96), own("NAT64 space 64:ff9b::/96")),
    (v6(0x64, 0xff9b, 1, 48), own("NAT64 space 64:ff9b:1::/48")),
    (v6(0x100, 0, 0, 64), own("discard space 100::/64")),
    (v6(0x2001, 0, 0, 32), own("Teredo space 2001::/32")),
    (v6(0x2001, 0xdb8, 0, 32), own("documentation space 2001:db8::/32")),
    (v6(0x2001, 0, 0, 23), own("protocol assignments 2001::/23")),
    (v6(0x2002, 0, 0, 16), own("6to4 space 2002::/16")),
    (v6(0x3fff, 0, 0, 20), own("documentation space 3fff::/20")),
    (v6(0xfc00, 0, 0, 7), own("private space fc00::/7")),
    (v6(0xfe80, 0, 0, 10), vital("link-local space fe80::/10")),
    (v6(0xff00, 0, 0, 8), vital("multicast space ff00::/8")),
];

/// Where the public IPv6 internet is.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// The special space a prefix lies in as a whole, if it does.
pub fn purpose(prefix: IpNet) -> Option<Purpose> {
    match prefix {
        IpNet::V4(net) => V4.iter().find(|(space, _)| space.contains(&net)).map(|(_, purpose)| *purpose),
        IpNet::V6(net) => {
            let named = V6.iter().find(|(space, _)| space.contains(&net)).map(|(_, purpose)| *purpose);
            let is_global = GLOBAL_V6.contains(&net) || net.contains(&GLOBAL_V6);
            named.or_else(|| (!is_global).then_some(own("space outside of 2000::/3, where the IPv6 internet is")))
        }
    }
}

/// Every named special space.
pub fn spaces() -> impl Iterator<Item = (IpNet, Purpose)> {
    let v4 = V4.iter().map(|(space, purpose)| (IpNet::V4(*space), *purpose));
    v4.chain(V6.iter().map(|(space, purpose)| (IpNet::V6(*space), *purpose)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefix: &str) -> Option<&'static str> {
        purpose(prefix.parse().unwrap()).map(|purpose| purpose.what)
    }

    #[test]
    fn private_and_special_space_is_known_and_public_space_is_not() {
        for (prefix, part) in [
            ("10.1.2.3/32", "private"),
            ("100.64.0.0/16", "carrier-grade"),
            ("127.0.0.1/32", "loopback"),
            ("203.0.113.9/32", "documentation"),
            ("240.0.0.0/4", "reserved"),
            ("255.255.255.255/32", "reserved"),
            ("fd00::/8", "private"),
            ("::1/128", "loopback"),
            ("::ffff:192.0.2.1/128", "IPv4-mapped"),
            ("4000::/8", "outside of 2000::/3"),
            ("2001:db8:1::/48", "documentation"),
        ] {
            let what = of(prefix).unwrap_or_else(|| panic!("{prefix} is taken for public"));
            assert!(what.contains(part), "{prefix}: {what}");
        }
        for prefix in ["8.8.8.8/32", "11.0.0.0/8", "2606:4700::/32", "0.0.0.0/0", "::/0", "2000::/3", "192.0.0.0/16"] {
            assert_eq!(of(prefix), None, "{prefix}");
        }
    }
}
