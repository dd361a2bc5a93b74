//! What can be looked at. A further view is a variant here with its columns and its lines.
use super::app::Known;
use super::table::{Cell, Column, Line};
use crate::domain::report::{TopBy, TopGroup, TopRow, VerdictRow};
use crate::domain::top::filter::Filter;
use crate::domain::top::order::{self, Rank};
use crate::render::numbers::{rate, short, whole};
use crate::render::plain;
use crate::render::top::name;

/// What can be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    /// Each source.
    #[default]
    Sources,
    /// Sources by /24 and /48.
    Networks,
    /// Sources by country.
    Countries,
    /// What became of the packets.
    Verdicts,
}

const fn figure(title: &'static str, letter: char, width: u16, expendable: u8, by: TopBy) -> Column {
    Column { title, letter, width, figures: true, expendable, by: Some(by) }
}

const fn word(title: &'static str, letter: char, width: u16, expendable: u8, by: TopBy) -> Column {
    Column { title, letter, width, figures: false, expendable, by: Some(by) }
}

const PACKETS: Column = figure("Packets/s", 'P', 9, 0, TopBy::Packets);
const BYTES: Column = figure("Bytes/s", 'B', 7, 2, TopBy::Bytes);
const ALL_PACKETS: Column = figure("pacKets", 'K', 7, 5, TopBy::AllPackets);
const ALL_BYTES: Column = figure("bYtes", 'Y', 5, 7, TopBy::AllBytes);
const DROPPED: Column = figure("Dropped", 'D', 7, 3, TopBy::Drops);
const DROPPED_SHARE: Column = figure("drOp%", 'O', 5, 1, TopBy::DroppedShare);
const SOURCES_IN_IT: Column = figure("soUrces", 'U', 7, 4, TopBy::Sources);
const FROM: Column = word("From", 'F', 4, 6, TopBy::Country);
const SYSTEM: Column = word("asN", 'N', 8, 8, TopBy::Asn);

const SOURCES: &[Column] = &[
    word("Address", 'A', 11, 0, TopBy::Address),
    PACKETS,
    BYTES,
    ALL_PACKETS,
    ALL_BYTES,
    DROPPED,
    DROPPED_SHARE,
    FROM,
    SYSTEM,
];
const NETWORKS: &[Column] = &[
    word("Address", 'A', 11, 0, TopBy::Address),
    SOURCES_IN_IT,
    PACKETS,
    BYTES,
    ALL_PACKETS,
    ALL_BYTES,
    DROPPED,
    DROPPED_SHARE,
    FROM,
    SYSTEM,
];
const COUNTRIES: &[Column] = &[
    word("Country", 'C', 9, 0, TopBy::Country),
    SOURCES_IN_IT,
    PACKETS,
    BYTES,
    ALL_PACKETS,
    ALL_BYTES,
    DROPPED,
    DROPPED_SHARE,
];

const fn of_verdict(title: &'static str, letter: char, width: u16, figures: bool, expendable: u8) -> Column {
    Column { title, letter, width, figures, expendable, by: None }
}

const VERDICTS: &[Column] = &[
    of_verdict("Verdict", 'V', 12, false, 0),
    of_verdict("Packets/s", 'P', 9, true, 0),
    of_verdict("Bytes/s", 'B', 7, true, 2),
    of_verdict("pacKets", 'K', 15, true, 1),
    of_verdict("bYtes", 'Y', 5, true, 4),
    of_verdict("Observed", 'O', 15, true, 3),
];

impl View {
    /// All, in the order of their number keys.
    pub(super) const ALL: [Self; 4] = [Self::Sources, Self::Networks, Self::Countries, Self::Verdicts];

