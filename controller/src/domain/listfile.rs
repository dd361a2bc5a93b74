//! List files: bytes in, prefixes and refused records out.
//!
//! A record (a line, or an object of a JSON document) is taken only if all of it is understood. What is refused is data,
//! not an error: the caller decides whether the rest may go in. A file that is no list at all says so in
//! [`Parsed::unfit`].
mod arrays;
mod collect;
mod columns;
mod detect;
mod dshield;
pub mod export;
mod format;
mod ipset;
mod json;
mod json_lines;
mod misp;
mod never_block;
mod nft;
mod prefix;
mod range;
mod sniff;
mod stix;
mod text;
mod tor;
mod xdp_filter;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

use self::collect::{Admission, Collector};
pub use self::format::{Format, UnknownFormat};
pub use self::never_block::{NeverBlockError, parse_never_block};
pub use self::prefix::{PrefixError, parse_prefix};

/// Longest line of text that is looked at. The longest prefix has 49 characters; the rest is for comments.
pub const LONGEST_LINE: usize = 1024;

/// Refused records whose text is kept; all are counted.
pub const REJECTS_KEPT: usize = 1_000;

/// Characters of a refused record that are shown.
pub const REJECT_TEXT: usize = 80;

/// Labels of [`Parsed::reasons`] that stand for records which are in order and yet left out. They are part of
/// [`Parsed::skipped`], not of [`Parsed::rejected`].
pub const PASSED_OVER: [&str; 4] = ["score", "expired", "revoked", "early"];

/// How a list is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How it is written.
    pub format: Format,
    /// The column of a CSV that holds the addresses, by its name in the header; or the sets to take of an `ipset` or
    /// `nft` listing, separated by commas. Without it: the first column that holds addresses, and all sets.
    pub column: Option<Arc<str>>,
    /// Entries with a lower score are passed over. Entries without a score are not.
    pub least_score: u32,
    /// What ends are counted from.
    pub now: Timestamp,
}

impl Reading {
    /// All of a list in this format.
    pub fn new(format: Format, now: Timestamp) -> Self {
        Self { format, column: None, least_score: 0, now }
    }
}

/// One entry as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Host bits cleared; IPv4-mapped IPv6 made IPv4.
    pub prefix: IpNet,
    /// Whether host bits were set.
    pub normalised: bool,
    /// The list's own score or count, where its format has one; higher is worse.
    pub score: Option<u32>,
    /// Seconds left, where the entry has an end; never 0.
    pub for_s: Option<u64>,
}

/// Why an entry that is understood is refused: a text for people and a bounded label for counters.
pub trait Refused: fmt::Display {
    /// The label, out of a fixed set.
    fn reason(&self) -> &'static str;
}

impl Refused for Infallible {
    fn reason(&self) -> &'static str {
        match *self {}
    }
}

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The number of its line or record, from 1.
    pub line: usize,
    /// How it begins, safe to print: at most [`REJECT_TEXT`] characters, control characters escaped.
    pub text: String,
    /// Why it is refused.
    pub why: String,
}

/// What a list file holds.
///
/// `entries.len() + ending.len() + asns.len() + rejected + skipped == lines`, but where a record names a range of
/// addresses: that is as many entries as it takes prefixes to cover exactly those addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// How it was read; never [`Format::Auto`].
    pub format: Format,
    /// What was taken and has no end, in the file's order, host bits cleared; doubles are kept.
    pub entries: Vec<IpNet>,
    /// The scores of `entries`, where the file has any: one for each, 0 where an entry has none. Else empty.
    pub scores: Vec<u32>,
    /// What was taken and ends by itself, with the seconds left, in the file's order.
    pub ending: Vec<(IpNet, u64)>,
    /// Numbers of networks, where the list is one of those.
    pub asns: Vec<u32>,
    /// The first [`REJECTS_KEPT`] refused records.
    pub rejects: Vec<Reject>,
    /// How many records were refused.
    pub rejected: usize,
    /// How many records were refused, by label: `syntax`, `kind` (understood, but nothing weir can deny) and those of
    /// the caller; and how many were left out, under the labels of [`PASSED_OVER`].
    pub reasons: BTreeMap<&'static str, u64>,
    /// Blank lines, comments, records of other things, and entries left out ([`PASSED_OVER`]).
    pub skipped: usize,
    /// Lines in all, or records where the format has no lines.
    pub lines: usize,
    /// Entries whose host bits were set and have been cleared.
    pub normalised: usize,
    /// How many records the file itself says it has.
    pub declared: Option<u64>,
    /// Why this is no list at all, or not the whole of one: nothing of it should then be used.
    pub unfit: Option<String>,
}

impl Parsed {
    /// Records that say something: taken, refused or left out. What [`Parsed::declared`] is to be compared with.
    pub fn records(&self) -> u64 {
        let taken = self.entries.len().saturating_add(self.ending.len()).saturating_add(self.asns.len());
        let left_out = PASSED_OVER.iter().filter_map(|label| self.reasons.get(label)).sum::<u64>();
        (taken.saturating_add(self.rejected) as u64).saturating_add(left_out)
    }
}

/// Reads a list file. Never fails: what is not understood is among the rejects.
///
/// Takes memory for the entries, a bounded number of rejects and at most one text of the file, so the size of `bytes`
/// is the caller's to bound.
pub fn parse(bytes: &[u8], reading: &Reading) -> Parsed {
    parse_admitted(bytes, reading, |_| Ok::<(), Infallible>(()))
}

/// As [`parse`], where `admit` may refuse an entry that is understood: it is then a reject like any other, with its
/// number, its text, and the refusal as the reason. It is not asked about entries that are left out.
pub fn parse_admitted<E: Refused>(
    bytes: &[u8],
    reading: &Reading,
    mut admit: impl FnMut(&Item) -> Result<(), E>,
) -> Parsed {
    // The text is wanted only while rejects are kept: writing a million refusals out takes a second.
    let mut admit = |item: &Item, keep: bool| -> Admission {
        admit(item).map_err(|refusal| (refusal.reason(), keep.then(|| refusal.to_string())))
    };
    let format = match reading.format {
        Format::Auto => detect::detect(bytes, reading.column.as_deref()),
        named => named,
    };
    let mut sink = Collector::new(format, reading, &mut admit);
    match format {
        Format::Auto | Format::Plain => text::plain(bytes, &mut sink),
        Format::Ipsum => text::ipsum(bytes, &mut sink),
        Format::DropJson => json_lines::drop(bytes, &mut sink),
        Format::AsnDrop => json_lines::asn_drop(bytes, &mut sink),
        Format::Dshield => dshield::read(bytes, &mut sink),
        Format::FeodoJson => arrays::feodo(bytes, &mut sink),
        Format::Csv => columns::read(bytes, &mut sink),
        Format::TorExits => tor::read(bytes, &mut sink),
        Format::Abuseipdb => arrays::abuseipdb(bytes, &mut sink),
        Format::Misp => misp::read(bytes, &mut sink),
        Format::Stix => stix::read(bytes, &mut sink),
        Format::Ipset => ipset::read(bytes, &mut sink),
        Format::NftJson => nft::read(bytes, &mut sink),
        Format::XdpFilter => xdp_filter::read(bytes, &mut sink),
    }
    let mut parsed = sink.finish();
    // What the bytes themselves show says more than the parser that stumbled over them.
    if let Some(found) = sniff::foreign(bytes, format) {
        parsed.unfit = Some(found);
    }
    parsed
}

#[cfg(test)]
mod tests;
