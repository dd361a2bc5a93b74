mod auto;
mod documents;
mod exports;
mod hostile;
mod lines;
mod random;

use std::fmt;

use super::*;

/// The moment at which the samples are read.
const NOW: &str = "2026-06-01T12:00:00Z";

fn reading(format: Format) -> Reading {
    Reading::new(format, NOW.parse().unwrap())
}

/// Reads a text in a format.
fn read(format: Format, text: impl AsRef<[u8]>) -> Parsed {
    parse(text.as_ref(), &reading(format))
}

/// Why each of the first rejects was refused.
fn whys(parsed: &Parsed) -> Vec<&str> {
    parsed.rejects.iter().map(|reject| reject.why.as_str()).collect()
}

/// A text the caller refuses with.
struct Says(&'static str);

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Refused for Says {
    fn reason(&self) -> &'static str {
        "guard"
    }
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

/// Reads one line and expects an entry, a reject's reason, or nothing.
#[track_caller]
fn check(format: Format, line: impl AsRef<[u8]>, expected: Result<Option<&str>, &str>) {
    let line = line.as_ref();
    let parsed = read(format, line);
    assert_eq!(parsed.lines, 1, "{line:?}");
    match expected {
        Ok(Some(entry)) => assert_eq!((parsed.entries, parsed.rejected), (vec![net(entry)], 0), "{line:?}"),
        Ok(None) => assert_eq!((parsed.skipped, parsed.rejected), (1, 0), "{line:?}"),
        Err(why) => {
            assert_eq!(parsed.entries, []);
            assert_eq!(parsed.rejects.iter().map(|r| r.why.as_str()).collect::<Vec<_>>(), [why], "{line:?}");
        }
    }
}

const NOT: &str = "not an IPv4 or IPv6 address or prefix";
const OCTAL: &str = "a part of the address starts with 0, which some programs read as octal";
const LENGTH: &str = "the prefix length is not a whole number";
const TRAILING: &str = "more than an address or prefix on the line; a comment starts with # or ;";

#[test]
fn addresses_and_prefixes_of_both_families_are_taken() {
    check(Format::Plain, "192.0.2.1", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "192.0.2.0/24", Ok(Some("192.0.2.0/24")));
    check(Format::Plain, "0.0.0.0/0", Ok(Some("0.0.0.0/0")));
    check(Format::Plain, "2001:DB8::1", Ok(Some("2001:db8::1/128")));
    check(Format::Plain, "2001:db8::/32", Ok(Some("2001:db8::/32")));
    check(Format::Plain, "2001:0db8:0000:0000:0000:0000:192.0.2.1/128", Ok(Some("2001:db8::c000:201/128")));
}

#[test]
fn white_space_comments_and_line_ends_do_not_matter() {
    check(Format::Plain, "  \t192.0.2.1 \t", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "192.0.2.1\r\n", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "192.0.2.1 # SBL1 ; x", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "192.0.2.0/24\t;SBL2", Ok(Some("192.0.2.0/24")));
    check(Format::Plain, "\u{feff}192.0.2.1\n", Ok(Some("192.0.2.1/32")));
    for blank in ["\n", "\r\n", " \t \n", "# x", " ; x", "#", ";192.0.2.1"] {
        check(Format::Plain, blank, Ok(None));
    }
}

#[test]
fn a_line_is_taken_whole_or_not_at_all() {
    check(Format::Plain, "192.0.2.1198.51.100.1", Err(NOT));
    check(Format::Plain, "192.0.2.1,198.51.100.1", Err(NOT));
    check(Format::Plain, "192.0.2.1-192.0.2.9", Err(NOT));
    check(Format::Plain, "192.0.2.1:80", Err(NOT));
    check(Format::Plain, "[2001:db8::1]", Err(NOT));
    check(Format::Plain, "192.0.2.1#x", Err(NOT));
    check(Format::Plain, "192.0.2.1 198.51.100.1", Err(TRAILING));
    check(Format::Plain, "192.0.2.1\t9", Err(TRAILING));
    check(Format::Plain, "192.0.2.1 AS64496", Err(TRAILING));
    check(Format::Plain, "deny 192.0.2.1", Err(NOT));
    check(Format::Plain, "example.org", Err(NOT));
    check(Format::Plain, "<html>", Err(NOT));
    check(Format::Plain, "192.0.2.1\u{feff}", Err(NOT));
}

#[test]
fn what_programs_read_differently_is_refused() {
    check(Format::Plain, "192.0.02.1", Err(OCTAL));
    check(Format::Plain, "0300.0.2.1", Err(OCTAL));
    check(Format::Plain, "192.0.2.001/32", Err(OCTAL));
    check(Format::Plain, "::ffff:192.0.02.1", Err(NOT));
    check(Format::Plain, "0xc0.0.2.1", Err(NOT));
    check(Format::Plain, "0xc0000201", Err(NOT));
    check(Format::Plain, "3221225985", Err(NOT));
    check(Format::Plain, "192.0.2", Err(NOT));
    check(Format::Plain, "192.0.2.", Err(NOT));
    check(Format::Plain, "192.0.2.256", Err(NOT));
    check(Format::Plain, "+192.0.2.1", Err(NOT));
    check(Format::Plain, "\u{661}92.0.2.1", Err(NOT));
    check(Format::Plain, "\u{ff11}92.0.2.1", Err(NOT));
    check(Format::Plain, "192\u{3002}0.2.1", Err(NOT));
    check(Format::Plain, "fe80::1%eth0", Err("a zone (%) means something on one machine only"));
    check(Format::Plain, "2001:db8:::1", Err(NOT));
    check(Format::Plain, "2001:db8::1::", Err(NOT));
    check(Format::Plain, "1:2:3:4:5:6:7:8:9", Err(NOT));
    check(Format::Plain, "02001:db8::1", Err(NOT));
    check(Format::Plain, b"192.0.2.1\0", Err(NOT));
    check(Format::Plain, b"192.0.2.\xff", Err(NOT));
    check(Format::Plain, "/24", Err(NOT));
}

#[test]
fn prefix_lengths_are_whole_numbers_within_the_family() {
    check(Format::Plain, "192.0.2.0/33", Err("prefix length 33 exceeds 32"));
    check(Format::Plain, "192.0.2.0/256", Err("prefix length 256 exceeds 32"));
    check(Format::Plain, "2001:db8::/129", Err("prefix length 129 exceeds 128"));
    check(Format::Plain, "2001:db8::/999", Err("prefix length 999 exceeds 128"));
    let not_numbers =
        ["", "-1", "+24", "024", "00", "0x18", "24/24", "1000", "\u{662}", "255.255.255.0", "24#", "24\0"];
    for len in not_numbers {
        check(Format::Plain, format!("192.0.2.0/{len}"), Err(LENGTH));
    }
}

#[test]
fn host_bits_are_cleared_and_counted() {
    let parsed = read(Format::Plain, "192.0.2.7/24\n192.0.2.0/24\n2001:db8::1/32\n192.0.2.7/32\n");
    assert_eq!(parsed.entries, nets(&["192.0.2.0/24", "192.0.2.0/24", "2001:db8::/32", "192.0.2.7/32"]));
    assert_eq!(parsed.normalised, 2);
}

#[test]
fn ipv4_mapped_addresses_are_ipv4() {
    check(Format::Plain, "::ffff:192.0.2.1", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "::ffff:c000:201/128", Ok(Some("192.0.2.1/32")));
    check(Format::Plain, "::ffff:192.0.2.1/120", Ok(Some("192.0.2.0/24")));
    check(Format::Plain, "::ffff:0:0/96", Ok(Some("0.0.0.0/0")));
    check(
        Format::Plain,
        "::ffff:192.0.2.1/95",
        Err("IPv4-mapped with length 95, which is wider than all of IPv4 (96); write the IPv4 prefix"),
    );
    // Other addresses that hold one of IPv4 are IPv6 on the wire.
    check(Format::Plain, "64:ff9b::192.0.2.1", Ok(Some("64:ff9b::c000:201/128")));
    check(Format::Plain, "::192.0.2.1", Ok(Some("::c000:201/128")));
}

#[test]
fn ipsum_lines_are_an_address_a_tab_and_a_count() {
    check(Format::Ipsum, "192.0.2.1\t9", Ok(Some("192.0.2.1/32")));
    check(Format::Ipsum, "192.0.2.1\t0\r\n", Ok(Some("192.0.2.1/32")));
    check(Format::Ipsum, "2001:db8::1\t12345678901234567890123", Ok(Some("2001:db8::1/128")));
    check(Format::Ipsum, "# IP\tnumber", Ok(None));
    check(Format::Ipsum, "192.0.2.1", Err("not an address, a tab and a count"));
    check(Format::Ipsum, "192.0.2.1 9", Err("not an address, a tab and a count"));
    check(Format::Ipsum, "; 192.0.2.1", Err("not an address, a tab and a count"));
    check(Format::Ipsum, "192.0.2.0/24\t9", Err("a prefix where the format has single addresses"));
    check(Format::Ipsum, "192.0.2.01\t9", Err(OCTAL));
    check(Format::Ipsum, "192.0.2.1 \t9", Err(NOT));
    for count in ["", "-1", "+1", "1.0", "9 # x", "9\t9", "many", "\u{661}"] {
        check(Format::Ipsum, format!("192.0.2.1\t{count}x"), Err("the count after the tab is not a whole number"));
    }
    check(Format::Ipsum, "192.0.2.1\t-1", Err("the count after the tab is not a whole number"));
}

#[test]
fn the_format_is_told_by_the_first_data_lines() {
    let told = |text: &str| read(Format::Auto, text).format;
    assert_eq!(told("# IP\tcount\n#\n192.0.2.1\t9\n"), Format::Ipsum);
    assert_eq!(told("# x\n; y\n192.0.2.1\n"), Format::Plain);
    // One bad line does not decide.
    assert_eq!(told("192.0.2.x\t9\n192.0.2.1\t9\n"), Format::Ipsum);
    assert_eq!(told("garbage\t9\n192.0.2.1 # x\n192.0.2.2\n"), Format::Plain);
    assert_eq!(told(""), Format::Plain);
    assert_eq!(told("<html>\n"), Format::Plain);
}

#[test]
fn formats_are_named() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
    }
    let error = "rpz".parse::<Format>().unwrap_err();
    let names = "auto, plain, ipsum, drop-json, asn-drop, dshield, feodo-json, csv, tor-exits, abuseipdb, misp, stix, \
                 ipset, nft-json, xdp-filter";
    assert_eq!(error.to_string(), format!("format \"rpz\" is not known; the formats are {names}"));
}

