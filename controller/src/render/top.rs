//! `weir top` for people.
use std::fmt::{self, Write};

use super::grid::{Grid, figures, words};
use super::numbers::{byte_rate, bytes, rate, short, whole};
use super::{Style, plain};
use crate::domain::report::TopRow;

/// Writes a line for each sender, network or country.
///
/// # Errors
/// The writer's.
pub fn top(rows: &[TopRow], _: Style, into: &mut impl Write) -> fmt::Result {
    if rows.is_empty() {
        return writeln!(into, "nobody sends anything");
    }
    let is_by_address = rows.iter().any(|row| row.address.is_some());
    let is_grouped = rows.iter().any(|row| row.sources > 1) || !is_by_address;
    let is_placed = is_by_address && rows.iter().any(|row| row.country.is_some() || row.asn.is_some());
    let mut columns = vec![words(if is_by_address { "address" } else { "country" })];
    columns.extend(is_grouped.then(|| figures("sources")));
    columns.extend(["packets/s", "bytes/s", "packets", "bytes", "dropped"].map(figures));
    columns.extend(is_placed.then(|| words("from")));
    let mut grid = Grid::new(&columns);
    for row in rows {
        let mut cells = vec![name(row)];
        cells.extend(is_grouped.then(|| whole(row.sources)));
        cells.extend([
            rate(row.packets_per_second),
            byte_rate(row.bytes_per_second),
            short(row.packets),
            bytes(row.bytes),
            short(row.dropped),
        ]);
        cells.extend(is_placed.then(|| place(row)));
        grid.row(cells);
    }
    grid.write(into, "")
}

/// What a row is of: an address, a network, else a country.
pub fn name(row: &TopRow) -> String {
    let name = row.address.as_deref().or(row.country.as_deref()).unwrap_or("unknown");
    plain::line(name).into_owned()
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
            address: Some(address.to_owned()),
            packets,
            bytes: packets * 60,
            dropped,
            packets_per_second,
            bytes_per_second: packets_per_second * 60.0,
            sources: 1,
            ..TopRow::default()
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
    fn countries_are_named_and_the_unknown_are_a_row() {
        let row = |country: Option<&str>, sources| TopRow {
            packets: 12,
            bytes: 720,
            packets_per_second: 4.0,
            bytes_per_second: 240.0,
            country: country.map(str::to_owned),
            sources,
            ..TopRow::default()
        };
        let expected = "\
country   sources  packets/s  bytes/s  packets  bytes  dropped
D\\u{1b}E    1,200          4  240 B/s       12  720 B        0
unknown         1          4  240 B/s       12  720 B        0
";
        assert_eq!(text(&[row(Some("D\x1bE"), 1_200), row(None, 1)]), expected);
    }

    #[test]
    fn silence_is_said() {
        assert_eq!(text(&[]), "nobody sends anything\n");
    }
}
