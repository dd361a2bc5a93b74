//! Syslog datagrams: one is one line.
//!
//! A thread of its own takes them from the kernel, whose queue is short: at a UNIX socket it holds as few as ten.
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch as signal};

use super::health::{Board, InputState};
use super::{BATCH_LINES, Batch, BatchCounters, LONGEST_LINE, SyslogAddress, SyslogInput};
use crate::adapters::socket_file::{Place, SocketError};

/// What the kernel may keep for us: what some ten thousand datagrams take, which is a second's at the rate weir is made for.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
/// Bytes of lines that are kept while there is no room for a batch; what comes beyond is dropped.
const BATCH_BYTES: usize = 1 << 20;
/// How soon it is tried again to hand on what there was no room for.
const RETRY: Duration = Duration::from_millis(5);
/// First and longest pause between attempts to make the socket.
const MAKE_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Datagrams the kernel should queue at a UNIX socket.
const QUEUE: u32 = 256;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Place(#[from] SocketError),
    #[error(
        "{0} can be reached from other machines, so anybody could forge lines; use a loopback address, or a UNIX socket"
    )]
    NotLoopback(std::net::SocketAddr),
    #[error("cannot listen at udp {address}: {error}; free the port, or set another")]
    Udp { address: std::net::SocketAddr, error: io::Error },
}

/// Listens until `stopped` says so or nobody takes batches any more; makes the socket again and again until it can.
///
/// `begin` is let go of after the first try.
pub(super) async fn listen(
    input: SyslogInput,
    begin: mpsc::Sender<()>,
    batches: mpsc::Sender<Batch>,
    mut stopped: signal::Receiver<bool>,
    health: Board,
) {
    let origin: Arc<str> = input.address.to_string().into();
    let mut pause = MAKE_AGAIN.0;
    let mut begin = Some(begin);
    loop {
        let made = Socket::make(&input.address);
        drop(begin.take());
        let problem = match made {
            Ok(socket) => {
                pause = MAKE_AGAIN.0;
                let (ours, theirs) = match UnixStream::pair() {
                    Ok(pair) => pair,
                    Err(error) => return tracing::error!(%error, input = %input.name, "no syslog datagrams are read"),
                };
                let hint = socket.hint();
                health.update(&input.name, &origin, |row| (row.state, row.problem) = (InputState::Following, hint));
                let reader = Reader {
                    pending: Pending::new(&input.name, &origin),
                    batches: batches.clone(),
                    health: health.clone(),
                    input: Arc::clone(&input.name),
                    origin: Arc::clone(&origin),
                };
                let reading = tokio::task::spawn_blocking(move || reader.read(&socket, &theirs));
                tokio::pin!(reading);
                let ended = tokio::select! {
                    _ = stopped.changed() => {
                        drop(ours);
                        reading.await
                    }
                    ended = &mut reading => ended,
                };
                match ended {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => format!("cannot be read: {error}; the socket is made anew"),
                    Err(error) => return tracing::error!(%error, input = %input.name, "a reader of syslog failed"),
                }
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(input = %input.name, origin = %origin, "no syslog datagrams are read: {problem}");
        health.update(&input.name, &origin, |row| (row.state, row.problem) = (InputState::Unreadable, Some(problem)));
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(MAKE_AGAIN.1);
    }
}

/// A socket that datagrams come in at; its file goes with it.
#[derive(Debug)]
struct Socket {
    fd: OwnedFd,
    file: Option<(PathBuf, (u64, u64))>,
}

impl Socket {
    fn make(address: &SyslogAddress) -> Result<Self, ListenError> {
        let socket = match address {
            SyslogAddress::Unix { path, group } => {
                let place = Place {
                    path,
                    group: group.as_deref(),
                    setting: "the input's `socket`",
                    group_setting: "the input's `group`",
                };
                let fd = place.bind(answers, |path| UnixDatagram::bind(path))?.into();
                Self { fd, file: number_of(path).map(|number| (path.clone(), number)) }
            }
            SyslogAddress::Udp(address) if !address.ip().is_loopback() => {
                return Err(ListenError::NotLoopback(*address));
            }
            SyslogAddress::Udp(address) => {
                let bound = UdpSocket::bind(address).map_err(|error| ListenError::Udp { address: *address, error })?;
                Self { fd: bound.into(), file: None }
            }
        };
        // More room where it is allowed; what is there is used otherwise.
        if set(socket.fd.as_fd(), libc::SO_RCVBUFFORCE, RECEIVE_BUFFER).is_err() {
            set(socket.fd.as_fd(), libc::SO_RCVBUF, RECEIVE_BUFFER).ok();
        }
        // The kernel counts what it drops, where it knows (UDP). At a UNIX socket it is the sender who is refused.
        set(socket.fd.as_fd(), libc::SO_RXQ_OVFL, 1).ok();
        Ok(socket)
    }

    /// What would make it lose less.
    fn hint(&self) -> Option<String> {
        self.file.as_ref()?;
        let queue = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").ok()?;
        let queue = queue.trim().parse::<u32>().ok().filter(|queue| *queue < QUEUE)?;
        Some(format!(
            "the kernel queues {queue} datagrams only, and senders lose what comes in a shorter time than it takes to read \
             them, without anybody's knowing; set the sysctl net.unix.max_dgram_qlen to {QUEUE} or more and restart weir"
        ))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((path, number)) = &self.file
            && number_of(path) == Some(*number)
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "a socket that is not used any more could not be removed");
        }
    }
}

