//! `weir logs`: rules and analyzers over log files, at the files' own times. Nothing is enforced.
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::failure::UsageError;
use super::io::Io;
use super::settings;
use crate::adapters::kernel::object;
use crate::adapters::rules::Files;
use crate::analysis::{self, Judge, Merged, Observed};
use crate::cli::{Global, Logs, LogsAnalyze, Part};
use crate::config::{self, Detection, Loaded};
use crate::daemon::{self, load};
use crate::domain::decision::{Kind, Origin};
use crate::domain::guard::Guards;
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::client::TrustedProxies;
use crate::domain::http::line::Choice;
use crate::domain::http::rules::{self, Override, Overrides, RuleSet, Weight};
use crate::domain::report::{LogAlert, LogAnalysis, LogInput};
use crate::followed::Followed;
use crate::render;

/// Threads that look at events, at the most: those before and behind them keep no more busy.
const MOST_THREADS: usize = 16;
/// Problems of rules that are told one by one.
const SHOWN: usize = 20;

/// Carries out a verb of `weir logs`.
pub(super) fn run(verb: &Logs, global: &Global, io: &mut Io) -> Result<()> {
    match verb {
        Logs::Analyze(args) => analyze(args, global, io),
    }
}

fn analyze(args: &LogsAnalyze, global: &Global, io: &mut Io) -> Result<()> {
    let start = Instant::now();
    let (loaded, guards) = configuration(global, io)?;
    let detection = &loaded.config.detection;
    let trusted = detection.events.trusted_proxies.iter().chain(&args.trusted_proxy).copied();
    let trusted = TrustedProxies::new(trusted);
    let rules = if args.without.contains(&Part::Rules) { None } else { rules(args, detection, io)? };
    let analyzers = (!args.without.contains(&Part::Analyzers)).then(|| Analyzers::new(&detection.analyzers));
    let guard = |prefix: ipnet::IpNet| {
        if trusted.contains(prefix.addr()) {
            return Some(format!("{prefix} is a trusted proxy's: what comes through it is others' doing"));
        }
        // As a rule's decision would be asked about at the door.
        guards.admit(prefix, Kind::Deny, &Origin::Automation("rules".into()), false).err().map(|why| why.to_string())
    };
    let judge = Judge::new(rules, analyzers, detection.responses(), detection, &guard);
    let (inputs, observed) = observed(args, &trusted, judge, io)?;
    let analysis = summary(inputs, observed, start.elapsed().as_secs_f64());
    let broken: Vec<&str> =
        analysis.inputs.iter().filter(|input| input.problem.is_some()).map(|input| input.file.as_str()).collect();
    let broken = broken.join(", ");
    io.report(global.output, &analysis, render::logs::analysis)?;
    if !broken.is_empty() {
        bail!("not read to the end: {broken}; what could be read was judged");
    }
    Ok(())
}

/// The configuration that is meant, and who must not be denied. One that nobody named may be unreadable to whoever looks
/// at a log: then every setting has its default.
fn configuration(global: &Global, io: &mut Io) -> Result<(Loaded, Guards)> {
    let found = match settings::load(global) {
        Ok(found) => found,
        Err(error) if global.is_config_named() => return Err(error),
        Err(error) => {
            io.warn(format_args!("{error:#}; every setting has its default instead"));
            let loaded = config::parse("", load::DEFAULT_FILE, std::iter::empty())?;
            settings::Found { text: String::new(), loaded, file: None }
        }
    };
    let file = found.file.as_deref().unwrap_or(Path::new(load::DEFAULT_FILE));
    let cpus = object::possible_cpus().unwrap_or(1);
    let all = load::settings(&found.text, &found.loaded, &file.display().to_string(), false, cpus)?;
    let guards = daemon::guards_of(&all, &Followed::default());
    Ok((found.loaded, guards))
}

