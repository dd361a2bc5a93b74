//! Bans of the real fail2ban.
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use weir_common::verdict::Verdict;

use super::{Follow, between};
use crate::bench::import::milliseconds;
use crate::fail2ban::{Fail2ban, ORIGIN, is_installed};
use crate::harness::watch::Watch;
use crate::harness::{PATIENCE, Plan, Site, binary, wait_for};

/// Bans, each way.
const TRIES: u8 = 30;

/// Bans of a restore.
const RESTORED: u32 = 10_000;

/// Restores.
const RESTORES: usize = 5;

pub(super) fn measure(follow: &mut Follow, progress: &mut impl Write, stop: &AtomicBool) -> Result<()> {
    if !is_installed() {
        follow.skip("fail2ban: there is no fail2ban-server (Debian: fail2ban)");
        return Ok(());
    }
    writeln!(progress, "follow: {TRIES} bans of fail2ban, each way, and {RESTORES} restores of {RESTORED}")?;
    let site = Site::of(&Plan { alone: true, ..Plan::default() });
    let mut fail2ban = Fail2ban::start(binary::path(), &site.place.socket(), 3_600);
    let (mut by_client, mut by_line, mut by_ban) = (Vec::new(), Vec::new(), Vec::new());
    for last in 0..2 * TRIES {
        crate::bench::go_on(stop)?;
        let source = [203, 0, 113, last];
        let ip = Ipv4Addr::from(source).to_string();
        let watch = Watch::start(&site, source, Verdict::Rule);
        let start = Instant::now();
        let is_typed = last < TRIES;
        if is_typed {
            fail2ban.ban(&ip);
        } else {
            fail2ban.refused(&ip);
        }
        let dropped = watch.seen();
        (if is_typed { &mut by_client } else { &mut by_line }).push(between(start, dropped));
        let ago = fail2ban.decided(&ip);
        let ago = SystemTime::now().duration_since(ago).unwrap_or_default();
        by_ban.push(milliseconds(ago) - milliseconds(dropped.elapsed()));
    }
    follow.row("fail2ban: start of `fail2ban-client set JAIL banip` to first drop", "ms", by_client);
    follow.row("fail2ban: line in the watched log to first drop (fail2ban polls)", "ms", by_line);
    follow.row("fail2ban: its own decision, by its log, to first drop", "ms", by_ban);

    fail2ban.remember(RESTORED);
    fail2ban.run();
    let mut restored = Vec::new();
    let bans = u64::from(RESTORED) + u64::from(2 * TRIES);
    for _ in 0..RESTORES {
        crate::bench::go_on(stop)?;
        // Ending lifts all of them.
        fail2ban.stop();
        let start = Instant::now();
        fail2ban.run();
        wait_for("every restored ban", PATIENCE, || {
            let status = site.api().status();
            status.lists.iter().any(|list| list.name == ORIGIN && list.entries == bans).then_some(())
        });
        restored.push(between(start, Instant::now()));
    }
    follow.row(format!("fail2ban: its start to {bans} restored bans in force"), "ms", restored);
    Ok(())
}
