//! `weir explain` for people.
use std::fmt::{self, Write};

use jiff::Timestamp;
use weir_common::verdict::{Action, Verdict};

use super::grid::{Grid, words};
use super::numbers::{short, whole};
use super::{Style, kind, plain, times};
use crate::domain::report::{Explain, ExplainEntry, ExplainRate, OffenderRow, ReputationRow};

/// Writes the verdict, why, and everything that has a say in it, the strongest first.
///
/// # Errors
/// The writer's.
pub fn explain(explain: &Explain, now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    let word = plain::line(&explain.verdict);
    let known = Verdict::ALL.iter().find(|verdict| verdict.name() == explain.verdict);
    let verdict = match known.map(|verdict| verdict.action()) {
        Some(Action::Pass) => style.green(&word),
        Some(Action::Drop) => style.red(&word),
        None => style.usual(&word),
    };
    writeln!(into, "{}: {verdict}: {}", explain.address, plain::line(&explain.reason))?;
    entries(&explain.entries, now, style, into)?;
    facts(explain).write(into, "")
}

fn entries(entries: &[ExplainEntry], now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    if entries.is_empty() {
        return writeln!(into, "no list names it");
    }
    let mut grid = Grid::new(&[
        words("  prefix"),
        words("list"),
        words("kind"),
        words("origin"),
        words("ends"),
        words("enforcement"),
        words("reason"),
    ]);
    for entry in entries {
        let mark = if entry.decides { ">" } else { " " };
        grid.row([
            format!("{mark} {}", plain::line(&entry.prefix)),
            plain::line(&entry.list).into_owned(),
            kind(entry.kind).to_owned(),
            plain::line(&entry.origin).into_owned(),
            times::until(entry.expires_at, now),
            style.list_enforcement(entry.enforcement).into_owned(),
            plain::line(&entry.reason).into_owned(),
        ]);
    }
    grid.write(into, "")
}

fn facts(explain: &Explain) -> Grid {
    let mut grid = Grid::new(&[words(""), words("")]);
    let facts = [
        ("protected", explain.protected.as_ref().map(|why| plain::line(why).into_owned())),
        ("never blocked", explain.never_block.as_ref().map(|why| plain::line(why).into_owned())),
        ("country", explain.country.as_ref().map(|country| plain::line(country).into_owned())),
        ("network", explain.asn.map(|asn| network(asn, explain.as_name.as_deref()))),
        ("score", explain.reputation.as_ref().map(reputation)),
        ("packets", explain.rate.as_ref().map(rate)),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            grid.row([name.to_owned(), value]);
        }
    }
    for row in explain.rate.iter().flat_map(|rate| &rate.over) {
        grid.row(["limit".to_owned(), over(row)]);
    }
    for alert in &explain.alerts {
        let (title, detector) = (plain::line(&alert.title), plain::line(alert.detector()));
        let count = super::numbers::counted(alert.count, "time", "times");
        grid.row(["alert".to_owned(), format!("{} {title} ({detector}), {count}, {}", alert.severity, alert.id)]);
    }
    grid
}

/// A limit that the source, or the network it is in, came near.
fn over(row: &OffenderRow) -> String {
    let name = row.limit.as_ref().map_or_else(String::new, |name| format!(" {}", plain::line(name)));
    let per_second = row.per_second.map_or_else(|| "-".to_owned(), whole);
    let (offered, refused) = (short(row.offered), short(row.refused));
    let scope = &row.scope;
    let text = format!("{scope}{name}, {} {per_second}/s: {offered} offered, {refused} refused", row.dimension);
    if row.scope == "network" { format!("{text} ({})", plain::line(&row.source)) } else { text }
}

fn network(asn: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("AS{asn}"), |name| format!("AS{asn} {}", plain::line(name)))
}

fn reputation(reputation: &ReputationRow) -> String {
    let evidence = reputation.evidence.iter().map(|row| format!("{} {}", plain::line(&row.source), row.points));
    format!("{} of 100: {}", reputation.score, evidence.collect::<Vec<_>>().join(", "))
}

