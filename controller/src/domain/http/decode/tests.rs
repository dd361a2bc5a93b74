use proptest::prelude::*;

use super::*;
use crate::domain::http::event::{Event, EventKind};

fn event(uri: &str) -> Event {
    let mut event = Event::new(jiff::Timestamp::UNIX_EPOCH, EventKind::HttpRequest);
    event.uri = Some(uri.to_owned());
    event
}

#[test]
fn payloads_are_unwrapped() {
    for (text, kind, expected) in [
        ("/index.html", Kind::Path, "/index.html"),
        ("/Index.HTML", Kind::Path, "/index.html"),
        ("/a/%2e%2e/%2e%2e/etc/passwd", Kind::Path, "/a/../../etc/passwd"),
        ("/a/%252e%252e%255cx", Kind::Path, "/a/../x"),
        ("/..%c0%af..%c0%afetc", Kind::Path, "/../../etc"),
        (r"/a\b//c/./d/.", Kind::Path, "/a/b/c/d/."),
        ("//", Kind::Path, "/"),
        ("/passwd%00.jpg", Kind::Path, "/passwd.jpg%00"),
        ("id=1+UNION%0a%0dSELECT", Kind::Query, "id=1 union select"),
        ("id=1/**/uNiOn/*x*/select", Kind::Query, "id=1 union select x"),
        ("id=1/*!50000union*/select", Kind::Query, "id=1 union select"),
        ("q=%26lt;script%26gt;", Kind::Query, "q=<script>"),
        ("q=%EF%BC%9Cscript%EF%BC%9E", Kind::Query, "q=<script>"),
        ("q=%u003cscript\\u003e", Kind::Query, "q=<script>"),
        ("a=1&lt=2&b=3", Kind::Query, "a=1&lt=2&b=3"),
        ("100%", Kind::Text, "100%"),
        ("Mozilla/5.0 (+http://a.example/)", Kind::Text, "mozilla/5.0 (+http://a.example/)"),
        ("%ff%fe", Kind::Text, "%ff%fe"),
    ] {
        assert_eq!(decode(text, kind), expected, "{text}");
    }
}

#[test]
fn what_needs_no_decoding_is_borrowed() {
    for (text, kind) in [("/a/b-c.html", Kind::Path), ("a=b&c=d", Kind::Query), ("a+b", Kind::Text)] {
        assert!(matches!(decode(text, kind), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn only_the_first_bytes_are_judged() {
    let long = "\u{e4}".repeat(JUDGED_BYTES);
    let decoded = decode(&long, Kind::Text);
    assert_eq!(decoded.len(), JUDGED_BYTES);
}

#[test]
fn views_are_of_one_event() {
    let mut event = event("/A%20b?x=%3Cb%3E");
    event.method = Some("GET".to_owned());
    event.user_agent = Some("${JNDI:x}".to_owned());
    let views = Views::new(&event);
    assert_eq!(views.request(), Some("/a b\nx=<b>"));
    assert_eq!(views.payload(), "/a b\nx=<b>\n${jndi:x}\nget");
    assert!(views.is_wrapped(Part::Path) && !views.is_wrapped(Part::Agent));
    assert_eq!(views.decoded(Part::Cookie), None);
}

/// Ways to wrap a text that an application would take off again.
#[derive(Clone, Copy, Debug)]
enum Wrap {
    Percent,
    PercentAll,
    PercentU,
    Script,
    ScriptHex,
    Decimal,
    Hex,
    FullWidth,
    Upper,
    ZeroWidth,
}

const WRAPS: [Wrap; 10] = [
    Wrap::Percent,
    Wrap::PercentAll,
    Wrap::PercentU,
    Wrap::Script,
    Wrap::ScriptHex,
    Wrap::Decimal,
    Wrap::Hex,
    Wrap::FullWidth,
    Wrap::Upper,
    Wrap::ZeroWidth,
];

fn wrapped(text: &str, wrap: Wrap) -> String {
    let each = |one: &dyn Fn(char) -> String| text.chars().map(one).collect::<String>();
    let bytes = |c: char| c.to_string().bytes().map(|b| format!("%{b:02X}")).collect::<Vec<_>>().concat();
    match wrap {
        Wrap::Percent => each(&|c| if c.is_ascii_alphanumeric() { c.to_string() } else { bytes(c) }),
        Wrap::PercentAll => each(&bytes),
        Wrap::PercentU => each(&|c| format!("%u{:04x}", u32::from(c))),
        Wrap::Script => each(&|c| format!("\\u{:04x}", u32::from(c))),
        Wrap::ScriptHex => each(&|c| if c.is_ascii() { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() }),
        Wrap::Decimal => each(&|c| format!("&#{};", u32::from(c))),
        Wrap::Hex => each(&|c| format!("&#x{:x};", u32::from(c))),
        Wrap::FullWidth => each(&|c| {
            let wide = c.is_ascii_graphic().then(|| char::from_u32(u32::from(c) + 0xff01 - 0x21)).flatten();
            wide.unwrap_or(c).to_string()
        }),
        Wrap::Upper => text.to_ascii_uppercase(),
        Wrap::ZeroWidth => each(&|c| format!("{c}\u{200b}")),
    }
}

fn stack() -> impl Strategy<Value = Vec<Wrap>> {
    proptest::collection::vec(proptest::sample::select(&WRAPS[..]), 0..4)
}

/// Text that is likely to look like something.
fn text() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "%", "%2", "%25", "%00", "%u00", "\\", "\\x4", "\\u", "{", "}", "&", "&lt", "&#", "&#x3", ";", "/", "//", "/.",
        ".", "/*", "*/", "/*!5", " ", "+", "\t", "a", "F", "41", "c0", "\u{ff05}", "\u{200b}", "\u{e4}", "\u{130}",
        "\u{23a}", "=", "\0", "amp",
    ]);
    prop_oneof![proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_decoded_stays_so(text in text(), kind in proptest::sample::select(&[Kind::Path, Kind::Query, Kind::Text][..])) {
        let once = decode(&text, kind).into_owned();
        prop_assert!(once.len() <= bound(text.len()), "{} bytes of {}", once.len(), text.len());
        // Deeper than it is looked is no fixed point.
        let mut nul = false;
        let mut rounds = text.clone();
        for _ in 0..ROUNDS {
            rounds = unwrap::once(&rounds, kind, &mut nul);
        }
        prop_assume!(unwrap::once(&rounds, kind, &mut nul) == rounds);
        prop_assert_eq!(decode(&once, kind), once.as_str());
    }

    #[test]
    fn a_payload_is_found_under_whatever_it_was_wrapped_in(
        plain in proptest::sample::select(&["union select", "../../etc/passwd", "<script>alert(1)</script>", "${jndi:ldap://x}", "';drop table--"][..]),
        stack in stack(),
    ) {
        let text = stack.iter().fold(plain.to_owned(), |text, wrap| wrapped(&text, *wrap));
        let mut in_query = event("/");
        in_query.uri = Some(format!("/?q={text}").replace(['#', '?'], "%23").replacen("%23", "?", 1));
        let agent = Event { user_agent: Some(text.clone()), uri: None, ..in_query.clone() };
        for event in [in_query, agent] {
            let views = Views::new(&event);
            prop_assert!(views.payload().contains(plain), "{:?} of {text}", views.payload());
        }
    }
}
