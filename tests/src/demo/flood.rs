//! Who floods: many listed sources, one loud one on no list, and a real capture in the background.
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::packets::{self, Capture};
use crate::harness::sender::Sender;

/// The loud source: a documentation address, on no list.
pub const LOUD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

/// A port of the server that nobody listens at.
const CLOSED: u16 = 443;

/// Packets sent so far.
#[derive(Debug, Default)]
pub struct Sent {
    /// From listed sources.
    pub listed: AtomicU64,
    /// From the loud one.
    pub loud: AtomicU64,
    /// Of the capture.
    pub capture: AtomicU64,
}

impl Sent {
    /// All.
    pub fn all(&self) -> u64 {
        [&self.listed, &self.loud, &self.capture].iter().map(|sent| sent.load(Ordering::Relaxed)).sum()
    }
}

/// What floods.
#[derive(Debug)]
pub struct Flood {
    listed: Vec<Vec<u8>>,
    listed_per_second: u64,
    loud: Vec<Vec<u8>>,
    loud_per_second: u64,
    capture: Option<Capture>,
}

impl Flood {
    /// SYNs from all of `listed`, one after the other, datagrams from the loud source, and the capture.
    ///
    /// # Errors
    /// Where a packet cannot be built.
    pub fn new(
        listed: &[Ipv4Addr],
        listed_per_second: u64,
        loud_per_second: u64,
        port: u16,
        capture: Option<Capture>,
    ) -> Result<Self> {
        let syns = (0..).zip(listed).map(|(at, source)| packets::syn(*source, 1024 + at % 60_000, port, u32::from(at)));
        Ok(Self {
            listed: syns.collect::<Result<_>>()?,
            listed_per_second,
            loud: vec![packets::datagram(LOUD, CLOSED)?],
            loud_per_second,
            capture,
        })
    }

    /// Floods, on threads of its own, until `on` is false.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        sender: &Sender,
        sent: &'scope Sent,
        on: &'scope AtomicBool,
    ) {
        let each =
            [(&self.listed, self.listed_per_second, &sent.listed), (&self.loud, self.loud_per_second, &sent.loud)];
        for (frames, per_second, count) in each {
            let sender = sender.another();
            scope.spawn(move || {
                sender.while_wanted(frames, per_second, |sent| {
                    count.store(sent, Ordering::Relaxed);
                    on.load(Ordering::Relaxed)
                });
            });
        }
        if let Some(capture) = &self.capture {
            let sender = sender.another();
            scope.spawn(move || replay(capture, &sender, &sent.capture, on));
        }
    }
}

/// Sends a capture at its own pace, over and over.
fn replay(capture: &Capture, sender: &Sender, sent: &AtomicU64, on: &AtomicBool) {
    while !capture.packets.is_empty() && on.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut rest = capture.packets.as_slice();
        while !rest.is_empty() && on.load(Ordering::Relaxed) {
            let now = start.elapsed();
            let due = rest.partition_point(|(at, _)| *at <= now);
            let frames: Vec<&[u8]> = rest.iter().take(due).map(|(_, frame)| frame.as_slice()).collect();
            sender.send(&frames);
            sent.fetch_add(frames.len() as u64, Ordering::Relaxed);
            rest = rest.get(due..).unwrap_or_default();
            thread::sleep(Duration::from_millis(1));
        }
    }
}
