//! nginx's access log as JSON, with the names that people give its variables.
use super::json::Fields;
use super::{Context, Line, Scope, Unparsed, address, request, request_event, text};
use crate::domain::http::client::{ForwardedHeader, Peer};
use crate::domain::http::event::Event;

/// Names of the address. The first is nginx's own variable; the others stand for it where it is missing.
const ADDRESS: [&str; 16] = [
    "remote_addr",
    "remote_ip",
    "remoteAddr",
    "remoteIp",
    "client_ip",
    "clientip",
    "clientIp",
    "client_addr",
    "client",
    "ip",
    "src_ip",
    "source_ip",
    "remote",
    "c-ip",
    "network.client.ip",
    "source.ip",
];
const TIME: [&str; 10] =
    ["time_iso8601", "time_local", "@timestamp", "timestamp", "time", "msec", "ts", "date", "datetime", "time_utc"];
const REQUEST: [&str; 3] = ["request", "request_line", "http_request"];
const METHOD: [&str; 5] = ["request_method", "method", "http_method", "verb", "http.request.method"];
const URI: [&str; 7] = ["request_uri", "uri", "url", "path", "request_path", "http.url", "url.original"];
const QUERY: [&str; 4] = ["args", "query_string", "query", "request_args"];
const VERSION: [&str; 4] = ["server_protocol", "protocol", "http_version", "request_proto"];
const STATUS: [&str; 6] = ["status", "status_code", "response", "code", "http_status", "http.response.status_code"];
const SENT: [&str; 7] =
    ["body_bytes_sent", "bytes_sent", "bytes", "size", "response_size", "sent", "http.response.bytes"];
const RECEIVED: [&str; 3] = ["request_length", "bytes_received", "request_size"];
const DURATION: [&str; 7] =
    ["request_time", "duration", "response_time", "responsetime", "time_taken", "latency", "request_duration"];
const HOST: [&str; 7] = ["http_host", "host", "server_name", "vhost", "domain", "request_host", "virtual_host"];
const AGENT: [&str; 7] =
    ["http_user_agent", "user_agent", "agent", "useragent", "userAgent", "ua", "user_agent.original"];
const REFERER: [&str; 5] = ["http_referer", "http_referrer", "referer", "referrer", "ref"];
const COOKIE: [&str; 3] = ["http_cookie", "cookie", "cookies"];
const USER: [&str; 4] = ["remote_user", "user", "auth_user", "username"];
const FORWARDED_FOR: [&str; 6] =
    ["http_x_forwarded_for", "x_forwarded_for", "x-forwarded-for", "xff", "forwarded_for", "X-Forwarded-For"];
const FORWARDED: [&str; 2] = ["http_forwarded", "forwarded"];

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(fields) = Fields::read(line, scope.cut) else { return Line::Unparsed(Unparsed::Json) };
    let address = fields.first(&ADDRESS);
    let asked = fields.first(&REQUEST).or_else(|| fields.first(&URI));
    if address.is_none() && asked.is_none() {
        return Line::Unparsed(Unparsed::Format);
    }
    let time = TIME.iter().find_map(|name| match fields.text(name) {
        Some(text) => Some(scope.times.any(text.as_bytes(), context.received, &context.zone)),
        None => fields.number(name).map(super::time::epoch),
    });
    let Some(time) = time.unwrap_or_else(|| Some(scope.other_time(context))) else {
        return Line::Unparsed(Unparsed::Time);
    };
    let mut event = request_event(time);
    fill(&mut event, &fields);
    if ADDRESS.iter().any(|name| fields.contradicts(name)) {
        return Line::Unparsed(Unparsed::Ambiguous);
    }
    // Without nginx's own name for the peer, one of two others may be what the client says of itself.
    let mut told = ADDRESS.iter().filter_map(|name| fields.text(name));
    if fields.text("remote_addr").is_none() && told.next().is_some_and(|one| told.any(|other| other != one)) {
        return Line::Unparsed(Unparsed::Ambiguous);
    }
    let peer = address.map_or(Peer::Unknown, |(_, text)| address::peer(text.as_bytes()));
    event.forwarded_for = match scope.trusted.header() {
        ForwardedHeader::XForwardedFor => settled(&fields, &FORWARDED_FOR),
        ForwardedHeader::Forwarded => settled(&fields, &FORWARDED),
    };
    scope.client(&mut event, peer);
    if let Some(before) = fields.text("realip_remote_addr").and_then(|text| address::parse(text.as_bytes())) {
        // nginx has counted the hops itself, and says who it was connected to.
        event.peer = Some(before);
    }
    Line::Event(event)
}

fn fill(event: &mut Event, fields: &Fields) {
    if let Some((_, line)) = fields.first(&REQUEST) {
        request::read(event, line.as_bytes(), text::plain);
    }
    let missing = |have: &Option<String>, names: &[&str]| have.clone().or_else(|| settled(fields, names));
    event.method = missing(&event.method, &METHOD);
    event.version = missing(&event.version, &VERSION);
    if event.uri.is_none() {
        event.uri = settled(fields, &URI);
        if let (Some(uri), Some(query)) = (&mut event.uri, settled(fields, &QUERY))
            && !uri.contains('?')
        {
            uri.push('?');
            uri.push_str(&query);
        }
    }
    event.host = settled(fields, &HOST);
    event.user_agent = settled(fields, &AGENT);
    event.referer = settled(fields, &REFERER);
    event.cookie = settled(fields, &COOKIE);
    event.user = settled(fields, &USER);
    let count = |names: &[&str]| names.iter().find_map(|name| fields.count(name));
    event.status = count(&STATUS).and_then(|status| u16::try_from(status).ok());
    event.bytes_sent = count(&SENT);
    event.bytes_received = count(&RECEIVED);
    event.duration_s = DURATION.iter().find_map(|name| fields.number(name)).filter(|seconds| *seconds >= 0.0);
}

fn settled(fields: &Fields, names: &[&str]) -> Option<String> {
    fields.first(names).map(|(_, text)| text::settled(text.to_owned()))
}

#[cfg(test)]
mod tests;
