//! Text from outside, made safe for a terminal.
use std::borrow::Cow;

/// One line: whatever a terminal would act upon is shown as an escape, line breaks included.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, &[])
}

/// Several lines: as [`line()`], but line breaks and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, &['\n', '\t'])
}

fn escape<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let acts = |c: char| is_acted_upon(c) && !kept.contains(&c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Controls of C0 and C1, which move the cursor and worse; what turns the direction of writing around or breaks lines
/// (Unicode 15, bidirectional controls and separators); and what is not seen at all.
fn is_acted_upon(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_nothing_to_act_upon() {
        assert_eq!(line("port scan, café"), "port scan, café");
        assert_eq!(line("a\x1b[2Jb\r\n\tc\u{9b}d"), "a\\u{1b}[2Jb\\r\\n\\tc\\u{9b}d");
        assert_eq!(line("\u{202e}evil\u{2028}\u{200b}"), "\\u{202e}evil\\u{2028}\\u{200b}");
        assert_eq!(lines("a\n\tb\x07"), "a\n\tb\\u{7}");
    }
}
