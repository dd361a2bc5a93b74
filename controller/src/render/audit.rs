//! The audit report for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Column, Grid, figures, words};
use super::numbers::whole;
use super::{Style, plain, times};
use crate::domain::audit::{Row, ThreatLevel};
use crate::domain::report::AuditReport;

/// Characters of a detail.
const SHORT: usize = 100;

fn or_dash(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| plain::line(text).into_owned())
}

fn section(
    title: &str,
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<String>>,
    into: &mut impl Write,
) -> fmt::Result {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    writeln!(into, "\n{title}")?;
    let mut grid = Grid::new(columns);
    rows.for_each(|row| grid.row(row));
    grid.write(into, "  ")
}

/// Writes what happened.
///
/// # Errors
/// The writer's.
pub fn report(report: &AuditReport, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let summary = &report.summary;
    let level = summary.threat_level.name();
    let level = match summary.threat_level {
        ThreatLevel::Low => style.green(level),
        ThreatLevel::Medium => style.yellow(level),
        ThreatLevel::High | ThreatLevel::Critical => style.red(level),
    };
    let (from, to) = (times::absolute(report.start_time), times::absolute(report.end_time));
    writeln!(into, "{from} to {to}: threat level {level}")?;
    writeln!(
        into,
        "{} events of {} sources and {} users: {} failed sign-ins, {} refusals, {} times over a limit",
        whole(summary.total_events),
        whole(summary.unique_ips),
        whole(summary.unique_users),
        whole(summary.failed_authentications),
        whole(summary.permission_denials),
        whole(summary.rate_limit_violations),
    )?;
    if let Some(since) = report.events_since.filter(|since| *since > report.start_time && summary.total_events > 0) {
        writeln!(into, "the oldest event that is kept is of {}", times::absolute(since))?;
    }
    if report.left_out > 0 {
        let text = format!("{} events could not be kept since the daemon started", whole(report.left_out));
        writeln!(into, "{}", style.yellow(&text))?;
    }
    people(report, now, into)?;
    happenings(report, now, into)
}

/// Who did what, and where from.
fn people(report: &AuditReport, now: Timestamp, into: &mut impl Write) -> fmt::Result {
    let of = |rows: &[Row]| {
        let row = |row: &Row| {
            let (source, user, endpoint) =
                (or_dash(row.source.as_ref()), or_dash(row.user.as_ref()), or_dash(row.endpoint.as_ref()));
            vec![whole(row.count), source, user, endpoint, times::ago(row.last, now)]
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let columns = [figures("times"), words("source"), words("user"), words("endpoint"), words("last")];
    section("failed sign-ins", &columns, of(&report.failed_authentications), into)?;
    section("refusals", &columns, of(&report.permission_denials), into)?;
    section("over a limit", &columns, of(&report.rate_limit_violations), into)?;
    let threats = report.top_threats.iter().map(|row| {
        vec![
            plain::line(&row.source).into_owned(),
            or_dash(row.country.as_ref()),
            row.score.to_string(),
            whole(row.failed_authentications),
            whole(row.permission_denials),
            whole(row.rate_limit_violations),
            whole(row.events),
            times::ago(row.last_seen, now),
        ]
    });
    let columns = [
        words("source"),
        words("country"),
        figures("score"),
        figures("failed"),
        figures("refused"),
        figures("limited"),
        figures("events"),
        words("last"),
    ];
    section("sources", &columns, threats, into)?;
    let users = report.user_activity.iter().map(|row| {
        let user = plain::line(&row.user).into_owned();
        let counts = [row.events, row.failed_sign_ins, row.sign_ins, row.denials, row.sources].map(whole);
        [user].into_iter().chain(counts).chain([times::ago(row.last, now)]).collect()
    });
    let columns = [
        words("user"),
        figures("events"),
        figures("failed"),
        figures("signed in"),
        figures("refused"),
        figures("sources"),
        words("last"),
    ];
    section("users", &columns, users, into)?;
    let countries = report.geographic_analysis.iter().map(|row| {
        let counts = [row.events, row.sources, row.failed_sign_ins, row.denials, row.rate_limits].map(whole);
        [row.country.clone()].into_iter().chain(counts).collect()
    });
    let columns = [
        words("country"),
        figures("events"),
        figures("sources"),
        figures("failed"),
        figures("refused"),
        figures("limited"),
    ];
    section("countries", &columns, countries, into)
}

/// What stood out, and what was changed.
fn happenings(report: &AuditReport, now: Timestamp, into: &mut impl Write) -> fmt::Result {
    let unusual = report.unusual_access_patterns.iter().map(|row| {
        vec![
            row.severity.name().to_owned(),
            plain::line(&row.title).into_owned(),
            or_dash(row.source.as_ref()),
            or_dash(row.user.as_ref()),
            whole(row.count),
            times::ago(row.last_seen, now),
        ]
    });
    let columns = [words("severity"), words("what"), words("source"), words("user"), figures("times"), words("last")];
    section("unusual", &columns, unusual, into)?;
    let changes = report.changes.iter().map(|row| {
        let detail = match &row.detail {
            serde_json::Value::Object(map) if map.is_empty() => String::new(),
            detail => detail.to_string().chars().take(SHORT).collect(),
        };
        let texts = [&row.actor, &row.action, &row.target, &detail].map(|text| plain::line(text).into_owned());
        [times::ago(row.at, now)].into_iter().chain(texts).collect()
    });
    section("changes", &[words("when"), words("who"), words("did"), words("to"), words("")], changes, into)?;
    let shown = report.changes.len() as u64;
    if shown < report.changes_total {
        writeln!(into, "  {} of {} changes", whole(shown), whole(report.changes_total))?;
    }
    Ok(())
}
