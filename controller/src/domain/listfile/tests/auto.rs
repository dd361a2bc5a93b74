//! A sample of each format, and that each is recognised.
use super::*;

const DROP: &str = r#"{"cidr":"192.0.2.0/24","sblid":"SBL000001","rir":"ripencc"}
{"cidr":"2001:db8::/32","sblid":"SBL000002","rir":"arin"}
{"type":"metadata","timestamp":1780000000,"size":99,"records":2,"copyright":"(c) us","terms":"https://example.org/"}
"#;

const ASN_DROP: &str = r#"{"asn":64496,"rir":"arin","domain":"example.org","cc":"US","asname":"EXAMPLE"}
{"asn":65551,"rir":"ripencc","domain":"example.net","cc":"NL","asname":"EXAMPLE-2"}
{"type":"metadata","timestamp":1780000000,"size":99,"records":2,"copyright":"(c) us","terms":"https://example.org/"}
"#;

const DSHIELD: &str = "# block list\n#\nStart\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n\
    192.0.2.0\t192.0.2.255\t24\t1234\tEXAMPLE\tUS\tabuse@example.org\n198.51.100.0\t198.51.100.255\t24\t99\t\t\t\n";

const FEODO: &str = r#"[
  {"ip_address":"192.0.2.7","port":443,"status":"online","hostname":null,"as_number":64496,"as_name":"EXAMPLE",
   "country":"US","first_seen":"2026-01-01 00:00:00","last_online":"2026-05-31","malware":"Example"},
  {"ip_address":"198.51.100.7","port":8080,"status":"offline","hostname":"a.example","as_number":64497}
]
"#;

const FEODO_CSV: &str = "################\n# a block list, #\n################\n#\n\
    \"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"\r\n\
    \"2026-01-01 00:00:00\",\"192.0.2.7\",\"443\",\"online\",\"2026-05-31\",\"A, \"\"B\"\"\"\r\n\
    \"2026-01-02 00:00:00\",\"198.51.100.7\",\"80\",\"offline\",\"2026-05-31\",\"C\"\r\n# END 2 entries\r\n";

const TOR: &str = "ExitNode 0011BD2485AD45D984EC4159C88FC066E5E3300E\nPublished 2026-05-31 19:27:19\n\
    LastStatus 2026-05-31 20:00:00\nExitAddress 192.0.2.7 2026-05-31 20:05:41\n\
    ExitNode 0111BD2485AD45D984EC4159C88FC066E5E3300E\nPublished 2026-05-31 19:27:19\n\
    LastStatus 2026-05-31 20:00:00\nExitAddress 198.51.100.7 2026-05-31 20:05:41\n\
    ExitAddress 2001:db8::7 2026-05-31 20:05:42\n";

const ABUSEIPDB: &str = r#"{"meta":{"generatedAt":"2026-06-01T11:00:00+00:00"},"data":[
  {"ipAddress":"192.0.2.7","countryCode":"US","abuseConfidenceScore":100,"lastReportedAt":"2026-06-01T10:59:00+00:00"},
  {"ipAddress":"2001:db8::7","countryCode":null,"abuseConfidenceScore":90,"lastReportedAt":"2026-06-01T10:58:00+00:00"}]}
"#;

const MISP: &str = r#"{"Event":{"info":"an event","uuid":"00000000-0000-4000-8000-000000000001","Tag":[{"name":"tlp:white"}],
  "Attribute":[{"type":"ip-src","category":"Network activity","value":"192.0.2.7","to_ids":true,"comment":"198.51.100.99"},
    {"type":"ip-dst|port","value":"198.51.100.7|443","to_ids":true},
    {"type":"ip-dst","value":"203.0.113.1","to_ids":false},{"type":"domain","value":"example.org","to_ids":true}],
  "Object":[{"name":"x","Attribute":[{"type":"ip-dst","value":"2001:db8:7::/48","to_ids":true}]}],
  "ShadowAttribute":[{"type":"ip-src","value":"203.0.113.9","to_ids":true}]}}
"#;

const STIX: &str = r#"{"type":"bundle","id":"bundle--1","objects":[
  {"type":"identity","name":"us"},
  {"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '192.0.2.7']","valid_from":"2026-01-01T00:00:00Z","confidence":80},
  {"type":"indicator","pattern_type":"stix","pattern":"[ ipv6-addr:value ISSUBSET '2001:db8::/32' ]","valid_from":"2026-01-01T00:00:00.000Z"},
  {"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '198.51.100.7']","valid_from":"2026-01-01T00:00:00Z","valid_until":"2026-06-01T12:01:00Z"},
  {"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '198.51.100.8']","valid_from":"2026-01-01T00:00:00Z","valid_until":"2026-06-01T12:00:00Z"},
  {"type":"indicator","pattern_type":"stix","pattern":"[ipv4-addr:value = '198.51.100.9']","revoked":true}]}
