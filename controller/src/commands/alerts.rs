//! `weir alerts`.
use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::client;
use super::io::Io;
use crate::cli::{Alerts, AlertsList, Global, Users};
use crate::domain::report::AlertFilter;
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
        since,
    }
}
