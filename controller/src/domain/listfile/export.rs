//! Lists for other programs.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::domain::guard::bare;

/// Longest end that an element of an ipset may have, in seconds: more than 24 days are refused by it.
const LONGEST_IPSET_TIMEOUT: u64 = 2_147_483;

/// Longest name of a set without its family: ipset takes 31 characters.
const LONGEST_NAME: usize = 28;

/// Elements of one nft command: each command costs, and so does a long line.
const NFT_ELEMENTS: usize = 500;

/// How a list is written for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum ExportFormat {
    /// An address or prefix a line; ends are not written
    Plain,
    /// A JSON array of `{"prefix":…,"expires_in_s":…}`; without an end it is `null`.
    Json,
    /// A file for `nft -f`: table `inet weir` with two sets, one for each family.
    Nft,
    /// Input for `ipset restore`: two sets, one for each family.
    Ipset,
}

impl ExportFormat {
    /// Each of them once.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Json, Self::Nft, Self::Ipset];

    /// Its name, as [`ExportFormat::from_str`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Nft => "nft",
            Self::Ipset => "ipset",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a format to export in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("export format {0:?} is not known; the formats are plain, json, nft and ipset")]
pub struct UnknownExport(pub String);

impl FromStr for ExportFormat {
    type Err = UnknownExport;

    fn from_str(text: &str) -> Result<Self, UnknownExport> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| UnknownExport(text.to_owned()))
    }
}

/// Writes prefixes, each with its seconds left if it ends by itself. `name` becomes part of the sets' names.
///
/// Plain and JSON are written as they come, doubles and all. The sets of `nft` and `ipset` hold each prefix once, with
/// the latest of its ends.
///
/// # Errors
/// None but those of `out`.
pub fn write(
    format: ExportFormat,
    name: &str,
    entries: impl IntoIterator<Item = (IpNet, Option<u64>)>,
    out: &mut impl fmt::Write,
) -> fmt::Result {
    match format {
        ExportFormat::Plain => entries.into_iter().try_for_each(|(prefix, _)| writeln!(out, "{}", bare(prefix))),
        ExportFormat::Json => json(entries, out),
        ExportFormat::Nft => nft(&set_name(name), &latest(entries), out),
        ExportFormat::Ipset => ipset(&set_name(name), &latest(entries), out),
    }
}

fn json(entries: impl IntoIterator<Item = (IpNet, Option<u64>)>, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_char('[')?;
    for (at, (prefix, left)) in entries.into_iter().enumerate() {
        // Digits, dots, colons and a slash: nothing that JSON would escape.
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}\n{{\"prefix\":\"{prefix}\",\"expires_in_s\":")?;
        match left {
            Some(seconds) => write!(out, "{seconds}}}")?,
            None => out.write_str("null}")?,
        }
    }
    out.write_str("\n]\n")
}

/// Each prefix once with the latest of its ends, wider ones before those inside them.
fn latest(entries: impl IntoIterator<Item = (IpNet, Option<u64>)>) -> BTreeMap<IpNet, Option<u64>> {
    let mut each: BTreeMap<IpNet, Option<u64>> = BTreeMap::new();
    for (prefix, left) in entries {
        let merge = |known: &mut Option<u64>| *known = known.zip(left).map(|(known, left)| known.max(left));
        each.entry(prefix.trunc()).and_modify(merge).or_insert(left);
    }
    each
}

/// A name that both programs take: letters, digits and underscores, a letter first.
fn set_name(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let start = if starts_well { "" } else { "list_" };
    start.chars().chain(name.chars().map(clean)).take(LONGEST_NAME).collect()
}

fn family(prefix: &IpNet) -> &'static str {
    match prefix {
        IpNet::V4(_) => "v4",
        IpNet::V6(_) => "v6",
    }
}

/// The same addresses with the same ends as prefixes that do not overlap: an interval set takes no others, and letting
/// it merge them makes one end of several.
fn disjoint(entries: &BTreeMap<IpNet, Option<u64>>) -> Vec<(IpNet, Option<u64>)> {
    let sorted: Vec<_> = entries.iter().map(|(prefix, left)| (*prefix, *left)).collect();
    let mut apart = Vec::with_capacity(sorted.len());
    separate(&sorted, &mut apart);
    apart
}

/// Takes prefixes in order, wider ones before those inside them.
fn separate(mut sorted: &[(IpNet, Option<u64>)], apart: &mut Vec<(IpNet, Option<u64>)>) {
    while let [(prefix, left), rest @ ..] = sorted {
        let inside = rest.iter().take_while(|(inner, _)| prefix.contains(inner)).count();
        let (inside, after) = rest.split_at(inside);
        // What ends no later than the prefix around it adds nothing.
        let later = |end: Option<u64>| left.is_some_and(|left| end.is_none_or(|end| end > left));
        let lasting: Vec<_> = inside.iter().copied().filter(|(_, end)| later(*end)).collect();
        around(*prefix, *left, &lasting, apart);
        sorted = after;
    }
}

