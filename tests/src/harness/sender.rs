//! Frames onto the wire, as they are: a raw socket in the namespace they come from.
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::netns::Namespace;

/// Frames handed to the kernel in one system call: a quarter of what a veth's ring holds, so that none is lost there.
const BATCH: usize = 64;

/// Sends frames out of one interface.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
}

impl Sender {
    /// A sender into an interface of a namespace.
    ///
    /// # Panics
    /// Where there is no such interface.
    pub fn new(namespace: &Namespace, interface: &str) -> Self {
        let socket =
            namespace.inside(|| open(interface)).unwrap_or_else(|error| panic!("send into {interface}: {error}"));
        Self { socket }
    }

    /// Another handle on the same interface, for another thread.
    ///
    /// # Panics
    /// Where there are no descriptors left.
    pub fn another(&self) -> Self {
        Self { socket: self.socket.try_clone().expect("a descriptor") }
    }

    /// Sends frames in order, each once.
    ///
    /// # Panics
    /// Where the kernel refuses one.
    pub fn send<F: AsRef<[u8]>>(&self, frames: &[F]) {
        for batch in frames.chunks(BATCH) {
            let mut batch: Vec<&[u8]> = batch.iter().map(AsRef::as_ref).collect();
            while !batch.is_empty() {
                let sent = self.batch(&batch);
                batch.drain(..sent);
            }
        }
    }

    /// Sends `count` frames, taken in turn, no faster than `per_second`, and says how long it took.
    ///
    /// Falls behind where the machine is too slow, and then catches up.
    ///
    /// # Panics
    /// As [`Sender::send`].
    pub fn paced<F: AsRef<[u8]>>(&self, frames: &[F], per_second: u64, count: u64) -> Duration {
        let start = Instant::now();
        self.while_wanted(frames, per_second, |sent| sent < count);
        start.elapsed()
    }

    /// Sends frames in turn, no faster than `per_second`, for as long as `more` says so; says how many.
    ///
    /// # Panics
    /// As [`Sender::send`].
    pub fn while_wanted<F: AsRef<[u8]>>(
        &self,
        frames: &[F],
        per_second: u64,
        mut more: impl FnMut(u64) -> bool,
    ) -> u64 {
        let start = Instant::now();
        let mut sent = 0;
        while more(sent) {
            let due = due(start.elapsed(), per_second);
            if due <= sent {
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
            let now = usize::try_from((due - sent).min(BATCH as u64)).expect("bounded");
            self.turn(frames, sent, now);
            sent += now as u64;
        }
        sent
    }

    fn turn<F: AsRef<[u8]>>(&self, frames: &[F], from: u64, count: usize) {
        let at = usize::try_from(from % frames.len() as u64).expect("bounded");
        let batch: Vec<&[u8]> = frames.iter().cycle().skip(at).take(count).map(AsRef::as_ref).collect();
        self.send(&batch);
    }

    /// Hands frames to the kernel; says how many it took.
    fn batch(&self, frames: &[&[u8]]) -> usize {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
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
        let count = libc::c_uint::try_from(messages.len()).expect("bounded");
        loop {
            // SAFETY: the messages point to `parts`, which point to the frames; all live across the call, which reads.
            let sent = unsafe { libc::sendmmsg(self.socket.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
            if let Ok(sent) = usize::try_from(sent) {
                return sent;
            }
            let error = io::Error::last_os_error();
            // The interface's queue is full for a moment.
            let again = matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR));
            assert!(again, "send {} frames: {error}", frames.len());
            std::thread::yield_now();
        }
    }
}

/// Frames that are due after a time.
fn due(elapsed: Duration, per_second: u64) -> u64 {
    let due = elapsed.as_nanos() * u128::from(per_second) / 1_000_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

fn open(interface: &str) -> io::Result<OwnedFd> {
    let name = CString::new(interface)?;
    // SAFETY: the name ends with a NUL and lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // Protocol 0: it receives nothing.
    // SAFETY: constants only.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor to us, and nobody else holds it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: a structure of integers, for which zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).expect("a small constant");
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let len = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is of the length that is said, and lives across the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

/// Keeps the calling thread on one CPU.
///
/// # Panics
/// Where there is no such CPU.
pub fn stay_on(cpu: usize) {
    // SAFETY: a set of bits, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    assert!(cpu < 8 * size_of_val(&set), "no set holds CPU {cpu}");
    // SAFETY: the index lies below the set's size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is as large as said, and 0 is the calling thread.
    let kept = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(kept, 0, "stay on CPU {cpu}: {}", io::Error::last_os_error());
}
