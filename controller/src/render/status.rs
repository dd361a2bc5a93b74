//! `weir status` for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, figures, words};
use super::numbers::{bytes, short, whole};
use super::{Style, kind, plain, times};
use crate::domain::report::{InterfaceRow, Status, Totals};

/// Writes the state of the daemon and what it has counted.
///
/// # Errors
/// The writer's.
pub fn status(status: &Status, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let version = plain::line(&status.version);
    writeln!(into, "weir {version}, up {}, generation {}", times::span(status.uptime_s), status.generation)?;
    facts(status, now, style).write(into, "")?;
    for problem in &status.health.problems {
        writeln!(into, "  {} {}", style.red("!"), plain::line(problem))?;
    }
    verdicts(status, into)?;
    lists(status, style, into)?;
    if !status.feeds.is_empty() {
        into.write_char('\n')?;
        super::feeds::feeds(&status.feeds, now, style, into)?;
    }
    followed(status, now, style, into)?;
    if let Some(row) = &status.detection {
        super::detection::detection(row, now, style, into)?;
    }
    capacity(status, into)
}

/// A CrowdSec server and GeoIP databases.
fn followed(status: &Status, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let mut grid = Grid::new(&[words(""), words("")]);
    if let Some(crowdsec) = &status.crowdsec {
        let health = if crowdsec.ok { style.green("ok") } else { style.red("not ok") };
        let last = crowdsec.last_success.map_or_else(|| "never".to_owned(), |at| times::ago(at, now));
        let (decisions, entries) = (whole(crowdsec.decisions), whole(crowdsec.entries));
        let server = plain::line(&crowdsec.server);
        let text = format!("{server} {health}, last answer {last}, {decisions} decisions, {entries} in force");
        grid.row(["crowdsec".to_owned(), text]);
        let refused = crowdsec.reasons.iter().map(|(why, count)| format!("{} {}", whole(*count), plain::line(why)));
        let refused: Vec<String> = refused.collect();
        if !refused.is_empty() {
            grid.row([String::new(), format!("not carried out: {}", refused.join(", "))]);
        }
    }
    for row in &status.geo {
        let loaded = row.loaded_at.map_or_else(|| "never".to_owned(), |at| times::ago(at, now));
        let health = if row.problem.is_none() { style.green("ok") } else { style.red("refused") };
        let text = format!("{} {health}, read {loaded}, {} ranges", plain::line(&row.file), whole(row.ranges));
        grid.row([plain::line(&row.knows).into_owned(), text]);
    }
    if status.crowdsec.is_some() || !status.geo.is_empty() {
        into.write_char('\n')?;
        grid.write(into, "")?;
    }
    Ok(())
}

fn facts(status: &Status, now: Timestamp, style: Style) -> Grid {
    let mut grid = Grid::new(&[words(""), words("")]);
    grid.row(["enforcement", &style.enforcement(status.enforcement)]);
    if status.bypass {
        grid.row(["bypass", &style.red("on: nothing is filtered")]);
    }
    if let Some(pending) = &status.pending {
        let text = format!("settings are undone {} unless confirmed", times::until(Some(pending.deadline), now));
        grid.row(["pending", &style.yellow(&text)]);
    }
    let problems = status.health.problems.len();
    let health = match (status.health.ok, problems) {
        (true, _) => style.green("ok"),
        (false, 1) => style.red("1 problem"),
        (false, _) => style.red(&format!("{problems} problems")).into_owned().into(),
    };
    grid.row(["health", &health]);
    if status.interfaces.is_empty() {
        grid.row(["interfaces", &style.red("none")]);
    }
    for (at, interface) in status.interfaces.iter().enumerate() {
        grid.row([if at == 0 { "interfaces" } else { "" }, &self::interface(interface, style)]);
    }
    grid.row(["packets".to_owned(), totals(&status.packets, short)]);
    grid.row(["bytes".to_owned(), totals(&status.bytes, bytes)]);
    grid
}

