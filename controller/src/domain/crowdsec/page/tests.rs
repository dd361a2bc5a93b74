use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

#[track_caller]
fn page(text: &str) -> Page {
    read(text.as_bytes(), &Rules::default(), false).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn decision(changes: &[(&str, serde_json::Value)]) -> String {
    let mut object = serde_json::json!({
        "id": 7, "origin": "crowdsec", "type": "ban", "scope": "Ip", "value": "192.0.2.1",
        "duration": "3h59m59.5s", "scenario": "crowdsecurity/ssh-bf", "uuid": "x", "later": {"a": [1, {}]},
    });
    for (key, value) in changes {
        if value == "absent" {
            object.as_object_mut().unwrap().remove(*key);
        } else {
            object[*key] = value.clone();
        }
    }
    object.to_string()
}

#[track_caller]
fn refused(changes: &[(&str, serde_json::Value)], why: Refused) {
    let good = decision(&[("id", 8.into())]);
    let page = page(&format!(r#"{{"new":[{},{good}],"deleted":[]}}"#, decision(changes)));
    let mut expected = Refusals::default();
    expected.count(why);
    assert_eq!((page.new.len(), page.refusals), (1, expected), "{changes:?}");
}

#[test]
fn a_decision_of_an_old_and_of_a_new_server_is_read() {
    let wanted = Told {
        id: 7,
        prefix: "192.0.2.1/32".parse().unwrap(),
        seconds: 14_400,
        enforcement: Enforcement::Enforce,
        reason: "crowdsecurity/ssh-bf (crowdsec)".into(),
        source: "crowdsec".into(),
    };
    let new = page(&format!(r#"{{"new": [{}], "deleted": []}}"#, decision(&[])));
    let old = page(&format!(r#"{{"deleted":null,"new":[{}]}}"#, decision(&[("uuid", "absent".into())])));
    assert_eq!(new.new, [wanted]);
    assert_eq!(new, old);
}

#[test]
fn lists_may_be_null_empty_or_one_of_them_missing() {
    for text in [
        r#"{"deleted":null,"new":null}"#,
        r#"{"new":[],"deleted":[]}"#,
        r#"{"new":null}"#,
        " {\"deleted\":[],\"more\":[{\"new\":1}]}\n",
    ] {
        assert_eq!(page(text), Page::default(), "{text}");
    }
}

#[test]
fn what_is_deleted_is_taken_by_its_number_whatever_else_it_says() {
    let text =
        r#"{"new":null,"deleted":[{"id":4,"duration":"-22.986786ms","value":"?"},{"id":5},{"value":"192.0.2.1"}]}"#;
    let page = page(text);
    assert_eq!((page.deleted.as_slice(), page.refusals.of(Refused::Shape)), (&[4, 5][..], 1));
}

#[test]
fn a_whole_answer_carries_no_history() {
    let text = r#"{"new":[],"deleted":[{"id":4}]}"#;
    assert!(read(text.as_bytes(), &Rules::default(), true).unwrap().deleted.is_empty());
}

#[test]
fn what_is_not_understood_is_refused_one_by_one() {
    refused(&[("id", "absent".into())], Refused::Shape);
    refused(&[("id", 0.into())], Refused::Shape);
    refused(&[("id", (-3).into())], Refused::Shape);
    refused(&[("id", "7".into())], Refused::Shape);
    refused(&[("id", u64::MAX.into())], Refused::Shape);
    refused(&[("value", serde_json::json!(["192.0.2.1"]))], Refused::Shape);
    refused(&[("type", serde_json::Value::Null)], Refused::Shape);
    refused(&[("duration", 60.into())], Refused::Shape);
    refused(&[("scope", "Country".into()), ("value", "FR".into())], Refused::Scope);
    refused(&[("scope", "AS".into())], Refused::Scope);
    refused(&[("type", "throttle".into())], Refused::Type);
    for value in
        ["192.0.2.1 ", "192.0.2.01", "0x7f.1", "3221225985", "192.0.2.1/33", "fe80::1%eth0", "", "192.0.2.1,192.0.2.2"]
    {
        refused(&[("value", value.into())], Refused::Value);
    }
    refused(&[("duration", "4 hours".into())], Refused::Duration);
    refused(&[("duration", "".into())], Refused::Duration);
    refused(&[("duration", "-1s".into())], Refused::Over);
    refused(&[("duration", "0s".into())], Refused::Over);
}

#[test]
fn elements_that_are_no_objects_are_refused_and_the_rest_is_read() {
    let page = page(&format!(r#"{{"new":[null,1,-1,1.5,true,"x",[[{{}}]],{{}},{}]}}"#, decision(&[])));
    assert_eq!((page.new.len(), page.refusals.of(Refused::Shape)), (1, 8));
}

#[test]
fn scopes_in_any_case_prefixes_of_both_families_and_mapped_ones_are_taken() {
    for (scope, value, wanted) in [
        ("ip", "2001:db8::1", "2001:db8::1/128"),
        ("IP", "::ffff:192.0.2.1", "192.0.2.1/32"),
        ("range", "198.51.100.77/24", "198.51.100.0/24"),
        ("Range", "2001:db8::/32", "2001:db8::/32"),
    ] {
        let text = format!(r#"{{"new":[{}]}}"#, decision(&[("scope", scope.into()), ("value", value.into())]));
        assert_eq!(page(&text).new[0].prefix, wanted.parse().unwrap());
    }
}

#[test]
fn ipv6_is_left_out_where_the_settings_say_so() {
    let rules = Rules { ipv6: false, ..Rules::default() };
    let text = format!(r#"{{"new":[{},{}]}}"#, decision(&[]), decision(&[("value", "2001:db8::1".into())]));
    let page = read(text.as_bytes(), &rules, false).unwrap();
    assert_eq!((page.new.len(), page.refusals.of(Refused::Family)), (1, 1));
}

#[test]
fn simulated_decisions_and_observed_types_are_only_observed() {
    for change in [("simulated", true.into()), ("type", "Captcha".into())] {
        let text = format!(r#"{{"new":[{}]}}"#, decision(&[change]));
        assert_eq!(page(&text).new[0].enforcement, Enforcement::Observe);
    }
}

#[test]
fn a_blocklist_is_named_by_its_scenario() {
    let text = format!(r#"{{"new":[{}]}}"#, decision(&[("origin", "lists".into()), ("scenario", "firehol".into())]));
    let told = page(&text).new.remove(0);
    assert_eq!((&*told.source, &*told.reason), ("lists:firehol", "lists:firehol"));
}

#[test]
fn a_servers_text_is_short_and_moves_no_cursor() {
    let scenario = format!("a\u{1b}[2J\u{202e}{}", "x".repeat(10_000));
    let text = format!(r#"{{"new":[{}]}}"#, decision(&[("scenario", scenario.into())]));
    let reason = page(&text).new.remove(0).reason;
    assert!(reason.chars().count() < LONGEST_NAME + 20, "{reason}");
    assert!(reason.starts_with("a\u{fffd}[2J\u{fffd}x"), "{reason}");
}

#[test]
fn what_is_no_answer_is_an_error() {
    let of = |text: &[u8]| read(text, &Rules::default(), true).unwrap_err();
    for text in [r#"{"message":"access forbidden"}"#, "{}", "[]", "null", r#""new""#, r#"{"new":{}}"#, r#"{"new":3}"#] {
        assert!(matches!(of(text.as_bytes()), PageError::NotAPage), "{text}: {}", of(text.as_bytes()));
    }
    for text in ["<!DOCTYPE html><html>", r#"{"new":[]} x"#, r#"{"new":[}"#, "\u{feff}{}"] {
        assert!(matches!(of(text.as_bytes()), PageError::NotJson { .. }), "{text}");
    }
    assert!(matches!(of(b"{\"new\":[\"\xff\"]}"), PageError::NotJson { .. } | PageError::NotAPage));
    assert!(matches!(of(b""), PageError::Cut));
}

#[test]
fn an_answer_cut_anywhere_is_an_error() {
    let whole = format!(r#"{{"new":[{},{}],"deleted":[{{"id":3}}]}}"#, decision(&[]), decision(&[]));
    for end in 0..whole.len() {
        let error = read(&whole.as_bytes()[..end], &Rules::default(), false).unwrap_err();
        assert!(matches!(error, PageError::Cut), "{end}: {error}");
    }
}

#[test]
fn nesting_without_end_is_an_error_and_no_crash() {
    let text = format!(r#"{{"new":[{{"x":{}"#, "[".repeat(1_000_000));
    assert!(read(text.as_bytes(), &Rules::default(), false).is_err());
    let text = format!(r#"{{"new":[{}"#, "[".repeat(1_000_000));
    assert!(read(text.as_bytes(), &Rules::default(), false).is_err());
}

#[test]
fn more_than_can_be_held_is_counted() {
    let mut text = String::from(r#"{"deleted":["#);
    for id in 0..MOST + 3 {
        let comma = if id == 0 { "" } else { "," };
        write!(text, r#"{comma}{{"id":{id}}}"#).unwrap();
    }
    text.push_str("]}");
    let page = page(&text);
    assert_eq!((page.deleted.len(), page.refusals.of(Refused::Full)), (MOST, 3));
}

proptest! {
    #[test]
    fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200), startup: bool) {
        drop(read(bytes.as_slice(), &Rules::default(), startup));
    }

    #[test]
    fn no_damage_to_an_answer_stops_the_reader(at in 0usize..300, byte: u8) {
        let mut text = format!(r#"{{"new":[{}],"deleted":[{{"id":3}}]}}"#, decision(&[])).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        drop(read(text.as_slice(), &Rules::default(), false));
    }
}
