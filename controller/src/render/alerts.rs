//! Alerts, analyzers and denied users for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, figures, words};
use super::numbers::whole;
use super::{Style, plain, times};
use crate::domain::http::alert::{Action, Alert};
use crate::domain::http::severity::Severity;
use crate::domain::report::{AlertList, AlertStats, AnalyzerRow, DeniedUserRow, SwitchReport};

/// Characters of a title or a name in a row.
const SHORT: usize = 48;

fn severity(severity: Severity, style: Style) -> String {
    let name = severity.name();
    match severity {
        Severity::Low => name.to_owned(),
        Severity::Medium => style.yellow(name).into_owned(),
        Severity::High | Severity::Critical => style.red(name).into_owned(),
    }
}

fn short(text: &str) -> String {
    let text = plain::line(text);
    if text.chars().count() <= SHORT {
        text.into_owned()
    } else {
        text.chars().take(SHORT - 1).chain(['…']).collect()
    }
}

/// What was done, in a few words.
fn done(alert: &Alert, now: Timestamp) -> String {
    match (alert.action, alert.action_until) {
        (Action::Observe, _) if alert.refused.is_some() => "refused".to_owned(),
        (Action::Observe, _) => "-".to_owned(),
        (action, Some(until)) if until <= now => format!("{action}, over"),
        (action, _) => action.to_string(),
    }
}

/// Writes a line for each alert.
///
/// # Errors
/// The writer's.
pub fn list(list: &AlertList, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    if list.alerts.is_empty() {
        return match list.total {
            0 => writeln!(into, "no alert"),
            total => writeln!(into, "no alert here; {} fit", whole(total)),
        };
    }
    let mut grid = Grid::new(&[
        figures("score"),
        words("severity"),
        words("what"),
        words("source"),
        words("user"),
        figures("count"),
        words("last seen"),
        words("done"),
        words("status"),
        words("id"),
    ]);
    for alert in &list.alerts {
        grid.row([
            alert.score.to_string(),
            severity(alert.severity, style),
            short(&alert.title),
            alert.source.as_deref().map_or_else(|| "-".to_owned(), |source| plain::line(source).into_owned()),
            alert.user.as_deref().map_or_else(|| "-".to_owned(), short),
            whole(alert.count),
            times::ago(alert.last_seen, now),
            done(alert, now),
            alert.triage.status.to_string(),
            alert.id.to_string(),
        ]);
    }
    grid.write(into, "")?;
    let shown = list.alerts.len() as u64;
    if shown < list.total {
        writeln!(into, "{} of {} alerts", whole(shown), whole(list.total))?;
    }
    Ok(())
}

