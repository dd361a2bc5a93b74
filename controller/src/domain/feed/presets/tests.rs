use std::collections::BTreeSet;

use super::*;

#[test]
fn every_preset_is_found_by_its_name() {
    let names: BTreeSet<_> = presets().iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), presets().len());
    for preset in presets() {
        assert_eq!(named(preset.name), Some(preset));
    }
    assert_eq!(named("nobody"), None);
}

#[test]
fn presets_say_all_and_ask_for_nothing_in_the_clear() {
    for preset in presets() {
        assert!(preset.url.starts_with("https://"), "{}", preset.name);
        assert!(preset.format != Format::Auto, "{}", preset.name);
        assert!(preset.interval_s >= 5 * MINUTE, "{}", preset.name);
        for text in [preset.title, preset.licence, preset.terms, preset.note] {
            assert!(!text.is_empty(), "{}", preset.name);
        }
        let name = preset.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(name, "{}", preset.name);
    }
}

#[test]
fn publishers_minimum_intervals_are_kept() {
    for (name, least) in [
        ("spamhaus-drop-v4", HOUR),
        ("spamhaus-drop-v6", HOUR),
        ("spamhaus-asn-drop", HOUR),
        ("dshield-block", HOUR),
        ("feodo", 5 * MINUTE),
        ("tor-exits", 30 * MINUTE),
        // Five requests a day.
        ("abuseipdb", DAY / 5),
    ] {
        assert!(named(name).unwrap().interval_s >= least, "{name}");
    }
}
