//! Recorded attacks, with honest traffic mixed in, through the real program at their own times.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is the test's failure")]
#![expect(clippy::print_stdout, reason = "what became of each group is what the tests say")]
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weir_common::verdict::Verdict;
use weir_tests::captures::fields::Fields;
use weir_tests::captures::honest::{Honest, honest};
use weir_tests::captures::labels::{Kind, Label, Recorded, Table};
use weir_tests::captures::shares::{Count, Shares, shares};
use weir_tests::captures::sockets::Socket;
use weir_tests::captures::{self, Packet};
use weir_tests::harness;

/// Says aloud which captures are not there.
fn recorded(test: &str) -> Vec<(Recorded, Vec<Packet>)> {
    let Table { captures } = captures::table().unwrap();
    let there = captures.into_iter().filter_map(|recorded| {
        let path = harness::data(test, &format!("pcap/{}", recorded.file))?;
        let packets = captures::labelled(&recorded, &path).unwrap_or_else(|error| panic!("{error:#}"));
        Some((recorded, packets))
    });
    there.collect()
}

/// Honest traffic for the time of a capture.
fn beside(packets: &[Packet]) -> Honest {
    let times = || packets.iter().map(|packet| packet.at_ns);
    let (first, last) = (times().min().unwrap(), times().max().unwrap());
    honest(first, Duration::from_nanos(last - first))
}

/// What becomes of a capture and of honest traffic under a profile, on a host that had asked what it got answers to.
fn mixed(profile: &str, recorded: &Recorded, packets: Vec<Packet>) -> Shares {
    let honest = beside(&packets);
    let sockets: Vec<Socket> = recorded.sockets().into_iter().chain(honest.sockets).collect();
    let packets = captures::interleaved(packets, honest.packets);
    let shares = shares(profile, &sockets, &packets).unwrap_or_else(|error| panic!("{}: {error:#}", recorded.file));
    println!("{}\n{shares}", recorded.file);
    shares
}

#[test]
fn every_recorded_packet_is_labelled_as_the_table_says() {
    let test = "every_recorded_packet_is_labelled_as_the_table_says";
    for (recorded, packets) in recorded(test) {
        let expected = recorded.groups.iter().map(|group| group.packets).sum::<usize>();
        assert_eq!((packets.len(), expected), (recorded.packets, recorded.packets), "{}", recorded.file);
    }
}

/// An answer to a query of our own is one that a listed socket had asked for; nothing else that came from a resolver's
/// port went to such a socket.
#[test]
fn the_sockets_listed_are_those_that_answers_went_to() {
    for (recorded, packets) in recorded("the_sockets_listed_are_those_that_answers_went_to") {
        let mut answered = BTreeSet::new();
        for packet in packets.iter().filter(|packet| &*packet.group == "answers to own queries") {
            let fields = Fields::of(&packet.frame).unwrap();
            let (from, to) = fields.ports.unwrap();
            let remote = SocketAddr::new(fields.source, from);
            answered.insert(Socket { local: SocketAddr::new(fields.destination, to), remote });
        }
        assert_eq!(answered, recorded.sockets().into_iter().collect(), "{}", recorded.file);
    }
}

#[test]
fn honest_traffic_has_no_address_of_a_capture() {
    for (recorded, packets) in recorded("honest_traffic_has_no_address_of_a_capture") {
        let sources = |packets: &[Packet]| -> BTreeSet<IpAddr> {
            packets.iter().map(|packet| Fields::of(&packet.frame).unwrap()).map(|fields| fields.source).collect()
        };
        let made = sources(&beside(&packets).packets);
        assert_eq!(sources(&packets).intersection(&made).count(), 0, "{}", recorded.file);
    }
}

/// Nobody is limited who has not asked for it: what was recorded holds no header that lies.
#[test]
fn with_no_settings_everything_passes() {
    for (recorded, packets) in recorded("with_no_settings_everything_passes") {
        let honest = u64::try_from(beside(&packets).packets.len()).unwrap();
        let shares = mixed("", &recorded, packets);
        for label in [Label::Attack, Label::Other, Label::Honest] {
            assert_eq!(shares.of(label).dropped, 0, "{}: {label:?}", recorded.file);
        }
        assert_eq!(shares.of(Label::Honest).passed, honest);
        for group in &recorded.groups {
            let key = (group.label, group.name.as_str().into());
            let count = &shares.groups[&key];
            assert_eq!(count.judged() + count.too_long, u64::try_from(group.packets).unwrap(), "{}", group.name);
        }
        // And that is what the goals are about.
        let failed = usize::from(recorded.kind == Kind::Amplification);
        assert_eq!(shares.failures(recorded.kind).len(), failed, "{}", recorded.file);
    }
}

/// A limit by source low enough for the loudest amplifier is too low for a client that downloads, and most amplifiers are
/// quieter than both: why it takes more than that.
#[test]
fn a_limit_by_source_tells_no_amplifier_from_a_busy_client() {
    let profile = "[limits.source]\npackets_per_second = 50\nburst = 50\n";
    for (recorded, packets) in recorded("a_limit_by_source_tells_no_amplifier_from_a_busy_client") {
        let shares = mixed(profile, &recorded, packets);
        let (attack, other) = (shares.of(Label::Attack), shares.of(Label::Other));
        let limited = |count: &Count| count.verdicts.get(Verdict::RateSource.name()).copied().unwrap_or(0);
        assert_eq!((limited(&attack), limited(&other)), (attack.dropped, other.dropped), "{}", recorded.file);
        let has_loud_ones = recorded.file.contains("dns");
        assert_eq!((attack.dropped > 0, other.dropped > 0), (has_loud_ones, has_loud_ones), "{}", recorded.file);
        assert!(attack.dropped * 2 < attack.judged(), "{}", recorded.file);
    }
}

#[test]
fn the_profile_that_comes_with_weir_drops_recorded_attacks_and_passes_the_rest() {
    let profile = include_str!("../../controller/drill/profile.toml");
    let test = "the_profile_that_comes_with_weir_drops_recorded_attacks_and_passes_the_rest";
    for (recorded, packets) in recorded(test) {
        let shares = mixed(profile, &recorded, packets);
        assert_eq!(shares.failures(recorded.kind), [""; 0], "{}", recorded.file);
    }
}
