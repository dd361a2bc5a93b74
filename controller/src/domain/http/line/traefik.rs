//! Traefik's access log as JSON.
use super::json::Fields;
use super::{Context, Line, Scope, Unparsed, address, request_event, text};
use crate::domain::http::client::{ForwardedHeader, Peer};

pub(super) fn read(line: &[u8], scope: &mut Scope, context: &Context) -> Line {
    let Some(fields) = Fields::read(line, scope.cut) else { return Line::Unparsed(Unparsed::Json) };
    if fields.first(&["ClientAddr", "ClientHost"]).is_none() {
        return Line::Nothing;
    }
    let at = match fields.first(&["StartUTC", "StartLocal", "time"]) {
        Some((_, text)) => scope.times.iso(text.as_bytes(), &context.zone),
        None => Some(scope.other_time(context)),
    };
    let Some(at) = at else { return Line::Unparsed(Unparsed::Time) };
    if ["ClientAddr", "ClientHost"].iter().any(|name| fields.contradicts(name)) {
        return Line::Unparsed(Unparsed::Ambiguous);
    }
    let mut event = request_event(at);
    event.method = fields.settled("RequestMethod");
    event.uri = fields.settled("RequestPath");
    event.version = fields.settled("RequestProtocol");
    event.host = fields.settled("RequestHost").or_else(|| fields.settled("RequestAddr"));
    event.user = fields.settled("ClientUsername");
    let status = fields.count("DownstreamStatus").or_else(|| fields.count("OriginStatus"));
    event.status = status.and_then(|status| u16::try_from(status).ok());
    event.bytes_sent = fields.count("DownstreamContentSize").or_else(|| fields.count("OriginContentSize"));
    event.bytes_received = fields.count("RequestContentSize");
    event.duration_s = fields.number("Duration").filter(|nanoseconds| *nanoseconds >= 0.0).map(|ns| ns / 1e9);
    let header = |name: &str| {
        let mut kept = fields.below_prefix("request_");
        kept.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| text::settled(value.to_owned()))
    };
    event.user_agent = header("User-Agent");
    event.referer = header("Referer");
    event.cookie = header("Cookie");
    // The address is the peer's, always. `ClientHost` is the first line of that header, which may be the client's own where a
    // proxy adds a line of its own behind it.
    event.forwarded_for = match scope.trusted.header() {
        ForwardedHeader::XForwardedFor => header("X-Forwarded-For"),
        ForwardedHeader::Forwarded => header("Forwarded"),
    };
    let peer_at = |name: &str| fields.text(name).map(|text| address::peer(text.as_bytes()));
    let peer = peer_at("ClientAddr").or_else(|| peer_at("ClientHost")).unwrap_or(Peer::Unknown);
    scope.client(&mut event, peer);
    if event.forwarded_for.as_deref().is_some_and(|host| peer_is(peer, host)) {
        event.forwarded_for = None;
    }
    for (name, kept) in [("RouterName", "router"), ("ServiceURL", "upstream")] {
        if let Some(value) = fields.settled(name) {
            event.details.insert(kept.to_owned(), value);
        }
    }
    Line::Event(event)
}

/// Whether a text is no more than the peer once again.
fn peer_is(peer: Peer, host: &str) -> bool {
    peer.address().is_some() && address::parse(host.as_bytes()) == peer.address()
}

#[cfg(test)]
mod tests;
