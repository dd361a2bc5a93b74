//! Drills as an operator runs them: what they report, and that nothing of them is left, however they end.
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use weir::domain::drill::report::{Drill, DrillReport};
use weir::domain::drill::scenario::{Expected, Scenario};
use weir_tests::harness::command::{self, Said};
use weir_tests::harness::{PATIENCE, Site, wait_for};

/// Runs `weir` and reads the report; the exit status agrees with it.
#[track_caller]
fn report(args: &[&str]) -> DrillReport {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    read(&command::said(&mut command::weir(&args)))
}

#[track_caller]
fn read(said: &Said) -> DrillReport {
    let report: DrillReport = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error} in {said:?}"));
    assert_eq!(said.code, Some(i32::from(!report.ok)), "{said:?}");
    report
}

/// The only drill of a report, after what holds for every one: the honest were there, and lost nothing to weir.
#[track_caller]
fn only(report: &DrillReport) -> &Drill {
    assert_eq!(report.drills.len(), 1);
    let drill = &report.drills[0];
    assert_eq!(drill.honest.refused, 0, "{drill:?}");
    assert!(drill.honest.seen > 300, "{drill:?}");
    let kinds: Vec<&str> = drill.honest.kinds.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["dns", "http", "http_ipv6", "ipv6_fragments", "path_mtu", "quic"]);
    let flood = &drill.flood;
    assert!(flood.offered > 1_000 && flood.seen > 1_000, "{drill:?}");
    assert_eq!(flood.seen, flood.passed + flood.dropped);
    drill
}

#[test]
fn the_profile_holds_one_loud_source_and_refuses_nobody_else() {
    let report = report(&["drill", "loud", "--profile", "--seconds", "3"]);
    let drill = only(&report);
    assert!(report.ok && drill.ok, "{drill:?}");
    assert!(report.settings.profile);
    // Among all ports that it draws are 0, and those of answers nobody asked for.
    let dropped: Vec<&str> = drill.dropped_by.keys().map(String::as_str).collect();
    assert!(dropped.iter().all(|verdict| ["malformed", "port", "rate_source"].contains(verdict)), "{drill:?}");
    assert!(drill.dropped_by["rate_source"] * 100 >= drill.flood.dropped * 99, "{drill:?}");
    assert!(drill.flood.dropped_share > 0.5, "{drill:?}");
    let first = drill.detection.first_drop_ms.expect("something was dropped");
    assert!(first > 0.0 && first < 2_000.0, "{first}");
}

/// Every drill that is listed, so that one that is added is run too.
fn listed() -> Vec<String> {
    let said = command::said(&mut command::weir(&["drill", "--list", "-o", "json"])).well();
    let listed: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    listed.iter().map(|drill| drill["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn under_the_profile_no_drill_costs_the_honest_anything_and_what_it_is_to_stop_is_dropped() {
    let names = listed();
    assert_eq!(names.len(), Scenario::ALL.len(), "{names:?}");
    // Three at a time: each waits for the most part, and all in sequence would take a minute.
    let (share, reports) = (names.len().div_ceil(3), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for part in names.chunks(share) {
            let reports = &reports;
            scope.spawn(move || {
                let names = part.iter().map(String::as_str);
                let args: Vec<&str> = ["drill", "--profile", "--seconds", "2"].into_iter().chain(names).collect();
                let report = report(&args);
                reports.lock().unwrap().push(report);
            });
        }
    });
    let reports = reports.into_inner().unwrap();
    let drills: Vec<&Drill> = reports.iter().flat_map(|report| &report.drills).collect();
    assert_eq!(drills.len(), names.len());
    for drill in drills {
        // That each is as it should be says that no honest packet was refused, and that the profile held what it is to.
        assert!(drill.ok && drill.honest.refused == 0 && drill.honest.seen > 100, "{drill:?}");
        assert!(drill.flood.seen > 1_000, "{drill:?}");
        let is_to_be_dropped = drill.name.expected() != Expected::Nothing;
        assert!(!is_to_be_dropped || drill.flood.dropped > 0, "{drill:?}");
    }
}

#[test]
fn without_limits_a_drill_says_that_nothing_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("weir.toml");
    let text = format!("state.dir = \"{}\"\n", folder.path().join("none").display());
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let report = report(&["-c", &config, "drill", "udp", "--seconds", "2", "--rate", "5000"]);
    let drill = only(&report);
    assert!(report.ok, "{drill:?}");
    assert_eq!((report.settings.profile, report.settings.source.as_str()), (false, config.as_str()));
    assert_eq!(report.settings.store, None);
    assert_eq!((drill.flood.dropped, drill.dropped_by.len()), (0, 0), "{drill:?}");
    assert_eq!(drill.detection.first_drop_ms, None);
    assert!(!folder.path().join("none").exists(), "the operator's state folder was made");
}

#[test]
fn a_limit_too_tight_for_the_honest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("weir.toml");
    let limit = "limits.source.packets_per_second = 100\nlimits.source.burst = 100\n";
    fs::write(&config, format!("state.dir = \"{}\"\n{limit}", folder.path().join("none").display())).unwrap();
    let config = config.display().to_string();
    // The QUIC-like flow alone sends twice that.
    let report = report(&["-c", &config, "drill", "network", "--seconds", "2", "--rate", "1000"]);
    let drill = &report.drills[0];
    assert!(!report.ok && !drill.ok, "{drill:?}");
    assert!(drill.honest.refused > 50 && drill.honest.refused < drill.honest.seen, "{drill:?}");
    let quic = drill.honest.kinds["quic"];
    assert!(quic.answered < quic.sent, "{drill:?}");
    assert!(drill.reasons.iter().any(|why| why.contains("honest packets were refused")), "{drill:?}");
}

