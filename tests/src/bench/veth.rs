//! A flood over a veth pair, end to end: generator, pair and filter on one CPU, every source listed.
//!
//! Each filter has a pair of its own, and they take turns of a fraction of a second: a machine that changes its speed
//! changes it for all of them.
use std::fmt::Write as _;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use serde::Serialize;
use weir::adapters::kernel::sys;

use super::lists::address;
use super::rig::{Family, Numbers, Program, Rig};
use super::spread::Spread;
use super::tables::{MILLION, cidr, deny};
use crate::harness::netns::{Link, Namespace};
use crate::kernel::stay_on_one_cpu;

/// Packets of a turn.
const PACKETS: u32 = 500_000;
/// Turns for each round that is asked for: a turn is short.
const TURNS: usize = 5;

/// One filter's rate.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What drops.
    pub what: &'static str,
    /// Its drop rate as a share of the empty program's in the same round.
    pub share: Spread,
    /// Million packets a second.
    pub mpps: Spread,
}

/// What is sent to, and what drops there.
struct Pair {
    what: &'static str,
    link: Link,
    index: u32,
    /// Held: the program goes with it.
    _attached: Option<OwnedFd>,
}

/// Measures.
///
/// # Errors
/// Where something cannot be attached, and where a packet that had to be dropped was not.
pub fn measure(rounds: usize, progress: &mut impl Write, stop: &AtomicBool) -> Result<Vec<Row>> {
    writeln!(progress, "veth: a million addresses, in weir and in nftables")?;
    let listed: Vec<_> = (0..MILLION).map(|number| address(Family::V4, number)).collect();
    let mut rig = Rig::load()?;
    rig.fill(&deny(std::slice::from_ref(&listed))?)?;
    let (server, client) = (Namespace::new("filters"), Namespace::new("flood"));
    let xdp = |what, name, program: BorrowedFd<'_>| -> Result<Pair> {
        let link = Link::new(&server, &client, name);
        let index = index(&server, &link.name)?;
        let attached = server.inside(|| sys::link_create(program, index, 1 << 2)).context("attach natively")?;
        Ok(Pair { what, index: self::index(&client, &link.peer)?, link, _attached: Some(attached) })
    };
    let mut pairs = vec![
        xdp(EMPTY, "empty", rig.program(Program::Empty))?,
        xdp("a read of one line, no verdict", "line", rig.program(Program::OneLine))?,
        xdp(WEIR, "weir", rig.program(Program::Weir))?,
    ];
    rig.read_one_line(0);
    pairs.push(nftables(&server, &client, &listed)?);
    let mut rows = rows(&mut rig, &server, &client, &pairs, rounds, stop)?;
    writeln!(progress, "veth: 100,000 CIDR besides")?;
    rig.fill(&deny(&[listed, cidr(Family::V4, 0, 100_000)])?)?;
    pairs.retain(|pair| [EMPTY, WEIR].contains(&pair.what));
    let besides = self::rows(&mut rig, &server, &client, &pairs, rounds, stop)?;
    rows.extend(
        besides.into_iter().filter(|row| row.what == WEIR).map(|row| Row { what: "weir, 100k CIDR besides", ..row }),
    );
    Ok(rows)
}

const EMPTY: &str = "empty XDP_DROP";
const WEIR: &str = "weir";
const NFTABLES: &str = "nftables, a set at ingress";

fn rows(
    rig: &mut Rig,
    server: &Namespace,
    client: &Namespace,
    pairs: &[Pair],
    rounds: usize,
    stop: &AtomicBool,
) -> Result<Vec<Row>> {
    let mut rates = vec![Vec::new(); pairs.len()];
    for turn in 0..=rounds * TURNS {
        super::go_on(stop)?;
        for (pair, rates) in pairs.iter().zip(&mut rates) {
            let rate = flood(rig, server, client, pair)?;
            // The first turn warms up.
            if turn > 0 {
                rates.push(rate);
            }
        }
    }
    let base = rates.first().cloned().unwrap_or_default();
    Ok(pairs
        .iter()
        .zip(rates)
        .map(|(pair, rates)| Row {
            what: pair.what,
            share: Spread::of(rates.iter().zip(&base).map(|(rate, base)| rate / base)),
            mpps: Spread::of(rates),
        })
        .collect())
}