fn interface(interface: &InterfaceRow, style: Style) -> String {
    let name = plain::line(&interface.name);
    match (interface.index, &interface.mode) {
        (Some(index), Some(mode)) => format!("{name} ({index}) {}", style.green(&plain::line(mode))),
        (Some(index), None) => format!("{name} ({index}) {}", style.green("attached")),
        (None, _) => format!("{name} {}", style.red("not attached")),
    }
}

fn totals(totals: &Totals, text: fn(u64) -> String) -> String {
    let Totals { seen, passed, dropped, would_drop, replied: _ } = *totals;
    let all = format!("{} seen, {} passed, {} dropped", text(seen), text(passed), text(dropped));
    if would_drop == 0 { all } else { format!("{all}, {} only observed", text(would_drop)) }
}

fn verdicts(status: &Status, into: &mut impl Write) -> fmt::Result {
    let mut counted: Vec<_> =
        status.verdicts.iter().filter(|(_, row)| row.packets > 0 || row.observed_packets > 0).collect();
    if counted.is_empty() {
        return Ok(());
    }
    counted.sort_by_key(|(_, row)| std::cmp::Reverse((row.packets, row.observed_packets)));
    let mut grid = Grid::new(&[words("verdict"), figures("packets"), figures("bytes"), figures("only observed")]);
    for (name, row) in counted {
        grid.row([plain::line(name).into_owned(), short(row.packets), bytes(row.bytes), short(row.observed_packets)]);
    }
    into.write_char('\n')?;
    grid.write(into, "")?;
    limits(status, into)
}

/// What limits refused, by whose limit and dimension.
fn limits(status: &Status, into: &mut impl Write) -> fmt::Result {
    if status.limits.is_empty() {
        return Ok(());
    }
    let mut grid =
        Grid::new(&[words("limit"), words("of"), figures("packets"), figures("bytes"), figures("only observed")]);
    for row in &status.limits {
        let (packets, observed) = (short(row.packets), short(row.observed_packets));
        grid.row([row.scope.clone(), row.dimension.clone(), packets, bytes(row.bytes), observed]);
    }
    into.write_char('\n')?;
    grid.write(into, "")
}

fn lists(status: &Status, style: Style, into: &mut impl Write) -> fmt::Result {
    if status.lists.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&[
        words("list"),
        words("kind"),
        words("origin"),
        figures("entries"),
        figures("packets"),
        figures("bytes"),
        words("enforcement"),
    ]);
    for list in &status.lists {
        grid.row([
            plain::line(&list.name).into_owned(),
            kind(list.kind).to_owned(),
            plain::line(&list.origin).into_owned(),
            whole(list.entries),
            short(list.packets),
            bytes(list.bytes),
            style.list_enforcement(list.enforcement).into_owned(),
        ]);
    }
    into.write_char('\n')?;
    grid.write(into, "")
}