/// Splits a prefix around those inside it. Goes no deeper than a prefix is long.
fn around(prefix: IpNet, left: Option<u64>, inside: &[(IpNet, Option<u64>)], apart: &mut Vec<(IpNet, Option<u64>)>) {
    match inside.first() {
        None => apart.push((prefix, left)),
        Some((first, _)) if *first == prefix => separate(inside, apart),
        Some(_) => {
            let halves = prefix.subnets(prefix.prefix_len().saturating_add(1));
            for half in halves.into_iter().flatten() {
                let start = inside.iter().take_while(|(inner, _)| !half.contains(inner)).count();
                let (_, from) = inside.split_at(start);
                let (within, _) = from.split_at(from.iter().take_while(|(inner, _)| half.contains(inner)).count());
                around(half, left, within, apart);
            }
        }
    }
}

fn nft(name: &str, entries: &BTreeMap<IpNet, Option<u64>>, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_str("# nft -f reads this; it adds to the sets. A rule such as \"ip saddr @")?;
    writeln!(out, "{name}_v4 drop\" uses them.\ntable inet weir {{")?;
    for (family, kind) in [("v4", "ipv4_addr"), ("v6", "ipv6_addr")] {
        writeln!(out, "\tset {name}_{family} {{\n\t\ttype {kind}\n\t\tflags interval,timeout\n\t}}")?;
    }
    out.write_str("}\n")?;
    let disjoint = disjoint(entries);
    for family in ["v4", "v6"] {
        let mut written = 0usize;
        for (prefix, left) in disjoint.iter().filter(|(prefix, _)| self::family(prefix) == family) {
            match written.checked_rem(NFT_ELEMENTS) {
                Some(0) if written == 0 => write!(out, "add element inet weir {name}_{family} {{ ")?,
                Some(0) => write!(out, " }}\nadd element inet weir {name}_{family} {{ ")?,
                _ => out.write_str(", ")?,
            }
            written += 1;
            write!(out, "{}", bare(*prefix))?;
            if let Some(seconds) = left {
                write!(out, " timeout {seconds}s")?;
            }
        }
        if written > 0 {
            out.write_str(" }\n")?;
        }
    }
    Ok(())
}

fn ipset(name: &str, entries: &BTreeMap<IpNet, Option<u64>>, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_str("# ipset restore reads this.\n")?;
    if entries.keys().any(|prefix| prefix.prefix_len() == 0) {
        out.write_str("# A set cannot hold a prefix of length 0: it is written as its two halves.\n")?;
    }
    if entries.values().flatten().any(|left| *left > LONGEST_IPSET_TIMEOUT) {
        writeln!(out, "# A set cannot hold an end beyond {LONGEST_IPSET_TIMEOUT} seconds: later ones are written so.")?;
    }
    for (family, inet) in [("v4", "inet"), ("v6", "inet6")] {
        let held = entries.keys().filter(|prefix| self::family(prefix) == family).count();
        // The halves need room too; the program's own default is the least.
        let most = held.saturating_add(1).max(65_536);
        writeln!(out, "create -exist {name}_{family} hash:net family {inet} maxelem {most} timeout 0")?;
    }
    let mut add = |prefix: IpNet, left: Option<u64>| {
        let seconds = left.unwrap_or(0).min(LONGEST_IPSET_TIMEOUT);
        writeln!(out, "add -exist {name}_{} {} timeout {seconds}", family(&prefix), bare(prefix))
    };
    for (prefix, left) in entries {
        if prefix.prefix_len() > 0 {
            add(*prefix, *left)?;
            continue;
        }
        for half in halves(prefix) {
            // An end of the half itself may be later.
            if !entries.contains_key(&half) {
                add(half, *left)?;
            }
        }
    }
    Ok(())
}

/// The two prefixes of length 1.
fn halves(prefix: &IpNet) -> [IpNet; 2] {
    const V4: [Ipv4Net; 2] = [
        Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 1),
        Ipv4Net::new_assert(std::net::Ipv4Addr::from_bits(1 << 31), 1),
    ];
    const V6: [Ipv6Net; 2] = [
        Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 1),
        Ipv6Net::new_assert(std::net::Ipv6Addr::from_bits(1 << 127), 1),
    ];
    match prefix {
        IpNet::V4(_) => V4.map(IpNet::V4),
        IpNet::V6(_) => V6.map(IpNet::V6),
    }
}
