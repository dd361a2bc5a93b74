//! What a change came to, for people.
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::numbers::{counted, whole};
use super::{Style, plain, times};
use crate::domain::report::{ChangeReport, ConfigReport, ImportReport, RejectRow};

/// Changed prefixes that are named one by one; of more, only their number is told.
const NAMED: usize = 20;
/// Refused lines that are shown.
const REJECTS: usize = 20;

/// Writes what became of each prefix.
///
/// # Errors
/// The writer's.
pub fn change(report: &ChangeReport, style: Style, into: &mut impl Write) -> fmt::Result {
    let would = if report.dry_run { "would be " } else { "" };
    if report.changes.len() > NAMED {
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in &report.changes {
            *sums.entry((&row.change, &row.list)).or_default() += 1;
        }
        for ((change, list), count) in sums {
            let what = counted(count, "prefix", "prefixes");
            writeln!(into, "{what} {}{} ({})", tense(change, would), plain::line(change), plain::line(list))?;
        }
    } else {
        for row in &report.changes {
            let (prefix, change) = (plain::line(&row.prefix), plain::line(&row.change));
            writeln!(into, "{prefix} {}{change} ({})", tense(&row.change, would), plain::line(&row.list))?;
        }
    }
    notes(&report.notes, style, into)
}

/// What is unchanged is so, dry run or not.
fn tense<'a>(change: &str, would: &'a str) -> &'a str {
    if change == "unchanged" { "" } else { would }
}

/// Writes what was taken of a file and what was not.
///
/// # Errors
/// The writer's.
pub fn import(report: &ImportReport, style: Style, into: &mut impl Write) -> fmt::Result {
    let list = plain::line(&report.list);
    let entries = counted(report.accepted, "entry", "entries");
    let ending =
        if report.ending > 0 { format!(", {} of them with an end", whole(report.ending)) } else { String::new() };
    let lines = counted(report.lines, "line", "lines");
    writeln!(into, "{list}: {entries}{ending} from {lines} ({})", plain::line(&report.format))?;
    super::feeds::reach(&report.reach, style, into)?;
    if report.rejected > 0 {
        writeln!(into, "{}:", style.yellow(&format!("{} refused", counted(report.rejected, "line", "lines"))))?;
        for reject in report.rejects.iter().take(REJECTS) {
            writeln!(into, "  {}", refused_line(reject))?;
        }
        let shown = report.rejects.len().min(REJECTS) as u64;
        if report.rejected > shown {
            writeln!(into, "  and {} more", whole(report.rejected - shown))?;
        }
    }
    match (report.changed, report.dry_run) {
        (true, true) => writeln!(into, "the list would change; nothing was changed"),
        (false, true) => writeln!(into, "the list would stay as it is"),
        (true, false) => writeln!(into, "{} as generation {}", style.green("in force"), report.generation),
        (false, false) => writeln!(into, "unchanged: the list held the same already"),
    }
}

/// A refused line with its number, where it was the line and not what it names that was refused.
pub fn refused_line(reject: &RejectRow) -> String {
    let (why, text) = (plain::line(&reject.why), plain::line(&reject.text));
    match reject.line {
        0 => format!("{text}: {why}"),
        line => format!("line {line}: {why}: \"{text}\""),
    }
}

/// Writes what became of the settings.
///
/// # Errors
/// The writer's.
pub fn config(report: &ConfigReport, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    match (report.changed, report.dry_run) {
        (true, true) => writeln!(into, "settings would change; nothing was changed")?,
        (false, true) => writeln!(into, "settings would stay as they are")?,
        (true, false) => writeln!(into, "settings {} as generation {}", style.green("in force"), report.generation)?,
        (false, false) => writeln!(into, "settings unchanged, generation {}", report.generation)?,
    }
    if let Some(pending) = &report.pending {
        let text =
            format!("undone {} unless confirmed: weir config confirm", times::until(Some(pending.deadline), now));
        writeln!(into, "{}", style.yellow(&text))?;
    }
    notes(&report.notes, style, into)
}

fn notes(notes: &[String], style: Style, into: &mut impl Write) -> fmt::Result {
    for note in notes {
        writeln!(into, "{} {}", style.yellow("note:"), plain::line(note))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
