//! From a line in a real nginx's log to the first dropped packet, while other lines come.
use std::io::{Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use socket2::{Domain, Socket, Type};
use weir_common::verdict::Verdict;

use super::add::{Times, times};
use super::import::milliseconds;
use crate::frames::{SERVER_V4, V4};
use crate::harness::{PATIENCE, Plan, Site, wait_for};
use crate::nginx::{Nginx, PAGES};

/// Lines a second that other visitors cause.
const LINES: u64 = 10_000;
/// Requests that are sent at once, on a connection that stays open.
const BURST: u64 = 20;
/// Connections that visitors come through: proxies, who say for whom they ask.
const PROXIES: u64 = 4;
/// Visitors behind them.
const VISITORS: u64 = 20_000;
/// How long the load runs before anything is measured.
const WARM: Duration = Duration::from_secs(2);
/// Between two packets of an attacker.
const BETWEEN: Duration = Duration::from_micros(200);
/// What 99 of 100 must be dropped within, in milliseconds.
const GOAL_MS: f64 = 50.0;
/// Attackers at the most: each has an address of its own.
pub const MOST: u32 = 150;

/// What is measured.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// Attacks.
    pub tries: u32,
    /// Lines a second that were written meanwhile.
    pub lines_per_second: f64,
    /// From the end of nginx's answer, before which its line cannot be written, to the first drop.
    pub answer_to_drop_ms: Times,
    /// From the attacker's first packet to the first drop.
    pub request_to_drop_ms: Times,
}

/// Lets so many attackers send one request each.
///
/// # Errors
/// Where nginx does not answer, or an attacker is not dropped.
pub fn measure(tries: u32, progress: &mut impl Write, stop: &AtomicBool) -> Result<Live> {
    super::rig::require_root()?;
    let tries = tries.min(MOST);
    writeln!(progress, "live: {tries} attackers, one request each, among {LINES} lines a second")?;
    let mut nginx = Nginx::idle(
        "    keepalive_requests 100000000;\n    set_real_ip_from 203.0.113.0/28;\n    real_ip_header X-Forwarded-For;",
    );
    let config = format!("[[logs]]\npaths = [\"{}\"]\n[rules]\nenabled = true\n", nginx.access_log().display());
    let site = Site::of(&Plan { config: &config, alone: true, ..Plan::default() });
    let peer = site.links.first().context("no interface")?.peer.clone();
    site.client.ip(&["link", "set", &peer, "arp", "on"]);
    for last in (1..=u8::try_from(PROXIES)?).chain((0..u8::try_from(tries)?).map(|at| 100 + at)) {
        site.client.ip(&["address", "add", &format!("{}/24", address(last)), "dev", &peer]);
    }
    nginx.run(&site.server);
    let (on, sent) = (AtomicBool::new(true), AtomicU64::new(0));
    let (mut by_answer, mut by_request) = (Vec::new(), Vec::new());
    let lines_per_second = thread::scope(|scope| {
        let _off = Off(&on);
        for proxy in 0..PROXIES {
            let (site, on, sent) = (&site, &on, &sent);
            scope.spawn(move || site.client.inside(|| relay(proxy, on, sent)));
        }
        let start = Instant::now();
        wait_for("the load", PATIENCE, || {
            (start.elapsed() > WARM && sent.load(Ordering::Relaxed) > LINES).then_some(())
        });
        let (from, before) = (Instant::now(), nginx.requests());
        for at in 0..u8::try_from(tries)? {
            super::go_on(stop)?;
            let (asked, answered, dropped) = attack(&site, address(100 + at))?;
            by_request.push(milliseconds(dropped.saturating_duration_since(asked)));
            by_answer.push(milliseconds(dropped.saturating_duration_since(answered)));
        }
        let lines = u32::try_from(nginx.requests() - before)?;
        anyhow::Ok(f64::from(lines) / from.elapsed().as_secs_f64())
    })?;
    Ok(Live { tries, lines_per_second, answer_to_drop_ms: times(by_answer), request_to_drop_ms: times(by_request) })
}

const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, last)
}

struct Off<'a>(&'a AtomicBool);

