//! Whose an event is, as numbers nobody outside can foresee: no table of ours can be aimed at.
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use super::super::event::{Event, EventKind};

/// Segments of a path that make its endpoint, and bytes of a text that make its key.
const SEGMENTS: usize = 16;
const LONGEST: usize = 512;

/// A secret, mixed into every key.
#[derive(Clone, Debug)]
pub(super) struct Seed(DefaultHasher);

impl Seed {
    /// Another one each time.
    pub(super) fn random() -> Self {
        Self(RandomState::new().build_hasher())
    }

    /// Always the same of a number.
    pub(super) fn fixed(seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        Self(hasher)
    }

    /// The key of a text.
    pub(super) fn text(&self, kind: u8, text: &str) -> u64 {
        let mut hasher = self.0.clone();
        hasher.write_u8(kind);
        let bytes = text.as_bytes();
        hasher.write(bytes.get(..LONGEST).unwrap_or(bytes));
        hasher.finish()
    }

    fn source(&self, source: IpAddr) -> u64 {
        let mut hasher = self.0.clone();
        hasher.write_u8(b's');
        match source.to_canonical() {
            IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
            // A customer has a /64 and can change the rest with each request.
            IpAddr::V6(address) => hasher.write_u128(address.to_bits() >> 64 | 1 << 127),
        }
        hasher.finish()
    }

    fn endpoint(&self, endpoint: &str) -> u64 {
        let mut hasher = self.0.clone();
        hasher.write_u8(b'e');
        for segment in segments(endpoint) {
            segment.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Whose an event is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    /// Its address, or IPv6 /64.
    pub(super) source: Option<u64>,
    /// Its user.
    pub(super) user: Option<u64>,
    /// Its API key.
    pub(super) api_key: Option<u64>,
    /// Its endpoint.
    pub(super) endpoint: Option<u64>,
}

/// An event with what all analyzers want to know about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) event: &'a Event,
    pub(super) keys: Keys,
    pub(super) seed: &'a Seed,
    pub(super) at_ms: i64,
}

impl<'a> Seen<'a> {
    pub(super) fn new(seed: &'a Seed, event: &'a Event) -> Self {
        let keys = Keys {
            source: event.client.map(|source| seed.source(source)),
            user: user(event).map(|user| seed.text(b'u', user)),
            api_key: event.api_key_id.as_deref().filter(|id| is_given(id)).map(|id| seed.text(b'k', id)),
            endpoint: event.endpoint().map(|endpoint| seed.endpoint(endpoint)),
        };
        Self { event, keys, seed, at_ms: event.time.as_millisecond() }
    }

    pub(super) fn at_s(&self) -> i64 {
        self.event.time.as_second()
    }

    /// Whether somebody asked for something.
    pub(super) fn is_request(&self) -> bool {
        self.event.kind == EventKind::HttpRequest
    }

    /// Whether the user is who they say they are, as far as the answer shows: not with one that refuses them.
    pub(super) fn is_signed_in(&self) -> bool {
        self.event.kind != EventKind::AuthFailed && self.event.status != Some(401)
    }
}

/// The user, where the log has one.
pub(super) fn user(event: &Event) -> Option<&str> {
    event.user.as_deref().filter(|user| is_given(user))
}

fn is_given(text: &str) -> bool {
    !text.is_empty() && text != "-"
}

/// An endpoint as people know it: numbers and long ids in a path are one.
pub(super) fn endpoint_name(endpoint: &str) -> String {
    let mut name = String::new();
    for segment in segments(endpoint) {
        name.push('/');
        name.extend(segment.chars().take(64));
    }
    if name.is_empty() { "/".to_owned() } else { name }
}

fn segments(endpoint: &str) -> impl Iterator<Item = &str> {
    let segments = endpoint.split('/').filter(|segment| !segment.is_empty()).take(SEGMENTS);
    segments.map(|segment| if is_id(segment) { "*" } else { segment })
}

fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_hex = || bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    digits > 0 && (digits == bytes.len() || (bytes.len() >= 8 && is_hex()))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn ids_in_a_path_are_one_endpoint() {
        for (path, expected) in [
            ("/users/17/orders/9", "/users/*/orders/*"),
            ("/f/0b7e1a2c-93b1-4a5e-8f11-5b0d3cb2a1ff", "/f/*"),
            ("/f/deadbeef", "/f/deadbeef"),
            ("/2015/05/a-title", "/*/*/a-title"),
            ("/v1/cafe", "/v1/cafe"),
            ("//a//b/", "/a/b"),
            ("", "/"),
            ("/", "/"),
        ] {
            assert_eq!(endpoint_name(path), expected, "{path}");
        }
        let seed = Seed::fixed(1);
        assert_eq!(seed.endpoint("/users/17"), seed.endpoint("/users/18/"));
        assert_ne!(seed.endpoint("/a/b"), seed.endpoint("/ab"));
    }

    #[test]
    fn an_ipv6_source_is_its_64_and_a_mapped_one_its_ipv4() {
        let key = |address: &str| Seed::fixed(1).source(address.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(Seed::fixed(2).source("192.0.2.1".parse().unwrap()), key("192.0.2.1"));
    }

    #[test]
    fn a_dash_is_nobody() {
        let mut event = Event::new(Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
        (event.user, event.api_key_id) = (Some("-".to_owned()), Some(String::new()));
        let seed = Seed::random();
        let keys = Seen::new(&seed, &event).keys;
        assert_eq!((keys.user, keys.api_key, keys.source), (None, None, None));
    }
}