/// Writes all about an alert.
///
/// # Errors
/// The writer's.
pub fn alert(alert: &Alert, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let count = whole(alert.count);
    writeln!(
        into,
        "{}: {} ({}, score {})",
        alert.id,
        plain::line(&alert.title),
        severity(alert.severity, style),
        alert.score
    )?;
    let mut grid = Grid::new(&[words(""), words("")]);
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            grid.row([name.to_owned(), text]);
        }
    };
    let plain_of = |text: &Option<String>| text.as_deref().map(plain::line).unwrap_or_default().into_owned();
    row("about", plain::line(&alert.description).into_owned());
    row(
        "found by",
        match &alert.rule {
            Some(rule) => format!("rule {}", plain::line(rule)),
            None => format!("analyzer {}", plain::line(&alert.analyzer)),
        },
    );
    let triage = &alert.triage;
    let at = |time: Option<Timestamp>| time.map(|time| format!(", {}", times::ago(time, now))).unwrap_or_default();
    let closed = if triage.status.is_closed() { at(triage.resolved_at) } else { at(triage.acknowledged_at) };
    row("status", format!("{}{closed}", triage.status));
    row("case", plain_of(&triage.case));
    row("assignee", plain_of(&triage.assignee));
    row("hunt", plain_of(&triage.hunt_id));
    row("dataset", plain_of(&triage.dataset_id));
    row("note", plain_of(&triage.note));
    row("confidence", format!("{} %", alert.confidence));
    row("source", plain_of(&alert.source));
    row("user", plain_of(&alert.user));
    row("of", plain_of(&alert.about));
    row(
        "seen",
        format!(
            "{count} times, first {}, last {}",
            times::absolute(alert.first_seen),
            times::ago(alert.last_seen, now)
        ),
    );
    if let Some(value) = alert.value {
        let against = alert.threshold.map_or_else(String::new, |threshold| format!(", held against {threshold}"));
        row("value", format!("{value}{against}"));
    }
    row("techniques", plain::line(&alert.techniques.join(" ")).into_owned());
    row("tags", plain::line(&alert.tags.join(" ")).into_owned());
    if alert.action != Action::Observe {
        let target = plain_of(&alert.action_target);
        let until =
            alert.action_until.map_or_else(String::new, |until| format!(", ends {}", times::until(Some(until), now)));
        row("done", format!("{} {target}{until}", alert.action));
    }
    row(
        "not done",
        alert.refused.as_deref().map(|why| style.yellow(&plain::line(why)).into_owned()).unwrap_or_default(),
    );
    grid.write(into, "")?;
    for (title, texts) in [("indicators", &alert.indicators), ("evidence", &alert.evidence)] {
        if !texts.is_empty() {
            writeln!(into, "{title}")?;
            for text in texts {
                writeln!(into, "  {}", plain::line(text))?;
            }
        }
    }
    Ok(())
}

/// Writes what alerts come to.
///
/// # Errors
/// The writer's.
pub fn stats(stats: &AlertStats, style: Style, into: &mut impl Write) -> fmt::Result {
    writeln!(into, "{} alerts", whole(stats.total))?;
    let mut grid = Grid::new(&[words("by"), words(""), figures("alerts")]);
    for known in Severity::ALL.into_iter().rev() {
        let count = stats.severity_counts.get(known.name()).copied().unwrap_or(0);
        grid.row(["severity".to_owned(), severity(known, style), whole(count)]);
    }
    let rows = |name: &str, counts: &std::collections::BTreeMap<String, u64>| {
        counts
            .iter()
            .map(|(key, count)| [name.to_owned(), plain::line(key).into_owned(), whole(*count)])
            .collect::<Vec<_>>()
    };
    for row in rows("status", &stats.status_counts).into_iter().chain(rows("analyzer", &stats.analyzer_counts)) {
        grid.row(row);
    }
    for top in &stats.top_mitre {
        grid.row(["technique".to_owned(), plain::line(&top.technique).into_owned(), whole(top.count)]);
    }
    grid.write(into, "")
}

/// Writes the analyzers with their settings.
///
/// # Errors
/// The writer's.
pub fn analyzers(rows: &[AnalyzerRow], style: Style, into: &mut impl Write) -> fmt::Result {
    for row in rows {
        let state = if row.enabled { style.green("on") } else { style.yellow("off") };
        writeln!(into, "{} {state}: {}", plain::line(&row.name), plain::line(&row.description))?;
        let mut grid = Grid::new(&[words(""), words(""), words(""), words("")]);
        for parameter in &row.parameters {
            let unit = if parameter.unit.is_empty() { String::new() } else { format!(" {}", parameter.unit) };
            let usual = if parameter.value == parameter.default {
                String::new()
            } else {
                format!("(usually {})", plain::line(&parameter.default))
            };
            let value = format!("{}{unit}", plain::line(&parameter.value));
            let (name, what) = (plain::line(&parameter.name), plain::line(&parameter.description));
            grid.row([name.into_owned(), value, usual, what.into_owned()]);
        }
        grid.write(into, "  ")?;
    }
    Ok(())
}

/// Writes a line for each denied user.
///
/// # Errors
/// The writer's.
pub fn users(rows: &[DeniedUserRow], now: Timestamp, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "no user is denied");
    }
    let mut grid = Grid::new(&[words("user"), words("ends"), words("since"), words("reason")]);
    for row in rows {
        grid.row([
            plain::line(&row.user).into_owned(),
            times::until(Some(row.until), now),
            times::ago(row.since, now),
            plain::line(&row.reason).into_owned(),
        ]);
    }
    grid.write(into, "")
}

