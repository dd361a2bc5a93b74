//! Netlink: one request, its answers, and their attributes.
//!
//! Numbers are in the machine's own byte order (RFC 3549 §2.3.2); every message and attribute starts at a multiple of
//! four. What is malformed ends the parse: the kernel never sends it.
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// The kernel fills at most 32 KiB of a dump at once; single answers are shorter.
const BUFFER: usize = 64 << 10;
/// How often a dump is made again that a change interrupted.
const TRIES: u32 = 5;
const HEADER: usize = 16;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
/// `NLM_F_CREATE | NLM_F_EXCL`: make it, and fail where it is there.
const CREATE: u16 = 0x600;
const DUMP_INTERRUPTED: u16 = 0x10;
/// `libc::AF_NETLINK`, as wide as an address has it.
const AF_NETLINK: libc::sa_family_t = 16;
/// Families of addresses, as wide as messages have them.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Attribute kinds carry two flags in their upper bits.
const KIND: u16 = 0x3fff;

/// A message: its kind, flags, sequence number and what follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// What one receive gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) len: usize,
    /// From the kernel, and not from another process that knows our port.
    pub(super) from_kernel: bool,
}

/// Opens a socket of a netlink family, joined to multicast groups (a bit each).
pub(super) fn open(family: libc::c_int, groups: u32, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC | flags, family) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the address is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = AF_NETLINK;
    address.nl_groups = groups;
    let len = socklen(&address)?;
    // SAFETY: the pointer and length are of one live `sockaddr_nl`.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// Receives one datagram.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // SAFETY: the address is plain integers, for which zero is valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    let mut address_len = socklen(&address)?;
    // SAFETY: buffer and address are live and of the lengths given.
    let len = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC,
            (&raw mut address).cast(),
            &raw mut address_len,
        )
    };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    let len = usize::try_from(len).map_err(io::Error::other)?;
    if len > buffer.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a netlink answer of {len} bytes")));
    }
    Ok(Received { len, from_kernel: address.nl_pid == 0 })
}

