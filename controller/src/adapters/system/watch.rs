//! Tells when interfaces, addresses or default routes change.
use std::io;
use std::ops::BitOr;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::netlink::{self, Message, messages};

/// `RTMGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE` of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// What has changed since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Changes {
    /// An interface came, went, was renamed, switched on or off, or lost its cable. The kernel takes an interface's
    /// IPv4 routes away without a word when it goes down: look at the routes then too.
    pub links: bool,
    /// An address came or went.
    pub addresses: bool,
    /// A default route came, went or changed. Others are not reported: hosts that speak BGP have thousands a second.
    pub routes: bool,
}

impl Changes {
    /// Everything may have changed.
    pub const ALL: Self = Self { links: true, addresses: true, routes: true };

    /// Whether anything has.
    pub fn any(self) -> bool {
        self.links | self.addresses | self.routes
    }
}

impl BitOr for Changes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            links: self.links | other.links,
            addresses: self.addresses | other.addresses,
            routes: self.routes | other.routes,
        }
    }
}

/// Opens a watch on the calling thread's network namespace; it stays with that namespace wherever it is read.
///
/// The descriptor does not block and becomes readable when something has changed. Open it before the first look at
/// what it watches, so that nothing falls in between.
///
/// # Errors
/// The system call's.
pub fn open() -> io::Result<OwnedFd> {
    netlink::open(libc::NETLINK_ROUTE, GROUPS, libc::SOCK_NONBLOCK)
}

/// Reads all that is waiting; nothing waiting is no change. Where the kernel had to drop notices for want of room,
/// everything counts as changed.
///
/// # Errors
/// The system call's.
pub fn drain(watch: BorrowedFd<'_>) -> io::Result<Changes> {
    let mut buffer = vec![0; 64 << 10];
    let mut changes = Changes::default();
    loop {
        match netlink::receive(watch, &mut buffer) {
            Ok(received) if received.from_kernel => {
                changes = messages(&buffer[..received.len]).map(change).fold(changes, BitOr::bitor);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(changes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changes = Changes::ALL,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => changes = Changes::ALL,
            Err(error) => return Err(error),
        }
    }
}

fn change(message: Message<'_>) -> Changes {
    match message.kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => Changes { links: true, ..Changes::default() },
        libc::RTM_NEWADDR | libc::RTM_DELADDR => Changes { addresses: true, ..Changes::default() },
        // `struct rtmsg`: family, then the prefix length of the destination; the default route's is 0.
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            Changes { routes: message.body.get(1).is_none_or(|len| *len == 0), ..Changes::default() }
        }
        _ => Changes::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::super::tests::{in_namespace, ip};
    use super::*;

    const NONE: Changes = Changes { links: false, addresses: false, routes: false };

    #[test]
    fn each_change_is_told_and_only_once() {
        in_namespace(|| {
            let watch = open().unwrap();
            assert_eq!(drain(watch.as_fd()).unwrap(), NONE);

            ip("link add near type veth peer name far");
            assert_eq!(drain(watch.as_fd()).unwrap(), Changes { links: true, ..NONE });
            assert_eq!(drain(watch.as_fd()).unwrap(), NONE);

            // The interface stays down, so that nothing but these commands causes notices.
            ip("address add 192.0.2.1/24 dev near");
            assert_eq!(drain(watch.as_fd()).unwrap(), Changes { addresses: true, ..NONE });

            ip("route add unreachable 198.51.100.0/24");
            assert_eq!(drain(watch.as_fd()).unwrap(), NONE);
            ip("route add unreachable default");
            assert_eq!(drain(watch.as_fd()).unwrap(), Changes { routes: true, ..NONE });
            ip("-6 route add unreachable default");
            assert_eq!(drain(watch.as_fd()).unwrap(), Changes { routes: true, ..NONE });

            ip("link delete near");
            assert!(drain(watch.as_fd()).unwrap().links);
        });
    }

    #[test]
    fn notices_lost_for_want_of_room_count_as_every_change() {
        in_namespace(|| {
            let watch = open().unwrap();
            let room: libc::c_int = 1;
            // SAFETY: pointer and length are of one live integer.
            let set = unsafe {
                libc::setsockopt(
                    std::os::fd::AsRawFd::as_raw_fd(&watch),
                    libc::SOL_SOCKET,
                    libc::SO_RCVBUF,
                    (&raw const room).cast(),
                    4,
                )
            };
            assert_eq!(set, 0);
            for _ in 0..8 {
                ip("link set lo mtu 1400");
                ip("link set lo mtu 1500");
            }
            assert_eq!(drain(watch.as_fd()).unwrap(), Changes::ALL);
            assert_eq!(drain(watch.as_fd()).unwrap(), NONE);
        });
    }
}
