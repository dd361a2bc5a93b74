use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::privacy::Key;

fn key(byte: u8) -> Key {
    Key::new([byte; 32], Timestamp::UNIX_EPOCH)
}

fn of_address(address: &str) -> Mentions {
    Mentions::of_address(address.parse().unwrap(), &Names::plain())
}

fn of_user(user: &str) -> Mentions {
    Mentions::of_user(user, &Names::plain())
}

#[track_caller]
fn check(mentions: &Mentions, text: &str, expected: &str) {
    assert_eq!(mentions.blotted(text).as_deref().unwrap_or(text), expected, "{text}");
    assert_eq!(mentions.blotted(expected), None, "{expected}");
}

#[test]
fn only_whole_mentions_are_blotted_out() {
    for (text, address, expected) in [
        ("192.0.2.7 GET /", "192.0.2.7", "erased GET /"),
        ("192.0.2.70 192.0.2.7", "192.0.2.7", "192.0.2.70 erased"),
        ("1192.0.2.7,192.0.2.7,", "192.0.2.7", "1192.0.2.7,erased,"),
        ("192.0.2.7.", "192.0.2.7", "erased."),
        ("192.0.2.7:443", "192.0.2.7", "erased:443"),
        ("192.0.2.7/32 192.0.2.7/24", "192.0.2.7", "erased erased/24"),
        ("2001:db8::1:2 2001:db8::1", "2001:db8::1", "2001:db8::1:2 erased"),
        ("none", "192.0.2.7", "none"),
    ] {
        check(&of_address(address), text, expected);
    }
    for (text, user, expected) in [
        ("user=bob bobby", "bob", "user=erased bobby"),
        ("Bob BOB bob2 2bob bob.", "bob", "Bob BOB bob2 2bob erased."),
        ("none", "bob", "none"),
        ("none", "", "none"),
        ("\u{e9}bob bob\u{e9} bob", "bob", "\u{e9}bob bob\u{e9} erased"),
    ] {
        check(&of_user(user), text, expected);
    }
}

#[test]
fn an_address_is_found_however_it_is_written() {
    for text in [
        "2001:db8::7",
        "2001:DB8::7",
        "2001:0db8:0000:0000:0000:0000:0000:0007",
        "2001:db8:0:0:0:0:0:7",
        "2001%3Adb8%3A%3A7",
        "2001:db8::7/128",
        "2001:db8::/64",
        "2001:DB8:0:0::/64",
    ] {
        check(&of_address("2001:db8::7"), &format!("<{text}>"), "<erased>");
    }
    for text in ["192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207", "192.000.002.007", "192.0.2.7/32"] {
        check(&of_address("192.0.2.7"), &format!("<{text}>"), "<erased>");
        check(&of_address("::ffff:192.0.2.7"), &format!("<{text}>"), "<erased>");
    }
    for text in ["2001:db8::8", "2001:db8::70", "2001:db8:0:1::7", "2001:db8::/32", "192.0.2.70", "192.0.2.0/24"] {
        check(&of_address("2001:db8::7"), text, text);
        check(&of_address("192.0.2.7"), text, text);
    }
}

#[test]
fn an_address_goes_by_the_name_it_has_under_each_key_in_whatever_case() {
    let names = Names::keyed(vec![key(1), key(2)]);
    let mentions = Mentions::of_address("192.0.2.7".parse().unwrap(), &names);
    for byte in [1, 2] {
        let name = Names::keyed(vec![key(byte)]).address("192.0.2.7".parse().unwrap());
        check(&mentions, &format!("<{name}> <{}> {name}0", name.to_uppercase()), &format!("<erased> <erased> {name}0"));
    }
    let other = names.address("192.0.2.8".parse().unwrap());
    check(&mentions, &other, &other);
}

#[test]
fn of_a_user_with_an_address_only_whole_words_go_and_names_of_addresses_stay() {
    let name = Names::keyed(vec![key(1)]).address("192.0.2.7".parse().unwrap());
    let text = format!("bob@{name} bobby@{name} {name}");
    check(&of_user("bob"), &text, &format!("erased@{name} bobby@{name} {name}"));
    check(&of_user("bo"), &text, &text);
    check(&of_user("anon"), &format!("anon {text}"), &format!("erased {text}"));
    // Who is called so is kept under the name of the address.
    let names = Names::keyed(vec![key(1), key(2)]);
    check(&Mentions::of_user("bob@192.0.2.7", &names), &text, &format!("erased bobby@{name} {name}"));
}

#[test]
fn a_user_goes_by_the_name_that_is_cut_where_it_is_kept() {
    let user = "u".repeat(2_000);
    let text = format!("{} {} {user}", cut(&user, NAME_CHARS), cut(&user, TEXT_CHARS));
    check(&of_user(&user), &text, "erased erased erased");
    check(&of_user(&user), &cut(&user, 300), &cut(&user, 300));
}

#[test]
fn all_texts_of_a_document_are_gone_through() {
    let mut value = serde_json::json!({"a": ["192.0.2.7", 7], "b": {"c": "to ::ffff:192.0.2.7"}});
    assert!(of_address("192.0.2.7").blot_value(&mut value));
    assert_eq!(value, serde_json::json!({"a": ["erased", 7], "b": {"c": "to erased"}}));
    assert!(!of_address("192.0.2.7").blot_value(&mut value));
}

proptest! {
    #[test]
    fn what_is_blotted_out_of_a_text_is_seen_in_the_document_it_stands_in(
        before in "[^0-9a-fA-F:.%]{0,4}[ \"\\\\\n\t=\\[]?",
        who in prop::sample::select(vec!["192.0.2.7", "::FFFF:192.0.2.7", "2001:DB8::7", "bob", "b\"o\\b", "b\u{e9}\n"]),
        after in "[ \"\\\\\n\t&\\]]?[^0-9a-fA-F:.%]{0,4}",
    ) {
        let text = format!("{before}{who}{after}");
        let document = serde_json::json!({ "said": text }).to_string();
        let mentions = match who.parse() {
            Ok(address) => Mentions::of_address(address, &Names::plain()),
            Err(_) => of_user(who),
        };
        prop_assert!(mentions.blotted(&text).is_none() || mentions.may_be_in(&document), "{}", document);
    }

    #[test]
    fn no_text_stops_it(text in any::<String>(), user in any::<String>()) {
        let _blotted = of_user(&user).blotted(&text);
        let _blotted = of_address("2001:db8::7").blotted(&text);
    }
}
