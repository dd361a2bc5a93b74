//! Apache's error log, of 2.2 and of 2.4.
//!
//! `[time] [module:level] [pid 1:tid 2] (13)reason: [client address:port] AH01618: message, referer: …`. Apache escapes
//! what comes of the client. The client is in the first brackets behind those that the server fills, and nowhere else:
//! a message may hold `[client …]` of the client's making.
use jiff::Timestamp;

use super::{Context, Line, Scope, Unparsed, address, request, text};
use crate::domain::http::client::Peer;
use crate::domain::http::event::{Event, EventKind};

/// What the server's own brackets say.
#[derive(Clone, Copy, Debug, Default)]
struct Head<'a> {
    time: Option<&'a [u8]>,
    /// `auth_basic:error`, or of 2.2 `error`.
    module: &'a [u8],
    client: Option<&'a [u8]>,
    message: &'a [u8],
}

/// Whether a line begins as entries do: with a time, or behind a syslog header with a level.
pub(super) fn begins(line: &[u8]) -> bool {
    let Some((first, rest)) = bracket(line) else { return false };
    is_time(first) && rest.first() == Some(&b'[') || is_level(first)
}

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(head) = head(line) else { return Line::Unparsed(Unparsed::Format) };
    let time = match head.time {
        Some(text) => scope.times.apache_error(text, &context.zone),
        None => Some(scope.other_time(context)),
    };
    let Some(time) = time else { return Line::Unparsed(Unparsed::Time) };
    match head.client {
        Some(client) => Line::Event(event(time, &head, client, scope)),
        None => Line::Nothing,
    }
}

fn event(time: Timestamp, head: &Head<'_>, client: &[u8], scope: &Scope) -> Box<Event> {
    let mut event = Box::new(Event::new(time, EventKind::ServerMessage));
    let (message, referer) = match memchr::memmem::rfind(head.message, b", referer: ") {
        Some(at) => (head.message.get(..at).unwrap_or_default(), head.message.get(at + 11..)),
        None => (head.message, None),
    };
    let (code, words) = code(message);
    let said = text::unescaped(words);
    let module = text::plain(head.module.strip_prefix(b":").unwrap_or(head.module));
    event.referer = referer.map(text::unescaped);
    let told = told(&said, module.split(':').next().unwrap_or_default());
    event.kind = told.kind;
    event.user = told.user.filter(|user| !user.is_empty()).map(str::to_owned);
    match told.request {
        Some(line) if line.contains(' ') => request::read(&mut event, line.as_bytes(), text::plain),
        uri => event.uri = uri.filter(|uri| !uri.is_empty()).map(str::to_owned),
    }
    event.component = Some(module);
    if let Some(code) = code {
        event.details.insert("code".to_owned(), text::plain(code));
    }
    if said.contains("ModSecurity:") {
        for (name, kept) in [("id", "rule-id"), ("msg", "rule-message"), ("hostname", "server")] {
            if let Some(value) = tag(&said, name) {
                event.details.insert(kept.to_owned(), value.to_owned());
            }
        }
    }
    event.message = Some(said);
    let peer = address::peer(client);
    scope.client(&mut event, peer);
    if peer == Peer::Unknown {
        event.details.insert("client".to_owned(), text::plain(client));
    }
    event
}

/// Takes the server's brackets off.
fn head(line: &[u8]) -> Option<Head<'_>> {
    let mut head = Head::default();
    let (first, mut rest) = bracket(line)?;
    if is_time(first) {
        head.time = Some(first);
        let (level, after) = bracket(rest)?;
        (head.module, rest) = (is_level(level).then_some(level)?, after);
    } else {
        head.module = is_level(first).then_some(first)?;
    }
    if let Some((process, after)) = bracket(rest)
        && process.starts_with(b"pid ")
    {
        rest = after;
    }
    head.client = client(rest);
    let mut message = rest;
    if head.client.is_some() {
        let (before, behind) = split_client(rest);
        message = behind;
        // The reason stands before the client in 2.4 and behind it in 2.2; either way it is no text of the client's.
        if before.is_some() && message.is_empty() {
            message = rest;
        }
        // ModSecurity says once more who it is about.
        if let Some((again, after)) = bracket(message)
            && again.starts_with(b"client ")
        {
            message = after;
        }
    }
    head.message = message;
    Some(head)
}

/// Whom an entry is about.
fn client(rest: &[u8]) -> Option<&[u8]> {
    let (inside, _) = bracket(without_reason(rest))?;
    inside.strip_prefix(b"client ").or_else(|| inside.strip_prefix(b"remote "))
}

/// What stands before the client's brackets, and what behind.
fn split_client(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let at = without_reason(rest);
    let before = rest.len().checked_sub(at.len()).and_then(|len| rest.get(..len)).filter(|before| !before.is_empty());
    (before, bracket(at).map_or(at, |(_, behind)| behind))
}

/// Behind `core.c(123): ` and `(13)Permission denied: `: the server's own words, which hold no brackets.
fn without_reason(rest: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'[', rest) else { return rest };
    let before = rest.get(..open).unwrap_or_default();
    let mut own = before;
    while !own.is_empty() {
        let Some(end) = memchr::memmem::find(own, b": ") else { return rest };
        let word = own.get(..end).unwrap_or_default();
        let numbered =
            word.strip_prefix(b"(").and_then(|word| memchr::memchr(b')', word).and_then(|at| word.get(..at)));
        let sourced = word
            .strip_suffix(b")")
            .and_then(|word| memchr::memmem::find(word, b".c(").and_then(|at| word.get(at + 3..)));
        let Some(number) = numbered.or(sourced) else { return rest };
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return rest;
        }
        own = own.get(end + 2..).unwrap_or_default();
    }
    rest.get(open..).unwrap_or(rest)
}