/// The messages of a datagram.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(bytes, 0)? as usize;
        let message = Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            body: bytes.get(HEADER..len)?,
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes`, flags removed from their kinds.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let attribute = (u16_at(bytes, 2)? & KIND, bytes.get(4..len)?);
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

/// The family of an address, as messages say it.
pub(super) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// An address, as attributes hold it.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// One attribute, encoded and padded; its value must be shorter than 64 KiB.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = value.len() + 4;
    let mut bytes = Vec::with_capacity(len.next_multiple_of(4));
    // A length that does not fit is refused by the kernel as malformed.
    bytes.extend(u16::try_from(len).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(len.next_multiple_of(4), 0);
    bytes
}

/// Asks for all objects of a kind; gives what `pick` takes of each answer's body.
///
/// A dump that a change interrupted is made again, a few times; the last one counts as it is. Whoever must not miss
/// the change watches for it.
pub(super) fn dump<T>(
    family: libc::c_int,
    kind: u16,
    body: &[u8],
    pick: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    exchange(family, kind, DUMP, body, pick)
}

/// Asks for one object; as [`dump`].
pub(super) fn get<T>(
    family: libc::c_int,
    kind: u16,
    body: &[u8],
    pick: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    exchange(family, kind, ACKNOWLEDGE, body, pick)
}

/// Has the kernel make an object.
pub(super) fn create(family: libc::c_int, kind: u16, body: &[u8]) -> io::Result<()> {
    exchange(family, kind, ACKNOWLEDGE | CREATE, body, |_| None::<()>).map(|_| ())
}

/// Has the kernel change an object.
pub(super) fn change(family: libc::c_int, kind: u16, body: &[u8]) -> io::Result<()> {
    exchange(family, kind, ACKNOWLEDGE, body, |_| None::<()>).map(|_| ())
}

fn exchange<T>(
    family: libc::c_int,
    kind: u16,
    flags: u16,
    body: &[u8],
    mut pick: impl FnMut(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let socket = open(family, 0, 0)?;
    let socket = std::os::fd::AsFd::as_fd(&socket);
    never_wait_for_ever(socket)?;
    let mut picked = Vec::new();
    for sequence in 1..=TRIES {
        picked.clear();
        send(socket, &request(kind, flags, sequence, body))?;
        if answers(socket, sequence, &mut |body| picked.extend(pick(body)))? {
            break;
        }
    }
    Ok(picked)
}

fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(u32::try_from(HEADER + body.len()).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | REQUEST).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// Hands over every answer's body; `false` where a change interrupted the dump.
fn answers(socket: BorrowedFd<'_>, sequence: u32, each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER];
    let mut whole = true;
    loop {
        let received = match receive(socket, &mut buffer) {
            Ok(received) if received.from_kernel => received,
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within five seconds"));
            }
            Err(error) => return Err(error),
        };
        for message in messages(&buffer[..received.len]).filter(|message| message.sequence == sequence) {
            whole &= message.flags & DUMP_INTERRUPTED == 0;
            match libc::c_int::from(message.kind) {
                libc::NLMSG_ERROR | libc::NLMSG_DONE => return finished(message.body).map(|()| whole),
                _ => each(message.body),
            }
        }
    }
}

/// Both the end of a dump and an acknowledgement start with zero or a negative error number.
fn finished(body: &[u8]) -> io::Result<()> {
    match u32_at(body, 0).map_or(0, u32::cast_signed) {
        0.. => Ok(()),
        error => Err(io::Error::from_raw_os_error(error.saturating_neg())),
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is live and of the length given; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Answers come at once; five seconds of silence mean that none will.
fn never_wait_for_ever(socket: BorrowedFd<'_>) -> io::Result<()> {
    let patience = libc::timeval { tv_sec: 5, tv_usec: 0 };
    let len = socklen(&patience)?;
    // SAFETY: pointer and length are of one live `timeval`.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, (&raw const patience).cast(), len)
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn socklen<T>(value: &T) -> io::Result<libc::socklen_t> {
    libc::socklen_t::try_from(size_of_val(value)).map_err(io::Error::other)
}

/// Two bytes at an offset.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// Four bytes at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// An IPv4 or IPv6 address, by the value's length.
pub(super) fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(Into::into),
        16 => <[u8; 16]>::try_from(value).ok().map(Into::into),
        _ => None,
    }
}

/// Text up to its NUL.
pub(super) fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were_encoded() {
        let bytes = [attribute(3, b"eth0\0"), attribute(4 | 0x8000, &1500u32.to_ne_bytes())].concat();
        let found: Vec<_> = attributes(&bytes).collect();
        assert_eq!(found, [(3, b"eth0\0".as_slice()), (4, &1500u32.to_ne_bytes())]);
    }

    #[test]
    fn messages_come_back_as_they_were_encoded() {
        let bytes = [request(16, 0, 7, &[1, 2, 3, 4]), request(17, 0, 8, &[])].concat();
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].sequence, found[0].body), (16, 7, [1, 2, 3, 4].as_slice()));
        assert_eq!((found[1].kind, found[1].sequence, found[1].body), (17, 8, [].as_slice()));
    }

    #[test]
    fn every_cut_and_every_length_ends_the_parse() {
        let whole = [request(16, 0, 7, &attribute(3, b"name")), request(17, 0, 8, &[])].concat();
        for cut in 0..whole.len() {
            assert!(messages(&whole[..cut]).count() < 2, "cut at {cut}");
            assert!(attributes(&whole[..cut]).count() <= whole.len());
        }
        for len in 0..=u8::MAX {
            let mut bytes = whole.clone();
            bytes[0] = len;
            assert!(messages(&bytes).count() <= bytes.len());
            assert!(attributes(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn the_kernels_refusal_is_an_error() {
        let body = [0u8; 16];
        let error = get(libc::NETLINK_ROUTE, 9999, &body, |_| Some(())).expect_err("no such request");
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }
}