fn number_of(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn answers(path: &Path) -> bool {
    UnixDatagram::unbound().and_then(|socket| socket.connect(path)).is_ok()
}

fn set(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: pointer and length are of one live integer.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), 4) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lines that were not handed on yet.
#[derive(Debug)]
struct Pending {
    batch: Batch,
}

impl Pending {
    fn new(input: &Arc<str>, origin: &Arc<str>) -> Self {
        let batch = Batch {
            head: Box::default(),
            input: Arc::clone(input),
            origin: Arc::clone(origin),
            bytes: Vec::new(),
            lines: Vec::new(),
            received: Timestamp::UNIX_EPOCH,
            is_catch_up: false,
            checkpoint: None,
            counters: BatchCounters::default(),
        };
        Self { batch }
    }

    fn has_room(&self) -> bool {
        self.batch.lines.len() < BATCH_LINES && self.batch.bytes.len() < BATCH_BYTES
    }

    /// Takes a datagram as a line. Line feeds within it become spaces: whoever sends one line must not have two made of it.
    fn take(&mut self, datagram: &[u8], is_cut: bool) {
        let end = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
        let line = datagram.get(..end.min(LONGEST_LINE)).unwrap_or_default();
        if end > LONGEST_LINE || is_cut {
            self.batch.counters.cut += 1;
            self.batch.counters.skipped_bytes += (end - line.len()) as u64;
        }
        if line.is_empty() {
            return;
        }
        let batch = &mut self.batch;
        if let (Ok(start), Ok(len)) = (u32::try_from(batch.bytes.len()), u32::try_from(line.len())) {
            batch.bytes.extend(line.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
            batch.lines.push(start..start + len);
        }
    }
}

/// Takes datagrams and hands them on.
struct Reader {
    pending: Pending,
    batches: mpsc::Sender<Batch>,
    health: Board,
    input: Arc<str>,
    origin: Arc<str>,
}

impl Reader {
    /// Until the other end of `stop` is closed, or nobody takes batches.
    fn read(mut self, socket: &Socket, stop: &UnixStream) -> io::Result<()> {
        let mut buffer = vec![0; LONGEST_LINE + 2];
        let mut kernel_dropped = None;
        loop {
            let has_pending = !self.pending.batch.lines.is_empty() || self.pending.batch.counters.dropped > 0;
            let (is_ready, is_stopped) = wait(socket.fd.as_fd(), stop.as_fd(), has_pending.then_some(RETRY))?;
            if is_stopped {
                return Ok(());
            }
            if is_ready {
                self.drain(socket, &mut buffer, &mut kernel_dropped)?;
            }
            if !self.hand_on() {
                return Ok(());
            }
        }
    }