#[test]
fn refused_lines_are_named_by_number_and_text() {
    let parsed = read(Format::Plain, "\u{feff}# list\r\n192.0.2.1\r\n\r\n192.0.2.999\r\n192.0.2.2");
    assert_eq!(parsed.entries, nets(&["192.0.2.1/32", "192.0.2.2/32"]));
    assert_eq!(parsed.rejects, [Reject { line: 4, text: "192.0.2.999".to_owned(), why: NOT.to_owned() }]);
    assert_eq!((parsed.lines, parsed.skipped, parsed.rejected), (5, 2, 1));
}

#[test]
fn entries_that_are_not_admitted_are_rejects_with_their_line() {
    let text = "# list\n192.0.2.7/24 # x\n198.51.100.1\n";
    let parsed = parse_admitted(text.as_bytes(), &reading(Format::Auto), |item| {
        if item.prefix == net("192.0.2.0/24") { Err(Says("covers the gateway")) } else { Ok(()) }
    });
    assert_eq!(parsed.entries, nets(&["198.51.100.1/32"]));
    let why = "covers the gateway".to_owned();
    assert_eq!(parsed.rejects, [Reject { line: 2, text: "192.0.2.7/24 # x".to_owned(), why }]);
    assert_eq!((parsed.lines, parsed.skipped, parsed.rejected, parsed.normalised), (3, 1, 1, 0));
}

