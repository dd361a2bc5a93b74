//! `weir top`: a live screen where a person sits at a terminal, else a table.
//!
//! The screen is a state machine ([`app`]), a picture of its state ([`draw`]), and a loop around both ([`live`]) that
//! alone reads keys, asks the daemon and writes.
mod app;
mod change;
mod draw;
mod live;
mod meter;
mod popup;
mod screen;
mod table;
mod view;

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::client;
use super::io::Io;
use crate::adapters::client::TopRequest;
use crate::cli::{Global, Output, TopArgs};
use crate::render;

/// Rows of a table.
const ROWS: u32 = 20;

pub(super) fn run(args: &TopArgs, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    // A terminal that can only write line after line has no screen.
    let is_screen = io.is_screen && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    if is_screen && !args.once && global.output == Output::Text {
        return live::run(&client, args, io.style);
    }
    let request = TopRequest {
        n: args.n.unwrap_or(ROWS),
        by: args.by,
        reversed: false,
        group: args.group,
        filter: args.filter.clone(),
    };
    let rows = client.wait_for(client.top_rows(&request))?;
    io.report(global.output, rows.as_slice(), render::top::top)?;
    Ok(())
}
