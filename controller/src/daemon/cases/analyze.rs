//! Rules and analyzers over datasets. What is found is kept as alerts; nothing is done about the past.
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{CaseFault, Cases};
use crate::adapters::clock;
use crate::adapters::store::EventReader;
use crate::analysis::{self, Judge, Merged, Observed};
use crate::config::Detection;
use crate::daemon::detection::parameter_given;
use crate::domain::audit::Filter;
use crate::domain::http::alert::{Action, Alert, AlertId, RULES, Triage};
use crate::domain::http::analyzers::Analyzers;
use crate::domain::http::analyzers::parameter::Given;
use crate::domain::http::analyzers::settings::{NAMES, Settings};
use crate::domain::http::client::TrustedProxies;
use crate::domain::http::dataset::{Content, Dataset};
use crate::domain::http::event::Event;
use crate::domain::http::finding::{Detector, Finding, NotAName};
use crate::domain::http::line::Choice;
use crate::domain::http::recorded::{Recorded, Source};
use crate::domain::http::respond::Responses;
use crate::domain::http::rules::RuleSet;
use crate::domain::privacy::StandIns;
use crate::domain::report::{AlertRequest, AnalysisReport, AnalysisSummary, AnalyzeRequest, LogInput, MOST_LISTED};
use crate::sync::Shared;

/// How long an analysis takes at the most: an answer is waited for twice as long.
const LONGEST: Duration = Duration::from_mins(1);
/// Events that are read at once.
const READ_AT_ONCE: usize = 1_000;
/// How often an event that stands for several alike is looked at.
const MOST_REPEATS: u32 = 1_000;
/// Alerts of one analysis that are kept.
const MOST_CREATED: usize = 5_000;
/// Why nothing is done about what is found.
const PAST: &str = "found in a dataset: nobody is denied for what is past";

/// What is to be looked at, and by whom.
#[derive(Debug)]
pub struct Analysis {
    datasets: Vec<Dataset>,
    hunt_id: Option<String>,
    rules: Option<Arc<RuleSet>>,
    analyzers: Option<Settings>,
    auto_create: bool,
}

/// Opens a file that a dataset names, if it may name it: one within the folders that the settings name for it, or one that
/// is followed; and says where that is.
pub(super) fn opened(shared: &Shared, path: &Path) -> Result<(PathBuf, File), CaseFault> {
    let shown = path.display();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CaseFault::Missing(format!("there is no file {shown} (any more)")),
        _ => CaseFault::Bad(format!("{shown} cannot be looked at: {error}")),
    };
    let real = path.canonicalize().map_err(failed)?;
    let is_file = |is_file: bool| if is_file { Ok(()) } else { Err(CaseFault::Bad(format!("{shown} is not a file"))) };
    allowed(shared, path, &real)?;
    is_file(real.is_file())?;
    // What is looked at is what was opened: whoever may write in the folder can put another thing there meanwhile.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&real).map_err(failed)?;
    is_file(file.metadata().map_err(failed)?.is_file())?;
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
    allowed(shared, path, &real)?;
    Ok((real, file))
}

/// Whether a dataset may name a file by this path, which is really there.
fn allowed(shared: &Shared, path: &Path, real: &Path) -> Result<(), CaseFault> {
    let settings = Arc::clone(&shared.read().settled);
    let folders = &settings.detection.alerts.dataset_dirs;
    let within = folders.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| real.starts_with(folder));
    // A followed log is named as it is: whoever may put a link in its place must not lead elsewhere by it.
    let mut paths = settings.detection.logs.iter().flat_map(|log| &log.paths);
    let followed = real == path && paths.any(|log| Path::new(log) == path);
    if within || followed {
        return Ok(());
    }
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(CaseFault::Bad(format!(
        "{} is neither followed nor within {}: [alerts] dataset_dirs names the folders that files may be in",
        path.display(),
        names.join(" or ")
    )))
}

pub(super) fn zone(name: Option<&str>) -> Result<TimeZone, CaseFault> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|error| CaseFault::Bad(format!("zone {name:?}: {error}")))
}