    /// Takes what is there, up to a batch.
    fn drain(&mut self, socket: &Socket, buffer: &mut [u8], kernel_dropped: &mut Option<u32>) -> io::Result<()> {
        for _ in 0..BATCH_LINES {
            let Some(received) = receive(socket.fd.as_fd(), buffer)? else { break };
            if let Some(now) = received.dropped {
                let before = kernel_dropped.replace(now).unwrap_or(0);
                self.pending.batch.counters.dropped += u64::from(now.wrapping_sub(before));
            }
            if self.pending.has_room() {
                self.pending.take(buffer.get(..received.len).unwrap_or_default(), received.is_cut);
            } else {
                self.pending.batch.counters.dropped += 1;
            }
            if !self.pending.has_room() && !self.batches.is_closed() && self.batches.capacity() > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Hands on what there is, if there is room. `false`: nobody takes it any more.
    fn hand_on(&mut self) -> bool {
        let batch = &self.pending.batch;
        if batch.lines.is_empty() && batch.counters == BatchCounters::default() {
            return true;
        }
        let room = match self.batches.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Full(())) => return true,
            Err(TrySendError::Closed(())) => return false,
        };
        let fresh = Pending::new(&self.input, &self.origin);
        let mut batch = std::mem::replace(&mut self.pending, fresh).batch;
        batch.received = Timestamp::now();
        self.health.update(&self.input, &self.origin, |row| {
            row.lines += batch.lines.len() as u64;
            row.bytes += batch.bytes.len() as u64;
            row.cut += batch.counters.cut;
            row.dropped += batch.counters.dropped;
            row.last_line_at = Some(batch.received);
        });
        room.send(batch);
        true
    }
}

/// Waits until the socket can be read or the other end of `stop` is closed; says which.
fn wait(socket: BorrowedFd<'_>, stop: BorrowedFd<'_>, most: Option<Duration>) -> io::Result<(bool, bool)> {
    let watched = |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut watched = [watched(socket), watched(stop)];
    let most = most.map_or(-1, |most| libc::c_int::try_from(most.as_millis()).unwrap_or(libc::c_int::MAX));
    // SAFETY: pointer and count are of one live array of two.
    let ready = unsafe { libc::poll(watched.as_mut_ptr(), 2, most) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok((false, false)) } else { Err(error) };
    }
    let [socket, stop] = watched.map(|watched| watched.revents != 0);
    Ok((socket, stop))
}

/// What one receive gave.
#[derive(Clone, Copy, Debug)]
struct Received {
    len: usize,
    /// It was longer than the buffer.
    is_cut: bool,
    /// Datagrams the kernel dropped since the socket was made, where it tells.
    dropped: Option<u32>,
}

/// A buffer for one control message with an integer, aligned as those are.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives a datagram, if one is there.
fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<Received>> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the header is plain integers and pointers, for which zero is valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: the header points to the live buffers above, of the lengths given.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    if len < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        };
    }
    let len = usize::try_from(len).map_err(io::Error::other)?;
    Ok(Some(Received { len, is_cut: header.msg_flags & libc::MSG_TRUNC != 0, dropped: dropped(&header) }))
}

/// The kernel's count of drops among the control messages.
fn dropped(header: &libc::msghdr) -> Option<u32> {
    // SAFETY: the kernel filled the control buffer, which is still alive, and set its length.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, and within the buffer, as the kernel made it.
        let (level, kind) = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
        if level == libc::SOL_SOCKET && kind == libc::SO_RXQ_OVFL {
            // SAFETY: the value of this message is an unsigned integer of four bytes, aligned or not.
            return Some(unsafe { libc::CMSG_DATA(message).cast::<u32>().read_unaligned() });
        }
        // SAFETY: as for the first.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}
