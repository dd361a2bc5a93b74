//! `weir offenders` for people.
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::numbers::{rate, short};
use super::{Style, plain};
use crate::domain::report::OffenderRow;

/// Writes a line for each source and network that came near a limit.
///
/// # Errors
/// The writer's.
pub fn offenders(rows: &[OffenderRow], style: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "nobody comes near a limit");
    }
    let mut grid = Grid::new(&[
        words("source"),
        words("limit"),
        figures("a second"),
        figures("offered"),
        figures("allowed"),
        figures("refused"),
        figures("offences"),
        words("denied until"),
    ]);
    for row in rows {
        let limit = match &row.limit {
            Some(name) => format!("{} {} {}", row.scope, plain::line(name), row.dimension),
            None => format!("{} {}", row.scope, row.dimension),
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = row.per_second.map_or_else(|| "-".to_owned(), |per_second| rate(per_second as f64));
        let refused = short(row.refused);
        grid.row([
            plain::line(&row.source).into_owned(),
            limit,
            per_second,
            short(row.offered),
            short(row.allowed),
            if row.refused == 0 { refused } else { style.red(&refused).into_owned() },
            short(u64::from(row.offences)),
            match (row.denied_until, &row.never_denied) {
                (Some(until), _) => until.strftime("%F %TZ").to_string(),
                (None, Some(why)) => format!("never, {}", plain::line(why)),
                (None, None) => "-".to_owned(),
            },
        ]);
    }
    grid.write(into, "")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn those_near_a_limit_are_listed_with_what_was_offered_and_allowed() {
        let row = OffenderRow {
            source: "192.0.2.7".to_owned(),
            scope: "source".to_owned(),
            limit: None,
            dimension: "syn".to_owned(),
            per_second: Some(50),
            offered: 12_000,
            allowed: 250,
            refused: 11_750,
            since: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            offences: 2,
            denied_until: Some(Timestamp::UNIX_EPOCH),
            never_denied: None,
        };
        let own = OffenderRow {
            source: "192.0.2.1".to_owned(),
            limit: Some("tight".to_owned()),
            denied_until: None,
            never_denied: Some("protected: address of eth0".to_owned()),
            ..row.clone()
        };
        let mut text = String::new();
        offenders(&[row, own], Style::Plain, &mut text).unwrap();
        let expected = "\
source     limit             a second  offered  allowed  refused  offences  denied until
192.0.2.7  source syn              50     12 k      250     12 k         2  1970-01-01 00:00:00Z
192.0.2.1  source tight syn        50     12 k      250     12 k         2  never, protected: address of eth0
";
        assert_eq!(text, expected);
        let mut none = String::new();
        offenders(&[], Style::Plain, &mut none).unwrap();
        assert_eq!(none, "nobody comes near a limit\n");
    }
}
