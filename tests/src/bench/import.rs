//! A whole list: from the command to the first dropped packet, and what the daemon keeps of it in memory.
use std::env;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use weir_common::verdict::Verdict;

use super::lists;
use super::spread::Spread;
use crate::frames::V4;
use crate::harness::{Plan, Site};

/// Addresses of a list that is made because there is no real one.
pub const MADE: u64 = 120_000;

/// Addresses of the longest list.
pub const LONGEST: u64 = 1_000_000;

/// How long a daemon is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// How long an import may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An import's cost.
#[derive(Clone, Debug, Serialize)]
pub struct Import {
    /// Which list.
    pub list: String,
    /// Its entries.
    pub entries: usize,
    /// From the start of `weir block import` to the first dropped packet, in milliseconds.
    pub enforced_ms: Spread,
    /// To the command's end: enforced, stored and answered.
    pub answered_ms: Spread,
    /// The daemon's resident memory afterwards, above that of an idle one, in MiB.
    pub memory_mib: Spread,
    /// The most it ever took, above that of an idle one, in MiB.
    pub peak_mib: Spread,
    /// An idle daemon's, in MiB.
    pub idle_mib: Spread,
}

/// A list's name and text: the real one where `WEIR_DATA` has it, else one that is made.
#[derive(Clone, Debug)]
pub struct List {
    /// Which it is.
    pub name: String,
    /// What is imported.
    pub text: String,
}

impl List {
    /// The list to import.
    ///
    /// # Errors
    /// Where the real one is there and cannot be read.
    pub fn find() -> Result<Self> {
        let path = env::var_os("WEIR_DATA").map(|folder| PathBuf::from(folder).join("feeds/ipsum.txt"));
        let Some(path) = path.filter(|path| path.exists()) else {
            return Ok(Self { name: "made".to_owned(), text: lists::text(MADE) });
        };
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self { name: "ipsum".to_owned(), text })
    }

    /// The lists that are measured: the one above, and the longest.
    ///
    /// # Errors
    /// As [`List::find`].
    pub fn all() -> Result<[Self; 2]> {
        Ok([Self::find()?, Self { name: "million".to_owned(), text: lists::text(LONGEST) }])
    }

    /// Its addresses, in the file's order.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let word = |line: &str| line.split_whitespace().next()?.parse().ok();
        self.text.lines().filter_map(word).collect()
    }
}

/// Imports a list into so many fresh daemons.
///
/// # Errors
/// Where an import fails or is never enforced.
pub fn measure(list: List, rounds: usize, progress: &mut impl Write, stop: &AtomicBool) -> Result<Import> {
    super::rig::require_root()?;
    let addresses = list.addresses();
    let probe = *addresses.last().context("an empty list")?;
    let (mut enforced, mut answered) = (Vec::new(), Vec::new());
    let (mut memory, mut peak, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        super::go_on(stop)?;
        writeln!(progress, "import: {} with {} addresses, round {round} of {rounds}", list.name, addresses.len())?;
        let site = Site::of(&Plan { alone: true, ..Plan::default() });
        let file = site.place.file("list.txt", &list.text);
        thread::sleep(SETTLE);
        let mib = |line| kibibytes_as_mib(site.daemon().kibibytes(line));
        let before = mib("VmRSS");
        let watching = AtomicBool::new(true);
        let (start, dropped, done) = thread::scope(|scope| {
            let watcher = scope.spawn(|| first_drop(&site, probe, &watching));
            let start = Instant::now();
            let said = site.weir(&["block", "import", &file, "--name", &list.name]);
            let done = start.elapsed();
            let dropped = (said.code == Some(0)).then(|| watcher.join());
            watching.store(false, Ordering::Relaxed);
            ensure!(said.code == Some(0), "weir block import: {}", said.err);
            let dropped = dropped.and_then(Result::ok).flatten().context("the import was never enforced")?;
            Ok((start, dropped, done))
        })?;
        thread::sleep(SETTLE);
        enforced.push(milliseconds(dropped.saturating_duration_since(start)));
        answered.push(milliseconds(done));
        idle.push(before);
        memory.push(mib("VmRSS") - before);
        peak.push(mib("VmHWM") - before);
    }
    Ok(Import {
        list: list.name,
        entries: addresses.len(),
        enforced_ms: Spread::of(enforced),
        answered_ms: Spread::of(answered),
        memory_mib: Spread::of(memory),
        peak_mib: Spread::of(peak),
        idle_mib: Spread::of(idle),
    })
}

/// Sends packets of a source that will be listed, one at a time, until one is dropped.
fn first_drop(site: &Site, source: Ipv4Addr, watching: &AtomicBool) -> Option<Instant> {
    let reader = site.place.reader();
    let sender = site.links[0].sender.another();
    let frame = [V4::from(source.octets()).frame()];
    let denied = || reader.counters().enforced[Verdict::Denied.slot() as usize].packets;
    let start = Instant::now();
    while watching.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
        sender.send(&frame);
        if denied() > 0 {
            return Some(Instant::now());
        }
        thread::sleep(Duration::from_micros(200));
    }
    None
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn kibibytes_as_mib(kibibytes: u64) -> f64 {
    u32::try_from(kibibytes).map_or(f64::INFINITY, |kibibytes| f64::from(kibibytes) / 1024.0)
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(import: &Import, out: &mut impl Write) -> Result<()> {
    if import.entries == 0 {
        bail!("nothing was imported");
    }
    writeln!(out, "import: {} ({} addresses), median [min..max]", import.list, import.entries)?;
    writeln!(out, "  command to first drop   {:>8.0} ms", import.enforced_ms)?;
    writeln!(out, "  command to answer       {:>8.0} ms", import.answered_ms)?;
    writeln!(out, "  memory above idle       {:>8.1} MiB", import.memory_mib)?;
    writeln!(out, "  peak above idle         {:>8.1} MiB", import.peak_mib)?;
    writeln!(out, "  memory of an idle one   {:>8.1} MiB", import.idle_mib)?;
    Ok(())
}
