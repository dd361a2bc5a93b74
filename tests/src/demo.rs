//! `cargo xtask demo`: a real server behind weir, a real client that keeps fetching, and a flood that is stopped.
//!
//! All of it runs in two network namespaces of its own, with a daemon, state and pins of its own; everything is taken
//! down at the end, also by an error or a signal.
pub mod flood;
pub mod packets;
pub mod phase;
pub mod screen;
pub mod web;

use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser;

use crate::bench::import::List;
use crate::bench::machine::Machine;
use crate::bench::rig::require_root;
use crate::frames::SERVER_V4;
use crate::harness::ledger::Ledger;
use crate::harness::{Plan, Site, wait_for};
use flood::{Flood, Sent};
use packets::Capture;
use phase::{Moment, Span, thousands};
use screen::Screen;
use web::Fetches;

/// The client's address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The server's gateway: where answers to all others go.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Packets a second that any one source may send. The client needs some 1,500.
const LIMIT: u64 = 5_000;

/// What is left of a phase and not worth a line of its own.
const SHORT: Duration = Duration::from_millis(300);

/// Pages of a hundred that must come during the flood.
const MUST_COME: usize = 99;

/// A flood stopped at the interface while an ordinary client goes on working, in namespaces of its own.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir-demo", max_term_width = 100)]
pub struct Args {
    /// How long it takes in all: a fifth before the flood, a fifth after it
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub seconds: u64,
    /// Packets a second from listed sources
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub listed: u64,
    /// Packets a second from one loud source that is on no list
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub loud: u64,
}

/// Runs the demo.
///
/// # Errors
/// Where it cannot be set up, was stopped, nothing was dropped, or the client did not go on working.
pub fn run(args: &Args, out: impl Write, is_terminal: bool, stop: &AtomicBool) -> Result<()> {
    require_root()?;
    let mut screen = Screen::new(out, is_terminal);
    let list = List::find()?;
    let capture = Capture::find(web::PORT)?;
    let addresses = list.addresses();
    screen.say(&format!("{}\n", Machine::this()))?;
    let site = stage()?;
    let status = site.api().status();
    let attached: Vec<String> = status
        .interfaces
        .iter()
        .map(|interface| format!("{} ({})", interface.name, interface.mode.as_deref().unwrap_or("not attached")))
        .collect();
    let file = site.place.file("list.txt", &list.text);
    let start = Instant::now();
    let said = site.weir(&["block", "import", &file, "--name", &list.name]);
    let imported = start.elapsed();
    ensure!(said.code == Some(0), "weir block import: {}", said.err);
    let server = Ipv4Addr::from(SERVER_V4);
    screen.say(&format!("server   http://{server}:{}/ behind weir on {}", web::PORT, attached.join(", ")))?;
    screen.say(&format!("client   {CLIENT}, fetching pages all the while, each over a connection of its own"))?;
    screen.say(&format!(
        "list     {}: {} addresses, imported in {:.2} s",
        list.name,
        thousands(addresses.len() as u64),
        imported.as_secs_f64()
    ))?;
    screen.say(&format!("limit    {} packets a second for each source that is on no list", thousands(LIMIT)))?;
    screen.say(&format!(
        "flood    {} SYNs a second from listed sources, {} datagrams a second from {}",
        thousands(args.listed),
        thousands(args.loud),
        flood::LOUD
    ))?;
    screen.say(&match &capture {
        Some(capture) => format!(
            "capture  {}: {} SYNs from {} sources in {:.0} s, replayed at its own pace",
            capture.name,
            thousands(capture.packets.len() as u64),
            thousands(capture.sources as u64),
            capture.lasts.as_secs_f64()
        ),
        None => "capture  none: WEIR_DATA names no folder with pcap/pkt.TCP.synflood.spoofed.pcap".to_owned(),
    })?;
    let listed: Vec<Ipv4Addr> = addresses.into_iter().filter(|address| !is_ours(*address)).collect();
    let flood = Flood::new(&listed, args.listed, args.loud, web::PORT, capture.clone())?;
    let (sent, cookies) = (Sent::default(), syn_cookies(&site));
    let [before, during, after] = play(args, &site, &flood, &sent, &mut screen, stop)?;
    screen.summary(&before, &during, &after)?;
    if let Some(capture) = &capture {
        screen.say(&about(capture, &sent, syn_cookies(&site).saturating_sub(cookies)))?;
    }
    judge(&during)?;
    screen.say("the flood was dropped at the interface and the client went on working")?;
    Ok(())
}

/// The namespaces, the addresses, the daemon.
fn stage() -> Result<Site> {
    let config = format!("[limits.source]\npackets_per_second = {LIMIT}");
    let mut site = Site::idle(&Plan { config: &config, ..Plan::default() });
    let peer = site.links.first().context("no interface")?.peer.clone();
    site.client.ip(&["link", "set", &peer, "arp", "on"]);
    for address in [CLIENT, GATEWAY] {
        site.client.ip(&["address", "add", &format!("{address}/24"), "dev", &peer]);
    }
    site.server.ip(&["route", "add", "default", "via", &GATEWAY.to_string()]);
    site.start();
    Ok(site)
}