    /// What it is called.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sources => "Sources",
            Self::Networks => "Networks",
            Self::Countries => "Countries",
            Self::Verdicts => "Verdicts",
        }
    }

    /// Its number among all, from 0.
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or(0)
    }

    /// Its columns.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Sources => SOURCES,
            Self::Networks => NETWORKS,
            Self::Countries => COUNTRIES,
            Self::Verdicts => VERDICTS,
        }
    }

    /// The column it is sorted by at first.
    pub(super) fn first_sort(self, by: TopBy) -> usize {
        let wanted = self.columns().iter().position(|column| column.by == Some(by));
        wanted.or_else(|| self.columns().iter().position(|column| column.letter == 'P')).unwrap_or(0)
    }

    /// What a row is, where the daemon makes the rows.
    pub(super) fn group(self) -> Option<TopGroup> {
        match self {
            Self::Sources => Some(TopGroup::Source),
            Self::Networks => Some(TopGroup::Network),
            Self::Countries => Some(TopGroup::Country),
            Self::Verdicts => None,
        }
    }

    /// The view a group of rows belongs to.
    pub(super) fn of(group: TopGroup) -> Self {
        match group {
            TopGroup::Source => Self::Sources,
            TopGroup::Network => Self::Networks,
            TopGroup::Country => Self::Countries,
        }
    }

    /// Its lines, not sorted.
    pub(super) fn lines(self, known: &Known, filter: &Filter) -> Vec<Line> {
        let Some(group) = self.group() else { return verdicts(known, filter) };
        let report = known.reports.get(&group);
        let rows = report.into_iter().flat_map(|report| &report.rows);
        let rows = rows.filter(|row| group != TopGroup::Source || is_taken(row, filter));
        rows.map(|row| line(row, self.columns())).collect()
    }
}

/// Whether a source is one that is asked for: the rows at hand may be those of the filter before.
fn is_taken(row: &TopRow, filter: &Filter) -> bool {
    let prefix = row.address.as_deref().and_then(order::prefix);
    prefix.is_some_and(|prefix| filter.takes(&prefix, row.country.as_deref(), row.asn))
}

fn line(row: &TopRow, columns: &[Column]) -> Line {
    let cells = columns.iter().map(|column| {
        let by = column.by.unwrap_or_default();
        Cell { text: text(row, by), rank: Rank::of(row, by) }
    });
    Line {
        key: row.address.clone().or_else(|| row.country.clone()).unwrap_or_default(),
        prefix: row.address.as_deref().and_then(order::prefix),
        packets_per_second: row.packets_per_second,
        cells: cells.collect(),
    }
}

fn text(row: &TopRow, by: TopBy) -> String {
    match by {
        TopBy::Packets => rate(row.packets_per_second),
        TopBy::Bytes => rate(row.bytes_per_second),
        TopBy::Drops => short(row.dropped),
        TopBy::AllPackets => short(row.packets),
        TopBy::AllBytes => short(row.bytes),
        TopBy::DroppedShare => row.dropped_share().map_or_else(String::new, |share| format!("{:.0}", share * 100.0)),
        TopBy::Address => name(row),
        TopBy::Country if row.address.is_none() => name(row),
        TopBy::Country => plain::line(row.country.as_deref().unwrap_or_default()).into_owned(),
        TopBy::Asn => row.asn.map_or_else(String::new, |asn| format!("AS{asn}")),
        TopBy::Sources => whole(row.sources),
    }
}

/// Every verdict that came to pass, in the order of judgement.
fn verdicts(known: &Known, filter: &Filter) -> Vec<Line> {
    let Some(status) = &known.status else { return Vec::new() };
    let came_to_pass = |row: &VerdictRow| row.packets > 0 || row.observed_packets > 0;
    let rows = status.verdicts.iter().filter(|(name, row)| came_to_pass(row) && filter.takes_word(name));
    let lines = rows.map(|(name, row)| {
        let (packets, bytes) = known.meter.verdict(name).unwrap_or_default();
        let word = Cell { text: plain::line(name).into_owned(), rank: Rank::Word(Some(name.clone())) };
        let figure = |text: String, value: f64| Cell { text, rank: Rank::Figure(value) };
        #[expect(clippy::cast_precision_loss, reason = "two that differ by less are as good as equal")]
        let count = |text: String, value: u64| Cell { text, rank: Rank::Figure(value as f64) };
        Line {
            key: name.clone(),
            prefix: None,
            packets_per_second: packets,
            cells: vec![
                word,
                figure(rate(packets), packets),
                figure(rate(bytes), bytes),
                count(whole(row.packets), row.packets),
                count(short(row.bytes), row.bytes),
                count(whole(row.observed_packets), row.observed_packets),
            ],
        }
    });
    lines.collect()
}
