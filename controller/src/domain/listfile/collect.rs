//! What a reader hands its records to: counts, admits, keeps.
use std::fmt;

use ipnet::IpNet;

use super::prefix::{PrefixError, Taken};
use super::{Format, Item, LONGEST_LINE, Parsed, REJECT_TEXT, REJECTS_KEPT, Reading, Reject};

/// Why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// Its address.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A line nobody writes.
    #[error("longer than {LONGEST_LINE} bytes")]
    TooLong,
    /// The file of an old Mac, or a forgery.
    #[error("holds a carriage return; lines end with LF or CRLF")]
    CarriageReturn,
    /// Not what the format has there; the text says what is wrong.
    #[error("{0}")]
    Syntax(&'static str),
    /// Understood, and nothing weir can deny; the text says why.
    #[error("{0}")]
    Kind(&'static str),
}

impl RecordError {
    /// The label it is counted under.
    fn label(self) -> &'static str {
        match self {
            Self::Prefix(_) | Self::TooLong | Self::CarriageReturn | Self::Syntax(_) => "syntax",
            Self::Kind(_) => "kind",
        }
    }
}

/// The caller's word on an entry: a refusal has a label and, if it was wanted, a text.
pub(super) type Admission = Result<(), (&'static str, Option<String>)>;

/// The caller who says it; the second argument is whether the text is wanted.
pub(super) type Admit<'a> = &'a mut dyn FnMut(&Item, bool) -> Admission;

/// What is read so far.
pub(super) struct Collector<'a> {
    /// How it is to be read.
    pub(super) reading: &'a Reading,
    parsed: Parsed,
    admit: Admit<'a>,
    /// The number that a reject is given.
    at: usize,
}

impl<'a> Collector<'a> {
    pub(super) fn new(format: Format, reading: &'a Reading, admit: Admit<'a>) -> Self {
        Self { reading, parsed: Parsed { format, ..Parsed::default() }, admit, at: 0 }
    }

    pub(super) fn finish(self) -> Parsed {
        self.parsed
    }

    /// A line or record begins.
    pub(super) fn begin(&mut self) {
        self.parsed.lines += 1;
        self.at = self.parsed.lines;
    }

    /// A record begins, on this line.
    pub(super) fn begin_at(&mut self, line: u64) {
        self.parsed.lines += 1;
        self.at = usize::try_from(line).unwrap_or(usize::MAX);
    }

    /// It says nothing about addresses.
    pub(super) fn skip(&mut self) {
        self.parsed.skipped += 1;
    }

    /// It is in order and left out; the label is one of [`super::PASSED_OVER`].
    pub(super) fn pass_over(&mut self, label: &'static str) {
        self.parsed.skipped += 1;
        self.count(label);
    }

    /// It is this address or prefix and no more is said about it.
    pub(super) fn take(&mut self, taken: Taken, shown: &[u8]) {
        self.item(&Item { prefix: taken.prefix, normalised: taken.normalised, score: None, for_s: None }, shown);
    }

    /// It is this entry.
    pub(super) fn item(&mut self, item: &Item, shown: &[u8]) {
        if item.score.is_some_and(|score| score < self.reading.least_score) {
            return self.pass_over("score");
        }
        if item.for_s == Some(0) {
            return self.pass_over("expired");
        }
        if let Err((label, text)) = (self.admit)(item, self.parsed.rejects.len() < REJECTS_KEPT) {
            return self.refuse(shown, label, text);
        }
        self.parsed.normalised += usize::from(item.normalised);
        match item.for_s {
            Some(seconds) => self.parsed.ending.push((item.prefix, seconds)),
            None => self.keep(item.prefix, item.score),
        }
    }

    fn keep(&mut self, prefix: IpNet, score: Option<u32>) {
        if score.is_some() || !self.parsed.scores.is_empty() {
            // Entries before the first score have none.
            self.parsed.scores.resize(self.parsed.entries.len(), 0);
            self.parsed.scores.push(score.unwrap_or(0));
        }
        self.parsed.entries.push(prefix);
    }

    /// It is the number of a network.
    pub(super) fn asn(&mut self, asn: u32) {
        self.parsed.asns.push(asn);
    }

    /// It is refused.
    pub(super) fn reject(&mut self, shown: &[u8], why: RecordError) {
        let text = (self.parsed.rejects.len() < REJECTS_KEPT).then(|| why.to_string());
        self.refuse(shown, why.label(), text);
    }

    fn refuse(&mut self, shown: &[u8], label: &'static str, why: Option<String>) {
        self.parsed.rejected += 1;
        self.count(label);
        if let Some(why) = why {
            self.parsed.rejects.push(Reject { line: self.at, text: printable(shown), why });
        }
    }

    /// Whether this set of several is to be taken.
    pub(super) fn wants(&self, set: &str) -> bool {
        self.reading.column.as_deref().is_none_or(|names| names.split(',').any(|name| name.trim() == set))
    }

    fn count(&mut self, label: &'static str) {
        let count = self.parsed.reasons.entry(label).or_default();
        *count = count.saturating_add(1);
    }

    /// The file says how many records it has. It says so more than once where several were joined to one.
    pub(super) fn declare(&mut self, records: u64) {
        self.parsed.declared = Some(self.parsed.declared.unwrap_or(0).saturating_add(records));
    }

    /// The file is no list, or not all of one. The first reason counts.
    pub(super) fn unfit(&mut self, why: impl Into<String>) {
        self.parsed.unfit.get_or_insert_with(|| why.into());
    }
}

impl fmt::Debug for Collector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("parsed", &self.parsed).finish_non_exhaustive()
    }
}

/// How a record begins, safe to print on a terminal and to write into a log.
pub(super) fn printable(line: &[u8]) -> String {
    // No character takes more than four bytes; one may be cut at the end, which is shown as what it then is.
    let start = line.get(..REJECT_TEXT * 4).unwrap_or(line);
    let text = String::from_utf8_lossy(start);
    let mut shown = String::new();
    for c in text.chars().take(REJECT_TEXT) {
        // Direction marks and the like are no control characters and yet rearrange a terminal's line.
        if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
