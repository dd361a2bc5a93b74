//! Network cards: driver, queues, and whether the driver runs XDP programs.
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::SystemError;
use super::netlink::{self, attribute, attributes, text, u16_at, u32_at};

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// `ETH_SS_STATS`: the names of a driver's counters.
const STATISTICS: u32 = 1;
/// Bytes of one such name.
const NAME: usize = 32;
/// More counters than any driver has.
const MOST_COUNTERS: u32 = 1 << 14;

/// The generic netlink controller, which knows the number of each family.
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// Receive queues in use, and as many as the card can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// In use.
    pub current: u32,
    /// Possible.
    pub most: u32,
}

/// What a driver says of XDP (linux/netdev.h, `enum netdev_xdp_act`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures(u64);

impl XdpFeatures {
    /// Runs programs in native mode.
    pub fn native(self) -> bool {
        self.0 & 1 != 0
    }

    /// Accepts programs for packets in several buffers: MTUs beyond a page.
    pub fn fragments(self) -> bool {
        self.0 & 32 != 0
    }
}

/// The driver of the named interface.
///
/// # Errors
/// The system call's: `ENODEV` where there is no such interface, `EOPNOTSUPP` where it has no driver to name.
pub fn driver(interface: &str) -> io::Result<String> {
    // struct ethtool_drvinfo: command, driver[32], …; 196 bytes.
    let mut info = [0; 196];
    ethtool(interface, ETHTOOL_GDRVINFO, &mut info)?;
    Ok(text(&info[4..36]))
}

/// The receive queues of the named interface.
///
/// # Errors
/// The system call's: `ENODEV` where there is no such interface, `EOPNOTSUPP` where the driver does not tell.
pub fn channels(interface: &str) -> io::Result<Channels> {
    // struct ethtool_channels: command, then the most and the current of rx, tx, other, combined.
    let mut counts = [0; 36];
    ethtool(interface, ETHTOOL_GCHANNELS, &mut counts)?;
    let count = |at| u32_at(&counts, at).unwrap_or_default();
    Ok(Channels { current: count(20) + count(32), most: (count(4) + count(16)).max(count(20) + count(32)) })
}

/// What a driver counts of its XDP program, in all receive queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpCounted {
    /// Packets that were shown to the program.
    pub seen: u64,
    /// Packets that it dropped.
    pub dropped: u64,
}

/// The counters of the drivers that keep such, as veth's does since Linux 5.3.
#[derive(Debug)]
pub struct XdpCounters {
    interface: String,
    counters: usize,
    seen: Vec<usize>,
    dropped: Vec<usize>,
}

