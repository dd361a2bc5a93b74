//! Sampled drops, from the kernel's ring into the latest few and to those who listen.
//!
//! Nothing here reaches back: a full ring costs samples, a slow listener costs that listener some, and packets are judged
//! as if nobody looked.
use std::collections::VecDeque;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;
use weir_common::abi::{SAMPLE_BYTES, Sample, control_word};
use weir_common::verdict::Verdict;
use zerocopy::FromBytes as _;

use crate::adapters::clock;
use crate::domain::capture::{DropVerdict, SampleCounters, SampleLine, SampleStart};
use crate::domain::decision::ListId;
use crate::domain::report::{InterfaceRow, SampleRow, VerdictRow};
use crate::domain::time::MonotonicNs;
use crate::sync::{InterfaceState, Shared, State};
use crate::views;

/// Samples that are kept.
const KEPT: usize = 256;
/// How often the ring is emptied: the program does not wake anybody, so that a flood costs no wake-ups.
const POLL: Duration = Duration::from_millis(100);
/// The same while somebody listens, for whom a ring that is full is a loss.
const POLL_HEARD: Duration = Duration::from_millis(10);
/// The same while the ring fills faster than it is emptied.
const POLL_FULL: Duration = Duration::from_millis(1);
/// Samples taken out at once, so that other tasks have their turn.
const BATCH: usize = 500;
/// Batches that are more than the ring holds.
const BATCHES: usize = 5;
/// Lines a listener may be behind; the oldest are lost beyond.
const BEHIND: usize = 4_096;
/// Listeners at a time.
const LISTENERS: usize = 16;
/// How often listeners are told the counters.
const TELL: Duration = Duration::from_secs(1);

/// The way to the sampled drops.
#[derive(Clone, Debug)]
pub struct SamplesHandle {
    latest: Arc<Mutex<VecDeque<SampleRow>>>,
    asks: mpsc::Sender<Ask>,
}

/// Why nobody can listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// As many as may listen do.
    #[error("{LISTENERS} listen to sampled drops already; end one of them")]
    Busy,
    /// Nobody reads the ring.
    #[error("sampled drops cannot be read; the daemon's log says why")]
    Closed,
}

/// What is asked of the reader.
#[derive(Debug)]
enum Ask {
    /// To hear of every sample from now on.
    Listen(oneshot::Sender<Result<Listening, ListenError>>),
    /// For the counters, once every sample up to now has been handed on.
    Settle(oneshot::Sender<SampleCounters>),
}

/// Somebody's ear: what is sampled, and all that follows.
#[derive(Debug)]
pub struct Listening {
    /// What is sampled.
    pub start: SampleStart,
    /// The lines.
    pub lines: broadcast::Receiver<Arc<SampleLine>>,
}

impl SamplesHandle {
    /// A way, and its other end.
    pub(super) fn new() -> (Self, Asks) {
        let (asks, asked) = mpsc::channel(16);
        (Self { latest: Arc::default(), asks }, Asks(asked))
    }

    /// A way that leads nowhere.
    #[cfg(test)]
    pub(crate) fn without_reader() -> Self {
        Self::new().0
    }

    /// The latest samples, the last one first.
    pub fn latest(&self, most: usize) -> Vec<SampleRow> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().rev().take(most).cloned().collect()
    }

    /// Listens to every sample from now on. The lines end when the daemon stops.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen(&self) -> Result<Listening, ListenError> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Listen(reply)).await.map_err(|_stopped| ListenError::Closed)?;
        answer.await.unwrap_or(Err(ListenError::Closed))
    }

    /// The counters. Every sample they count has been handed to all listeners before, and so were these counters.
    ///
    /// # Errors
    /// [`ListenError::Closed`].
    pub async fn settle(&self) -> Result<SampleCounters, ListenError> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Settle(reply)).await.map_err(|_stopped| ListenError::Closed)?;
        answer.await.map_err(|_stopped| ListenError::Closed)
    }
}

/// Where the reader is asked.
#[derive(Debug)]
pub(super) struct Asks(mpsc::Receiver<Ask>);

impl Asks {
    /// The next. Never, once nobody can ask any more.
    async fn next(&mut self) -> Ask {
        match self.0.recv().await {
            Some(ask) => ask,
            None => pending().await,
        }
    }
}

/// Reads the ring for as long as the daemon lives.
pub(super) async fn read(pin: PathBuf, handle: SamplesHandle, mut asks: Asks, shared: Shared) {
    let opened = MapData::from_pin(&pin).and_then(Map::from_map_data).and_then(RingBuf::try_from);
    let ring = match opened {
        Ok(ring) => ring,
        Err(error) => return tracing::warn!(%error, "sampled drops cannot be read"),
    };
    let (live, _) = broadcast::channel(BEHIND);
    let mut reader = Reader { ring, latest: handle.latest, live, shared, told: Instant::now() };
    loop {
        let taken = reader.take();
        reader.tell_when_due();
        tokio::select! {
            ask = asks.next() => reader.answer(ask),
            () = tokio::time::sleep(pause(reader.is_heard(), taken)) => {}
        }
    }
}

/// How long until the ring is looked at again, after `taken` samples were in it.
fn pause(heard: bool, taken: usize) -> Duration {
    match (heard, taken >= BATCH) {
        (true, true) => POLL_FULL,
        (true, false) => POLL_HEARD,
        (false, _) => POLL,
    }
}

