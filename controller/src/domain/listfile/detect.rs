//! Which format a file shows itself to be.
use serde::de::{Error as _, MapAccess, SeqAccess};

use super::json::{Keep, Scalar, Walk, Walker, document, pass_by};
use super::text::{data, ipsum_line, lines, plain_line, trim, unmarked};
use super::{Format, columns, dshield, sniff, xdp_filter};

/// Data lines that are looked at.
const SAMPLED_LINES: usize = 32;

/// The format of a file; plain, where nothing shows.
pub(super) fn detect(bytes: &[u8], column: Option<&str>) -> Format {
    let text = unmarked(bytes).trim_ascii_start();
    if sniff::looks_like_json(text) {
        return json(bytes).unwrap_or(Format::Plain);
    }
    let mut votes = Votes::default();
    let is_data = |line: &&[u8]| !matches!(trim(line), [] | [b'#' | b';', ..]);
    for line in lines(bytes).filter(is_data).take(SAMPLED_LINES) {
        votes.line(line);
    }
    if let Some(marked) = votes.marked {
        return marked;
    }
    if column.is_some() {
        return Format::Csv;
    }
    let (format, most) = votes.most();
    // Two columns of addresses are a range, or two ends of a connection: whoever means one of them names it.
    if most == 0 && columns::found(bytes).is_some_and(|layout| layout.candidates == 1) {
        return Format::Csv;
    }
    format
}

/// How many of the lines each format takes.
#[derive(Default)]
struct Votes {
    plain: usize,
    ipsum: usize,
    dshield: usize,
    /// A line that only one format has.
    marked: Option<Format>,
}

impl Votes {
    fn line(&mut self, line: &[u8]) {
        let Ok(text) = data(line) else { return };
        self.plain += usize::from(matches!(plain_line(text), Ok(Some(_))));
        self.ipsum += usize::from(matches!(ipsum_line(text), Ok(Some(_))));
        self.dshield += usize::from(matches!(dshield::networks(text), Ok(Some(_))));
        let marked = if text.starts_with(b"ExitNode ") {
            Some(Format::TorExits)
        } else if text.starts_with(b"create ") || text.starts_with(b"add ") {
            Some(Format::Ipset)
        } else if text == xdp_filter::TITLE || text == xdp_filter::ADDRESSES {
            Some(Format::XdpFilter)
        } else {
            None
        };
        self.marked = self.marked.or(marked);
    }

    /// The format that takes the most; plain, where none takes more.
    fn most(&self) -> (Format, usize) {
        [(Format::Ipsum, self.ipsum), (Format::Dshield, self.dshield)]
            .into_iter()
            .fold((Format::Plain, self.plain), |best, next| if next.1 > best.1 { next } else { best })
    }
}

/// The format of JSON: of its first line, if that is a whole object, or of the document.
fn json(bytes: &[u8]) -> Option<Format> {
    let first = lines(bytes).find(|line| !trim(line).is_empty())?;
    let mut keys = Keys::default();
    if data(first).is_ok() && document(first, &mut keys).is_ok() {
        let of_lines = keys.format.filter(|format| matches!(format, Format::DropJson | Format::AsnDrop));
        if of_lines.is_some() {
            return of_lines;
        }
        // The metadata alone: a list of none.
        if keys.is_metadata {
            return Some(Format::DropJson);
        }
    }
    let mut keys = Keys::default();
    // It stops at the first key that tells, so the rest of the document is read once only.
    let _stopped = document(bytes, &mut keys).is_err();
    keys.format.or(keys.is_array_of_none.then_some(Format::FeodoJson))
}

/// Looks for a key that only one format has.
#[derive(Default)]
struct Keys {
    format: Option<Format>,
    is_metadata: bool,
    is_array_of_none: bool,
    inside_array: bool,
}

impl<'de> Walker<'de> for Keys {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let told = match name {
            "cidr" if !self.inside_array => Some(Format::DropJson),
            "asn" if !self.inside_array => Some(Format::AsnDrop),
            "ip_address" if self.inside_array => Some(Format::FeodoJson),
            "nftables" => Some(Format::NftJson),
            "Event" | "Attribute" | "response" => Some(Format::Misp),
            "objects" => Some(Format::Stix),
            "data" => Some(Format::Abuseipdb),
            _ => None,
        };
        if name == "type" {
            let mut kept = Keep(Scalar::Other);
            map.next_value_seed(Walk(&mut kept))?;
            self.is_metadata |= kept.0.text() == Some("metadata");
            return Ok(());
        }
        if told.is_none() {
            return pass_by(map);
        }
        self.format = told;
        let one_line_only = matches!(told, Some(Format::DropJson | Format::AsnDrop));
        // The line must be seen to be whole.
        if one_line_only { pass_by(map) } else { Err(A::Error::custom("told")) }
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        if self.inside_array {
            return Ok(seq.next_element::<serde::de::IgnoredAny>()?.is_some());
        }
        self.inside_array = true;
        let one = seq.next_element_seed(Walk(self))?.is_some();
        self.is_array_of_none = !one;
        if !one {
            return Ok(false);
        }
        Err(A::Error::custom("told"))
    }
}
