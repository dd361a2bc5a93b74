//! Default gateways.
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::SystemError;
use super::super::netlink::{self, address, attributes, u16_at, u32_at};

const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Gateways of default routes, and default routes whose gateway is not told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gateways {
    pub(super) addresses: BTreeSet<IpAddr>,
    pub(super) problems: Vec<String>,
}

/// The gateways of all default routes of both families, in every routing table: policy routing may use any.
pub(super) fn gateways() -> Result<Gateways, SystemError> {
    let mut found = Gateways::default();
    for family in [AF_INET, AF_INET6] {
        let mut request = [0; 12];
        request[0] = family;
        let routes = netlink::dump(libc::NETLINK_ROUTE, libc::RTM_GETROUTE, &request, next_hops)
            .map_err(SystemError::about("its default routes"))?;
        for hops in routes {
            if let (true, Some(object)) = (hops.addresses.is_empty(), hops.object) {
                found.problems.push(format!("default gateway: the kernel does not tell the one of next hop {object}"));
            }
            found.addresses.extend(hops.addresses);
        }
    }
    Ok(found)
}

/// Where a default route leads.
#[derive(Debug, PartialEq, Eq)]
struct NextHops {
    addresses: Vec<IpAddr>,
    /// A next hop object, where the route names one (Linux 5.3).
    object: Option<u32>,
}

/// Parses `struct rtmsg` (family, destination's length, …, type at 7; 12 bytes) and its attributes; `None` for all but
/// default routes.
fn next_hops(body: &[u8]) -> Option<NextHops> {
    if *body.get(1)? != 0 || *body.get(7)? != RTN_UNICAST {
        return None;
    }
    let attributes_of = body.get(12..)?;
    let object = attributes(attributes_of).find(|(kind, _)| *kind == RTA_NH_ID).and_then(|(_, id)| u32_at(id, 0));
    let mut addresses: Vec<_> = attributes(attributes_of).filter_map(hop).collect();
    for (_, several) in attributes(attributes_of).filter(|(kind, _)| *kind == RTA_MULTIPATH) {
        addresses.extend(each_hop(several).flat_map(|hop_attributes| attributes(hop_attributes).filter_map(hop)));
    }
    Some(NextHops { addresses, object })
}

fn hop((kind, value): (u16, &[u8])) -> Option<IpAddr> {
    match kind {
        RTA_GATEWAY => address(value),
        // struct rtvia: family, address; an IPv4 route by way of an IPv6 neighbour.
        RTA_VIA => address(value.get(2..)?),
        _ => None,
    }
}

/// The attributes of each `struct rtnexthop` (length, flags, hops, index; 8 bytes).
fn each_hop(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let inner = bytes.get(8..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(inner)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::netlink::attribute;
    use super::super::super::tests::{in_namespace, ip};
    use super::*;

    const DEFAULT: [u8; 12] = [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];

    fn found() -> Vec<String> {
        gateways().unwrap().addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_default_routes_count() {
        let gateway = attribute(RTA_GATEWAY, &[192, 0, 2, 254]);
        let route = |head: [u8; 12]| next_hops(&[&head[..], &gateway].concat());
        assert_eq!(route(DEFAULT).unwrap().addresses, [IpAddr::from([192, 0, 2, 254])]);
        let mut narrow = DEFAULT;
        narrow[1] = 24;
        assert_eq!(route(narrow), None);
        let mut unreachable = DEFAULT;
        unreachable[7] = 7;
        assert_eq!(route(unreachable), None);
    }

    #[test]
    fn every_cut_ends_the_parse() {
        let hop = [&16u16.to_ne_bytes()[..], &[0; 6], &attribute(RTA_GATEWAY, &[192, 0, 2, 254])].concat();
        let whole = [&DEFAULT[..], &attribute(RTA_MULTIPATH, &[hop.clone(), hop].concat())].concat();
        assert_eq!(next_hops(&whole).unwrap().addresses.len(), 2);
        for cut in 0..whole.len() {
            assert!(next_hops(&whole[..cut]).is_none_or(|hops| hops.addresses.len() < 2), "cut at {cut}");
        }
    }

    #[test]
    fn gateways_of_both_families_all_tables_and_several_hops_are_found() {
        in_namespace(|| {
            ip("link add near type veth peer name far");
            ip("link set far up");
            ip("link set near up");
            ip("address add 192.0.2.1/24 dev near");
            ip("address add 2001:db8::1/64 dev near nodad");
            assert_eq!(found(), Vec::<String>::new());

            ip("route add 198.51.100.0/24 via 192.0.2.9");
            assert_eq!(found(), Vec::<String>::new());
            ip("route add default nexthop via 192.0.2.253 dev near nexthop via 192.0.2.254 dev near");
            ip("route add default via 192.0.2.7 dev near table 7");
            ip("route add default via inet6 fe80::7 dev near table 8");
            ip("-6 route add default via fe80::1 dev near");
            assert_eq!(found(), ["192.0.2.7", "192.0.2.253", "192.0.2.254", "fe80::1", "fe80::7"]);
        });
    }

    #[test]
    fn gateways_behind_next_hop_objects_are_found() {
        in_namespace(|| {
            ip("link add near type veth peer name far");
            ip("link set far up");
            ip("link set near up");
            ip("address add 192.0.2.1/24 dev near");
            ip("nexthop add id 5 via 192.0.2.254 dev near");
            ip("route add default nhid 5");
            assert_eq!(gateways().unwrap().problems, Vec::<String>::new());
            assert_eq!(found(), ["192.0.2.254"]);
        });
    }
}
