//! Destination ports: who may be reached, how often, and the table the kernel looks a port up in.
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use weir_common::abi::{PORT_LIMITS, PORT_ROWS, PORT_WORDS, PortRow, port_flag};

use super::decision::Enforcement;
use super::limits::Limit;

/// Which protocol's ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP's.
    Tcp,
    /// UDP's.
    Udp,
    /// Both.
    #[default]
    Any,
}

impl Protocol {
    /// Whether TCP, or UDP, is meant.
    pub fn covers(self, is_udp: bool) -> bool {
        match self {
            Self::Tcp => !is_udp,
            Self::Udp => is_udp,
            Self::Any => true,
        }
    }
}

/// One port, or those from one to another: `22`, `8000-8100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// What is no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port from 1 to 65535 or a range of them, as in \"22\" or \"8000-8100\"")]
pub struct PortRangeError;

impl PortRange {
    /// The ports.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let port = |text: &str| -> Result<u16, PortRangeError> {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let port: u16 = if is_plain { text.parse().or(Err(PortRangeError))? } else { 0 };
            if port == 0 { Err(PortRangeError) } else { Ok(port) }
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last { Err(PortRangeError) } else { Ok(Self { first, last }) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A rule for ports: the first that names a port decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRule {
    /// Of which protocol.
    pub protocol: Protocol,
    /// Which ports.
    pub ports: Vec<PortRange>,
    /// Whether what goes there is dropped.
    pub is_denied: bool,
    /// Whether the denial is carried out.
    pub enforcement: Enforcement,
    /// Whether the operator takes it upon himself that nobody reaches a port of login sessions any more.
    pub is_forced: bool,
}

/// A limit of ports: the first that names a port holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortLimit {
    /// What it is called.
    pub name: String,
    /// Of which protocol.
    pub protocol: Protocol,
    /// Which ports.
    pub ports: Vec<PortRange>,
    /// Whether it is each source's, not everybody's together.
    pub per_source: bool,
    /// How much.
    pub limit: Limit,
}

/// Whether ports of a protocol are among these.
fn names(protocol: Protocol, ports: &[PortRange], is_udp: bool, port: u16) -> bool {
    protocol.covers(is_udp) && ports.iter().any(|range| range.ports().contains(&port))
}

impl PortRule {
    /// Whether it is about this port.
    pub fn names(&self, is_udp: bool, port: u16) -> bool {
        names(self.protocol, &self.ports, is_udp, port)
    }
}

/// The rule that decides about a port.
pub fn rule_of(rules: &[PortRule], is_udp: bool, port: u16) -> Option<&PortRule> {
    rules.iter().find(|rule| rule.names(is_udp, port))
}

/// What the kernel looks ports up in: a byte for each port of TCP, then of UDP, and the rows that the bytes lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortTable {
    /// Eight ports to a word, the lowest in the lowest byte; empty where no port leads anywhere.
    pub words: Vec<u64>,
    /// The rows.
    pub rows: [PortRow; PORT_ROWS],
}

impl Default for PortTable {
    fn default() -> Self {
        Self { words: Vec::new(), rows: [PortRow::default(); PORT_ROWS] }
    }
}

/// Too many rules for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortTableError {
    /// Of limits.
    #[error("{0} limits of ports; there is room for {PORT_LIMITS}")]
    TooManyLimits(usize),
    /// Of what rules and limits come to together.
    #[error("rules and limits of ports meet in more than {} different ways; merge some of them", PORT_ROWS - 1)]
    TooManyRows,
}

