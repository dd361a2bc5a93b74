use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::domain::decision::Kind;
use crate::domain::desired::Desired;
use crate::domain::geo::{Layer, Names, Range};

fn selectors(text: &str) -> Vec<Selector> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

fn rules(deny: &str, observe: &str, allow_only: Option<&str>, unknown: Unknown) -> Result<Rules, RulesError> {
    Rules::new(selectors(deny), selectors(observe), Vec::new(), allow_only.map(selectors), unknown)
}

fn layer<V: Copy + Ord>(rows: &[(&str, V)]) -> Layer<V> {
    Layer::build(rows.iter().map(|(prefix, value)| (Range::from(prefix.parse::<IpNet>().unwrap()), Some(*value))))
}

#[test]
fn whoever_is_limited_is_neither_denied_nor_counted_as_denied() {
    let limited =
        |deny: &str, limit: &str| Rules::new(selectors(deny), Vec::new(), selectors(limit), None, Unknown::Pass);
    check(limited("", "FR"), &[("country-FR", ListEnforcement::Limit, FRANCE)]);
    let error = limited("continent:EU", "FR").unwrap_err();
    assert_eq!(error.key(), "limit");
    assert!(error.to_string().contains("continent:EU"), "{error}");
}

/// A small world: 5.0.0.0/8 is Germany but for a piece of France, 7.0.0.0/8 is of the USA, with the Tor exits inside.
fn table() -> Table {
    let code = |text: &str| text.parse::<CountryCode>().unwrap();
    let countries = layer(&[
        ("5.0.0.0/8", code("DE")),
        ("5.128.0.0/9", code("FR")),
        ("7.0.0.0/8", code("US")),
        ("7.7.7.0/24", code("T1")),
        ("10.0.0.0/8", code("KP")),
        ("2600::/12", code("US")),
    ]);
    let networks = layer(&[("5.1.0.0/16", Asn::new(64_496).unwrap()), ("7.1.0.0/16", Asn::new(64_497).unwrap())]);
    Table { countries, networks, names: Names::default() }
}

#[track_caller]
fn check(rules: Result<Rules, RulesError>, expected: &[(&str, ListEnforcement, &[&str])]) {
    let lists = lists(&rules.unwrap(), &table());
    let shown: Vec<(&str, ListEnforcement, Vec<String>)> = lists
        .iter()
        .map(|list| (list.name.as_str(), list.enforcement, list.prefixes.iter().map(|net| net.to_string()).collect()))
        .collect();
    let expected: Vec<(&str, ListEnforcement, Vec<String>)> = expected
        .iter()
        .map(|(name, enforcement, nets)| (*name, *enforcement, nets.iter().map(|net| (*net).to_owned()).collect()))
        .collect();
    assert_eq!(shown, expected);
}

const FRANCE: &[&str] = &["5.128.0.0/9"];
const TOR: &[&str] = &["7.7.7.0/24"];

#[test]
fn countries_and_systems_become_lists_of_their_own() {
    use ListEnforcement::{Enforce, Observe};
    check(
        rules("FR AS64496", "continent:EU T1 AS64497", None, Unknown::Pass),
        &[
            ("country-DE", Observe, &["5.0.0.0/9"]),
            ("country-FR", Enforce, FRANCE),
            ("country-T1", Observe, TOR),
            ("asn-64496", Enforce, &["5.1.0.0/16"]),
            ("asn-64497", Observe, &["7.1.0.0/16"]),
        ],
    );
}

#[test]
fn all_but_the_allowed_are_denied_and_their_systems_are_spared() {
    use ListEnforcement::Enforce;
    let us: Vec<String> = {
        let wide = Space::new([Range::from("7.0.0.0/8".parse::<IpNet>().unwrap())]);
        let holes = ["7.1.0.0/16", "7.7.7.0/24"].map(|text| Range::from(text.parse::<IpNet>().unwrap()));
        wide.without(&Space::new(holes))
            .prefixes()
            .iter()
            .map(|net| net.to_string())
            .chain(["2600::/12".into()])
            .collect()
    };
    let us: Vec<&str> = us.iter().map(String::as_str).collect();
    check(
        rules("", "", Some("continent:EU AS64497"), Unknown::Pass),
        &[("country-T1", Enforce, TOR), ("country-US", Enforce, &us)],
    );
}

#[test]
fn a_country_denied_by_name_is_denied_inside_an_allowed_continent() {
    check(
        rules("FR continent:NA T1", "", Some("continent:EU"), Unknown::Pass),
        &[
            ("country-FR", ListEnforcement::Enforce, FRANCE),
            ("country-T1", ListEnforcement::Enforce, TOR),
            (
                "country-US",
                ListEnforcement::Enforce,
                &[
                    "7.0.0.0/14",
                    "7.4.0.0/15",
                    "7.6.0.0/16",
                    "7.7.0.0/22",
                    "7.7.4.0/23",
                    "7.7.6.0/24",
                    "7.7.8.0/21",
                    "7.7.16.0/20",
                    "7.7.32.0/19",
                    "7.7.64.0/18",
                    "7.7.128.0/17",
                    "7.8.0.0/13",
                    "7.16.0.0/12",
                    "7.32.0.0/11",
                    "7.64.0.0/10",
                    "7.128.0.0/9",
                    "2600::/12",
                ],
            ),
        ],
    );
}

