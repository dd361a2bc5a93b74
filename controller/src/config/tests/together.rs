//! Limits beside each other: what is refused, what is warned of, and what stands in where nothing is set.
use super::floods::KEYS;
use super::*;

#[test]
fn a_burst_of_many_holds_the_burst_of_one() {
    for (dimension, rate_key, burst_key, _) in KEYS {
        let (rate, burst) = if dimension == Dimension::Bytes { (200_000, 600_000) } else { (200, 600) };
        let given = |section: &str, times: u64, burst: u64| {
            format!("[limits.{section}]\n{rate_key} = {}\n{burst_key} = {burst}\n", rate * times)
        };
        for (wide, narrow) in [("network", "source"), ("global", "source"), ("global", "network")] {
            check(
                &format!("{}{}", given(narrow, 1, burst), given(wide, 2, burst - 1)),
                &format!(
                    "weir.toml:6:{}: \"limits.{wide}.{burst_key}\" is \"{}\": one that keeps to \
                     limits.{narrow}.{burst_key} = {burst} would use up at once what all of them have together; use {burst} \
                     or more, or lower that",
                    burst_key.len() + 4,
                    burst - 1
                ),
            );
            config(&format!("{}{}", given(narrow, 1, burst), given(wide, 2, burst)));
        }
    }
    // A burst that was not given is the wider one's as well.
    check(
        "[limits.source]\npackets_per_second = 1000\nburst = 60000\n[limits.network]\npackets_per_second = 2000\n",
        "weir.toml:4:1: \"limits.network.burst\" is \"2000\": one that keeps to limits.source.burst = 60000 would use up at \
         once what all of them have together; use 60000 or more, or lower that",
    );
}

#[test]
fn profiles_and_the_tighter_limit_fit_into_what_all_have() {
    let profile = "[[limits.profiles]]\nname = \"partners\"\npackets_per_second = 50000\n";
    let why = |narrow: &str, rate: u64| {
        format!("one that keeps to {narrow} = {rate} would use up what all of them have together; use {rate} or more")
    };
    for wide in ["network", "global"] {
        let section = format!("[limits.{wide}]\npackets_per_second = 20000\n");
        check(
            &format!("{section}{profile}"),
            &format!(
                "weir.toml:2:22: \"limits.{wide}.packets_per_second\" is \"20000\": {}",
                why("limits.profiles[0].packets_per_second", 50_000)
            ),
        );
        check(
            &format!("{section}[limits.tight]\npackets_per_second = 20001\n"),
            &format!(
                "weir.toml:2:22: \"limits.{wide}.packets_per_second\" is \"20000\": {}",
                why("limits.tight.packets_per_second", 20_001)
            ),
        );
        config(&format!("[limits.{wide}]\npackets_per_second = 50000\n{profile}"));
    }
    let with_tight =
        |rate: u64| format!("[limits.source]\npackets_per_second = 100\n[limits.tight]\npackets_per_second = {rate}\n");
    check(
        &with_tight(101),
        "weir.toml:4:22: \"limits.tight.packets_per_second\" is \"101\": sources that have it would have more than all \
         others, whose limits.source.packets_per_second is 100; use 100 or less, or give the limit a name of its own in a \
         [[limits.profiles]] section",
    );
    config(&with_tight(100));
    // A profile may be looser, as long as nobody has less for it.
    config(&format!("[limits.source]\npackets_per_second = 100\n{profile}"));
}

#[test]
fn what_all_have_of_a_service_is_more_than_what_one_may_send() {
    let port = |per: &str, rates: &str| {
        format!("[[limits.ports]]\nname = \"web\"\nprotocol = \"tcp\"\nports = [\"443\"]\nper = \"{per}\"\n{rates}")
    };
    let source = "[limits.source]\npackets_per_second = 1000\n";
    check(
        &format!("{source}{}", port("service", "packets_per_second = 999\n")),
        "weir.toml:8:22: \"limits.ports[0].packets_per_second\" is \"999\": one that keeps to \
         limits.source.packets_per_second = 1000 would use up what all of them have together; use 1000 or more",
    );
    check(
        &format!("{source}burst = 5000\n{}", port("service", "packets_per_second = 2000\n")),
        "weir.toml:4:1: \"limits.ports[0].burst\" is \"2000\": one that keeps to limits.source.burst = 5000 would use up at \
         once what all of them have together; use 5000 or more, or lower that",
    );
    // Each source's own is in addition to what it has anyway.
    config(&format!("{source}{}", port("source", "packets_per_second = 10\n")));
    let warned = load(&port("service", "packets_per_second = 999\n"), &[]).unwrap().warnings;
    assert_eq!(
        warned,
        [
            "one sender alone can use up limits.ports[0].packets_per_second = 999, and costs everybody else at the ports of \
          \"web\" then: set packets_per_second in [limits.source], well below it"
        ]
    );
}

