//! Lines that are JSON objects: their fields by path.
use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};

use super::text;

/// Fields of a line that are kept; the headers of a request have room for more.
const MOST_FIELDS: usize = 256;

/// Of these, fields below one object; a client chooses the names of its headers.
const MOST_BELOW: usize = 128;

/// Where Caddy has the headers of a request, and those of them that are read.
const REQUEST_HEADERS: &str = "request.headers.";
const HEADERS: [&str; 6] = ["User-Agent", "Referer", "Cookie", "X-Forwarded-For", "Forwarded", "Content-Type"];

/// Depth of objects that are looked into.
const DEEPEST: usize = 8;

/// One value.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(f64),
}

/// The fields of a line, by the names that lead to them, joined by dots: `request.headers.Referer`.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    fields: Vec<(String, Value)>,
}

impl Fields {
    /// Reads a line. `None` if it is no JSON object; but of a line that was cut, what came before the cut is taken.
    pub(super) fn read(line: &[u8], cut: bool) -> Option<Self> {
        let line = text::utf8(line);
        let mut fields = Self::default();
        if fields.fill(&line).is_ok() {
            return Some(fields);
        }
        let mended = mended(&line);
        let mut fields = Self::default();
        match fields.fill(&mended) {
            Ok(()) => Some(fields),
            Err(_) if cut && !fields.fields.is_empty() => Some(fields),
            Err(_) => None,
        }
    }

    fn fill(&mut self, line: &str) -> serde_json::Result<()> {
        let mut reader = serde_json::Deserializer::from_str(line);
        reader.deserialize_map(Object { fields: self, path: "", depth: 0 })?;
        reader.end()
    }

    /// The text at a path; not one that is empty or `-`, by which servers say that there is none.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.all(path)
            .find_map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                Value::Number(_) => None,
            })
            .filter(|text| !text.is_empty() && *text != "-")
    }

    /// The number at a path, written as one or as a text.
    pub(super) fn number(&self, path: &str) -> Option<f64> {
        self.all(path)
            .find_map(|value| match value {
                Value::Number(number) => Some(*number),
                Value::Text(text) => text.parse().ok(),
            })
            .filter(|number: &f64| number.is_finite())
    }

    /// The same, whole and not negative.
    pub(super) fn count(&self, path: &str) -> Option<u64> {
        let number = self.number(path).filter(|number| (0.0..9e15).contains(number))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range, as just seen")]
        Some(number as u64)
    }

    /// An event's text: without line breaks.
    pub(super) fn settled(&self, path: &str) -> Option<String> {
        self.text(path).map(|text| text::settled(text.to_owned()))
    }

    /// The first of several paths that has a text.
    pub(super) fn first<'p>(&self, paths: &[&'p str]) -> Option<(&'p str, &str)> {
        paths.iter().find_map(|path| self.text(path).map(|text| (*path, text)))
    }

    /// Whether a path has two values that differ: the writer escapes nothing, and a client added one.
    pub(super) fn contradicts(&self, path: &str) -> bool {
        let mut values = self.all(path);
        let first = values.next();
        values.any(|value| Some(value) != first)
    }

    /// The fields whose paths begin so: the rest of their paths, and their texts.
    pub(super) fn below_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(move |(name, value)| match value {
            Value::Text(text) => Some((name.strip_prefix(prefix)?, text.as_str())),
            Value::Number(_) => None,
        })
    }

    fn all(&self, path: &str) -> impl Iterator<Item = &Value> {
        self.fields.iter().filter(move |(name, _)| name == path).map(|(_, value)| value)
    }

    fn keep(&mut self, path: &str, value: Value) {
        let above = |name: &str| name.rsplit_once('.').map(|(above, _)| above.len());
        // A client chooses the names of its headers, and how many there are: those that nobody reads take no room.
        let unread = |name: &str| !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        if path.strip_prefix(REQUEST_HEADERS).is_some_and(unread) {
            return;
        }
        let crowded = self.fields.len() >= MOST_BELOW
            && above(path).is_some()
            && self.fields.iter().filter(|(name, _)| above(name) == above(path)).count() >= MOST_BELOW;
        if self.fields.len() < MOST_FIELDS && !crowded {
            self.fields.push((path.to_owned(), value));
        }
    }
}

/// Puts the fields of an object, and of those in it, into a list.
struct Object<'a> {
    fields: &'a mut Fields,
    path: &'a str,
    depth: usize,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let path = if self.path.is_empty() { name.into_owned() } else { format!("{}.{name}", self.path) };
            map.next_value_seed(Field { fields: self.fields, path: &path, depth: self.depth })?;
        }
        Ok(())
    }
}

/// Puts one value into the list.
struct Field<'a> {
    fields: &'a mut Fields,
    path: &'a str,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.fields.keep(self.path, Value::Text(text.to_owned()));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.fields.keep(self.path, Value::Number(number));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a status, bytes, seconds: far below where it begins")]
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.fields.keep(self.path, Value::Number(number as f64));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "a status, bytes, seconds: far below where it begins")]
    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.fields.keep(self.path, Value::Number(number as f64));
        Ok(())
    }

    /// Texts of a list are one, as those of a header that comes twice are.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut joined: Option<String> = None;
        while let Some(item) = list.next_element::<Item<'de>>()? {
            let Item::Text(text) = item else { continue };
            match &mut joined {
                Some(before) => {
                    before.push_str(", ");
                    before.push_str(&text);
                }
                None => joined = Some(text.into_owned()),
            }
        }
        if let Some(text) = joined {
            self.fields.keep(self.path, Value::Text(text));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.depth >= DEEPEST {
            return Err(A::Error::custom("objects within objects within objects"));
        }
        Object { fields: self.fields, path: self.path, depth: self.depth + 1 }.visit_map(map)
    }
}

