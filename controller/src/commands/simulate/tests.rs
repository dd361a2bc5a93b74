//! Captures judged by the real program. These tests load it, so they need root.
use std::collections::BTreeMap;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use tempfile::TempDir;
use weir_common::verdict::Verdict;

use super::*;
use crate::adapters::clock;
use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::reader::KernelReader;
use crate::commands::tests::kernel::{Pinned, frame};
use crate::commands::tests::{Ended, run_with};

/// A capture with these packets at these times, in microseconds.
fn capture(folder: &TempDir, packets: impl IntoIterator<Item = (u64, Vec<u8>)>) -> std::path::PathBuf {
    let path = folder.path().join("file.pcap");
    let mut writer = PcapWriter::with_header(File::create(&path).unwrap(), PcapHeader::default()).unwrap();
    for (at, data) in packets {
        let len = u32::try_from(data.len()).unwrap();
        writer.write_packet(&PcapPacket::new_owned(Duration::from_micros(at), len, data)).unwrap();
    }
    path
}

fn simulated(folder: &TempDir, config: &str, packets: impl IntoIterator<Item = (u64, Vec<u8>)>) -> (Ended, Simulation) {
    let config_path = folder.path().join("simulated.toml");
    std::fs::write(&config_path, config).unwrap();
    let file = capture(folder, packets);
    let line = format!("simulate {} --config {} -o json", file.display(), config_path.display());
    let ended = run_with(&line, Path::new("/nonexistent"), "").well();
    let simulation = serde_json::from_str::<serde_json::Value>(&ended.out).unwrap();
    let number = |key: &str| simulation[key].as_u64().unwrap();
    let rows: BTreeMap<String, VerdictRow> = serde_json::from_value(simulation["verdicts"].clone()).unwrap();
    let simulation = Simulation {
        packets: number("packets"),
        passed: number("passed"),
        dropped: number("dropped"),
        would_drop: number("would_drop"),
        skipped: number("skipped"),
        verdicts: rows,
        answers: number("answers"),
        notes: serde_json::from_value(simulation["notes"].clone()).unwrap(),
    };
    (ended, simulation)
}

const LIMITED: &str = "[limits.source]\npackets_per_second = 100\nburst = 100\n";

/// A source's packets, so far apart, in microseconds.
fn steady(count: u64, gap: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    (0..count).map(move |at| (1_000_000 + at * gap, frame([192, 0, 2, 7], 60)))
}

#[test]
fn rates_are_judged_at_the_captures_own_times() {
    let folder = tempfile::tempdir().unwrap();
    let (ended, at_the_limit) = simulated(&folder, LIMITED, steady(1_000, 10_000));
    assert!(ended.err.contains("with empty lists"), "{ended:?}");
    assert_eq!((at_the_limit.packets, at_the_limit.dropped), (1_000, 0));
    // Ten times as fast: what a second earns and the burst pass.
    let (_, over) = simulated(&folder, LIMITED, steady(1_000, 1_000));
    assert!(over.passed.abs_diff(200) <= 2 && over.passed + over.dropped == 1_000, "{over:?}");
    assert_eq!(over.verdicts["rate_source"].packets, over.dropped);
    assert_eq!(over.verdicts["pass"].bytes, over.passed * 60);
    // The same again, packet for packet.
    assert_eq!(simulated(&folder, LIMITED, steady(1_000, 1_000)).1, over);
}

#[test]
fn what_is_observed_would_have_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (_, over) = simulated(&folder, LIMITED, steady(1_000, 1_000));
    let config = format!("enforcement = \"observe\"\n{LIMITED}");
    let (_, observed) = simulated(&folder, &config, steady(1_000, 1_000));
    assert_eq!((observed.passed, observed.dropped, observed.would_drop), (1_000, 0, over.dropped));
    assert_eq!(observed.verdicts["rate_source"].observed_packets, over.dropped);
}

#[test]
fn shapes_are_judged_and_what_xdp_never_sees_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let mut lying = frame([192, 0, 2, 7], 60);
    lying[16..18].copy_from_slice(&2_000u16.to_be_bytes());
    let packets = [lying, frame([127, 0, 0, 1], 60), vec![0; 13], frame([192, 0, 2, 7], 3_516), vec![0; 3_517]];
    let (ended, simulation) = simulated(&folder, "", (0..).zip(packets));
    assert_eq!((simulation.packets, simulation.skipped), (3, 2));
    let of = |name: &str| simulation.verdicts[name].packets;
    assert_eq!((of("malformed"), of("bogon"), of("pass")), (1, 1, 1));
    assert_eq!(simulation.verdicts["pass"].bytes, 3_516);
    assert!(
        ended.err.contains("1 packet skipped: shorter") && ended.err.contains("1 packet skipped: longer"),
        "{ended:?}"
    );
    assert_eq!(simulation.verdicts.len(), Verdict::ALL.len());
}

