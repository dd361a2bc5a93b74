//! Feeds behind the real daemon: followed, refused, kept.
#[path = "../../../controller/src/adapters/feeds/tests/cases.rs"]
mod cases;
mod checked;
mod combined;
mod followed;
mod hostile;
mod kept;
mod poisoned;
#[path = "../../../controller/src/adapters/feeds/tests/server.rs"]
#[expect(dead_code, reason = "the controller's own tests use all of it")]
mod server;
mod web;

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir::domain::report::{FeedRow, FeedState, RefreshReport};
use weir_tests::frames::V4;
use weir_tests::harness::command::Said;
use weir_tests::harness::{PATIENCE, Plan, Site, wait_for};

/// Feeds may not name documentation space, so that their samples are of the public one.
const PUBLIC: u8 = 45;

/// A frame from an address.
fn from(source: &str) -> Vec<u8> {
    V4::from(source.parse::<Ipv4Addr>().unwrap().octets()).frame()
}

/// All feeds, as `weir feeds list` tells.
#[track_caller]
fn feeds(site: &Site) -> Vec<FeedRow> {
    serde_json::from_str(&site.weir(&["-o", "json", "feeds", "list"]).well()).unwrap()
}

/// One of them.
#[track_caller]
fn feed(site: &Site, name: &str) -> FeedRow {
    let rows = feeds(site);
    rows.into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no feed {name}"))
}

/// Waits until the first answers of all feeds are in force.
#[track_caller]
fn all_in_force(site: &Site) -> Vec<FeedRow> {
    let mut last = Vec::new();
    let patience = 3 * PATIENCE;
    let start = Instant::now();
    while start.elapsed() < patience {
        last = feeds(site);
        if !last.is_empty() && last.iter().all(|row| row.state == FeedState::Ok) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    last.retain(|row| row.state != FeedState::Ok);
    panic!("not in force after {patience:?}: {last:#?}\n{}", site.daemon().log());
}

/// Has feeds asked now, and hands on what the command said.
fn refreshed(site: &Site, words: &[&str]) -> Said {
    let words: Vec<&str> = ["-o", "json", "feeds", "refresh"].into_iter().chain(words.iter().copied()).collect();
    site.weir(&words)
}

/// Has feeds asked now, all of them well.
#[track_caller]
fn refresh(site: &Site, words: &[&str]) -> RefreshReport {
    serde_json::from_str(&refreshed(site, words).well()).unwrap()
}

/// Waits until the feeds' hosts are protected, which takes a new policy, and says which policy is in force then.
#[track_caller]
fn settled(site: &Site, hosts: impl IntoIterator<Item = u8>) -> u64 {
    for host in hosts {
        let host = format!("127.0.0.{host}");
        wait_for(&format!("{host} is protected"), PATIENCE, || site.api().explain(&host).protected);
    }
    // Answered when all that was begun before it is in force.
    site.weir(&["enforcement", "enforce"]).well();
    site.api().status().generation
}

/// How many requests of a feed came to this.
fn outcome(row: &FeedRow, outcome: &str) -> u64 {
    row.outcomes.get(outcome).copied().unwrap_or(0)
}

/// Files that feeds are in, in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("weir-feeds-").tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in place by renaming, as feeds should be.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = self.path(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// The configuration of a feed in one of them.
    fn feed(&self, name: &str, more: &str) -> String {
        of_file(name, &self.path(name), more)
    }
}

fn of_file(name: &str, file: &Path, more: &str) -> String {
    format!("[[feeds]]\nname = \"{name}\"\nfile = \"{}\"\n{more}\n", file.display())
}

/// So many addresses of a network of this place's own.
fn list(place: u8, count: u32) -> String {
    let mut text = String::new();
    for at in 0..count {
        let [_, _, high, low] = (at + 1).to_be_bytes();
        writeln!(text, "{PUBLIC}.{place}.{high}.{low}").unwrap();
    }
    text
}

/// Waits until a feed's row is as wanted.
#[track_caller]
fn wait_for_feed(site: &Site, name: &str, what: &str, wanted: impl Fn(&FeedRow) -> bool) -> FeedRow {
    let start = Instant::now();
    loop {
        let rows = feeds(site);
        if let Some(row) = rows.iter().find(|row| row.name == name && wanted(row)) {
            return row.clone();
        }
        assert!(start.elapsed() < PATIENCE, "feed {name}: {what}: {rows:#?}\n{}", site.daemon().log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A site of which nothing is started yet, with its loopback up.
fn idle(plan: &Plan<'_>) -> Site {
    let site = Site::idle(plan);
    site.server.ip(&["link", "set", "lo", "up"]);
    site
}
