//! What is held against floods.
use super::*;
use crate::domain::floods::{FirstFragments, LaterFragments};

/// The keys of each dimension, with a word for what they count.
pub(super) const KEYS: [(Dimension, &str, &str, &str); 7] = [
    (Dimension::Packets, "packets_per_second", "burst", "packets"),
    (Dimension::Bytes, "bytes_per_second", "bytes_burst", "bytes"),
    (Dimension::Syn, "syn_per_second", "syn_burst", "SYN packets"),
    (Dimension::Udp, "udp_per_second", "udp_burst", "UDP packets"),
    (Dimension::Icmp, "icmp_per_second", "icmp_burst", "ICMP packets"),
    (Dimension::New, "new_per_second", "new_burst", "new flows"),
    (Dimension::Fragments, "fragments_per_second", "fragments_burst", "fragments"),
];

/// Sections of one limit.
const SECTIONS: [&str; 4] = ["limits.source", "limits.network", "limits.global", "limits.tight"];

fn floods(text: &str) -> Floods {
    config(text).floods
}

#[track_caller]
fn check_all(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        check(text, &format!("weir.toml:{message}"));
    }
}

#[test]
fn every_dimension_of_every_section_reaches_its_limit() {
    for section in SECTIONS {
        for (dimension, rate_key, burst_key, _) in KEYS {
            let floods =
                floods(&format!("[{section}]\n{rate_key} = 300000\n{burst_key} = 100000\nenforcement = \"observe\"\n"));
            let places = [&floods.source, &floods.network, &floods.global, &floods.tight];
            for (place, limit) in SECTIONS.into_iter().zip(places) {
                let expected = (place == section).then(|| vec![(dimension, 300_000, 100_000)]);
                assert_eq!(limit.as_ref().map(rates), expected, "{section} {rate_key} {place}");
                assert!(limit.is_none_or(|limit| limit.enforcement() == Enforcement::Observe));
            }
        }
    }
}

#[test]
fn a_burst_that_is_not_given_is_a_seconds_worth() {
    for (_, rate_key, ..) in KEYS.into_iter().filter(|(dimension, ..)| *dimension != Dimension::Bytes) {
        for (rate, burst) in [(1, 2), (2, 2), (1_000, 1_000), (100_000_000, 100_000_000)] {
            let limit = floods(&format!("limits.source.{rate_key} = {rate}")).source.unwrap();
            assert_eq!(rates(&limit).iter().map(|(_, _, burst)| *burst).collect::<Vec<_>>(), [burst]);
        }
    }
    // Of bytes there is room for the largest frame, whatever the rate is.
    for (rate, burst) in [(1, 65_550), (65_000, 66_199), (1_000_000, 1_000_000)] {
        let limit = floods(&format!("limits.source.bytes_per_second = {rate}")).source.unwrap();
        assert_eq!(rates(&limit), [(Dimension::Bytes, rate, burst)]);
    }
}

#[test]
fn the_burst_that_is_in_force_is_shown() {
    let text =
        "limits.network.syn_per_second = 70\n[[limits.ports]]\nname = \"a\"\nports = [\"1\"]\nudp_per_second = 8\n";
    let loaded = load(text, &[]).unwrap();
    assert_eq!(setting(&loaded, "limits.network.syn_burst"), ("70".to_owned(), Source::Default));
    assert_eq!(setting(&loaded, "limits.ports[0].udp_burst"), ("8".to_owned(), Source::Default));
    assert_eq!(setting(&loaded, "limits.network.udp_burst"), ("0".to_owned(), Source::Default));
}

#[test]
fn a_burst_without_a_rate_is_refused() {
    for section in SECTIONS {
        for (_, rate_key, burst_key, _) in KEYS {
            check(
                &format!("{section}.{burst_key} = 70000"),
                &format!(
                    "weir.toml:1:{}: \"{section}.{burst_key}\" is \"70000\": a burst without a rate limits nothing; set \
                     {rate_key} too",
                    section.len() + burst_key.len() + 5
                ),
            );
        }
    }
}

