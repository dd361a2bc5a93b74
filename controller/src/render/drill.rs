//! `weir drill` for people.
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::numbers::{counted, whole};
use super::{Style, kind, plain};
use crate::commands::drill::Offered;
use crate::domain::drill::latency::Latency;
use crate::domain::drill::report::{Drill, Under};

/// Writes the drills there are.
///
/// # Errors
/// The writer's.
pub fn offered(drills: &[Offered], _: Style, into: &mut impl Write) -> fmt::Result {
    let mut grid = Grid::new(&[words("drill"), words("floods with")]);
    for drill in drills {
        grid.row([drill.name.name(), &drill.about]);
    }
    grid.write(into, "")
}

/// Writes what drills are run under.
///
/// # Errors
/// The writer's.
pub fn under(under: &Under, style: Style, into: &mut impl Write) -> fmt::Result {
    let source = if under.profile { "the profile that comes with weir".into() } else { plain::line(&under.source) };
    writeln!(into, "settings  {source}")?;
    for what in &under.left_out {
        writeln!(into, "          {}", plain::line(what))?;
    }
    if let Some(store) = &under.store {
        writeln!(into, "lists     a copy of those in {}", plain::line(store))?;
    }
    for list in under.lists.iter().filter(|list| list.entries > 0) {
        let (name, entries) = (plain::line(&list.name), counted(list.entries, "entry", "entries"));
        writeln!(
            into,
            "          {name}: {}, {entries}, {}",
            kind(list.kind),
            style.list_enforcement(list.enforcement)
        )?;
    }
    for problem in &under.problems {
        writeln!(into, "  {} {}", style.yellow("!"), plain::line(problem))?;
    }
    Ok(())
}

/// Writes what a drill came to.
///
/// # Errors
/// The writer's.
pub fn drill(drill: &Drill, style: Style, into: &mut impl Write) -> fmt::Result {
    let held = if drill.ok { style.green("ok") } else { style.red("not ok") };
    let (name, rate) = (drill.name.name(), whole(drill.rate));
    writeln!(into, "\n{name}: {held}, {:.1} s at {rate} packets a second", drill.seconds)?;
    for reason in &drill.reasons {
        writeln!(into, "  {} {}", style.red("!"), plain::line(reason))?;
    }
    let flood = &drill.flood;
    let mut grid = Grid::new(&[words(""), figures(""), words("")]);
    let mut row = |name: &str, count: String, more: String| grid.row([name.to_owned(), count, more]);
    row("offered", whole(flood.offered), String::new());
    let lost = (flood.lost_before > 0).then(|| format!("{} lost before XDP in a full ring", whole(flood.lost_before)));
    row("seen", whole(flood.seen), lost.unwrap_or_default());
    row("passed", whole(flood.passed), String::new());
    row("dropped", whole(flood.dropped), percent(flood.dropped_share));
    for (verdict, packets) in &drill.dropped_by {
        row(&format!("  {verdict}"), whole(*packets), String::new());
    }
    for (verdict, packets) in &drill.would_drop_by {
        row(&format!("  {verdict}"), whole(*packets), "only observed".to_owned());
    }
    if let Some(connections) = &drill.connections {
        row("held", whole(connections.opened), format!("of {} connections", whole(connections.tried)));
    }
    let ms = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0} ms"));
    let detection = &drill.detection;
    let ninety = format!("90 % of the flood after {}", ms(detection.ninety_percent_ms));
    row("first drop", ms(detection.first_drop_ms), ninety);
    let honest = &drill.honest;
    row("honest seen", whole(honest.seen), String::new());
    let refused = whole(honest.refused);
    let refused = if honest.refused > 0 { style.red(&refused) } else { style.usual(&refused) };
    row("honest refused", refused.into_owned(), String::new());
    grid.write(into, "  ")?;
    latencies(drill, into)?;
    let mut grid = Grid::new(&[words("honest, end to end"), figures("sent"), figures("answered"), figures("lost")]);
    for (kind, exchange) in &honest.kinds {
        let lost = whole(exchange.sent.saturating_sub(exchange.answered));
        grid.row([plain::line(kind).into_owned(), whole(exchange.sent), whole(exchange.answered), lost]);
    }
    grid.write(into, "  ")
}

