//! What `nft -j list set` and `nft -j list ruleset` print: sets with their elements.
use std::borrow::Cow;

use serde::de::{IgnoredAny, MapAccess, SeqAccess};

use super::arrays::close;
use super::collect::{Collector, RecordError, printable};
use super::json::{Fields, Keep, Scalar, Walk, Walker, document, pass_by, scalar};
use super::prefix;
use super::{Item, range};

pub(super) fn read(bytes: &[u8], sink: &mut Collector<'_>) {
    let mut listing = Listing { inside: false, found: false, wanted: sink.reading.column.is_none(), sink };
    let read = document(bytes, &mut listing);
    let (found, wanted) = (listing.found, listing.wanted);
    close(read, found, bytes, "no array \"nftables\"", sink);
    if !wanted {
        let column = sink.reading.column.as_deref().unwrap_or_default();
        sink.unfit(format!("no set is named {:?}", printable(column.as_bytes())));
    }
}

/// The document, and each object of its array.
struct Listing<'s, 'c> {
    /// Whether it is the array's objects that are walked through.
    inside: bool,
    /// Whether there was that array.
    found: bool,
    /// Whether a set that is to be taken was there.
    wanted: bool,
    sink: &'s mut Collector<'c>,
}

impl<'de> Walker<'de> for Listing<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "nftables" => {
                self.inside = true;
                map.next_value_seed(Walk(self))?;
                self.inside = false;
                Ok(())
            }
            "set" if self.inside => {
                let mut set = Set { holds: Holds::Unknown, name: None, timeout: None, wanted: false, sink: self.sink };
                map.next_value_seed(Walk(&mut set))?;
                self.wanted |= set.wanted;
                Ok(())
            }
            _ => pass_by(map),
        }
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        if !self.inside {
            return Ok(seq.next_element::<IgnoredAny>()?.is_some());
        }
        self.found = true;
        Ok(seq.next_element_seed(Walk(self))?.is_some())
    }
}

/// What a set's elements are.
#[derive(Clone, Copy)]
enum Holds {
    Addresses,
    /// Addresses with ports or marks.
    Joined,
    /// Nothing about addresses.
    Others,
    /// Its type comes after its elements, or not at all.
    Unknown,
}

struct Set<'s, 'c> {
    holds: Holds,
    name: Option<String>,
    timeout: Option<u64>,
    wanted: bool,
    sink: &'s mut Collector<'c>,
}

impl<'de> Walker<'de> for Set<'_, '_> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => {
                let mut kind = Kind { addresses: false, joined: false };
                map.next_value_seed(Walk(&mut kind))?;
                self.holds = match kind {
                    Kind { addresses: true, joined: false } => Holds::Addresses,
                    Kind { addresses: true, joined: true } => Holds::Joined,
                    Kind { addresses: false, .. } => Holds::Others,
                };
            }
            "name" => self.name = scalar(map)?.text().map(str::to_owned),
            "timeout" => self.timeout = scalar(map)?.number(),
            "elem" => {
                self.wanted = self.sink.wants(self.name.as_deref().unwrap_or_default());
                map.next_value_seed(Walk(&mut Elements(self)))?;
            }
            _ => {
                pass_by(map)?;
                return Ok(());
            }
        }
        // An empty set is there too.
        self.wanted |= self.name.as_deref().is_some_and(|name| self.sink.wants(name));
        Ok(())
    }
}

/// A set's type: a name, or several where elements are joined.
struct Kind {
    addresses: bool,
    joined: bool,
}

impl<'de> Walker<'de> for Kind {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        self.joined = true;
        Ok(seq.next_element_seed(Walk(self))?.is_some())
    }

    fn scalar(&mut self, value: Scalar<'de>) {
        self.addresses |= matches!(value.text(), Some("ipv4_addr" | "ipv6_addr"));
    }
}

struct Elements<'e, 's, 'c>(&'e mut Set<'s, 'c>);

impl<'de> Walker<'de> for Elements<'_, '_, '_> {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        let mut element = Element::default();
        if seq.next_element_seed(Walk(&mut element))?.is_none() {
            return Ok(false);
        }
        self.0.take(&element);
        Ok(true)
    }
}

