//! Caddy's access log.
//!
//! Its levels say nothing: a 404 has level `error`. A header's name is the client's choice, so only `request.headers` may
//! hold such names, and only the known ones are looked up in it.
use super::json::Fields;
use super::{Context, Line, Scope, Unparsed, address, request_event, text, time};
use crate::domain::http::client::{ForwardedHeader, Peer};

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(fields) = Fields::read(line, scope.cut) else { return Line::Unparsed(Unparsed::Json) };
    let access = fields.text("logger").is_some_and(|logger| logger.starts_with("http.log.access"))
        || fields.text("msg") == Some("handled request");
    if !access {
        // What other loggers say of a request, the access log says too.
        return Line::Nothing;
    }
    let at = match fields.number("ts").map(time::epoch) {
        Some(time) => time,
        None => match fields.first(&["ts", "time", "timestamp"]) {
            Some((_, text)) => {
                // Caddy's own zap encoders write `2006/01/02 15:04:05.000` too.
                let slashes = text.as_bytes().get(..19).and_then(|text| scope.times.slashes(text, &context.zone));
                slashes.or_else(|| scope.times.any(text.as_bytes(), context.received, &context.zone))
            }
            None => Some(scope.other_time(context)),
        },
    };
    let Some(at) = at else { return Line::Unparsed(Unparsed::Time) };
    if ["request.remote_ip", "request.client_ip", "request.remote_addr"].iter().any(|path| fields.contradicts(path)) {
        return Line::Unparsed(Unparsed::Ambiguous);
    }
    let mut event = request_event(at);
    event.method = fields.settled("request.method");
    event.uri = fields.settled("request.uri");
    event.version = fields.settled("request.proto");
    event.host = fields.settled("request.host");
    event.user = fields.settled("user_id");
    event.status = fields.count("status").and_then(|status| u16::try_from(status).ok());
    event.bytes_sent = fields.count("size");
    event.bytes_received = fields.count("bytes_read");
    event.duration_s = fields.number("duration").filter(|seconds| *seconds >= 0.0);
    let header = |name: &str| {
        let mut headers = fields.below_prefix("request.headers.");
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| text::settled(value.to_owned()))
    };
    event.user_agent = header("User-Agent");
    event.referer = header("Referer");
    event.cookie = header("Cookie");
    event.forwarded_for = header(match scope.trusted.header() {
        ForwardedHeader::XForwardedFor => "X-Forwarded-For",
        ForwardedHeader::Forwarded => "Forwarded",
    });
    let peer_at = |path: &str| fields.text(path).map(|text| address::peer(text.as_bytes()));
    let remote = peer_at("request.remote_ip").or_else(|| peer_at("request.remote_addr")).unwrap_or(Peer::Unknown);
    scope.client(&mut event, remote);
    // From 2.7 on Caddy names the client by its own list of trusted proxies; without one, both are the peer.
    if let Some(Peer::Address(client)) = peer_at("request.client_ip")
        && Peer::Address(client) != remote
    {
        event.client = Some(client);
    }
    Line::Event(event)
}

#[cfg(test)]
mod tests;
