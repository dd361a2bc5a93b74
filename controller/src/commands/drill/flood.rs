//! Sends a flood, and holds the connections that belong to it.
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::stage::{FLOOD_PEER, Stage, WEB};
use crate::adapters::system::packets::{BATCH, PacketSocket};
use crate::domain::drill::flood::Flood;
use crate::domain::drill::report::Connections;
use crate::domain::drill::scenario::Scenario;

/// From one connection's opening to the next.
const OPEN_EVERY: Duration = Duration::from_millis(2);
/// How long an opening may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How slowly a held connection goes on with its request.
const BYTE_EVERY: Duration = Duration::from_millis(500);
/// Descriptors beside those of connections.
const OTHERS: u64 = 256;

/// A flood that goes on, on threads of its own; ended when dropped.
#[derive(Debug)]
pub(super) struct Flooding {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
    holds: bool,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    sent: AtomicU64,
    tried: AtomicU64,
    opened: AtomicU64,
    first: OnceLock<Instant>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Frames.
    pub(super) frames: u64,
    /// When the first was.
    pub(super) first: Instant,
    /// Connections that were opened and held.
    pub(super) connections: Option<Connections>,
}

impl Flooding {
    /// Starts to send so many frames a second.
    pub(super) fn start(stage: &Stage, scenario: Scenario, rate: u64, seed: u64) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut flooding = Self { shared: Arc::clone(&shared), threads: Vec::new(), holds: scenario.connections() > 0 };
        let (socket, frames) = stage
            .attacker
            .inside(|| anyhow::Ok((PacketSocket::sender(FLOOD_PEER)?, Flood::new(scenario, stage.target(), seed))))?;
        let sending = Arc::clone(&shared);
        let sender =
            thread::Builder::new().name("flood".to_owned()).spawn(move || send(&socket, frames, rate, &sending));
        flooding.threads.push(sender.context("start a thread")?);
        if flooding.holds {
            let server = SocketAddr::from((stage.addresses.v4(1), WEB));
            let attacker = stage.attacker.another()?;
            let holder = thread::Builder::new().name("holder".to_owned()).spawn(move || {
                attacker.enter()?;
                raise_descriptors(2 * u64::from(scenario.connections()) + OTHERS)?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(hold(server, scenario.connections(), &shared));
                Ok(())
            });
            flooding.threads.push(holder.context("start a thread")?);
        }
        Ok(flooding)
    }

    /// Fails where it ended before its time.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) else { return Ok(()) };
        match self.threads.swap_remove(ended).join() {
            Ok(Err(error)) => Err(error.context("the flood ended")),
            Ok(Ok(())) | Err(_) => Err(anyhow!("the flood ended")),
        }
    }

    /// Ends it and says what was sent.
    pub(super) fn finish(mut self) -> Result<Sent> {
        self.end()?;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let connections = Connections { tried: read(&self.shared.tried), opened: read(&self.shared.opened) };
        Ok(Sent {
            frames: read(&self.shared.sent),
            first: *self.shared.first.get().context("not one frame of the flood was sent")?,
            connections: self.holds.then_some(connections),
        })
    }

    fn end(&mut self) -> Result<()> {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_panic| anyhow!("the flood broke off"))??;
        }
        Ok(())
    }
}

impl Drop for Flooding {
    fn drop(&mut self) {
        // Told of already, or nobody asks any more.
        drop(self.end());
    }
}

/// Sends frames, no faster than `rate` a second, until it is over. Falls behind where the machine is too slow.
fn send(socket: &PacketSocket, mut frames: Flood, rate: u64, shared: &Shared) -> Result<()> {
    let start = Instant::now();
    let mut sent = 0;
    let mut batch: Vec<Vec<u8>> = Vec::with_capacity(BATCH);
    while !shared.is_over() {
        let due = due(start.elapsed(), rate).saturating_sub(sent);
        let wanted = usize::try_from(due).unwrap_or(BATCH).min(BATCH);
        if wanted == 0 {
            thread::sleep(Duration::from_micros(500));
            continue;
        }
        batch.extend(frames.by_ref().take(wanted.saturating_sub(batch.len())));
        shared.first.get_or_init(Instant::now);
        let took = socket.send(&batch).context("send a flood's frames")?;
        if took == 0 {
            thread::yield_now();
        }
        batch.drain(..took);
        sent += u64::try_from(took)?;
        shared.sent.store(sent, Ordering::Relaxed);
    }
    Ok(())
}

/// Frames that are due after a time.
fn due(elapsed: Duration, per_second: u64) -> u64 {
    u64::try_from(elapsed.as_nanos() * u128::from(per_second) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Opens connections to the web server, each from another address, and holds them.
async fn hold(server: SocketAddr, connections: u32, shared: &Arc<Shared>) {
    let mut held = JoinSet::new();
    for number in 0..connections {
        if shared.is_over() {
            break;
        }
        let shared = Arc::clone(shared);
        held.spawn(async move {
            shared.tried.fetch_add(1, Ordering::Relaxed);
            let Ok(Ok(stream)) = timeout(PATIENCE, open(number, server)).await else { return };
            shared.opened.fetch_add(1, Ordering::Relaxed);
            dawdle(stream).await;
        });
        tokio::time::sleep(OPEN_EVERY).await;
    }
    while !shared.is_over() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held.shutdown().await;
}

async fn open(number: u32, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Stage::holder(number), 0)))?;
    socket.connect(server).await
}

/// A request that never ends, a byte at a time.
async fn dawdle(mut stream: TcpStream) {
    let mut begun = stream.write_all(b"GET / HTTP/1.1\r\nhost: weir\r\nx-slow: ").await;
    while begun.is_ok() {
        tokio::time::sleep(BYTE_EVERY).await;
        begun = stream.write_all(b"a").await;
    }
}

/// Lets this process have so many descriptors, if it may: both ends of each held connection are here.
fn raise_descriptors(wanted: u64) -> io::Result<()> {
    // SAFETY: a structure of integers, for which zero is valid.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: the place for the answer lives across the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: the limit lives across the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_at_their_rate() {
        assert_eq!(due(Duration::from_millis(10), 50_000), 500);
        assert_eq!(due(Duration::ZERO, 50_000), 0);
        assert_eq!(due(Duration::from_mins(1), 1_000_000), 60_000_000);
    }
}
