//! One drill from its beginning to its end.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use weir_common::verdict::{Action, Verdict};

use super::flood::Flooding;
use super::honest::Honest;
use super::stage::Stage;
use super::stop::Stop;
use super::under::Taken;
use super::watch::{Look, Watch};
use crate::adapters::random;
use crate::cli::DrillArgs;
use crate::domain::drill::detection::detect;
use crate::domain::drill::report::{Drill, FloodCounts, Honest as HonestReport, Under};
use crate::domain::drill::scenario::Scenario;
use crate::domain::report::{Status, VerdictRow};

/// How long honest traffic is measured before the flood.
const BEFORE: Duration = Duration::from_secs(2);
/// How long a look at counters may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long counters must stand still for a flood to be over.
const STILL: Duration = Duration::from_millis(60);

/// Runs a drill. Everything it made is gone when it returns, however it does.
pub(super) fn play(name: Scenario, args: &DrillArgs, taken: &Taken, stop: &Stop) -> Result<(Drill, Under)> {
    let stage = Stage::set(name.name(), taken, stop)?;
    let mut honest = Honest::start(&stage, stop)?;
    let mut watch = Watch::start(&stage)?;
    let calm = honest.mark();
    stop.sleep(BEFORE)?;
    let status = stage.client.status()?;
    let base = look(&mut watch, stop)?;
    let start = honest.mark();
    let rate = name.rate(args.rate);
    let mut flooding = Flooding::start(&stage, name, rate, random::number())?;
    let began = Instant::now();
    let lasts = Duration::from_secs(args.seconds);
    while let Some(left) = lasts.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
        stop.sleep(left.min(Duration::from_millis(50)))?;
        flooding.still_runs()?;
        honest.still_runs()?;
    }
    let end = honest.mark();
    let sent = flooding.finish()?;
    let seconds = sent.first.elapsed().as_secs_f64();
    settle(&mut watch, stop)?;
    let kinds = honest.finish(&start);
    let last = look(&mut watch, stop)?;
    let after = stage.client.status()?;
    let drill = Drill {
        name,
        ok: false,
        reasons: Vec::new(),
        seconds,
        rate,
        flood: FloodCounts::of(
            sent.frames,
            last.flood.seen.saturating_sub(base.flood.seen),
            last.flood.dropped.saturating_sub(base.flood.dropped),
        ),
        dropped_by: by_verdict(&status, &after, |row| row.packets),
        would_drop_by: by_verdict(&status, &after, |row| row.observed_packets),
        detection: detect(&watch.samples(sent.first, &base)),
        honest: HonestReport {
            seen: last.honest.seen.saturating_sub(base.honest.seen),
            refused: last.honest.dropped.saturating_sub(base.honest.dropped),
            kinds,
            before: honest.latency(&calm, &start),
            during: honest.latency(&start, &end),
        },
        connections: sent.connections,
    };
    Ok((drill, stage.under.clone()))
}

/// The counters as they are from now on.
fn look(watch: &mut Watch, stop: &Stop) -> Result<Look> {
    let now = Instant::now();
    stop.wait_for(PATIENCE, || watch.after(now))?.context("the interfaces' counters cannot be read in time")
}

/// Waits until what was sent has come through.
fn settle(watch: &mut Watch, stop: &Stop) -> Result<()> {
    let (mut seen, mut since) = (look(watch, stop)?.flood.seen, Instant::now());
    // Where it does not end, what is counted until then is what counts.
    stop.wait_for(PATIENCE, || {
        let now = look(watch, stop)?.flood.seen;
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        Ok((since.elapsed() >= STILL).then_some(()))
    })?;
    Ok(())
}

/// What verdicts that drop counted meanwhile; those that counted nothing are left out.
fn by_verdict(before: &Status, after: &Status, count: impl Fn(&VerdictRow) -> u64) -> BTreeMap<String, u64> {
    let counted = |status: &Status, name: &str| status.verdicts.get(name).map_or(0, &count);
    let drops = Verdict::ALL.into_iter().filter(|verdict| verdict.action() == Action::Drop).map(Verdict::name);
    drops
        .map(|name| (name.to_owned(), counted(after, name).saturating_sub(counted(before, name))))
        .filter(|(_, packets)| *packets > 0)
        .collect()
}
