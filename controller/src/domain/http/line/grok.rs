//! Lines by the operator's own pattern, in the language of grok, on an engine whose time is linear in the line.
use std::fmt;

use ::grok::parser::{GrokComponent, grok_split};

use super::{Context, Header, Line, Scope, Unparsed, address, request, text};
use crate::domain::http::client::Peer;
use crate::domain::http::event::{Event, EventKind};

/// Bytes of a pattern.
const LONGEST_PATTERN: usize = 4_096;

/// `%{…}` of a pattern.
const MOST_PARTS: usize = 128;

/// Names of captures that are no field of an event and are kept beside them.
const MOST_DETAILS: usize = 32;

/// Those of grok's own patterns that look around themselves or never go back, which an engine of linear time cannot, as
/// they are without that.
const LINEAR: [(&str, &str); 9] = [
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"),
    ("BASE16NUM", r"[+-]?(?:0x)?[0-9A-Fa-f]+"),
    ("BASE16FLOAT", r"[+-]?(?:0x)?(?:[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]*)?|\.[0-9A-Fa-f]+)"),
    ("QUOTEDSTRING", r#"(?:"(?:\\.|[^\\"])*"|'(?:\\.|[^\\'])*'|`(?:\\.|[^\\`])*`)"#),
    ("IPV4", r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("YEAR", r"(?:[0-9]{2}){1,2}"),
    ("TIME", "%{HOUR}:%{MINUTE}(?::%{SECOND})?"),
    ("HAPROXYTIME", "%{HOUR:haproxy_hour}:%{MINUTE:haproxy_minute}(?::%{SECOND:haproxy_second})?"),
];

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern, column {column}: {what}")]
pub struct PatternError {
    /// Which character of the pattern, from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

/// A field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Client,
    ForwardedFor,
    Time,
    Kind,
    Request,
    Method,
    Uri,
    Version,
    Host,
    Agent,
    Referer,
    Cookie,
    User,
    Status,
    Sent,
    Received,
    Seconds,
    Message,
    Component,
    Session,
    ApiKey,
    Endpoint,
}

/// The field a capture's name means: weir's own, Sigma's, or one that grok's own patterns use.
fn field(name: &str) -> Option<Field> {
    Some(match name {
        "client" | "client_ip" | "clientip" | "remote_addr" | "remote_ip" | "c-ip" | "src_ip" | "source.ip" | "ip" => {
            Field::Client
        }
        "forwarded_for" | "x-forwarded-for" | "x_forwarded_for" | "http_x_forwarded_for" | "xff" => Field::ForwardedFor,
        "time" | "timestamp" | "time_local" | "time_iso8601" | "timestamp8601" | "accept_date" => Field::Time,
        "event-type" | "event_type" | "kind" => Field::Kind,
        "request" | "rawrequest" | "request_line" => Field::Request,
        "method" | "cs-method" | "verb" | "http_verb" | "request_method" => Field::Method,
        "uri" | "cs-uri" | "path" | "url" | "request_uri" | "http_request" => Field::Uri,
        "version" | "cs-version" | "protocol" | "httpversion" | "http_version" => Field::Version,
        "host" | "cs-host" | "http_host" | "vhost" => Field::Host,
        "user_agent" | "cs-user-agent" | "agent" | "http_user_agent" | "useragent" => Field::Agent,
        "referer" | "cs-referer" | "referrer" | "http_referer" => Field::Referer,
        "cookie" | "cs-cookie" | "http_cookie" => Field::Cookie,
        "user" | "cs-username" | "auth" | "remote_user" | "username" => Field::User,
        "status" | "sc-status" | "response" | "http_status_code" => Field::Status,
        "bytes_sent" | "sc-bytes" | "bytes" | "body_bytes_sent" | "bytes_read" => Field::Sent,
        "bytes_received" | "cs-bytes" | "request_length" => Field::Received,
        "duration_s" | "time-taken" | "request_time" | "duration" => Field::Seconds,
        "message" => Field::Message,
        "component" => Field::Component,
        "session" => Field::Session,
        "api_key_id" | "api-key-id" => Field::ApiKey,
        "endpoint" => Field::Endpoint,
        _ => return None,
    })
}

/// A compiled pattern.
pub(super) struct Grok {
    pattern: ::grok::Pattern,
    /// The same that takes as little as it can where the other takes as much, and the other way round.
    swapped: ::grok::Pattern,
    /// Its captures by name, with the fields they fill.
    captures: Vec<(String, Option<Field>)>,
}

impl fmt::Debug for Grok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grok").field(&self.captures).finish()
    }
}

