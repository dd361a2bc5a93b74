//! A million kept events and a hundred thousand alerts: how soon questions are answered, and how fast more are taken in.
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use weir::adapters::store::{EventStore, Save, SharedPrivacy};
use weir::domain::http::alert::{Alert, AlertId};
use weir::domain::http::analyzers::settings::NAMES;
use weir::domain::http::book::Change;
use weir::domain::http::event::{Event, EventKind};
use weir::domain::http::finding::{Detector, Finding};
use weir::domain::http::recorded::{self, Recorded};
use weir::domain::http::severity::Severity;
use weir::domain::reputation::{Evidence, Kind, Ledger, Limits, Who};

use super::add::{Times, times};
use super::import::milliseconds;
use crate::harness::{PATIENCE, Plan, Site, wait_for};

/// Events that are kept.
const EVENTS: u32 = 1_000_000;
/// Alerts that are.
const ALERTS: u32 = 100_000;
/// Sources and users they are about.
const SOURCES: u32 = 100_000;
const USERS: u32 = 20_000;
/// Events a second that are taken in besides, and for how long.
const PER_SECOND: u32 = 20_000;
const INGEST: Duration = Duration::from_secs(20);
/// Events in a request.
const TOGETHER: u32 = 2_000;
/// What 99 of 100 questions must be answered within, in milliseconds.
const GOAL_MS: f64 = 50.0;

/// What is measured.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// How soon each question is answered, by the socket.
    pub questions: Vec<Question>,
    /// From the start of the daemon to its ready line, with all of it there.
    pub start_ms: f64,
    /// Events a second that were taken in and kept.
    pub kept_per_second: f64,
    /// Those that were not kept.
    pub lost: u64,
    /// The slowest of all questions meanwhile, 99 of 100.
    pub meanwhile_ms: Times,
    /// MiB of the database before and after.
    pub file_mib: [f64; 2],
    /// How long the erasure of a user takes, who is looked for in all that is kept.
    pub erased_ms: f64,
    /// MiB of memory the daemon has after.
    pub memory_mib: f64,
    /// Ten million forged sources in the ledger of reputation.
    pub forged: Forged,
}

/// What ten million sources leave of which nothing is proven.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Forged {
    /// Sources with a ledger after.
    pub sources: usize,
    /// Those that were there before and of whom something is proven, of a thousand.
    pub proven_left: usize,
    /// MiB that the ledger takes.
    pub mib: f64,
    /// Nanoseconds for each.
    pub nanoseconds: f64,
}

/// A question, and how soon it is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// Its path.
    pub path: String,
    /// How soon.
    pub answered_ms: Times,
}

/// Ten million forged sources against a ledger with a thousand proven ones.
fn forged() -> Forged {
    const FORGED: u32 = 10_000_000;
    let mut ledger = Ledger::new(Limits { most_sources: 65_536, half_life_s: 86_400 });
    let now = Timestamp::now();
    let evidence = |key: String, spoofable| Evidence {
        who: Who {
            network: key.rsplit_once('.').map_or("", |(network, _)| network).into(),
            key: key.into(),
            asn: None,
        },
        kind: if spoofable { Kind::Offence } else { Kind::Alert },
        source: "bench".into(),
        alert: None,
        points: 10.0,
        at: now,
        spoofable,
    };
    for number in 0..1_000 {
        ledger.add(&evidence(format!("proven{number}"), false));
    }
    let start = Instant::now();
    for number in 0..FORGED {
        ledger.add(&evidence(IpAddr::from((0x0b00_0000 + number).to_be_bytes()).to_string(), true));
    }
    let nanoseconds = start.elapsed().as_secs_f64() * 1e9 / f64::from(FORGED);
    let proven_left = (0..1_000).filter(|number| ledger.contains(&format!("proven{number}"))).count();
    #[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
    let mib = ledger.bytes() as f64 / f64::from(1 << 20);
    Forged { sources: ledger.len(), proven_left, mib, nanoseconds }
}

fn address(number: u32) -> IpAddr {
    IpAddr::from((0x2d00_0000 + number % SOURCES).to_be_bytes())
}

/// Any of so many, spread.
fn spread(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761) >> 7
}

fn event(number: u32, at: Timestamp) -> Recorded {
    let kinds = [EventKind::AuthFailed, EventKind::PermissionDenied, EventKind::RateLimitExceeded, EventKind::Login];
    let kind = kinds.get(spread(number) as usize % kinds.len()).copied().unwrap_or(EventKind::AuthFailed);
    let mut event = Event::new(at, kind);
    event.client = Some(address(spread(number)));
    event.user = Some(format!("user{}", spread(number) % USERS));
    // An address is in one country.
    let countries = ["DE", "FR", "US", "BR", "CN"];
    event.country = countries.get((spread(number) % SOURCES) as usize % countries.len()).map(|code| (*code).to_owned());
    event.endpoint = Some("/account/login".to_owned());
    event.user_agent = Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned());
    Recorded::of(&event, recorded::class_of(&event), true)
}

