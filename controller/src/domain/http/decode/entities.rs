//! HTML entities: `&lt;`, `&#60;`, `&#x3c`.

/// Those that payloads are written with, without the white space that is `&nbsp;`.
const NAMED: [(&[u8], char); 29] = [
    (b"lt", '<'),
    (b"gt", '>'),
    (b"amp", '&'),
    (b"quot", '"'),
    (b"apos", '\''),
    (b"nbsp", ' '),
    (b"sol", '/'),
    (b"bsol", '\\'),
    (b"colon", ':'),
    (b"semi", ';'),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"lsqb", '['),
    (b"rsqb", ']'),
    (b"lbrace", '{'),
    (b"lcub", '{'),
    (b"rcub", '}'),
    (b"rbrace", '}'),
    (b"equals", '='),
    (b"period", '.'),
    (b"comma", ','),
    (b"num", '#'),
    (b"percnt", '%'),
    (b"dollar", '$'),
    (b"excl", '!'),
    (b"quest", '?'),
    (b"grave", '`'),
    (b"tab", ' '),
    (b"newline", ' '),
];

/// Letters of the longest name.
const LONGEST: usize = 7;

/// The longest digits that are read: more than any character has.
const DIGITS: usize = 12;

/// Whether there is one anywhere.
pub(super) fn any(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'&', bytes).any(|at| bytes.get(at..).and_then(first).is_some())
}

/// The character that an entity at the start of these bytes stands for, and how many bytes it has.
pub(super) fn first(bytes: &[u8]) -> Option<(u32, usize)> {
    let name = bytes.strip_prefix(b"&")?;
    if let Some(number) = name.strip_prefix(b"#") {
        let (radix, digits, prefix) = match number.first()? {
            b'x' | b'X' => (16, number.get(1..)?, 3),
            _ => (10, number, 2),
        };
        let count = digits.iter().take(DIGITS).take_while(|digit| char::from(**digit).is_digit(radix)).count();
        let value = std::str::from_utf8(digits.get(..count)?).ok()?;
        let value = u32::from_str_radix(value, radix).ok()?;
        let closed = usize::from(digits.get(count) == Some(&b';'));
        return char::from_u32(value).map(|c| (u32::from(c), prefix + count + closed));
    }
    // As browsers have it: without its semicolon it is none where a word goes on, or a parameter is called so.
    let len = name.iter().take(LONGEST + 1).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let next = name.get(len);
    if len < 2 || next == Some(&b'=') {
        return None;
    }
    let name = name.get(..len)?;
    let (_, c) = NAMED.iter().find(|(known, _)| known.len() == len && name.eq_ignore_ascii_case(known))?;
    Some((u32::from(*c), 1 + len + usize::from(next == Some(&b';'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_read_with_and_without_their_semicolon() {
        for (text, expected) in [
            ("&lt;script", Some(('<', 4))),
            ("&LT script", Some(('<', 3))),
            ("&lt=5", None),
            ("&ltd", None),
            ("&#60;", Some(('<', 5))),
            ("&#60", Some(('<', 4))),
            ("&#x3C;", Some(('<', 6))),
            ("&#X003ca", Some(('\u{3ca}', 8))),
            ("&#0000060x", Some(('<', 9))),
            ("&#xffffffff", None),
            ("&#;", None),
            ("&", None),
            ("a&lt;", None),
        ] {
            assert_eq!(first(text.as_bytes()), expected.map(|(c, len)| (u32::from(c), len)), "{text}");
        }
        assert!(any("a=b&x=&lt;") && !any("a=1&lt=5&b=c"));
    }
}
