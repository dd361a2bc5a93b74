//! `weir doctor` for people.
use std::fmt::{self, Write};

use super::grid::{Grid, words};
use super::{Style, plain};
use crate::adapters::kernel::probes::Outcome;
use crate::commands::Finding;

/// Writes a line for each finding, and the way out below it where there is one.
///
/// # Errors
/// The writer's.
pub fn doctor(findings: &[Finding], style: Style, into: &mut impl Write) -> fmt::Result {
    let mut grid = Grid::new(&[words(""), words(""), words("")]);
    for finding in findings {
        let word = finding.outcome.to_string();
        let outcome = match finding.outcome {
            Outcome::Good => style.green(&word),
            Outcome::Degraded => style.yellow(&word),
            Outcome::Missing => style.red(&word),
            Outcome::Unknown => style.usual(&word),
        };
        let found = plain::line(&finding.found);
        grid.row([
            outcome.into_owned(),
            plain::line(&finding.name).into_owned(),
            match &finding.remedy {
                Some(remedy) => format!("{found}\n  {}", plain::line(remedy)),
                None => found.into_owned(),
            },
        ]);
    }
    grid.write(into, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_and_remedies_stand_below() {
        let finding = |outcome, name: &str, found: &str, remedy: Option<&str>| Finding {
            name: name.to_owned(),
            outcome,
            found: found.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let findings = [
            finding(Outcome::Good, "kernel", "Linux 6.18", None),
            finding(Outcome::Degraded, "native XDP", "eth0: its driver has none", Some("use --mode generic")),
            finding(Outcome::Missing, "privilege", "not root", Some("sudo weir")),
            finding(Outcome::Unknown, "daemon", "a\x1bb", None),
        ];
        let mut text = String::new();
        doctor(&findings, Style::Plain, &mut text).unwrap();
        let expected = "\
good      kernel      Linux 6.18
degraded  native XDP  eth0: its driver has none
                        use --mode generic
missing   privilege   not root
                        sudo weir
unknown   daemon      a\\u{1b}b
";
        assert_eq!(text, expected);
        let mut coloured = String::new();
        doctor(&findings, Style::Coloured, &mut coloured).unwrap();
        let uncoloured: String = ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[39m", "\x1b[0m"]
            .iter()
            .fold(coloured.clone(), |text, code| text.replace(code, ""));
        let column = |line: &str| line.find("kernel").or(line.find("native")).or(line.find("privilege"));
        let columns: Vec<_> = uncoloured.lines().filter_map(column).collect();
        assert!(coloured.contains("\x1b[31mmissing\x1b[0m") && columns.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