fn alert(number: u32, at: Timestamp) -> Alert {
    let severity = Severity::ALL.get(number as usize % 4).copied().unwrap_or_default();
    let finding = Finding {
        detector: Detector::Rule(format!("rule-{}", number % 97).into()),
        title: "Something was found".into(),
        description: "A rule found something in a request.".into(),
        severity,
        confidence: 80,
        techniques: ["T1190".into()].into(),
        tags: [].into(),
        source: Some(address(spread(number))),
        user: number.is_multiple_of(5).then(|| format!("user{}", number % USERS)),
        about: None,
        time: at,
        value: None,
        threshold: None,
        indicators: vec!["cs-uri-query: union select".to_owned()],
        evidence: vec!["203.0.113.9 - - \"GET /?id=1 HTTP/1.1\" 200 15 \"-\" \"Mozilla/5.0\"".to_owned()],
        response: None,
        spoofable: false,
    };
    Alert::new(AlertId::v7(at, u128::from(number)), &finding, at)
}

/// Fills a database with as much as there may be.
fn fill(folder: &std::path::Path, stop: &AtomicBool) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (mut store, _) = EventStore::open(folder, SharedPrivacy::default())?;
    let now = Timestamp::now();
    let ago = |seconds: u32| now - SignedDuration::from_secs(i64::from(seconds));
    // Over twenty-nine days; alerts over six.
    for from in (0..EVENTS).step_by(5_000) {
        super::go_on(stop)?;
        let at = |number: u32| ago((EVENTS - number) / 1_000 * 2_500);
        let events: Vec<Recorded> = (from..from + 5_000).map(|number| event(number, at(number))).collect();
        store.record(&events)?;
    }
    for from in (0..ALERTS).step_by(5_000) {
        let at = |number: u32| ago((ALERTS - number) * 5);
        let alerts = (from..from + 5_000).map(|number| Change { alert: alert(number, at(number)), is_new: true });
        store.save(&Save { alerts: alerts.collect(), ..Save::default() })?;
    }
    Ok(())
}

fn questions() -> Vec<String> {
    let mut paths: Vec<String> = [
        "alerts",
        "alerts?limit=500&offset=5000",
        "alerts?min_severity=HIGH&since=7d",
        "alerts?status=new&analyzer=rule-7",
        "alerts?user=user5",
        "alerts?severity=low&since=1h",
        "alerts/stats",
        "events",
        "events?class=failed_sign_in&user=user5",
        "events?since=24h&limit=500",
        "audit?since=1h",
        "audit?since=24h",
        "audit?since=7d",
        "audit?since=30d",
        "security/status",
    ]
    .map(|path| format!("/api/{path}"))
    .into();
    paths.push(format!("/api/alerts?source={}", address(7)));
    paths.push(format!("/api/events?source={}", address(7)));
    paths.push(format!("/api/security/threat/{}", address(7)));
    paths
}

