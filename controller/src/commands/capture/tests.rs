//! Captures against a daemon that says what it is told to.
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::{Value, json};

use crate::adapters::client::fake::FakeDaemon;
use crate::commands::failure;
use crate::commands::tests::{Ended, run_with};

fn counters(second: u32, dropped: u64) -> Value {
    json!({"at": format!("2026-11-21T05:20:{second:02}Z"), "per_second": 100, "bypass": false, "taken": dropped,
        "lost": 0, "verdicts": {"feed": {"packets": dropped, "bytes": 0, "observed_packets": 0}}})
}

fn start() -> Value {
    let interface = json!({"name": "eth0", "index": 2, "mode": "native"});
    json!({"start": {"bytes": 96, "interfaces": [interface], "counters": counters(10, 40)}})
}

fn sample(list: &str) -> Value {
    json!({"sample": {"at": "2026-11-21T05:20:11Z", "interface": 2, "interface_name": "eth0", "verdict": "feed",
        "observed": false, "list": list, "length": 60, "bytes": "00".repeat(56)}})
}

fn daemon(lines: &[Value]) -> FakeDaemon {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    FakeDaemon::always(200, lines.join("\n") + "\n")
}

fn capture(daemon: &FakeDaemon, args: &str) -> (Ended, PathBuf) {
    let file = daemon.folder().join("drops.pcapng");
    (run_with(&format!("capture -w {} {args}", file.display()), &daemon.socket(), ""), file)
}

/// The comments of a capture's packets.
fn comments(file: &PathBuf) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap();
    let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            comments.extend(packet.options.iter().filter_map(|option| match option {
                EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                _ => None,
            }));
        }
    }
    comments
}

#[test]
fn what_was_wanted_is_asked_for_written_and_summed_up() {
    let daemon = daemon(&[start(), sample("a"), sample("b"), json!({"counters": counters(13, 90)})]);
    let (ended, file) = capture(&daemon, "-n 2 --verdict feed --verdict bogon --list a --list b");
    let ended = ended.with(0, "2 packets written to ");
    assert_eq!(ended.out, "", "the capture is the result");
    assert!(
        ended.err.contains("in 3s 50 packets were dropped as feed, bogon") && ended.err.contains("no sample was lost"),
        "{ended:?}"
    );
    assert_eq!(daemon.asked(), ["GET /api/samples/stream?n=2&verdict=feed%2Cbogon&list=a%2Cb"]);
    assert_eq!(comments(&file), ["verdict=feed list=a enforced", "verdict=feed list=b enforced"]);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_summary_is_a_document_where_asked() {
    let daemon = daemon(&[start(), sample("a"), json!({"lost": 9}), json!({"counters": counters(13, 90)})]);
    let (ended, file) = capture(&daemon, "-n 1 -o json");
    let summary = ended.well().json();
    let expected = json!({"file": file.display().to_string(), "written": 1, "end": "count", "verdicts": [], "lists": [],
        "started_at": "2026-11-21T05:20:10Z", "ended_at": "2026-11-21T05:20:13Z", "dropped": 50, "observed": 0,
        "sampled": 50, "lost_in_kernel": 0, "lost_in_reading": 9, "per_second": 100});
    assert_eq!(summary, expected);
}

#[test]
fn standard_output_takes_the_capture_alone() {
    let daemon = daemon(&[start(), json!({"counters": counters(13, 90)})]);
    run_with("capture -w - -o json", &daemon.socket(), "").with(failure::USAGE, "write the capture to a file");
    assert_eq!(daemon.asked(), Vec::<String>::new(), "nothing was tried");
}

#[test]
fn a_daemon_that_stops_leaves_a_whole_file_and_a_summary() {
    let daemon = daemon(&[start(), sample("a")]);
    let (ended, file) = capture(&daemon, "-n 2");
    let ended = ended.with(failure::UNREACHABLE, "1 packet written to ");
    assert!(ended.err.contains("until the daemon stopped") && ended.err.contains("error: the daemon at "), "{ended:?}");
    assert_eq!(comments(&file), ["verdict=feed list=a enforced"]);
}

#[test]
fn a_refusal_touches_no_file() {
    let daemon = FakeDaemon::refusing(409, "about:blank", "sampling is off: `[samples] per_second` is 0");
    let file = daemon.folder().join("drops.pcapng");
    std::fs::write(&file, "an earlier capture").unwrap();
    capture(&daemon, "-n 1").0.with(failure::FAILED, "sampling is off");
    assert_eq!(std::fs::read(&file).unwrap(), b"an earlier capture");
}

#[test]
fn a_file_that_cannot_be_opened_or_written_is_said() {
    let daemon = daemon(&[start(), sample("a"), json!({"counters": counters(13, 90)})]);
    run_with("capture -w /nonexistent/x -n 1", &daemon.socket(), "")
        .with(failure::FAILED, "open /nonexistent/x to write: No such file");
    run_with("capture -w /dev/full -n 1", &daemon.socket(), "").with(failure::FAILED, "write /dev/full");
}

#[test]
fn why_nothing_comes_is_said_once() {
    let with = |key: &str, value: Value| {
        let mut counters = counters(11, 40);
        counters[key] = value;
        json!({"counters": counters})
    };
    let bypass = with("bypass", json!(true));
    let daemon = daemon(&[start(), bypass.clone(), bypass, with("per_second", json!(0)), sample("a")]);
    let ended = capture(&daemon, "-n 1").0.with(0, "sampling was turned off");
    assert_eq!(ended.err.matches("the bypass is on").count(), 1, "{ended:?}");
}

#[test]
fn what_is_no_stream_of_samples_is_refused() {
    let stranger = FakeDaemon::always(200, "hello\n");
    capture(&stranger, "-n 1").0.with(failure::FAILED, "another version");
    let (ended, file) = capture(&daemon(&[sample("a")]), "-n 1");
    ended.with(failure::UNREACHABLE, "did not say what it samples");
    assert!(!file.exists());
}
