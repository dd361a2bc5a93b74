use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const SHIPPED: &str = "\
mode: nftables
pid_dir: /var/run/
update_frequency: 10s
daemonize: true
log_mode: file
log_level: info
api_url: http://127.0.0.1:8080/
api_key: 0123456789abcdef
insecure_skip_verify: false
disable_ipv6: false
deny_action: DROP
deny_log: false
supported_decisions_types:
  - ban
blacklists_ipv4: crowdsec-blacklists
iptables_chains:
  - INPUT
nftables:
  ipv4:
    enabled: true
prometheus:
  enabled: true
";

#[track_caller]
fn file(text: &str) -> BouncerFile {
    parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = parse(text, None).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
}

#[test]
fn the_file_as_it_is_shipped_is_read() {
    let file = file(SHIPPED);
    assert_eq!(file.api_url.as_deref(), Some("http://127.0.0.1:8080/"));
    assert_eq!(file.api_key.as_ref().map(ApiKey::reveal), Some("0123456789abcdef"));
    assert_eq!(file.interval, Some(Duration::from_secs(10)));
    assert_eq!((file.deny_types.as_deref(), file.ipv6), (Some(&["ban".to_owned()][..]), Some(true)));
    assert_eq!((file.scopes, file.origins, file.observe_types), (None, None, None));
    let noted: Vec<&str> = file.notes.iter().filter_map(|note| note.split(' ').next()).collect();
    assert_eq!(noted, ["blacklists_ipv4", "nftables", "prometheus"]);
}

#[test]
fn the_file_beside_it_goes_before_section_by_section() {
    let local =
        "api_key: other\nscopes: [ip]\nnftables:\n  ipv6: {enabled: false}\nsupported_decisions_types: [captcha, ban]";
    let file = parse(SHIPPED, Some(local)).unwrap();
    assert_eq!(file.api_key.as_ref().map(ApiKey::reveal), Some("other"));
    assert_eq!(file.scopes, Some(vec!["ip".to_owned()]));
    assert_eq!(file.deny_types, Some(vec!["captcha".to_owned(), "ban".to_owned()]));
    assert_eq!(file.interval, Some(Duration::from_secs(10)));
}

#[test]
fn a_variable_is_not_filled_in_unless_the_file_beside_it_does() {
    let shipped = "mode: ${BACKEND}\napi_key: ${API_KEY}\n";
    refused(shipped, "api_key stands for a variable of the environment, which weir does not fill in");
    refused("api_key: $API_KEY", "stands for a variable");
    refused("api_url: http://${HOST}:8080", "api_url must be written out");
    let file = parse(shipped, Some("api_key: abc")).unwrap();
    assert_eq!(file.api_key.map(|key| key.reveal().to_owned()), Some("abc".to_owned()));
}

#[test]
fn a_dry_run_only_observes() {
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect::<Vec<_>>());
    let some = file("mode: dry-run\nsupported_decisions_types: [ban, captcha]");
    assert_eq!((some.deny_types, some.observe_types), (words(&[]), words(&["ban", "captcha"])));
    let none = file("mode: dry-run");
    assert_eq!((none.deny_types, none.observe_types), (words(&[]), words(&["ban"])));
}

#[test]
fn what_has_no_effect_is_noted_and_no_error() {
    let file = file("deny_log: true\ndeny_action: REJECT\nsome_new_key: [1, {a: b}]\nretry_initial_connect: true\n");
    assert_eq!(
        file.notes,
        [
            "deny_log has no effect: weir counts what it drops and samples it; it writes no line for each packet",
            "deny_action has no effect: weir drops; it never answers with a reject",
            "some_new_key is not known and has no effect",
        ]
    );
}

#[test]
fn what_a_key_does_not_take_is_an_error_that_does_not_show_the_key() {
    refused("api_key: 12345678901234567890", "api_key must be a text; put it in quotes");
    refused("api_key: 1234567890123456e7", "api_key must be a text; put it in quotes");
    refused("api_key: [SECRET]", "api_key must be a text");
    refused("api_key: \"SECRET\\nX: y\"", "printable ASCII");
    refused("api_key: SECRET: x", "look at line 1");
    refused("api_key: SECRET\n- x", "not YAML");
    refused("SECRET", "keys and their values are wanted");
    refused("- a", "keys and their values are wanted");
    refused("3: a", "keys and their values are wanted");
    refused("update_frequency: 0s", "update_frequency must be a duration from 1s to 24h");
    refused("update_frequency: 10", "update_frequency must be a text; put it in quotes");
    refused("insecure_skip_verify: maybe", "insecure_skip_verify must be true or false");
    refused("scopes: ['ip,range']", "scopes must be a list of words without commas");
    refused(&"#".repeat(LARGEST + 1), "too many");
}

#[test]
fn nothing_and_comments_are_a_file_that_says_nothing() {
    for text in ["", "# nothing\n", "api_url:\napi_key: \"\"\n"] {
        let file = file(text);
        assert_eq!((file.api_url, file.api_key, file.notes.len()), (None, None, 0));
    }
}

#[test]
fn aliases_that_multiply_are_an_error() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let below = format!("*a{},", level - 1).repeat(10);
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    refused(&text, "not YAML");
}

#[test]
fn a_key_is_never_shown() {
    assert_eq!(format!("{:?}", file("api_key: SECRET").api_key), "Some(ApiKey(…))");
}

proptest! {
    #[test]
    fn no_text_stops_the_reader(text in "\\PC*|([a-z_]{1,8}: ?[-\\[\\]{}&*a-z0-9'\",\n ]{0,20}\n){0,5}") {
        drop(parse(&text, Some(&text)));
    }
}
