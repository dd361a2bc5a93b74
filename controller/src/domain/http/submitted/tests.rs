//! What applications send.
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn one(body: &str) -> Result<Event, String> {
    let mut submitted = read(body.as_bytes(), now()).map_err(|error| error.to_string())?;
    match submitted.rejected.pop() {
        Some(rejected) => Err(format!("{}: {}", rejected.refusal.name(), rejected.why)),
        None => Ok(submitted.events.remove(0)),
    }
}

#[test]
fn every_field_reaches_the_event() {
    let event =
        one(r#"{"type":"auth_failed","time":"2026-11-28T11:59:00Z","user":"bob","session":"s1","api_key_id":"k1",
        "address":"::ffff:192.0.2.7","agent":"curl/8","method":"POST","endpoint":"/login","status":401,"duration":0.25,
        "message":"wrong\npassword","details":{"realm":"shop","tries":3,"gone":null}}"#)
        .unwrap();
    assert_eq!((event.kind, event.time.to_string()), (EventKind::AuthFailed, "2026-11-28T11:59:00Z".to_owned()));
    assert_eq!(event.client, Some("192.0.2.7".parse().unwrap()));
    let field = |name: &str| event.field(name).map(Cow::into_owned);
    for (name, value) in [
        ("cs-username", "bob"),
        ("session", "s1"),
        ("api-key-id", "k1"),
        ("cs-user-agent", "curl/8"),
        ("cs-method", "POST"),
        ("endpoint", "/login"),
        ("sc-status", "401"),
        ("time-taken", "0.25"),
        ("message", "wrong%0Apassword"),
        ("realm", "shop"),
        ("tries", "3"),
    ] {
        assert_eq!(field(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(event.details.len(), 2);
    assert!(event.raw.starts_with("{\"type\":\"auth_failed\"") && !event.raw.contains('\n'));
}

#[test]
fn a_request_is_asked_for_by_its_path() {
    let event = one(r#"{"type":"http_request","address":"192.0.2.7","endpoint":"/a?b=1"}"#).unwrap();
    assert_eq!((event.path(), event.query(), event.time), (Some("/a"), Some("b=1"), now()));
}

#[track_caller]
fn refused(body: &str, why: &str) {
    let error = one(body).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn what_is_no_event_is_refused_with_the_way_out() {
    refused(r#"{"type":"auth_faild","user":"x"}"#, "type: \"auth_faild\" is no event type: use auth_failed");
    refused(r#"{"type":"login"}"#, "nobody: neither an address nor a user");
    refused(r#"{"type":"login","user":"","address":""}"#, "nobody");
    refused(r#"{"type":"login","address":"example.org"}"#, "address: \"example.org\" is not an address");
    refused(r#"{"type":"login","user":"x","time":"2026-11-28T12:06:00Z"}"#, "yet to come");
    refused(r#"{"type":"login","user":"x","time":1e300}"#, "time: ");
    refused(r#"{"type":"login","user":"x","time":"yesterday"}"#, "\"yesterday\" is not a moment");
    refused(r#"{"type":"login","user":"x","status":99999}"#, "syntax: ");
    refused(r#"{"type":"login","user":"x","duration":-1}"#, "`duration` is not");
    refused(r#"{"type":"login","user":"x","usr":"y"}"#, "unknown field `usr`");
    refused(r#"{"user":"x"}"#, "missing field `type`");
    refused(&format!(r#"{{"type":"login","user":"{}"}}"#, "x".repeat(257)), "size: `user` has 257 bytes");
    refused("7", "syntax: ");
    refused("", "the request is not understood");
    refused("{\"type\":", "the request is not understood");
    refused(&"[".repeat(100_000), "the request is not understood");
}

#[test]
fn each_of_a_list_is_taken_or_refused_by_itself() {
    let body = r#" [{"type":"login","user":"a"},7,{"type":"x"},{"type":"other","address":"2001:db8::1"}]"#;
    let submitted = read(body.as_bytes(), now()).unwrap();
    assert_eq!((submitted.events.len(), submitted.is_single), (2, false));
    let rejected: Vec<_> = submitted.rejected.iter().map(|row| (row.index, row.refusal)).collect();
    assert_eq!(rejected, [(1, Refusal::Syntax), (2, Refusal::Type)]);
    let many = format!("[{}0]", "0,".repeat(MOST_EVENTS));
    assert_eq!(read(many.as_bytes(), now()).unwrap_err(), SubmitError::TooMany(MOST_EVENTS + 1));
}

proptest! {
    #[test]
    fn no_body_is_too_much(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(read(&body, now()));
    }

    #[test]
    fn no_text_breaks_out_of_its_line(text in "\\PC*|[\\n\\r\\x00a]*") {
        let body = serde_json::json!({"type": "login", "user": text, "address": "192.0.2.1", "details": {"x": text}});
        if let Ok(event) = one(&body.to_string()) {
            let texts = event.user.iter().chain(event.details.values()).chain([&event.raw]);
            for text in texts {
                prop_assert!(!text.contains(['\n', '\r', '\0']));
            }
        }
    }
}
