//! Sampled drops written to a file, read back by tshark and by the crate that simulate reads with.
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::Value;
use weir::adapters::client::Client;
use weir::domain::capture::{CaptureReport, End, Filter, SampleLine};
use weir_common::abi::SAMPLE_BYTES;
use weir_tests::frames::{V4, V6, udp, v6};
use weir_tests::harness::command::{self, Said};
use weir_tests::harness::{PATIENCE, Site, wait_for};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

fn from(source: [u8; 4]) -> Vec<u8> {
    V4::from(source).frame()
}

/// A `weir capture` on its way: every packet sent from now on is before it.
struct Capturing {
    child: Child,
    err: BufReader<ChildStderr>,
    said: String,
}

impl Capturing {
    #[track_caller]
    fn start(site: &Site, args: &[&str]) -> Self {
        let config = site.place.config().display().to_string();
        let args: Vec<&str> = ["-c", &config, "capture"].into_iter().chain(args.iter().copied()).collect();
        let mut command = command::weir(&args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("weir can be started");
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut capturing = Self { child, err, said: String::new() };
        capturing.says("sampled drops go to");
        capturing
    }

    /// Waits until it says this on standard error.
    #[track_caller]
    fn says(&mut self, words: &str) {
        while !self.said.contains(words) {
            let read = self.err.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it never said {words:?}, but:\n{}", self.said);
        }
    }

    fn out(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a number of a child that has not been waited for, so it is nobody else's.
        let sent = unsafe { libc::kill(libc::pid_t::try_from(self.child.id()).unwrap(), signal) };
        assert_eq!(sent, 0);
    }

    /// Waits for its end.
    #[track_caller]
    fn ended(mut self) -> Said {
        let child = &mut self.child;
        let status = wait_for("the capture's end", PATIENCE, || child.try_wait().unwrap());
        self.err.read_to_string(&mut self.said).unwrap();
        let mut out = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut out).unwrap();
        }
        Said { code: status.code(), out, err: std::mem::take(&mut self.said) }
    }

    /// Ends it as Ctrl-C does; its summary.
    #[track_caller]
    fn interrupted(self) -> CaptureReport {
        self.signal(libc::SIGINT);
        report(self.ended())
    }
}

impl Drop for Capturing {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn report(said: Said) -> CaptureReport {
    serde_json::from_str(&said.well()).unwrap()
}

/// A packet of a capture.
#[derive(Clone, Debug, PartialEq)]
struct Packet {
    interface: String,
    comment: String,
    length: u32,
    captured: usize,
    at: Duration,
    source: Option<String>,
}

/// What tshark finds in a capture, and says of it.
#[track_caller]
fn by_tshark(input: Stdio, file: &str) -> Vec<Packet> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", file, "-T", "fields", "-E", "separator=|"]);
    for field in ["interface_name", "comment", "len", "cap_len", "time_epoch"] {
        tshark.args(["-e", &format!("frame.{field}")]);
    }
    tshark.args(["-e", "ip.src", "-e", "ipv6.src"]);
    let output = tshark.stdin(input).output().expect("tshark: `cargo xtask setup` installs it");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !err.contains("cut short") && !err.contains("appears"), "{err}");
    let packet = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let (seconds, nanoseconds) = fields[4].split_once('.').unwrap();
        Packet {
            interface: fields[0].to_owned(),
            comment: fields[1].to_owned(),
            length: fields[2].parse().unwrap(),
            captured: fields[3].parse().unwrap(),
            at: Duration::new(seconds.parse().unwrap(), nanoseconds.parse().unwrap()),
            source: fields[5..].iter().find(|source| !source.is_empty()).map(ToString::to_string),
        }
    };
    String::from_utf8(output.stdout).unwrap().lines().map(packet).collect()
}

/// What the crate finds in it; every block must be whole.
#[track_caller]
fn by_crate(file: &Path) -> Vec<Packet> {
    let bytes = fs::read(file).unwrap();
    let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
    let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::InterfaceDescription(interface) => {
                let name = interface.options.iter().find_map(|option| match option {
                    InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
                    _ => None,
                });
                interfaces.push(name.unwrap());
            }
            Block::EnhancedPacket(packet) => {
                let comment = packet.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Comment(comment) => Some(comment.to_string()),
                    _ => None,
                });
                packets.push(Packet {
                    interface: interfaces[packet.interface_id as usize].clone(),
                    comment: comment.unwrap(),
                    length: packet.original_len,
                    captured: packet.data.len(),
                    at: packet.timestamp,
                    source: None,
                });
            }
            other => panic!("{other:?}"),
        }
    }
    packets
}

fn comments(file: &Path) -> Vec<String> {
    by_crate(file).into_iter().map(|packet| packet.comment).collect()
}