/// A UDP packet that another place sent, from one port to another.
fn datagram(source: [u8; 4], from: u16, to: u16) -> Vec<u8> {
    let mut bytes = frame(source, 60);
    bytes[23] = 17;
    for (at, number) in [(34, from), (36, to), (38, 26)] {
        bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

#[test]
fn answers_that_sockets_of_now_are_looked_up_for_are_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let packets = || {
        let all = [(53, 40_000), (123, 40_000), (5_353, 40_000), (40_000, 53)];
        (0..).zip(all.map(|(from, to)| datagram([192, 0, 2, 7], from, to)))
    };
    let (_, off) = simulated(&folder, "", packets());
    assert_eq!((off.passed, off.answers, off.notes.len()), (4, 0, 0), "{off:?}");
    let (_, all) = simulated(&folder, "amplification.enforcement = \"enforce\"\n", packets());
    assert_eq!((all.passed, all.verdicts["port"].packets, all.answers), (2, 2, 2), "{all:?}");
    assert!(all.notes[0].contains("2 packets were from ports of [amplification]"), "{all:?}");
    let (_, used) = simulated(&folder, "[amplification]\nenforcement = \"observe\"\nuses = [\"dns\"]\n", packets());
    assert_eq!((used.passed, used.would_drop, used.answers), (4, 1, 1), "{used:?}");
    assert!(used.notes[0].starts_with("1 packet was from"), "{used:?}");
}

#[test]
fn text_tells_the_sums() {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (folder.path().join("a.toml"), capture(&folder, steady(3, 1)));
    std::fs::write(&config, "").unwrap();
    let line = format!("simulate {} --config {}", file.display(), config.display());
    let ended = run_with(&line, Path::new("/nonexistent"), "").well();
    assert!(ended.out.starts_with("3 packets: 3 passed, 0 dropped\n"), "{ended:?}");
    let line = format!("simulate {} --config {}", config.display(), config.display());
    run_with(&line, Path::new("/nonexistent"), "").with(1, "neither pcap nor pcapng");
}

/// What the running instance has counted.
fn counted(instance: &Instance) -> u64 {
    let reader = KernelReader::new(|name| object::open_map(&instance.maps(), name)).unwrap();
    views::totals(&reader.counters()).0.seen + reader.sources().len() as u64
}

#[test]
fn the_running_policy_judges_and_counts_nothing() {
    let pinned = Pinned::new("[limits.source]\npackets_per_second = 100\n", &["192.0.2.0/24", "198.51.100.7/32"]);
    let instance = &pinned.instance;
    let now = clock::now().boot.0;
    pinned.overlay_deny([203, 0, 113, 9], now + 3_600);
    let mut machine = Machine::of_instance(instance).unwrap();
    let judge = |machine: &mut Machine, at_s: u64, source| {
        let before = machine.counters();
        assert!(machine.judge(at_s * 1_000_000_000, &frame(source, 60)).unwrap());
        let after = machine.counters();
        let grew = |verdict: &&Verdict| {
            let slot = verdict.slot() as usize;
            after.enforced[slot] != before.enforced[slot]
        };
        *Verdict::ALL.iter().find(grew).unwrap()
    };
    assert_eq!(judge(&mut machine, 1, [192, 0, 2, 200]), Verdict::Denied);
    assert_eq!(judge(&mut machine, 1, [198, 51, 100, 7]), Verdict::Denied);
    assert_eq!(judge(&mut machine, 1, [198, 51, 100, 8]), Verdict::Pass);
    // The overlay's entry ends an hour from now, in the capture's time.
    assert_eq!(judge(&mut machine, 3_500, [203, 0, 113, 9]), Verdict::Denied);
    assert_eq!(judge(&mut machine, 3_700, [203, 0, 113, 9]), Verdict::Pass);
    assert_eq!(machine.policies(), 1);
    // Another policy while the capture is judged.
    pinned.put(&["198.51.100.8/32"]);
    assert_eq!(judge(&mut machine, 3_701, [198, 51, 100, 8]), Verdict::Denied);
    assert_eq!(judge(&mut machine, 3_701, [192, 0, 2, 200]), Verdict::Pass);
    assert_eq!(machine.policies(), 2);
    assert_eq!(summary(&machine, 0).unwrap().packets, 7);
    assert_eq!(counted(instance), 0);
    assert!(!machine.is_bypassed());
    instance.set_bypass(true).unwrap();
    assert!(machine.is_bypassed());
    assert_eq!(judge(&mut machine, 3_701, [198, 51, 100, 8]), Verdict::Denied);
}

#[test]
fn pins_that_are_not_all_there_are_not_made_up_for() {
    let pinned = Pinned::new("", &[]);
    let tables = pinned.instance.maps().join("TABLES");
    std::fs::remove_file(&tables).unwrap();
    let error = Machine::of_instance(&pinned.instance).unwrap_err().to_string();
    assert!(error.contains("TABLES") && !tables.exists(), "{error}");
}