fn latencies(drill: &Drill, into: &mut impl Write) -> fmt::Result {
    let columns = [words("pages"), figures("requests"), figures("failed"), figures("p50 ms"), figures("p99 ms")];
    let mut grid = Grid::new(&columns);
    let mut row = |name: &str, latency: &Latency| {
        let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2}"));
        let (requests, failed) = (whole(latency.requests), whole(latency.failed));
        grid.row([name.to_owned(), requests, failed, ms(latency.p50_ms), ms(latency.p99_ms)]);
    };
    row("before", &drill.honest.before);
    row("during", &drill.honest.during);
    grid.write(into, "  ")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::{Kind, ListEnforcement};
    use crate::domain::drill::report::tests::held;
    use crate::domain::drill::report::{Connections, FloodCounts, ListTaken};
    use crate::domain::drill::scenario::Scenario;

    fn text<T>(value: &T, view: impl FnOnce(&T, Style, &mut String) -> fmt::Result) -> String {
        let mut text = String::new();
        view(value, Style::Plain, &mut text).unwrap();
        text
    }

    #[test]
    fn a_drill_says_what_became_of_the_flood_and_of_the_honest() {
        let expected = "
loud: ok, 3.0 s at 50,000 packets a second
  offered         150,000
  seen            149,990  10 lost before XDP in a full ring
  passed            7,490
  dropped         142,500  95.0 %
    rate_source   142,500
  first drop        82 ms  90 % of the flood after 140 ms
  honest seen       4,321
  honest refused        0
  pages   requests  failed  p50 ms  p99 ms
  before       150       0    0.40    1.25
  during       200       0    0.50    2.00
  honest, end to end  sent  answered  lost
  http                 200       200     0
";
        assert_eq!(text(&held().judged(true), drill), expected);
    }

    #[test]
    fn reasons_come_first_and_what_never_came_is_never() {
        let mut badly = held();
        badly.flood = FloodCounts::of(1_000, 1_000, 0);
        badly.dropped_by.clear();
        badly.would_drop_by.insert("rate_source".to_owned(), 7);
        badly.detection = crate::domain::drill::detection::Detection::default();
        badly.honest.refused = 3;
        badly.honest.during.p50_ms = None;
        badly.connections = Some(Connections { tried: 400, opened: 399 });
        let text = text(&badly.judged(false), drill);
        let mut lines = text.lines().skip(1);
        assert_eq!(lines.next(), Some("loud: not ok, 3.0 s at 50,000 packets a second"));
        assert_eq!(lines.next(), Some("  ! 3 of 4321 honest packets were refused"));
        for line in [
            "    rate_source       7  only observed",
            "  held              399  of 400 connections",
            "  first drop      never  90 % of the flood after never",
            "  honest refused      3",
            "  during       200       0       -    2.00",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} in:\n{text}");
        }
    }

    #[test]
    fn what_drills_are_run_under_is_said_and_empty_lists_are_not() {
        let list = |name: &str, entries| ListTaken {
            name: name.to_owned(),
            kind: Kind::Deny,
            entries,
            enforcement: ListEnforcement::Enforce,
        };
        let settings = Under {
            profile: false,
            source: "/etc/weir/weir.toml".to_owned(),
            left_out: vec!["[crowdsec] is off".to_owned()],
            store: Some("/var/lib/weir".to_owned()),
            lists: vec![list("block", 2), list("empty", 0)],
            problems: vec!["a\nb".to_owned()],
        };
        let expected = "\
settings  /etc/weir/weir.toml
          [crowdsec] is off
lists     a copy of those in /var/lib/weir
          block: deny, 2 entries, enforce
";
        let text = text(&settings, under);
        assert!(text.starts_with(expected) && text.lines().count() == 5, "{text}");
    }

    #[test]
    fn drills_are_listed_with_what_they_flood_with() {
        let drills = [Offered { name: Scenario::Syn, about: "SYNs".to_owned() }];
        assert_eq!(
            text(&drills, |drills, style, into| offered(drills, style, into)),
            "drill  floods with\nsyn    SYNs\n"
        );
    }
}
