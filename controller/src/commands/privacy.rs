//! `weir privacy`.
use anyhow::Result;

use super::client;
use super::io::Io;
use crate::cli::{Global, Privacy};
use crate::domain::report::EraseRequest;
use crate::render;

/// Carries out a verb of `weir privacy`.
pub(super) fn run(verb: &Privacy, global: &Global, io: &mut Io) -> Result<()> {
    match verb {
        Privacy::Rotate(args) => {
            let report = client(global)?.rotate_key(args.forget, args.dry_run)?;
            Ok(io.report(global.output, &report, |report, _, into| render::reputation::rotated(report, into))?)
        }
        Privacy::Erase(args) => {
            let address = args.address.map(|address| address.to_string());
            let request = EraseRequest { address, user: args.user.clone(), dry_run: args.dry_run };
            let report = client(global)?.erase(&request)?;
            Ok(io.report(global.output, &report, |report, _, into| render::reputation::erased(report, into))?)
        }
    }
}