/// An alert that a person asks for.
pub(super) fn made(request: AlertRequest, id: AlertId, now: Timestamp) -> Result<Alert, CaseFault> {
    if request.title.trim().is_empty() {
        return Err(CaseFault::Bad("`title` says in a few words what it is about, and is empty".to_owned()));
    }
    let source = request.source.as_deref().filter(|source| !source.is_empty());
    let source = source.map(|text| {
        text.parse::<IpAddr>().map_err(|_error| CaseFault::Bad(format!("`source` {text:?} is not an address")))
    });
    let labels = |labels: Vec<String>| labels.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>().into();
    let finding = Finding {
        detector: Detector::Analyzer("manual"),
        title: request.title.trim().into(),
        description: request.description.into(),
        severity: request.severity,
        confidence: request.confidence.unwrap_or(100).min(100),
        techniques: labels(request.technique),
        tags: labels(request.tags),
        source: source.transpose()?.map(|address| address.to_canonical()),
        user: request.user.filter(|user| !user.is_empty()),
        about: None,
        time: now,
        value: None,
        threshold: None,
        indicators: request.indicators,
        evidence: request.evidence,
        response: None,
        spoofable: false,
    };
    let mut alert = Alert::new(id, &finding, now);
    let given =
        |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| text.chars().take(256).collect());
    alert.triage = Triage {
        case: given(request.case),
        assignee: given(request.assignee),
        hunt_id: given(request.hunt_id),
        dataset_id: given(request.dataset_id),
        ..Triage::default()
    };
    Ok(alert)
}

impl Cases {
    /// What an analysis would look at.
    fn planned(&self, request: AnalyzeRequest) -> Result<Analysis, CaseFault> {
        let reader = self.ways.shared.detected.alerts();
        let reader = reader.ok_or_else(|| CaseFault::Closed("the database of alerts is not open".to_owned()))?;
        let failed = |error: crate::adapters::store::StoreError| CaseFault::Failed(error.to_string());
        let datasets = reader.datasets().map_err(failed)?;
        let given = |id: Option<String>| id.filter(|id| !id.is_empty());
        let (dataset_id, hunt_id) = (given(request.dataset_id), given(request.hunt_id));
        let datasets: Vec<Dataset> = match (&dataset_id, &hunt_id) {
            (Some(id), None) => {
                let found: Vec<Dataset> = datasets.into_iter().filter(|dataset| dataset.id == *id).collect();
                if found.is_empty() {
                    return Err(crate::adapters::store::CaseError::NoDataset(id.chars().take(64).collect()).into());
                }
                found
            }
            (None, Some(id)) => {
                if !reader.hunts().map_err(failed)?.iter().any(|hunt| hunt.id == *id) {
                    return Err(crate::adapters::store::CaseError::NoHunt(id.chars().take(64).collect()).into());
                }
                let found: Vec<Dataset> =
                    datasets.into_iter().filter(|dataset| dataset.hunt_id.as_ref() == Some(id)).collect();
                if found.is_empty() {
                    return Err(CaseFault::Missing(format!("no dataset belongs to hunt {id}, so there are no rows")));
                }
                found
            }
            _ => {
                return Err(CaseFault::Bad(
                    "say what is to be analysed: dataset_id or hunt_id, one of them".to_owned(),
                ));
            }
        };
        let settings = Arc::clone(&self.ways.shared.read().settled);
        let (with_rules, analyzers) = chosen(&settings.detection, &request.analyzers, &request.config)?;
        let rules = with_rules.then(|| self.ways.detection.rules().set(&settings));
        Ok(Analysis { datasets, hunt_id, rules, analyzers, auto_create: request.auto_create })
    }

    /// Has rules and analyzers look at a dataset, or at all of a hunt's, and keeps what they find unless told not to.
    ///
    /// # Errors
    /// [`CaseFault`].
    pub async fn analyze(&self, request: AnalyzeRequest, actor: String) -> Result<AnalysisReport, CaseFault> {
        let _one = self.analysis.try_acquire().map_err(|_busy| CaseFault::Busy)?;
        let analysis = self.planned(request)?;
        let (shared, names) = (self.ways.shared.clone(), analysis.datasets.iter().map(|dataset| dataset.name.clone()));
        let target = names.collect::<Vec<_>>().join(" ");
        let auto_create = analysis.auto_create;
        let run = tokio::task::spawn_blocking(move || run(&shared, &analysis)).await;
        let (report, created) = run.map_err(|error| CaseFault::Failed(error.to_string()))??;
        if auto_create && !created.is_empty() {
            self.ways.keeper.ask(move |store| store.add_alerts(&created)).await?;
        }
        let detail = json!({
            "rows": report.summary.rows_analyzed,
            "candidates": report.candidates_found,
            "created": report.alerts_created,
        });
        self.ways.sync.note(&actor, "analyze", &target, detail).await?;
        Ok(report)
    }
}