#[test]
fn a_burst_that_the_kernel_could_not_keep_to_is_refused_in_every_dimension() {
    for (dimension, rate_key, burst_key, counted) in KEYS {
        let key = format!("limits.source.{burst_key}");
        let at = format!("weir.toml:3:{}: \"{key}\"", burst_key.len() + 4);
        let smallest = if dimension == Dimension::Bytes { 101 + 65_548 } else { 101 };
        check(
            &format!("[limits.source]\n{rate_key} = 10000\n{burst_key} = {}\n", smallest - 1),
            &format!(
                "{at}: a burst of {} is too small for 10000 {counted} a second: the kernel's clock may tick only every \
                 10 ms, and what is earned from one tick to the next must fit into the burst; use {smallest} or more",
                smallest - 1
            ),
        );
        check(
            &format!("[limits.source]\n{rate_key} = 1000\n{burst_key} = 3600001\n"),
            &format!(
                "{at}: a burst of 3600001 takes more than an hour to earn at 1000 {counted} a second; use 3600000 or less"
            ),
        );
        let most: u64 = if dimension == Dimension::Bytes { 125_000_000_000 } else { 100_000_000 };
        let rate = most + 1;
        check(
            &format!("[limits.source]\n{rate_key} = {rate}\n"),
            &format!(
                "weir.toml:2:{}: \"limits.source.{rate_key}\": {rate} {counted} a second is beyond what is measured; the \
                 most is {most}",
                rate_key.len() + 4
            ),
        );
    }
}

#[test]
fn a_part_above_the_whole_is_refused() {
    for (_, rate_key, _, counted) in KEYS.into_iter().skip(2) {
        check(
            &format!("[limits.source]\npackets_per_second = 100\n{rate_key} = 101\n"),
            &format!(
                "weir.toml:3:{}: \"limits.source.{rate_key}\" is \"101\": 101 {counted} a second can never be reached \
                 where 100 packets of all sorts may pass; lower it, or raise limits.source.packets_per_second",
                rate_key.len() + 4
            ),
        );
        config(&format!("[limits.source]\npackets_per_second = 100\n{rate_key} = 100\n"));
    }
    // Bytes are not a part of the packets.
    config("[limits.source]\npackets_per_second = 100\nbytes_per_second = 1000000\n");
}

#[test]
fn what_is_wider_must_hold_more() {
    let wants = |narrow: &str, least: u64, needed: u64| {
        format!(
            "one that keeps to {narrow} = {least} would use up what all of them have together; use {needed} or more"
        )
    };
    for (_, rate_key, ..) in KEYS {
        let given = |section: &str, rate: u64| format!("[limits.{section}]\n{rate_key} = {rate}\n");
        let at = rate_key.len() + 4;
        for (wide, narrow, too_small, needed) in
            [("network", "source", 1_999, 2_000), ("global", "source", 999, 1_000), ("global", "network", 999, 1_000)]
        {
            check(
                &format!("{}{}", given(narrow, 1_000), given(wide, too_small)),
                &format!(
                    "weir.toml:4:{at}: \"limits.{wide}.{rate_key}\" is \"{too_small}\": {}",
                    wants(&format!("limits.{narrow}.{rate_key}"), 1_000, needed)
                ),
            );
            config(&format!("{}{}", given(narrow, 1_000), given(wide, needed)));
        }
    }
    // Other dimensions are no contradiction, and worth a word.
    let text = "[limits.source]\npackets_per_second = 1000\n[limits.network]\nsyn_per_second = 10\n";
    assert_eq!(
        load(text, &[]).unwrap().warnings,
        [
            "one sender alone can use up limits.network.syn_per_second = 10, and costs all others of its network (IPv4 /24, \
          IPv6 /48) then: set syn_per_second in [limits.source], well below it"
        ]
    );
}

