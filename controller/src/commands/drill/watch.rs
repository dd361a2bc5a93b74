//! Reads what the driver counts of both interfaces, again and again.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::stage::{FLOOD, HONEST, Stage};
use crate::adapters::system::nic::{XdpCounted, XdpCounters};
use crate::domain::drill::detection::Sample;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(2);

/// Counters of both interfaces at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) flood: XdpCounted,
    pub(super) honest: XdpCounted,
}

/// Somebody who looks, on a thread of its own; ended when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    looks: Mutex<Vec<Look>>,
}

impl Watch {
    /// Starts to look.
    pub(super) fn start(stage: &Stage) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (watching, server) = (Arc::clone(&shared), stage.server.another()?);
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(move || {
            server.enter()?;
            let [flood, honest] = [FLOOD, HONEST].map(XdpCounters::find);
            let (flood, honest) = (flood.context("read counters of veth")?, honest.context("read counters of veth")?);
            while !watching.over.load(Ordering::Relaxed) {
                let look = Look { at: Instant::now(), flood: flood.read()?, honest: honest.read()? };
                watching.looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
                thread::sleep(EVERY);
            }
            Ok(())
        });
        Ok(Self { shared, thread: Some(thread.context("start a thread")?) })
    }

    /// The first look after this moment; `None`: there is none yet.
    ///
    /// # Errors
    /// Why it looks no more.
    pub(super) fn after(&mut self, moment: Instant) -> Result<Option<Look>> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let ended = self.thread.take().map(JoinHandle::join);
            return match ended {
                Some(Ok(Err(error))) => Err(error),
                _ => Err(anyhow!("nobody reads the counters any more")),
            };
        }
        let looks = self.shared.looks.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(looks.iter().rev().take_while(|look| look.at > moment).last().copied())
    }

    /// All looks at the flood since a moment, as counted since an earlier look.
    pub(super) fn samples(&self, since: Instant, base: &Look) -> Vec<Sample> {
        let looks = self.shared.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = |look: &Look| Sample {
            at_ms: look.at.duration_since(since).as_secs_f64() * 1e3,
            seen: look.flood.seen.saturating_sub(base.flood.seen),
            dropped: look.flood.dropped.saturating_sub(base.flood.dropped),
        };
        looks.iter().filter(|look| look.at >= since).map(sample).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it would say now changes nothing any more.
            drop(thread.join());
        }
    }
}
