//! When the kernel first judges a source's packets otherwise.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_common::verdict::Verdict;

use super::{PATIENCE, Site};
use crate::frames::V4;

/// Between two packets. More would take a CPU from those who are measured.
const BETWEEN: Duration = Duration::from_micros(200);

/// Packets of one source, sent one at a time from a thread of its own until a verdict has counted one of them.
/// Nobody else may send: whatever that verdict counts is taken for this source's.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Instant>>>,
}

impl Watch {
    /// Begins to send.
    pub fn start(site: &Site, source: [u8; 4], verdict: Verdict) -> Self {
        let (reader, sender) = (site.place.reader(), site.links[0].sender.another());
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let counted = move || reader.counters().enforced[verdict.slot() as usize].packets;
        let before = counted();
        let thread = thread::spawn(move || {
            let (frame, start) = ([V4::from(source).frame()], Instant::now());
            while !is_over.load(Ordering::Relaxed) && start.elapsed() < 3 * PATIENCE {
                sender.send(&frame);
                if counted() > before {
                    return Some(Instant::now());
                }
                thread::sleep(BETWEEN);
            }
            None
        });
        Self { over, thread: Some(thread) }
    }

    /// When the verdict counted the first.
    ///
    /// # Panics
    /// Where it has not in time.
    #[track_caller]
    pub fn seen(mut self) -> Instant {
        let thread = self.thread.take().expect("it is taken once");
        thread.join().expect("sending does not panic").expect("the packets were judged otherwise in time")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic, if it had one, was printed.
            drop(thread.join());
        }
    }
}