impl Grok {
    /// Compiles a pattern. It is held against a line from its first byte on, so that a client's text further on cannot be
    /// taken for what stands at the start.
    pub(super) fn new(pattern: &str) -> Result<Self, PatternError> {
        let error = |offset: usize, what: String| {
            let column = pattern.get(..offset).map_or(0, |before| before.chars().count()) + 1;
            PatternError { column, what }
        };
        if pattern.len() > LONGEST_PATTERN {
            return Err(error(LONGEST_PATTERN, format!("it has more than {LONGEST_PATTERN} bytes")));
        }
        let patterns = known();
        let parts = parts(pattern, &error)?;
        let compile = |flags: &str| patterns.compile(&format!("{flags}^(?:{pattern})"), true);
        let (Ok(compiled), Ok(swapped)) = (compile(""), compile("(?U)")) else {
            return Err(fault(pattern, &parts, &patterns, &error));
        };
        let mut captures: Vec<_> = compiled.capture_names().map(|name| (name.to_owned(), field(name))).collect();
        captures.truncate(MOST_DETAILS * 2);
        if !captures.iter().any(|(_, field)| field.is_some()) {
            let what = "it captures no field of an event: name the address as in %{IPORHOST:client}";
            return Err(error(0, what.to_owned()));
        }
        Ok(Self { pattern: compiled, swapped, captures })
    }

    /// Reads a line; behind a syslog header, if as a whole it is not as the pattern says.
    pub(super) fn read(&self, line: &[u8], scope: &mut Scope, context: &Context) -> Line {
        let whole = self.matched(line, scope, context);
        if whole != Line::Unparsed(Unparsed::Format) {
            return whole;
        }
        match super::syslog::strip(line, &mut scope.times, context) {
            Some(inner) => {
                scope.header = Header::of(&inner);
                self.matched(inner.message, scope, context)
            }
            None => whole,
        }
    }

    /// Whether the addresses stand where they stand whichever way the line is read. Where text of a client's comes before
    /// them, it may hold what looks like them: then taking as much of it as can be and taking as little end in other places.
    fn is_certain(&self, line: &str, matches: &::grok::Matches<'_>) -> bool {
        let Some(others) = self.swapped.match_against(line) else { return false };
        let place = |text: &str| (text.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        let whose = |field: &Option<Field>| matches!(field, Some(Field::Client | Field::ForwardedFor));
        let names = || self.captures.iter().filter(|(_, field)| whose(field)).map(|(name, _)| name);
        names().all(|name| matches.get(name).map(place) == others.get(name).map(place))
            && names().all(|name| !matches.get(name).is_some_and(|found| self.stands_elsewhere(name, found, line)))
    }

    /// Whether another address could be taken for the one that was found, were that one no address.
    fn stands_elsewhere(&self, name: &str, found: &str, line: &str) -> bool {
        let start = (found.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize);
        let (Some(before), Some(behind)) = (line.get(..start), line.get(start.wrapping_add(found.len())..)) else {
            return true;
        };
        let masked = [before, &"x".repeat(found.len()), behind].concat();
        [&self.pattern, &self.swapped].into_iter().any(|pattern| {
            let other = pattern.match_against(&masked);
            other.is_some_and(|other| other.get(name).is_some_and(|text| address::parse(text.as_bytes()).is_some()))
        })
    }

    fn matched(&self, line: &[u8], scope: &mut Scope, context: &Context) -> Line {
        let line = text::utf8(line);
        let Some(matches) = self.pattern.match_against(&line) else { return Line::Unparsed(Unparsed::Format) };
        if !self.is_certain(&line, &matches) {
            return Line::Unparsed(Unparsed::Ambiguous);
        }
        let mut event = Box::new(Event::new(scope.other_time(context), EventKind::ServerMessage));
        let (mut peer, mut kind) = (Peer::Unknown, None);
        for (name, field) in &self.captures {
            let Some(value) = matches.get(name).filter(|value| !value.is_empty() && *value != "-") else { continue };
            match field {
                Some(Field::Client) if peer == Peer::Unknown => peer = address::peer(value.as_bytes()),
                Some(Field::Time) => match scope.times.any(value.as_bytes(), context.received, &context.zone) {
                    Some(time) => (event.time, scope.is_untimed) = (time, false),
                    None => return Line::Unparsed(Unparsed::Time),
                },
                Some(Field::Kind) => kind = value.parse().ok(),
                Some(field) => fill(&mut event, *field, value),
                None if event.details.len() < MOST_DETAILS => {
                    event.details.insert(name.clone(), text::unescaped(value.as_bytes()));
                }
                None => {}
            }
        }
        let asked = event.uri.is_some() || event.status.is_some();
        event.kind = kind.unwrap_or(if asked { EventKind::HttpRequest } else { EventKind::ServerMessage });
        scope.client(&mut event, peer);
        Line::Event(event)
    }
}

/// Puts what was captured into a field.
fn fill(event: &mut Event, field: Field, value: &str) {
    let text = || Some(text::unescaped(value.as_bytes()));
    match field {
        // grok's own patterns call the target so, too.
        Field::Request if value.contains(' ') => request::read(event, value.as_bytes(), text::unescaped),
        Field::Request | Field::Uri => event.uri = text(),
        Field::Method => event.method = text(),
        Field::Version => event.version = text(),
        Field::Host => event.host = text(),
        Field::Agent => event.user_agent = unquoted(value),
        Field::Referer => event.referer = unquoted(value),
        Field::Cookie => event.cookie = text(),
        Field::User => event.user = text(),
        Field::Status => event.status = value.parse().ok(),
        Field::Sent => event.bytes_sent = value.parse().ok(),
        Field::Received => event.bytes_received = value.parse().ok(),
        Field::Seconds => event.duration_s = value.parse().ok().filter(|seconds: &f64| seconds.is_finite()),
        Field::ForwardedFor => event.forwarded_for = unquoted(value),
        Field::Message => event.message = text(),
        Field::Component => event.component = text(),
        Field::Session => event.session = text(),
        Field::ApiKey => event.api_key_id = text(),
        Field::Endpoint => event.endpoint = text(),
        Field::Client | Field::Time | Field::Kind => {}
    }
}

/// A text of `QS`, which captures its quotation marks.
fn unquoted(value: &str) -> Option<String> {
    let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!inside.is_empty() && inside != "-").then(|| text::unescaped(inside.as_bytes()))
}