#[track_caller]
fn check_text(line: &[u8], shown: &str) {
    let parsed = read(Format::Plain, line);
    assert_eq!(parsed.rejects.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), [shown]);
}

#[test]
fn refused_text_is_short_and_safe_to_print() {
    check_text(b"\x1b[31mred\x07\0", "\\u{1b}[31mred\\u{7}\\u{0}");
    check_text(b"a\tb", "a\\tb");
    check_text("x\u{85}\u{202e}y".as_bytes(), "x\\u{85}\\u{202e}y");
    check_text(b"\xff\xfe1", "\u{fffd}\u{fffd}1");
    check_text("\u{e9}".repeat(500).as_bytes(), &"\u{e9}".repeat(80));
    check_text("x".repeat(1_000_000).as_bytes(), &"x".repeat(80));
}

#[test]
fn long_lines_and_bare_carriage_returns_are_refused() {
    let long = [b"192.0.2.1 #".as_slice(), &[b'x'; LONGEST_LINE]].concat();
    check(Format::Plain, &long, Err("longer than 1024 bytes"));
    check(Format::Plain, &long[..LONGEST_LINE], Ok(Some("192.0.2.1/32")));
    check(Format::Plain, [b'#'; LONGEST_LINE + 1], Err("longer than 1024 bytes"));
    // A file of an old Mac is one line: not one comment with everything in it.
    check(Format::Plain, "# list\r192.0.2.1\r", Err("holds a carriage return; lines end with LF or CRLF"));
    let mac = format!("# list\r{}", "192.0.2.1\r".repeat(1_000));
    check(Format::Auto, mac, Err("holds a carriage return; lines end with LF or CRLF"));
}