fn capacity(status: &Status, into: &mut impl Write) -> fmt::Result {
    if status.capacity.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&[words("capacity"), figures("used"), figures("of"), figures("")]);
    for (name, fill) in &status.capacity {
        let share =
            fill.used.saturating_mul(100).checked_div(fill.capacity).map_or(String::new(), |p| format!("{p} %"));
        grid.row([plain::line(name).into_owned(), whole(fill.used), whole(fill.capacity), share]);
    }
    into.write_char('\n')?;
    grid.write(into, "")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::decision::{Enforcement, Kind, ListEnforcement};
    use crate::domain::report::{EmergencyRow, Fill, Health, LimitedRow, ListRow, PendingRow, VerdictRow};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quiet() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            uptime_s: 100_000,
            enforcement: Enforcement::Enforce,
            generation: 17,
            bypass: false,
            pending: None,
            interfaces: vec![InterfaceRow { name: "eth0".into(), index: Some(2), mode: Some("native".into()) }],
            emergency: EmergencyRow { state: "off".into(), setting: "off".into(), since: None },
            threat_level: None,
            packets: Totals { seen: 1_234_567, passed: 1_200_000, dropped: 34_567, would_drop: 0, replied: 0 },
            bytes: Totals {
                seen: 2_000_000_000,
                passed: 1_900_000_000,
                dropped: 100_000_000,
                would_drop: 0,
                replied: 0,
            },
            verdicts: BTreeMap::new(),
            limits: Vec::new(),
            lists: Vec::new(),
            feeds: Vec::new(),
            crowdsec: None,
            geo: Vec::new(),
            detection: None,
            capacity: BTreeMap::new(),
            health: Health { ok: true, problems: Vec::new() },
        }
    }

    fn text(value: &Status, style: Style) -> String {
        let mut text = String::new();
        status(value, at("2026-11-21T05:00:00Z"), style, &mut text).unwrap();
        text
    }

    #[test]
    fn all_well_is_a_few_lines() {
        let expected = "\
weir 0.1.0, up 1d3h, generation 17
enforcement  enforce
health       ok
interfaces   eth0 (2) native
packets      1.2 M seen, 1.2 M passed, 35 k dropped
bytes        2.0 GB seen, 1.9 GB passed, 100 MB dropped
";
        assert_eq!(text(&quiet(), Style::Plain), expected);
    }

    #[test]
    fn what_limits_refused_is_told_by_whose_limit_and_dimension() {
        let mut status = quiet();
        let verdict = VerdictRow { packets: 12_000, bytes: 720_000, observed_packets: 0 };
        status.verdicts.insert("rate_source".to_owned(), verdict);
        status.limits = vec![LimitedRow {
            scope: "source".to_owned(),
            dimension: "syn".to_owned(),
            packets: 12_000,
            bytes: 720_000,
            observed_packets: 3,
        }];
        let mut text = String::new();
        limits(&status, &mut text).unwrap();
        let expected = "
limit   of   packets   bytes  only observed
source  syn     12 k  720 kB              3
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_not_well_stands_out() {
        let mut status = quiet();
        status.enforcement = Enforcement::Observe;
        status.bypass = true;
        status.pending = Some(PendingRow { deadline: at("2026-11-21T05:00:45Z"), seconds_left: 45 });
        status.health = Health { ok: false, problems: vec!["store: broken\x1b[2J".into(), "eth1: gone".into()] };
        status.interfaces.push(InterfaceRow { name: "eth1".into(), index: None, mode: None });
        status.packets.would_drop = 1_500;
        let row = |packets, bytes, observed_packets| VerdictRow { packets, bytes, observed_packets };
        status.verdicts = BTreeMap::from([
            ("bogon".into(), row(0, 0, 0)),
            ("denied".into(), row(34_567, 2_000_000, 1_500)),
            ("pass".into(), row(1_200_000, 900_000_000, 0)),
        ]);
        status.lists = vec![ListRow {
            name: "ipsum".into(),
            kind: Kind::Deny,
            origin: "operator".into(),
            entries: 120_430,
            packets: 34_567,
            bytes: 2_000_000,
            enforcement: ListEnforcement::Observe,
        }];
        status.capacity = BTreeMap::from([("tables".into(), Fill { used: 120_430, capacity: 2_000_000 })]);
        let expected = "\
weir 0.1.0, up 1d3h, generation 17
enforcement  observe
bypass       on: nothing is filtered
pending      settings are undone in 45s (2026-11-21 05:00:45Z) unless confirmed
health       2 problems
interfaces   eth0 (2) native
             eth1 not attached
packets      1.2 M seen, 1.2 M passed, 35 k dropped, 1.5 k only observed
bytes        2.0 GB seen, 1.9 GB passed, 100 MB dropped
  ! store: broken\\u{1b}[2J
  ! eth1: gone

verdict  packets   bytes  only observed
pass       1.2 M  900 MB              0
denied      35 k  2.0 MB          1.5 k

list   kind  origin    entries  packets   bytes  enforcement
ipsum  deny  operator  120,430     35 k  2.0 MB  observe

capacity     used         of
tables    120,430  2,000,000  6 %
";
        assert_eq!(text(&status, Style::Plain), expected);
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = text(&quiet(), Style::Coloured);
        assert!(
            coloured.contains("\nenforcement  \x1b[32menforce\x1b[0m\nhealth       \x1b[32mok\x1b[0m\n"),
            "{coloured}"
        );
    }
}