/// So many sections, each with its own name.
fn sections(heading: &str, count: usize, keys: &str) -> String {
    let sections: Vec<_> = (0..count).map(|number| format!("[[{heading}]]\nname = \"n{number}\"\n{keys}")).collect();
    sections.concat()
}

#[test]
fn profiles_have_a_rate_and_a_name_of_their_own() {
    let found = floods(&sections("limits.profiles", 6, "packets_per_second = 100\n"));
    assert_eq!((found.profile("n0"), found.profile("n5"), found.profile("n6")), (Some(2), Some(7), None));
    assert_eq!(found.limit_of(7).map(rates), Some(vec![(Dimension::Packets, 100, 100)]));
    check(
        &sections("limits.profiles", 7, "packets_per_second = 100\n"),
        "weir.toml:19:1: \"limits.profiles[6]\" is \"7\": there is room for 6 limits that lists name",
    );
    check_all(&[
        (
            "[[limits.profiles]]\nname = \"a\"\n",
            "1:1: \"limits.profiles[0].packets_per_second\" is \"0\": it limits nothing; set packets_per_second or \
             another rate",
        ),
        (
            "[[limits.profiles]]\nsyn_per_second = 5\n",
            "1:1: \"limits.profiles[0].name\" is missing: each [[limits.profiles]] section is named by lists",
        ),
        (
            "[[limits.profiles]]\nname = \"a b\"\nsyn_per_second = 5\n",
            "2:8: \"limits.profiles[0].name\" is \"a b\": not a name: 1 to 64 of letters, digits, - _ and .",
        ),
        (
            "[[limits.profiles]]\nname = \"a\"\nsyn_per_second = 5\n[[limits.profiles]]\nname = \"a\"\nudp_per_second = 5\n",
            "5:8: \"limits.profiles[1].name\": \"a\" is named twice",
        ),
        (
            "[[limits.profiles]]\nname = \"a\"\nsyn_per_second = 50\nsyn_burst = 1\n",
            "4:13: \"limits.profiles[0].syn_burst\": a burst of 1 is too small for 50 SYN packets a second: the kernel's \
             clock may tick only every 10 ms, and what is earned from one tick to the next must fit into the burst; use 2 \
             or more",
        ),
        (
            "[[limits.profiles]]\nname = \"a\"\nsyn_per_secnd = 50\n",
            "3:1: unknown key \"syn_per_secnd\" in [[limits.profiles]]; did you mean \"syn_per_second\"?",
        ),
    ]);
}

#[test]
fn a_list_names_a_limit_that_is_there_and_says_that_it_limits() {
    let profile = "[[limits.profiles]]\nname = \"partners\"\npackets_per_second = 100\n";
    let list = |rest: &str| format!("{profile}[[lists]]\nname = \"x\"\n{rest}");
    let found = config(&list("enforcement = \"limit\"\nlimit = \"partners\"\n"));
    assert_eq!(found.profiles.into_iter().collect::<Vec<_>>(), [("x".to_owned(), 2)]);
    assert_eq!(config(&list("enforcement = \"limit\"\n")).profiles.len(), 0);
    for enforcement in ["", "enforcement = \"observe\"\n"] {
        let line = if enforcement.is_empty() { 6 } else { 7 };
        check(
            &list(&format!("{enforcement}limit = \"partners\"\n")),
            &format!(
                "weir.toml:{line}:9: \"lists[0].limit\" is \"partners\": a list that names a limit must have enforcement \
                 = \"limit\""
            ),
        );
    }
    check(
        &list("enforcement = \"limit\"\nlimit = \"partner\"\n"),
        "weir.toml:7:9: \"lists[0].limit\" is \"partner\": there is no [[limits.profiles]] section of this name; there are \
         partners",
    );
    check(
        "[[lists]]\nname = \"x\"\nenforcement = \"limit\"\nlimit = \"tight\"\n",
        "weir.toml:4:9: \"lists[0].limit\" is \"tight\": there is no limit of this name; name it in a [[limits.profiles]] \
         section",
    );
}

