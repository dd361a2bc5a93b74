//! Makes veth pairs, gives them addresses and routes: in the network namespace of the calling thread.
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;

use super::interfaces::index_of;
use super::netlink::{self, attribute, family, octets};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `IFA_F_NODAD`: an address nobody else can have is used at once.
const AT_ONCE: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_EVERYWHERE: u8 = 0;
const SCOPE_HERE: u8 = 254;
const UNICAST: u8 = 1;
const LOCAL: u8 = 2;
/// The loopback interface's index in every namespace.
const LOOPBACK: u32 = 1;

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

impl End<'_> {
    fn attributes(&self) -> Vec<u8> {
        let name = [self.name.as_bytes(), &[0]].concat();
        [attribute(IFLA_IFNAME, &name), attribute(IFLA_ADDRESS, &self.mac)].concat()
    }
}

/// Makes a veth pair: one end here, the other in the namespace `there`. Both are switched off.
///
/// # Errors
/// The kernel's.
pub fn add_veth(here: End<'_>, other: End<'_>, there: BorrowedFd<'_>) -> io::Result<()> {
    let peer = [link(0, 0).to_vec(), other.attributes(), attribute(IFLA_NET_NS_FD, &there.as_raw_fd().to_ne_bytes())];
    let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer.concat()));
    let info = [attribute(IFLA_INFO_KIND, b"veth\0"), data].concat();
    let body = [link(0, 0).to_vec(), here.attributes(), attribute(IFLA_LINKINFO, &info)].concat();
    netlink::create(libc::NETLINK_ROUTE, libc::RTM_NEWLINK, &body)
}

/// Switches an interface on.
///
/// # Errors
/// The kernel's; `NotFound` where there is none.
pub fn switch_on(name: &str) -> io::Result<()> {
    let body = link(index(name)?, libc::IFF_UP.cast_unsigned());
    netlink::change(libc::NETLINK_ROUTE, libc::RTM_SETLINK, &body)
}

/// Gives an interface an address, with the network around it.
///
/// # Errors
/// The kernel's; `NotFound` where there is no such interface.
pub fn add_address(name: &str, address: IpNet) -> io::Result<()> {
    let value = octets(address.addr());
    let mut body = vec![family(address.addr()), address.prefix_len(), AT_ONCE, 0];
    body.extend(index(name)?.to_ne_bytes());
    body.extend(attribute(IFA_LOCAL, &value));
    body.extend(attribute(IFA_ADDRESS, &value));
    netlink::create(libc::NETLINK_ROUTE, libc::RTM_NEWADDR, &body)
}

/// Sends what has no other way to a gateway.
///
/// # Errors
/// The kernel's.
pub fn add_default_route(gateway: IpAddr) -> io::Result<()> {
    let mut body = route(family(gateway), 0, TABLE_MAIN, SCOPE_EVERYWHERE, UNICAST).to_vec();
    body.extend(attribute(RTA_GATEWAY, &octets(gateway)));
    netlink::create(libc::NETLINK_ROUTE, libc::RTM_NEWROUTE, &body)
}

/// Makes every address of a network one of this namespace's own.
///
/// # Errors
/// The kernel's.
pub fn own_network(network: IpNet) -> io::Result<()> {
    let address = network.network();
    let mut body = route(family(address), network.prefix_len(), TABLE_LOCAL, SCOPE_HERE, LOCAL).to_vec();
    body.extend(attribute(RTA_DST, &octets(address)));
    body.extend(attribute(RTA_OIF, &LOOPBACK.to_ne_bytes()));
    netlink::create(libc::NETLINK_ROUTE, libc::RTM_NEWROUTE, &body)
}

fn index(name: &str) -> io::Result<u32> {
    index_of(name)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}")))
}

/// `struct ifinfomsg`: family, type, index, flags, which of them are meant.
fn link(index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// `struct rtmsg`: family, lengths of destination and source, type of service, table, protocol, scope, kind, flags.
fn route(family: u8, length: u8, table: u8, scope: u8, kind: u8) -> [u8; 12] {
    [family, length, 0, 0, table, PROTOCOL_STATIC, scope, kind, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd as _;

    use super::super::interfaces::list;
    use super::super::netns::Namespace;
    use super::*;

    fn pair() -> (Namespace, Namespace) {
        let (near, far) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let end = |name, last| End { name, mac: [2, 0, 0, 0, 0, last] };
        near.inside(|| {
            add_veth(end("near", 1), end("far", 2), far.as_fd())?;
            add_address("near", "192.0.2.1/24".parse().unwrap())?;
            add_address("near", "2001:db8::1/64".parse().unwrap())?;
            switch_on("near")
        })
        .unwrap();
        far.inside(|| {
            switch_on("lo")?;
            add_address("far", "192.0.2.2/24".parse().unwrap())?;
            switch_on("far")
        })
        .unwrap();
        (near, far)
    }

    #[test]
    fn a_pair_with_addresses_carries_what_is_sent() {
        let (near, far) = pair();
        let here = near.inside(list_of).unwrap();
        assert_eq!(here, ["lo", "near 192.0.2.1 2001:db8::1"]);
        let listener = near.inside(|| TcpListener::bind("192.0.2.1:80")).unwrap();
        let stream = far.inside(|| TcpStream::connect("192.0.2.1:80")).unwrap();
        assert_eq!(listener.accept().unwrap().1, stream.local_addr().unwrap());
    }

    fn list_of() -> io::Result<Vec<String>> {
        let text = |interface: super::super::interfaces::Interface| {
            let addresses = interface.addresses.iter().filter(|address| !address.to_string().starts_with("fe80"));
            let words = [interface.name].into_iter().chain(addresses.map(ToString::to_string));
            words.collect::<Vec<_>>().join(" ")
        };
        Ok(list().map_err(io::Error::other)?.into_iter().map(text).collect())
    }

    #[test]
    fn a_network_of_ones_own_and_a_default_route_lead_there_and_back() {
        let (near, far) = pair();
        far.inside(|| own_network("198.18.128.0/18".parse().unwrap())).unwrap();
        near.inside(|| add_default_route("192.0.2.2".parse().unwrap())).unwrap();
        let one_of_many = far.inside(|| UdpSocket::bind("198.18.130.7:9")).unwrap();
        let sender = near.inside(|| UdpSocket::bind("192.0.2.1:0")).unwrap();
        sender.send_to(b"x", "198.18.130.7:9").unwrap();
        one_of_many.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        assert_eq!(one_of_many.recv_from(&mut [0; 4]).unwrap().1, sender.local_addr().unwrap());
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let namespace = Namespace::new().unwrap();
        let missing = namespace.inside(|| switch_on("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let unreachable = namespace.inside(|| add_default_route("192.0.2.2".parse().unwrap())).unwrap_err();
        assert_eq!(unreachable.raw_os_error(), Some(libc::ENETUNREACH));
    }
}
