//! The request line.
use super::text;
use crate::domain::http::event::Event;

/// The longest method: those there are have at most 17 letters.
const LONGEST_METHOD: usize = 32;

/// Takes a request line, escaped as `unescape` undoes it, apart into the event's fields. What is no request line, such as
/// a TLS hello on a plain port, becomes the target as a whole.
pub(super) fn read(event: &mut Event, line: &[u8], unescape: fn(&[u8]) -> String) {
    if line.is_empty() || line == b"-" {
        return;
    }
    match parts(line) {
        Some(Parts { method, target, version }) => {
            event.method = Some(text::plain(method));
            event.uri = Some(unescape(target));
            event.version = version.map(text::plain);
        }
        None => event.uri = Some(unescape(line)),
    }
}

/// The words of a request line.
struct Parts<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Option<&'a [u8]>,
}

/// Method, target and protocol. A target may hold spaces: servers log what came.
fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let space = memchr::memchr(b' ', line)?;
    let (method, rest) = (line.get(..space)?, line.get(space + 1..)?);
    if method.is_empty() || method.len() > LONGEST_METHOD || !method.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    let last = memchr::memrchr(b' ', rest);
    let version = last.and_then(|at| rest.get(at + 1..)).filter(|word| word.starts_with(b"HTTP/"));
    let target = match (version, last) {
        (Some(_), Some(at)) => rest.get(..at)?,
        _ => rest,
    };
    let shows = version.is_some()
        || method.iter().all(u8::is_ascii_uppercase)
            && (target.starts_with(b"/") || target == b"*" || memchr::memmem::find(target, b"://").is_some());
    (shows && !target.is_empty()).then_some(Parts { method, target, version })
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'+' | b'$')
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::http::event::EventKind;

    #[track_caller]
    fn check(line: &str, expected: (Option<&str>, Option<&str>, Option<&str>)) {
        let mut event = Event::new(Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
        read(&mut event, line.as_bytes(), text::unescaped);
        assert_eq!((event.method.as_deref(), event.uri.as_deref(), event.version.as_deref()), expected, "{line}");
    }

    #[test]
    fn a_request_line_has_three_words_and_what_is_none_is_kept_whole() {
        check("GET /a?b HTTP/1.1", (Some("GET"), Some("/a?b"), Some("HTTP/1.1")));
        check("GET /a b HTTP/1.1", (Some("GET"), Some("/a b"), Some("HTTP/1.1")));
        check("GET /", (Some("GET"), Some("/"), None));
        check("CONNECT 192.0.2.1:443 HTTP/1.1", (Some("CONNECT"), Some("192.0.2.1:443"), Some("HTTP/1.1")));
        check("GET http://example.com/ HTTP/1.1", (Some("GET"), Some("http://example.com/"), Some("HTTP/1.1")));
        check("PROPFIND /x HTTP/1.1", (Some("PROPFIND"), Some("/x"), Some("HTTP/1.1")));
        check(r"\x16\x03\x01\x00", (None, Some("\u{16}\u{3}\u{1}%00"), None));
        check("HELP", (None, Some("HELP"), None));
        check("batman robin", (None, Some("batman robin"), None));
        check(" / HTTP/1.1", (None, Some(" / HTTP/1.1"), None));
        check("", (None, None, None));
        check("-", (None, None, None));
    }
}
