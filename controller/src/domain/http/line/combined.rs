//! The access logs of nginx and Apache, `combined` and `common`, and Traefik's, which has more fields behind.
//!
//! `address ident user [time] "request" status bytes "referer" "agent" …`, all of which servers escape but for the user's
//! spaces and brackets. The first quotation mark that is not escaped is the request's; the time is in the last brackets
//! before it.
use jiff::Timestamp;

use super::{Context, Line, Scope, Unparsed, address, request, request_event, text};
use crate::domain::http::client::Peer;
use crate::domain::http::event::Event;

/// Further fields that are looked at.
const MOST_EXTRAS: usize = 16;

/// What stands before and behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The address comes first.
    Plain,
    /// The virtual host comes first, then the address.
    Vhost,
    /// The address comes first; at the end are Traefik's count, router, server and duration.
    Traefik,
}

/// What comes before the request.
struct Head<'a> {
    /// Addresses and names, up to the time.
    before: &'a [u8],
    time: &'a [u8],
    /// Between the time and the request.
    between: &'a [u8],
    /// From behind the request's first quotation mark.
    request: &'a [u8],
}

/// Which shape a line shows by what stands before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Plain,
    Vhost,
    /// Two addresses: a virtual host that is one, or an `ident` that is one.
    Either,
}

/// The shape of a line that may be one of these.
pub(super) fn shape(line: &[u8]) -> Option<Shown> {
    let head = head(line)?;
    // `21/Nov/2026:` at the least: the rest is the reader's to judge.
    if head.time.get(2) != Some(&b'/')
        || head.time.get(6) != Some(&b'/')
        || head.time.get(11) != Some(&b':')
        || head.time.get(20).is_some_and(|byte| *byte != b' ')
    {
        return None;
    }
    let mut words = words(head.before);
    let (first, second, _) = (words.next()?, words.next()?, words.next()?);
    let one = address::peer(first) != Peer::Unknown;
    // The program of a syslog header has a colon behind it, its time has two within.
    if !one && !is_host(first) || second.ends_with(b":") {
        return None;
    }
    if words.next().is_none() {
        return Some(Shown::Plain);
    }
    match (one, address::parse(second).is_some()) {
        (true, false) => Some(Shown::Plain),
        (false, true) => Some(Shown::Vhost),
        (true, true) => Some(Shown::Either),
        (false, false) if second == b"-" => Some(Shown::Plain),
        (false, false) => (first.contains(&b'.') && is_host(second)).then_some(Shown::Vhost),
    }
}

/// A name, with or without a port; or none, `-`.
fn is_host(word: &[u8]) -> bool {
    let name = without_port(word);
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

pub(super) fn read(line: &[u8], shape: Shape, scope: &mut Scope, context: &Context) -> Line {
    let Some(head) = head(line) else { return Line::Unparsed(Unparsed::Format) };
    // Where the host is the client's word, it may hold a blank and an address: the true one is then in `ident`'s place.
    if shape == Shape::Vhost && words(head.before).nth(2).is_some_and(|ident| address::parse(ident).is_some()) {
        return Line::Unparsed(Unparsed::Ambiguous);
    }
    let Some(time) = scope.times.clf(head.time, &context.zone) else { return Line::Unparsed(Unparsed::Time) };
    fields(&head, time, shape, scope).map_or(Line::Unparsed(Unparsed::Format), Line::Event)
}

fn fields(head: &Head<'_>, time: Timestamp, shape: Shape, scope: &mut Scope) -> Option<Box<Event>> {
    let mut event = request_event(time);
    let mut before = head.before;
    if shape == Shape::Vhost {
        let host = word(&mut before)?;
        event.host = Some(text::unescaped(without_port(host)));
    }
    let peer = address::peer(word(&mut before)?);
    word(&mut before)?;
    event.user = named(before.trim_ascii()).map(text::unescaped);
    let between = head.between.trim_ascii();
    if event.host.is_none() && !between.is_empty() && !between.contains(&b' ') {
        event.host = named(between).map(text::unescaped);
    }
    let (line, rest) = match quoted_request(head.request) {
        Some(parts) => parts,
        // Only a line that was cut may end within its request.
        None if scope.cut => (head.request, &[][..]),
        None => return None,
    };
    request::read(&mut event, line, text::unescaped);
    let mut rest = rest;
    match (word(&mut rest), word(&mut rest)) {
        (Some(status), Some(bytes)) => {
            event.status = number(status)?.and_then(|status| u16::try_from(status).ok());
            // Apache's `-` is none.
            event.bytes_sent = Some(number(bytes)?.unwrap_or(0));
        }
        _ if scope.cut => {}
        _ => return None,
    }
    event.referer = next_quoted(&mut rest);
    event.user_agent = next_quoted(&mut rest);
    extras(&mut event, rest, shape);
    scope.client_by_place(&mut event, peer);
    Some(event)
}

/// What comes behind the agent: nginx's own `main` has `X-Forwarded-For` there; numbers with a point are seconds.
fn extras(event: &mut Event, mut rest: &[u8], shape: Shape) {
    let mut quoted_fields = 0;
    for _ in 0..MOST_EXTRAS {
        rest = rest.trim_ascii_start();
        if rest.first() == Some(&b'"') {
            let Some((value, after)) = rest.get(1..).and_then(quoted) else { break };
            rest = after;
            quoted_fields += 1;
            match shape {
                Shape::Traefik if event.details.is_empty() => {
                    event.details.insert("router".to_owned(), text::unescaped(value));
                }
                Shape::Traefik => {
                    event.details.insert("upstream".to_owned(), text::unescaped(value));
                }
                Shape::Plain | Shape::Vhost if event.forwarded_for.is_none() => {
                    event.forwarded_for = named(value).map(text::unescaped);
                }
                Shape::Plain | Shape::Vhost => {}
            }
        } else {
            let Some(value) = word(&mut rest) else { break };
            if event.duration_s.is_none() {
                event.duration_s = seconds(value);
            }
        }
    }
    // Of several fields without a name nobody knows which one the chain is.
    if quoted_fields > 1 {
        event.forwarded_for = None;
    }
}

/// `0.123`, `rt=0.123`, `12ms`.
fn seconds(word: &[u8]) -> Option<f64> {
    let word = str::from_utf8(word).ok()?;
    let number = word.rsplit_once('=').map_or(word, |(name, value)| match name {
        "rt" | "request_time" | "duration" | "time" => value,
        _ => "",
    });
    let (number, scale) = match number.strip_suffix("ms") {
        Some(number) => (number, 1_000.0),
        None if number.contains('.') => (number, 1.0),
        None => return None,
    };
    let decimal = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| decimal)? / scale;
    seconds.is_finite().then_some(seconds)
}

