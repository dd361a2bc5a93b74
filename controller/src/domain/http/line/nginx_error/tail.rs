//! The end of an entry, where the client is: found among texts that may look just like it.
use memchr::memmem;

use super::super::address;

/// What comes before the address.
const CLIENT: &[u8] = b", client: ";

/// Candidates that are looked at. A head of a request has room for more, and whoever fills it wants no reader to know.
const MOST_CANDIDATES: usize = 64;

/// The quoted fields, in nginx's order.
const FIELDS: [&[u8]; 5] = [b", request: \"", b", subrequest: \"", b", upstream: \"", b", host: \"", b", referrer: \""];

/// An entry's message and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail<'a> {
    pub(super) message: &'a [u8],
    pub(super) address: &'a [u8],
    pub(super) server: Option<&'a [u8]>,
    pub(super) request: Option<&'a [u8]>,
    pub(super) upstream: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) referrer: Option<&'a [u8]>,
}

/// More than one reading names a client, and they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// Takes what is said apart. `None` if there is no client.
pub(super) fn find(said: &[u8]) -> Option<Result<Tail<'_>, Ambiguous>> {
    let mut candidates = memmem::find_iter(said, CLIENT);
    let first = candidates.next()?;
    let Some(second) = candidates.next() else { return Some(Ok(apart(said, first))) };
    if candidates.count() + 2 > MOST_CANDIDATES {
        return Some(Err(Ambiguous));
    }
    let message = said.get(..first).unwrap_or_default();
    let mut found: Option<usize> = None;
    let possible = std::iter::once(first)
        // The others are possible only if the client had a hand in the message.
        .chain(
            std::iter::once(second).chain(memmem::find_iter(said, CLIENT).skip(2)).filter(|_| !is_nginx_own(message)),
        );
    for at in possible.filter(|at| may_be_nginx_own(said.get(at + CLIENT.len()..).unwrap_or_default())) {
        match found {
            Some(other) if apart(said, other).address != apart(said, at).address => return Some(Err(Ambiguous)),
            Some(_) => {}
            None => found = Some(at),
        }
    }
    Some(found.map(|at| apart(said, at)).ok_or(Ambiguous))
}

/// Whether a message is nginx's alone: it quotes nothing but the name of a zone, and no script of the operator's says it.
pub(super) fn is_nginx_own(message: &[u8]) -> bool {
    let limits = message.starts_with(b"limiting ") || message.starts_with(b"delaying request");
    let scripted = message.starts_with(b"[lua]") || message.starts_with(b"js: ");
    limits || !scripted && memchr::memchr2(b'"', b'\'', message).is_none()
}

/// Whether what follows `, client: ` may be what nginx writes there.
///
/// nginx quotes request, host and referrer as they came, so quotation marks within them break its own fields apart, and so
/// a break there is possible. A client's imitation within the message is followed by the rest of the message: it breaks
/// apart where nginx writes its own words, or behind a host, which has no slash on any nginx.
fn may_be_nginx_own(rest: &[u8]) -> bool {
    let end = memmem::find(rest, b", ").unwrap_or(rest.len());
    if address::parse(rest.get(..end).unwrap_or_default()).is_none() && !rest.starts_with(b"unix:") {
        return false;
    }
    let mut rest = rest.get(end..).unwrap_or_default();
    if let Some(server) = rest.strip_prefix(b", server: ") {
        let end = memmem::find(server, b", ").unwrap_or(server.len());
        if server.get(..end).is_some_and(|name| memchr::memchr2(b'"', b' ', name).is_some()) {
            return false;
        }
        rest = server.get(end..).unwrap_or_default();
    }
    for (place, field) in FIELDS.iter().enumerate() {
        let Some(inside) = rest.strip_prefix(*field) else { continue };
        let Some(end) = memchr::memchr(b'"', inside) else { return true };
        rest = inside.get(end + 1..).unwrap_or_default();
        let later = FIELDS.iter().skip(place + 1).any(|later| rest.starts_with(later));
        if rest.is_empty() {
            return true;
        }
        if !later {
            let value = inside.get(..end).unwrap_or_default();
            return match *field {
                b", host: \"" => {
                    let host = memmem::find(rest, b"\", referrer: \"").and_then(|at| rest.get(..at)).unwrap_or(rest);
                    memchr::memchr(b'/', host).is_none()
                }
                // Nothing can follow a request line's protocol but its end.
                b", request: \"" => !is_whole_request(value),
                _ => true,
            };
        }
    }
    rest.is_empty()
}

fn is_whole_request(value: &[u8]) -> bool {
    matches!(value, [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// The fields of an entry whose `, client: ` is at `at`.
fn apart(said: &[u8], at: usize) -> Tail<'_> {
    let mut tail = Tail { message: said.get(..at).unwrap_or_default(), ..Tail::default() };
    let rest = said.get(at + CLIENT.len()..).unwrap_or_default();
    let end = memmem::find(rest, b", ").unwrap_or(rest.len());
    tail.address = rest.get(..end).unwrap_or_default();
    let mut rest = rest.get(end..).unwrap_or_default();
    if let Some(server) = rest.strip_prefix(b", server: ") {
        let end = memmem::find(server, b", ").unwrap_or(server.len());
        tail.server = server.get(..end);
        rest = server.get(end..).unwrap_or_default();
    }
    for (place, field) in FIELDS.iter().enumerate() {
        let Some(inside) = rest.strip_prefix(*field) else { continue };
        // Up to the next of nginx's fields, or to the end: a value may hold quotation marks.
        let next = FIELDS.iter().skip(place + 1).filter_map(|later| {
            memmem::find_iter(inside, later)
                .find(|at| at.checked_sub(1).and_then(|quote| inside.get(quote)) == Some(&b'"'))
        });
        let end = next.min().unwrap_or(inside.len());
        let value = inside.get(..end).unwrap_or_default();
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        rest = inside.get(end..).unwrap_or_default();
        match *field {
            b", request: \"" => tail.request = Some(value),
            b", upstream: \"" => tail.upstream = Some(value),
            b", host: \"" => tail.host = Some(value),
            b", referrer: \"" => tail.referrer = Some(value),
            _ => {}
        }
    }
    tail
}
