//! `weir logs analyze` for people.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::numbers::{counted, short, whole};
use super::{Style, plain, times};
use crate::domain::http::alert::Action;
use crate::domain::http::severity::Severity;
use crate::domain::report::{LogAlert, LogAnalysis, LogInput, Unparsed};

/// Letters of an indicator that are shown.
const INDICATOR: usize = 60;
/// Letters of a title that are shown.
const TITLE: usize = 48;

/// Writes the alerts, the worst first, then what was read and what could not be.
///
/// # Errors
/// The writer's.
pub fn analysis(analysis: &LogAnalysis, style: Style, into: &mut impl Write) -> fmt::Result {
    alerts(&analysis.alerts, style, into)?;
    summary(analysis, style, into)?;
    for input in &analysis.inputs {
        trouble(input, style, into)?;
    }
    Ok(())
}

fn alerts(rows: &[LogAlert], style: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&[
        words("severity"),
        words("what"),
        words("source"),
        figures("count"),
        words("first seen"),
        words("lasted"),
        words("would be"),
        words("seen in"),
    ]);
    for row in rows {
        grid.row([
            severity(row.severity, style),
            short_text(&row.title, TITLE),
            subject(row),
            whole(row.count),
            times::absolute(row.first_seen),
            lasted(row),
            action(row, style),
            seen_in(row),
        ]);
    }
    grid.write(into, "")?;
    writeln!(into)
}

fn severity(severity: Severity, style: Style) -> String {
    match severity {
        Severity::Low => style.usual(severity.name()),
        Severity::Medium => style.yellow(severity.name()),
        Severity::High | Severity::Critical => style.red(severity.name()),
    }
    .into_owned()
}

/// Whose doing it is.
fn subject(row: &LogAlert) -> String {
    let source = row.source.as_deref().map_or_else(|| "-".to_owned(), |source| plain::line(source).into_owned());
    match &row.user {
        Some(user) => format!("{source} ({})", short_text(user, INDICATOR / 2)),
        None => source,
    }
}

fn lasted(row: &LogAlert) -> String {
    let seconds = row.last_seen.duration_since(row.first_seen).as_secs();
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map_or_else(|| "-".to_owned(), times::span)
}

fn action(row: &LogAlert, style: Style) -> String {
    let for_s = row.action_for_s.map_or_else(String::new, |seconds| format!(" {}", times::span(seconds)));
    match (row.action, &row.refused) {
        (Action::Observe, Some(_)) => style.yellow("refused"),
        (Action::Observe, None) => style.usual("-"),
        (Action::Notify, _) => style.usual("told"),
        (Action::Limit, _) => return style.yellow(&format!("limited{for_s}")).into_owned(),
        (Action::DenyUser, _) => return style.red(&format!("user denied{for_s}")).into_owned(),
        (Action::Deny, _) => return style.red(&format!("denied{for_s}")).into_owned(),
    }
    .into_owned()
}

/// The first thing that gave it away, else what it is about.
fn seen_in(row: &LogAlert) -> String {
    let text = row.indicators.first().or(row.about.as_ref());
    text.map_or_else(String::new, |text| short_text(text, INDICATOR))
}

fn short_text(text: &str, most: usize) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    plain::line(&short).into_owned()
}

fn summary(analysis: &LogAnalysis, style: Style, into: &mut impl Write) -> fmt::Result {
    let (lines, files) = (counted(analysis.lines, "line", "lines"), counted(analysis.files, "file", "files"));
    let sources = counted(analysis.sources, "source", "sources");
    write!(into, "{lines} of {files}: {} of {sources}", counted(analysis.parsed, "event", "events"))?;
    if let (Some(first), Some(last)) = (analysis.first, analysis.last) {
        write!(into, ", {} to {}", times::absolute(first), times::absolute(last))?;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let rate = analysis.events_per_second.max(0.0) as u64;
    writeln!(into, "; {} events a second", short(rate))?;
    if analysis.alerts.is_empty() {
        return writeln!(into, "{}", style.green("no alerts"));
    }
    let mut by_severity = BTreeMap::<_, u64>::new();
    let (mut denied, mut limited, mut users) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for alert in &analysis.alerts {
        *by_severity.entry(std::cmp::Reverse(alert.severity)).or_default() += 1;
        match alert.action {
            Action::Deny => denied.insert(&alert.action_target),
            Action::Limit => limited.insert(&alert.action_target),
            Action::DenyUser => users.insert(&alert.action_target),
            Action::Observe | Action::Notify => false,
        };
    }
    let counts: Vec<String> =
        by_severity.iter().map(|(severity, count)| format!("{} {}", whole(*count), severity.0)).collect();
    write!(into, "{}: {}", counted(analysis.alerts.len() as u64, "alert", "alerts"), counts.join(", "))?;
    for (whom, one, many, done) in [
        (denied, "source", "sources", "denied"),
        (limited, "source", "sources", "limited"),
        (users, "user", "users", "denied"),
    ] {
        if !whom.is_empty() {
            write!(into, "; {} would be {done}", counted(whom.len() as u64, one, many))?;
        }
    }
    writeln!(into)?;
    if analysis.left_out > 0 {
        let left_out = counted(analysis.left_out, "alert", "alerts");
        writeln!(into, "{}", style.yellow(&format!("{left_out} with the lowest scores are not listed")))?;
    }
    if analysis.overflowed > 0 {
        let findings = counted(analysis.overflowed, "finding", "findings");
        let text = format!("{findings} had no room of their own: see the alerts with the label \"overflow\"");
        writeln!(into, "{}", style.yellow(&text))?;
    }
    Ok(())
}

/// What of a file was not read, or is no event.
fn trouble(input: &LogInput, style: Style, into: &mut impl Write) -> fmt::Result {
    let file = plain::line(&input.file);
    if let Some(problem) = &input.problem {
        writeln!(into, "{} {file}: {}", style.red("!"), plain::line(problem))?;
    }
    if input.unparsed.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = input.unparsed.iter().map(|(reason, lines)| unparsed(reason, lines)).collect();
    let total = input.unparsed.values().map(|lines| lines.lines).sum();
    let lines = counted(total, "line is no event", "lines are no events");
    writeln!(into, "{} {file} ({}): {lines}: {}", style.yellow("!"), plain::line(&input.format), reasons.join("; "))?;
    if input.parsed == 0 {
        writeln!(into, "  not one line is: another --format may fit; `weir logs analyze --help` names them")?;
    }
    Ok(())
}

fn unparsed(reason: &str, lines: &Unparsed) -> String {
    let numbers: Vec<String> = lines.first.iter().map(|line| whole(*line)).collect();
    let more = if lines.lines > lines.first.len() as u64 { ", …" } else { "" };
    let word = if lines.first.len() == 1 && more.is_empty() { "line" } else { "lines" };
    format!("{} {} ({word} {}{more})", whole(lines.lines), plain::line(reason), numbers.join(", "))
}

#[cfg(test)]
mod tests;