fn rate(rate: &ExplainRate) -> String {
    let limits = rate.limits.iter().map(|limit| {
        let per_second = whole(limit.per_second);
        if limit.dimension == "packets" {
            format!("{per_second}/s")
        } else {
            format!("{} {per_second}/s", limit.dimension)
        }
    });
    let limits: Vec<String> = limits.collect();
    let name = rate.profile.as_ref().map_or_else(String::new, |name| format!("{} ", plain::line(name)));
    let limit = if limits.is_empty() { "no limit".to_owned() } else { format!("limit {name}{}", limits.join(", ")) };
    format!("{} sent, {} passed while tracked; {limit}", short(rate.offered), short(rate.passed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::{Kind, ListEnforcement};
    use crate::domain::report::ExplainLimit;

    fn nothing() -> Explain {
        Explain {
            address: "192.0.2.7".parse().unwrap(),
            verdict: "pass".to_owned(),
            reason: "nothing speaks against it".to_owned(),
            entries: Vec::new(),
            protected: None,
            never_block: None,
            country: None,
            asn: None,
            as_name: None,
            reputation: None,
            rate: None,
            alerts: Vec::new(),
        }
    }

    fn text(value: &Explain, style: Style) -> String {
        let mut text = String::new();
        explain(value, "2026-11-21T05:00:00Z".parse().unwrap(), style, &mut text).unwrap();
        text
    }

    fn limit(dimension: &str, per_second: u64) -> ExplainLimit {
        ExplainLimit { dimension: dimension.to_owned(), per_second, burst: per_second }
    }

    #[test]
    fn every_dimension_of_the_limit_it_has_is_told_with_the_limits_name() {
        let of = |profile: Option<&str>, limits: Vec<ExplainLimit>| {
            let mut explain = nothing();
            let profile = profile.map(str::to_owned);
            explain.rate = Some(ExplainRate { limit: None, profile, limits, offered: 7, passed: 5, over: Vec::new() });
            text(&explain, Style::Plain).lines().last().unwrap().to_owned()
        };
        assert_eq!(of(None, vec![]), "packets  7 sent, 5 passed while tracked; no limit");
        assert_eq!(of(None, vec![limit("syn", 50)]), "packets  7 sent, 5 passed while tracked; limit syn 50/s");
        assert_eq!(
            of(Some("tight"), vec![limit("packets", 2_000), limit("syn", 50)]),
            "packets  7 sent, 5 passed while tracked; limit tight 2,000/s, syn 50/s"
        );
    }

    #[test]
    fn a_limit_it_came_near_is_told_with_what_was_offered() {
        let row = OffenderRow {
            source: "192.0.2.0/24".to_owned(),
            scope: "network".to_owned(),
            limit: None,
            dimension: "syn".to_owned(),
            per_second: Some(500),
            offered: 12_000,
            allowed: 2_000,
            refused: 10_000,
            since: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            offences: 0,
            never_denied: None,
            denied_until: None,
        };
        let mut explain = nothing();
        explain.rate = Some(ExplainRate {
            limit: None,
            profile: None,
            limits: Vec::new(),
            offered: 7,
            passed: 5,
            over: vec![row],
        });
        let text = text(&explain, Style::Plain);
        assert!(text.contains("network, syn 500/s: 12 k offered, 10 k refused (192.0.2.0/24)"), "{text}");
    }

    #[test]
    fn an_unlisted_address_is_two_lines() {
        let expected = "192.0.2.7: pass: nothing speaks against it\nno list names it\n";
        assert_eq!(text(&nothing(), Style::Plain), expected);
        assert!(text(&nothing(), Style::Coloured).starts_with("192.0.2.7: \x1b[32mpass\x1b[0m: "));
    }

    #[test]
    fn the_entry_that_decides_is_marked() {
        let entry = |prefix: &str, list: &str, enforcement, decides| ExplainEntry {
            prefix: prefix.to_owned(),
            list: list.to_owned(),
            origin: "operator".to_owned(),
            kind: Kind::Deny,
            reason: "scanner".to_owned(),
            expires_at: None,
            enforcement,
            decides,
        };
        let mut explain = nothing();
        explain.verdict = "denied".to_owned();
        explain.reason = "on the operator's list block".to_owned();
        explain.entries = vec![
            entry("192.0.2.7/32", "trial", ListEnforcement::Observe, false),
            entry("192.0.2.0/24", "block", ListEnforcement::Enforce, true),
        ];
        explain.never_block = Some("search engine".to_owned());
        explain.asn = Some(64_496);
        explain.rate = Some(ExplainRate {
            limit: Some(1_000),
            profile: None,
            limits: vec![limit("packets", 1_000)],
            offered: 120_000,
            passed: 34_000,
            over: Vec::new(),
        });
        let expected = "\
192.0.2.7: denied: on the operator's list block
  prefix        list   kind  origin    ends   enforcement  reason
  192.0.2.7/32  trial  deny  operator  never  observe      scanner
> 192.0.2.0/24  block  deny  operator  never  enforce      scanner
never blocked  search engine
network        AS64496
packets        120 k sent, 34 k passed while tracked; limit 1,000/s
";
        assert_eq!(text(&explain, Style::Plain), expected);
        assert!(text(&explain, Style::Coloured).contains("\x1b[31mdenied\x1b[0m"));
    }
}