/// Fills a database, starts a daemon with it, and asks.
///
/// # Errors
/// Where something is not answered.
pub fn measure(rounds: usize, progress: &mut impl Write, stop: &AtomicBool) -> Result<History> {
    super::rig::require_root()?;
    writeln!(progress, "history: ten million forged sources")?;
    let forged = forged();
    writeln!(progress, "history: filling a database with {EVENTS} events and {ALERTS} alerts")?;
    let mut site = Site::idle(&Plan { alone: true, ..Plan::default() });
    let max = EVENTS;
    // Analyzers would make alerts of all of it, and are measured elsewhere.
    let off: String = NAMES.map(|name| format!("[analyzers.{name}]\nenabled = false\n")).concat();
    site.place.configure(&format!(
        "[rules]\nenabled = false\n[events]\napplication = true\n[audit]\nmax_events = {max}\n{off}"
    ));
    fill(&site.place.state(), stop)?;
    let file = site.place.state().join("events.db");
    let mib = |path: &std::path::Path| -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a size in MiB")]
        Ok(std::fs::metadata(path)?.len() as f64 / f64::from(1 << 20))
    };
    let before = mib(&file)?;
    let start = Instant::now();
    site.start();
    let start_ms = milliseconds(start.elapsed());
    let api = site.api();
    wait_for("the database", PATIENCE, || (api.ask("GET", "/api/alerts?limit=1", b"").status == 200).then_some(()));
    writeln!(progress, "history: asking")?;
    let mut asked = Vec::new();
    for path in questions() {
        super::go_on(stop)?;
        let mut took = Vec::new();
        for _ in 0..rounds.max(3) * 12 {
            let start = Instant::now();
            let answer = api.ask("GET", &path, b"");
            took.push(milliseconds(start.elapsed()));
            ensure!(answer.status == 200, "{path}: {}", answer.text());
        }
        asked.push(Question { path, answered_ms: times(took) });
    }
    writeln!(progress, "history: {PER_SECOND} events a second for {} s", INGEST.as_secs())?;
    let (on, meanwhile) = (AtomicBool::new(true), std::sync::Mutex::new(Vec::new()));
    let begin = Instant::now();
    let sent = std::thread::scope(|scope| -> Result<u64> {
        scope.spawn(|| {
            for path in questions().into_iter().cycle() {
                if !on.load(Ordering::Relaxed) {
                    return;
                }
                let start = Instant::now();
                let is_answered = site.api().ask("GET", &path, b"").status == 200;
                let took = if is_answered { milliseconds(start.elapsed()) } else { f64::INFINITY };
                meanwhile.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(took);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let sent = ingest(&site, begin);
        on.store(false, Ordering::Relaxed);
        sent
    })?;
    let total = wait_for("all of them to be kept", PATIENCE, || {
        let status: Value = api.get("/api/audit?since=10m");
        let total = status["summary"]["total_events"].as_u64()?;
        (total >= sent || begin.elapsed() > INGEST + Duration::from_secs(15)).then_some(total)
    });
    let file_mib = [before, mib(&file)?];
    let begin = Instant::now();
    let erased = api.ask("POST", "/api/privacy/erase", json!({"user": "user5"}).to_string().as_bytes());
    let erased_ms = milliseconds(begin.elapsed());
    ensure!(erased.status == 200, "{}", erased.text());
    let seconds = INGEST.as_secs_f64();
    let meanwhile = meanwhile.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "events of some seconds")]
    Ok(History {
        questions: asked,
        start_ms,
        kept_per_second: total.min(sent) as f64 / seconds,
        lost: sent.saturating_sub(total),
        meanwhile_ms: times(meanwhile),
        file_mib,
        erased_ms,
        memory_mib: site.daemon().kibibytes("VmRSS") as f64 / 1_024.0,
        forged,
    })
}

/// Sends events, each of another user and source, so many a second; how many that were.
fn ingest(site: &Site, begin: Instant) -> Result<u64> {
    let mut connection = site.api().connect().context("connect")?;
    let mut sent = 0;
    while begin.elapsed() < INGEST {
        let from = u32::try_from(sent)?;
        let events: Vec<Value> = (from..from + TOGETHER)
            .map(|number| {
                json!({"type": "auth_failed", "address": address(number), "user": format!("new{number}"),
                    "endpoint": "/account/login", "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"})
            })
            .collect();
        let answer = connection.ask("POST", "/api/events", &serde_json::to_vec(&events)?)?;
        ensure!(answer.status == 200, "{}", answer.text());
        sent += u64::from(TOGETHER);
        let due = Duration::from_secs_f64(f64::from(u32::try_from(sent)?) / f64::from(PER_SECOND));
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    Ok(sent)
}

/// Prints it.
///
/// # Errors
/// Those of `out`.
pub fn print(measured: &History, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "\n{EVENTS} events, {ALERTS} alerts: milliseconds until answered (goal: 99 of 100 within {GOAL_MS})"
    )?;
    for Question { path, answered_ms } in &measured.questions {
        let over = if answered_ms.p99 > GOAL_MS { "  over the goal" } else { "" };
        writeln!(out, "{:7.1} {:7.1} {:7.1}  {path}{over}", answered_ms.p50, answered_ms.p99, answered_ms.max)?;
    }
    let History { start_ms, kept_per_second, lost, meanwhile_ms, file_mib: [before, after], memory_mib, .. } = measured;
    writeln!(out, "ready after {start_ms:.0} ms; a user erased in {:.0} ms", measured.erased_ms)?;
    writeln!(
        out,
        "{kept_per_second:.0} events a second kept ({PER_SECOND} sent), {lost} lost; questions meanwhile: {:.1} {:.1} {:.1}",
        meanwhile_ms.p50, meanwhile_ms.p99, meanwhile_ms.max
    )?;
    writeln!(out, "file {before:.0} MiB before, {after:.0} after; memory {memory_mib:.0} MiB")?;
    let Forged { sources, proven_left, mib, nanoseconds } = measured.forged;
    writeln!(
        out,
        "ten million forged sources: {sources} have a ledger, {proven_left} of 1,000 proven ones are left, {mib:.1} MiB, \
         {nanoseconds:.0} ns each"
    )?;
    Ok(())
}
