//! What speaks for and against sources, and what is kept of people, for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, figures, words};
use super::numbers::whole;
use super::{plain, times};
use crate::domain::report::{EraseReport, ReputationRow, ResetReport, RotateReport, SourceList};

/// Writes the ledger of a source, line by line to the sum.
///
/// # Errors
/// The writer's.
pub fn ledger(row: &ReputationRow, now: Timestamp, into: &mut impl Write) -> fmt::Result {
    writeln!(into, "score {} (0 good, 100 bad)", row.score)?;
    if row.evidence.is_empty() {
        return writeln!(into, "nothing speaks for or against it");
    }
    let mut grid = Grid::new(&[
        figures("points"),
        figures("of"),
        words("what"),
        words("by"),
        figures("times"),
        words("last"),
        words(""),
    ]);
    for line in &row.evidence {
        let alert = line.alert.map_or_else(String::new, |alert| format!("alert {alert}"));
        let notes = [if line.spoofable { "may be forged" } else { "" }, alert.as_str()];
        let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        grid.row([
            format!("{:.1}", line.points),
            format!("{:.1}", line.weight),
            line.kind.replace('_', "-"),
            plain::line(&line.source).into_owned(),
            if line.count == 0 { "-".to_owned() } else { whole(line.count) },
            line.last.map_or_else(|| "-".to_owned(), |last| times::ago(last, now)),
            notes.join(", "),
        ]);
    }
    grid.row([format!("{:.1}", row.sum), String::new(), "sum".to_owned()].into_iter().chain(vec![String::new(); 4]));
    grid.write(into, "")
}

/// Writes a line for each source.
///
/// # Errors
/// The writer's.
pub fn list(list: &SourceList, into: &mut impl Write) -> fmt::Result {
    if list.sources.is_empty() {
        return writeln!(into, "nothing speaks against anybody");
    }
    let mut grid = Grid::new(&[figures("score"), figures("points"), words("source")]);
    for row in &list.sources {
        grid.row([row.score.to_string(), format!("{:.1}", row.sum), plain::line(&row.source).into_owned()]);
    }
    grid.write(into, "")?;
    let shown = list.sources.len() as u64;
    if shown < list.total { writeln!(into, "{} of {} sources", whole(shown), whole(list.total)) } else { Ok(()) }
}

/// Writes that a source is forgotten.
///
/// # Errors
/// The writer's.
pub fn reset(report: &ResetReport, into: &mut impl Write) -> fmt::Result {
    let what = match (report.changed, report.dry_run) {
        (false, _) => "nothing to change: nothing speaks against it",
        (true, false) => "forgotten",
        (true, true) => "would be forgotten",
    };
    writeln!(into, "{what}")?;
    if report.lifted.is_empty() { Ok(()) } else { writeln!(into, "lifted: {}", report.lifted.join(", ")) }
}

/// Writes that there is another key.
///
/// # Errors
/// The writer's.
pub fn rotated(report: &RotateReport, into: &mut impl Write) -> fmt::Result {
    let what = if report.dry_run { "there would be another key" } else { "addresses are hashed with another key" };
    match report.keys {
        1 => writeln!(into, "{what}; what was kept under keys before is nobody's any more"),
        keys => writeln!(into, "{what}; {keys} keys are kept, so that what was kept before is still found"),
    }
}

/// Writes what was erased.
///
/// # Errors
/// The writer's.
pub fn erased(report: &EraseReport, into: &mut impl Write) -> fmt::Result {
    let what = match (report.changed, report.dry_run) {
        (false, _) => return writeln!(into, "nothing is kept of them"),
        (true, false) => "erased",
        (true, true) => "would be erased",
    };
    writeln!(
        into,
        "{what}: {} alerts, {} events, {} past denials, evidence of {} sources; blotted out in {} alerts, \
         events, datasets and hunts of others, and in {} records of changes",
        whole(report.alerts),
        whole(report.events),
        whole(report.denials),
        whole(report.reputation),
        whole(report.mentions),
        whole(report.changes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::EvidenceRow;

    #[test]
    fn a_ledger_is_told_line_by_line_to_the_sum() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let line = |kind: &str, source: &str, points, count| EvidenceRow {
            kind: kind.to_owned(),
            source: source.to_owned(),
            alert: None,
            weight: points * 2.0,
            points,
            count,
            first: None,
            last: (count > 0).then(|| "2026-11-28T11:00:00Z".parse().unwrap()),
            spoofable: kind == "offence",
        };
        let evidence = vec![
            line("alert", "sqli-union", 30.0, 3),
            line("offence", "packets", 5.0, 1),
            line("sign_in", "sign-in", -5.0, 1),
        ];
        let row = ReputationRow { score: 30, sum: 30.0, evidence };
        let mut text = String::new();
        ledger(&row, now, &mut text).unwrap();
        let expected = "\
score 30 (0 good, 100 bad)
points     of  what     by          times  last
  30.0   60.0  alert    sqli-union      3  1h ago
   5.0   10.0  offence  packets         1  1h ago  may be forged
  -5.0  -10.0  sign-in  sign-in         1  1h ago
  30.0         sum
";
        assert_eq!(text, expected);
    }
}