impl Set<'_, '_> {
    fn take(&mut self, element: &Element<'_>) {
        let sink = &mut *self.sink;
        sink.begin();
        if !self.wanted {
            return sink.skip();
        }
        let shown = element.value.shown();
        match self.holds {
            Holds::Addresses => {}
            Holds::Others => return sink.skip(),
            Holds::Joined => {
                return sink.reject(&shown, RecordError::Kind("of a set that joins addresses with something else"));
            }
            Holds::Unknown => {
                return sink.reject(&shown, RecordError::Syntax("of a set that does not say its type first"));
            }
        }
        // What is left counts; a timeout of 0 alone is for ever, nothing left is over.
        let for_s = element.expires.or(element.timeout.or(self.timeout).filter(|seconds| *seconds > 0));
        let item = |prefix, normalised| Item { prefix, normalised, score: None, for_s };
        match &element.value {
            Value::Text(text) => match prefix::take(text.as_bytes()) {
                Ok(taken) => sink.item(&item(taken.prefix, taken.normalised), &shown),
                Err(error) => sink.reject(&shown, error.into()),
            },
            Value::Range(first, last) => match range::cover(first.as_bytes(), last.as_bytes()) {
                Ok(prefixes) => prefixes.for_each(|prefix| sink.item(&item(prefix, false), &shown)),
                Err(error) => sink.reject(&shown, error),
            },
            Value::Other => sink.reject(&shown, RecordError::Syntax("not an address, a prefix or a range")),
        }
    }
}

/// An element: its value alone, or with the times it has.
#[derive(Default)]
struct Element<'de> {
    value: Value<'de>,
    timeout: Option<u64>,
    expires: Option<u64>,
}

#[derive(Default)]
enum Value<'de> {
    /// An address or a prefix.
    Text(Cow<'de, str>),
    Range(Cow<'de, str>, Cow<'de, str>),
    #[default]
    Other,
}

impl Value<'_> {
    fn shown(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Range(first, last) => Cow::Owned(format!("{first}-{last}").into_bytes()),
            Self::Other => Cow::Borrowed(b""),
        }
    }
}

impl<'de> Walker<'de> for Element<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "elem" | "val" => map.next_value_seed(Walk(self)),
            "prefix" => {
                let mut fields = Fields::new(["addr", "len"]);
                map.next_value_seed(Walk(&mut fields))?;
                let [address, len] = &fields.values;
                self.value = match (address.text(), len.number()) {
                    // With a length of its own, an address that has one already is no address.
                    (Some(address), Some(len)) => Value::Text(Cow::Owned(format!("{address}/{len}"))),
                    _ => Value::Other,
                };
                Ok(())
            }
            "range" => {
                let mut ends = Ends::default();
                map.next_value_seed(Walk(&mut ends))?;
                self.value = match (ends.first, ends.last, ends.more) {
                    (Some(first), Some(last), false) => Value::Range(first, last),
                    _ => Value::Other,
                };
                Ok(())
            }
            "timeout" => {
                self.timeout = scalar(map)?.number();
                Ok(())
            }
            "expires" => {
                self.expires = scalar(map)?.number();
                Ok(())
            }
            _ => pass_by(map),
        }
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        self.value = Value::Other;
        Ok(seq.next_element::<IgnoredAny>()?.is_some())
    }

    fn scalar(&mut self, value: Scalar<'de>) {
        self.value = if let Scalar::Text(text) = value { Value::Text(text) } else { Value::Other };
    }
}

/// The two ends of a range.
#[derive(Default)]
struct Ends<'de> {
    first: Option<Cow<'de, str>>,
    last: Option<Cow<'de, str>>,
    more: bool,
}

impl<'de> Walker<'de> for Ends<'de> {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        let mut end = Keep(Scalar::Other);
        if seq.next_element_seed(Walk(&mut end))?.is_none() {
            return Ok(false);
        }
        match (end.0, self.first.is_some(), self.last.is_some()) {
            (Scalar::Text(text), false, _) => self.first = Some(text),
            (Scalar::Text(text), true, false) => self.last = Some(text),
            _ => self.more = true,
        }
        Ok(true)
    }
}
