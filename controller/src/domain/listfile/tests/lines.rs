//! Text formats but plain and ipsum: what each line may be.
use super::auto::sample;
use super::*;

#[track_caller]
fn check_lines(format: Format, text: &str, entries: &[&str], refused: &[&str]) {
    let parsed = read(format, text);
    assert_eq!(parsed.entries, nets(entries), "{text}");
    assert_eq!(whys(&parsed), refused, "{text}");
}

#[test]
fn ipsum_counts_are_scores() {
    let text = "192.0.2.1\t9\n192.0.2.2\t2\n192.0.2.3\t99999999999\n";
    let parsed = read(Format::Auto, text);
    assert_eq!(parsed.scores, [9, 2, u32::MAX]);
    let strict = parse(text.as_bytes(), &Reading { least_score: 3, ..reading(Format::Ipsum) });
    assert_eq!(strict.entries, nets(&["192.0.2.1/32", "192.0.2.3/32"]));
    assert_eq!((strict.skipped, strict.records(), strict.reasons), (1, 3, [("score", 1)].into()));
}

#[test]
fn firehol_headers_state_how_many_entries_there_are() {
    let declared = |comment: &str| read(Format::Plain, comment).declared;
    assert_eq!(declared("# Entries         : 4631 subnets, 612 unique IPs\n"), Some(4_631));
    assert_eq!(declared("# Entries : 27 unique IPs\n"), Some(27));
    assert_eq!(declared("# Entries : many\n"), None);
    assert_eq!(declared("# Entries of 27\n"), None);
}

#[test]
fn dshield_lines_must_agree_with_themselves() {
    let disagree = "first address, last address and prefix length disagree";
    check_lines(Format::Dshield, "192.0.2.0\t192.0.2.255\t24\t9\tx\n", &["192.0.2.0/24"], &[]);
    check_lines(Format::Dshield, "192.0.2.0\t192.0.2.255\t25\t9\n", &[], &[disagree]);
    check_lines(Format::Dshield, "192.0.2.0\t192.0.2.254\t24\n", &[], &[disagree]);
    check_lines(Format::Dshield, "192.0.2.1\t192.0.2.3\n", &["192.0.2.1/32", "192.0.2.2/31"], &[]);
    check_lines(Format::Dshield, "192.0.2.0/24\t192.0.2.255\n", &[], &["a prefix where a range has single addresses"]);
    check_lines(Format::Dshield, "192.0.2.0\n", &[], &["not a first and a last address with a tab between them"]);
    check_lines(Format::Dshield, "192.0.2.0\t192.0.2.255\tx\n", &[], &["the prefix length is not a whole number"]);
    check_lines(Format::Dshield, "0.0.0.0\t255.255.255.255\t0\n", &["0.0.0.0/0"], &[]);
}

#[test]
fn tor_records_are_read_line_by_line() {
    let not = "not an exit address with a date and a time";
    check_lines(Format::TorExits, "ExitAddress 192.0.2.1 2026-05-31 20:05:41\n", &["192.0.2.1/32"], &[]);
    check_lines(Format::TorExits, "ExitAddress 192.0.2.1 2026-05-31\n", &[], &[not]);
    check_lines(Format::TorExits, "ExitAddress 192.0.2.1 2026-05-31 20:05:4\n", &[], &[not]);
    check_lines(Format::TorExits, "ExitAddress 192.0.2.1 2026-13-31 20:05:41\n", &[], &[not]);
    check_lines(Format::TorExits, "Exit 192.0.2.1\n", &[], &["not a line of a record of an exit relay"]);
    let cut = "ExitNode A\nPublished 2026-05-31 19:27:19\n";
    assert_eq!(read(Format::Auto, cut).unfit.as_deref(), Some("cut off: the last relay has no exit address"));
}

