//! The fields that rules know an event by.
use crate::domain::http::decode::Part;

/// Every field with what it holds: Sigma's web taxonomy first, then what other events have, then what is decoded.
pub const FIELDS: [(&str, &str); 49] = [
    ("c-ip", "address of the client"),
    ("c_ip", "the same"),
    ("src_ip", "the same"),
    ("source.ip", "the same"),
    ("cs-method", "method"),
    ("http-method", "the same"),
    ("cs-uri", "path and query as they came"),
    ("c-uri", "the same"),
    ("cs-uri-full", "the same"),
    ("cs-uri-stem", "path as it came"),
    ("c-uri-stem", "the same"),
    ("cs-uri-query", "query as it came; in a detection also path and query, as published rules have it"),
    ("c-uri-query", "the same"),
    ("cs-version", "protocol, such as HTTP/1.1"),
    ("cs-host", "Host"),
    ("c-uri-host", "the same"),
    ("cs-user-agent", "User-Agent"),
    ("c-useragent", "the same"),
    ("cs-useragent", "the same"),
    ("cs-referer", "Referer"),
    ("cs-referrer", "the same"),
    ("c-referer", "the same"),
    ("cs-cookie", "Cookie"),
    ("cs-username", "the user's name"),
    ("user", "the same"),
    ("cs-content-type", "Content-Type, where a log has it"),
    ("sc-status", "status of the answer"),
    ("sc-bytes", "bytes of the answer"),
    ("cs-bytes", "bytes of the request"),
    ("time-taken", "seconds the answer took"),
    ("message", "what the server or the application says"),
    ("component", "the part of the server that says it"),
    ("session", "the session"),
    ("api-key-id", "the API key's identity"),
    ("endpoint", "the endpoint that an application names, else the path"),
    ("c-country", "country of the client, two letters"),
    ("event-type", "what happened: http_request, auth_failed and so on"),
    ("x-forwarded-for", "X-Forwarded-For as it came"),
    ("details.NAME", "anything else that an application or a log gives, by its name"),
    ("path-decoded", "path, decoded"),
    ("query-decoded", "query, decoded"),
    ("referer-decoded", "Referer, decoded"),
    ("agent-decoded", "User-Agent, decoded"),
    ("cookie-decoded", "Cookie, decoded"),
    ("host-decoded", "Host, decoded"),
    ("user-decoded", "the user's name, decoded"),
    ("request-decoded", "path and query, decoded, each on a line"),
    ("payload", "all of the decoded ones, then method and protocol, each on a line"),
    ("payload-decoded", "the same"),
];

/// What stands before the name of something in an event's `details`.
pub(super) const DETAILS: &str = "details.";

/// The query alone, for a rule that asks whether there is one.
pub(super) const QUERY_ALONE: &str = "cs-uri-query alone";

/// Whether it is a field that an event may have.
pub(super) fn known(name: &str) -> bool {
    let named = name.strip_prefix(DETAILS).is_some_and(|name| !name.is_empty());
    named || name == QUERY_ALONE || FIELDS.iter().any(|(known, _)| *known == name)
}

/// The field that a name was meant for, if one is like it.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let likeness = |field: &str| strsim::jaro_winkler(&name, field);
    let nearest = FIELDS.iter().map(|(field, _)| *field).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.filter(|field| likeness(field) > 0.8)
}

/// Whether it is the name of the source's address.
pub(super) fn is_source(name: &str) -> bool {
    matches!(name, "source" | "c-ip" | "c_ip" | "src_ip" | "source.ip")
}

/// Whether it is the name of the user.
pub(super) fn is_user(name: &str) -> bool {
    matches!(name, "user" | "cs-username" | "user-decoded")
}

/// Whether it is the query.
pub(super) fn is_query(name: &str) -> bool {
    matches!(name, "cs-uri-query" | "c-uri-query")
}

/// The text that a field is, decoded or as it came, if it is one of those that are decoded.
pub(super) fn part(name: &str) -> Option<(Part, Form)> {
    Some(match name {
        "path-decoded" => (Part::Path, Form::Decoded),
        "query-decoded" => (Part::Query, Form::Decoded),
        "referer-decoded" => (Part::Referer, Form::Decoded),
        "agent-decoded" => (Part::Agent, Form::Decoded),
        "cookie-decoded" => (Part::Cookie, Form::Decoded),
        "host-decoded" => (Part::Host, Form::Decoded),
        "user-decoded" => (Part::User, Form::Decoded),
        "cs-uri-stem" | "c-uri-stem" => (Part::Path, Form::Raw),
        QUERY_ALONE => (Part::Query, Form::Raw),
        "cs-referer" | "cs-referrer" | "c-referer" => (Part::Referer, Form::Raw),
        "cs-user-agent" | "c-useragent" | "cs-useragent" => (Part::Agent, Form::Raw),
        "cs-cookie" => (Part::Cookie, Form::Raw),
        "cs-host" | "c-uri-host" => (Part::Host, Form::Raw),
        "cs-username" | "user" => (Part::User, Form::Raw),
        "message" => (Part::Message, Form::Raw),
        _ => return None,
    })
}

/// Whether a field's text is always decoded, and so in lower case.
pub(super) fn is_decoded(name: &str) -> bool {
    matches!(name, "payload" | "payload-decoded" | "request-decoded") || matches!(part(name), Some((_, Form::Decoded)))
}

/// How a text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it came.
    Raw,
    /// Decoded.
    Decoded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decoded_text_is_known_by_its_name() {
        for part in Part::ALL {
            if let Some(name) = part.decoded_name() {
                assert_eq!(super::part(name), Some((part, Form::Decoded)), "{name}");
                assert!(known(name));
            }
        }
    }

    #[test]
    fn a_name_that_is_no_field_leads_to_the_one_that_was_meant() {
        assert!(known("cs-uri-stem") && known("details.order") && !known("details.") && !known("cs-uri-stam"));
        assert_eq!(nearest("cs-uri-stam"), Some("cs-uri-stem"));
        assert_eq!(nearest("query_decoded"), Some("query-decoded"));
        assert_eq!(nearest("ParentImage"), None);
    }
}
