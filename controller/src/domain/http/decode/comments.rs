//! SQL comments: white space to a database, and a way to write words that rules do not know.

/// The text with a space for each comment, if there is one.
///
/// What a comment says stays visible, behind the text: who writes `/*` and `*/` around a script has not hidden it. What
/// databases run although it stands in a comment (`/*!50000union*/`) stays where it is.
pub(super) fn taken_out(text: &str) -> Option<String> {
    let mut parts = text.split_once("/*")?;
    let mut without = String::with_capacity(text.len());
    let mut said = String::new();
    loop {
        let (before, after) = parts;
        let Some((comment, rest)) = after.split_once("*/") else {
            // Never closed: no comment.
            without.push_str(before);
            without.push_str("/*");
            without.push_str(after);
            break;
        };
        without.push_str(before);
        without.push(' ');
        if let Some(run) = comment.strip_prefix('!') {
            without.push_str(&run.trim_start_matches(|c: char| c.is_ascii_digit()).replace("/*", " "));
            without.push(' ');
        } else if !comment.trim().is_empty() {
            said.push(' ');
            said.push_str(comment);
        }
        if let Some(next) = rest.split_once("/*") {
            parts = next;
        } else {
            without.push_str(rest);
            break;
        }
    }
    without.push_str(&said);
    Some(without)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_a_space_and_hides_nothing() {
        for (text, expected) in [
            ("a b", None),
            ("union/**/select", Some("union select")),
            ("un/*ion*/ion/* */x", Some("un ion x ion")),
            ("/*!50000union*/ select", Some(" union  select")),
            ("/*!5/*{*/*/", Some("  { */")),
            ("a/*b", Some("a/*b")),
            ("*/a/*", Some("*/a/*")),
            ("/*&x=<script>*/1", Some(" 1 &x=<script>")),
        ] {
            assert_eq!(taken_out(text).as_deref(), expected, "{text}");
        }
    }
}
