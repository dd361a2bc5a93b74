//! Feeds, geography, CrowdSec.
use std::path::PathBuf;

use super::*;

#[test]
fn every_key_of_a_feed_reaches_it() {
    let feed = config(
        r#"
        [[feeds]]
        name = "partner"
        url = "http://lists.example.org/bad.csv"
        protocol = "http"
        format = "csv"
        column = "ip"
        interval = "15m"
        action = "reputation"
        weight = 30
        least_score = 3
        expire = "7d"
        headers = ["Accept: text/csv"]
        user = "me"
        password_file = "/etc/weir/partner.key"
        allow_http = true
        allow_private = true
        most_mib = 2
        deadline = "30s"
        widest_v4 = 16
        widest_v6 = 32
        most_entries = 5000
        least_entries = 0
        most_shrink_percent = 20
        most_growth_percent = 40
        most_rejected_percent = 1
        "#,
    )
    .feeds
    .remove(0);
    assert_eq!(feed.location, Location::Http("http://lists.example.org/bad.csv".to_owned()));
    assert_eq!((feed.format.name(), feed.column.as_deref(), feed.least_score), ("csv", Some("ip"), 3));
    assert_eq!((feed.interval_s, feed.action, feed.weight), (900, FeedAction::Reputation, 30));
    assert_eq!((feed.expire_s, feed.most_bytes, feed.deadline_s), (Some(604_800), 2 << 20, 30));
    assert_eq!(feed.headers, [("Accept".to_owned(), "text/csv".to_owned())]);
    let password_file = PathBuf::from("/etc/weir/partner.key");
    assert_eq!(feed.credential, Some(Credential::Basic { user: "me".to_owned(), password_file }));
    assert_eq!((feed.widest.v4, feed.widest.v6), (16, 32));
    let limits = feed.limits;
    assert_eq!((limits.most_entries, limits.least_entries), (5_000, Some(0)));
    assert_eq!((limits.most_shrink_percent, limits.most_growth_percent, limits.most_rejected_percent), (20, 40, 1));
}

#[test]
fn a_preset_needs_nothing_more_and_keeps_to_its_publishers_terms() {
    let feed = config("[[feeds]]\npreset = \"spamhaus-drop-v4\"\n").feeds.remove(0);
    assert_eq!((feed.name.as_str(), feed.action), ("spamhaus-drop-v4", FeedAction::Deny));
    let text = "[[feeds]]\npreset = \"spamhaus-drop-v4\"\ninterval = \"1m\"\n";
    let error = load(text, &[]).unwrap_err().to_string();
    assert!(error.contains("weir.toml:3:") && error.contains("asks the publisher of spamhaus-drop-v4"), "{error}");
}

#[test]
fn feeds_that_make_no_sense_are_refused_with_their_place() {
    for (text, part) in [
        ("[[feeds]]\nname = \"x\"\n", "a feed needs a url, a file or a preset"),
        ("[[feeds]]\nurl = \"https://a.example/x\"\n", "a list has a name"),
        ("[[feeds]]\nname = \"block\"\nurl = \"https://a.example/x\"\n", "not a name for a feed"),
        ("[[feeds]]\nname = \"x\"\nurl = \"http://a.example/x\"\n", "allow_http = true takes it"),
        ("[[feeds]]\nname = \"x\"\nurl = \"https://u:p@a.example/x\"\n", "use user and password_file"),
        ("[[feeds]]\nname = \"x\"\nurl = \"https://a.example/x\"\nfile = \"/x\"\n", "either a file or a url"),
        ("[[feeds]]\nname = \"x\"\nfile = \"x.txt\"\n", "a path must be absolute"),
        ("[[feeds]]\npreset = \"spamhaus\"\n", "must be one of"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\naction = \"denny\"\n", "did you mean \"deny\"?"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\nformat = \"xml\"\n", "format \"xml\" is not known"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\ninterval = \"1s\"\n", "1 seconds"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\nheaders = [\"a\"]\n", "not a header"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\nuser = \"a\"\ntoken_file = \"/t\"\n", "one credential"),
        ("[[feeds]]\nname = \"x\"\nfile = \"/x\"\n[[feeds]]\nname = \"x\"\nfile = \"/y\"\n", "named twice"),
    ] {
        let error = load(text, &[]).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
        assert!(error.starts_with("weir.toml:") && error.contains(part), "{text}{error}");
    }
}

#[test]
fn rules_for_countries_need_a_database_that_knows_them() {
    let geo = config("[geo]\ncountry_file = \"/x.mmdb\"\ndeny = [\"kp\", \"continent:AN\"]\nobserve = [\"FR\"]\n").geo;
    assert_eq!(geo.country_file, Some(PathBuf::from("/x.mmdb")));
    assert_eq!(geo.rules.map(|rules| rules.selectors().count()), Some(3));
    check(
        "[geo]\ndeny = [\"KP\"]\n",
        "weir.toml:1:1: \"geo.country_file\" is missing: rules for countries need a database that knows them",
    );
    for (text, part) in [
        ("[geo]\ndeny = [\"AS64496\"]\n", "\"geo.asn_file\" is missing"),
        ("[geo]\ncountry_file = \"/x\"\ndeny = [\"UK\"]\n", "GB"),
        ("[geo]\ncountry_file = \"/x\"\ndeny = [\"DE\"]\nallow_only = [\"DE\"]\n", "DE"),
    ] {
        let error = load(text, &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_crowdsec_server_is_asked_only_with_something_to_show() {
    assert_eq!(config("").crowdsec, None);
    let crowdsec = config("[crowdsec]\nenabled = true\napi_key_file = \"/k\"\ninterval = \"2s\"\n").crowdsec.unwrap();
    assert_eq!((crowdsec.interval_s, crowdsec.deny_types), (2, vec!["ban".to_owned()]));
    for (text, part) in [
        ("[crowdsec]\nenabled = true\n", "cscli bouncers add weir"),
        ("[crowdsec]\napi_url = \"ftp://x\"\n", "http:// or https://"),
        ("[crowdsec]\nenabled = true\ncert_file = \"/c\"\n", "come together"),
        ("[crowdsec]\nenabled = true\napi_key_file = \"/k\"\nscopes = [\"country\"]\n", "the scopes ip and range"),
    ] {
        let error = load(text, &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
