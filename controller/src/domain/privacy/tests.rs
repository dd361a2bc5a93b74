use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> Key {
    Key::new([byte; 32], Timestamp::UNIX_EPOCH)
}

fn names() -> Names {
    Names::keyed(vec![key(1), key(2)])
}

fn name(prefix: &str) -> String {
    let names = names();
    match prefix.parse() {
        Ok(address) => names.address(address),
        Err(_) => names.prefix(prefix.parse().unwrap()),
    }
}

/// The text is found to hold the addresses and prefixes that stand in `<…>` in the pattern, and none else.
#[track_caller]
fn check(pattern: &str) {
    let plain = pattern.replace(['<', '>'], "");
    let mut expected = String::new();
    for (number, part) in pattern.split(['<', '>']).enumerate() {
        expected.push_str(&if number % 2 == 1 { name(part) } else { part.to_owned() });
    }
    assert_eq!(names().text(&plain), expected, "{plain}");
    assert_eq!(names().text(&expected), expected, "what has a name keeps it");
}

#[test]
fn without_a_key_everything_is_called_what_it_is() {
    let plain = Names::plain();
    assert!(plain.is_plain() && Names::keyed(Vec::new()).is_plain() && !names().is_plain());
    for (prefix, expected) in [
        ("192.0.2.7/32", "192.0.2.7"),
        ("203.0.113.9/24", "203.0.113.0/24"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        ("::ffff:192.0.2.7/128", "192.0.2.7"),
        ("::ffff:203.0.113.9/120", "203.0.113.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
    ] {
        assert_eq!(plain.prefix(prefix.parse().unwrap()), expected);
        assert_eq!(plain.all_of(prefix.parse().unwrap()), [expected]);
    }
    assert_eq!(plain.address("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7");
    assert!(matches!(plain.text("client 192.0.2.7"), Cow::Borrowed("client 192.0.2.7")));
}

#[test]
fn a_prefix_of_one_address_is_called_as_the_address_is() {
    let names = names();
    for (prefix, address) in
        [("192.0.2.7/32", "192.0.2.7"), ("::ffff:192.0.2.7/128", "192.0.2.7"), ("2001:db8::1/128", "2001:db8::1")]
    {
        assert_eq!(names.prefix(prefix.parse().unwrap()), names.address(address.parse().unwrap()));
    }
    assert_eq!(name("203.0.113.9/24"), name("203.0.113.0/24"));
    assert_ne!(name("203.0.113.0/24"), name("203.0.113.0"));
    assert_ne!(name("203.0.113.0/24"), name("203.0.113.0/25"));
}

#[test]
fn every_name_a_prefix_had_is_known_and_the_one_it_was_before_there_were_keys() {
    let prefix = "192.0.2.7/32".parse().unwrap();
    let under = |byte| Names::keyed(vec![key(byte)]).prefix(prefix);
    assert_eq!(names().all_of(prefix), [under(1), under(2), "192.0.2.7".to_owned()]);
    assert_eq!(names().prefix(prefix), under(1));
    assert_eq!(Names::keyed(vec![key(1), key(1)]).all_of(prefix), [under(1), "192.0.2.7".to_owned()]);
}

#[test]
fn what_is_called_by_its_address_is_renamed_once_and_a_name_stays() {
    for (called, expected) in
        [("192.0.2.7", "192.0.2.7"), ("192.0.2.7/32", "192.0.2.7"), ("2001:DB8::/64", "2001:db8::/64")]
    {
        let renamed = names().renamed(called).unwrap();
        assert_eq!(renamed, name(expected));
        assert_eq!(names().renamed(&renamed), None);
    }
    for called in ["", "bob", "network 1", "192.0.2.7/33"] {
        assert_eq!(names().renamed(called), None, "{called}");
    }
    assert_eq!(Names::plain().renamed("192.0.2.7"), None);
    assert_eq!(Names::plain().renamed(&name("192.0.2.7")), None);
    assert_eq!(Names::keyed(vec![key(3)]).renamed(&name("192.0.2.7")), None);
}

#[test]
fn a_name_is_told_by_its_looks() {
    assert!(is_name(&name("192.0.2.7")) && is_name(&name("2001:db8::/32")));
    for other in ["", "anon-", "192.0.2.7", "anon-0123456789abcdef0123456", "anon-0123456789abcdef012345678"] {
        assert!(!is_name(other), "{other}");
    }
    assert!(!is_name("anon-0123456789ABCDEF01234567") && !is_name("Anon-0123456789abcdef01234567"));
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    for pattern in [
        "<192.0.2.7>",
        "<192.0.2.7> - bob [10/Oct/2026:13:55:36 +0000] \"GET /a HTTP/1.1\" 200 23",
        "<192.0.2.7>:443 [<2001:db8::1>]:443 client=<192.0.2.7>, '<192.0.2.7>' (<192.0.2.7>) <192.0.2.7>- -<192.0.2.7>",
        "from <192.0.2.7>. Then <2001:db8::1>.",
        "client:<2001:db8::1> peer:<::1> [IPv6:<2001:DB8:0:0::1>] <::1> ip6:<2001:db8::/32> eth0:<::1>",
        "<fe80::1>%eth0 <fe80::1>%25eth0 <fe80::1>%11 <fe80::1>%32",
        "<::ffff:192.0.2.7> <::FFFF:c000:207> <64:ff9b::192.0.2.7>",
        "http://<192.0.2.7>/24 http://[<2001:db8::1>]:80/ //<192.0.2.7>?<192.0.2.7>=<192.0.2.7>&a=<192.0.2.7>#",
        "<2001:db8:0:0:0:0:0:1>:443 <1:2:3:4:5:6:7:8> <1:2:3:4:5:6:192.0.2.7>",
        "<2001:db8::>, <2001:db8::1>.443 <10.0.0.1>.example",
        "x<192.0.2.7>x v<1.2.3.4> x<2001:db8::1>x <2001:db8::1>_ q<fe80::1>",
        "1:<2:3:4:5:6:7:192.0.2.7> ::x:<192.0.2.7> <1:2:3:4:5:6:7:8>:<192.0.2.7>",
    ] {
        check(pattern);
    }
    assert_eq!(names().text("192.000.002.007"), name("192.0.2.7"));
}

#[test]
fn a_length_that_leaves_no_bit_out_belongs_to_its_address() {
    for pattern in [
        "<203.0.113.0/24> <2001:db8::/32>, [<2001:db8::/64>] <0.0.0.0/0>.",
        "<192.0.2.7>/24 <192.0.2.7/32> <2001:db8::1>/64 <2001:db8::1/128>",
        "<203.0.113.0>/33 <203.0.113.0>/024 <203.0.113.0>/24.5 <203.0.113.0>/24x <203.0.113.0>/",
        "<::ffff:203.0.113.0/120>",
    ] {
        check(pattern);
    }
}

#[test]
fn what_is_escaped_is_read_as_it_is_meant() {
    let (v4, v6, net) = (name("192.0.2.7"), name("2001:db8::1"), name("203.0.113.0/24"));
    for (text, expected) in [
        ("/?ip%3D192.0.2.7%26a=%20192.0.2.7%20", format!("/?ip%3D{v4}%26a=%20{v4}%20")),
        ("/?ip=2001%3Adb8%3a%3A1&b=%5B2001:db8::1%5D", format!("/?ip={v6}&b=%5B{v6}%5D")),
        ("203.0.113.0%2F24 203.0.113.0\\/24", format!("{net} {net}")),
        (r#"{"a":"x\n192.0.2.7\t2001:db8::1\n"}"#, format!(r#"{{"a":"x\n{v4}\t{v6}\n"}}"#)),
        (
            r#"{"a":"\u003e192.0.2.7\u003c \u00222001:db8::1\u0022"}"#,
            format!(r#"{{"a":"\u003e{v4}\u003c \u0022{v6}\u0022"}}"#),
        ),
        (
            r#"{"a":"{\"b\":\"\\u003e192.0.2.7\\n2001:db8::1\\b2001:db8::1\"}"}"#,
            format!(r#"{{"a":"{{\"b\":\"\\u003e{v4}\\n{v6}\\b{v6}\"}}"}}"#),
        ),
        (r"\x22192.0.2.7\x22 \\192.0.2.7\share", format!(r"\x22{v4}\x22 \\{v4}\share")),
    ] {
        assert_eq!(names().text(text), expected);
        assert_eq!(names().text(&expected), expected);
    }
    check(r"100%<12.3.4.5> %<2.3.4.5> %a<1.2.3.4> \x<10.2.3.4> %C3%A1.256.3.4 \u00e1.2.3.4");
}

#[test]
fn what_is_no_address_stays() {
    for text in [
        "1.2.3.4.5 1.3.6.1.4.1 256.1.1.1 1.2.3 1..2.3.4 1.2.3.4444 .",
        "00:1a:2b:3c:4d:5e 12:34:56 10:00 2026-10-10T13:55:36.123+00:00 1:2:3:4:5:6:7",
        ":: [::]:443 ::/0 std::net::IpAddr Data::ace utf8::decode a:b:c DBD::Pg::db dead::beefy",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0 edg/120.0.2210.91 Opr\\/1.2.3.4",
        "Firefox/115.0 WhatsApp/2.23.20.0",
        "anon-0123456789abcdef01234567 anon-0123456789abcdef01234567:443",
        "é ü ✓ \\ % %e2%9c%93 \\u12 \\",
    ] {
        assert!(matches!(names().text(text), Cow::Borrowed(same) if same == text), "{}", names().text(text));
    }
    check("/hosts/<192.0.2.7> Other/<1.2.3.4> xChrome/<192.0.2.7> 1Chrome/<192.0.2.7>");
}

#[test]
fn many_colons_and_dots_take_no_time() {
    for part in ["1:", "a::", "1.", "%31", "\\\\", "1::2.", "%12.", "fe80::1.2."] {
        let text = part.repeat(20_000);
        let _length: usize = names().text(&text).len();
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        (0x2000..0x4000_u16, any::<[u16; 2]>(), any::<u16>())
            .prop_map(|(first, [second, third], last)| IpAddr::from([first, second, third, 0, 0, 0, 0, last])),
        (1..=u16::MAX).prop_map(|last| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last])),
        (1..=u16::MAX).prop_map(|last| IpAddr::from([0, 0, 0, 0, 0, 0, 0, last])),
        any::<[u8; 4]>().prop_map(|v4| std::net::Ipv4Addr::from(v4).to_ipv6_mapped().into()),
    ]
}

fn surrounding() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "\\PC{0,12}", "[0-9a-f:./%\\\\nux_ -]{0,12}", "[a-z =\\[(,\"']{0,6}"]
}

/// Whether an address is one with what stands around it: part of a longer number or word, or of an escape cut short.
fn runs_on(before: &str, address: IpAddr, after: &str) -> bool {
    let text = address.to_string();
    let (last, first) = (before.chars().last().unwrap_or(' '), after.chars().next().unwrap_or(' '));
    let word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let digit = |char: Option<char>| char.is_some_and(|char| char.is_ascii_digit());
    let tail: String = before.chars().rev().take_while(char::is_ascii_hexdigit).collect();
    let head = before.trim_end_matches(|char: char| char.is_ascii_hexdigit());
    // `\u` and too few digits.
    if head.ends_with("\\u") && tail.len() < 4 {
        return true;
    }
    if address.is_ipv4() {
        return digit(Some(last))
            || last == '.' && digit(before.chars().rev().nth(1))
            || digit(Some(first))
            || first == '.' && digit(after.chars().nth(1))
            || last == '/';
    }
    let group = text.split(':').next().unwrap();
    let is_widely_used =
        group.len() == 4 && group.starts_with(['2', '3', 'f']) && group.contains(|char: char| char.is_ascii_digit());
    last.is_ascii_hexdigit()
        || word(last) && !is_widely_used
        || first.is_ascii_hexdigit()
        || word(first) && !text.ends_with(|char: char| char.is_ascii_digit())
}

proptest! {
    #[test]
    fn an_address_has_the_same_name_wherever_it_stands(
        address in address(),
        (before, after) in prop::sample::select(vec![
            ("", ""), ("[", "]:443"), ("client=", ", "), ("\"", "\""), ("'", "'-"), ("{\"ip\":\"", "\"}"), ("x\\n", "\\n"),
            ("http://[", "]/24"), ("from ", "."), ("<", ">"), ("%20", "%20"), ("\\u0022", "\\u0022"), ("(", "%eth0)"),
            ("a:", " :b"), ("-", "-"), ("é", "é"),
        ]),
    ) {
        let names = names();
        let name = names.address(address);
        prop_assert!(is_name(&name));
        let (text, expected) = (format!("{before}{address}{after}"), format!("{before}{name}{after}"));
        // `a:` is a group of an address too.
        prop_assume!(before != "a:" || address.is_ipv4() || names.text(&text) == expected);
        prop_assert_eq!(names.text(&text), expected);
    }

    #[test]
    fn different_addresses_have_different_names(one in address(), other in address()) {
        let names = names();
        let same = one.to_canonical() == other.to_canonical();
        prop_assert_eq!(names.address(one) == names.address(other), same);
        prop_assert_ne!(Names::keyed(vec![key(1)]).address(one), Names::keyed(vec![key(2)]).address(one));
    }

    #[test]
    fn no_text_holds_an_address_that_was_in_it(before in surrounding(), address in address(), after in surrounding()) {
        let text = format!("{before}{address}{after}");
        let plain = address.to_string();
        prop_assume!(!runs_on(&before, address, &after) && text.matches(&plain).count() == 1);
        let hidden = names().text(&text).into_owned();
        prop_assert!(!hidden.contains(&plain), "{} in {}", plain, hidden);
    }

    #[test]
    fn json_stays_json_and_holds_no_address(before in "[^0-9a-f]{0,6}[ \"\\\\\n\t{\\[]", address in address(), after in "[ \"\\\\\n\t}\\],]\\PC{0,6}") {
        let plain = address.to_string();
        // Once in a text, once in a text that is JSON in a text, and as a key.
        let inner = serde_json::json!({ "said": format!("{before}{address}{after}") }).to_string();
        prop_assume!(!before.ends_with('\\'));
        let outer = serde_json::json!({ "ip": plain, "list": [plain, 1, null], "inner": inner, &plain: "x" }).to_string();
        let hidden = names().text(&outer).into_owned();
        prop_assert!(!hidden.contains(&plain), "{}", hidden);
        let read: serde_json::Value = serde_json::from_str(&hidden).unwrap();
        prop_assert_eq!(read["ip"].as_str().unwrap(), names().address(address));
        let inner: serde_json::Value = serde_json::from_str(read["inner"].as_str().unwrap()).unwrap();
        prop_assert!(inner["said"].as_str().unwrap().contains(&names().address(address)));
    }

    #[test]
    fn names_are_given_once(
        text in prop::collection::vec(prop_oneof![
            address().prop_map(|address| address.to_string()),
            surrounding(),
            "[0-9a-f]{1,4}|::|:|\\.|%|\\\\|/|_|[0-9]{1,3}\\.|x|Chrome/|\\\\u00|%3a|%2e|/24|anon-|anon-[0-9a-f]{24}",
        ], 0..14).prop_map(|parts| parts.concat()),
    ) {
        let once = names().text(&text).into_owned();
        let twice = names().text(&once).into_owned();
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn no_text_stops_it(text in any::<String>()) {
        names().text(&text);
    }
}