impl XdpCounters {
    /// Finds them at the named interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// The system call's; `Unsupported` where the driver has none.
    pub fn find(interface: &str) -> io::Result<Self> {
        let mut info = [0; 196];
        ethtool(interface, ETHTOOL_GDRVINFO, &mut info)?;
        let count = u32_at(&info, 180).unwrap_or_default().min(MOST_COUNTERS);
        let counters = usize::try_from(count).map_err(io::Error::other)?;
        // struct ethtool_gstrings: command, which, how many, names.
        let mut names = vec![0; 12 + counters * NAME];
        names[4..8].copy_from_slice(&STATISTICS.to_ne_bytes());
        names[8..12].copy_from_slice(&count.to_ne_bytes());
        ethtool(interface, ETHTOOL_GSTRINGS, &mut names)?;
        let names: Vec<String> = names[12..].chunks(NAME).map(text).collect();
        let those = |suffix: &str| -> Vec<usize> {
            let fits = |name: &&String| name.starts_with("rx_queue_") && name.ends_with(suffix);
            let numbered = names.iter().enumerate();
            numbered.filter(|(_, name)| fits(name)).map(|(at, _)| at).collect()
        };
        let found = Self {
            interface: interface.to_owned(),
            counters,
            seen: those("_xdp_packets"),
            dropped: those("_xdp_drops"),
        };
        if found.seen.is_empty() || found.dropped.is_empty() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the driver does not count what XDP drops"));
        }
        Ok(found)
    }

    /// Reads them.
    ///
    /// # Errors
    /// The system call's.
    pub fn read(&self) -> io::Result<XdpCounted> {
        // struct ethtool_stats: command, how many, values.
        let mut values = vec![0; 8 + self.counters * 8];
        values[4..8].copy_from_slice(&u32::try_from(self.counters).map_err(io::Error::other)?.to_ne_bytes());
        ethtool(&self.interface, ETHTOOL_GSTATS, &mut values)?;
        let value = |at: &usize| {
            let bytes = values.get(8 + at * 8..16 + at * 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        Ok(XdpCounted { seen: self.seen.iter().map(value).sum(), dropped: self.dropped.iter().map(value).sum() })
    }
}

/// What the driver of the interface with this index says of XDP; `None` on kernels before 6.3, which cannot be asked.
///
/// # Errors
/// [`SystemError`] where the kernel does not answer.
pub fn xdp_features(index: u32) -> Result<Option<XdpFeatures>, SystemError> {
    let features = family("netdev").and_then(|family| match family {
        Some(family) => features_from(family, index),
        None => Ok(None),
    });
    features.map_err(SystemError::about("what the driver says of XDP"))
}

fn features_from(family: u16, index: u32) -> io::Result<Option<XdpFeatures>> {
    let request = generic(NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes());
    let features = netlink::get(libc::NETLINK_GENERIC, family, &request, |body| {
        let (_, value) = attributes(body.get(4..)?).find(|(kind, _)| *kind == NETDEV_A_DEV_XDP_FEATURES)?;
        value.try_into().ok().map(u64::from_ne_bytes).map(XdpFeatures)
    })?;
    Ok(features.first().copied())
}

/// The number of a generic netlink family; `None` where the kernel does not have it.
fn family(name: &str) -> io::Result<Option<u16>> {
    let request = generic(CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, format!("{name}\0").as_bytes());
    let found = netlink::get(libc::NETLINK_GENERIC, GENL_ID_CTRL, &request, |body| {
        let (_, value) = attributes(body.get(4..)?).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID)?;
        u16_at(value, 0)
    });
    match found {
        Ok(numbers) => Ok(numbers.first().copied()),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `struct genlmsghdr` (command, version, two reserved bytes) and one attribute.
fn generic(command: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![command, 1, 0, 0];
    bytes.extend(attribute(kind, value));
    bytes
}

/// Has the driver fill a structure that starts with the command.
fn ethtool(interface: &str, command: u32, data: &mut [u8]) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a structure of integers and pointers, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    data[..4].copy_from_slice(&command.to_ne_bytes());
    request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
    // SAFETY: `request` is live, its name ends with a NUL, and its pointer is to the structure of this command, of at
    // least the size the kernel writes.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::interfaces::index_of;
    use super::super::tests::{in_namespace, ip};
    use super::*;

    #[test]
    fn a_veth_pair_has_its_driver_and_queues() {
        in_namespace(|| {
            ip("link add near numrxqueues 2 numtxqueues 2 type veth peer name far");
            assert_eq!(driver("near").unwrap(), "veth");
            // Linux 5.10's veth does not tell.
            match channels("near") {
                Ok(channels) => assert_eq!(channels.current, 2),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
            }
            let index = index_of("near").unwrap().unwrap();
            // Before 6.3 the kernel cannot be asked.
            assert!(xdp_features(index).unwrap().is_none_or(XdpFeatures::native));
        });
    }

    #[test]
    fn a_veth_counts_what_xdp_sees_and_loopback_does_not() {
        in_namespace(|| {
            ip("link add near numrxqueues 2 numtxqueues 2 type veth peer name far");
            let counters = XdpCounters::find("near").unwrap();
            assert_eq!((counters.seen.len(), counters.dropped.len()), (2, 2));
            assert_eq!(counters.read().unwrap(), XdpCounted::default());
            assert!(XdpCounters::find("lo").is_err());
        });
    }

    #[test]
    fn loopback_has_no_native_mode() {
        in_namespace(|| assert!(!xdp_features(1).unwrap().is_some_and(XdpFeatures::native)));
    }

    #[test]
    fn a_missing_interface_is_enodev() {
        for name in ["weir-none", "a-name-that-is-much-too-long-for-an-interface"] {
            assert_eq!(driver(name).expect_err("no such interface").raw_os_error(), Some(libc::ENODEV), "{name}");
        }
    }

    #[test]
    fn a_family_the_kernel_lacks_is_none() {
        assert_eq!(family("weir-none").unwrap(), None);
    }
}
