//! Decisions of a real CrowdSec server, followed by weir and, beside it, by the firewall bouncer that is packaged with
//! it: the same decisions of the same server, asked for once a second by both.
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use weir_common::verdict::Verdict;

use super::{Follow, between};
use crate::bench::import::milliseconds;
use crate::crowdsec::{self, VARIABLE, followed::Followed};
use crate::harness::watch::Watch;

/// Decisions, one after the other.
const TRIES: u8 = 9;

/// Decisions at the start.
const MANY: u32 = 100_000;

/// Starts of weir with them.
const STARTS: usize = 5;

/// How long the firewall bouncer may take with them.
const LONGEST: Duration = Duration::from_mins(3);

/// The firewall bouncer's program.
const BOUNCER: &str = "crowdsec-firewall-bouncer";

pub(super) fn measure(follow: &mut Follow, progress: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    let Some(programs) = crowdsec::programs() else {
        follow.skip(format!(
            "CrowdSec: {VARIABLE} names no folder with crowdsec and cscli; `cargo xtask setup` unpacks it"
        ));
        return Ok(());
    };
    let mut followed = Followed::new(true, "", "");
    let bouncer = programs.join(BOUNCER);
    let has_nft = Command::new("nft").arg("-v").stdout(Stdio::null()).status().is_ok();
    if !bouncer.is_file() || !has_nft {
        follow.skip(format!("the nftables bouncer: there is no {}, or no nft", bouncer.display()));
    }
    let bouncer = (bouncer.is_file() && has_nft).then_some(bouncer);
    adds(follow, &followed, bouncer.as_deref(), progress, stop)?;
    many(follow, &mut followed, bouncer.as_deref(), progress, stop)
}

fn adds(
    follow: &mut Follow,
    followed: &Followed,
    bouncer: Option<&Path>,
    progress: &mut impl Write,
    stop: &AtomicBool,
) -> Result<()> {
    writeln!(progress, "follow: {TRIES} decisions of CrowdSec")?;
    let nft = bouncer.map(|program| Bouncer::start(program, followed, "adds")).transpose()?;
    if let Some(nft) = &nft {
        nft.has_its_set()?;
    }
    let (mut cscli, mut drops, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    for last in 1..=TRIES {
        crate::bench::go_on(stop)?;
        let source = [203, 0, 113, last];
        let value = Ipv4Addr::from(source);
        let watch = Watch::start(&followed.site, source, Verdict::Crowdsec);
        let held = nft.as_ref().map(|nft| nft.when_held(value));
        let start = Instant::now();
        followed.lapi.add_decision("ip", &value.to_string(), "1h", "ban")?;
        let told = Instant::now();
        cscli.push(between(start, told));
        drops.push(between(told, watch.seen()));
        if let Some(held) = held {
            let held = held.join().ok().flatten().context("the nftables bouncer never had it in its set")?;
            sets.push(between(told, held));
        }
    }
    follow.row("CrowdSec: `cscli decisions add`, from its start to its end", "ms", cscli);
    follow.row("CrowdSec: end of `cscli decisions add` to first drop, asked each second", "ms", drops);
    if !sets.is_empty() {
        follow.row("nftables bouncer: the same to the element in its set, asked each second", "ms", sets);
    }
    Ok(())
}

fn many(
    follow: &mut Follow,
    followed: &mut Followed,
    bouncer: Option<&Path>,
    progress: &mut impl Write,
    stop: &AtomicBool,
) -> Result<()> {
    writeln!(progress, "follow: {MANY} decisions of CrowdSec at the start, {STARTS} times")?;
    let first = Ipv4Addr::new(198, 18, 0, 0);
    let last = Ipv4Addr::from_bits(first.to_bits() + MANY - 1);
    let id = followed.lapi.decisions()?.first().context("a decision")?.id;
    followed.lapi.stop();
    followed.lapi.multiply(id, first, MANY)?;
    followed.lapi.run()?;
    let key = followed.lapi.add_bouncer("plain")?;
    let entries = u64::from(MANY) + u64::from(TRIES);
    let (mut server, mut starts, mut ready, mut beyond) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        crate::bench::go_on(stop)?;
        // A daemon without anything: what was in force goes with the settings, and must have gone before the next start.
        followed.site.place.configure("");
        followed.site.terminate();
        followed.site.start();
        Watch::start(&followed.site, last.octets(), Verdict::Pass).seen();
        followed.site.terminate();
        followed.configure(&followed.lapi.url(), "", "");
        let (_, alone, _) = followed.lapi.plain_startup(&key)?;
        let start = Instant::now();
        followed.site.start();
        ready.push(milliseconds(start.elapsed()));
        let dropped = Watch::start(&followed.site, last.octets(), Verdict::Crowdsec).seen();
        starts.push(between(start, dropped));
        server.push(milliseconds(alone));
        beyond.push(between(start, dropped) - milliseconds(alone));
        followed.waits("all decisions", |row| row.entries == entries);
    }
    follow.row(
        format!("CrowdSec: the server's answer with {MANY} decisions to a client that only reads"),
        "ms",
        server,
    );
    follow.row("CrowdSec: start of the daemon to ready", "ms", ready);
    follow.row(format!("CrowdSec: start of the daemon to the last of {MANY} decisions dropped"), "ms", starts);
    follow.row("CrowdSec: of that, beyond the server's answer", "ms", beyond);
    let Some(program) = bouncer else { return Ok(()) };
    followed.site.place.configure("");
    followed.site.terminate();
    writeln!(progress, "follow: the same with the nftables bouncer")?;
    let start = Instant::now();
    let nft = Bouncer::start(program, followed, "many")?;
    match nft.when_held(last).join().ok().flatten() {
        Some(held) => {
            follow.row(
                format!("nftables bouncer: its start to the last of {MANY} in its set"),
                "ms",
                vec![between(start, held)],
            );
        }
        None => follow.skip(format!("nftables bouncer: {MANY} decisions were not in its set after {LONGEST:?}")),
    }
    Ok(())
}

