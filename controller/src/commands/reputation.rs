//! `weir reputation`.
use anyhow::Result;
use jiff::Timestamp;

use super::client;
use super::io::Io;
use crate::cli::{Global, Reputation};
use crate::render;

/// Carries out a verb of `weir reputation`.
pub(super) fn run(verb: &Reputation, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Reputation::Show(args) => {
            let row = client(global)?.reputation(args.address)?;
            Ok(io.report(global.output, &row, |row, _, into| render::reputation::ledger(row, now, into))?)
        }
        Reputation::List(args) => {
            let list = client(global)?.reputations(args.limit, args.offset)?;
            Ok(io.report(global.output, &list, |list, _, into| render::reputation::list(list, into))?)
        }
        Reputation::Reset(args) => {
            let report = client(global)?.reset_reputation(args.address, args.dry_run)?;
            Ok(io.report(global.output, &report, |report, _, into| render::reputation::reset(report, into))?)
        }
    }
}