#[test]
fn the_unknown_are_denied_without_special_space_and_only_with_a_database() {
    let rules = rules("KP", "", None, Unknown::Deny).unwrap();
    let all = lists(&rules, &table());
    // What a database says of private space changes nothing: there is no list for it.
    assert_eq!(all.iter().map(|list| list.name.as_str()).collect::<Vec<_>>(), ["country-unknown"]);
    let denied = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        all.iter().any(|list| list.prefixes.iter().any(|net| net.contains(&address)))
    };
    for address in ["8.8.8.8", "5.0.0.0", "2a00::1", "9.255.255.255", "11.0.0.0", "3000::1"] {
        assert_eq!(denied(address), !address.starts_with('5'), "{address}");
    }
    for address in [
        "0.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "64:ff9b::1",
        "2001::1",
        "2001:db8::1",
        "2002::1",
        "4000::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ] {
        assert!(!denied(address), "{address}");
    }
    assert!(lists(&rules, &Table::default()).is_empty());
}

#[test]
fn names_are_names_of_lists() {
    let mut desired = Desired::new();
    for list in lists(&rules("T1", "US AS64496", Some("DE US"), Unknown::Deny).unwrap(), &table()) {
        assert!(desired.list_for(&list.name, Kind::Deny, &list.origin).is_ok(), "{}", list.name);
    }
}

#[track_caller]
fn refused(rules: Result<Rules, RulesError>, key: &str, part: &str) {
    let error = rules.unwrap_err();
    assert_eq!(error.key(), key);
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    use Unknown::Pass;
    refused(rules("", "", Some(""), Pass), "allow_only", "empty");
    refused(rules("DE", "", Some("DE"), Pass), "allow_only", "\"DE\" is denied by \"DE\"");
    refused(rules("continent:EU", "", Some("DE US"), Pass), "allow_only", "\"DE\" is denied by \"continent:EU\"");
    refused(rules("AS1", "", Some("AS1"), Pass), "allow_only", "AS1");
    refused(rules("DE DE", "", None, Pass), "deny", "\"DE\" is named twice");
    refused(rules("", "AS1 AS1", None, Pass), "observe", "\"AS1\" is named twice");
    refused(rules("continent:EU", "FR", None, Pass), "observe", "nothing to observe");
    refused(rules("", "FR", Some("DE"), Pass), "observe", "name it in \"allow_only\" too");
    assert!(rules("DE", "continent:EU", Some("continent:EU US"), Pass).is_ok());
}

#[test]
fn rules_say_which_databases_they_need() {
    let needs = |deny, allow_only, unknown| {
        let rules = rules(deny, "", allow_only, unknown).unwrap();
        (rules.is_empty(), rules.need_countries(), rules.need_networks())
    };
    assert_eq!(needs("", None, Unknown::Pass), (true, false, false));
    assert_eq!(needs("AS1", None, Unknown::Pass), (false, false, true));
    assert_eq!(needs("DE", None, Unknown::Pass), (false, true, false));
    assert_eq!(needs("", None, Unknown::Deny), (false, true, false));
    assert_eq!(needs("", Some("AS1"), Unknown::Pass), (false, true, true));
}

#[test]
fn what_the_table_lacks_is_said() {
    let rules = rules("CN DE AS64496 AS64499", "continent:AN", None, Unknown::Pass).unwrap();
    let absent: Vec<String> = absent(&rules, &table()).iter().map(Selector::to_string).collect();
    assert_eq!(absent, ["CN", "AS64499", "continent:AN"]);
}

proptest! {
    /// The words of the rules, address by address, against the lists.
    #[test]
    fn lists_do_what_the_rules_say(
        deny in prop::sample::subsequence(vec!["DE", "T1", "AS64496"], 0..=3),
        observe in prop::sample::subsequence(vec!["continent:EU", "US", "AS64497"], 0..=3),
        allow_only in prop::option::of(prop::sample::subsequence(vec!["US", "continent:EU", "AS64497"], 1..=3)),
        deny_unknown in any::<bool>(),
        address in prop_oneof![
            Just([5, 0, 0, 1]), Just([5, 1, 0, 1]), Just([5, 200, 0, 1]), Just([7, 0, 0, 1]), Just([7, 1, 0, 1]),
            Just([7, 7, 7, 7]), Just([10, 0, 0, 1]), Just([9, 9, 9, 9]), any::<[u8; 4]>(),
        ],
    ) {
        let unknown = if deny_unknown { Unknown::Deny } else { Unknown::Pass };
        let allow_only = allow_only.map(|all| all.join(" "));
        let Ok(rules) = rules(&deny.join(" "), &observe.join(" "), allow_only.as_deref(), unknown) else { return Ok(()) };
        let table = table();
        let address = IpAddr::from(address);
        let place = table.place(address);
        let names = |selectors: &[Selector]| selectors.iter().any(|selector| selector.matches(&place));
        let is_special = Space::new([Range::from(IpNet::from(address))]).without(special_purpose()).is_empty();
        let may_pass = rules.allow_only.is_empty() || names(&rules.allow_only);
        let by_absence = match place.country {
            Some(_) => !may_pass,
            None => deny_unknown && (rules.allow_only.is_empty() || !may_pass),
        };
        let expected = !is_special && (names(&rules.deny) || by_absence);
        let denied = lists(&rules, &table).iter().any(|list| {
            list.enforcement == ListEnforcement::Enforce && list.prefixes.iter().any(|net| net.contains(&address))
        });
        prop_assert_eq!(denied, expected, "{}", address);
    }
}
