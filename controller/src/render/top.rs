//! `weir top` for people.
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::numbers::{byte_rate, bytes, rate, short};
use super::{Style, plain};
use crate::domain::report::TopRow;

/// Writes a line for each sender.
///
/// # Errors
/// The writer's.
pub fn top(rows: &[TopRow], _: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "nobody sends anything");
    }
    let mut columns = vec![
        words("address"),
        figures("packets/s"),
        figures("bytes/s"),
        figures("packets"),
        figures("bytes"),
        figures("dropped"),
    ];
    let is_placed = rows.iter().any(|row| row.country.is_some() || row.asn.is_some());
    if is_placed {
        columns.push(words("from"));
    }
    let mut grid = Grid::new(&columns);
    for row in rows {
        let mut cells = vec![
            plain::line(&row.address).into_owned(),
            rate(row.packets_per_second),
            byte_rate(row.bytes_per_second),
            short(row.packets),
            bytes(row.bytes),
            short(row.dropped),
        ];
        if is_placed {
            cells.push(place(row));
        }
        grid.row(cells);
    }
    grid.write(into, "")
}

/// Country and autonomous system, as far as they are known.
fn place(row: &TopRow) -> String {
    let country = row.country.as_deref().map(|country| plain::line(country).into_owned());
    let network = row.asn.map(|asn| format!("AS{asn}"));
    let known: Vec<String> = country.into_iter().chain(network).collect();
    known.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: &[TopRow]) -> String {
        let mut text = String::new();
        top(rows, Style::Plain, &mut text).unwrap();
        text
    }

    #[test]
    fn senders_are_listed_with_their_rates() {
        let row = |address: &str, packets, dropped, packets_per_second| TopRow {
            address: address.to_owned(),
            packets,
            bytes: packets * 60,
            dropped,
            packets_per_second,
            bytes_per_second: packets_per_second * 60.0,
            country: None,
            asn: None,
        };
        let rows = [row("192.0.2.7", 1_200_000, 1_199_000, 34_000.0), row("2001:db8::/64", 3, 0, 0.5)];
        let expected = "\
address        packets/s   bytes/s  packets  bytes  dropped
192.0.2.7           34 k  2.0 MB/s    1.2 M  72 MB    1.2 M
2001:db8::/64        0.5    30 B/s        3  180 B        0
";
        assert_eq!(text(&rows), expected);
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(text(&[]), "nobody sends anything\n");
    }
}