#[test]
fn limits_of_ports_say_which_ports_and_how_much() {
    let text = "[[limits.ports]]\nname = \"dns\"\nprotocol = \"udp\"\nports = [\"53\", \"8000-8100\"]\nper = \"source\"\n\
                packets_per_second = 200\n";
    let found = floods(text).port_limits.remove(0);
    assert_eq!((found.name.as_str(), found.per_source, found.ports.len()), ("dns", true, 2));
    assert_eq!(rates(&found.limit), [(Dimension::Packets, 200, 200)]);
    assert!(!floods(&text.replace("per = \"source\"\n", "")).port_limits.remove(0).per_source);
    let keys = "ports = [\"53\"]\nudp_per_second = 5\n";
    assert_eq!(floods(&sections("limits.ports", 16, keys)).port_limits.len(), 16);
    check(
        &sections("limits.ports", 17, keys),
        "weir.toml:65:1: \"limits.ports[16]\" is \"17\": there is room for 16 limits of ports",
    );
    check_all(&[
        (
            "[[limits.ports]]\nname = \"a\"\nudp_per_second = 5\n",
            "1:1: \"limits.ports[0].ports\" is missing: name the ports it is about, as in [\"53\", \"8000-8100\"]",
        ),
        (
            "[[limits.ports]]\nname = \"a\"\nports = []\nudp_per_second = 5\n",
            "3:9: \"limits.ports[0].ports\" is missing: name the ports it is about, as in [\"53\", \"8000-8100\"]",
        ),
        (
            "[[limits.ports]]\nname = \"a\"\nports = [\"53\"]\n",
            "1:1: \"limits.ports[0].packets_per_second\" is \"0\": it limits nothing; set packets_per_second or another \
             rate",
        ),
        (
            "[[limits.ports]]\nports = [\"53\"]\nudp_per_second = 5\n",
            "1:1: \"limits.ports[0].name\" is missing: a limit of ports is shown by its name",
        ),
        (
            "[[limits.ports]]\nname = \"a\"\nports = [\"53\"]\nper = \"client\"\n",
            "4:7: \"limits.ports[0].per\" is \"client\"; it must be one of service, source",
        ),
        (
            "[[limits.ports]]\nname = \"a\"\nprotocol = \"icmp\"\nports = [\"53\"]\n",
            "3:12: \"limits.ports[0].protocol\" is \"icmp\"; it must be one of tcp, udp, any",
        ),
    ]);
    check(
        &format!("{}{}", sections("limits.ports", 1, keys), sections("limits.ports", 1, keys)),
        "weir.toml:6:8: \"limits.ports[1].name\": \"n0\" is named twice",
    );
}

#[test]
fn ports_are_numbers_from_1_to_65535_or_ranges_of_them() {
    let why = "not a port from 1 to 65535 or a range of them, as in \"22\" or \"8000-8100\"";
    for port in ["0", "70000", "9-8", "ssh", "", "1-", "-1", "80,443"] {
        check(
            &format!("[[limits.ports]]\nname = \"a\"\nports = [\"53\", \"{port}\"]\nudp_per_second = 5\n"),
            &format!("weir.toml:3:16: \"limits.ports[0].ports[1]\" is \"{port}\": {why}"),
        );
        check(
            &format!("[[ports]]\nports = [\"{port}\"]\n"),
            &format!("weir.toml:2:10: \"ports[0].ports[0]\" is \"{port}\": {why}"),
        );
        check(
            &format!("amplification.ports = [\"{port}\"]\n"),
            &format!("weir.toml:1:24: \"amplification.ports[0]\" is \"{port}\": {why}"),
        );
    }
}

