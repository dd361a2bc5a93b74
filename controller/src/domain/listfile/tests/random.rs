//! Whatever the bytes are: no panic, and every record accounted for.
use proptest::prelude::*;

use super::*;

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|a| std::net::Ipv4Addr::from(a).to_string()),
        (any::<u32>(), 0..40u8).prop_map(|(a, len)| format!("{}/{len}", std::net::Ipv4Addr::from(a))),
        (any::<u128>(), 0..140u8).prop_map(|(a, len)| format!("{}/{len}", std::net::Ipv6Addr::from(a))),
        (any::<u32>(), any::<u8>()).prop_map(|(a, n)| format!("{}\t{n}", std::net::Ipv4Addr::from(a))),
        "[#;]?[ \t]?[0-9a-f.:/%#; \t\r]{0,30}",
        "\\PC{0,20}",
    ]
}

fn format() -> impl Strategy<Value = Format> {
    proptest::sample::select(Format::ALL.to_vec())
}

/// A sample with some of its bytes changed, cut out, doubled or put in.
fn mutated() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let edit = (any::<proptest::sample::Index>(), 0..4u8, any::<u8>(), 0..40usize);
    let sample = proptest::sample::select(auto::SAMPLES.to_vec());
    (sample, proptest::collection::vec(edit, 1..6)).prop_map(|((format, text), edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, what, byte, span) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + span).min(bytes.len());
            match what {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
                _ => bytes.insert(at, byte),
            }
        }
        (format, bytes)
    })
}

/// The low half of the low half, as an IPv4 address.
fn low(address: u128) -> std::net::Ipv4Addr {
    let [.., a, b, c, d] = address.to_be_bytes();
    std::net::Ipv4Addr::new(a, b, c, d)
}

/// What must hold of whatever was read.
fn adds_up(bytes: &[u8], reading: &Reading) {
    let parsed = parse(bytes, reading);
    let taken = parsed.entries.len() + parsed.ending.len() + parsed.asns.len();
    let told = taken + parsed.rejected + parsed.skipped;
    if matches!(parsed.format, Format::Dshield | Format::NftJson) {
        assert!(told >= parsed.lines, "a range is one record and several entries: {parsed:?}");
    } else {
        assert_eq!(told, parsed.lines, "{parsed:?}");
    }
    let is_left_out = |label: &str| PASSED_OVER.contains(&label);
    let sum = |left_out: bool| -> u64 {
        parsed.reasons.iter().filter(|(label, _)| is_left_out(label) == left_out).map(|(_, count)| count).sum()
    };
    assert_eq!(sum(false), parsed.rejected as u64, "{parsed:?}");
    assert!(sum(true) <= parsed.skipped as u64, "{parsed:?}");
    assert_eq!(parsed.records(), (taken + parsed.rejected) as u64 + sum(true));
    assert!(parsed.scores.is_empty() || parsed.scores.len() == parsed.entries.len(), "{parsed:?}");
    assert!(parsed.ending.iter().all(|(_, seconds)| *seconds > 0), "{parsed:?}");
    assert_eq!(parsed.rejects.len(), parsed.rejected.min(REJECTS_KEPT));
    assert!(parsed.normalised <= taken);
    assert_ne!(parsed.format, Format::Auto);
    let prefixes = || parsed.entries.iter().chain(parsed.ending.iter().map(|(prefix, _)| prefix));
    assert!(prefixes().all(|entry| *entry == entry.trunc()));
    let printed = parsed.rejects.iter().flat_map(|reject| [&reject.text, &reject.why]).chain(&parsed.unfit);
    assert!(printed.clone().all(|text| !text.chars().any(char::is_control)), "{parsed:?}");
    if matches!(parsed.format, Format::Plain | Format::Ipsum) {
        let fed = bytes.split(|b| *b == b'\n').count() - 1;
        assert!(parsed.lines == fed || parsed.lines == fed + 1);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_every_record_is_accounted_for(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        format in format(),
    ) {
        adds_up(&bytes, &reading(format));
        if let Err(error) = parse_never_block(&bytes) {
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn any_lines_are_read_and_every_one_is_accounted_for(
        lines in proptest::collection::vec(line(), 0..50),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("")],
        format in format(),
    ) {
        adds_up(lines.join(end).as_bytes(), &reading(format));
    }

    #[test]
    fn mutated_samples_are_read_and_every_record_is_accounted_for(
        (format, bytes) in mutated(),
        auto in any::<bool>(),
        column in proptest::option::of(prop_oneof![Just("ip"), Just("a"), Just("")]),
        least_score in 0..4u32,
    ) {
        let format = if auto { Format::Auto } else { format };
        adds_up(&bytes, &Reading { column: column.map(Arc::from), least_score, ..reading(format) });
    }

    #[test]
    fn a_cut_document_is_unfit(sample in proptest::sample::select(auto::SAMPLES.to_vec()), at in any::<proptest::sample::Index>()) {
        let (format, text) = sample;
        let whole = text.trim_end();
        let cut = at.index(whole.len());
        if format.is_document() || matches!(format, Format::DropJson | Format::AsnDrop) {
            let parsed = read(format, &whole.as_bytes()[..cut]);
            prop_assert!(parsed.unfit.is_some(), "{format} cut at {cut}: {parsed:?}");
        }
    }

    #[test]
    fn every_canonical_prefix_is_read_as_itself(address in any::<u128>(), len in 0..=128u8, v4 in any::<bool>()) {
        let prefix = if v4 {
            IpNet::new(low(address).into(), len % 33).unwrap()
        } else {
            IpNet::new(std::net::Ipv6Addr::from(address).into(), len).unwrap()
        };
        prop_assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix.trunc()));
        prop_assert_eq!(parse_prefix(&prefix.addr().to_string()), Ok(IpNet::from(prefix.addr())));
    }

    #[test]
    fn what_is_taken_is_what_others_read_too(text in "[0-9a-f.:/]{1,24}|[0-9.]{7,15}(/[0-9]{1,3})?") {
        // Whatever is taken, the standard library's stricter reading agrees with.
        if let Ok(prefix) = parse_prefix(&text) {
            let reference: IpNet = text.parse().or_else(|_| text.parse().map(|a: std::net::IpAddr| a.into())).unwrap();
            let mapped = matches!(reference, IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some());
            prop_assert!(mapped || prefix == reference.trunc(), "{} is not {}", prefix, reference);
        }
    }

    #[test]
    fn a_range_is_exactly_the_prefixes_that_cover_it(a in any::<u32>(), span in 0..5_000u32) {
        let last = a.saturating_add(span);
        let (first, last) = (std::net::Ipv4Addr::from(a), std::net::Ipv4Addr::from(last));
        let parsed = read(Format::Dshield, format!("{first}\t{last}\n"));
        let covered: u64 = parsed.entries.iter().map(|net| 1u64 << (32 - net.prefix_len())).sum();
        prop_assert_eq!(covered, u64::from(u32::from(last) - a) + 1);
        prop_assert!(parsed.entries.len() <= 62);
        let inside = |net: &IpNet| net.network() >= first && net.broadcast() <= last;
        prop_assert!(parsed.entries.iter().all(inside));
    }
}