"#;

const IPSET: &str = "create a hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xf3f0d4ed\n\
    add a 192.0.2.1\n\
    create b hash:net family inet hashsize 1024 maxelem 65536 timeout 300 comment bucketsize 12 initval 0x91f3e7fb\n\
    add b 198.51.100.0/25 timeout 59 comment \"timeout 7 nomatch\"\nadd b 203.0.113.0/25 timeout 0\n\
    add b 203.0.113.4 timeout 299 nomatch\n\
    create d hash:ip,port family inet hashsize 1024 maxelem 65536\nadd d 192.0.2.9,tcp:80\n\
    create l list:set size 8\nadd l a\n";

const NFT: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"table": {"family": "inet", "name": "t"}},
  {"set": {"family": "inet", "name": "a", "table": "t", "type": "ipv4_addr", "handle": 2, "flags": ["interval", "timeout"],
    "elem": ["192.0.2.1", {"elem": {"val": {"prefix": {"addr": "198.51.100.0", "len": 24}}, "timeout": 3600, "expires": 3599}},
      {"elem": {"val": {"range": ["203.0.113.3", "203.0.113.4"]}, "timeout": 9, "expires": 0}}, {"range": ["203.0.113.8", "203.0.113.12"]}]}},
  {"set": {"family": "inet", "name": "b", "table": "t", "type": "ipv6_addr", "elem": [{"prefix": {"addr": "2001:db8::", "len": 32}},
      {"elem": {"val": "2001:db9::1", "comment": "192.0.2.99"}}]}},
  {"set": {"family": "inet", "name": "c", "table": "t", "type": ["ipv4_addr", "inet_service"], "elem": [{"concat": ["192.0.2.1", 80]}]}},
  {"set": {"family": "inet", "name": "p", "table": "t", "type": "inet_service", "elem": [80, 443]}},
  {"map": {"family": "inet", "name": "m", "table": "t", "type": "ipv4_addr", "map": "verdict", "elem": [["203.0.113.77", {"drop": null}]]}}]}
"#;

const XDP_FILTER: &str = "CURRENT XDP-FILTER STATUS:\n\nAggregate per-action statistics:\n  XDP_DROP   0 pkts   0 KiB\n\n\
    Loaded on interfaces:\n                     Enabled features\nxdpfilt_alw_all\n  v0 (skb mode)   tcp,udp,ipv6,ipv4,ethernet,allow\n\n\
    Filtered ports:\n                   Mode             Hit counter\n  80               dst,tcp,udp      0\n\n\
    Filtered IP addresses:\n            Mode             Hit counter\n  2001:db8::1      src,dst          0\n\
    \x20 198.51.100.7     dst              12\n  192.0.2.1        src              3\n\n\
    Filtered MAC addresses:\n           Mode             Hit counter\n  02:00:00:00:00:01   dst         0\n\n";

const FIREHOL: &str = "#\n# firehol_level1\n# ipv4 hash:net ipset\n#\n# Maintainer      : somebody\n\
    # This File Date  : Mon Jun  1 11:00:00 UTC 2026\n# Update Frequency: 1 min\n\
    # Entries         : 2 subnets, 257 unique IPs\n#\n192.0.2.0/24\n198.51.100.7\n";

const DROP_TEXT: &str = "; Spamhaus DROP List\n; Expires: Mon, 01 Jun 2026 13:00:00 GMT\n192.0.2.0/24 ; SBL000001\n";

/// Each format with a text of it that is in order.
pub(super) const SAMPLES: &[(Format, &str)] = &[
    (Format::Plain, "# mine\n192.0.2.1\n2001:db8::/32 # one\n"),
    (Format::Plain, FIREHOL),
    (Format::Plain, DROP_TEXT),
    (Format::Ipsum, "# IPsum\n#\n192.0.2.1\t9\n198.51.100.1\t1\n"),
    (Format::DropJson, DROP),
    (Format::AsnDrop, ASN_DROP),
    (Format::Dshield, DSHIELD),
    (Format::FeodoJson, FEODO),
    (Format::Csv, FEODO_CSV),
    (Format::Csv, "when;ip;why\n2026-01-01;192.0.2.1;x\n2026-01-01;2001:db8::1;\"y;\nz\"\n"),
    (Format::TorExits, TOR),
    (Format::Abuseipdb, ABUSEIPDB),
    (Format::Misp, MISP),
    (Format::Stix, STIX),
    (Format::Ipset, IPSET),
    (Format::NftJson, NFT),
    (Format::XdpFilter, XDP_FILTER),
];