#[test]
fn rules_for_ports_are_read_in_their_order() {
    let found = floods(
        "[[ports]]\nports = [\"22\"]\naction = \"allow\"\n[[ports]]\nprotocol = \"udp\"\nports = [\"1-1023\"]\n\
         enforcement = \"observe\"\n",
    );
    let rules: Vec<_> =
        found.port_rules.iter().map(|rule| (rule.is_denied, rule.enforcement, rule.is_forced)).collect();
    assert_eq!(rules, [(false, Enforcement::Enforce, false), (true, Enforcement::Observe, false)]);
    check_all(&[
        (
            "[[ports]]\n",
            "1:1: \"ports[0].ports\" is missing: name the ports it is about, as in [\"53\", \"8000-8100\"]",
        ),
        (
            "[[ports]]\nports = [\"53\"]\naction = \"drop\"\n",
            "3:10: \"ports[0].action\" is \"drop\"; it must be one of allow, deny",
        ),
        (
            "[[ports]]\nports = [\"53\"]\nprotocol = \"TCP\"\n",
            "3:12: \"ports[0].protocol\" is \"TCP\"; it must be one of tcp, udp, any; did you mean \"tcp\"?",
        ),
        (
            "[[ports]]\nports = [\"53\"]\nenforcement = \"off\"\n",
            "3:15: \"ports[0].enforcement\" is \"off\"; it must be one of enforce, observe",
        ),
    ]);
}

#[test]
fn a_rule_that_hides_ssh_is_refused_with_the_ways_out() {
    let hidden = |ports: &str| {
        format!(
            "is \"{ports}\": it cuts off SSH (TCP port 22): put a rule that allows port 22 before it, or set force = true \
             in it if nobody comes in that way"
        )
    };
    let deny = |ports: &str, rest: &str| format!("[[ports]]\nports = [{ports}]\n{rest}");
    check(&deny("\"22\"", ""), &format!("weir.toml:2:9: \"ports[0].ports\" {}", hidden("22")));
    check(&deny("\"80\", \"1-1023\"", ""), &format!("weir.toml:2:9: \"ports[0].ports\" {}", hidden("80, 1-1023")));
    check(
        &format!("{}{}", deny("\"80\"", ""), deny("\"20-30\"", "protocol = \"tcp\"\n")),
        &format!("weir.toml:4:9: \"ports[1].ports\" {}", hidden("20-30")),
    );
    // An allowance that comes too late, or is UDP's.
    let late = deny("\"22\"", "action = \"allow\"\n");
    check(
        &format!("{}{late}", deny("\"1-1023\"", "")),
        &format!("weir.toml:2:9: \"ports[0].ports\" {}", hidden("1-1023")),
    );
    check(
        &format!("{}{}", deny("\"22\"", "action = \"allow\"\nprotocol = \"udp\"\n"), deny("\"1-1023\"", "")),
        &format!("weir.toml:6:9: \"ports[1].ports\" {}", hidden("1-1023")),
    );
    for text in [
        format!("{}{}", deny("\"22\"", "action = \"allow\"\n"), deny("\"1-65535\"", "")),
        deny("\"22\"", "force = true\n"),
        deny("\"22\"", "protocol = \"udp\"\n"),
        deny("\"23-65535\"", ""),
        // What is only observed cuts nobody off, and being first it is what decides.
        deny("\"22\"", "enforcement = \"observe\"\n"),
        format!("{}{}", deny("\"22\"", "enforcement = \"observe\"\n"), deny("\"1-1023\"", "")),
    ] {
        config(&text);
    }
}