/// Million packets a second that arrived at the filter; none of them came through.
fn flood(rig: &mut Rig, server: &Namespace, client: &Namespace, pair: &Pair) -> Result<f64> {
    let numbers = Numbers { first: 0, count: MILLION };
    let (arrived, passed) = (arrived(server, &pair.link.name)?, passed(server)?);
    let took = client.inside(|| {
        stay_on_one_cpu()?;
        let start = Instant::now();
        rig.transmit(numbers, PACKETS, pair.index)?;
        anyhow::Ok(start.elapsed())
    })?;
    let arrived = self::arrived(server, &pair.link.name)? - arrived;
    ensure!(arrived > u64::from(PACKETS) / 2, "{}: {arrived} of {PACKETS} packets arrived", pair.what);
    let passed = self::passed(server)? - passed;
    ensure!(passed == 0, "{}: {passed} of {arrived} packets of listed sources came through", pair.what);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(arrived as f64 / took.as_secs_f64() / 1e6)
}

/// Packets that the receiving end took from its ring so far.
fn arrived(server: &Namespace, name: &str) -> Result<u64> {
    let text = inside(server, &["ethtool", "-S", name])?;
    let counts = text.lines().filter_map(|line| line.trim().split_once("_xdp_packets: "));
    counts.filter(|(queue, _)| queue.starts_with("rx_queue_")).try_fold(0, |sum, (_, count)| {
        Ok(sum + count.trim().parse::<u64>().with_context(|| format!("ethtool -S: {count}"))?)
    })
}

/// Packets that IP received so far.
fn passed(server: &Namespace) -> Result<u64> {
    let text = inside(server, &["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, numbers) = lines.next().zip(lines.next()).context("no counts of IP in /proc/net/snmp")?;
    let found = names.split(' ').zip(numbers.split(' ')).find(|(name, _)| *name == "InReceives");
    found.context("no InReceives in /proc/net/snmp")?.1.parse().context("InReceives")
}

fn inside(namespace: &Namespace, command: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(["netns", "exec", namespace.name()]).args(command).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn index(namespace: &Namespace, name: &str) -> Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: a string that ends with 0.
    let index = namespace.inside(|| unsafe { libc::if_nametoindex(name.as_ptr()) });
    ensure!(index != 0, "no interface {name:?}");
    Ok(index)
}

/// A pair whose receiving end has a set of addresses in nftables, at the earliest hook there is.
fn nftables(server: &Namespace, client: &Namespace, listed: &[IpNet]) -> Result<Pair> {
    let link = Link::new(server, client, "nft");
    // Without an XDP program the receiving end takes packets one by one unless it merges them.
    inside(server, &["ethtool", "-K", &link.name, "gro", "on"])?;
    let mut rules = format!("table netdev f {{ set s {{ type ipv4_addr; size {}; elements = {{\n", 2 * listed.len());
    for net in listed {
        writeln!(rules, "{},", net.addr())?;
    }
    writeln!(
        rules,
        "}} }}\nchain c {{ type filter hook ingress device {} priority -500; ip saddr @s drop; }}\n}}",
        link.name
    )?;
    let mut nft = Command::new("ip")
        .args(["netns", "exec", server.name(), "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("nft")?;
    nft.stdin.take().context("nft's input")?.write_all(rules.as_bytes())?;
    let status = nft.wait()?;
    ensure!(status.success(), "nft refused a set of {} addresses: {status}", listed.len());
    Ok(Pair { what: NFTABLES, index: index(client, &link.peer)?, link, _attached: None })
}

/// Prints it for people.
///
/// # Errors
/// The writer's.
pub fn print(rows: &[Row], rounds: usize, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "\nveth: drop rate of a flood, every source one of a million listed, one CPU; {} turns of {PACKETS} packets each",
        rounds * TURNS
    )?;
    writeln!(out, "{:<34}{:<24}million packets a second", "what drops", "share of the empty one")?;
    for Row { what, share, mpps } in rows {
        writeln!(out, "{what:<34}{:<24}{mpps:.1}", format!("{share:.2}"))?;
    }
    Ok(())
}