fn head(line: &[u8]) -> Option<Head<'_>> {
    let quote = request_quote(line)?;
    let (head, request) = (line.get(..quote)?, line.get(quote + 1..)?);
    let close = memchr::memrchr(b']', head)?;
    let open = memchr::memrchr(b'[', head.get(..close)?)?;
    Some(Head { before: head.get(..open)?, time: head.get(open + 1..close)?, between: head.get(close + 1..)?, request })
}

/// The quotation mark that begins the request: the first that is not escaped, but for the two by which Apache writes a user
/// without a name.
fn request_quote(line: &[u8]) -> Option<usize> {
    let first = unescaped_quote(line)?;
    if !line.get(first..)?.starts_with(b"\"\" [") {
        return Some(first);
    }
    let behind = first.checked_add(2)?;
    unescaped_quote(line.get(behind..)?).and_then(|at| at.checked_add(behind))
}

/// Whether a line ends as Traefik's do: behind the agent come a count, router and server in quotation marks, and the time
/// that it took.
pub(super) fn ends_as_traefik(line: &[u8]) -> bool {
    let ends = || {
        let (_, mut rest) = quoted_request(head(line)?.request)?;
        word(&mut rest)?;
        word(&mut rest)?;
        let skip_quoted = |rest: &mut &[u8]| -> Option<()> {
            let (_, behind) = quoted(rest.trim_ascii_start().strip_prefix(b"\"")?)?;
            // The lifetime is the line's.
            let taken = rest.len().checked_sub(behind.len())?;
            *rest = rest.get(taken..)?;
            Some(())
        };
        skip_quoted(&mut rest)?;
        skip_quoted(&mut rest)?;
        let count = word(&mut rest)?;
        skip_quoted(&mut rest)?;
        skip_quoted(&mut rest)?;
        let took = word(&mut rest)?.strip_suffix(b"ms")?;
        let are_digits = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
        (are_digits(count) && are_digits(took) && rest.trim_ascii().is_empty()).then_some(())
    };
    line.trim_ascii_end().ends_with(b"ms") && ends().is_some()
}

/// The first quotation mark that no backslash escapes.
fn unescaped_quote(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', bytes).find(|at| {
        let before = bytes.get(..*at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    })
}

/// Up to the quotation mark, and what is behind it.
fn quoted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = unescaped_quote(bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The request, up to the first quotation mark behind which a status stands: Traefik escapes none.
fn quoted_request(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut from, mut first) = (0, None);
    while let Some(at) = bytes.get(from..).and_then(unescaped_quote).and_then(|at| from.checked_add(at)) {
        let (line, rest) = (bytes.get(..at)?, bytes.get(at + 1..)?);
        let is_status = |word: &[u8]| word == b"-" || word.len() == 3 && word.iter().all(u8::is_ascii_digit);
        let mut after = rest;
        if rest.first() == Some(&b' ') && word(&mut after).is_some_and(is_status) {
            return Some((line, rest));
        }
        first = first.or(Some((line, rest)));
        from = at + 1;
    }
    first
}

/// The next field, if it is a quoted one that says something; a `-` says nothing, and is passed.
fn next_quoted(rest: &mut &[u8]) -> Option<String> {
    let inside = rest.trim_ascii_start().strip_prefix(b"\"")?;
    // What the cut left of it.
    let (value, after) = quoted(inside).unwrap_or((inside, &[]));
    *rest = after;
    named(value).map(text::unescaped)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// Takes the next word off.
fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let line = rest.trim_ascii_start();
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, after) = line.split_at_checked(end)?;
    *rest = after;
    (!word.is_empty()).then_some(word)
}

/// What is not `-`.
fn named(value: &[u8]) -> Option<&[u8]> {
    (!value.iter().all(|byte| matches!(byte, b'-' | b' '))).then_some(value)
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host.get(at + 1..).is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit)) => {
            host.get(..at).unwrap_or(host)
        }
        _ => host,
    }
}

/// A number, `Some(None)` for `-`.
#[expect(clippy::option_option, reason = "no number, a number that is not said, and a number")]
fn number(word: &[u8]) -> Option<Option<u64>> {
    if word == b"-" {
        return Some(None);
    }
    if word.is_empty() || word.len() > 19 {
        return None;
    }
    word.iter()
        .try_fold(0_u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
        .map(Some)
}

#[cfg(test)]
mod tests;
