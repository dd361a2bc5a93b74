//! Bans of the real fail2ban.
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use weir_common::verdict::Verdict;

use super::{Follow, between};
use crate::fail2ban::{Fail2ban, is_installed};
use crate::harness::watch::Watch;
use crate::harness::{Plan, Site, binary, wait_for};

/// Bans, each way.
const TRIES: u8 = 30;

/// Bans of a restore.
const RESTORED: u32 = 10_000;

/// Restores.
const RESTORES: usize = 3;

pub(super) fn measure(follow: &mut Follow, progress: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    if !is_installed() {
        follow.skip("fail2ban: there is no fail2ban-server (Debian: fail2ban)");
        return Ok(());
    }
    writeln!(progress, "follow: {TRIES} bans of fail2ban, each way")?;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let fail2ban = Fail2ban::start(binary::path(), &site.place.socket(), 3_600);
    let (mut by_client, mut by_line, mut by_ban) = (Vec::new(), Vec::new(), Vec::new());
    for last in 0..2 * TRIES {
        crate::bench::go_on(stop)?;
        let source = [203, 0, 113, last];
        let ip = Ipv4Addr::from(source).to_string();
        let watch = Watch::start(&site, source, Verdict::Rule);
        let start = Instant::now();
        if last < TRIES {
            fail2ban.ban(&ip);
            by_client.push(between(start, watch.seen()));
        } else {
            fail2ban.refused(&ip);
            by_line.push(between(start, watch.seen()));
        }
        by_ban.push(fail2ban.since_ban(&ip, start, by_client.len() + by_line.len(), &mut wait_for_line));
    }
    let _ = &mut by_ban;
    follow.row("fail2ban: start of `fail2ban-client set JAIL banip` to first dropped packet", "ms", by_client);
    follow.row("fail2ban: line in the watched log to first dropped packet (it polls)", "ms", by_line);
    drop((fail2ban, site));
    restore(follow, progress, stop)
}
