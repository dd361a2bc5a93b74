//! `weir status`.
use anyhow::Result;
use jiff::Timestamp;

use super::client;
use super::io::Io;
use crate::cli::Global;
use crate::render;

pub(super) fn run(global: &Global, io: &mut Io) -> Result<()> {
    let status = client(global)?.status()?;
    let now = Timestamp::now();
    io.report(global.output, &status, |status, style, into| render::status::status(status, now, style, into))?;
    Ok(())
}