#[test]
fn the_operators_lists_are_in_force_and_the_operators_weir_is_not_touched() {
    let site = Site::new("");
    // Whom the drill takes for honest where nothing is said, and the loud source.
    site.api().block(&["203.0.113.2/31", "2001:db8:d::/64", "198.51.100.66"]);
    let before = (site.api().status(), interfaces(site.server.name()));
    let said = site.weir(&["drill", "loud", "--seconds", "2", "--rate", "5000", "-o", "json"]);
    let report = read(&said);
    let drill = only(&report);
    assert!(report.ok, "{drill:?}");
    assert_eq!(drill.dropped_by.get("denied").copied(), Some(drill.flood.dropped), "{drill:?}");
    assert!(drill.flood.dropped_share > 0.95, "{drill:?}");
    assert_eq!(report.settings.store.as_deref(), Some(&*site.place.state().display().to_string()));
    let entries = report.settings.lists.iter().find(|list| list.name == "block").map(|list| list.entries);
    assert_eq!(entries, Some(3));
    let after = (site.api().status(), interfaces(site.server.name()));
    assert_eq!(before.0.packets, after.0.packets);
    assert_eq!(before.0.interfaces, after.0.interfaces);
    assert_eq!(before.1, after.1);
}

#[test]
fn the_drills_there_are_and_the_profile_are_printed_without_root_or_daemon() {
    let said = command::said(&mut command::weir(&["drill", "--list"])).well();
    for name in ["syn", "udp", "amplification", "fragments", "icmp", "ack", "loud", "slow", "network", "mixed"] {
        assert!(said.lines().any(|line| line.starts_with(name)), "{name} in:\n{said}");
    }
    let said = command::said(&mut command::weir(&["drill", "--show-profile"])).well();
    assert!(said.contains("[limits.source]"), "{said}");
    command::said(&mut command::weir(&["drill", "tsunami"])).badly(2, &["tsunami"]);
}

#[test]
fn nothing_is_left_of_a_drill_that_is_interrupted() {
    let drill = Underway::start();
    let left = drill.everything();
    drill.signal(libc::SIGINT);
    let said = drill.ends();
    assert_eq!(said.0, Some(1), "{}", said.1);
    assert!(said.1.contains("stopped before the end"), "{}", said.1);
    left.is_gone();
}

#[test]
fn nothing_is_left_of_a_drill_that_is_killed() {
    let drill = Underway::start();
    let left = drill.everything();
    drill.signal(libc::SIGKILL);
    assert_eq!(drill.ends().0, None);
    left.is_gone();
}

/// A drill that would go on for a minute.
struct Underway {
    child: Child,
    daemon: u32,
}

/// What a drill has made: processes and their network and mount namespaces.
struct Everything {
    processes: BTreeSet<u32>,
    namespaces: BTreeSet<u64>,
}

impl Underway {
    /// Starts it and waits until its own daemon has attached.
    fn start() -> Self {
        let mut command = command::weir(&["drill", "udp", "--profile", "--seconds", "60", "--rate", "1000"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let daemon = wait_for("the drill's daemon", PATIENCE * 2, || {
            descendants(child.id()).into_iter().find(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.split(|byte| *byte == 0).nth(1) == Some(b"run") && is_attached(*pid)
            })
        });
        Self { child, daemon }
    }

    fn everything(&self) -> Everything {
        let processes: BTreeSet<u32> = descendants(self.child.id()).into_iter().chain([self.child.id()]).collect();
        assert!(processes.len() >= 3, "the command, the contained one and the daemon: {processes:?}");
        let own: BTreeSet<u64> = namespaces(std::process::id()).into_iter().collect();
        let namespaces: BTreeSet<u64> =
            namespaces(self.daemon).into_iter().filter(|namespace| !own.contains(namespace)).collect();
        assert_eq!(namespaces.len(), 3, "a process, a mount and a network namespace");
        Everything { processes, namespaces }
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: the child is not waited for yet, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Its exit status and what it said.
    fn ends(mut self) -> (Option<i32>, String) {
        let status = wait_for("the drill's end", PATIENCE, || self.child.try_wait().unwrap());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        // A failed test must not leave it running.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Everything {
    /// Waits until no process of it runs and nothing is in its namespaces.
    #[track_caller]
    fn is_gone(&self) {
        wait_for("the end of all that a drill made", PATIENCE, || {
            let left = processes().into_iter().find(|pid| {
                self.processes.contains(pid) || namespaces(*pid).iter().any(|inode| self.namespaces.contains(inode))
            });
            left.is_none().then_some(())
        });
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = mounts.lines().filter(|line| line.contains("- tmpfs weir "));
        assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(!Path::new("/sys/fs/bpf/udp").exists());
        let links = fs::read_to_string("/proc/self/net/dev").unwrap();
        assert!(!links.contains("drill-") && !links.contains("honest"), "{links}");
    }
}

/// Whether an XDP daemon of this process number answers: its socket is there.
fn is_attached(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}/root/sys/fs/bpf/udp/run/weir.sock")).exists()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Its children, and theirs.
fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<(u32, u32)> = processes().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(above) = found.get(at).copied() {
        found.extend(all.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// Its process, mount and network namespaces.
fn namespaces(pid: u32) -> Vec<u64> {
    let inode = |kind: &str| fs::metadata(format!("/proc/{pid}/ns/{kind}")).ok().map(|file| file.ino());
    ["pid", "mnt", "net"].into_iter().filter_map(inode).collect()
}

fn interfaces(namespace: &str) -> Vec<String> {
    weir_tests::harness::netns::inside(namespace, || {
        weir::adapters::system::interfaces::list().unwrap().into_iter().map(|interface| interface.name).collect()
    })
}