impl Drop for Off<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A connection from an address of the calling thread's namespace.
fn connect(from: Ipv4Addr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).context("a socket")?;
    socket.bind(&SocketAddr::from((from, 0)).into()).with_context(|| format!("bind {from}"))?;
    socket.connect_timeout(&SocketAddr::from((SERVER_V4, 80)).into(), PATIENCE).context("connect")?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).context("a setting of the socket")?;
    stream.set_read_timeout(Some(PATIENCE)).context("a setting of the socket")?;
    Ok(stream)
}

/// Asks for pages on one connection, in bursts, as fast as its share of the load.
fn relay(proxy: u64, on: &AtomicBool, sent: &AtomicU64) {
    let last = u8::try_from(proxy + 1).unwrap_or(1);
    let mut stream = connect(address(last)).expect("a proxy's connection");
    let mut reading = stream.try_clone().expect("another handle");
    let pause =
        Duration::from_secs(1) * u32::try_from(BURST * PROXIES).expect("few") / u32::try_from(LINES).expect("few");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            // Until the writer shuts the connection down.
            while matches!(reading.read(&mut buffer), Ok(read) if read > 0) {}
        });
        let start = Instant::now();
        let mut bursts = 0u32;
        while on.load(Ordering::Relaxed) {
            let requests: Vec<String> = (0..BURST)
                .map(|at| {
                    let number = u64::from(bursts) * BURST + at;
                    let (page, visitor) = (number % PAGES as u64, (number * PROXIES + proxy) * 7919 % VISITORS);
                    let visitor = Ipv4Addr::from_bits(0xc612_0000 + u32::try_from(visitor).unwrap_or_default());
                    format!(
                        "GET /pages/{page}.html HTTP/1.1\r\nHost: www.example.org\r\nX-Forwarded-For: {visitor}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nReferer: http://www.example.org/\r\n\r\n"
                    )
                })
                .collect();
            stream.write_all(requests.concat().as_bytes()).expect("nginx reads on");
            sent.fetch_add(BURST, Ordering::Relaxed);
            bursts += 1;
            let due = start + pause * bursts;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        stream.shutdown(std::net::Shutdown::Both).expect("the connection ends");
    });
}

/// One request with an attack in it; when it was begun, when its answer had come, and when the kernel first dropped a
/// packet of the attacker's.
fn attack(site: &Site, from: Ipv4Addr) -> Result<(Instant, Instant, Instant)> {
    let reader = site.place.reader();
    let counted = || reader.counters().enforced[Verdict::Rule.slot() as usize].packets;
    let before = counted();
    let (asked, answered) = site.client.inside(|| {
        let asked = Instant::now();
        let mut stream = connect(from)?;
        let request = "GET /item?id=1%27%20UNION%20ALL%20SELECT%20NULL%2Cuser%2Cpassword%20FROM%20information_schema.tables--%20- HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).context("send a request")?;
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).context("read nginx's answer")?;
        ensure!(read > 0, "nginx gave no answer");
        anyhow::Ok((asked, Instant::now()))
    })?;
    let frame = [V4::from(from.octets()).frame()];
    let start = Instant::now();
    while counted() == before {
        ensure!(start.elapsed() < PATIENCE, "{from} was not dropped");
        site.links[0].sender.send(&frame);
        // A CPU of its own would be a CPU less for the daemon.
        thread::sleep(BETWEEN);
    }
    Ok((asked, answered, Instant::now()))
}

/// The figures as text.
///
/// # Errors
/// The writer's.
pub fn print(live: &Live, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "live: {} attackers among {:.0} lines a second, ms      p50     p99     max",
        live.tries, live.lines_per_second
    )?;
    for (what, times) in [
        ("nginx's answer to first dropped packet", live.answer_to_drop_ms),
        ("request to first dropped packet", live.request_to_drop_ms),
    ] {
        writeln!(out, "  {what:<42} {:>6.2}  {:>6.2}  {:>6.2}", times.p50, times.p99, times.max)?;
    }
    let reached = if live.answer_to_drop_ms.p99 < GOAL_MS { "reached" } else { "not reached" };
    writeln!(out, "  the goal of {GOAL_MS:.0} ms p99 is {reached}")?;
    Ok(())
}