/// Bytes that are kept of a frame.
fn kept(length: usize) -> usize {
    length.min(SAMPLE_BYTES) / 8 * 8
}

fn since_the_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn file(site: &Site) -> (PathBuf, String) {
    let path = site.place.folder().join("drops.pcapng");
    (path.clone(), path.display().to_string())
}

#[test]
fn drops_are_written_with_their_reason_and_tshark_reads_them() {
    let site = Site::new("");
    site.api().import("ipsum", "198.51.100.0/24\n2001:db8:66::/48\n").document::<Value>();
    site.weir(&["block", "add", "--observe", "203.0.113.7"]).well();
    let (path, name) = file(&site);
    let before = since_the_epoch();
    let capturing = Capturing::start(&site, &["-w", &name, "-o", "json"]);
    let long = V4::from([198, 51, 100, 7]).carrying(17, udp(53, 4_000, &[0x5a; 1_200])).frame();
    let odd = V4::from([198, 51, 100, 8]).carrying(17, udp(53, 4_000, &[0; 23])).frame();
    let six = V6::from(v6(0x2001_0db8, 0x0066_0000, 9)).frame();
    let frames = [long.clone(), odd.clone(), six.clone(), from(LOOPBACK), from([203, 0, 113, 7]), from([192, 0, 2, 1])];
    site.send(&frames);
    site.saw(&[("denied", 3), ("bogon", 1), ("pass", 2), ("would denied", 1)]);
    let summary = capturing.interrupted();
    let after = since_the_epoch();

    let short = from(LOOPBACK).len();
    let expected: Vec<(&str, usize, Option<&str>)> = vec![
        ("verdict=denied list=ipsum enforced", long.len(), Some("198.51.100.7")),
        ("verdict=denied list=ipsum enforced", odd.len(), Some("198.51.100.8")),
        ("verdict=denied list=ipsum enforced", six.len(), Some("2001:db8:66::9")),
        ("verdict=bogon enforced", short, Some("127.0.0.1")),
        ("verdict=denied list=block observed", short, Some("203.0.113.7")),
    ];
    let packets = by_tshark(Stdio::null(), &name);
    let found: Vec<_> = packets.iter().map(|p| (p.comment.as_str(), p.length as usize, p.source.as_deref())).collect();
    assert_eq!(found, expected);
    // The kernel's clock for this ticks every 10 ms at the longest.
    let window = before.saturating_sub(Duration::from_millis(20))..=after;
    for packet in &packets {
        assert!(window.contains(&packet.at), "{packet:?} in {window:?}");
        assert_eq!((packet.interface.as_str(), packet.captured), ("wv0", kept(packet.length as usize)), "{packet:?}");
    }
    let bare: Vec<Packet> = packets.iter().cloned().map(|packet| Packet { source: None, ..packet }).collect();
    assert_eq!(by_crate(&path), bare);

    assert_eq!((summary.written, summary.dropped, summary.observed, summary.sampled), (5, 4, 1, 5), "{summary:?}");
    assert_eq!((summary.end, summary.lost_in_kernel, summary.lost_in_reading), (End::Interrupted, 0, 0));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // weir reads it as well. Beginnings of frames are judged as whole ones are: the settings alone drop the bogon.
    let simulated: Value = serde_json::from_str(&site.weir(&["-o", "json", "simulate", &name]).well()).unwrap();
    let verdict = |name: &str| simulated["verdicts"][name]["packets"].as_u64();
    assert_eq!((&simulated["packets"], &simulated["skipped"]), (&5.into(), &0.into()), "{simulated}");
    assert_eq!((verdict("bogon"), verdict("pass")), (Some(1), Some(4)), "{simulated}");
}

#[test]
fn it_ends_after_as_many_as_were_wanted_of_what_was_wanted() {
    let site = Site::new("");
    site.api().block(&["192.0.2.66"]);
    site.api().import("ipsum", "198.51.100.0/24\n").document::<Value>();
    let (path, name) = file(&site);
    fs::write(&path, vec![b'x'; 1 << 16]).unwrap();
    let mixed: Vec<Vec<u8>> =
        [[192, 0, 2, 66], LOOPBACK, [198, 51, 100, 7]].into_iter().cycle().take(30).map(from).collect();

    let capturing = Capturing::start(&site, &["-w", &name, "-n", "4", "--verdict", "bogon", "-o", "json"]);
    site.send(&mixed);
    let summary = report(capturing.ended());
    assert_eq!((summary.written, summary.end), (4, End::Count));
    assert!((4..=10).contains(&summary.dropped), "{summary:?}");
    assert_eq!(comments(&path), ["verdict=bogon enforced"; 4], "what was in the file before is gone");
    site.saw(&[("denied", 20), ("bogon", 10)]);

    let args = ["-w", &name, "--verdict", "bogon", "--verdict", "denied", "--list", "ipsum"];
    let mut capturing = Capturing::start(&site, &args);
    site.send(&mixed);
    site.saw(&[("denied", 20), ("bogon", 10)]);
    capturing.signal(libc::SIGTERM);
    capturing.says("10 packets written to ");
    let said = capturing.ended();
    assert!(
        said.err.contains("30 packets were dropped as bogon, denied, 0 only observed (by any list)")
            && said.err.contains("no sample was lost"),
        "{said:?}"
    );
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert_eq!(comments(&path), ["verdict=denied list=ipsum enforced"; 10]);
}

