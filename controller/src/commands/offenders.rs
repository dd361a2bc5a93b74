//! `weir offenders`.
use anyhow::Result;

use super::client;
use super::io::Io;
use crate::cli::{Global, OffendersArgs};
use crate::render;

pub(super) fn run(args: OffendersArgs, global: &Global, io: &mut Io) -> Result<()> {
    let client = client(global)?;
    let rows = client.wait_for(client.offenders(args.n))?;
    Ok(io.report(global.output, rows.as_slice(), render::offenders::offenders)?)
}