/// An item of a list.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Item<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

/// A line with what templates written by hand get wrong put right: a number left empty or `-`, nginx's `\xHH` where
/// `escape=json` was forgotten, half of a surrogate pair.
fn mended(line: &str) -> String {
    let mut mended = String::with_capacity(line.len() + 64);
    let mut rest = line;
    let mut quoted = false;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        rest = match letter {
            '"' => {
                quoted = !quoted;
                mended.push('"');
                after
            }
            '\\' if quoted => escape(&mut mended, after),
            ':' if !quoted => {
                mended.push(':');
                let value = after.trim_start();
                let behind = value.strip_prefix('-').unwrap_or(value).trim_start();
                if behind.starts_with([',', '}']) {
                    mended.push_str("null");
                    behind
                } else {
                    after
                }
            }
            _ => {
                mended.push(letter);
                after
            }
        };
    }
    mended
}

/// Writes the escape that follows a backslash, and returns what is behind it.
fn escape<'a>(mended: &mut String, after: &'a str) -> &'a str {
    let digits = |text: &str, count: usize| {
        text.get(..count).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let is_low = |text: &str| {
        text.strip_prefix("\\u")
            .is_some_and(|low| digits(low, 4) && matches!(low.as_bytes(), [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..]))
    };
    if let Some(hex) = after.strip_prefix('x').filter(|hex| digits(hex, 2)) {
        mended.push_str("\\u00");
        mended.push_str(hex.get(..2).unwrap_or_default());
        return hex.get(2..).unwrap_or_default();
    }
    if let Some(hex) = after.strip_prefix('u').filter(|hex| digits(hex, 4)) {
        let (unit, behind) = hex.split_at_checked(4).unwrap_or((hex, ""));
        match unit.as_bytes() {
            [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] if is_low(behind) => {
                mended.push_str("\\u");
                mended.push_str(unit);
                mended.push_str(behind.get(..6).unwrap_or_default());
                return behind.get(6..).unwrap_or_default();
            }
            [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => mended.push_str("\\ufffd"),
            _ => {
                mended.push_str("\\u");
                mended.push_str(unit);
            }
        }
        return behind;
    }
    mended.push('\\');
    match after.chars().next() {
        Some(letter) if "\"\\/bfnrt".contains(letter) => {
            mended.push(letter);
            after.get(letter.len_utf8()..).unwrap_or_default()
        }
        // A backslash that escapes nothing stands for itself.
        _ => {
            mended.push('\\');
            after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_paths() {
        let line = br#"{"a":"x","b":{"c":["y","z",1],"d":{"e":7}},"n":1.5,"t":"2","z":null,"f":true,"-":"-"}"#;
        let fields = Fields::read(line, false).unwrap();
        assert_eq!(fields.text("a"), Some("x"));
        assert_eq!(fields.text("b.c"), Some("y, z"));
        assert_eq!(fields.count("b.d.e"), Some(7));
        assert_eq!((fields.number("n"), fields.number("t")), (Some(1.5), Some(2.0)));
        assert_eq!((fields.text("z"), fields.text("f"), fields.text("-"), fields.text("b")), (None, None, None, None));
        assert_eq!(fields.below_prefix("b.").collect::<Vec<_>>(), [("c", "y, z")]);
    }

    #[test]
    fn what_templates_written_by_hand_get_wrong_is_put_right() {
        for (line, expected) in [
            (&br#"{"t":,"a":"x"}"#[..], "x"),
            (br#"{"t":-,"a":"x"}"#, "x"),
            (br#"{"a":"\x22\x5C","t":}"#, "\"\\"),
            (b"{\"a\":\"\xff\"}", "%FF"),
            (br#"{"a":"\ud800x"}"#, "\u{fffd}x"),
            (br#"{"a":"\udc80\ud83d\ude00","t":}"#, "\u{fffd}\u{1f600}"),
            (br#"{"a":"\q"}"#, "\\q"),
        ] {
            let fields = Fields::read(line, false).unwrap();
            assert_eq!(fields.text("a"), Some(expected), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_is_no_object_is_refused_and_a_cut_one_is_kept_to_the_cut() {
        for line in [&b"{"[..], b"[]", b"{\"a\":1}x", b"{\"a\"", b"null", b"{\"a\":\"x\",\"b\":\"y"] {
            assert!(Fields::read(line, false).is_none(), "{}", String::from_utf8_lossy(line));
        }
        let fields = Fields::read(b"{\"a\":\"x\",\"b\":\"y", true).unwrap();
        assert_eq!((fields.text("a"), fields.text("b")), (Some("x"), None));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
        assert!(Fields::read(deep.as_bytes(), false).is_none());
    }
}