fn is_ours(address: Ipv4Addr) -> bool {
    address.octets().starts_with(&[203, 0, 113])
}

/// Runs server, client and flood, and shows them second by second.
fn play<W: Write>(
    args: &Args,
    site: &Site,
    flood: &Flood,
    sent: &Sent,
    screen: &mut Screen<W>,
    stop: &AtomicBool,
) -> Result<[Span; 3]> {
    let [serving, visiting, flooding] = [(); 3].map(|()| AtomicBool::new(true));
    let (serving, visiting, flooding, fetches) = (&serving, &visiting, &flooding, &Fetches::default());
    let server = Ipv4Addr::from(SERVER_V4);
    let moments = thread::scope(|scope| {
        // Whatever happens, all threads end.
        let _end = Ending([serving, visiting, flooding]);
        scope.spawn(move || report(site.server.inside(|| web::serve(serving))));
        let visits = scope.spawn(move || report(site.client.inside(|| web::visit(CLIENT, server, fetches, visiting))));
        wait_for("the first page", Duration::from_secs(10), || (!fetches.is_empty()).then_some(()));
        let moment = || Moment {
            at: Instant::now(),
            ledger: Ledger::of_status(&site.api().status()),
            offered: sent.all(),
            lost: lost(site),
        };
        let fifth = Duration::from_secs(args.seconds) / 5;
        let first = moment();
        let mut moments = vec![first.clone()];
        for (phase, lasts) in [("before", fifth), ("during", fifth * 3), ("after", fifth)] {
            match phase {
                "during" => flood.start(scope, &site.links[0].sender, sent, flooding),
                "after" => flooding.store(false, Ordering::Relaxed),
                _ => {}
            }
            let mut last = moments.last().unwrap_or(&first).clone();
            let end = last.at + lasts;
            while last.at + SHORT < end {
                sleep_until(end.min(last.at + Duration::from_secs(1)), stop)?;
                let now = moment();
                let since = |from: &Moment| Span::between(from, &now, &fetches.ended(from.at, now.at));
                screen.second(now.at.duration_since(first.at), phase, &since(&last), &since(&first))?;
                last = now;
            }
            moments.push(last);
        }
        visiting.store(false, Ordering::Relaxed);
        // A panic there is this one's too, when the scope ends.
        drop(visits.join());
        anyhow::Ok(moments)
    })?;
    let spans = moments.windows(2).filter_map(|pair| {
        let [from, to] = pair else { return None };
        Some(Span::between(from, to, &fetches.asked(from.at, to.at)))
    });
    spans.collect::<Vec<_>>().try_into().map_err(|_others| anyhow!("three phases make three spans"))
}

fn sleep_until(end: Instant, stop: &AtomicBool) -> Result<()> {
    loop {
        ensure!(!stop.load(Ordering::Relaxed), "stopped before the end");
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// A thread's failure, said at once: what follows from it would be a riddle.
fn report(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error:#}");
    }
}

/// Ends threads when it goes.
struct Ending<'a>([&'a AtomicBool; 3]);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for flag in self.0 {
            flag.store(false, Ordering::Relaxed);
        }
    }
}

/// What became of the capture, said plainly.
fn about(capture: &Capture, sent: &Sent, cookies: u64) -> String {
    format!(
        "About the capture: {} of its SYNs were replayed. Nearly each of its {} sources sends one packet and is on no\n\
         list, so neither a list nor a limit for a single source can tell it from a new visitor, and weir let them pass.\n\
         The server's own kernel had to defend itself: it answered {} SYNs with cookies. Doing that at the interface is\n\
         what will stop such a flood there; weir cannot do it yet.",
        thousands(sent.capture.load(Ordering::Relaxed)),
        thousands(capture.sources as u64),
        thousands(cookies)
    )
}

/// Packets that found the queue between the namespaces full; 0 where the interface does not say.
fn lost(site: &Site) -> u64 {
    let links = site.client.ip(&["-s", "-j", "link", "show", "dev", &site.links[0].peer]);
    let links: serde_json::Value = serde_json::from_str(&links).unwrap_or_default();
    links.pointer("/0/stats64/tx/dropped").and_then(serde_json::Value::as_u64).unwrap_or(0)
}

/// SYN cookies that the server's kernel has sent; 0 where it does not say.
fn syn_cookies(site: &Site) -> u64 {
    let text = site.server.inside(|| std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap_or_default());
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split_whitespace().position(|name| name == "SyncookiesSent");
    at.and_then(|at| values.split_whitespace().nth(at)?.parse().ok()).unwrap_or(0)
}

fn judge(during: &Span) -> Result<()> {
    ensure!(during.dropped() > 0, "nothing was dropped");
    let came = during.pages.asked - during.pages.failed;
    ensure!(
        during.pages.asked > 0 && came * 100 >= during.pages.asked * MUST_COME,
        "the client did not go on working: {came} of {} pages came during the flood",
        during.pages.asked
    );
    Ok(())
}
