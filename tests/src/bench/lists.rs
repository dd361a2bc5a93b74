//! Lists of made addresses, and the tables they come to.
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use ipnet::IpNet;
use weir::domain::decision::{Kind, Origin};
use weir::domain::desired::Desired;
use weir::domain::guard::Guards;
use weir::domain::prefixes::Prefixes;
use weir::domain::tables::{self, Capacity, Image};

use super::rig::Family;
use super::sequence;

/// Keys the tables' hashes.
pub const KEY: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

/// The address with this number.
pub fn address(family: Family, number: u64) -> IpNet {
    match family {
        Family::V4 => IpNet::from(std::net::IpAddr::V4(Ipv4Addr::from(sequence::v4(number)))),
        Family::V6 => IpNet::from(std::net::IpAddr::V6(Ipv6Addr::from(sequence::v6(number)))),
    }
}

/// The tables of an imported deny list that holds the addresses of these numbers, of both families, hashed by `key`.
///
/// # Errors
/// Where they do not fit.
pub fn denying(numbers: &(impl Iterator<Item = u64> + Clone), key: [u64; 2]) -> Result<Image> {
    let all = Family::ALL.into_iter().flat_map(|family| numbers.clone().map(move |number| address(family, number)));
    let mut desired = Desired::new();
    let id = desired.list_for("bench", Kind::Deny, &Origin::Operator)?;
    if let Some(list) = desired.list_mut(id) {
        list.imported = Prefixes::new(all);
    }
    let capacity = Capacity { addresses: 10_000_000, prefixes: 1_000_000, bytes: 1 << 32 };
    Ok(tables::build(&desired, &Guards::default(), capacity, 0, key)?)
}

/// The text of a plain list of so many addresses, for `weir block import`.
pub fn text(numbers: u64) -> String {
    let mut text = String::new();
    for number in 0..numbers {
        text.push_str(&Ipv4Addr::from(sequence::v4(number)).to_string());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::net::IpAddr;

    use weir::domain::guard::Guards;

    use super::*;

    #[test]
    fn every_number_has_an_address_of_its_own_that_may_be_denied() {
        let guards = Guards::default();
        for family in Family::ALL {
            let mut seen = HashSet::new();
            let numbers =
                (0..300_000).chain((0..300_000).map(|step| step * 7_158)).filter(|number| *number < family.numbers());
            for number in numbers.collect::<BTreeSet<u64>>() {
                let prefix = address(family, number);
                assert!(seen.insert(prefix), "{prefix} twice");
                guards.admit(prefix, Kind::Deny, &Origin::Operator, false).expect("an address anybody may send from");
            }
        }
    }

    #[test]
    fn no_address_is_in_the_servers_and_the_clients_networks() {
        let first_octets: HashSet<u8> = (0..100_000)
            .filter_map(|number| match address(Family::V4, number).addr() {
                IpAddr::V4(address) => Some(address.octets()[0]),
                IpAddr::V6(_) => None,
            })
            .collect();
        assert_eq!(first_octets.len(), 128);
        for octet in [10, 127, 169, 192, 203] {
            assert!(!first_octets.contains(&octet), "{octet}");
        }
    }
}
