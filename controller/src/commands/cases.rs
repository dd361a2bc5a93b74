//! `weir datasets` and `weir hunts`.
use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};

use super::client;
use super::io::Io;
use crate::cli::{Datasets, DatasetsCreate, Global, Hunts};
use crate::domain::http::dataset::{DatasetRequest, HuntRequest};
use crate::render;

/// Carries out a verb of `weir datasets`.
pub(super) fn datasets(verb: &Datasets, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Datasets::List => {
            let datasets = client(global)?.datasets()?;
            Ok(io
                .report(global.output, datasets.as_slice(), |rows, _, into| render::cases::datasets(rows, now, into))?)
        }
        Datasets::Create(args) => {
            let dataset = client(global)?.create_dataset(&request(args, now)?, args.dry_run)?;
            let one = std::slice::from_ref(&dataset);
            Ok(io.report(global.output, one, |rows, _, into| render::cases::datasets(rows, now, into))?)
        }
        Datasets::Delete(args) => {
            let report = client(global)?.delete_dataset(&args.id, args.dry_run)?;
            Ok(io.report(global.output, &report, |report, _, into| render::cases::gone(report, args.dry_run, into))?)
        }
    }
}

fn request(args: &DatasetsCreate, now: Timestamp) -> Result<DatasetRequest> {
    let since = args.since.map(|seconds| {
        let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        now.checked_sub(span).unwrap_or(Timestamp::MIN)
    });
    let path = args.file.as_ref().map(|file| {
        // The daemon is somewhere else.
        let whole = std::path::absolute(file).with_context(|| format!("name {} in full", file.display()))?;
        whole.into_os_string().into_string().map_err(|name| anyhow::anyhow!("{} is not UTF-8", name.display()))
    });
    Ok(DatasetRequest {
        name: args.name.clone(),
        description: args.description.clone(),
        path: path.transpose()?,
        format: args.format.clone(),
        zone: args.zone.clone(),
        from: args.from.or(since),
        to: args.to,
        hunt_id: args.hunt.clone(),
    })
}

/// Carries out a verb of `weir hunts`.
pub(super) fn hunts(verb: &Hunts, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Hunts::List => {
            let hunts = client(global)?.hunts()?;
            Ok(io.report(global.output, hunts.as_slice(), |rows, _, into| render::cases::hunts(rows, now, into))?)
        }
        Hunts::Create(args) => {
            let request = HuntRequest { name: args.name.clone(), description: args.description.clone() };
            let hunt = client(global)?.create_hunt(&request, args.dry_run)?;
            let one = std::slice::from_ref(&hunt);
            Ok(io.report(global.output, one, |rows, _, into| render::cases::hunts(rows, now, into))?)
        }
        Hunts::Delete(args) => {
            let report = client(global)?.delete_hunt(&args.id, args.dry_run)?;
            Ok(io.report(global.output, &report, |report, _, into| render::cases::gone(report, args.dry_run, into))?)
        }
    }
}
