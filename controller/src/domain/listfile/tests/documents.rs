//! JSON: one record of each kind, and what is wrong with it.
use super::auto::sample;
use super::*;

#[track_caller]
fn check(format: Format, text: &str, entries: &[&str], refused: &[&str]) {
    let parsed = read(format, text);
    assert_eq!(parsed.entries, nets(entries), "{text}");
    assert_eq!(whys(&parsed), refused, "{text}");
}

#[test]
fn drop_states_how_many_records_it_has() {
    let parsed = read(Format::Auto, sample(Format::DropJson));
    assert_eq!((parsed.declared, parsed.records(), parsed.lines, parsed.skipped), (Some(2), 2, 3, 1));
    let cut: String = sample(Format::DropJson).split_inclusive('\n').take(2).collect();
    let parsed = read(Format::Auto, &cut);
    assert_eq!((parsed.format, parsed.declared), (Format::DropJson, None));
    assert_eq!(parsed.unfit.as_deref(), Some("cut off: the metadata that ends such a list is missing"));
    // IPv4 and IPv6 joined to one file.
    let both = sample(Format::DropJson).repeat(2);
    let parsed = read(Format::Auto, &both);
    assert_eq!((parsed.declared, parsed.records(), parsed.unfit), (Some(4), 4, None));
}

#[test]
fn drop_lines_are_objects_with_a_prefix() {
    let end = "{\"type\":\"metadata\",\"records\":1}\n";
    let text = format!("{{\"cidr\":\"192.0.2.0/33\"}}\n{{\"cidr\":7}}\n{{\"sblid\":\"x\"}}\n[]\nx\n{end}");
    let object = "not an object with the text \"cidr\"";
    check(
        Format::DropJson,
        &text,
        &[],
        &["prefix length 33 exceeds 32", object, object, "not a JSON object", "not a JSON object"],
    );
    // Two values: programs differ on which counts.
    check(Format::DropJson, &format!("{{\"cidr\":\"192.0.2.1\",\"cidr\":\"192.0.2.2\"}}\n{end}"), &[], &[object]);
}

#[test]
fn network_numbers_have_32_bits() {
    let text = "{\"asn\":0}\n{\"asn\":4294967295}\n{\"asn\":4294967296}\n{\"asn\":\"64496\"}\n{\"asn\":-1}\n\
                {\"type\":\"metadata\",\"records\":5}\n";
    let parsed = read(Format::Auto, text);
    assert_eq!(parsed.format, Format::AsnDrop);
    assert_eq!((parsed.asns.as_slice(), parsed.rejected, parsed.declared), (&[u32::MAX][..], 4, Some(5)));
}