/// Whether rules look, and which analyzers do, set how; none named is all of them.
fn chosen(
    detection: &Detection,
    names: &[String],
    config: &BTreeMap<String, BTreeMap<String, Value>>,
) -> Result<(bool, Option<Settings>), CaseFault> {
    let all: Vec<&'static str> = NAMES.into_iter().chain([RULES]).collect();
    for name in names {
        if !all.contains(&name.as_str()) {
            let error = NotAName::new("analyzer", name, all.iter().copied());
            return Err(CaseFault::Bad(error.to_string()));
        }
    }
    let mut settings = detection.analyzers.clone();
    let bad = |error: &dyn std::fmt::Display| CaseFault::Bad(format!("config: {error}"));
    for (analyzer, parameters) in config {
        for (parameter, value) in parameters {
            let given = parameter_given(value).ok_or_else(|| {
                bad(&format!("{analyzer}.{parameter} is a number, a word, true or false, or a list of words"))
            })?;
            settings.set(analyzer, parameter, &given).map_err(|error| bad(&error))?;
        }
    }
    for name in NAMES {
        let is_chosen = names.is_empty() || names.iter().any(|chosen| chosen == name);
        settings.set(name, "enabled", &Given::Flag(is_chosen)).map_err(|error| bad(&error))?;
    }
    if let Some(error) = settings.validate().first() {
        return Err(bad(error));
    }
    let any = names.is_empty() || names.iter().any(|name| name != RULES);
    let rules = names.is_empty() || names.iter().any(|name| name == RULES);
    Ok((rules, any.then_some(settings)))
}

/// Looks at one dataset after the other; what came of it, and the alerts to be kept.
fn run(shared: &Shared, analysis: &Analysis) -> Result<(AnalysisReport, Vec<Alert>), CaseFault> {
    let settings = Arc::clone(&shared.read().settled);
    let end = Instant::now() + LONGEST;
    let mut summary = AnalysisSummary::default();
    let mut found: Vec<Alert> = Vec::new();
    let mut left_out = 0;
    for dataset in &analysis.datasets {
        let nobody = |_: IpNet| Some(PAST.to_owned());
        let analyzers = analysis.analyzers.as_ref().map(Analyzers::new);
        let rules = analysis.rules.clone();
        let judge = Judge::new(rules, analyzers, Responses::default(), &settings.detection, &nobody);
        let mut stand_ins = StandIns::default();
        let mut rows = 0;
        let observed = match &dataset.content {
            Content::Log { path, format, zone: name } => {
                let (real, file) = opened(shared, Path::new(path))?;
                let trusted = TrustedProxies::new(settings.detection.events.trusted_proxies.iter().copied());
                let format = format.parse().map_err(|error: NotAName| CaseFault::Bad(error.to_string()))?;
                let choice = Choice { format, trusted, ..Choice::default() };
                let merged = Merged::of_file(&real, file, &choice, &zone(name.as_deref())?, clock::now().wall, end);
                let mut merged = merged.map_err(|error| CaseFault::Bad(error.to_string()))?;
                let observed = watched(judge, || merged.next(), end, &mut rows, &mut summary.truncated);
                problem_of(&merged.rows(), rows)?;
                observed
            }
            Content::Events { from, to } => {
                let reader = shared.detected.alerts();
                let reader =
                    reader.ok_or_else(|| CaseFault::Closed("the database of events is not open".to_owned()))?;
                let filter = Filter { since: Some(*from), until: Some(*to), ..Filter::default() };
                let (mut numbers, _) = shared.detected.tally().select(&filter, usize::MAX, 0);
                numbers.reverse();
                let mut kept = Stored { reader, numbers: numbers.into(), waiting: VecDeque::new(), failed: None };
                let observed = watched(judge, || kept.next(&mut stand_ins), end, &mut rows, &mut summary.truncated);
                if let Some(why) = kept.failed {
                    return Err(CaseFault::Failed(why));
                }
                observed
            }
        };
        summary.rows_analyzed += rows;
        left_out += observed.left_out;
        found.extend(observed.alerts.into_iter().map(|alert| of_dataset(alert, dataset, analysis, &stand_ins)));
    }
    if summary.rows_analyzed == 0 && summary.truncated {
        let seconds = LONGEST.as_secs();
        return Err(CaseFault::Missing(format!("in {seconds} seconds no line was found that could be read")));
    }
    if summary.rows_analyzed == 0 {
        let names: Vec<&str> = analysis.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
        return Err(CaseFault::Missing(format!("there are no rows in {}", names.join(", "))));
    }
    found.sort_by_key(|alert| std::cmp::Reverse((alert.score, alert.last_seen, alert.id)));
    for alert in &found {
        *summary.by_severity.entry(alert.severity.name().to_owned()).or_default() += 1;
        *summary.by_analyzer.entry(alert.analyzer.clone()).or_default() += 1;
    }
    let candidates_found = found.len() as u64 + left_out;
    found.truncate(MOST_CREATED);
    let alerts_created = if analysis.auto_create { found.len() as u64 } else { 0 };
    let alerts = found.iter().take(MOST_LISTED).cloned().collect();
    Ok((AnalysisReport { candidates_found, alerts_created, alerts, summary }, found))
}

