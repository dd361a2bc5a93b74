//! Rules for people.
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::{Style, plain};
use crate::domain::duration;
use crate::domain::http::finding::Response;
use crate::domain::http::rules::check::Report;
use crate::domain::report::{RuleDetail, RuleReport, RuleRow};

fn response(response: Option<Response>) -> String {
    match response {
        None => "alert".to_owned(),
        Some(response) => match response.for_s() {
            None => response.name().to_owned(),
            Some(seconds) => format!("{} {}", response.name(), duration::format(seconds)),
        },
    }
}

fn counted(rule: &RuleRow) -> String {
    match (rule.threshold, rule.within_s) {
        (Some(threshold), Some(within_s)) => format!("{threshold} in {}", duration::format(within_s)),
        _ => String::new(),
    }
}

/// Writes a line for each rule.
///
/// # Errors
/// The writer's.
pub fn list(rows: &[RuleRow], style: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "no rule");
    }
    let mut grid = Grid::new(&[
        words("id"),
        words("severity"),
        words("state"),
        words("response"),
        words("counts"),
        words("from"),
        words("name"),
    ]);
    for row in rows {
        let state = match (row.enabled, row.overridden) {
            (true, false) => style.green("on").into_owned(),
            (true, true) => format!("{} (changed)", style.green("on")),
            (false, _) => style.yellow("off").into_owned(),
        };
        grid.row([
            plain::line(&row.id).into_owned(),
            row.severity.to_string(),
            state,
            response(row.response),
            counted(row),
            plain::line(&row.origin).into_owned(),
            plain::line(&row.name).into_owned(),
        ]);
    }
    grid.write(into, "")
}

/// Writes all about a rule.
///
/// # Errors
/// The writer's.
pub fn rule(detail: &RuleDetail, style: Style, into: &mut impl Write) -> fmt::Result {
    let rule = &detail.rule;
    writeln!(into, "{}: {}", plain::line(&rule.id), plain::line(&rule.name))?;
    let mut grid = Grid::new(&[words(""), words("")]);
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            grid.row([name.to_owned(), text]);
        }
    };
    row("about", plain::line(&rule.description).into_owned());
    row("state", if rule.enabled { style.green("on") } else { style.yellow("off") }.into_owned());
    row("severity", rule.severity.to_string());
    row("confidence", format!("{} %", rule.confidence));
    row("response", response(rule.response));
    row("finds by", plain::line(rule.analyzer.as_deref().unwrap_or(&rule.kind)).into_owned());
    row("counts", counted(rule));
    row("techniques", plain::line(&rule.technique.join(" ")).into_owned());
    row("tags", plain::line(&rule.tags.join(" ")).into_owned());
    row("wrong where", plain::line(&rule.falsepositives.join("; ")).into_owned());
    let place = if rule.file.is_empty() {
        rule.origin.clone()
    } else {
        format!("{}, {}:{}", rule.origin, rule.file, rule.line)
    };
    row("from", plain::line(&place).into_owned());
    if let Some(change) = &detail.r#override {
        row("changed", serde_json::to_string(change).map_err(|_error| fmt::Error)?);
    }
    grid.write(into, "")?;
    writeln!(into, "\n{}", plain::lines(&detail.text))
}

/// Writes what became of a rule.
///
/// # Errors
/// The writer's.
pub fn change(report: &RuleReport, style: Style, into: &mut impl Write) -> fmt::Result {
    let what = match (report.changed, report.dry_run) {
        (false, _) => "nothing to change",
        (true, false) => "changed",
        (true, true) => "would change",
    };
    writeln!(into, "{}: {what}", plain::line(&report.id))?;
    for warning in &report.warnings {
        writeln!(into, "  {} line {}: {}", style.yellow("!"), warning.line, plain::line(&warning.why))?;
    }
    Ok(())
}

/// Writes what a check of files found.
///
/// # Errors
/// The writer's.
pub fn checked(report: &Report, style: Style, into: &mut impl Write) -> fmt::Result {
    let plural = if report.rules.len() == 1 { "rule" } else { "rules" };
    writeln!(into, "{} {plural} can be used", report.rules.len())?;
    for problem in &report.problems {
        writeln!(into, "  {} {}", style.red("!"), plain::line(&problem.to_string()))?;
    }
    let over: Vec<_> = report.costs.iter().filter(|cost| cost.over).collect();
    if !over.is_empty() {
        let mut grid = Grid::new(&[words("too slow"), figures("microseconds a KiB at worst"), words("by")]);
        for cost in over {
            let worst = format!("{}.{}", cost.ns_per_kib / 1_000, cost.ns_per_kib % 1_000 / 100);
            grid.row([plain::line(&cost.id).into_owned(), worst, plain::line(cost.input).into_owned()]);
        }
        grid.write(into, "")?;
    }
    Ok(())
}