#[test]
fn a_pipe_takes_each_packet_at_once_and_its_end_ends_the_capture() {
    let site = Site::new("");
    let mut capturing = Capturing::start(&site, &["-w", "-", "-n", "3"]);
    let out = capturing.out();
    site.send(&vec![from(LOOPBACK); 3]);
    let packets = by_tshark(out.into(), "-");
    assert_eq!(packets.len(), 3, "{packets:?}");
    capturing.says("3 packets written to standard output");
    capturing.ended().well();

    // A reader takes a packet while the capture goes on, and leaves; nothing comes after.
    let mut capturing = Capturing::start(&site, &["-w", "-"]);
    let mut out = capturing.out();
    site.send(&[from(LOOPBACK)]);
    let mut read = Vec::new();
    let comment = b"verdict=bogon enforced";
    while !read.windows(comment.len()).any(|window| window == comment) {
        let mut piece = [0; 512];
        let count = out.read(&mut piece).unwrap();
        assert!(count > 0, "the capture ended");
        read.extend_from_slice(&piece[..count]);
    }
    drop(out);
    capturing.says("1 packet written to standard output, until nobody read it any more");
    let said = capturing.ended();
    assert!(said.code == Some(0) && !said.err.contains("error"), "{said:?}");
}

#[test]
fn a_sample_is_called_a_sample() {
    let site = Site::new("samples.per_second = 10");
    let (path, name) = file(&site);
    let mut capturing = Capturing::start(&site, &["-w", &name, "-o", "json"]);
    capturing.says("at most 10 a second on each CPU");
    site.send(&vec![from(LOOPBACK); 2_000]);
    site.saw(&[("bogon", 2_000)]);
    let summary = capturing.interrupted();
    assert_eq!((summary.dropped, summary.per_second), (2_000, 10));
    assert_eq!((summary.written, summary.lost_in_kernel), (summary.sampled, 0), "{summary:?}");
    assert!((1..1_000).contains(&summary.written), "{summary:?}");
    assert_eq!(comments(&path).len() as u64, summary.written);
}

#[test]
fn where_nothing_is_sampled_it_says_so_and_what_to_do() {
    let site = Site::new("samples.per_second = 0");
    let (path, name) = file(&site);
    fs::write(&path, "an earlier capture").unwrap();
    site.weir(&["capture", "-w", &name]).badly(1, &["`[samples] per_second` is 0", "weir config reload"]);
    assert_eq!(fs::read(&path).unwrap(), b"an earlier capture", "nothing was replaced");
    site.place.configure("samples.per_second = 100");
    site.weir(&["config", "reload"]).well();
    let mut capturing = Capturing::start(&site, &["-w", &name]);
    site.weir(&["bypass", "on"]).well();
    capturing.says("the bypass is on, so nothing is dropped and nothing sampled");
    site.weir(&["bypass", "off"]).well();
    site.place.configure("samples.per_second = 0");
    site.weir(&["config", "reload"]).well();
    capturing.says("sampling was turned off in the settings");
    capturing.signal(libc::SIGINT);
    capturing.says("sampling is off now");
    capturing.ended().well();

    site.place.configure("samples.per_second = 100");
    site.weir(&["config", "reload"]).well();
    site.weir(&["capture", "-w", &name, "--list", "nosuch"]).badly(3, &["there is no list \"nosuch\""]);
    site.weir(&["capture", "-w", &name, "--verdict", "bogn"]).badly(2, &["'bogon'"]);
    site.weir(&["capture", "-w", &name, "--verdict", "pass"]).badly(2, &["only drops are sampled"]);
    for (query, words) in
        [("verdict=bogn", "\\\"bogn\\\" is no verdict"), ("n=0", "n is 0"), ("verdicts=x", "verdicts")]
    {
        let answer = site.api().ask("GET", &format!("/api/samples/stream?{query}"), b"");
        assert!(answer.status == 400 && answer.text().contains(words), "{} {}", answer.status, answer.text());
    }
}

