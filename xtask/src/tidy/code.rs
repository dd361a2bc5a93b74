//! Just enough of Rust's lexical grammar to tell code from comments, literals and tests.
//!
//! Everything that is left out is overwritten with spaces, so line numbers stay true.

/// What is overwritten besides comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// Strings and characters stay.
    Keep,
    /// Strings and characters go: only names and punctuation remain.
    Blank,
}

/// `text` without comments and, on demand, without literals.
///
/// Reference: the chapter "Lexical structure" of the Rust reference (comments nest; raw strings end at a quote and as
/// many `#` as they began with; a quote after a lifetime's name does not open a character).
pub fn code(text: &str, literals: Literals) -> String {
    let bytes = text.as_bytes();
    let mut kept = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (end, is_comment) = match token(bytes, at) {
            Token::Comment(end) => (end, true),
            Token::Literal(end) => (end, false),
            Token::Code(end) => {
                at = end;
                continue;
            }
        };
        if is_comment || literals == Literals::Blank {
            blank(&mut kept, at, end);
        }
        at = end;
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Only names and punctuation of `text`, and nothing compiled only for tests or the test model.
pub fn shipped(text: &str) -> String {
    let mut kept = code(text, Literals::Blank).into_bytes();
    for (start, end) in test_items(&kept, text.as_bytes()) {
        blank(&mut kept, start, end);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Like [`shipped`], with literals: they are part of a layout.
pub fn shipped_with_literals(text: &str) -> String {
    let names = code(text, Literals::Blank).into_bytes();
    let mut kept = code(text, Literals::Keep).into_bytes();
    for (start, end) in test_items(&names, text.as_bytes()) {
        blank(&mut kept, start, end);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Lines (from 1) of `code` on which `word` stands, not as a part of a longer name.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let starts_as_name = is_name(word.as_bytes().first());
    let ends_as_name = is_name(word.as_bytes().last());
    let stands_in = |line: &str| {
        let bytes = line.as_bytes();
        line.match_indices(word).any(|(start, _)| {
            let before = start.checked_sub(1).and_then(|before| bytes.get(before));
            let after = bytes.get(start + word.len());
            !(starts_as_name && is_name(before) || ends_as_name && is_name(after))
        })
    };
    code.lines().enumerate().filter(|(_, line)| stands_in(line)).map(|(index, _)| index + 1).collect()
}

/// The line (from 1) of the byte at `offset`.
pub fn line_at(code: &str, offset: usize) -> usize {
    1 + code.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A stretch of source, by where it ends.
enum Token {
    Comment(usize),
    Literal(usize),
    Code(usize),
}

fn token(bytes: &[u8], at: usize) -> Token {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => Token::Comment(find(bytes, at, b"\n").unwrap_or(bytes.len())),
        [b'/', b'*', ..] => Token::Comment(block_comment_end(bytes, at)),
        [b'"', ..] => Token::Literal(string_end(bytes, at + 1)),
        [b'\'', ..] => character_end(bytes, at).map_or(Token::Code(at + 1), Token::Literal),
        [first, ..] if first.is_ascii_alphabetic() || *first == b'_' => {
            let name = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            let end = at + name;
            let is_raw = matches!(&rest[..name], b"r" | b"br" | b"cr");
            let raw = is_raw.then(|| raw_string_end(bytes, end)).flatten();
            raw.map_or(Token::Code(end), Token::Literal)
        }
        _ => Token::Code(at + 1),
    }
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_u32);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a string whose opening quote is just before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string whose `r` is just before `at`; none when it is a raw name or an ordinary one.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    Some(find(bytes, open + 1, &close).map_or(bytes.len(), |start| start + close.len()))
}

/// The end of a character whose quote is at `at`; none when the quote belongs to a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        return Some(find(bytes, at + 3, b"'").map_or(bytes.len(), |quote| quote + 1));
    }
    // One character of up to four bytes, then the closing quote.
    let first = *bytes.get(at + 1)?;
    let width = match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + 2 + width)
}

fn find(bytes: &[u8], from: usize, pattern: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(pattern.len()).position(|window| window == pattern).map(|offset| from + offset)
}

fn blank(bytes: &mut [u8], start: usize, end: usize) {
    for byte in bytes.iter_mut().take(end).skip(start).filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

/// Where the items lie that are compiled only under `cfg(test)` or with the feature `model`.
///
/// `names` decides what is code, `original` what a condition's strings say.
fn test_items(names: &[u8], original: &[u8]) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(start) = find(names, at, b"#[cfg(") {
        let condition_end = find(names, start, b"]").unwrap_or(names.len());
        let condition = String::from_utf8_lossy(&original[start..condition_end]).replace(' ', "");
        at = condition_end;
        let only_tests = ["#[cfg(test)", "#[cfg(any(test,feature=\"model\"))", "#[cfg(feature=\"model\")"];
        if only_tests.contains(&condition.as_str()) {
            at = item_end(names, condition_end + 1);
            items.push((start, at));
        }
    }
    items
}

/// The end of the item that begins at `at`: its closing brace, or its semicolon if that comes before any brace.
fn item_end(names: &[u8], at: usize) -> usize {
    let mut depth = 0_u32;
    for (offset, byte) in names.iter().enumerate().skip(at) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' if depth <= 1 => return offset + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    names.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(code(text, Literals::Blank), expected);
    }

    #[test]
    fn comments_and_literals_become_spaces() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        for literal in [r#""std::fs \" x""#, r##"r#"a " b"#"##, "'\\''"] {
            check(&format!("f({literal}, 1)"), &format!("f({}, 1)", " ".repeat(literal.len())));
        }
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        check("fn f<'a>(r#type: &'a str) {}", "fn f<'a>(r#type: &'a str) {}");
        check("match c { 'x' => '\\'', '\u{e4}' => 'y' }", "match c {     =>     ,      =>     }");
    }

    #[test]
    fn tests_and_the_model_are_not_shipped() {
        let text = "use a;\n#[cfg(test)]\nmod tests {\n    fn f() { std::fs::read(\"}\"); }\n}\nfn g() {}\n";
        assert_eq!(lines_with(&shipped(text), "std"), Vec::<usize>::new());
        assert_eq!(lines_with(&shipped(text), "g"), [6]);
        let model = "#[cfg(any(test, feature = \"model\"))]\npub mod model;\nuse std::fs;\n";
        assert_eq!(lines_with(&shipped(model), "model"), Vec::<usize>::new());
        assert_eq!(lines_with(&shipped(model), "std"), [3]);
        let kept = "#[cfg(not(test))]\nuse std::fs;\n";
        assert_eq!(lines_with(&shipped(kept), "std"), [2]);
    }

    #[test]
    fn words_are_not_found_inside_longer_names() {
        let text = "let fs_name = my_fs;\nfs::read();\nuse x::fs;\n";
        assert_eq!(lines_with(text, "fs"), [2, 3]);
        assert_eq!(lines_with(text, "fs::"), [2]);
    }
}