impl PortTable {
    /// The table that says for each port what the first rule and the first limit that name it say.
    ///
    /// # Errors
    /// [`PortTableError`].
    pub fn new(rules: &[PortRule], limits: &[PortLimit]) -> Result<Self, PortTableError> {
        if limits.len() > PORT_LIMITS {
            return Err(PortTableError::TooManyLimits(limits.len()));
        }
        let mut table = Self::default();
        if rules.is_empty() && limits.is_empty() {
            return Ok(table);
        }
        table.words = vec![0; PORT_WORDS as usize];
        let mut known = HashMap::from([(PortRow::default(), 0u8)]);
        for is_udp in [false, true] {
            // The last rule first, so that the first has the last word.
            let mut of_port = vec![PortRow::default(); 1 << 16];
            for rule in rules.iter().rev().filter(|rule| rule.protocol.covers(is_udp)) {
                let observe = if rule.enforcement == Enforcement::Observe { port_flag::OBSERVE } else { 0 };
                let flags = if rule.is_denied { port_flag::DENY | observe } else { 0 };
                for range in &rule.ports {
                    for row in of_port.get_mut(places(*range)).unwrap_or_default() {
                        row.flags = flags;
                    }
                }
            }
            let numbered: Vec<(u32, &PortLimit)> = (1..).zip(limits).collect();
            for (number, limit) in numbered.into_iter().rev().filter(|(_, limit)| limit.protocol.covers(is_udp)) {
                let per_source = if limit.per_source { port_flag::PER_SOURCE } else { 0 };
                for range in &limit.ports {
                    for row in of_port.get_mut(places(*range)).unwrap_or_default() {
                        row.flags = row.flags & !port_flag::PER_SOURCE | per_source;
                        row.limit = number;
                    }
                }
            }
            for (port, row) in of_port.into_iter().enumerate() {
                let number = if let Some(number) = known.get(&row) {
                    *number
                } else {
                    let number = u8::try_from(known.len()).or(Err(PortTableError::TooManyRows))?;
                    known.insert(row, number);
                    if let Some(place) = table.rows.get_mut(usize::from(number)) {
                        *place = row;
                    }
                    number
                };
                let at = usize::from(is_udp) * (PORT_WORDS as usize / 2) + port / 8;
                if let Some(word) = table.words.get_mut(at) {
                    *word |= u64::from(number) << (port % 8 * 8);
                }
            }
        }
        Ok(table)
    }

    /// Whether no port leads anywhere.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The row of a port.
    pub fn row(&self, is_udp: bool, port: u16) -> PortRow {
        let at = usize::from(is_udp) * (PORT_WORDS as usize / 2) + usize::from(port) / 8;
        let byte = self.words.get(at).map_or(0, |word| word >> (port % 8 * 8) & 0xff);
        usize::try_from(byte).ok().and_then(|row| self.rows.get(row)).copied().unwrap_or_default()
    }
}

fn places(range: PortRange) -> RangeInclusive<usize> {
    usize::from(range.first)..=usize::from(range.last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<PortRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn rule(protocol: Protocol, ports: &[&str], is_denied: bool) -> PortRule {
        let (ports, enforcement) = (ranges(ports), Enforcement::Enforce);
        PortRule { protocol, ports, is_denied, enforcement, is_forced: false }
    }

    #[test]
    fn ports_and_ranges_are_read_and_what_is_neither_is_refused() {
        assert_eq!("22".parse::<PortRange>().unwrap().to_string(), "22");
        assert_eq!("1-65535".parse::<PortRange>().unwrap().ports(), 1..=65_535);
        for text in ["", "0", "65536", "-1", "+1", "9-8", "1-", "-", "1-2-3", "ssh", " 1", "0-5", "1e3"] {
            assert_eq!(text.parse::<PortRange>(), Err(PortRangeError), "{text:?}");
        }
    }

    #[test]
    fn the_first_rule_that_names_a_port_decides_in_table_and_search() {
        let rules = [
            rule(Protocol::Tcp, &["22", "80", "443"], false),
            rule(Protocol::Any, &["53"], false),
            rule(Protocol::Any, &["1-1023"], true),
        ];
        let table = PortTable::new(&rules, &[]).unwrap();
        for is_udp in [false, true] {
            for port in 0..=u16::MAX {
                let denied = rule_of(&rules, is_udp, port).is_some_and(|rule| rule.is_denied);
                assert_eq!(table.row(is_udp, port).flags & port_flag::DENY != 0, denied, "{is_udp} {port}");
            }
        }
        assert!(table.row(true, 22).flags & port_flag::DENY != 0 && table.row(false, 22).flags == 0);
        assert_eq!(table.row(false, 1_024), PortRow::default());
    }

    #[test]
    fn nothing_said_is_no_table_and_too_much_is_refused() {
        assert!(PortTable::new(&[], &[]).unwrap().is_empty());
        let rate = super::super::limits::Rate::new(
            weir_common::traffic::Dimension::Packets,
            std::num::NonZeroU64::MIN.saturating_add(9),
            None,
        );
        let limit = Limit::new([(weir_common::traffic::Dimension::Packets, rate.unwrap())], Enforcement::Enforce);
        let limit = PortLimit {
            name: "dns".to_owned(),
            protocol: Protocol::Udp,
            ports: ranges(&["53"]),
            per_source: true,
            limit: limit.unwrap(),
        };
        let limits = vec![limit; PORT_LIMITS + 1];
        assert_eq!(PortTable::new(&[], &limits), Err(PortTableError::TooManyLimits(PORT_LIMITS + 1)));
        let table = PortTable::new(&[], &limits[..2]).unwrap();
        // The first of the two.
        assert_eq!(table.row(true, 53), PortRow { flags: port_flag::PER_SOURCE, limit: 1 });
        assert_eq!(table.row(false, 53), PortRow::default());
    }
}
