//! Texts as logs escape them, and as events hold them.
use std::borrow::Cow;

/// A text without escapes.
pub(super) fn plain(bytes: &[u8]) -> String {
    if memchr::memchr3(0, b'\r', b'\n', bytes).is_none()
        && let Ok(text) = str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    normalised(bytes)
}

/// A text as nginx (`\xHH`) and Apache (`\"`, `\\`, `\n`, `\xhh`) escape it. Neither writes what the other reads
/// differently.
pub(super) fn unescaped(bytes: &[u8]) -> String {
    if memchr::memchr(b'\\', bytes).is_none() { plain(bytes) } else { normalised(&backslashes(bytes)) }
}

/// A text as HAProxy escapes it: `#HH`.
pub(super) fn unhashed(bytes: &[u8]) -> String {
    if memchr::memchr(b'#', bytes).is_none() {
        return plain(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'#', [high, low, tail @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                decoded.extend(byte(*high, *low));
                rest = tail;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    normalised(&decoded)
}

/// Bytes that are no UTF-8 percent-encoded, everything else as it is: what a document that may hold such bytes is made
/// before it is parsed.
pub(super) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 32);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| percent(&mut text, *byte));
    }
    Cow::Owned(text)
}

/// A text of a document, as events hold it.
pub(super) fn settled(text: String) -> String {
    if text.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) { normalised(text.as_bytes()) } else { text }
}

fn normalised(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\0' | '\r' | '\n' => percent(&mut text, letter as u8),
                _ => text.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| percent(&mut text, *byte));
    }
    text
}

fn percent(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    for half in [byte >> 4, byte & 15] {
        text.extend(DIGITS.get(usize::from(half)));
    }
}

fn backslashes(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        decoded.extend_from_slice(before);
        let (meant, tail) = match escape {
            [_, b'x', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                (byte(*high, *low).unwrap_or_default(), tail)
            }
            [_, b'n', tail @ ..] => (b'\n', tail),
            [_, b'r', tail @ ..] => (b'\r', tail),
            [_, b't', tail @ ..] => (b'\t', tail),
            [_, b'v', tail @ ..] => (0x0b, tail),
            [_, b'f', tail @ ..] => (0x0c, tail),
            [_, b'b', tail @ ..] => (0x08, tail),
            [_, quoted @ (b'"' | b'\\'), tail @ ..] => (*quoted, tail),
            [_, tail @ ..] => (b'\\', tail),
            [] => break,
        };
        decoded.push(meant);
        rest = tail;
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn byte(high: u8, low: u8) -> Option<u8> {
    Some(hex(high)? << 4 | hex(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_byte_by_byte() {
        for (escaped, expected) in [
            (r"/a b", "/a b"),
            (r"\x22\x5C\xC3\xA9", "\"\\é"),
            (r#"\"\\x41"#, r#""\x41"#),
            (r"a\tb", "a\tb"),
            (r"\x0Aa\nb\x0D\r\x00", "%0Aa%0Ab%0D%0D%00"),
            (r"\xC0\xAE\xFF", "%C0%AE%FF"),
            (r"\xZZ\q\", r"\xZZ\q\"),
            (r"\x4", r"\x4"),
            ("", ""),
            (r"%2e%2E", "%2e%2E"),
        ] {
            assert_eq!(unescaped(escaped.as_bytes()), expected, "{escaped}");
        }
    }

    #[test]
    fn what_is_no_utf8_stands_percent_encoded() {
        assert_eq!(plain(b"a\xC0\xAEb\0\nc\x1b"), "a%C0%AEb%00%0Ac\x1b");
        assert_eq!(utf8(b"{\"a\":\"\xff\"}"), "{\"a\":\"%FF\"}");
    }

    #[test]
    fn haproxy_escapes_with_hashes() {
        assert_eq!(unhashed(b"a#22#7B#C3#A9#zz#0A#"), "a\"{é#zz%0A#");
    }
}
