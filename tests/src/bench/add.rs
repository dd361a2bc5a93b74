//! One address: from `block add` to its first dropped packet.
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use weir::adapters::kernel::reader::KernelReader;
use weir_common::verdict::Verdict;

use super::import::milliseconds;
use super::lists;
use super::rig::Family;
use super::spread::permille;
use crate::frames::V4;
use crate::harness::api::change;
use crate::harness::sender::Sender;
use crate::harness::{Plan, Site, command};

/// Packets that must pass before the address is added.
const BEFORE: u32 = 20;

/// Between two packets of a source; with what the kernel's timers add, some 0.1 ms.
const BETWEEN: Duration = Duration::from_micros(20);

/// How long a drop is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// Half of the tries took at most this.
    pub p50: f64,
    /// 99 of 100 tries took at most this.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// How soon an added address is dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Add {
    /// Tries of each way.
    pub tries: u32,
    /// From the request on an open connection to the first drop.
    pub request_to_drop_ms: Times,
    /// From the request to its answer: in force and in the store.
    pub request_to_answer_ms: Times,
    /// From the start of the `weir block add` process to the first drop.
    pub command_to_drop_ms: Times,
}

/// Tries each way so often, on one daemon.
///
/// # Errors
/// Where an address is refused, or its packets are not dropped.
pub fn measure(tries: u32, progress: &mut impl Write, stop: &AtomicBool) -> Result<Add> {
    super::rig::require_root()?;
    writeln!(progress, "add: {tries} addresses through the socket, {tries} by the command")?;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let (reader, sender) = (site.place.reader(), site.links[0].sender.another());
    let mut connection = site.api().connect()?;
    let (mut by_request, mut to_answer, mut by_command) = (Vec::new(), Vec::new(), Vec::new());
    thread::scope(|scope| {
        let (to_thread, sources) = channel();
        let (to_us, events) = channel();
        scope.spawn(move || send(&reader, &sender, &sources, &to_us));
        for number in 0..u64::from(tries) {
            super::go_on(stop)?;
            let (source, address) = source(number);
            to_thread.send(source)?;
            passing(&events)?;
            let body = serde_json::to_vec(&change(&[&address]))?;
            let start = Instant::now();
            let answer = connection.ask("POST", "/api/block", &body)?;
            to_answer.push(milliseconds(start.elapsed()));
            ensure!(answer.status == 200, "block add {address}: {}", answer.text());
            by_request.push(milliseconds(dropped(&events)?.saturating_duration_since(start)));
        }
        for number in u64::from(tries)..2 * u64::from(tries) {
            super::go_on(stop)?;
            let (source, address) = source(number);
            to_thread.send(source)?;
            passing(&events)?;
            let config = site.place.config().display().to_string();
            let mut weir = command::weir(&["-c", &config, "block", "add", &address]);
            let start = Instant::now();
            let status = weir.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            ensure!(status.success(), "weir block add {address}: {status}");
            by_command.push(milliseconds(dropped(&events)?.saturating_duration_since(start)));
        }
        drop(to_thread);
        anyhow::Ok(())
    })?;
    Ok(Add {
        tries,
        request_to_drop_ms: times(by_request),
        request_to_answer_ms: times(to_answer),
        command_to_drop_ms: times(by_command),
    })
}

/// The spread of times in milliseconds.
pub(super) fn times(mut values: Vec<f64>) -> Times {
    values.sort_by(f64::total_cmp);
    Times { p50: permille(&values, 500), p99: permille(&values, 990), max: permille(&values, 1000) }
}

fn source(number: u64) -> ([u8; 4], String) {
    let address = lists::address(Family::V4, number).addr();
    let octets = match address {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => [0; 4],
    };
    (octets, address.to_string())
}

enum Event {
    /// Packets of the source pass.
    Passing,
    /// The first was dropped.
    Dropped(Instant),
}

fn passing(events: &Receiver<Event>) -> Result<()> {
    match events.recv_timeout(PATIENCE).context("no packet of the source was counted")? {
        Event::Passing => Ok(()),
        Event::Dropped(_) => anyhow::bail!("a packet was dropped before its source was added"),
    }
}

fn dropped(events: &Receiver<Event>) -> Result<Instant> {
    match events.recv_timeout(PATIENCE).context("no packet of the added source was dropped")? {
        Event::Dropped(at) => Ok(at),
        Event::Passing => anyhow::bail!("events are out of order"),
    }
}

/// Sends packets of one source after the other, each source until it is dropped.
fn send(reader: &KernelReader, sender: &Sender, sources: &Receiver<[u8; 4]>, events: &Channel<Event>) {
    let counted = |verdict: Verdict| reader.counters().enforced[verdict.slot() as usize].packets;
    while let Ok(source) = sources.recv() {
        let frame = [V4::from(source).frame()];
        let (denied, passed) = (counted(Verdict::Denied), counted(Verdict::Pass));
        let (start, mut told) = (Instant::now(), false);
        while start.elapsed() < 2 * PATIENCE {
            sender.send(&frame);
            if counted(Verdict::Denied) > denied {
                // Whoever waited has given up if this fails.
                drop(events.send(Event::Dropped(Instant::now())));
                break;
            }
            // A CPU of its own would be a CPU less for the daemon.
            thread::sleep(BETWEEN);
            if !told && counted(Verdict::Pass) >= passed + u64::from(BEFORE) {
                told = true;
                drop(events.send(Event::Passing));
            }
        }
    }
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(add: &Add, out: &mut impl Write) -> Result<()> {
    writeln!(out, "add: {} tries each, ms                p50     p99     max", add.tries)?;
    for (what, times) in [
        ("request to first dropped packet", add.request_to_drop_ms),
        ("request to answer (stored)", add.request_to_answer_ms),
        ("`weir block add` to first dropped packet", add.command_to_drop_ms),
    ] {
        writeln!(out, "  {what:<42} {:>6.2}  {:>6.2}  {:>6.2}", times.p50, times.p99, times.max)?;
    }
    Ok(())
}
