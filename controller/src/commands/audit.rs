//! `weir audit`.
use anyhow::Result;
use jiff::Timestamp;

use super::client;
use super::io::Io;
use crate::cli::{AuditArgs, Global};
use crate::render;

/// Carries out `weir audit`.
pub(super) fn run(args: &AuditArgs, global: &Global, io: &mut Io) -> Result<()> {
    let report = client(global)?.audit(&args.since)?;
    let now = Timestamp::now();
    Ok(io.report(global.output, &report, |report, style, into| render::audit::report(report, now, style, into))?)
}
