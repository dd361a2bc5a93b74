//! What of an address is one source.
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of an IPv6 address that one source has: a network of its own, in which it can change address as it likes.
const SOURCE_V6: u8 = 64;

/// What is denied, limited and told apart: the address for IPv4, its /64 for IPv6. An IPv4 address that is written as an
/// IPv6 one is the IPv4 one.
pub fn prefix(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
        IpAddr::V6(address) => {
            // 64 is a length of IPv6.
            let net = Ipv6Net::new(address, SOURCE_V6).unwrap_or_else(|_| Ipv6Net::from(address));
            IpNet::V6(net.trunc())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_a_64() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ] {
            assert_eq!(prefix(address.parse().unwrap()).to_string(), expected);
        }
    }
}
