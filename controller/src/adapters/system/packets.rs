//! Frames onto an interface and off it, as they are.
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::interfaces::index_of;

/// Every protocol, in network byte order (`ETH_P_ALL`).
const ALL: u16 = 0x0003u16.to_be();
/// `libc::AF_PACKET`, as wide as an address has it.
const AF_PACKET: libc::sa_family_t = 17;

/// Frames handed to the kernel in one system call: a quarter of what a veth's ring holds, so that none is lost there.
pub const BATCH: usize = 64;

/// A packet socket at one interface of the namespace it was made in.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// One that only sends.
    ///
    /// # Errors
    /// The system call's; `NotFound` where there is no such interface.
    pub fn sender(interface: &str) -> io::Result<Self> {
        // Protocol 0: it receives nothing.
        Self::open(interface, 0)
    }

    /// One that sends, and receives what comes to the interface; no call waits.
    ///
    /// # Errors
    /// As [`PacketSocket::sender`].
    pub fn both_ways(interface: &str) -> io::Result<Self> {
        Self::open(interface, ALL)
    }

    fn open(interface: &str, protocol: u16) -> io::Result<Self> {
        let index = index_of(interface)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}")))?;
        // Bound to the interface before it receives anything from others.
        // SAFETY: constants only.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: a structure of integers, for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = AF_PACKET;
        address.sll_protocol = protocol;
        address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
        // SAFETY: the address is of the length that is said, and lives across the call.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
        if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(socket)) }
    }

    /// Hands frames to the kernel, at most [`BATCH`]; says how many it took: none where the queue is full for now.
    ///
    /// # Errors
    /// The system call's.
    pub fn send<F: AsRef<[u8]>>(&self, frames: &[F]) -> io::Result<usize> {
        let frames = frames.get(..BATCH).unwrap_or(frames);
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| {
                let frame = frame.as_ref();
                libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: a structure of integers and pointers, for which zero is valid.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
        // SAFETY: the messages point to `parts`, which point to the frames; all live across the call, which reads.
        let sent = unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
        if let Ok(sent) = usize::try_from(sent) {
            return Ok(sent);
        }
        let error = io::Error::last_os_error();
        let again = matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR));
        if again { Ok(0) } else { Err(error) }
    }

    /// The next frame that came; `None` where none is there.
    ///
    /// # Errors
    /// The system call's.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        // SAFETY: the buffer is live and of the length given.
        let len = unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match usize::try_from(len) {
            Ok(len) => Ok(buffer.get(..len)),
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => Ok(None),
                error => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_namespace, ip};
    use super::*;

    #[test]
    fn frames_come_as_they_were_sent() {
        in_namespace(|| {
            ip("link add near type veth peer name far");
            ip("link set near up");
            ip("link set far up");
            let (near, far) = (PacketSocket::sender("near").unwrap(), PacketSocket::both_ways("far").unwrap());
            // An EtherType for experiments, so that nothing else is mistaken for it.
            let frame = |last| [[0xff; 6].as_slice(), &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], &[last; 50]].concat();
            let frames = [frame(1), frame(2), frame(3)];
            let mut buffer = [0; 2048];
            let mut came = Vec::new();
            let start = std::time::Instant::now();
            // Until the kernel has noticed that the other end is there, it drops what is sent.
            let mut hears = false;
            while !hears && start.elapsed().as_secs() < 10 {
                near.send(&[frame(0)]).unwrap();
                hears = far.receive(&mut buffer).unwrap().is_some_and(|found| found == frame(0));
            }
            let mut sent = 0;
            while sent < frames.len() {
                sent += near.send(&frames[sent..]).unwrap();
            }
            while came.len() < 3 && start.elapsed().as_secs() < 10 {
                match far.receive(&mut buffer).unwrap() {
                    Some(found) if found[12..14] == [0x88, 0xb5] && found != frame(0) => came.push(found.to_vec()),
                    Some(_) => {}
                    None => std::thread::yield_now(),
                }
            }
            assert_eq!(came, frames);
        });
    }

    #[test]
    fn a_missing_interface_is_not_found() {
        in_namespace(|| {
            assert_eq!(PacketSocket::sender("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        });
    }
}
