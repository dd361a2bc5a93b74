//! Erasure: a text is blotted out wherever it is mentioned.
use serde_json::Value;

/// What stands where something was erased.
pub const ERASED: &str = "erased";

/// The text with each whole mention of another one blotted out: not within a longer word or address.
pub fn blotted(text: &str, mention: &str) -> String {
    if mention.is_empty() {
        return text.to_owned();
    }
    let is_word = |c: char| c.is_alphanumeric();
    // A dot or colon belongs to an address only if more of it follows.
    let goes_on = |after: &str| {
        let mut rest = after.chars();
        match rest.next() {
            Some('.' | ':') => {
                rest.next().is_some_and(is_word)
                    && mention.contains(['.', ':'])
                    && (mention.contains(':') || !is_port(after))
            }
            Some(c) => is_word(c),
            None => false,
        }
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(mention) {
        let before_it =
            before.chars().next_back().or_else(|| if before.is_empty() { out.chars().next_back() } else { None });
        let follows = before_it.is_some_and(is_word);
        out.push_str(before);
        out.push_str(if follows || goes_on(after) { mention } else { ERASED });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether a port and nothing else of an address follows.
fn is_port(after: &str) -> bool {
    let Some(rest) = after.strip_prefix(':') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && !rest.as_bytes().get(digits).is_some_and(|byte| *byte == b':' || byte.is_ascii_alphanumeric())
}

/// The same in all texts of a document.
pub fn blot_value(value: &mut Value, mention: &str) {
    match value {
        Value::String(text) => *text = blotted(text, mention),
        Value::Array(values) => values.iter_mut().for_each(|value| blot_value(value, mention)),
        Value::Object(map) => map.values_mut().for_each(|value| blot_value(value, mention)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_mentions_are_blotted_out() {
        for (text, mention, expected) in [
            ("192.0.2.7 GET /", "192.0.2.7", "erased GET /"),
            ("192.0.2.70 192.0.2.7", "192.0.2.7", "192.0.2.70 erased"),
            ("1192.0.2.7,192.0.2.7,", "192.0.2.7", "1192.0.2.7,erased,"),
            ("192.0.2.7.", "192.0.2.7", "erased."),
            ("192.0.2.7:443", "192.0.2.7", "erased:443"),
            ("2001:db8::1:2 2001:db8::1", "2001:db8::1", "2001:db8::1:2 erased"),
            ("user=bob bobby", "bob", "user=erased bobby"),
            ("none", "bob", "none"),
            ("none", "", "none"),
        ] {
            assert_eq!(blotted(text, mention), expected);
        }
    }

    #[test]
    fn all_texts_of_a_document_are_gone_through() {
        let mut value = serde_json::json!({"a": ["192.0.2.7", 7], "b": {"c": "to 192.0.2.7"}});
        blot_value(&mut value, "192.0.2.7");
        assert_eq!(value, serde_json::json!({"a": ["erased", 7], "b": {"c": "to erased"}}));
    }
}