#[test]
fn a_daemon_that_stops_or_dies_leaves_a_whole_file() {
    for dies in [false, true] {
        let mut site = Site::new("");
        let (path, name) = file(&site);
        let mut capturing = Capturing::start(&site, &["-w", &name]);
        site.send(&[from(LOOPBACK)]);
        wait_for("the packet in the file", PATIENCE, || (comments(&path).len() == 1).then_some(()));
        if dies {
            site.kill();
        } else {
            site.terminate();
        }
        capturing.says("1 packet written to ");
        capturing.ended().badly(4, &["until the daemon stopped", "error: the daemon at "]);
        assert_eq!(by_tshark(Stdio::null(), &name).len(), 1);
    }
}

#[test]
fn a_full_disk_leaves_whole_packets_and_is_an_error() {
    let site = Site::new("samples.per_second = 100000");
    let folder = Tmpfs::new(&site.place.folder().join("small"));
    let path = folder.0.join("drops.pcapng");
    let name = path.display().to_string();
    let mut capturing = Capturing::start(&site, &["-w", &name]);
    site.send(&vec![from(LOOPBACK); 300]);
    capturing.says("written to ");
    let said = capturing.ended().badly(1, &["No space left on device", &name]);
    let packets = by_tshark(Stdio::null(), &name);
    assert!(said.contains(&format!("{} packets written to ", packets.len())), "{said}");
    assert!((10..300).contains(&packets.len()), "{}", packets.len());
}

/// A filesystem of 16 KiB, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let name = folder.display().to_string();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs", &name]).status();
        assert!(mounted.unwrap().success());
        Self(folder.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // What is left is in the test's own folder, and the failure of the test is what should be seen.
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[test]
fn a_reader_that_sleeps_loses_samples_and_is_told_while_packets_are_judged_as_ever() {
    const PACKETS: u64 = 30_000;
    let site = Site::new("samples.per_second = 1000000");
    let client = Client::new(&site.place.socket()).unwrap();
    let mut stream = client.wait_for(client.samples(None, &Filter::default())).unwrap();
    let Some(SampleLine::Start(start)) = client.wait_for(stream.next()).unwrap() else { panic!("no start") };
    // A second one, which is awake.
    let (_, name) = file(&site);
    let capturing = Capturing::start(&site, &["-w", &name, "-o", "json"]);
    let packets = site.links[0].sender.while_wanted(&[from(LOOPBACK)], 10_000, |sent| sent < PACKETS);
    site.saw(&[("bogon", packets)]);
    let summary = capturing.interrupted();
    let counters = client.wait_for(client.sample_counters()).unwrap();
    let taken = counters.taken - start.counters.taken;
    assert_eq!(taken, packets, "every one was sampled");
    let (mut seen, mut lost) = (0, 0);
    client.wait_for(async {
        loop {
            match stream.next().await.unwrap().expect("the daemon lives") {
                SampleLine::Sample(_) => seen += 1,
                SampleLine::Lost(count) => lost += count,
                SampleLine::Counters(now) if now.at >= counters.at => return,
                SampleLine::Counters(_) | SampleLine::Start(_) => {}
            }
        }
    });
    println!("asleep: {seen} seen, {lost} lost; awake: {summary:?}");
    let in_ring = taken - (counters.lost - start.counters.lost);
    assert!(lost > 0 && seen > 0, "{seen} seen, {lost} lost");
    // Counters are lines as well.
    assert!((in_ring..in_ring + 60).contains(&(seen + lost)), "{seen} seen, {lost} lost of {in_ring}");
    let accounted = summary.written + summary.lost_in_kernel + summary.lost_in_reading;
    assert!((packets..packets + 60).contains(&accounted), "{summary:?}");
    assert!(File::open(&name).unwrap().metadata().unwrap().len() > 100 * summary.written);
}

#[test]
fn sixteen_may_listen_and_who_leaves_makes_room() {
    let site = Site::new("");
    let client = Client::new(&site.place.socket()).unwrap();
    let listen = || client.wait_for(client.samples(None, &Filter::default()));
    let mut listeners: Vec<_> = (0..16).map(|_| listen().unwrap()).collect();
    let (path, name) = file(&site);
    site.weir(&["capture", "-w", &name]).badly(1, &["16 listen to sampled drops already"]);
    assert!(!path.exists());
    drop(listeners.pop());
    // The daemon sees that somebody left when the connection ends.
    let mut again = wait_for("room for one", PATIENCE, || listen().ok());
    site.send(&[from(LOOPBACK)]);
    let sampled = client.wait_for(async {
        loop {
            if let SampleLine::Sample(sample) = again.next().await.unwrap().expect("the daemon lives") {
                return sample;
            }
        }
    });
    assert_eq!((sampled.verdict.as_str(), sampled.interface_name.as_deref()), ("bogon", Some("wv0")));
    site.saw(&[("bogon", 1)]);
    let latest: Vec<Value> = site.api().get("/api/samples?n=5");
    assert_eq!(latest, [serde_json::to_value(&sampled).unwrap()], "the latest are kept whoever listens");
}