/// What is in the brackets a text begins with, which may be nested as IPv6's are; and what is behind.
fn bracket(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let mut depth = 0_u32;
    for at in memchr::memchr2_iter(b'[', b']', text) {
        match text.get(at) {
            Some(b'[') => depth += 1,
            _ => depth -= 1,
        }
        if depth == 0 {
            return Some((text.get(1..at)?, text.get(at + 1..)?.trim_ascii_start()));
        }
    }
    None
}

/// `Sat Jul 20 21:34:49.453232 2013`.
fn is_time(text: &[u8]) -> bool {
    text.len() >= 23
        && text.len() <= 34
        && text.get(3) == Some(&b' ')
        && text.first().is_some_and(u8::is_ascii_uppercase)
}

/// Apache's levels, but for those of tracing.
const LEVELS: [&[u8]; 8] = [b"emerg", b"alert", b"crit", b"error", b"warn", b"notice", b"info", b"debug"];

/// `auth_basic:error`, `:error`, `error`.
fn is_level(text: &[u8]) -> bool {
    let level = text.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    text.len() <= 64 && (LEVELS.contains(&level) || level.strip_prefix(b"trace").is_some_and(|digit| digit.len() == 1))
}

/// `AH01618` and the message behind it.
fn code(message: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match message.split_at_checked(9) {
        Some((code, rest))
            if code.starts_with(b"AH")
                && code.ends_with(b": ")
                && code.get(2..7).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit)) =>
        {
            (code.get(..7), rest)
        }
        _ => (None, message),
    }
}

/// What a message tells.
struct Told<'a> {
    kind: EventKind,
    user: Option<&'a str>,
    /// A request line, or a target.
    request: Option<&'a str>,
}

/// What a message tells, by how it begins: what stands within it may be the client's.
fn told<'a>(said: &'a str, module: &str) -> Told<'a> {
    let plainly = |kind| Told { kind, user: None, request: None };
    let digest = said.strip_prefix("Digest: ");
    let said = digest.unwrap_or(said);
    if let Some(rest) = said.strip_prefix("user ") {
        return user(rest);
    }
    if let Some(rest) = said.strip_prefix("Authorization of user ") {
        let (name, rest) = rest.rsplit_once(" to access ").unwrap_or((rest, ""));
        let target = rest.rsplit_once(" failed, reason").map(|(target, _)| target);
        return Told { kind: EventKind::PermissionDenied, user: Some(name), request: target };
    }
    if said.starts_with("client denied by server configuration") {
        // mod_evasive says it of who asks too often.
        let evasive = module.starts_with("evasive");
        return plainly(if evasive { EventKind::RateLimitExceeded } else { EventKind::PermissionDenied });
    }
    if let Some(rest) = said.strip_prefix("client used wrong authentication scheme") {
        return Told { kind: EventKind::AuthFailed, user: None, request: rest.strip_prefix(": ") };
    }
    if digest.is_some() || module == "auth_digest" {
        return plainly(digest_kind(said));
    }
    if let Some(line) = said.strip_prefix("Invalid URI in request ") {
        return Told { kind: EventKind::ServerMessage, user: None, request: Some(line) };
    }
    if let Some(path) = said.strip_prefix("invalid URI path (") {
        return Told { kind: EventKind::ServerMessage, user: None, request: path.strip_suffix(')') };
    }
    if said.starts_with("ModSecurity:") {
        return Told { kind: EventKind::ServerMessage, user: None, request: tag(said, "uri") };
    }
    plainly(EventKind::ServerMessage)
}

/// What `user name …` tells. A name may hold all of these words, so it ends where the last of them begins.
fn user(rest: &str) -> Told<'_> {
    for (words, kind) in [
        (": authentication failure for \"", EventKind::AuthFailed),
        (": authorization failure for \"", EventKind::PermissionDenied),
        (": password mismatch: ", EventKind::AuthFailed),
        (" not found: ", EventKind::AuthFailed),
        (" not found", EventKind::AuthFailed),
    ] {
        let Some((name, after)) = rest.rsplit_once(words) else { continue };
        let target = if words.ends_with('"') { after.split_once('"').map(|(target, _)| target) } else { Some(after) };
        let name = match name.split_once("' in realm `") {
            Some((name, _)) => name.strip_prefix('`').unwrap_or(name),
            None => name,
        };
        return Told { kind, user: Some(name), request: target };
    }
    Told { kind: EventKind::ServerMessage, user: None, request: None }
}

/// A nonce whose hash is wrong is what every client sends once after a restart of the server.
fn digest_kind(said: &str) -> EventKind {
    let failed = ["invalid qop ", "realm mismatch ", "unknown algorithm ", "invalid nonce "]
        .into_iter()
        .any(|start| said.starts_with(start));
    let stale = said.starts_with("invalid nonce ") && said.contains("hash is not");
    if failed && !stale { EventKind::AuthFailed } else { EventKind::ServerMessage }
}

/// The value of `[name "value"]`.
fn tag<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    let start = format!("[{name} \"");
    let (_, rest) = said.split_once(&start)?;
    rest.split_once("\"]").map(|(value, _)| value)
}

#[cfg(test)]
mod tests;
