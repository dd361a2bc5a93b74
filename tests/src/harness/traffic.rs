//! Packets in the background, for as long as they are wanted.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use super::sender::Sender;

/// Frames sent in turn by a thread of their own; it ends when this is dropped, also by a panic.
#[derive(Debug)]
pub struct Traffic {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    over: AtomicBool,
    sent: AtomicU64,
}

impl Traffic {
    /// Begins to send, no faster than `per_second`.
    pub fn start(sender: &Sender, frames: Vec<Vec<u8>>, per_second: u64) -> Self {
        let state = Arc::new(State::default());
        let (sender, shared) = (sender.another(), Arc::clone(&state));
        let thread = thread::spawn(move || {
            sender.while_wanted(&frames, per_second, |sent| {
                shared.sent.store(sent, Ordering::Relaxed);
                !shared.over.load(Ordering::Relaxed)
            });
        });
        Self { state, thread: Some(thread) }
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Stops, and says how many frames were sent in all.
    ///
    /// # Panics
    /// Where sending failed.
    pub fn stop(mut self) -> u64 {
        self.end().expect("every frame was sent");
        self.sent()
    }

    fn end(&mut self) -> thread::Result<()> {
        self.state.over.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // Its panic, if it had one, was printed; `stop` is what passes it on.
        drop(self.end());
    }
}
