//! Files that somebody sends to break us.
use super::auto::{SAMPLES, sample};
use super::*;

#[test]
fn pages_archives_and_programs_are_no_lists() {
    for (bytes, why) in [
        (b"<!DOCTYPE html>\n<html>192.0.2.1</html>".as_slice(), "an HTML or XML page"),
        (b"\xef\xbb\xbf \n<html>", "an HTML or XML page"),
        (b"\x1f\x8b\x08\0", "compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd1", "compressed with zstd; unpack it first"),
        (b"\xff\xfe1\09\0", "UTF-16; it must be UTF-8 or ASCII"),
        (b"PK\x03\x04x", "a ZIP archive; unpack it first"),
        (b"192.0.2.1\n\0\0\0", "binary: it holds zero bytes"),
    ] {
        for format in Format::ALL {
            assert_eq!(read(format, bytes).unfit.as_deref(), Some(why), "{format}");
        }
    }
}

#[test]
fn the_address_in_each_format_is_taken_whole_or_not_at_all() {
    let traps = [
        "192.0.2.7198.51.100.7",
        "192.0.2.7x",
        "192.0.02.7",
        "0300.0.2.7",
        "0xc0000207",
        "3221225991",
        "1.2.3",
        "fe80::1%eth0",
        "::ffff:192.0.02.7",
        "\u{661}92.0.2.7",
        "192\u{3002}0.2.7",
        "192.0.2.7\u{feff}",
        "192.0.2.7/33",
        "192.0.2.7/-1",
        "192.0.2.7/",
        "192.0.2.7/255.255.255.0",
        "2001:db8::7/129",
        "+192.0.2.7",
        "[2001:db8::7]",
        "192.0.2.7:80",
        "http://192.0.2.7/",
        "example.org",
        "",
    ];
    for (format, text) in SAMPLES {
        let clean = read(*format, text);
        for address in ["192.0.2.7", "192.0.2.1", "192.0.2.0"].into_iter().filter(|address| text.contains(*address)) {
            for trap in traps {
                // As the field would be written there.
                let bad = text.replace(&format!("{address}/24"), trap).replace(address, trap);
                let parsed = read(*format, &bad);
                let taken = parsed.entries.len() + parsed.ending.len();
                assert!(taken < clean.entries.len() + clean.ending.len(), "{format} {trap:?}: {parsed:?}");
                assert!(
                    parsed.entries.iter().all(|entry| clean.entries.contains(entry)),
                    "{format} {trap:?}: {parsed:?}"
                );
            }
        }
    }
}

#[test]
fn wide_prefixes_are_for_the_caller_to_refuse() {
    struct Wide;
    impl fmt::Display for Wide {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("too wide")
        }
    }
    impl Refused for Wide {
        fn reason(&self) -> &'static str {
            "wide"
        }
    }
    let text = "0.0.0.0/0\n::/0\n128.0.0.0/1\n192.0.2.1\n";
    let narrow = |item: &Item| if item.prefix.prefix_len() < 8 { Err(Wide) } else { Ok(()) };
    let parsed = parse_admitted(text.as_bytes(), &reading(Format::Auto), narrow);
    assert_eq!((parsed.entries, parsed.rejected, parsed.reasons), (nets(&["192.0.2.1/32"]), 3, [("wide", 3)].into()));
    assert_eq!(parsed.rejects[0].why, "too wide");
}

#[test]
fn a_last_line_without_end_that_is_broken_tells_of_a_cut() {
    let cut = "cut off: the last line has no end and cannot be read";
    for text in ["192.0.2.1\t9\n192.0.2.", "create a hash:ip\nadd a 192.0.2.1\nadd a 192.0."] {
        assert_eq!(read(Format::Auto, text).unfit.as_deref(), Some(cut), "{text}");
    }
    let dshield = sample(Format::Dshield);
    let broken = dshield.get(..dshield.len() - 32).unwrap();
    assert_eq!(read(Format::Auto, broken).unfit.as_deref(), Some(cut));
}

#[test]
fn a_line_of_100_mib_is_refused() {
    for byte in [b'1', b'"', b'['] {
        let line = vec![byte; 100 << 20];
        for format in [Format::Auto, Format::Plain, Format::DropJson, Format::Csv, Format::Stix] {
            let parsed = read(format, &line);
            assert!(parsed.rejected == 1 || parsed.unfit.is_some(), "{format} {byte}: {parsed:?}");
            assert_eq!(parsed.entries, []);
            let kept: usize = parsed.rejects.iter().map(|reject| reject.text.len() + reject.why.len()).sum();
            assert!(kept < 4_096 && parsed.unfit.is_none_or(|why| why.len() < 4_096));
        }
    }
}

#[test]
fn a_million_bad_lines_keep_a_thousand() {
    let parsed = read(Format::Plain, "192.0.2.300\n".repeat(1_000_000));
    assert_eq!((parsed.rejected, parsed.rejects.len(), parsed.lines), (1_000_000, REJECTS_KEPT, 1_000_000));
    assert_eq!(parsed.reasons, [("syntax", 1_000_000)].into());
}
