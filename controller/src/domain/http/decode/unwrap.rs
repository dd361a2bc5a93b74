//! One round: every escape in a text once, then the bytes as text, folded.

use super::{Kind, entities};

/// The text with each escape in it replaced by what it stands for, once; in lower case, with white space as spaces.
///
/// Says whether NUL was taken out.
pub(super) fn once(text: &str, kind: Kind, had_nul: &mut bool) -> String {
    folded(&unescaped(text.as_bytes(), kind == Kind::Query), kind == Kind::Path, had_nul)
}

fn unescaped(text: &[u8], plus: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    let escapes = |byte: &u8| matches!(byte, b'%' | b'\\' | b'&') || (plus && *byte == b'+');
    while let Some(at) = rest.iter().position(escapes) {
        let (before, from) = rest.split_at(at);
        bytes.extend_from_slice(before);
        let Some((&byte, after)) = from.split_first() else { break };
        let (stands_for, len) = match byte {
            b'%' => percent(after),
            b'\\' => backslash(after),
            b'&' => entities::first(from).map_or((Escaped::Not, 0), |(c, len)| (Escaped::Char(c), len - 1)),
            _ => (Escaped::Byte(b' '), 0),
        };
        match stands_for {
            Escaped::Byte(byte) => bytes.push(byte),
            Escaped::Char(c) => {
                let c = char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Escaped::Not => bytes.push(byte),
        }
        rest = after.get(len..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// What an escape stands for.
enum Escaped {
    Byte(u8),
    Char(u32),
    /// It is none.
    Not,
}

/// `41`, `u0041`: what follows a percent sign, and how many bytes of it.
fn percent(after: &[u8]) -> (Escaped, usize) {
    if let Some(byte) = hex(after, 2) {
        return (Escaped::Byte(u8::try_from(byte).unwrap_or_default()), 2);
    }
    match after.split_first() {
        Some((b'u' | b'U', digits)) => hex(digits, 4).map_or((Escaped::Not, 0), |c| (Escaped::Char(c), 5)),
        _ => (Escaped::Not, 0),
    }
}

/// `x41`, `u0041`, `u{41}`: what follows a backslash, and how many bytes of it.
fn backslash(after: &[u8]) -> (Escaped, usize) {
    match after.split_first() {
        Some((b'x' | b'X', digits)) => match hex(digits, 2) {
            Some(byte) => (Escaped::Byte(u8::try_from(byte).unwrap_or_default()), 3),
            None => (Escaped::Not, 0),
        },
        Some((b'u' | b'U', digits)) => {
            if let Some(high) = hex(digits, 4) {
                let low = digits.get(4..).and_then(|rest| rest.strip_prefix(b"\\u")).and_then(|low| hex(low, 4));
                return match (high, low) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        (Escaped::Char(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 11)
                    }
                    _ => (Escaped::Char(high), 5),
                };
            }
            let inside = digits.strip_prefix(b"{").unwrap_or_default();
            let count = inside.iter().take(6).take_while(|digit| digit.is_ascii_hexdigit()).count();
            match (hex(inside, count), inside.get(count)) {
                (Some(c), Some(b'}')) if count > 0 => (Escaped::Char(c), count + 3),
                _ => (Escaped::Not, 0),
            }
        }
        _ => (Escaped::Not, 0),
    }
}

/// The number that this many digits write.
fn hex(digits: &[u8], count: usize) -> Option<u32> {
    let digit = |value: u32, byte: &u8| char::from(*byte).to_digit(16).map(|digit| value << 4 | digit);
    digits.get(..count)?.iter().try_fold(0, digit)
}

/// Bytes as text: overlong forms as what they stand for, bytes of no text percent-encoded as events have them.
fn folded(bytes: &[u8], path: bool, had_nul: &mut bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && !(path && *byte == b'\\');
    while let Some(&byte) = rest.first() {
        if plain(&byte) {
            let run = rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(run);
            // It is ASCII.
            text.push_str(&std::str::from_utf8(run).unwrap_or_default().to_ascii_lowercase());
            rest = after;
            continue;
        }
        let (c, len) = if byte < 0x80 { (Some(char::from(byte)), 1) } else { lenient(rest) };
        match c {
            Some('\0') => *had_nul = true,
            Some('\\') if path => text.push('/'),
            Some(c) => fold(c, &mut text),
            None => {
                text.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    text.extend(char::from_digit(u32::from(nibble), 16));
                }
            }
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    text
}

/// The character that starts here and its bytes, as decoders read it that do not check; `None` where it is none.
fn lenient(bytes: &[u8]) -> (Option<char>, usize) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let lead = byte(0);
    let (len, bits) = match lead {
        0xc0..=0xdf => (2, lead & 0x1f),
        0xe0..=0xef => (3, lead & 0x0f),
        0xf0..=0xf7 => (4, lead & 0x07),
        0xf8..=0xfb => (5, lead & 0x03),
        0xfc..=0xfd => (6, lead & 0x01),
        _ => return (None, 1),
    };
    // What no encoder writes, and some decoders take: `%c0%2e` for a dot.
    if lead <= 0xc1 && byte(1) & 0xc0 != 0x80 && byte(1) != b' ' && (0x01..0x40).contains(&byte(1)) {
        return (char::from_u32(u32::from(lead & 1) << 6 | u32::from(byte(1))), 2);
    }
    let mut value = u32::from(bits);
    for at in 1..len {
        if byte(at) & 0xc0 != 0x80 {
            return (None, 1);
        }
        value = value << 6 | u32::from(byte(at) & 0x3f);
    }
    char::from_u32(value).map_or((None, 1), |c| (Some(c), len))
}

/// One character in the form that rules are written in.
fn fold(c: char, text: &mut String) {
    match c {
        ' '..='~' => text.push(c.to_ascii_lowercase()),
        // Full-width forms.
        '\u{ff01}'..='\u{ff5e}' => {
            let plain = u32::from(c) - 0xff01 + 0x21;
            text.extend(char::from_u32(plain).map(|plain| plain.to_ascii_lowercase()));
        }
        '\u{fe64}' => text.push('<'),
        '\u{fe65}' => text.push('>'),
        '\u{fe68}' => text.push('\\'),
        '\u{fe6a}' => text.push('%'),
        '\u{2044}' | '\u{2215}' => text.push('/'),
        '\u{17f}' => text.push('s'),
        '\u{212a}' => text.push('k'),
        '\u{130}' => text.push('i'),
        // Seen by nobody.
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
        c if c.is_whitespace() => text.push(' '),
        c => text.extend(c.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What compares decoded text with words in lower case rests on it.
    #[test]
    fn what_is_folded_is_in_lower_case() {
        for c in '\0'..=char::MAX {
            let folded = once(c.encode_utf8(&mut [0; 4]), Kind::Text, &mut false);
            assert_eq!(folded.to_lowercase(), folded, "{c:?}");
        }
    }

    #[test]
    fn each_escape_is_read_once() {
        for (text, expected) in [
            ("%41%62c%zz%4", "abc%zz%4"),
            ("%2541", "%41"),
            ("%u0041%U003c%u00", "a<%u00"),
            (r"\x41\u0042\u{43}\u{}\q", r"abc\u{}\q"),
            (r"\ud83d\ude00", "\u{1f600}"),
            ("&lt;&#x41;&copy", "<a&copy"),
            ("%c0%af%c1%9c%e0%80%af%f0%80%80%af%f8%80%80%80%af", r"/\///"),
            ("%c0%2e%c1%1c", r".\"),
            ("%ff%C3", "%ff%c3"),
            ("%c3%A4\u{c4}", "\u{e4}\u{e4}"),
            ("\u{ff1c}\u{ff33}\u{ff43}r\u{200b}ipt\u{ff1e}", "<script>"),
            ("a%00b%09c", "ab c"),
        ] {
            assert_eq!(once(text, Kind::Text, &mut false), expected, "{text}");
        }
        assert_eq!(once("a+b%2b", Kind::Query, &mut false), "a b+");
    }
}