/// grok's own patterns, all of linear time.
fn known() -> ::grok::Grok {
    let mut patterns = ::grok::Grok::with_default_patterns();
    for (name, definition) in LINEAR {
        patterns.add_pattern(name, definition);
    }
    patterns
}

/// Where the `%{…}` of a pattern stand.
fn parts<'a>(
    pattern: &'a str,
    error: &impl Fn(usize, String) -> PatternError,
) -> Result<Vec<(std::ops::Range<usize>, &'a str)>, PatternError> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for component in grok_split(pattern) {
        match component {
            GrokComponent::RegularExpression { range, .. } => end = range.end,
            GrokComponent::GrokPattern { range, pattern, .. } => {
                end = range.end;
                parts.push((range, pattern));
            }
            GrokComponent::PatternError(_) => {
                return Err(error(end, "no %{NAME}, %{NAME:field} or %{NAME:field=definition}".to_owned()));
            }
        }
        if parts.len() > MOST_PARTS {
            return Err(error(end, format!("more than {MOST_PARTS} patterns in one")));
        }
    }
    Ok(parts)
}

/// What is wrong with a pattern that does not compile, and where.
fn fault(
    pattern: &str,
    parts: &[(std::ops::Range<usize>, &str)],
    patterns: &::grok::Grok,
    error: &impl Fn(usize, String) -> PatternError,
) -> PatternError {
    for (range, part) in parts {
        match patterns.compile(part, true) {
            Ok(_) => {}
            Err(::grok::Error::DefinitionNotFound(name)) => {
                return error(range.start, format!("no pattern is named {name}"));
            }
            Err(_) => return error(range.start, format!("{part} needs more than an engine of linear time can")),
        }
    }
    // What stands between the named patterns, with letters in their places.
    let mut bare = pattern.as_bytes().to_vec();
    for (range, _) in parts {
        if let Some(place) = bare.get_mut(range.clone()) {
            place.fill(b'x');
        }
    }
    match regex_syntax::Parser::new().parse(&String::from_utf8_lossy(&bare)) {
        Err(regex_syntax::Error::Parse(fault)) => error(fault.span().start.offset, fault.kind().to_string()),
        Err(regex_syntax::Error::Translate(fault)) => error(fault.span().start.offset, fault.kind().to_string()),
        Err(_) | Ok(_) => error(0, "compiled, it is too large: use fewer or smaller repetitions".to_owned()),
    }
}

#[cfg(test)]
mod tests;