/// The rules of the configuration and of the command line; `None`: there is none.
fn rules(args: &LogsAnalyze, detection: &Detection, io: &mut Io) -> Result<Option<Arc<RuleSet>>> {
    let of_config = detection.rules.enabled;
    let folders: Vec<_> = detection.rules.dirs.iter().filter(|_| of_config).chain(&args.rules).cloned().collect();
    let files = Files::read(of_config && detection.rules.shipped, &folders);
    for unread in &files.unread {
        // What the command line names must be there; of the configuration's folders, the rest goes on.
        if args.rules.contains(&unread.path) {
            bail!("read rules of {}: {}", unread.path.display(), unread.why);
        }
        io.warn(format_args!("rules of {} are not read: {}", unread.path.display(), unread.why));
    }
    let loaded = rules::load(&files.as_rules(), &overrides(detection));
    let is_shown = |problem: &&rules::Problem| problem.weight == Weight::Error || problem.file == rules::OVERRIDES;
    let errors: Vec<_> = loaded.problems.iter().filter(is_shown).collect();
    for problem in errors.iter().take(SHOWN) {
        io.warn(problem);
    }
    if errors.len() > SHOWN {
        io.warn(format_args!("and {} more; `weir rules check` prints all", errors.len() - SHOWN));
    }
    Ok((!loaded.rules.is_empty()).then(|| Arc::new(loaded.rules)))
}

/// What the settings say otherwise of rules.
fn overrides(detection: &Detection) -> Overrides {
    let changed = |rule: &config::RuleOverride| Override {
        enabled: (!rule.enabled).then_some(false),
        severity: rule.severity,
        threshold: rule.threshold,
        within_s: rule.within_s,
        response: rule.response,
    };
    detection.rules.overrides.iter().map(|rule| (rule.id.clone(), changed(rule))).collect()
}

fn observed(
    args: &LogsAnalyze,
    trusted: &TrustedProxies,
    mut judge: Judge<'_>,
    io: &mut Io,
) -> Result<(Vec<LogInput>, Observed)> {
    let choice = Choice {
        format: args.format,
        pattern: args.pattern.as_deref().map(Arc::from),
        trusted: trusted.clone(),
        ..Choice::default()
    };
    let zone = match &args.zone {
        Some(name) => TimeZone::get(name).with_context(|| format!("zone {name:?}"))?,
        None => TimeZone::system(),
    };
    let progress = io.progress("reading");
    let input = &mut io.input;
    let stdin = || -> Box<dyn Read> { std::mem::replace(input, Box::new(std::io::empty())) };
    let merged = Merged::new(&args.files, &choice, &zone, Timestamp::now(), stdin);
    let mut merged = merged.map_err(|error| UsageError(error.to_string()))?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let matcher = judge.matcher();
    analysis::through(
        threads,
        || merged.next(),
        |event| matcher.matches(event),
        |event, seen| judge.observe(event, seen),
    );
    progress.finish_and_clear();
    let observed = judge.finish();
    for slow in &observed.slow {
        io.warn(format_args!(
            "rule {} took {} ns for each KiB of an event, more than the {} it may, and was left out from then on",
            slow.id, slow.mean_ns, slow.budget_ns
        ));
    }
    Ok((merged.rows(), observed))
}

fn summary(inputs: Vec<LogInput>, observed: Observed, seconds: f64) -> LogAnalysis {
    let total = |of: fn(&LogInput) -> u64| inputs.iter().map(of).sum::<u64>();
    let parsed = total(|input| input.parsed);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let events_per_second = if seconds > 0.0 { (parsed as f64 / seconds).round() } else { 0.0 };
    LogAnalysis {
        files: inputs.len() as u64,
        lines: total(|input| input.lines),
        parsed,
        unparsed: total(|input| input.unparsed.values().map(|lines| lines.lines).sum()),
        events_per_second,
        sources: observed.sources,
        first: observed.first,
        last: observed.last,
        overflowed: observed.overflowed,
        left_out: observed.left_out,
        alerts: observed.alerts.into_iter().map(LogAlert::from).collect(),
        inputs,
    }
}

#[cfg(test)]
mod tests;