#[test]
fn shape_and_fragments_are_what_is_said() {
    assert_eq!(floods("shape.transport = \"observe\"").transport, Some(Enforcement::Observe));
    assert_eq!(floods("shape.transport = \"enforce\"").transport, Some(Enforcement::Enforce));
    let found = floods("[fragments]\nfirst = \"drop\"\nlater = \"matched\"\nenforcement = \"observe\"\n");
    assert_eq!((found.first_fragments, found.later_fragments), (FirstFragments::Drop, LaterFragments::Matched));
    assert_eq!(found.fragments, Enforcement::Observe);
    assert_eq!(floods("fragments.later = \"drop\"").later_fragments, LaterFragments::Drop);
    check_all(&[
        ("shape.transport = \"on\"", "1:19: \"shape.transport\" is \"on\"; it must be one of off, observe, enforce"),
        (
            "fragments.first = \"matched\"",
            "1:19: \"fragments.first\" is \"matched\": a first fragment has none before it; only `later` can be \"matched\"",
        ),
        ("fragments.first = \"deny\"", "1:19: \"fragments.first\" is \"deny\"; it must be one of pass, matched, drop"),
        (
            "fragments.later = \"match\"",
            "1:19: \"fragments.later\" is \"match\"; it must be one of pass, matched, drop; did you mean \"matched\"?",
        ),
        (
            "fragments.enforcement = \"off\"",
            "1:25: \"fragments.enforcement\" is \"off\"; it must be one of enforce, observe",
        ),
    ]);
}

#[test]
fn answers_are_of_all_services_but_those_in_use() {
    assert_eq!(floods("amplification.uses = [\"ntp\"]").amplification, None);
    let found = floods("[amplification]\nenforcement = \"enforce\"\nuses = [\"ntp\"]\nports = [\"9000-9001\"]\n");
    let found = found.amplification.unwrap();
    assert_eq!(found.enforcement, Enforcement::Enforce);
    let has = |port: u16| found.ports.contains(&port);
    assert!(has(53) && has(11_211) && has(9_000) && has(9_001) && !has(123) && !has(443));
    let services = "qotd, chargen, dns, tftp, portmap, ntp, netbios, snmp, cldap, isakmp, rip, ipmi, mssql, ssdp, arms, \
                    stun, wsd, coap, memcached, jenkins, dhcpdiscover";
    check_all(&[
        (
            "amplification.uses = [\"dns\", \"memcache\"]",
            &format!(
                "1:30: \"amplification.uses[1]\" is \"memcache\"; it must be one of {services}; did you mean \"memcached\"?"
            ),
        ),
        (
            "amplification.uses = [\"http\"]",
            &format!("1:23: \"amplification.uses[0]\" is \"http\"; it must be one of {services}"),
        ),
        (
            "amplification.enforcement = \"drop\"",
            "1:29: \"amplification.enforcement\" is \"drop\"; it must be one of off, observe, enforce",
        ),
    ]);
}

#[test]
fn types_of_icmp_without_which_nothing_works_cannot_be_denied() {
    let found = floods("[icmp]\ndeny = [\"redirect\", \"timestamp-request\"]\nenforcement = \"observe\"\n");
    assert_eq!(found.icmp.iter().map(|kind| kind.v4).collect::<Vec<_>>(), [Some(5), Some(13)]);
    assert_eq!(found.icmp_enforcement, Enforcement::Observe);
    let mtu = "without it connections hang whose path takes smaller packets only (RFC 1191, RFC 8201)";
    let errors = "without it connections learn of errors only by waiting (RFC 4890)";
    for (name, why) in [
        ("destination-unreachable", mtu),
        ("packet-too-big", mtu),
        ("time-exceeded", errors),
        ("parameter-problem", errors),
        ("neighbour-discovery", "without it the link dies (RFC 4890)"),
    ] {
        check(&format!("icmp.deny = [\"{name}\"]"), &format!("weir.toml:1:14: \"icmp.deny[0]\" is \"{name}\": {why}"));
    }
    let error = load("icmp.deny = [\"redirects\"]", &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("weir.toml:1:14: \"icmp.deny[0]\" is \"redirects\"; it must be one of echo-reply, "),
        "{error}"
    );
    assert!(error.ends_with("did you mean \"redirect\"?"), "{error}");
}

