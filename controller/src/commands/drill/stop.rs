//! Being told to stop, by Ctrl-C or another signal.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// How long is slept at most before a look at it.
const GLANCE: Duration = Duration::from_millis(20);

/// Whether the command was told to stop.
#[derive(Clone, Debug)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Heeds signals from here on, on a thread of its own.
    pub(super) fn heed() -> Result<Self> {
        let stop = Self(Arc::default());
        let told = Arc::clone(&stop.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
        let listening = {
            let _entered = runtime.enter();
            let [interrupt, terminate, hangup] =
                [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            (interrupt?, terminate?, hangup?)
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let (mut interrupt, mut terminate, mut hangup) = listening;
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                told.store(true, Ordering::Relaxed);
                // Further ones change nothing: what is being taken down is taken down to the end.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(stop)
    }

    /// Whether it was.
    pub(super) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once it was.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(!self.is_told(), "stopped before the end; everything is taken down");
        Ok(())
    }

    /// Waits, unless it is told to stop meanwhile.
    pub(super) fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(GLANCE));
        }
    }

    /// Waits until something is there, at most for a time; `None` after that.
    pub(super) fn wait_for<T>(
        &self,
        within: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let end = Instant::now() + within;
        loop {
            if let Some(found) = probe()? {
                return Ok(Some(found));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            self.sleep(Duration::from_millis(5))?;
        }
    }
}
