//! `weir top`.
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::client;
use super::io::Io;
use crate::cli::{Global, Output, TopArgs};
use crate::render;

/// From one table to the next.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) fn run(args: TopArgs, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    // A program asks for one document, whether it says so or not.
    let once = args.once || global.output == Output::Json;
    client.wait_for(async {
        let mut interrupts = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
        let mut first = true;
        loop {
            let rows = tokio::select! {
                _ = interrupts.recv() => return Ok(()),
                rows = client.top(args.n, args.by) => rows?,
            };
            if !first {
                io.write(b"\n")?;
            }
            io.report(global.output, rows.as_slice(), render::top::top)?;
            if once {
                return Ok(());
            }
            io.flush()?;
            first = false;
            tokio::select! {
                _ = interrupts.recv() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    })
}
