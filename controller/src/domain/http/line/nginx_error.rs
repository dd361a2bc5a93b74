//! nginx's error log.
//!
//! `2026/11/21 01:56:33 [error] 1#1: *7 message, client: address, server: name, request: "…", upstream: "…", host: "…",
//! referrer: "…"`. nginx escapes nothing here. A path in the message and a user's name are decoded first, so they may hold
//! anything, line breaks too; request, host and referrer stand raw behind the address. Hence the care about which
//! `, client: ` is nginx's own.
use memchr::memmem;

use self::tail::Tail;
use super::{Context, Line, Scope, Unparsed, address, request, text};
use crate::domain::http::client::Peer;
use crate::domain::http::event::{Event, EventKind};

mod tail;

/// Lines that an entry may have been cut into by line breaks of the client's: more do not fit into a request's head.
const MOST_PIECES: u8 = 128;

/// Bytes of an entry from which on nginx may have cut it, at 2,047. Its end goes first: where the client had a hand in the
/// message, what looks like the end may be the client's, and the address itself may lack its last digits.
const CUT: usize = 2_040;

/// What is known of entries that line breaks cut in two.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Lines that may still belong to an entry that has begun and not told its client.
    open: u8,
    /// The process that began it: the next entry of the same is no piece of this one. A client does not know its number.
    process: Vec<u8>,
    /// When the last one was written.
    last: Option<jiff::Timestamp>,
}

/// Whether a line begins as entries do.
pub(super) fn begins(line: &[u8]) -> bool {
    matches!(line, [_, _, _, _, b'/', _, _, b'/', _, _, b' ', _, _, b':', _, _, b':', _, _, b' ', b'[', ..])
        && line.first().is_some_and(u8::is_ascii_digit)
}

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    if !begins(line) {
        return rest_of_an_entry(line, scope, context);
    }
    let Some(time) = line.get(..19).and_then(|time| scope.times.slashes(time, &context.zone)) else {
        return Line::Unparsed(Unparsed::Time);
    };
    let Some(Parts { level, process, connection, said }) = parts(line) else {
        return Line::Unparsed(Unparsed::Format);
    };
    if scope.nginx.process == process {
        scope.nginx.open = 0;
    }
    if scope.nginx.open > 0 {
        scope.nginx.open -= 1;
        return Line::Unparsed(Unparsed::Broken);
    }
    let Some(tail) = tail::find(said) else {
        if line.len() >= CUT {
            return Line::Unparsed(Unparsed::Ambiguous);
        }
        // nginx tells the client of every connection's trouble: where it does not, a line break stands in between.
        if connection && !matches!(level, b"info" | b"debug") {
            scope.nginx = Entry { open: MOST_PIECES, process: process.to_vec(), last: Some(time) };
            return Line::Unparsed(Unparsed::Broken);
        }
        return Line::Nothing;
    };
    let whole = |tail: &Tail<'_>| line.len() < CUT || tail.server.is_some() && tail::is_nginx_own(tail.message);
    let Some(tail) = tail.ok().filter(whole) else { return Line::Unparsed(Unparsed::Ambiguous) };
    let mut event = event(time, level, &tail, scope);
    if let Some(line) = tail.request {
        request::read(&mut event, line, text::plain);
    }
    event.host = tail.host.map(text::plain);
    event.referer = tail.referrer.map(text::plain);
    scope.nginx.last = Some(time);
    Line::Event(event)
}

/// The end of an entry that a line break has cut. If it is one: a client may have written it all, so what was asked for is
/// nobody's.
fn rest_of_an_entry(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(Ok(tail)) = tail::find(line) else {
        scope.nginx.open = scope.nginx.open.saturating_sub(1);
        return Line::Unparsed(Unparsed::Broken);
    };
    scope.nginx.open = 0;
    let time = scope.nginx.last.unwrap_or_else(|| scope.other_time(context));
    let mut event = event(time, b"error", &tail, scope);
    event.kind = EventKind::ServerMessage;
    event.user = None;
    event.component = Some("log:error".to_owned());
    event.message = Some(format!("line break in a log entry: {}", text::plain(tail.message)));
    event.details.insert("line-break".to_owned(), "yes".to_owned());
    Line::Event(event)
}