struct Reader {
    ring: RingBuf<MapData>,
    latest: Arc<Mutex<VecDeque<SampleRow>>>,
    live: broadcast::Sender<Arc<SampleLine>>,
    shared: Shared,
    /// When the counters were last told.
    told: Instant,
}

impl Reader {
    fn is_heard(&self) -> bool {
        self.live.receiver_count() > 0
    }

    /// Takes a batch out of the ring and hands it on; says how many there were.
    fn take(&mut self) -> usize {
        let mut samples = Vec::new();
        while samples.len() < BATCH
            && let Some(item) = self.ring.next()
        {
            samples.extend(Sample::read_from_bytes(&item));
        }
        let taken = samples.len();
        // Where nobody listens, those that would not be kept need not be looked at.
        let wanted = if self.is_heard() { taken } else { taken.min(KEPT) };
        let samples = samples.get(taken - wanted..).unwrap_or_default();
        if samples.is_empty() {
            return taken;
        }
        let state = self.shared.read();
        let clocks = clock::Pair::now();
        let rows: Vec<SampleRow> = samples.iter().map(|sample| row(sample, clocks, &state)).collect();
        drop(state);
        if self.is_heard() {
            for row in &rows {
                self.publish(SampleLine::Sample(row.clone()));
            }
        }
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.extend(rows);
        let excess = latest.len().saturating_sub(KEPT);
        latest.drain(..excess);
        taken
    }

    /// Takes out all that is in the ring now; not what a flood goes on putting in.
    fn take_all(&mut self) {
        for _ in 0..BATCHES {
            if self.take() < BATCH {
                return;
            }
        }
    }

    fn tell_when_due(&mut self) {
        if self.is_heard() && self.told.elapsed() >= TELL {
            self.settle();
        }
    }

    /// Hands on the counters behind every sample they count.
    fn settle(&mut self) -> SampleCounters {
        // Read first: what they count is in the ring by then.
        let counters = self.counters();
        self.take_all();
        self.publish(SampleLine::Counters(counters.clone()));
        self.told = Instant::now();
        counters
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever asked and left is told nothing.
        match ask {
            Ask::Listen(reply) => drop(reply.send(self.listen())),
            Ask::Settle(reply) => drop(reply.send(self.settle())),
        }
    }

    fn listen(&mut self) -> Result<Listening, ListenError> {
        if self.live.receiver_count() >= LISTENERS {
            return Err(ListenError::Busy);
        }
        // What was dropped before is not for the new listener.
        self.take_all();
        let lines = self.live.subscribe();
        let row = |interface: &InterfaceState| InterfaceRow {
            name: interface.name.clone(),
            index: interface.index,
            mode: interface.mode.map(|mode| mode.to_string()),
        };
        let start = SampleStart {
            bytes: u32::try_from(SAMPLE_BYTES).unwrap_or(u32::MAX),
            interfaces: self.shared.read().interfaces.iter().map(row).collect(),
            counters: self.counters(),
        };
        Ok(Listening { start, lines })
    }

    fn counters(&self) -> SampleCounters {
        let counters = self.shared.reader.counters();
        let mut verdicts = views::verdicts(&counters);
        let has_counted = |row: &VerdictRow| row.packets > 0 || row.observed_packets > 0;
        verdicts.retain(|name, row| name.parse::<DropVerdict>().is_ok() && has_counted(row));
        SampleCounters {
            at: clock::now().wall,
            per_second: self.shared.read().settings.samples_per_second,
            bypass: self.shared.reader.word(control_word::BYPASS) != 0,
            taken: counters.samples,
            lost: counters.samples_lost,
            verdicts,
        }
    }

    fn publish(&self, line: SampleLine) {
        // Nobody listening is no failure.
        let _nobody = self.live.send(Arc::new(line));
    }
}

fn row(sample: &Sample, clocks: clock::Pair, state: &State) -> SampleRow {
    let bytes = sample.words.as_flattened();
    let captured = (sample.captured as usize).min(bytes.len());
    let name = state.interfaces.iter().find(|interface| interface.index == Some(sample.interface));
    SampleRow {
        at: clocks.wall_of(MonotonicNs(sample.at_ns)),
        interface: sample.interface,
        interface_name: name.map(|interface| interface.name.clone()),
        verdict: u8::try_from(sample.verdict)
            .ok()
            .and_then(Verdict::from_slot)
            .map_or("unknown", Verdict::name)
            .to_owned(),
        observed: sample.observed != 0,
        list: state.desired.list(ListId(sample.list)).map(|list| list.name.to_string()),
        detail: crate::domain::capture::detail(u32::from(sample.detail)),
        length: sample.frame_len,
        bytes: hex::encode(bytes.get(..captured).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_looked_at_oftener_while_somebody_listens_and_never_without_a_pause() {
        assert_eq!(pause(false, 0), POLL);
        assert_eq!(pause(false, BATCH), POLL, "whoever does not listen loses nothing");
        assert_eq!(pause(true, 0), POLL_HEARD);
        assert_eq!(pause(true, BATCH - 1), POLL_HEARD);
        assert_eq!(pause(true, BATCH), POLL_FULL);
    }

    #[tokio::test]
    async fn without_a_reader_nobody_can_listen() {
        let handle = SamplesHandle::without_reader();
        assert_eq!(handle.listen().await.unwrap_err(), ListenError::Closed);
        assert_eq!(handle.settle().await.unwrap_err(), ListenError::Closed);
        assert_eq!(handle.latest(5), []);
    }
}
