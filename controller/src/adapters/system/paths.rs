//! By which interfaces packets of a connection come in.
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::interfaces::{self, Interface};
use super::netlink::{self, attribute, attributes, family, octets, u32_at};

const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;

/// The interfaces, by index, by which packets from `remote` to this machine's address `local` may come in: the one that has
/// the address, the one that answers go out by, and those these lie upon (ports of a bridge or a bond, what a VLAN is on).
/// Empty where that cannot be told, as for an address of the loopback interface: it may be any of them then.
pub fn interfaces(local: IpAddr, remote: IpAddr) -> BTreeSet<u32> {
    let Ok(all) = interfaces::list() else { return BTreeSet::new() };
    let (local, remote) = (local.to_canonical(), remote.to_canonical());
    let own: Vec<&Interface> = all.iter().filter(|one| one.addresses.contains(&local)).collect();
    let Ok(Some(out)) = way_out(local, remote) else { return BTreeSet::new() };
    let is_loopback = |index: u32| all.iter().any(|one| one.index == index && one.loopback);
    let ends: BTreeSet<u32> = own.iter().map(|one| one.index).chain([out]).collect();
    if own.is_empty() || ends.iter().any(|index| is_loopback(*index)) {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    let mut next: Vec<u32> = ends.into_iter().collect();
    while let Some(index) = next.pop() {
        if found.insert(index) {
            next.extend(all.iter().filter(|one| one.master == Some(index)).map(|one| one.index));
            next.extend(all.iter().filter(|one| one.index == index).filter_map(|one| one.upon));
        }
    }
    found
}

/// The interface by which packets to `remote` from `local` leave.
fn way_out(local: IpAddr, remote: IpAddr) -> io::Result<Option<u32>> {
    // struct rtmsg: family, lengths of destination and source, and nothing else that is asked for.
    let mut request = vec![0; 12];
    let (to, from) = (octets(remote), octets(local));
    let bits = |octets: &[u8]| u8::try_from(8 * octets.len()).unwrap_or(u8::MAX);
    for (place, value) in request.iter_mut().zip([family(remote), bits(&to), bits(&from)]) {
        *place = value;
    }
    request.extend(attribute(RTA_DST, &to));
    request.extend(attribute(RTA_SRC, &from));
    let found = netlink::get(libc::NETLINK_ROUTE, libc::RTM_GETROUTE, &request, |body| {
        let (_, index) = attributes(body.get(12..)?).find(|(kind, _)| *kind == RTA_OIF)?;
        u32_at(index, 0)
    })?;
    Ok(found.first().copied())
}

#[cfg(test)]
mod tests {
    use super::super::interfaces::index_of;
    use super::super::tests::{in_namespace, ip};
    use super::*;

    #[track_caller]
    fn check(local: &str, remote: &str, expected: &[&str]) {
        let indexes: BTreeSet<u32> = expected.iter().map(|name| index_of(name).unwrap().unwrap()).collect();
        assert_eq!(interfaces(local.parse().unwrap(), remote.parse().unwrap()), indexes, "{local} {remote}");
    }

    #[test]
    fn the_interfaces_of_an_address_of_its_route_and_those_below_are_found() {
        in_namespace(|| {
            ip("link set lo up");
            ip("link add near type veth peer name far");
            ip("link add port type veth peer name wall");
            ip("link add bridge type bridge");
            ip("link set port master bridge");
            ip("link add spare type bridge");
            for name in ["near", "far", "port", "wall", "bridge", "spare"] {
                ip(&format!("link set {name} up"));
            }
            ip("address add 192.0.2.1/24 dev near");
            ip("address add 2001:db8::1/64 dev near nodad");
            ip("address add 198.51.100.1/24 dev bridge");
            ip("address add 203.0.113.1/32 dev spare");
            ip("route add default via 192.0.2.254");
            // The far end of a veth pair lies in the same namespace here, so that it is one of those below.
            check("192.0.2.1", "192.0.2.9", &["near", "far"]);
            check("2001:db8::1", "2001:db8::9", &["near", "far"]);
            check("::ffff:192.0.2.1", "::ffff:192.0.2.9", &["near", "far"]);
            check("198.51.100.1", "198.51.100.9", &["bridge", "port", "wall"]);
            // Answers leave by the default route.
            check("203.0.113.1", "100.64.0.9", &["spare", "near", "far"]);
            // No interface has it, it is the loopback's, there is no way back.
            check("192.0.2.2", "192.0.2.9", &[]);
            check("127.0.0.1", "127.0.0.1", &[]);
            check("2001:db8::1", "2001:db9::9", &[]);
        });
    }
}
