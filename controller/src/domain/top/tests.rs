use super::*;

fn source(prefix: &str, packets: u64, lately: u64, place: Option<(&str, u32)>) -> Source {
    let sent = |packets| Sent { packets, bytes: packets * 60, dropped: packets / 2 };
    Source {
        prefix: order::prefix(prefix).unwrap(),
        all: sent(packets),
        lately: sent(lately),
        country: place.map(|place| place.0.to_owned()),
        asn: place.map(|place| place.1),
    }
}

fn some() -> Vec<Source> {
    vec![
        source("192.0.2.7", 1_000, 10, Some(("DE", 64_496))),
        source("192.0.2.90", 500, 40, Some(("DE", 64_497))),
        source("198.51.100.1", 9_000, 0, None),
        source("9.0.0.1", 9_000, 0, None),
        source("2001:db8:7:1::/64", 60, 20, Some(("FR", 64_498))),
        source("2001:db8:7:2::/64", 40, 20, None),
    ]
}

fn query(group: TopGroup, by: TopBy) -> Query {
    Query { group, by, limit: 100, ..Query::default() }
}

fn names(rows: &Rows) -> Vec<&str> {
    rows.rows.iter().map(|row| row.address.as_deref().or(row.country.as_deref()).unwrap_or("-")).collect()
}

#[test]
fn sources_are_rows_with_rates_over_the_measurement() {
    let rows = rows(some(), 0.5, &query(TopGroup::Source, TopBy::Packets));
    assert_eq!(
        names(&rows),
        ["192.0.2.90", "2001:db8:7:1::/64", "2001:db8:7:2::/64", "192.0.2.7", "9.0.0.1", "198.51.100.1"]
    );
    let first = &rows.rows[0];
    assert_eq!((first.packets, first.bytes, first.dropped, first.sources), (500, 30_000, 250, 1));
    let rates = (first.packets_per_second, first.bytes_per_second, first.dropped_per_second);
    assert_eq!(rates, (80.0, 4_800.0, 40.0));
    assert_eq!((first.dropped_share(), rows.rows[5].dropped_share()), (Some(0.5), None));
    assert_eq!((rows.matching, rows.packets_per_second), (6, 180.0));
}

#[test]
fn networks_are_sums_over_all_sources_not_over_the_rows_that_fit() {
    let mut asked = query(TopGroup::Network, TopBy::Packets);
    asked.limit = 1;
    let rows = rows(some(), 1.0, &asked);
    assert_eq!(names(&rows), ["192.0.2.0/24"]);
    let first = &rows.rows[0];
    assert_eq!((first.sources, first.packets, first.packets_per_second), (2, 1_500, 50.0));
    // Two systems of one country.
    assert_eq!((first.country.as_deref(), first.asn), (Some("DE"), None));
    assert_eq!((rows.matching, rows.packets_per_second), (4, 90.0));
}

#[test]
fn a_network_of_known_and_unknown_sources_has_no_country() {
    let rows = rows(some(), 1.0, &query(TopGroup::Network, TopBy::Address));
    assert_eq!(names(&rows), ["9.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "2001:db8:7::/48"]);
    assert_eq!((rows.rows[3].sources, rows.rows[3].country.as_deref()), (2, None));
}

#[test]
fn countries_have_a_row_for_the_unknown() {
    let rows = rows(some(), 1.0, &query(TopGroup::Country, TopBy::Sources));
    assert_eq!(names(&rows), ["-", "DE", "FR"]);
    assert_eq!(rows.rows.iter().map(|row| row.sources).collect::<Vec<_>>(), [3, 2, 1]);
    assert!(rows.rows.iter().all(|row| row.address.is_none()));
}

#[test]
fn a_filter_chooses_sources_before_they_are_put_together() {
    let mut asked = query(TopGroup::Network, TopBy::Packets);
    asked.filter = Filter::of("192.0.2.64/26");
    let rows = rows(some(), 1.0, &asked);
    assert_eq!((names(&rows), rows.rows[0].sources, rows.matching), (vec!["192.0.2.0/24"], 1, 1));
}

#[test]
fn every_order_has_the_other_way_around() {
    let first = |by, reversed| {
        let rows = rows(some(), 1.0, &Query { reversed, ..query(TopGroup::Source, by) });
        names(&rows)[0].to_owned()
    };
    for (by, forward, backward) in [
        (TopBy::Packets, "192.0.2.90", "9.0.0.1"),
        (TopBy::Bytes, "192.0.2.90", "9.0.0.1"),
        (TopBy::Drops, "9.0.0.1", "2001:db8:7:2::/64"),
        (TopBy::AllPackets, "9.0.0.1", "2001:db8:7:2::/64"),
        (TopBy::AllBytes, "9.0.0.1", "2001:db8:7:2::/64"),
        (TopBy::Address, "9.0.0.1", "2001:db8:7:2::/64"),
        (TopBy::Country, "192.0.2.7", "9.0.0.1"),
        (TopBy::Asn, "2001:db8:7:1::/64", "9.0.0.1"),
        (TopBy::DroppedShare, "192.0.2.7", "9.0.0.1"),
    ] {
        assert_eq!((first(by, false).as_str(), first(by, true).as_str()), (forward, backward), "{by:?}");
    }
}

#[test]
fn a_source_that_was_forgotten_in_between_begins_anew() {
    let sent = |packets, dropped| Sent { packets, bytes: packets * 60, dropped };
    assert_eq!(sent(100, 9).since(sent(40, 4)), sent(60, 5));
    assert_eq!(sent(3, 1).since(sent(40, 4)), sent(3, 1));
}

#[test]
fn no_time_means_no_rate() {
    let rows = rows(some(), 0.0, &query(TopGroup::Source, TopBy::Packets));
    assert!(rows.rows.iter().all(|row| row.packets_per_second == 0.0));
}
