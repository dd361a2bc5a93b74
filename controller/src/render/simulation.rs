//! `weir simulate` for people.
use std::fmt::{self, Write};

use super::Style;
use super::grid::{Grid, figures, words};
use super::numbers::{bytes, counted, whole};
use crate::commands::simulate::Simulation;

/// Writes what would become of a capture's packets.
///
/// # Errors
/// The writer's.
pub fn simulation(simulation: &Simulation, style: Style, into: &mut impl Write) -> fmt::Result {
    let Simulation { packets, passed, dropped, would_drop, skipped, verdicts, answers: _, notes } = simulation;
    write!(into, "{}: {} passed, ", counted(*packets, "packet", "packets"), whole(*passed))?;
    let drops = format!("{} dropped", whole(*dropped));
    into.write_str(&if *dropped > 0 { style.red(&drops) } else { style.usual(&drops) })?;
    if *would_drop > 0 {
        write!(into, ", {}", style.yellow(&format!("{} only observed", whole(*would_drop))))?;
    }
    if *skipped > 0 {
        write!(into, "; {} skipped", whole(*skipped))?;
    }
    into.write_char('\n')?;
    let mut counted: Vec<_> = verdicts.iter().filter(|(_, row)| row.packets > 0 || row.observed_packets > 0).collect();
    if !counted.is_empty() {
        counted.sort_by_key(|(_, row)| std::cmp::Reverse((row.packets, row.observed_packets)));
        let mut grid = Grid::new(&[words("verdict"), figures("packets"), figures("bytes"), figures("only observed")]);
        for (name, row) in counted {
            grid.row([name.clone(), whole(row.packets), bytes(row.bytes), whole(row.observed_packets)]);
        }
        grid.write(into, "  ")?;
    }
    notes.iter().try_for_each(|note| writeln!(into, "{}: {note}", style.yellow("note")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::report::VerdictRow;

    #[test]
    fn sums_come_first_and_verdicts_by_their_packets() {
        let row = |packets, bytes, observed_packets| VerdictRow { packets, bytes, observed_packets };
        let mut simulated = Simulation {
            packets: 2_003,
            passed: 3,
            dropped: 2_000,
            would_drop: 0,
            skipped: 0,
            verdicts: BTreeMap::from([
                ("pass".to_owned(), row(3, 180, 0)),
                ("rate_source".to_owned(), row(2_000, 120_000, 0)),
                ("bogon".to_owned(), row(0, 0, 0)),
            ]),
            answers: 0,
            notes: Vec::new(),
        };
        let text = |value: &Simulation| {
            let mut text = String::new();
            simulation(value, Style::Plain, &mut text).unwrap();
            text
        };
        let expected = "\
2,003 packets: 3 passed, 2,000 dropped
  verdict      packets   bytes  only observed
  rate_source    2,000  120 kB              0
  pass               3   180 B              0
";
        assert_eq!(text(&simulated), expected);
        simulated.would_drop = 2;
        simulated.skipped = 1;
        simulated.verdicts.clear();
        simulated.notes.push("take this with care".to_owned());
        assert_eq!(
            text(&simulated),
            "2,003 packets: 3 passed, 2,000 dropped, 2 only observed; 1 skipped\nnote: take this with care\n"
        );
    }
}
