//! Network interfaces and their addresses.
use std::ffi::CString;
use std::io;
use std::net::IpAddr;

use super::SystemError;
use super::netlink::{self, address, attributes, text, u32_at};

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_LINK_NETNSID: u16 = 37;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// A network interface of the calling thread's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; names change and are used again.
    pub name: String,
    /// Its index: for the life of the interface, and never 0.
    pub index: u32,
    /// Switched on; says nothing about a cable.
    pub up: bool,
    /// The namespace's loopback interface.
    pub loopback: bool,
    /// Largest packet in bytes, without the link-layer header.
    pub mtu: u32,
    /// Receive queues it was made with; fewer may be in use.
    pub receive_queues: u32,
    /// The index of the bridge, bond or VRF it is a part of.
    pub master: Option<u32>,
    /// The index of the interface it lies upon, as a VLAN does; of a veth's other end, where that is in the same namespace.
    pub upon: Option<u32>,
    /// Its own addresses, in the kernel's order.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces, by index.
///
/// # Errors
/// [`SystemError`] where the kernel does not answer.
pub fn list() -> Result<Vec<Interface>, SystemError> {
    let mut interfaces = netlink::dump(libc::NETLINK_ROUTE, libc::RTM_GETLINK, &[0; 16], interface)
        .map_err(SystemError::about("its network interfaces"))?;
    let addresses = netlink::dump(libc::NETLINK_ROUTE, libc::RTM_GETADDR, &[0; 8], own_address)
        .map_err(SystemError::about("the addresses of its network interfaces"))?;
    interfaces.sort_by_key(|interface| interface.index);
    for (index, address) in addresses {
        if let Some(interface) = interfaces.iter_mut().find(|interface| interface.index == index) {
            interface.addresses.push(address);
        }
    }
    Ok(interfaces)
}

/// The index of the interface with this name, or with this alternative name; `None` where there is none.
///
/// # Errors
/// The system call's.
pub fn index_of(name: &str) -> io::Result<Option<u32>> {
    // A name with a NUL, an empty or a long one cannot be an interface's.
    let Ok(name) = CString::new(name) else { return Ok(None) };
    // SAFETY: `name` ends with a NUL and lives across the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            error => Err(error),
        },
        index => Ok(Some(index)),
    }
}

/// Parses `struct ifinfomsg` (family, type, index at 4, flags at 8) and its attributes.
fn interface(body: &[u8]) -> Option<Interface> {
    let flags = u32_at(body, 8)?.cast_signed();
    let mut interface = Interface {
        name: String::new(),
        index: u32_at(body, 4)?,
        up: flags & libc::IFF_UP != 0,
        loopback: flags & libc::IFF_LOOPBACK != 0,
        mtu: 0,
        receive_queues: 1,
        master: None,
        upon: None,
        addresses: Vec::new(),
    };
    let mut is_elsewhere = false;
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => interface.name = text(value),
            IFLA_MTU => interface.mtu = u32_at(value, 0)?,
            IFLA_NUM_RX_QUEUES => interface.receive_queues = u32_at(value, 0)?,
            IFLA_MASTER => interface.master = u32_at(value, 0),
            IFLA_LINK => interface.upon = u32_at(value, 0),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            _ => {}
        }
    }
    // An index of another namespace says nothing here.
    interface.upon = interface.upon.filter(|_| !is_elsewhere);
    Some(interface)
}

/// Parses `struct ifaddrmsg` (family, prefix length, flags, scope, index at 4) and its attributes: index and address.
fn own_address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let index = u32_at(body, 4)?;
    let find = |wanted| attributes(body.get(8..)?).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    // On a point-to-point interface IFA_ADDRESS is the other end.
    let value = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS))?;
    Some((index, address(value)?))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::netlink::attribute;
    use super::*;

    #[test]
    fn own_end_of_a_point_to_point_link_is_the_address() {
        let head = [2, 32, 0, 0, 7, 0, 0, 0];
        let body = [&head[..], &attribute(IFA_ADDRESS, &[192, 0, 2, 9]), &attribute(IFA_LOCAL, &[192, 0, 2, 1])];
        assert_eq!(own_address(&body.concat()), Some((7, Ipv4Addr::new(192, 0, 2, 1).into())));
        let body = [&head[..], &attribute(IFA_ADDRESS, &[192, 0, 2, 9])];
        assert_eq!(own_address(&body.concat()), Some((7, Ipv4Addr::new(192, 0, 2, 9).into())));
    }

    #[test]
    fn loopback_is_listed_with_its_facts() {
        let interfaces = list().unwrap();
        let lo = interfaces.iter().find(|interface| interface.loopback).expect("every namespace has a loopback");
        assert_eq!((lo.name.as_str(), lo.index), ("lo", 1));
        assert!(lo.mtu >= 1500);
        assert!(lo.receive_queues >= 1);
        assert_eq!(index_of("lo").unwrap(), Some(1));
    }

    #[test]
    fn names_that_no_interface_has_are_none() {
        for name in ["", "weir-none", "a\0b", "a-name-that-is-much-too-long-for-an-interface"] {
            assert_eq!(index_of(name).unwrap(), None, "{name:?}");
        }
    }
}