#[test]
fn memory_of_rejects_is_bounded_and_their_number_is_not() {
    let parsed = read(Format::Plain, "x\n".repeat(REJECTS_KEPT + 500));
    assert_eq!((parsed.rejects.len(), parsed.rejected), (REJECTS_KEPT, REJECTS_KEPT + 500));
}

#[test]
fn the_last_line_needs_no_end() {
    for (text, lines) in [("", 0), ("\n", 1), ("\n\n", 2), ("192.0.2.1", 1), ("192.0.2.1\n", 1), ("\n192.0.2.1", 2)] {
        assert_eq!(read(Format::Plain, text).lines, lines, "{text:?}");
    }
}

#[test]
fn never_block_files_are_plain_lists_or_warninglists() {
    let wanted = nets(&["192.0.2.0/24", "2001:db8::1/128"]);
    let plain = parse_never_block(b"# mine\n192.0.2.0/24\n2001:db8::1 # one\n").unwrap();
    let json = br#"{"name":"x","version":1,"type":"cidr","list":["192.0.2.0/24","2001:db8::1"],"more":[{"a":[]}]}"#;
    assert_eq!(plain, wanted);
    assert_eq!(parse_never_block(json).unwrap(), wanted);
    assert_eq!(parse_never_block(&[b"\xef\xbb\xbf \n".as_slice(), json].concat()).unwrap(), wanted);
    assert_eq!(parse_never_block(b"").unwrap(), []);
}

#[track_caller]
fn check_never_block(text: &str, message: &str) {
    let error = parse_never_block(text.as_bytes()).unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    assert_eq!(format!("{error}{cause}"), message);
}

#[test]
fn never_block_files_are_taken_whole_or_not_at_all() {
    check_never_block(
        "192.0.2.0/24\nexample.org\nx\n",
        &format!("line 2, \"example.org\": {NOT}; 2 of 3 lines cannot be read"),
    );
    check_never_block(
        r#"{"type":"cidr","list":["192.0.2.1","192.0.2.0/33"]}"#,
        "entry 2 of 2, \"192.0.2.0/33\": prefix length 33 exceeds 32",
    );
    check_never_block(
        r#"{"type":"hostname","list":["example.org"]}"#,
        "a MISP warninglist of type \"hostname\"; only those of type \"cidr\" hold addresses",
    );
    check_never_block(r#"{"type":"cidr"}"#, "not a MISP warninglist: missing field `list` at line 1 column 15");
    check_never_block(
        r#"{"type":"cidr","list":[1]}"#,
        "not a MISP warninglist: invalid type: integer `1`, expected a string at line 1 column 24",
    );
    check_never_block("{\n\"list\": [", "not a MISP warninglist: EOF while parsing a list at line 2 column 9");
    check_never_block("[\"192.0.2.1\"]", &format!("line 1, \"[\"192.0.2.1\"]\": {NOT}; 1 of 1 lines cannot be read"));
}
