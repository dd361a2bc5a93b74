//! What people do with alerts, datasets and hunts, for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, words};
use super::numbers::whole;
use super::{Style, alerts, plain, times};
use crate::domain::http::dataset::{Content, Dataset, Hunt};
use crate::domain::report::{AlertList, AnalysisReport, BulkReport, SwitchReport, UpdateReport};

/// Alerts of an analysis that are listed.
const SHOWN: usize = 50;

fn lifted(lifted: &[String], remains: &[String], into: &mut impl Write) -> fmt::Result {
    if !lifted.is_empty() {
        writeln!(into, "lifted: {}", plain::line(&lifted.join(", ")))?;
    }
    remains.iter().try_for_each(|remaining| writeln!(into, "remains: {}", plain::line(remaining)))
}

/// Writes what became of an alert.
///
/// # Errors
/// The writer's.
pub fn updated(report: &UpdateReport, _: Style, into: &mut impl Write) -> fmt::Result {
    let alert = &report.alert;
    let what = match (report.changed, report.dry_run) {
        (false, _) => "nothing to change",
        (true, false) => "changed",
        (true, true) => "would change",
    };
    writeln!(into, "{what}: {} is {} ({})", alert.id, alert.triage.status, plain::line(&alert.title))?;
    lifted(&report.lifted, &report.remains, into)?;
    match (&alert.source, report.score) {
        (Some(source), Some(score)) => writeln!(into, "{} has a score of {score} now", plain::line(source)),
        _ => Ok(()),
    }
}

/// Writes what became of several.
///
/// # Errors
/// The writer's.
pub fn bulk(report: &BulkReport, _: Style, into: &mut impl Write) -> fmt::Result {
    let changed = if report.dry_run { "would change" } else { "changed" };
    writeln!(into, "{} {changed}, {} were so already", whole(report.updated), whole(report.unchanged))?;
    lifted(&report.lifted, &report.remains, into)
}

/// Writes that something is gone.
///
/// # Errors
/// The writer's.
pub fn gone(report: &SwitchReport, dry_run: bool, into: &mut impl Write) -> fmt::Result {
    let would = if dry_run { " (not done: a dry run)" } else { "" };
    writeln!(into, "{}{would}", plain::line(&report.state))
}

/// Writes what an analysis came to.
///
/// # Errors
/// The writer's.
pub fn analysis(report: &AnalysisReport, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let AnalysisReport { candidates_found, alerts_created, alerts, summary } = report;
    let (rows, found, made) = (whole(summary.rows_analyzed), whole(*candidates_found), whole(*alerts_created));
    writeln!(into, "{rows} events looked at, {found} findings, {made} alerts made")?;
    if summary.truncated {
        writeln!(into, "{}", style.yellow("there was no time for all of it: make the dataset smaller"))?;
    }
    let shown: Vec<_> = alerts.iter().take(SHOWN).cloned().collect();
    if shown.is_empty() {
        return Ok(());
    }
    alerts::list(&AlertList { alerts: shown, total: *candidates_found }, now, style, into)
}

/// Writes a line for each dataset.
///
/// # Errors
/// The writer's.
pub fn datasets(rows: &[Dataset], now: Timestamp, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "no dataset");
    }
    let titles = ["name", "holds", "hunt", "made", "by", "id"];
    let mut grid = Grid::new(&titles.map(words));
    for row in rows {
        let holds = match &row.content {
            Content::Log { path, format, .. } => format!("{} ({format})", plain::line(path)),
            Content::Events { from, to } => {
                format!("events from {} to {}", times::absolute(*from), times::absolute(*to))
            }
        };
        grid.row([
            plain::line(&row.name).into_owned(),
            holds,
            row.hunt_id.as_deref().map_or_else(|| "-".to_owned(), |hunt| plain::line(hunt).into_owned()),
            times::ago(row.created_at, now),
            plain::line(&row.created_by).into_owned(),
            row.id.clone(),
        ]);
    }
    grid.write(into, "")
}

/// Writes a line for each hunt.
///
/// # Errors
/// The writer's.
pub fn hunts(rows: &[Hunt], now: Timestamp, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "no hunt");
    }
    let titles = ["name", "about", "made", "by", "id"];
    let mut grid = Grid::new(&titles.map(words));
    for row in rows {
        grid.row([
            plain::line(&row.name).into_owned(),
            plain::line(&row.description).into_owned(),
            times::ago(row.created_at, now),
            plain::line(&row.created_by).into_owned(),
            row.id.clone(),
        ]);
    }
    grid.write(into, "")
}
