//! JSON that is walked through, not built: memory for one record at a time, whatever the document holds.
//!
//! Values of a kind that nobody expects are passed by, so that one odd record does not lose the others. Nesting beyond
//! `serde_json`'s limit (128) ends the reading.
use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::collect::printable;
use super::text;

/// A value, as far as a field of a record may have it.
#[derive(Debug, Default)]
pub(super) enum Scalar<'a> {
    /// The record has no such field.
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(u64),
    Truth(bool),
    Null,
    /// A negative or broken number, an array or an object.
    Other,
    /// The record has the field twice: programs differ on which counts.
    Twice,
}

impl Scalar<'_> {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, if it is one.
    pub(super) fn number(&self) -> Option<u64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// Whether there is nothing.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// Whether it says yes, in one of the ways that programs write it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Truth(truth) => *truth,
            Self::Number(number) => *number == 1,
            Self::Text(text) => matches!(text.as_ref(), "1" | "true"),
            Self::Absent | Self::Null | Self::Other | Self::Twice => false,
        }
    }
}

/// Who walks through a document. Every value must be read, if only to pass it by.
pub(super) trait Walker<'de> {
    /// A member of an object: reads its value.
    fn member<A: MapAccess<'de>>(&mut self, _name: &str, map: &mut A) -> Result<(), A::Error> {
        pass_by(map)
    }

    /// An element of an array: reads it; `false` where there is none left.
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(seq.next_element::<IgnoredAny>()?.is_some())
    }

    /// A value that is neither object nor array.
    fn scalar(&mut self, _value: Scalar<'de>) {}
}

/// Reads a member's value and forgets it.
pub(super) fn pass_by<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Lets a walker through a value.
pub(super) struct Walk<'w, W>(pub(super) &'w mut W);

impl<'de, W: Walker<'de>> DeserializeSeed<'de> for Walk<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, W: Walker<'de>> Visitor<'de> for Walk<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            self.0.member(&name, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while self.0.element(&mut seq)? {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.scalar(Scalar::Text(Cow::Borrowed(text)));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.scalar(Scalar::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_bool<E>(self, truth: bool) -> Result<(), E> {
        self.0.scalar(Scalar::Truth(truth));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.scalar(Scalar::Number(number));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.scalar(u64::try_from(number).map_or(Scalar::Other, Scalar::Number));
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.0.scalar(Scalar::Other);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.scalar(Scalar::Null);
        Ok(())
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Keeps a value that is neither object nor array.
#[derive(Default)]
pub(super) struct Keep<'de>(pub(super) Scalar<'de>);

impl<'de> Walker<'de> for Keep<'de> {
    fn scalar(&mut self, value: Scalar<'de>) {
        self.0 = value;
    }
}

/// A member's value, where it is neither object nor array.
pub(super) fn scalar<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Scalar<'de>, A::Error> {
    let mut kept = Keep(Scalar::Other);
    map.next_value_seed(Walk(&mut kept))?;
    Ok(kept.0)
}

/// Some fields of a record, by name.
pub(super) struct Fields<'de, const N: usize> {
    names: [&'static str; N],
    /// Their values, in the order of the names.
    pub(super) values: [Scalar<'de>; N],
    /// Whether it is an object at all.
    pub(super) is_object: bool,
}

impl<const N: usize> Fields<'_, N> {
    pub(super) fn new(names: [&'static str; N]) -> Self {
        Self { names, values: std::array::from_fn(|_| Scalar::Absent), is_object: true }
    }
}

impl<'de, const N: usize> Walker<'de> for Fields<'de, N> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let at = self.names.iter().position(|known| *known == name);
        let Some(value) = at.and_then(|at| self.values.get_mut(at)) else { return pass_by(map) };
        let found = scalar(map)?;
        *value = if matches!(value, Scalar::Absent) { found } else { Scalar::Twice };
        Ok(())
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        self.is_object = false;
        Ok(seq.next_element::<IgnoredAny>()?.is_some())
    }

    fn scalar(&mut self, _: Scalar<'de>) {
        self.is_object = false;
    }
}

/// The records of an array, one by one: `None` for one that is no object.
pub(super) struct Records<F, const N: usize> {
    names: [&'static str; N],
    record: F,
    /// Whether there was an array.
    pub(super) found: bool,
}

impl<F, const N: usize> Records<F, N> {
    pub(super) fn new(names: [&'static str; N], record: F) -> Self {
        Self { names, record, found: false }
    }
}

impl<'de, F: FnMut(Option<&[Scalar<'de>; N]>), const N: usize> Walker<'de> for Records<F, N> {
    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        self.found = true;
        let mut fields = Fields::new(self.names);
        if seq.next_element_seed(Walk(&mut fields))?.is_none() {
            return Ok(false);
        }
        (self.record)(fields.is_object.then_some(&fields.values));
        Ok(true)
    }
}

/// Lets a walker through a document; what is wrong with it, if it is no whole one.
pub(super) fn document<'de, W: Walker<'de>>(bytes: &'de [u8], walker: &mut W) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text::unmarked(bytes));
    let read = Walk(walker).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| {
        if error.is_eof() {
            let (line, column) = (error.line(), error.column());
            return format!("cut off: the JSON document ends before its end, at line {line}, column {column}");
        }
        format!("not JSON: {}", printable(error.to_string().as_bytes()))
    })
}

/// Why a whole document has no records: the error that a server put into it, or what is missing.
pub(super) fn without_records(bytes: &[u8], missing: &str) -> String {
    let mut complaint = Complaint::default();
    match document(bytes, &mut complaint) {
        Ok(()) => match complaint.text {
            Some(text) => format!("an error message and no list: {text}"),
            None => missing.to_owned(),
        },
        Err(error) => error,
    }
}

/// Looks for the text of an error message.
#[derive(Default)]
struct Complaint {
    named: bool,
    text: Option<String>,
}

impl<'de> Walker<'de> for Complaint {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if !matches!(name, "error" | "errors" | "message" | "detail" | "title" | "description" | "reason") {
            return pass_by(map);
        }
        let outer = std::mem::replace(&mut self.named, true);
        map.next_value_seed(Walk(self))?;
        self.named = outer;
        Ok(())
    }

    fn element<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(seq.next_element_seed(Walk(self))?.is_some())
    }

    fn scalar(&mut self, value: Scalar<'de>) {
        if self.named && self.text.is_none() {
            self.text = value.text().map(|text| printable(text.as_bytes()));
        }
    }
}