fn warned(text: &str) -> Vec<String> {
    match load(text, &[]) {
        Ok(loaded) => loaded.warnings,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_one_sender_can_use_up_is_told_and_what_is_held_is_not() {
    let network = "[limits.network]\npackets_per_second = 1000\nsyn_per_second = 100\n";
    let way_out =
        |text: &str| warned(text).first().and_then(|one| one.split_once(" then: ").map(|(_, end)| end.to_owned()));
    assert_eq!(
        way_out(network).as_deref(),
        Some("set packets_per_second and syn_per_second in [limits.source], well below them")
    );
    // Packets of all sorts hold those of one.
    assert_eq!(way_out(&format!("{network}[limits.source]\npackets_per_second = 100\n")), None);
    assert_eq!(
        way_out(&format!("{network}[limits.source]\npackets_per_second = 500\n")).as_deref(),
        Some("set syn_per_second in [limits.source], well below it")
    );
    let source = "[limits.source]\npackets_per_second = 500\nsyn_per_second = 50\n";
    assert_eq!(way_out(&format!("{network}{source}")), None);
    let observed = format!("{source}enforcement = \"observe\"\n");
    assert_eq!(way_out(&format!("{network}{observed}")).as_deref(), Some("[limits.source] is only observed"));
    // What is only observed costs nobody more than what is observed.
    assert_eq!(way_out(&format!("{network}enforcement = \"observe\"\n{observed}")), None);
    // One network is as good as one source to all there is.
    let global = "[limits.global]\npackets_per_second = 5000\n";
    assert_eq!(warned(global).len(), 1);
    assert_eq!(warned(&format!("{network}{source}{global}")), Vec::<String>::new());
    // All that goes to a port of UDP is UDP; a new flow is a SYN or UDP.
    let dns = "[[limits.ports]]\nname = \"dns\"\nprotocol = \"udp\"\nports = [\"53\"]\npackets_per_second = 500\n\
               new_per_second = 500\n";
    assert_eq!(warned(&format!("[limits.source]\nudp_per_second = 50\n{dns}")), Vec::<String>::new());
    assert_eq!(warned(&format!("[limits.source]\nsyn_per_second = 50\n{dns}")).len(), 1);
    let flows = "[limits.network]\nnew_per_second = 300\n";
    assert_eq!(
        warned(&format!("{flows}[limits.source]\nsyn_per_second = 50\nudp_per_second = 100\n")),
        Vec::<String>::new()
    );
    assert_eq!(
        warned(
            "[limits.source]\npackets_per_second = 2000\nsyn_per_second = 50\n[limits.tight]\npackets_per_second = 100\n"
        ),
        [
            "sources that have [limits.tight] may send more than others: it does not name syn_per_second, as [limits.source] \
          does"
        ]
    );
}

#[test]
fn rates_that_nothing_at_a_port_counts_in_are_refused() {
    let port = |protocol: &str, rate: &str| {
        format!("[[limits.ports]]\nname = \"a\"\nprotocol = \"{protocol}\"\nports = [\"53\"]\n{rate} = 5\n")
    };
    for (protocol, rate, why) in [
        ("tcp", "udp_per_second", "nothing that goes to ports of TCP is UDP; set protocol = \"udp\" or \"any\""),
        ("udp", "syn_per_second", "nothing that goes to ports of UDP is a SYN; set protocol = \"tcp\" or \"any\""),
        ("any", "icmp_per_second", "ICMP has no ports, so nothing would be counted; set it in [limits.source]"),
    ] {
        let column = rate.len() + 4;
        check(&port(protocol, rate), &format!("weir.toml:5:{column}: \"limits.ports[0].{rate}\" is \"5\": {why}"));
    }
    for (protocol, rate) in [("udp", "udp_per_second"), ("tcp", "syn_per_second"), ("any", "udp_per_second")] {
        config(&port(protocol, rate));
    }
}

#[test]
fn settings_that_do_nothing_are_told() {
    let port = |name: &str, protocol: &str, ports: &str| {
        format!(
            "[[limits.ports]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nports = [{ports}]\nper = \"source\"\n\
             packets_per_second = 5\n"
        )
    };
    let shadow = |section: &str, at: usize, before: &str| {
        let (name, it) = if before.contains(" and ") { ("name", "them") } else { ("names", "it") };
        format!(
            "{section}[{at}] does nothing: {before} {name} all its ports before, and the first one holds; put it before {it}, \
             or delete it"
        )
    };
    let limits = [port("a", "udp", "\"1-100\""), port("b", "tcp", "\"50\""), port("c", "any", "\"50\"")].concat();
    assert_eq!(warned(&limits), [shadow("limits.ports", 2, "limits.ports[0] and limits.ports[1]")]);
    assert_eq!(warned(&[port("a", "udp", "\"1-100\""), port("b", "any", "\"50\"")].concat()), Vec::<String>::new());
    let rules = "[[ports]]\nports = [\"22\", \"1000-2000\"]\naction = \"allow\"\n[[ports]]\nprotocol = \"tcp\"\n\
                 ports = [\"1500\"]\n";
    assert_eq!(warned(rules), [shadow("ports", 1, "ports[0]")]);
    let switched_off = "[amplification]\nuses = [\"ntp\"]\nports = [\"5000\"]\n";
    assert_eq!(
        warned(switched_off),
        ["uses", "ports"].map(|key| format!("amplification.{key} does nothing: amplification.enforcement is \"off\""))
    );
    assert_eq!(warned(&format!("{switched_off}enforcement = \"observe\"\n")), Vec::<String>::new());
    let deny = "[limits.offenders]\ndeny_after = 3\n";
    for (text, does_nothing) in [
        ("", true),
        ("[limits.network]\npackets_per_second = 500\n", true),
        ("[limits.source]\npackets_per_second = 500\nenforcement = \"observe\"\n", true),
        ("[limits.source]\npackets_per_second = 500\n", false),
        (&port("a", "udp", "\"53\""), false),
    ] {
        let found = warned(&format!("{deny}{text}"));
        assert_eq!(found.iter().any(|one| one.starts_with("limits.offenders.deny_after")), does_nothing, "{text}");
    }
    assert_eq!(
        warned("[[limits.profiles]]\nname = \"x\"\npackets_per_second = 5\n"),
        ["limits.profiles[0] does nothing: no [[lists]] section has limit = \"x\""]
    );
}

#[test]
fn lists_feeds_and_countries_that_limit_have_a_limit_to_give() {
    let tight = |text: &str| config(text).floods.tight.as_ref().map(rates);
    let usual = Some(vec![(Dimension::Packets, 50, 500)]);
    let list = "[[lists]]\nname = \"x\"\nenforcement = \"limit\"\n";
    let feed = "[[feeds]]\nname = \"x\"\nurl = \"https://example.org/x\"\naction = \"limit\"\n";
    for text in [list, feed, "[geo]\ncountry_file = \"/x.mmdb\"\nlimit = [\"FR\"]\n"] {
        assert_eq!(tight(text), usual, "{text}");
        assert_eq!(tight(&format!("{text}[limits.tight]\nsyn_per_second = 9\n")), Some(vec![(Dimension::Syn, 9, 9)]));
        // What everybody has may be as tight already.
        for (rate, expected) in [(50, None), (51, usual.clone())] {
            assert_eq!(
                tight(&format!("{text}[limits.source]\npackets_per_second = {rate}\n")),
                expected,
                "{text} {rate}"
            );
        }
    }
    let loaded = load(list, &[]).unwrap();
    assert_eq!(setting(&loaded, "limits.tight.packets_per_second"), ("50".to_owned(), Source::Default));
    for text in [
        "",
        "[[lists]]\nname = \"x\"\nenforcement = \"observe\"\n",
        &format!("{list}limit = \"y\"\n[[limits.profiles]]\nname = \"y\"\nsyn_per_second = 9\n"),
        &format!("{feed}[[lists]]\nname = \"x\"\n"),
    ] {
        assert_eq!(tight(text), None, "{text}");
    }
}

#[test]
fn what_is_recommended_is_warned_of_nowhere() {
    let profile = include_str!("../../../drill/profile.toml");
    let pages = [include_str!("../../../../docs/floods.md"), include_str!("../../../../docs/lists.md")];
    let blocks = |page: &'static str| page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = pages.into_iter().flat_map(blocks).collect();
    assert!(examples.len() > 7, "{}", examples.len());
    for text in examples.into_iter().chain([profile, SHIPPED]) {
        // The example of what follows from broken limits stands for itself.
        let found = warned(text).into_iter().filter(|one| !one.starts_with("limits.offenders.deny_after"));
        assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new(), "{text}");
    }
}
