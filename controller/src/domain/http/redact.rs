//! What is secret in a line is blotted out before it is kept or shown.
use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::{Captures, Regex};

/// What stands where something secret stood.
pub const BLOT: &str = "***";

/// Names whose values are secret, in queries, forms and JSON. A prefix or suffix may stand before or behind (`user_password`,
/// `token2`), so that what is named alike is not missed.
const SECRETS: &str = "pass|passw|passwd|password|passwort|passphrase|pwd|secret|token|jwt|api[-_]?key|apikey|access[-_]?key|\
    private[-_]?key|client[-_]?secret|credential|credentials|auth|sessionid|session[-_]?id|sid|phpsessid|jsessionid|\
    signature|otp|pin|cvv|ssn|card[-_]?number";

/// Parts of which every text has one that a pattern may find something in: most texts have none, and are not looked at
/// further.
const HINTS: [&str; 19] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "jwt",
    "key",
    "credential",
    "auth",
    "sid",
    "session",
    "signature",
    "otp",
    "pin",
    "cvv",
    "ssn",
    "number",
    "cookie",
    "://",
    "eyJ",
];

static HINTED: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(HINTS).ok());

/// What each pattern finds: (1) what stays before it, (2) the secret, if a group says so.
static PATTERNS: LazyLock<Vec<(Regex, Kind)>> = LazyLock::new(|| {
    let sources = [
        // Headers: "Authorization: Basic Zm9v", "Proxy-Authorization":["Bearer x"], Authorization=…
        (
            r#"(?i)((?:proxy-)?authorization["']?\s*[:=]\s*\[?\s*["']?\s*(?:(?:basic|bearer|digest|negotiate|token|apikey)\s+)?)([^"'\]\r\n]+)"#
                .to_owned(),
            Kind::Value,
        ),
        (r#"(?i)(\bx-(?:api-key|auth-token|access-token|csrf-token)["']?\s*[:=]\s*\[?\s*["']?\s*)([^"'\],\s]+)"#.to_owned(), Kind::Value),
        // "Cookie: a=b; c=d", "Set-Cookie":["a=b; Path=/"]: the names stay.
        (r#"(?i)(\b(?:set-)?cookie["']?\s*[:=]\s*\[?\s*["']?\s*)([^"'\]\r\n]+)"#.to_owned(), Kind::Cookies),
        // Keys of JSON, and of JSON that a log has escaped.
        (
            format!(r#"(?i)(\\?["'](?:[\w.-]{{0,32}}[_.-])?(?:{SECRETS})(?:[_.-]\w{{1,8}}|\d{{1,3}})?\\?["']\s*:\s*\\?["'])([^"'\\]+)"#),
            Kind::Value,
        ),
        // Pairs of queries and forms, also percent-encoded ones.
        (
            format!(r"(?i)((?:^|[?&;\s,{{(|'\x22]|%26|%3f)(?:[\w.\[-]{{0,32}}[_.\[-])?(?:{SECRETS})(?:[_.-]\w{{1,8}}|\d{{1,3}})?\]?(?:=|%3d))([^&;\s\x22']+)"),
            Kind::Value,
        ),
        // Name and password in a URL.
        (r"(?i)(\b[a-z][a-z0-9+.-]{1,15}://)([^/\s@?#\x22']{1,256})@".to_owned(), Kind::Userinfo),
        // JSON web tokens, wherever they stand.
        (r"()(\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?)".to_owned(), Kind::Value),
    ];
    // A pattern that does not compile would hide nothing in silence: the tests have an example of each.
    sources.into_iter().filter_map(|(source, kind)| Some((Regex::new(&source).ok()?, kind))).collect()
});

#[derive(Clone, Copy, Debug)]
enum Kind {
    Value,
    Cookies,
    Userinfo,
}

/// The text with what is secret in it blotted out: values of `Authorization` and the like, of cookies, of parameters named
/// as passwords, keys and tokens are, names and passwords in URLs, JSON web tokens. Names stay.
pub fn redacted(text: &str) -> Cow<'_, str> {
    if HINTED.as_ref().is_some_and(|hinted| !hinted.is_match(text)) {
        return Cow::Borrowed(text);
    }
    let mut text = Cow::Borrowed(text);
    for (pattern, kind) in PATTERNS.iter() {
        if let Cow::Owned(changed) = pattern.replace_all(&text, |found: &Captures<'_>| blotted(found, *kind)) {
            text = Cow::Owned(changed);
        }
    }
    text
}

fn blotted(found: &Captures<'_>, kind: Kind) -> String {
    let group = |number| found.get(number).map_or("", |group| group.as_str());
    let (before, secret) = (group(1), group(2));
    match kind {
        Kind::Value => format!("{before}{BLOT}"),
        Kind::Userinfo => format!("{before}{BLOT}@"),
        Kind::Cookies => {
            let cookies = secret.split(';').map(|cookie| match cookie.split_once('=') {
                Some((name, _)) => format!("{name}={BLOT}"),
                None => BLOT.to_owned(),
            });
            let cookies: Vec<String> = cookies.collect();
            format!("{before}{}", cookies.join(";"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redacted(text), expected);
        assert_eq!(redacted(expected), expected, "what is blotted out stays as it is");
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(PATTERNS.len(), 7);
    }

    #[test]
    fn secrets_are_blotted_out_and_names_stay() {
        for (text, expected) in [
            ("Authorization: Basic YWxpY2U6aHVudGVyMg==", "Authorization: Basic ***"),
            (r#"{"Authorization":["Bearer abc.def"]}"#, r#"{"Authorization":["Bearer ***"]}"#),
            ("proxy-authorization=Digest username", "proxy-authorization=Digest ***"),
            ("X-Api-Key: 0123", "X-Api-Key: ***"),
            ("Cookie: a=b; sid=c", "Cookie: a=***; sid=***"),
            (r#""Set-Cookie":["a=b; Path=/"]"#, r#""Set-Cookie":["a=***; Path=***"]"#),
            (
                "GET /login?user=bob&password=hunter2&next=/ HTTP/1.1",
                "GET /login?user=bob&password=***&next=/ HTTP/1.1",
            ),
            ("/a?access_token=abc&b=c", "/a?access_token=***&b=c"),
            ("/a?user[password]=abc&b=c", "/a?user[password]=***&b=c"),
            ("/a?new_password2=abc&pass_again=abc", "/a?new_password2=***&pass_again=***"),
            ("/a?next=%2Fb%3Ftoken%3Dabc", "/a?next=%2Fb%3Ftoken%3D***"),
            (r#"{"user":"bob","password":"hunter2"}"#, r#"{"user":"bob","password":"***"}"#),
            (r#"{\"api_key\":\"hunter2\"}"#, r#"{\"api_key\":\"***\"}"#),
            ("http://bob:hunter2@host/", "http://***@host/"),
            ("to eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl now", "to *** now"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        for line in [
            r#"192.0.2.7 - bob [10/Oct/2026:13:55:36 +0000] "GET /a?id=1' OR '1'='1 HTTP/1.1" 200 23 "-" "Mozilla/5.0""#,
            "GET /compass=north /passenger?name=bob",
            "GET /author?q=authors",
            "GET /?author=1&passenger=bob&pinned=1",
            "user bob: authentication failure",
        ] {
            assert_eq!(redacted(line), line);
        }
    }

    proptest! {
        #[test]
        fn a_password_never_stays(name in "[a-z]{0,5}", value in "[A-Za-z0-9!$%*+._-]{1,40}") {
            let secret = format!("S3cr3t{value}");
            let line = format!("GET /x?{name}=1&password={secret}&y=2 HTTP/1.1");
            prop_assert!(!redacted(&line).contains("S3cr3t"));
        }

        #[test]
        fn what_no_hint_is_in_holds_nothing_secret(text in "[a-z=&?;{}\"':/.% -]{0,60}|(otp|pin|cvv|ssn|sid)[a-z0-9_.=%-]{0,9}") {
            let mut hidden = Cow::Borrowed(text.as_str());
            for (pattern, kind) in PATTERNS.iter() {
                hidden = Cow::Owned(pattern.replace_all(&hidden, |found: &Captures<'_>| blotted(found, *kind)).into_owned());
            }
            prop_assert_eq!(redacted(&text), hidden);
        }

        #[test]
        fn no_text_stops_it(text in "\\PC{0,200}") {
            redacted(&text);
        }
    }
}