#[test]
fn a_column_is_named_or_found() {
    let named = |column: &str, text: &str| {
        parse(text.as_bytes(), &Reading { column: Some(column.into()), ..reading(Format::Csv) })
    };
    let text =
        "src,dst,why\n192.0.2.1,198.51.100.1,x\n192.0.2.2,198.51.100.2,\"198.51.100.9,\n203.0.113.5,203.0.113.6,\"\n";
    assert_eq!(named("DST", text).entries, nets(&["198.51.100.1/32", "198.51.100.2/32"]));
    assert_eq!(named("src", text).entries, nets(&["192.0.2.1/32", "192.0.2.2/32"]));
    assert_eq!(named("ip", text).unfit.as_deref(), Some("no column is named \"ip\""));
    // The names in a comment.
    assert_eq!(named("ip", "# x\n# when,ip\n1,192.0.2.1\n").entries, nets(&["192.0.2.1/32"]));
    assert_eq!(named("ip", "when\tip\n1\t192.0.2.1\n").entries, nets(&["192.0.2.1/32"]));
    let parsed = named("ip", "when,ip\n1\n1,192.0.2.1x\n1, 192.0.2.1 \n");
    assert_eq!(whys(&parsed), ["the column with the address is missing", NOT]);
    assert_eq!(parsed.rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(parsed.entries, nets(&["192.0.2.1/32"]));
    let nothing = read(Format::Csv, "a,b\nc,d\n");
    assert_eq!((nothing.unfit.as_deref(), nothing.rejected), (Some("no column holds addresses"), 2));
    assert_eq!(read(Format::Csv, "# nothing today\n").unfit, None);
}

#[test]
fn a_quote_that_is_never_closed_hides_no_lines() {
    let text = "ip,why\n192.0.2.1,\"x\n192.0.2.2,y\n";
    assert_eq!(read(Format::Csv, text).unfit.as_deref(), Some("cut off: the last record ends inside a quoted text"));
    let long = format!("ip,why\n192.0.2.1,x\n192.0.2.2,\"x\n{}", "192.0.2.2,y\n".repeat(10_000));
    let why = "a record of more than 64 KiB, as of a quote that is never closed";
    assert_eq!(read(Format::Csv, long).unfit.as_deref(), Some(why));
}

#[test]
fn ipset_elements_have_the_set_s_shape_and_timeout() {
    let whole = read(Format::Auto, sample(Format::Ipset));
    assert_eq!(whole.reasons, [("kind", 2)].into());
    let (net, ip) = ("create s hash:net timeout 300\n", "create s hash:ip netmask 24\n");
    let ending = |text: String| read(Format::Ipset, text).ending;
    assert_eq!(ending(format!("{net}add s 192.0.2.0/24\n")), [(super::net("192.0.2.0/24"), 300)]);
    assert_eq!(ending(format!("{net}add s 192.0.2.0/24 timeout 5\n")), [(super::net("192.0.2.0/24"), 5)]);
    check_lines(Format::Ipset, &format!("{net}add s 192.0.2.0/24 timeout 0\n"), &["192.0.2.0/24"], &[]);
    check_lines(Format::Ipset, &format!("{ip}add s 192.0.2.0\n"), &["192.0.2.0/24"], &[]);
    check_lines(Format::Ipset, "add s 192.0.2.1 packets 1 bytes 2\n", &["192.0.2.1/32"], &[]);
    check_lines(Format::Ipset, "add s 192.0.2.1 comment \"x\n", &[], &["an option without its value"]);
    check_lines(Format::Ipset, "add s 192.0.2.1-192.0.2.9\n", &[], &[NOT]);
    check_lines(
        Format::Ipset,
        "add s 192.0.2.1 192.0.2.2\n",
        &[],
        &["an option that elements of addresses do not have"],
    );
    check_lines(Format::Ipset, "destroy s\n", &[], &["not a line that ipset save prints (create or add)"]);
    let mask = "create s hash:net bitmask 255.0.255.0\nadd s 192.0.2.1\n";
    check_lines(Format::Ipset, mask, &[], &["of a set with a bitmask, which no prefix is"]);
    let named = |name: &str| {
        let reading = Reading { column: Some(name.into()), ..reading(Format::Auto) };
        parse(sample(Format::Ipset).as_bytes(), &reading)
    };
    assert_eq!(named("a").entries, nets(&["192.0.2.1/32"]));
    assert_eq!(named("zz").unfit.as_deref(), Some("no set is named \"zz\""));
}

#[test]
fn xdp_filter_lists_that_let_through_are_not_denied_by() {
    let deny = sample(Format::XdpFilter).replace("ethernet,allow", "ethernet,deny");
    assert!(read(Format::Auto, &deny).unfit.unwrap().contains("allow list"));
    let parsed = read(Format::Auto, sample(Format::XdpFilter));
    assert_eq!(whys(&parsed), ["filtered as a destination; weir denies sources"]);
    assert_eq!(read(Format::XdpFilter, "x\n").unfit.as_deref(), Some("not the output of xdp-filter status"));
}
