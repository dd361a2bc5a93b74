//! Logs, events and alerts in `weir status`.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, figures, words};
use super::numbers::{bytes, rate, short, whole};
use super::{Style, plain, times};
use crate::domain::http::severity::Severity;
use crate::domain::report::{DetectionRow, InputRow};

/// Writes what is read and heard, and what came of it.
///
/// # Errors
/// The writer's.
pub fn detection(row: &DetectionRow, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    inputs(row, now, style, into)?;
    let mut grid = Grid::new(&[words(""), words("")]);
    let counts = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
        let named: Vec<String> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{} {}", short(count), plain::line(name)))
            .collect();
        if named.is_empty() { "none".to_owned() } else { named.join(", ") }
    };
    let all = |map: &std::collections::BTreeMap<String, u64>| {
        counts(&mut map.iter().map(|(name, count)| (name.as_str(), *count)))
    };
    let events = all(&row.events);
    grid.row(["events".to_owned(), format!("{}/s; {events}", rate(row.events_per_second))]);
    if !row.rejected.is_empty() {
        grid.row(["not taken".to_owned(), all(&row.rejected)]);
    }
    if !row.unparsed.is_empty() {
        let lines =
            row.unparsed.iter().map(|row| (format!("{} {}", row.log, row.reason), row.lines)).collect::<Vec<_>>();
        grid.row(["not read".to_owned(), counts(&mut lines.iter().map(|(name, count)| (name.as_str(), *count)))]);
    }
    grid.row(["rules".to_owned(), format!("{} of {} run", whole(row.rules_enabled), whole(row.rules))]);
    let alerts = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| (severity.name(), row.alerts.get(severity.name()).copied().unwrap_or(0)));
    grid.row(["alerts".to_owned(), format!("{} (open {})", counts(&mut alerts.into_iter()), whole(row.open_alerts))]);
    if !row.responses.is_empty() {
        grid.row(["responses".to_owned(), all(&row.responses)]);
    }
    if !row.refused.is_empty() {
        grid.row(["refused".to_owned(), style.yellow(&all(&row.refused)).into_owned()]);
    }
    if row.denied_users > 0 {
        grid.row(["users denied".to_owned(), whole(row.denied_users)]);
    }
    into.write_char('\n')?;
    grid.write(into, "")
}

fn inputs(row: &DetectionRow, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    if row.inputs.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&[
        words("log"),
        words("file or socket"),
        words("state"),
        figures("lines"),
        figures("not read yet"),
        words("last line"),
    ]);
    for input in &row.inputs {
        grid.row([
            plain::line(&input.name).into_owned(),
            plain::line(&input.origin).into_owned(),
            state(input, style),
            short(input.lines),
            bytes(input.lag_bytes),
            input.last_line_at.map_or_else(|| "never".to_owned(), |at| times::ago(at, now)),
        ]);
    }
    into.write_char('\n')?;
    grid.write(into, "")
}

fn state(input: &InputRow, style: Style) -> String {
    let word = plain::line(&input.state);
    match (input.state.as_str(), input.problem.is_some()) {
        ("following", false) => style.green(&word).into_owned(),
        ("waiting", false) => style.yellow(&word).into_owned(),
        _ => style.red(&word).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::report::UnparsedRow;

    #[test]
    fn logs_events_and_what_came_of_them_are_told() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let row = DetectionRow {
            inputs: vec![
                InputRow {
                    name: "shop".to_owned(),
                    origin: "/srv/shop.log".to_owned(),
                    state: "following".to_owned(),
                    lines: 1_500,
                    last_line_at: Some(now),
                    ..InputRow::default()
                },
                InputRow {
                    name: "old".to_owned(),
                    origin: "/srv/old.log".to_owned(),
                    state: "unreadable".to_owned(),
                    problem: Some("permission denied".to_owned()),
                    ..InputRow::default()
                },
            ],
            events_per_second: 12.0,
            events: [("http_request".to_owned(), 1_400), ("login".to_owned(), 0)].into(),
            unparsed: vec![UnparsedRow { log: "shop".to_owned(), reason: "time".to_owned(), lines: 100 }],
            alerts: [("high".to_owned(), 2)].into(),
            open_alerts: 2,
            refused: [("never_block".to_owned(), 1)].into(),
            rules: 120,
            rules_enabled: 118,
            ..DetectionRow::default()
        };
        let mut text = String::new();
        detection(&row, now, Style::Plain, &mut text).unwrap();
        let expected = "
log   file or socket  state       lines  not read yet  last line
shop  /srv/shop.log   following   1.5 k           0 B  now
old   /srv/old.log    unreadable      0           0 B  never

events    12/s; 1.4 k http_request
not read  100 shop time
rules     118 of 120 run
alerts    2 high (open 2)
refused   1 never_block
";
        assert_eq!(text, expected);
    }
}