/// The firewall bouncer, ended when dropped.
#[derive(Debug)]
struct Bouncer {
    child: Child,
    namespace: String,
    log: PathBuf,
}

impl Bouncer {
    fn start(program: &Path, followed: &Followed, name: &str) -> Result<Self> {
        let key = followed.lapi.add_bouncer(name)?;
        let folder = followed.site.place.folder();
        let at = folder.display();
        let yaml = format!(
            "mode: nftables\npid_dir: {at}/\nupdate_frequency: 1s\ndaemonize: false\nlog_mode: stdout\nlog_dir: {at}/\n\
             log_level: info\napi_url: {}/\napi_key: {key}\ninsecure_skip_verify: false\ndisable_ipv6: false\n\
             deny_action: DROP\ndeny_log: false\nsupported_decisions_types:\n  - ban\n\
             blacklists_ipv4: crowdsec-blacklists\nblacklists_ipv6: crowdsec6-blacklists\n\
             nftables:\n  ipv4:\n    enabled: true\n    set-only: false\n    table: crowdsec\n    chain: crowdsec-chain\n\
             \x20 ipv6:\n    enabled: true\n    set-only: false\n    table: crowdsec6\n    chain: crowdsec6-chain\n\
             nftables_hooks:\n  - input\n  - forward\nprometheus:\n  enabled: false\n",
            followed.lapi.url()
        );
        let config = followed.site.place.file(&format!("{name}.yaml"), yaml);
        let log = folder.join(format!("{name}.log"));
        let said = fs::File::create(&log)?;
        let namespace = followed.site.server.name().to_owned();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace]).arg(program).args(["-c", &config]);
        let child = command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).spawn();
        Ok(Self { child: child.context("start the nftables bouncer")?, namespace, log })
    }

    fn has_its_set(&self) -> Result<()> {
        let start = Instant::now();
        while !nft(&self.namespace, &["list", "table", "ip", "crowdsec"]) {
            let said = || fs::read_to_string(&self.log).unwrap_or_default();
            ensure!(start.elapsed() < LONGEST, "the nftables bouncer made no table: {}", said());
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// When its set holds an address; `None`: not in time. One element is asked for: a listing of the set would cost as
    /// much as what is measured.
    fn when_held(&self, address: Ipv4Addr) -> thread::JoinHandle<Option<Instant>> {
        let (namespace, element) = (self.namespace.clone(), format!("{{ {address} }}"));
        thread::spawn(move || {
            let start = Instant::now();
            while start.elapsed() < LONGEST {
                if nft(&namespace, &["get", "element", "ip", "crowdsec", "crowdsec-blacklists", &element]) {
                    return Some(Instant::now());
                }
                thread::sleep(Duration::from_millis(10));
            }
            None
        })
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn nft(namespace: &str, args: &[&str]) -> bool {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "nft"]).args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