#[test]
fn an_empty_feodo_list_is_in_order() {
    let parsed = read(Format::Auto, "[]\n");
    assert_eq!((parsed.format, parsed.lines, parsed.unfit), (Format::FeodoJson, 0, None));
    let object = "not an object with the text \"ip_address\"";
    check(Format::FeodoJson, r#"[{"ip_address":"192.0.2.1:80"},{"ip_address":1},7]"#, &[], &[NOT, object, object]);
}

#[test]
fn abuseipdb_scores_are_kept_and_low_ones_passed_over() {
    let text = sample(Format::Abuseipdb);
    let parsed = read(Format::Auto, text);
    assert_eq!(parsed.scores, [100, 90]);
    let strict = parse(text.as_bytes(), &Reading { least_score: 91, ..reading(Format::Auto) });
    assert_eq!((strict.entries, strict.scores), (nets(&["192.0.2.7/32"]), vec![100]));
    assert_eq!((strict.skipped, strict.rejected, strict.reasons.get("score")), (1, 0, Some(&1)));
    let bad = r#"{"data":[{"ipAddress":"192.0.2.1","abuseConfidenceScore":101},{"ipAddress":"192.0.2.1"},{}]}"#;
    let score = "\"abuseConfidenceScore\" is not between 0 and 100";
    check(Format::Abuseipdb, bad, &[], &[score, score, "no text \"ipAddress\""]);
}

#[test]
fn misp_attributes_count_if_they_are_addresses_for_detection() {
    let event = |attributes: &str| format!("{{\"Event\":{{\"Attribute\":[{attributes}]}}}}");
    let one = |kind: &str, value: &str, rest: &str| {
        event(&format!("{{\"type\":\"{kind}\",\"value\":\"{value}\",\"to_ids\":{rest}}}"))
    };
    check(Format::Misp, &one("ip-src", "192.0.2.1", "true"), &["192.0.2.1/32"], &[]);
    check(Format::Misp, &one("ip-src", "192.0.2.0/24", "\"1\""), &["192.0.2.0/24"], &[]);
    check(Format::Misp, &one("ip-src", "192.0.2.1", "false"), &[], &[]);
    check(Format::Misp, &one("ip-src", "192.0.2.1", "true,\"deleted\":true"), &[], &[]);
    check(Format::Misp, &one("ip-src|port", "2001:db8::1|53", "true"), &["2001:db8::1/128"], &[]);
    let port = "not an address, a | and a port";
    check(Format::Misp, &one("ip-src|port", "192.0.2.1", "true"), &[], &[port]);
    check(Format::Misp, &one("ip-src|port", "192.0.2.1|65536", "true"), &[], &[port]);
    check(Format::Misp, &one("ip-src|port", "192.0.2.1|1|2", "true"), &[], &[port]);
    check(Format::Misp, &one("ip-dst", "192.0.2.1|443", "true"), &[], &[NOT]);
    check(Format::Misp, &event("7"), &[], &["an attribute that is no object"]);
    // The answer of a search.
    let found = r#"{"response":{"Attribute":[{"type":"ip-src","value":"192.0.2.1","to_ids":true}]}}"#;
    check(Format::Auto, found, &["192.0.2.1/32"], &[]);
    check(Format::Auto, &format!("{{\"response\":[{}]}}", one("ip-src", "192.0.2.1", "true")), &["192.0.2.1/32"], &[]);
}

#[test]
fn stix_patterns_are_one_comparison_of_an_address() {
    let taken = |pattern: &str, entry: &str| {
        let text = format!("{{\"objects\":[{{\"type\":\"indicator\",\"pattern\":\"{pattern}\"}}]}}");
        check(Format::Stix, &text, &[entry], &[]);
    };
    taken("[ipv4-addr:value = '192.0.2.1']", "192.0.2.1/32");
    taken("[ipv4-addr:value = '192.0.2.0/24']", "192.0.2.0/24");
    taken("[ipv4-addr:value='192.0.2.1']", "192.0.2.1/32");
    taken("([(ipv4-addr:value = '192.0.2.1')])", "192.0.2.1/32");
    taken("[ipv6-addr:value ISSUBSET '2001:db8::/32']", "2001:db8::/32");
    let refused = |pattern: &str, label: &str| {
        let text = format!("{{\"objects\":[{{\"type\":\"indicator\",\"pattern\":\"{pattern}\"}}]}}");
        let parsed = read(Format::Stix, &text);
        assert_eq!((parsed.entries.as_slice(), parsed.rejected, parsed.reasons.get(label)), (&[][..], 1, Some(&1)));
    };
    for other in [
        "[ipv4-addr:value = '192.0.2.1' OR ipv4-addr:value = '192.0.2.2']",
        "[ipv4-addr:value = '192.0.2.1'] AND [ipv4-addr:value = '192.0.2.2']",
        "[ipv4-addr:value = '192.0.2.1'] WITHIN 5 SECONDS",
        "[ipv4-addr:value != '192.0.2.1']",
        "[ipv4-addr:value NOT = '192.0.2.1']",
        "[ipv4-addr:value IN ('192.0.2.1')]",
        "[ipv4-addr:value LIKE '192.0.2.%']",
        "[ipv4-addr:value ISSUPERSET '192.0.2.0/24']",
        "[domain-name:value = 'example.org']",
        "[network-traffic:src_ref.value = '192.0.2.1']",
    ] {
        refused(other, "kind");
    }
    refused("[ipv4-addr:value = '192.0.2.01']", "syntax");
    refused("[ipv4-addr:value = '2001:db8::1']", "syntax");
    refused("[ipv6-addr:value = '192.0.2.1']", "syntax");
    refused("[ipv4-addr:value = '192.0.2.1'", "syntax");
    refused(&"(".repeat(5_000), "syntax");
}

#[test]
fn stix_indicators_end_and_are_withdrawn() {
    let parsed = read(Format::Auto, sample(Format::Stix));
    assert_eq!(parsed.reasons, [("expired", 1), ("revoked", 1)].into());
    assert_eq!((parsed.lines, parsed.skipped, parsed.scores.as_slice()), (6, 3, &[80, 0][..]));
    let one = |rest: &str| {
        let indicator = format!("{{\"type\":\"indicator\",\"pattern\":\"[ipv4-addr:value = '192.0.2.1']\",{rest}}}");
        read(Format::Stix, format!("{{\"more\":false,\"objects\":[{indicator}]}}"))
    };
    assert_eq!(one("\"valid_from\":\"2026-06-02T00:00:00Z\"").reasons, [("early", 1)].into());
    assert_eq!(whys(&one("\"valid_until\":\"soon\"")), ["valid_from or valid_until is not a time"]);
    assert_eq!(whys(&one("\"pattern_type\":\"sigma\"")), ["its pattern is not written in STIX patterning"]);
    assert_eq!(one("\"valid_until\":null").entries, nets(&["192.0.2.1/32"]));
}

#[test]
fn nft_sets_are_taken_by_name_or_all() {
    let text = sample(Format::NftJson);
    let named = |name: &str| parse(text.as_bytes(), &Reading { column: Some(name.into()), ..reading(Format::Auto) });
    assert_eq!(named("b").entries, nets(&["2001:db8::/32", "2001:db9::1/128"]));
    assert_eq!(named("b").ending, []);
    assert_eq!(named("a, b").entries.len(), 5);
    assert_eq!(named("zz").unfit.as_deref(), Some("no set is named \"zz\""));
    let one =
        |elements: &str| format!("{{\"nftables\":[{{\"set\":{{\"type\":\"ipv4_addr\",\"elem\":[{elements}]}}}}]}}");
    check(Format::Auto, &one("{\"prefix\":{\"addr\":\"192.0.2.7\",\"len\":24}}"), &["192.0.2.0/24"], &[]);
    check(Format::Auto, &one("{\"prefix\":{\"addr\":\"192.0.2.0/25\",\"len\":24}}"), &[], &[LENGTH]);
    check(
        Format::Auto,
        &one("{\"prefix\":{\"addr\":\"192.0.2.0\",\"len\":33}}"),
        &[],
        &["prefix length 33 exceeds 32"],
    );
    let other = "not an address, a prefix or a range";
    check(
        Format::Auto,
        &one("{\"range\":[\"192.0.2.1\"]},7,{\"range\":[\"192.0.2.1\",\"192.0.2.2\",\"192.0.2.3\"]}"),
        &[],
        &[other; 3],
    );
    let backwards = "a range whose last address comes before its first";
    check(Format::Auto, &one("{\"range\":[\"192.0.2.2\",\"192.0.2.1\"]}"), &[], &[backwards]);
    let families = "a range from one family to the other";
    check(Format::Auto, &one("{\"range\":[\"192.0.2.2\",\"2001:db8::\"]}"), &[], &[families]);
    let late = r#"{"nftables":[{"set":{"elem":["192.0.2.1"],"type":"ipv4_addr"}}]}"#;
    check(Format::Auto, late, &[], &["of a set that does not say its type first"]);
}

#[track_caller]
fn check_unfit(format: Format, text: &str, why: &str) {
    assert_eq!(read(format, text).unfit.as_deref(), Some(why), "{text}");
}

#[test]
fn error_objects_and_empty_documents_are_no_lists() {
    let limit = r#"{"errors":[{"detail":"Daily rate limit exceeded","status":429}]}"#;
    let message = "an error message and no list: Daily rate limit exceeded";
    for format in [Format::Auto, Format::Plain, Format::Csv, Format::Abuseipdb, Format::Stix, Format::Misp] {
        check_unfit(format, limit, message);
    }
    check_unfit(
        Format::Auto,
        r#"{"error":{"code":5,"message":"no\u001b[31m"}}"#,
        "an error message and no list: no\\u{1b}[31m",
    );
    check_unfit(Format::Abuseipdb, "{}", "no array \"data\"");
    check_unfit(Format::Stix, "{}", "no array \"objects\"");
    check_unfit(Format::Misp, "{}", "no MISP event and no attributes");
    check_unfit(Format::NftJson, "[]", "no array \"nftables\"");
    check_unfit(Format::FeodoJson, "{}", "no array of objects with \"ip_address\"");
    for format in Format::ALL {
        let is_json = format.is_document() || matches!(format, Format::DropJson | Format::AsnDrop);
        if is_json {
            check_unfit(format, "", "empty where JSON is due");
            check_unfit(format, " \n", "empty where JSON is due");
        }
    }
}

#[test]
fn cut_and_continued_documents_are_no_lists() {
    let text = sample(Format::Abuseipdb);
    let cut = text.get(..text.len() - 40).unwrap();
    check_unfit(Format::Auto, cut, "cut off: the JSON document ends before its end, at line 3, column 82");
    check_unfit(Format::Abuseipdb, &format!("{text}x"), "not JSON: trailing characters at line 4 column 1");
}

#[test]
fn depth_is_bounded() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    for text in [deep("[", "]"), deep("{\"Event\":", "}"), deep("{\"Object\":[", "]}"), deep("{\"elem\":", "}")] {
        for format in Format::ALL {
            let parsed = read(format, &text);
            assert_eq!(parsed.entries, [], "{format}");
            assert!(parsed.rejected > 0 || parsed.unfit.is_some(), "{format}");
        }
    }
    // Passed by, deep as it is, where nobody looks.
    let inside = format!(
        "{{\"meta\":{},\"data\":[{{\"ipAddress\":\"192.0.2.1\",\"abuseConfidenceScore\":1}}]}}",
        deep("[", "]")
    );
    assert_eq!(read(Format::Abuseipdb, inside).entries, nets(&["192.0.2.1/32"]));
}
