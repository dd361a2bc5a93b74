//! The header that syslog puts before a line.
use jiff::Timestamp;

use super::Context;
use super::time::Times;

/// The longest name of a program with its process number.
const LONGEST_TAG: usize = 128;

/// What stood behind a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inner<'a> {
    pub(super) message: &'a [u8],
    pub(super) time: Option<Timestamp>,
}

/// A line without its header: RFC 5424, RFC 3164 with or without priority and host, ISO times, or a journal's `host
/// program[1]: `. `None` if it has none.
pub(super) fn strip<'a>(line: &'a [u8], times: &mut Times, context: &Context) -> Option<Inner<'a>> {
    let (rest, had_priority) = match priority(line) {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    if let Some(rest) = rest.strip_prefix(b"1 ").filter(|_| had_priority) {
        return rfc5424(rest, times, context);
    }
    let (rest, time) = match bsd_time(rest, times, context).or_else(|| iso_time(rest, times, context)) {
        Some((rest, time)) => (rest, Some(time)),
        None => (rest, None),
    };
    if let Some(message) = tagged(rest) {
        return Some(Inner { message, time });
    }
    // A journal may show the program's own header behind its own.
    let (host, mut message) = split_word(rest)?;
    if host.is_empty() || host.len() > 255 || !host.iter().all(|byte| is_host(*byte)) {
        return None;
    }
    message = tagged(message)?;
    if let Some((again, inner)) = split_word(message)
        && again == host
        && let Some(inner) = tagged(inner)
    {
        message = inner;
    }
    Some(Inner { message, time })
}

/// Behind `<190>`.
fn priority(line: &[u8]) -> Option<&[u8]> {
    let inside = line.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', inside.get(..4.min(inside.len()))?)?;
    let digits = inside.get(..end)?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(inside.get(end + 1..)?)
}

fn bsd_time<'a>(line: &'a [u8], times: &mut Times, context: &Context) -> Option<(&'a [u8], Timestamp)> {
    let (stamp, rest) = line.split_at_checked(15)?;
    let time = times.syslog(stamp, context.received, &context.zone)?;
    Some((rest.strip_prefix(b" ")?, time))
}

fn iso_time<'a>(line: &'a [u8], times: &mut Times, context: &Context) -> Option<(&'a [u8], Timestamp)> {
    let (stamp, rest) = split_word(line)?;
    if stamp.len() < 19 || stamp.get(10) != Some(&b'T') {
        return None;
    }
    Some((rest, times.iso(stamp, &context.zone)?))
}

/// Behind `time host program process message-id data `, whose byte order mark is no part of the message.
fn rfc5424<'a>(line: &'a [u8], times: &mut Times, context: &Context) -> Option<Inner<'a>> {
    let (stamp, mut rest) = split_word(line)?;
    let time = if stamp == b"-" { None } else { Some(times.iso(stamp, &context.zone)?) };
    for _ in 0..4 {
        rest = split_word(rest)?.1;
    }
    let rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => structured_data(rest)?,
    };
    let message = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(Inner { message: message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message), time })
}

/// Behind `[id name="value"][…]`; within a value `"`, `\` and `]` are escaped.
fn structured_data(bytes: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped, mut open) = (false, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            b'[' if !quoted && !open => open = true,
            b']' if !quoted && open => open = false,
            _ if open => {}
            b' ' if at > 0 => return bytes.get(at..),
            _ => return None,
        }
    }
    None
}

/// Behind `nginx: ` or `httpd/backend1[22034]: `.
fn tagged(line: &[u8]) -> Option<&[u8]> {
    let window = line.get(..LONGEST_TAG.min(line.len()))?;
    let end = memchr::memmem::find(window, b": ")?;
    let tag = line.get(..end)?;
    let program = match memchr::memchr(b'[', tag) {
        Some(at) => {
            let number = tag.get(at + 1..)?.strip_suffix(b"]")?;
            if !number.iter().all(u8::is_ascii_digit) {
                return None;
            }
            tag.get(..at)?
        }
        None => tag,
    };
    let named = !program.is_empty() && program.iter().all(|byte| is_host(*byte) || matches!(byte, b'/' | b'@' | b'+'));
    named.then_some(line.get(end + 2..)?)
}

const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':')
}

fn split_word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', line)?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, Option<&str>)>) {
        let context = Context { received: "2026-11-21T02:00:00Z".parse().unwrap(), zone: TimeZone::UTC };
        let inner = strip(line.as_bytes(), &mut Times::default(), &context);
        let inner = inner.map(|inner| (String::from_utf8_lossy(inner.message).into_owned(), inner.time));
        let expected = expected.map(|(message, time)| (message.to_owned(), time.map(|time| time.parse().unwrap())));
        assert_eq!(inner, expected, "{line}");
    }

    #[test]
    fn headers_of_every_kind_are_taken_off() {
        let at = Some("2026-11-21T01:56:33Z");
        check("<190>Nov 21 01:56:33 web nginx: m 1", Some(("m 1", at)));
        check("<190>Nov 21 01:56:33 nginx: m 1", Some(("m 1", at)));
        check("Nov 21 01:56:33 web httpd/backend1[22034]: m", Some(("m", at)));
        check("2026-11-21T01:56:33.000+00:00 web nginx[1]: m", Some(("m", at)));
        check("<134>1 2026-11-21T01:56:33Z web haproxy 14 - - m", Some(("m", at)));
        check("<134>1 2026-11-21T01:56:33Z web haproxy 14 ID47 [a b=\"c\\]d\"][e] \u{feff}m", Some(("m", at)));
        check("<134>1 - web haproxy 14 - - m", Some(("m", None)));
        check("web nginx[2833]: m", Some(("m", None)));
        check("web nginx[2833]: web nginx: m", Some(("m", None)));
        check("nginx: m", Some(("m", None)));
    }

    #[test]
    fn what_is_no_header_is_left() {
        for line in
            ["192.0.2.1 - - [x] \"GET / HTTP/1.1\"", "<190>", "<1234>a: b", "<134>1 nowhen w h 1 - - m", "a b c: d", ""]
        {
            check(line, None);
        }
    }
}
