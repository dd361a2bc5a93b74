//! What is written for others, and that it is read back.
use super::export::{ExportFormat, write};
use super::*;

fn exported(format: ExportFormat, entries: &[(&str, Option<u64>)]) -> String {
    let mut text = String::new();
    write(format, "my list", entries.iter().map(|(prefix, left)| (net(prefix), *left)), &mut text).unwrap();
    text
}

const ENTRIES: &[(&str, Option<u64>)] =
    &[("192.0.2.1/32", None), ("198.51.100.0/24", Some(3_600)), ("2001:db8::/32", None), ("2001:db8:7::/48", Some(60))];

#[test]
fn plain_and_json_are_written_as_they_come() {
    assert_eq!(exported(ExportFormat::Plain, ENTRIES), "192.0.2.1\n198.51.100.0/24\n2001:db8::/32\n2001:db8:7::/48\n");
    let json: serde_json::Value = serde_json::from_str(&exported(ExportFormat::Json, ENTRIES)).unwrap();
    assert_eq!(json[0], serde_json::json!({"prefix": "192.0.2.1/32", "expires_in_s": null}));
    assert_eq!(json[1], serde_json::json!({"prefix": "198.51.100.0/24", "expires_in_s": 3_600}));
    assert_eq!(exported(ExportFormat::Json, &[]), "[\n]\n");
}

#[test]
fn an_exported_ipset_is_read_back_as_it_was() {
    let parsed = read(Format::Auto, exported(ExportFormat::Ipset, ENTRIES));
    assert_eq!((parsed.format, parsed.rejected, parsed.unfit), (Format::Ipset, 0, None));
    assert_eq!(parsed.entries, nets(&["192.0.2.1/32", "2001:db8::/32"]));
    assert_eq!(parsed.ending, [(net("198.51.100.0/24"), 3_600), (net("2001:db8:7::/48"), 60)]);
}

#[test]
fn an_ipset_holds_everything_as_two_halves() {
    let text = exported(ExportFormat::Ipset, &[("0.0.0.0/0", None), ("::/0", Some(u64::MAX))]);
    assert!(text.contains("# A set cannot hold a prefix of length 0"), "{text}");
    assert!(text.contains("# A set cannot hold an end beyond 2147483 seconds"), "{text}");
    let parsed = read(Format::Ipset, text);
    assert_eq!(parsed.entries, nets(&["0.0.0.0/1", "128.0.0.0/1"]));
    assert_eq!(parsed.ending, [(net("::/1"), 2_147_483), (net("8000::/1"), 2_147_483)]);
}

#[test]
fn nft_sets_hold_what_a_wider_prefix_does_not() {
    let text = exported(
        ExportFormat::Nft,
        &[("192.0.2.0/24", None), ("192.0.2.1/32", Some(5)), ("192.0.2.0/24", Some(9)), ("203.0.113.1/32", Some(7))],
    );
    assert!(text.contains("add element inet weir my_list_v4 { 192.0.2.0/24, 203.0.113.1 timeout 7s }\n"), "{text}");
    assert!(!text.contains("add element inet weir my_list_v6"), "{text}");
}

#[test]
fn nft_elements_do_not_overlap_and_keep_their_ends() {
    let text = exported(
        ExportFormat::Nft,
        &[("192.0.2.0/29", Some(90)), ("192.0.2.0/30", None), ("192.0.2.6/32", Some(99)), ("192.0.2.7/32", Some(9))],
    );
    let elements = "192.0.2.0/30, 192.0.2.4/31 timeout 90s, 192.0.2.6 timeout 99s, 192.0.2.7 timeout 90s";
    assert!(text.contains(&format!("add element inet weir my_list_v4 {{ {elements} }}\n")), "{text}");
}

#[test]
fn names_of_sets_are_fit_for_both_programs() {
    let mut text = String::new();
    write(ExportFormat::Ipset, "9; flush \u{e9}".repeat(20).as_str(), [], &mut text).unwrap();
    assert!(text.contains("create -exist list_9__flush__9__flush__9___v4 hash:net"), "{text}");
}

#[test]
fn export_formats_are_named() {
    for format in ExportFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        let value = clap::ValueEnum::to_possible_value(&format).unwrap();
        assert_eq!(value.get_name(), format.name());
    }
    let error = "csv".parse::<ExportFormat>().unwrap_err().to_string();
    assert_eq!(error, "export format \"csv\" is not known; the formats are plain, json, nft and ipset");
}