/// Takes events through a judge until there are no more, or no more time.
fn watched(
    mut judge: Judge<'_>,
    mut next: impl FnMut() -> Option<Box<Event>>,
    end: Instant,
    rows: &mut u64,
    truncated: &mut bool,
) -> Observed {
    let matcher = judge.matcher();
    let limited = || {
        if Instant::now() >= end {
            *truncated = true;
            return None;
        }
        let event = next();
        match event {
            Some(_) => *rows += 1,
            // What is read ends with the time as well.
            None => *truncated |= Instant::now() >= end,
        }
        event
    };
    // One CPU is left to what is happening now.
    analysis::through(1, limited, |event| matcher.matches(event), |event, seen| judge.observe(event, seen));
    judge.finish()
}

/// Why a file could not be read at all.
fn problem_of(rows: &[LogInput], events: u64) -> Result<(), CaseFault> {
    let problem = rows.iter().find_map(|row| row.problem.as_ref().map(|problem| format!("{}: {problem}", row.file)));
    match problem.filter(|_| events == 0) {
        Some(problem) => Err(CaseFault::Missing(problem)),
        None => Ok(()),
    }
}

/// Kept events, the oldest first.
struct Stored {
    reader: EventReader,
    numbers: VecDeque<i64>,
    waiting: VecDeque<Box<Event>>,
    failed: Option<String>,
}

impl Stored {
    fn next(&mut self, stand_ins: &mut StandIns) -> Option<Box<Event>> {
        while self.waiting.is_empty() {
            if self.numbers.is_empty() {
                return None;
            }
            let numbers: Vec<i64> = self.numbers.drain(..self.numbers.len().min(READ_AT_ONCE)).collect();
            match self.reader.events(&numbers) {
                Ok(events) => {
                    for (_, event) in events {
                        self.take(&event, stand_ins);
                    }
                }
                Err(error) => {
                    self.failed = Some(error.to_string());
                    return None;
                }
            }
        }
        self.waiting.pop_front()
    }

    fn take(&mut self, kept: &Recorded, stand_ins: &mut StandIns) {
        let client = kept.source.as_ref().map(|source| match source {
            Source::Address(address) => *address,
            Source::Name(name) => stand_ins.add(name),
        });
        let mut event = kept.event(client);
        let raw = json!({
            "time": kept.at, "type": kept.kind.name(), "address": client, "user": kept.user, "endpoint": event.endpoint(),
            "method": event.method, "status": event.status, "agent": event.user_agent, "message": event.message,
        });
        event.keep_raw(raw.to_string().as_bytes());
        for _ in 0..kept.count.clamp(1, MOST_REPEATS) {
            self.waiting.push_back(Box::new(event.clone()));
        }
    }
}

/// An alert of the past, as it is kept.
fn of_dataset(mut alert: Alert, dataset: &Dataset, analysis: &Analysis, stand_ins: &StandIns) -> Alert {
    (alert.action, alert.action_target, alert.action_for_s, alert.action_until) = (Action::Observe, None, None, None);
    alert.asked = None;
    alert.refused = Some(PAST.to_owned());
    alert.triage.dataset_id = Some(dataset.id.clone());
    alert.triage.hunt_id = analysis.hunt_id.clone().or_else(|| dataset.hunt_id.clone());
    let named = alert.source.as_deref().and_then(|source| source.parse().ok());
    if let Some(name) = named.and_then(|address: IpAddr| stand_ins.name_of(address)) {
        alert.source = Some(name.to_owned());
    }
    let options = [&mut alert.about, &mut alert.user].into_iter().flatten();
    let texts = alert.evidence.iter_mut().chain(&mut alert.indicators).chain(options);
    for text in texts.chain([&mut alert.title, &mut alert.description]) {
        *text = stand_ins.text(text).into_owned();
    }
    // Now is when it was made, whenever it happened: alerts of the past are not past their time at once.
    let now = clock::now().wall;
    (alert.created_at, alert.updated_at) = (now, now);
    alert
}