/// Writes whether a user was let in again.
///
/// # Errors
/// The writer's.
pub fn lifted(report: &SwitchReport, dry_run: bool, into: &mut impl Write) -> fmt::Result {
    into.write_str(match (report.changed, dry_run) {
        (false, _) => "nothing to change: the user is not denied\n",
        (true, false) => "the user is let in again\n",
        (true, true) => "the user would be let in again\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::http::alert::{AlertId, Triage};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn sample() -> Alert {
        let first = at("2026-11-28T11:00:00Z");
        Alert {
            id: AlertId::v7(first, 1),
            title: "SQL injection".to_owned(),
            description: String::new(),
            severity: Severity::High,
            triage: Triage::default(),
            analyzer: "rules".to_owned(),
            rule: Some("sqli".to_owned()),
            score: 65,
            confidence: 90,
            indicators: vec!["cs-uri-query: union select".to_owned()],
            evidence: vec!["GET /?q=\u{1b}[2J".to_owned()],
            techniques: vec!["T1190".to_owned()],
            tags: Vec::new(),
            source: Some("192.0.2.7".to_owned()),
            user: None,
            about: None,
            value: None,
            threshold: None,
            first_seen: first,
            last_seen: at("2026-11-28T11:59:30Z"),
            count: 1_234,
            created_at: first,
            updated_at: first,
            action: Action::Deny,
            action_target: Some("192.0.2.7/32".to_owned()),
            action_for_s: Some(3_600),
            action_until: Some(at("2026-11-28T12:30:00Z")),
            asked: None,
            refused: None,
        }
    }

    fn now() -> Timestamp {
        at("2026-11-28T12:00:00Z")
    }

    #[test]
    fn an_alert_is_a_line_and_the_rest_is_counted() {
        let refused = Alert { action: Action::Observe, refused: Some("never blocked".to_owned()), ..sample() };
        let shown = AlertList { alerts: vec![sample(), refused], total: 40 };
        let mut text = String::new();
        list(&shown, now(), Style::Plain, &mut text).unwrap();
        let id = sample().id;
        let expected = format!(
            "\
score  severity  what           source     user  count  last seen  done     status  id
   65  high      SQL injection  192.0.2.7  -     1,234  30s ago    deny     new     {id}
   65  high      SQL injection  192.0.2.7  -     1,234  30s ago    refused  new     {id}
2 of 40 alerts
"
        );
        assert_eq!(text, expected);
        let mut text = String::new();
        list(&AlertList::default(), now(), Style::Plain, &mut text).unwrap();
        assert_eq!(text, "no alert\n");
    }

    #[test]
    fn all_about_an_alert_is_told_and_nothing_of_it_moves_a_terminal() {
        let mut text = String::new();
        alert(&sample(), now(), Style::Plain, &mut text).unwrap();
        for part in [
            "SQL injection (high, score 65)",
            "found by    rule sqli",
            "1,234 times, first 2026-11-28 11:00:00Z, last 30s ago",
            "done        deny 192.0.2.7/32, ends in 30m (2026-11-28 12:30:00Z)",
            "  cs-uri-query: union select",
            "  GET /?q=\\u{1b}[2J",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
    }

    #[test]
    fn counts_name_every_severity_the_worst_first() {
        let mut counted = AlertStats { total: 3, ..AlertStats::default() };
        counted.severity_counts.insert("high".to_owned(), 3);
        counted.status_counts.insert("new".to_owned(), 3);
        let mut text = String::new();
        stats(&counted, Style::Plain, &mut text).unwrap();
        let expected = "\
3 alerts
by                  alerts
severity  critical       0
severity  high           3
severity  medium         0
severity  low            0
status    new            3
";
        assert_eq!(text, expected);
    }
}