fn event(time: jiff::Timestamp, level: &[u8], tail: &Tail<'_>, scope: &Scope) -> Box<Event> {
    let mut event = Box::new(Event::new(time, EventKind::ServerMessage));
    let said = text::plain(tail.message);
    let (kind, part) = kind(&said);
    event.kind = kind;
    event.user = user(&said);
    event.component = Some(format!("{part}:{}", text::plain(level)));
    event.message = Some(said);
    if let Some(server) = tail.server.filter(|server| !server.is_empty()) {
        event.details.insert("server".to_owned(), text::plain(server));
    }
    if let Some(upstream) = tail.upstream {
        event.details.insert("upstream".to_owned(), text::plain(upstream));
    }
    let peer = address::peer(tail.address);
    // The log has no header of proxies: behind one the peer is all there is.
    scope.client(&mut event, peer);
    if peer == Peer::Unknown {
        event.details.insert("client".to_owned(), text::plain(tail.address));
    }
    event
}

/// `… [error] 1#1: *7 what is said`.
struct Parts<'a> {
    level: &'a [u8],
    process: &'a [u8],
    /// Whether it is about a connection.
    connection: bool,
    said: &'a [u8],
}

fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let rest = line.get(21..)?;
    let end = memchr::memchr(b']', rest.get(..16.min(rest.len()))?)?;
    let level = rest.get(..end)?;
    let rest = rest.get(end + 1..)?.strip_prefix(b" ")?;
    let colon = memmem::find(rest.get(..48.min(rest.len()))?, b": ")?;
    let process = rest.get(..colon)?;
    if !process.iter().all(|byte| byte.is_ascii_digit() || *byte == b'#') {
        return None;
    }
    let said = rest.get(colon + 2..)?;
    let numbered = said.strip_prefix(b"*").and_then(|said| {
        let (number, said) = said.split_at_checked(memchr::memchr(b' ', said)?)?;
        number.iter().all(u8::is_ascii_digit).then_some(said.get(1..)?)
    });
    Some(Parts { level, process, connection: numbered.is_some(), said: numbered.unwrap_or(said) })
}

/// What kind of event a message tells of, and which part of nginx says so.
fn kind(said: &str) -> (EventKind, &'static str) {
    if said.starts_with("user \"") && (said.contains("\": password mismatch") || said.contains("was not found in \""))
        || said.starts_with("no user/password was provided")
    {
        (EventKind::AuthFailed, "auth_basic")
    } else if said.starts_with("PAM: user '") && said.contains("not authenticated") {
        (EventKind::AuthFailed, "auth_pam")
    } else if said.starts_with("access forbidden by rule") {
        (EventKind::PermissionDenied, "access")
    } else if said.starts_with("directory index of \"") && said.ends_with("is forbidden") {
        (EventKind::PermissionDenied, "autoindex")
    } else if said.starts_with("limiting requests, excess") || said.starts_with("delaying request, excess") {
        (EventKind::RateLimitExceeded, "limit_req")
    } else if said.starts_with("limiting connections by zone") {
        (EventKind::RateLimitExceeded, "limit_conn")
    } else if said.starts_with("ModSecurity:") {
        (EventKind::ServerMessage, "modsecurity")
    } else if said.starts_with("SSL_") {
        (EventKind::ServerMessage, "ssl")
    } else {
        (EventKind::ServerMessage, "http")
    }
}

/// The name in `user "name": …`, which may hold quotation marks.
fn user(said: &str) -> Option<String> {
    let (rest, ends): (&str, &[&str]) = match said.strip_prefix("user \"") {
        Some(rest) => (rest, &["\": password mismatch", "\" was not found in \"", "\": was not found in \""]),
        None => (said.strip_prefix("PAM: user '")?, &["' - not authenticated"]),
    };
    let end = ends.iter().filter_map(|end| rest.rfind(end)).max()?;
    rest.get(..end).map(str::to_owned)
}

#[cfg(test)]
mod tests;
