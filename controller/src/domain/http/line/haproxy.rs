//! HAProxy's `httplog` and `httpslog`.
//!
//! `address:port [time] frontend backend/server timers status bytes cookie cookie state counts queues {captured} {captured}
//! "request"`. HAProxy writes `#HH` for quotation marks, braces, bars and unprintable bytes of captured headers and of the
//! request, so the first quotation mark is the request's.
use super::{Context, Header, Line, Scope, Unparsed, address, request, request_event, text};
use crate::domain::http::client::Peer;
use crate::domain::http::event::{Event, EventKind};

/// How HAProxy's notices about itself begin.
const NOTICES: [&[u8]; 9] = [
    b"Proxy ",
    b"Server ",
    b"Backup Server ",
    b"Connect from ",
    b"Stopping ",
    b"Health check ",
    b"backend ",
    b"proxy ",
    b"[",
];

/// What a line begins with.
struct Head<'a> {
    peer: Peer,
    time: &'a [u8],
    rest: &'a [u8],
}

/// Whether a line begins as these do.
pub(super) fn begins(line: &[u8]) -> bool {
    head(line).is_some_and(|head| head.time.get(20) == Some(&b'.') && head.time.get(2) == Some(&b'/'))
}

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(head) = head(line) else {
        let notice = NOTICES.iter().any(|start| line.starts_with(start)) || scope.header != Header::None;
        return if notice { Line::Nothing } else { Line::Unparsed(Unparsed::Format) };
    };
    let Some(time) = scope.times.clf_fraction(head.time, &context.zone) else { return Line::Unparsed(Unparsed::Time) };
    let mut rest = head.rest;
    let Some(frontend) = word(&mut rest) else { return Line::Unparsed(Unparsed::Format) };
    if let Some(frontend) = frontend.strip_suffix(b":") {
        // A connection that never became a request: `https/1: SSL handshake failure`.
        let mut event = Box::new(Event::new(time, EventKind::ServerMessage));
        event.component = Some(text::plain(frontend));
        event.message = Some(text::unhashed(rest.trim_ascii()));
        scope.client(&mut event, head.peer);
        return Line::Event(event);
    }
    let (Some(server), Some(timers)) = (word(&mut rest), word(&mut rest)) else {
        return Line::Unparsed(Unparsed::Format);
    };
    if timers.split(|byte| *byte == b'/').count() == 3 {
        // `tcplog`: a connection, whatever was spoken on it.
        return Line::Nothing;
    }
    let mut event = request_event(time);
    event.duration_s = total(timers);
    if !answered(&mut event, &mut rest) {
        return Line::Unparsed(Unparsed::Format);
    }
    let quote = memchr::memchr(b'"', rest);
    let captured = quote.and_then(|at| rest.get(..at)).unwrap_or(rest);
    if let Some(line) = quote.and_then(|at| rest.get(at + 1..)) {
        // A long request may have been cut with the line.
        let end = memchr::memchr(b'"', line).unwrap_or(line.len());
        request::read(&mut event, line.get(..end).unwrap_or_default(), text::unhashed);
    }
    headers(&mut event, captured);
    event.details.insert("frontend".to_owned(), text::plain(frontend));
    event.details.insert("upstream".to_owned(), text::plain(server));
    scope.client(&mut event, head.peer);
    Line::Event(event)
}

/// Status and bytes, and past what stands up to the captured headers.
fn answered(event: &mut Event, rest: &mut &[u8]) -> bool {
    let number =
        |word: Option<&[u8]>| -> Option<i64> { str::from_utf8(word?).ok()?.trim_start_matches('+').parse().ok() };
    let (Some(status), Some(bytes)) = (number(word(rest)), number(word(rest))) else { return false };
    event.status = u16::try_from(status).ok().filter(|status| *status >= 100);
    event.bytes_sent = u64::try_from(bytes).ok();
    (0..5).all(|_| word(rest).is_some())
}

/// The time in all, in milliseconds, the last of the timers.
fn total(timers: &[u8]) -> Option<f64> {
    let last = timers.rsplit(|byte| *byte == b'/').next()?;
    let milliseconds: u32 = str::from_utf8(last).ok()?.trim_start_matches('+').parse().ok()?;
    Some(f64::from(milliseconds) / 1_000.0)
}

/// Headers that were captured, in the order of the server's settings, which the line does not tell: what looks like an
/// agent, a referer or a host is taken for one. Never for an address: any of them may be the client's choice.
fn headers(event: &mut Event, captured: &[u8]) {
    let Some(inside) = captured.trim_ascii_start().strip_prefix(b"{") else { return };
    let end = memchr::memchr(b'}', inside).unwrap_or(inside.len());
    let inside = inside.get(..end).unwrap_or_default();
    for value in inside.split(|byte| *byte == b'|').filter(|value| !value.is_empty()).take(16) {
        let value = text::unhashed(value);
        if event.referer.is_none() && (value.starts_with("http://") || value.starts_with("https://")) {
            event.referer = Some(value);
        } else if event.host.is_none() && is_host(&value) {
            event.host = Some(value);
        } else if event.user_agent.is_none() && is_agent(&value) {
            event.user_agent = Some(value);
        }
    }
    event.details.insert("captured".to_owned(), text::plain(inside));
}

fn is_host(value: &str) -> bool {
    value.contains('.') && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':'))
}

/// `product/version …`.
fn is_agent(value: &str) -> bool {
    let Some((product, version)) = value.split_once('/') else { return false };
    let named = product.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    named && !product.is_empty() && version.starts_with(|letter: char| letter.is_ascii_digit() || letter == 'v')
}

fn head(line: &[u8]) -> Option<Head<'_>> {
    let space = memchr::memchr(b' ', line)?;
    let first = line.get(..space)?;
    // IPv6 stands without brackets, so the port is behind the last colon.
    let colon = memchr::memrchr(b':', first)?;
    let (host, port) = (first.get(..colon)?, first.get(colon + 1..)?);
    if port.is_empty() || !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let peer = match address::parse(host) {
        Some(address) => Peer::Address(address),
        None if host == b"unix" => Peer::Unix,
        None => return None,
    };
    let inside = line.get(space + 1..)?.strip_prefix(b"[")?;
    let close = memchr::memchr(b']', inside)?;
    Some(Head { peer, time: inside.get(..close)?, rest: inside.get(close + 1..)? })
}

fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let line = rest.trim_ascii_start();
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, after) = line.split_at_checked(end)?;
    *rest = after;
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests;
