//! `weir alerts`.
use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::client;
use super::io::Io;
use crate::cli::{Alerts, AlertsList, AlertsUpdate, Global, Users};
use crate::domain::http::alert::AlertUpdate;
use crate::domain::report::{AlertFilter, AlertRequest, AnalyzeRequest, BulkUpdate};
use crate::render;

/// Carries out a verb of `weir alerts`.
pub(super) fn run(verb: &Alerts, global: &Global, io: &mut Io) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Alerts::List(args) => {
            let list = client(global)?.alerts(&filter(args, now), args.limit, args.offset)?;
            io.report(global.output, &list, |list, style, into| render::alerts::list(list, now, style, into))?;
        }
        Alerts::Show(args) => {
            let alert = client(global)?.alert(args.id)?;
            io.report(global.output, &alert, |alert, style, into| render::alerts::alert(alert, now, style, into))?;
        }
        Alerts::Update(args) => update(args, global, io)?,
        Alerts::Create(args) => {
            let request = AlertRequest {
                title: args.title.clone(),
                description: args.description.clone(),
                severity: args.severity,
                source: args.source.map(|address| address.to_string()),
                user: args.user.clone(),
                case: args.case.clone(),
                hunt_id: args.hunt.clone(),
                ..AlertRequest::default()
            };
            let alert = client(global)?.create_alert(&request, args.dry_run)?;
            io.report(global.output, &alert, |alert, style, into| render::alerts::alert(alert, now, style, into))?;
        }
        Alerts::Delete(args) => {
            let report = client(global)?.delete_alert(args.id, args.dry_run)?;
            io.report(global.output, &report, |report, _, into| render::cases::gone(report, args.dry_run, into))?;
        }
        Alerts::Analyze(args) => {
            let request = AnalyzeRequest {
                dataset_id: args.dataset.clone(),
                hunt_id: args.hunt.clone(),
                analyzers: args.analyzers.clone(),
                auto_create: !args.no_alerts,
                ..AnalyzeRequest::default()
            };
            let report = client(global)?.analyze(&request)?;
            io.report(global.output, &report, |report, style, into| render::cases::analysis(report, now, style, into))?;
        }
        Alerts::Stats => {
            let stats = client(global)?.alert_stats()?;
            io.report(global.output, &stats, render::alerts::stats)?;
        }
        Alerts::Analyzers => {
            let analyzers = client(global)?.analyzers()?;
            io.report(global.output, analyzers.as_slice(), render::alerts::analyzers)?;
        }
        Alerts::Users(Users::List) => {
            let users = client(global)?.denied_users()?;
            io.report(global.output, users.as_slice(), |users, _, into| render::alerts::users(users, now, into))?;
        }
        Alerts::Users(Users::Lift(args)) => {
            let report = client(global)?.lift_user(&args.user, args.dry_run)?;
            io.report(global.output, &report, |report, _, into| render::alerts::lifted(report, args.dry_run, into))?;
        }
    }
    Ok(())
}

fn update(args: &AlertsUpdate, global: &Global, io: &mut Io) -> Result<()> {
    let update = AlertUpdate {
        status: args.status,
        case: args.case.clone(),
        assignee: args.assignee.clone(),
        hunt_id: args.hunt.clone(),
        note: args.note.clone(),
        tags: args.tags.clone(),
    };
    if let [id] = args.ids.as_slice() {
        let report = client(global)?.update_alert(*id, &update, args.dry_run)?;
        return Ok(io.report(global.output, &report, render::cases::updated)?);
    }
    let bulk = BulkUpdate { ids: args.ids.clone(), update };
    let report = client(global)?.update_alerts(&bulk, args.dry_run)?;
    Ok(io.report(global.output, &report, render::cases::bulk)?)
}

fn filter(args: &AlertsList, now: Timestamp) -> AlertFilter {
    let since = args.since.map(|seconds| {
        let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        now.checked_sub(span).unwrap_or(Timestamp::MIN)
    });
    AlertFilter {
        status: args.status,
        severity: args.severity,
        min_severity: args.min_severity,
        analyzer: args.analyzer.clone(),
        source: args.source.map(|address| address.to_canonical().to_string()),
        user: args.user.clone(),
        hunt_id: args.hunt.clone(),
        dataset_id: args.dataset.clone(),
        since,
    }
}
