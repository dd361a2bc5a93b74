//! What the binaries share: how they are stopped, and how they fail.
use std::any::Any;
use std::io::{self, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

static STOP: AtomicBool = AtomicBool::new(false);

/// Runs a tool, and says how it ended. The first SIGINT, SIGTERM or SIGHUP sets the flag it is given: it must look at it
/// and end, so that all it made is taken down.
pub fn main(run: impl FnOnce(&AtomicBool) -> Result<()>) -> ExitCode {
    // What the tests' harness panics with is, in a tool, an error that a person reads.
    panic::set_hook(Box::new(|panic| complain(&text(panic.payload()))));
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        listen()?;
        run(&STOP)
    }));
    match ended {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
        Err(_said) => ExitCode::FAILURE,
    }
}

fn complain(what: &str) {
    // Nothing is left to do if standard error is gone as well.
    drop(writeln!(io::stderr(), "error: {what}"));
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "something went wrong".to_owned())
}

fn listen() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("listen to signals")?;
    let entered = runtime.enter();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).context("listen to signals")?);
    }
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(std::future::poll_fn(|context| {
            if signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                STOP.store(true, Ordering::Relaxed);
            }
            std::task::Poll::<()>::Pending
        }));
    });
    Ok(())
}
