//! What `ipset save` prints: sets and their elements as commands.
use std::collections::BTreeMap;

use ipnet::IpNet;

use super::Item;
use super::collect::{Collector, RecordError};
use super::prefix::{self, Taken};
use super::text::{cut, data, lines, number};

/// What is known of a set.
#[derive(Clone, Copy)]
struct Set {
    holds: Holds,
    /// Seconds that an element lasts if it does not say; 0 is for ever.
    timeout: u64,
    wanted: bool,
}

/// What the elements of a set are.
#[derive(Clone, Copy)]
enum Holds {
    /// Addresses and prefixes.
    Prefixes,
    /// The first addresses of networks of this length.
    Networks(u8),
    /// Nothing about addresses.
    Others,
    /// Addresses with more to them.
    Refused(&'static str),
}

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut sets: BTreeMap<&[u8], Set> = BTreeMap::new();
    let mut last_refused = false;
    let mut wanted = sink.reading.column.is_none();
    for line in lines(bytes) {
        sink.begin();
        last_refused = false;
        let read = data(line).and_then(|text| {
            // An option of the command, not of the set or element.
            let mut tokens = Tokens(text).filter(|token| !matches!(*token, b"-exist" | b"-!"));
            match tokens.next() {
                None | Some([b'#', ..] | b"COMMIT" | b"flush") => Ok(None),
                Some(b"create" | b"-N") => {
                    let (name, set) = create(&mut tokens, sink)?;
                    wanted |= set.wanted;
                    sets.insert(name, set);
                    Ok(None)
                }
                Some(b"add" | b"-A") => add(&mut tokens, &sets, sink),
                Some(_) => Err(RecordError::Syntax("not a line that ipset save prints (create or add)")),
            }
        });
        match read {
            Ok(Some(item)) => {
                wanted = true;
                sink.item(&item, line);
            }
            Ok(None) => sink.skip(),
            Err(error) => {
                last_refused = true;
                sink.reject(line, error);
            }
        }
    }
    if !wanted {
        let column = sink.reading.column.as_deref().unwrap_or_default();
        sink.unfit(format!("no set is named {:?}", super::collect::printable(column.as_bytes())));
    }
    cut(bytes, last_refused, sink);
}

/// The set of a line `create NAME TYPE option…`.
fn create<'l>(
    tokens: &mut impl Iterator<Item = &'l [u8]>,
    sink: &Collector<'_>,
) -> Result<(&'l [u8], Set), RecordError> {
    let (Some(name), Some(kind)) = (tokens.next(), tokens.next()) else {
        return Err(RecordError::Syntax("create without a name and a type"));
    };
    let mut holds = match kind {
        b"hash:ip" | b"hash:net" | b"bitmap:ip" => Holds::Prefixes,
        b"hash:mac" | b"bitmap:port" | b"list:set" => Holds::Others,
        _ => Holds::Refused("of a set that joins addresses with ports, interfaces or marks"),
    };
    let mut timeout = 0;
    while let Some(option) = tokens.next() {
        match option {
            b"timeout" => {
                timeout = tokens.next().and_then(number).ok_or(RecordError::Syntax("a timeout without seconds"))?;
            }
            b"netmask" => {
                let len = tokens.next().and_then(number).and_then(|len| u8::try_from(len).ok());
                holds = Holds::Networks(len.ok_or(RecordError::Syntax("a netmask that is no prefix length"))?);
            }
            b"bitmask" => holds = Holds::Refused("of a set with a bitmask, which no prefix is"),
            _ => {}
        }
    }
    Ok((name, Set { holds, timeout, wanted: wants(name, sink) }))
}

/// The element of a line `add NAME ELEMENT option…`; `None` where the set is of no interest.
fn add<'l>(
    tokens: &mut impl Iterator<Item = &'l [u8]>,
    sets: &BTreeMap<&[u8], Set>,
    sink: &Collector<'_>,
) -> Result<Option<Item>, RecordError> {
    let (Some(name), Some(element)) = (tokens.next(), tokens.next()) else {
        return Err(RecordError::Syntax("add without a set and an element"));
    };
    // Elements without their set come from a file that was put together by hand.
    let unknown = Set { holds: Holds::Prefixes, timeout: 0, wanted: wants(name, sink) };
    let set = *sets.get(name).unwrap_or(&unknown);
    if !set.wanted {
        return Ok(None);
    }
    let Taken { prefix, normalised } = match set.holds {
        Holds::Prefixes => prefix::take(element)?,
        Holds::Networks(len) => network(prefix::take(element)?, len)?,
        Holds::Others => return Ok(None),
        Holds::Refused(why) => return Err(RecordError::Kind(why)),
    };
    let mut timeout = set.timeout;
    while let Some(option) = tokens.next() {
        match option {
            b"timeout" => {
                timeout = tokens.next().and_then(number).ok_or(RecordError::Syntax("a timeout without seconds"))?;
            }
            b"nomatch" => return Err(RecordError::Kind("an exception from a wider prefix (nomatch)")),
            b"comment" | b"packets" | b"bytes" | b"skbmark" | b"skbprio" | b"skbqueue" => {
                tokens.next().ok_or(RecordError::Syntax("an option without its value"))?;
            }
            _ => return Err(RecordError::Syntax("an option that elements of addresses do not have")),
        }
    }
    Ok(Some(Item { prefix, normalised, score: None, for_s: (timeout > 0).then_some(timeout) }))
}

/// The network of this length that an address stands for.
fn network(taken: Taken, len: u8) -> Result<Taken, RecordError> {
    let prefix = IpNet::new(taken.prefix.addr(), len).ok();
    let prefix = prefix.ok_or(RecordError::Syntax("the set's netmask exceeds the address"))?;
    Ok(Taken { prefix: prefix.trunc(), normalised: prefix.addr() != prefix.network() })
}

fn wants(name: &[u8], sink: &Collector<'_>) -> bool {
    str::from_utf8(name).map_or(sink.reading.column.is_none(), |name| sink.wants(name))
}

/// Words, and texts in quotes: a comment may hold what looks like an option.
struct Tokens<'l>(&'l [u8]);

impl<'l> Iterator for Tokens<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let rest = self.0.trim_ascii_start();
        let (token, rest) = if let Some(quoted) = rest.strip_prefix(b"\"") {
            // Without its end the line is cut: the quote stays, so that the text is no word anybody knows.
            match quoted.iter().position(|b| *b == b'"') {
                Some(end) => (quoted.get(..end)?, quoted.get(end + 1..)?),
                None => return self.unclosed(),
            }
        } else {
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            rest.split_at(end)
        };
        let empty = token.is_empty() && rest.is_empty();
        self.0 = rest;
        (!empty).then_some(token)
    }
}

impl Tokens<'_> {
    /// Nothing is left of a line whose quote is not closed.
    fn unclosed<'l>(&mut self) -> Option<&'l [u8]> {
        self.0 = &[];
        None
    }
}
