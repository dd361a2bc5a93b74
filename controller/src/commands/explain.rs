//! `weir explain`.
use anyhow::Result;
use jiff::Timestamp;

use super::client;
use super::io::Io;
use crate::cli::{ExplainArgs, Global};
use crate::render;

pub(super) fn run(args: &ExplainArgs, global: &Global, io: &mut Io) -> Result<()> {
    let explain = client(global)?.explain(args.address)?;
    let now = Timestamp::now();
    io.report(global.output, &explain, |explain, style, into| render::explain::explain(explain, now, style, into))?;
    Ok(())
}