#[test]
fn denials_of_offenders_are_short() {
    let found = config("[limits.offenders]\ndeny_after = 3\ndeny_for = \"90s\"\nlongest = \"1h\"\n").offenders;
    assert_eq!(found, Consequence { deny_after: 3, deny_for_s: 90, longest_s: 3_600 });
    let short = "who sends can be forged, so a denial that follows from a limit is short: from 1s to 1h";
    for length in ["2h", "3601s"] {
        check(
            &format!("limits.offenders.longest = \"{length}\""),
            &format!("weir.toml:1:28: \"limits.offenders.longest\" is \"{length}\": {short}"),
        );
    }
    check(
        "limits.offenders.deny_for = \"1d\"",
        &format!("weir.toml:1:29: \"limits.offenders.deny_for\" is \"1d\": {short}"),
    );
    check(
        "[limits.offenders]\ndeny_for = \"10m\"\nlongest = \"5m\"\n",
        "weir.toml:3:11: \"limits.offenders.longest\" is \"5m\": the longest denial is shorter than the first, deny_for = \
         \"10m\"",
    );
    check(
        "limits.offenders.deny_after = 1001",
        "weir.toml:1:31: \"limits.offenders.deny_after\" is 1001; it must be from 0 to 1000",
    );
    let error = load("limits.offenders.deny_for = \"soon\"", &[]).unwrap_err().to_string();
    assert!(error.starts_with("weir.toml:1:29: \"limits.offenders.deny_for\" is \"soon\": "), "{error}");
}

#[test]
fn the_examples_of_the_page_on_floods_hold() {
    const PAGE: &str = include_str!("../../../../docs/floods.md");
    let examples: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 7, "{}", examples.len());
    for example in examples {
        assert_ne!(config(example), config(""), "{example}");
    }
    // Every name that can be used is on the page.
    for service in crate::domain::services::AMPLIFIERS {
        assert!(PAGE.contains(service.name), "{}", service.name);
    }
    for kind in crate::domain::services::ICMP_TYPES {
        assert!(PAGE.contains(kind.name), "{}", kind.name);
    }
}

#[test]
fn variables_of_the_environment_set_limits() {
    let env = [
        ("WEIR_LIMITS__SOURCE__SYN_PER_SECOND", "50"),
        ("WEIR_LIMITS__GLOBAL__BYTES_PER_SECOND", "1000000"),
        ("WEIR_LIMITS__OFFENDERS__DENY_AFTER", "2"),
        ("WEIR_SHAPE__TRANSPORT", "enforce"),
        ("WEIR_FRAGMENTS__LATER", "matched"),
        ("WEIR_AMPLIFICATION__ENFORCEMENT", "enforce"),
        ("WEIR_AMPLIFICATION__USES", "ntp,dns"),
        ("WEIR_ICMP__DENY", "redirect"),
    ];
    let config = load("", &env).unwrap().config;
    assert_eq!(config.floods.source.map(|limit| rates(&limit)), Some(vec![(Dimension::Syn, 50, 50)]));
    assert!(config.floods.global.is_some() && config.floods.amplification.is_some());
    assert_eq!((config.offenders.deny_after, config.floods.icmp.len()), (2, 1));
    assert_eq!(config.floods.later_fragments, LaterFragments::Matched);
    check_env(
        "",
        &[("WEIR_LIMITS__SOURCE__SYN_BURST", "50")],
        "WEIR_LIMITS__SOURCE__SYN_BURST: \"limits.source.syn_burst\" is \"50\": a burst without a rate limits nothing; set \
         syn_per_second too",
    );
    check_env(
        "",
        &[("WEIR_LIMITS__PORTS", "53")],
        "WEIR_LIMITS__PORTS: [[limits.ports]] can only be given in the file",
    );
}