/// The sample of a format that has one only.
pub(super) fn sample(format: Format) -> &'static str {
    SAMPLES.iter().find(|(of, _)| *of == format).map(|(_, text)| *text).unwrap()
}

#[test]
fn every_format_is_recognised_and_read_alike_when_named() {
    for (format, text) in SAMPLES {
        let told = read(Format::Auto, text);
        assert_eq!(told.format, *format, "{text}");
        assert_eq!(told.unfit, None, "{text}");
        assert_eq!(told, read(*format, text), "{text}");
        // With a byte order mark, white space before it and other line ends, too.
        let marked = format!("\u{feff}{}", text.replace("\r\n", "\n").replace('\n', "\r\n"));
        let marked = read(Format::Auto, marked);
        assert_eq!((marked.format, &marked.entries, &marked.unfit), (*format, &told.entries, &None), "{text}");
    }
    for format in Format::ALL {
        assert!(format == Format::Auto || SAMPLES.iter().any(|(of, _)| *of == format), "{format} has no sample");
    }
}

#[test]
fn what_the_samples_hold_is_taken() {
    #[track_caller]
    fn check(text: &str, entries: &[&str], ending: &[(&str, u64)], rejected: usize) {
        let parsed = read(Format::Auto, text);
        assert_eq!(parsed.entries, nets(entries));
        assert_eq!(parsed.ending, ending.iter().map(|(prefix, left)| (net(prefix), *left)).collect::<Vec<_>>());
        assert_eq!(parsed.rejected, rejected, "{:?}", parsed.rejects);
    }
    check(FIREHOL, &["192.0.2.0/24", "198.51.100.7/32"], &[], 0);
    check(DROP_TEXT, &["192.0.2.0/24"], &[], 0);
    check(DROP, &["192.0.2.0/24", "2001:db8::/32"], &[], 0);
    check(DSHIELD, &["192.0.2.0/24", "198.51.100.0/24"], &[], 0);
    check(FEODO, &["192.0.2.7/32", "198.51.100.7/32"], &[], 0);
    check(FEODO_CSV, &["192.0.2.7/32", "198.51.100.7/32"], &[], 0);
    check(TOR, &["192.0.2.7/32", "198.51.100.7/32", "2001:db8::7/128"], &[], 0);
    check(ABUSEIPDB, &["192.0.2.7/32", "2001:db8::7/128"], &[], 0);
    check(MISP, &["192.0.2.7/32", "198.51.100.7/32", "2001:db8:7::/48"], &[], 0);
    check(STIX, &["192.0.2.7/32", "2001:db8::/32"], &[("198.51.100.7/32", 60)], 0);
    check(IPSET, &["192.0.2.1/32", "203.0.113.0/25"], &[("198.51.100.0/25", 59)], 2);
    let ranges = ["192.0.2.1/32", "203.0.113.8/30", "203.0.113.12/32", "2001:db8::/32", "2001:db9::1/128"];
    check(NFT, &ranges, &[("198.51.100.0/24", 3_599)], 1);
    check(XDP_FILTER, &["2001:db8::1/128", "192.0.2.1/32"], &[], 1);
    assert_eq!(read(Format::Auto, ASN_DROP).asns, [64_496, 65_551]);
}

#[test]
fn two_columns_of_addresses_are_not_guessed_between() {
    let range = "192.0.2.0,192.0.2.255,US\n198.51.100.0,198.51.100.255,US\n";
    let parsed = read(Format::Auto, range);
    assert_eq!((parsed.format, parsed.entries.len(), parsed.rejected), (Format::Plain, 0, 2));
    assert_eq!(read(Format::Csv, range).entries, nets(&["192.0.2.0/32", "198.51.100.0/32"]));
}

#[test]
fn unknown_json_is_no_list() {
    for text in ["{\"a\":1}", "[[1]]", "[\"192.0.2.1\"]", "{\"cidr\"", "[{\"ip\":\"192.0.2.1\"}]"] {
        let parsed = read(Format::Auto, text);
        assert_eq!(parsed.entries, [], "{text}");
        assert!(parsed.unfit.is_some(), "{text}: {parsed:?}");
    }
}
