//! `weir block list`, `weir allow list` and `weir config show` for people.
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::grid::{Grid, figures, words};
use super::numbers::short;
use super::{Style, plain, times};
use crate::domain::decision::ListEnforcement;
use crate::domain::report::{EntryRow, SettingRow};

/// Writes a line for each entry.
///
/// # Errors
/// The writer's.
pub fn entries(rows: &[EntryRow], now: Timestamp, style: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "the list is empty");
    }
    let mut grid = Grid::new(&[
        words("prefix"),
        words("list"),
        words("origin"),
        words("ends"),
        words("added"),
        figures("packets"),
        words("reason"),
    ]);
    for row in rows {
        let reason = plain::line(&row.reason);
        grid.row([
            plain::line(&row.prefix).into_owned(),
            plain::line(&row.list).into_owned(),
            plain::line(&row.origin).into_owned(),
            times::until(row.expires_at, now),
            times::ago(row.added_at, now),
            row.packets.map_or("-".to_owned(), short),
            match row.enforcement {
                ListEnforcement::Enforce => reason.into_owned(),
                ListEnforcement::Limit => format!("{} {reason}", style.yellow("(limit)")),
                ListEnforcement::Off => format!("{} {reason}", style.yellow("(off)")),
                ListEnforcement::Observe => format!("{} {reason}", style.yellow("(observe)")),
            },
        ]);
    }
    grid.write(into, "")
}

/// Writes a line for each setting.
///
/// # Errors
/// The writer's.
pub fn settings(rows: &[SettingRow], style: Style, into: &mut impl Write) -> fmt::Result {
    let mut grid = Grid::new(&[words("setting"), words("value"), words("from")]);
    for row in rows {
        let source = plain::line(&row.source);
        grid.row([
            plain::line(&row.key),
            plain::line(&row.value),
            if row.source == "default" { source } else { style.green(&source).into_owned().into() },
        ]);
    }
    grid.write(into, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn entries_are_told_with_their_ends_and_reasons() {
        let row = |prefix: &str, expires_at: Option<&str>, packets, reason: &str, enforcement| EntryRow {
            prefix: prefix.to_owned(),
            origin: "operator".to_owned(),
            list: "block".to_owned(),
            reason: reason.to_owned(),
            added_at: at("2026-11-21T04:59:00Z"),
            expires_at: expires_at.map(at),
            packets,
            enforcement,
        };
        let rows = [
            row("192.0.2.7/32", Some("2026-11-21T05:15:00Z"), Some(1_234), "scan\nner", ListEnforcement::Enforce),
            row("2001:db8::/32", None, None, "", ListEnforcement::Observe),
        ];
        let mut text = String::new();
        entries(&rows, at("2026-11-21T05:00:00Z"), Style::Plain, &mut text).unwrap();
        let expected = "\
prefix         list   origin    ends                           added   packets  reason
192.0.2.7/32   block  operator  in 15m (2026-11-21 05:15:00Z)  1m ago    1.2 k  scan\\nner
2001:db8::/32  block  operator  never                          1m ago        -  (observe)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_empty_list_is_said() {
        let mut text = String::new();
        entries(&[], Timestamp::UNIX_EPOCH, Style::Plain, &mut text).unwrap();
        assert_eq!(text, "the list is empty\n");
    }

    #[test]
    fn settings_are_told_with_where_they_came_from() {
        let row = |key: &str, value: &str, source: &str| SettingRow {
            key: key.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
        };
        let mut text = String::new();
        settings(
            &[row("mode", "\"auto\"", "default"), row("state.dir", "\"/x\"", "weir.toml:3")],
            Style::Plain,
            &mut text,
        )
        .unwrap();
        assert_eq!(text, "setting    value   from\nmode       \"auto\"  default\nstate.dir  \"/x\"    weir.toml:3\n");
    }
}
