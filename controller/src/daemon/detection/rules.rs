//! The rules in force: files, those that people made, what was changed about any; read, checked, changed, remembered.
mod compile;
mod plan;
mod stored;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;

use self::compile::{compile, overrides};
use self::plan::{plan, rejects};
use self::stored::{Made, Stored};
use crate::adapters::rules::Files;
use crate::config::Detection;
use crate::domain::http::analyzers::parameter::Parameter;
use crate::domain::http::analyzers::{self, Description};
use crate::domain::http::rules::{self, Overrides, RuleInfo, RuleSet, Weight};
use crate::domain::http::severity::Severity;
use crate::domain::report::{
    AnalyzerRow, AnalyzerRule, OverrideRequest, ParameterRow, RejectRow, RuleDetail, RuleReport, RuleRow,
};
use crate::sync::{Command, Handle, Settings, Shared, SyncError};

pub(super) use self::compile::Compiled;
pub(in crate::daemon) use self::compile::files;
pub(in crate::daemon) use self::compile::given as parameter_given;

/// Problems that are shown.
const SHOWN: usize = 20;
/// What a file of one's own is called.
const OWN: &str = "own:";

/// Why a rule is not what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// There is none.
    #[error("there is no rule {0:?}; `weir rules list` prints those there are")]
    Unknown(String),
    /// It is no rule.
    #[error("{0}")]
    Bad(String, Vec<RejectRow>),
    /// It is there already.
    #[error("there is a rule {0:?} already; `weir rules update` changes it")]
    Exists(String),
    /// It is not one's own.
    #[error(
        "rule {0:?} comes from {1}: its text is changed there; enabled, severity, threshold, within and response can be changed here"
    )]
    NotOwn(String, String),
    /// There are too many.
    #[error("{0}")]
    TooMany(String),
    /// It could not be saved.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// A change to the rules, as it was asked.
#[derive(Clone, Debug)]
pub enum RuleChange {
    /// A rule's text: to be made, or in place of one's own of this id.
    Text {
        /// `None`: a new one.
        id: Option<String>,
        /// YAML; a form, or the settings of an analyzer, as JSON.
        text: String,
        /// Whether it is JSON.
        is_json: bool,
    },
    /// What any rule is to be otherwise.
    Override(String, OverrideRequest),
    /// One's own is removed; of another, what was changed.
    Delete(String),
}

/// The rules, for all who ask and for those who change them.
#[derive(Debug)]
pub struct RuleBook {
    shared: Shared,
    sync: Handle,
    stored: Mutex<Stored>,
    in_force: RwLock<Arc<Compiled>>,
    /// Held while a change is made: one after the other.
    changing: tokio::sync::Mutex<()>,
    swap: mpsc::Sender<Arc<Compiled>>,
    /// Parts that problems are noted under.
    troubled: Mutex<Vec<String>>,
}

impl RuleBook {
    pub(super) fn new(
        shared: Shared,
        sync: Handle,
        rows: BTreeMap<String, String>,
        swap: mpsc::Sender<Arc<Compiled>>,
    ) -> Self {
        let (stored, problems) = Stored::read(rows);
        for problem in problems {
            let _stopping =
                sync.send(Command::Problem(format!("stored rule {problem}"), Some("it is not used".to_owned())));
        }
        let none = Compiled { set: Arc::new(RuleSet::none()), own: Vec::new(), problems: Vec::new() };
        Self {
            shared,
            sync,
            stored: Mutex::new(stored),
            in_force: RwLock::new(Arc::new(none)),
            changing: tokio::sync::Mutex::default(),
            swap,
            troubled: Mutex::default(),
        }
    }

    fn stored(&self) -> Stored {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rules in force.
    /// The rules, to look at what is past: also where nothing is heard, and none is in force.
    pub(in crate::daemon) fn set(&self, settings: &Settings) -> Arc<RuleSet> {
        let detection = &settings.detection;
        if detection.is_on() {
            return Arc::clone(&self.compiled().set);
        }
        compile(detection, &settings.rule_files, &self.stored()).set
    }

    pub(super) fn compiled(&self) -> Arc<Compiled> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_in_force(&self, compiled: Arc<Compiled>) {
        self.note_problems(&compiled.problems);
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = compiled;
    }

    /// Shows what is wrong with rules, and no longer what is right again.
    fn note_problems(&self, problems: &[rules::Problem]) {
        let is_shown = |problem: &&rules::Problem| problem.weight == Weight::Error || problem.file == rules::OVERRIDES;
        let said = |problem: &rules::Problem| match problem.weight {
            Weight::Error => {
                (format!("rules {}:{}", problem.file, problem.line), format!("{}; it is not used", problem.what))
            }
            Weight::Warning => (format!("rules {}", problem.file), problem.what.clone()),
        };
        let now: Vec<(String, String)> = problems.iter().filter(is_shown).take(SHOWN).map(said).collect();
        let mut troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        for part in troubled.drain(..).filter(|part| now.iter().all(|(other, _)| other != part)) {
            let _stopping = self.sync.send(Command::Problem(part, None));
        }
        for (part, what) in now {
            let _stopping = self.sync.send(Command::Problem(part.clone(), Some(what)));
            troubled.push(part);
        }
    }

    /// Compiles the rules anew, as settings that are in force now say. Takes its time.
    pub(super) fn renew(&self, detection: &Detection, files: &Files) -> Arc<Compiled> {
        let compiled = Arc::new(compile(detection, files, &self.stored()));
        self.put_in_force(Arc::clone(&compiled));
        compiled
    }

    /// How many rules there are, and how many are run.
    pub(super) fn counts(&self) -> (u64, u64) {
        let rows = self.rows();
        (rows.len() as u64, rows.iter().filter(|row| row.enabled).count() as u64)
    }

    fn rows(&self) -> Vec<RuleRow> {
        let (compiled, stored) = (self.compiled(), self.stored());
        let detection = Arc::clone(&self.shared.read().settled.detection);
        let changed = overrides(&detection, &stored);
        let mut rows: Vec<RuleRow> = compiled.set.describe().into_iter().map(|info| row(info, &changed)).collect();
        rows.extend(stored.own.iter().filter_map(|(id, made)| match made {
            Made::Analyzer { rule } => Some(analyzer_row(id, rule)),
            Made::Sigma { .. } => None,
        }));
        rows
    }

    /// The rules; those that are run, or not, where that is asked.
    pub fn list(&self, enabled: Option<bool>) -> Vec<RuleRow> {
        let mut rows = self.rows();
        rows.retain(|row| enabled.is_none_or(|enabled| row.enabled == enabled));
        rows
    }

    /// A rule with its text.
    ///
    /// # Errors
    /// [`RuleError::Unknown`].
    pub fn show(&self, id: &str) -> Result<RuleDetail, RuleError> {
        let unknown = || RuleError::Unknown(id.to_owned());
        let rule = self.rows().into_iter().find(|row| row.id == id).ok_or_else(unknown)?;
        let stored = self.stored();
        let text = match stored.own.get(id) {
            Some(Made::Sigma { yaml }) => yaml.clone(),
            Some(Made::Analyzer { rule }) => serde_json::to_string_pretty(rule).unwrap_or_default(),
            None => {
                let read = Arc::clone(&self.shared.read().settled.rule_files);
                let of_other = || {
                    rule.file.strip_prefix(OWN).and_then(|id| match stored.own.get(id) {
                        Some(Made::Sigma { yaml }) => Some(yaml.clone()),
                        _ => None,
                    })
                };
                let file = read.files.iter().find(|file| file.name == rule.file);
                file.map(|file| file.text.to_string()).or_else(of_other).unwrap_or_default()
            }
        };
        Ok(RuleDetail { r#override: stored.overrides.get(id).copied(), rule, text })
    }

    /// The analyzers, as the settings have them.
    pub fn analyzers(&self) -> Vec<AnalyzerRow> {
        let detection = Arc::clone(&self.shared.read().settled.detection);
        let parameter = |parameter: Parameter| ParameterRow {
            name: parameter.name.to_owned(),
            description: parameter.description,
            unit: parameter.unit.to_owned(),
            value: parameter.value,
            default: parameter.default,
        };
        let row = |description: Description| AnalyzerRow {
            name: description.name.to_owned(),
            description: description.description.to_owned(),
            enabled: description.enabled,
            parameters: description.parameters.into_iter().map(parameter).collect(),
        };
        analyzers::describe(&detection.analyzers).into_iter().map(row).collect()
    }

    /// Makes a change: it is checked, put in force, saved, and then told.
    ///
    /// # Errors
    /// [`RuleError`]: nothing has changed; but for [`SyncError::NotSaved`].
    pub async fn change(&self, change: RuleChange, dry_run: bool, actor: String) -> Result<RuleReport, RuleError> {
        let _turn = self.changing.lock().await;
        let settings = Arc::clone(&self.shared.read().settled);
        let before = self.stored();
        let known = self.rows();
        let planned = tokio::task::spawn_blocking(move || -> Result<_, RuleError> {
            let (id, action, after) = plan(&change, &before, &known, &settings.detection)?;
            let compiled = compile(&settings.detection, &settings.rule_files, &after);
            let rejects = rejects(&compiled.problems, &id, &after);
            let (errors, warnings): (Vec<_>, Vec<_>) =
                rejects.into_iter().partition(|(weight, _)| *weight == Weight::Error);
            if !errors.is_empty() {
                let rows: Vec<RejectRow> = errors.into_iter().map(|(_, row)| row).collect();
                let first = rows.first().map(|row| format!("line {}: {}", row.line, row.why)).unwrap_or_default();
                return Err(RuleError::Bad(first, rows));
            }
            let warnings = warnings.into_iter().map(|(_, row)| row).collect();
            Ok((id, action, before, after, compiled, warnings))
        });
        let failed = |error: tokio::task::JoinError| RuleError::Bad(error.to_string(), Vec::new());
        let (id, action, before, after, compiled, warnings) = planned.await.map_err(failed)??;
        let changes = before.changes(&after);
        let report = RuleReport { id: id.clone(), changed: !changes.is_empty(), dry_run, warnings };
        if dry_run || !report.changed {
            return Ok(report);
        }
        *self.stored.lock().unwrap_or_else(PoisonError::into_inner) = after;
        let compiled = Arc::new(compiled);
        self.put_in_force(Arc::clone(&compiled));
        // A daemon that stops judges nothing any more.
        let _stopping = self.swap.send(compiled).await;
        let audit = (actor, action.to_owned(), id, serde_json::json!({}));
        self.sync.ask(|reply| Command::Save(changes, Some(audit), Some(reply))).await?;
        Ok(report)
    }
}

fn row(info: RuleInfo, changed: &Overrides) -> RuleRow {
    let texts = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect();
    let is_own = info.file.starts_with(OWN);
    RuleRow {
        overridden: changed.contains_key(&*info.id),
        id: info.id.to_string(),
        name: info.title.to_string(),
        description: info.description.to_string(),
        origin: if info.shipped {
            "shipped"
        } else if is_own {
            "own"
        } else {
            "file"
        }
        .to_owned(),
        kind: match info.kind {
            rules::Kind::Detection => "detection",
            rules::Kind::Repeated => "repeated",
            rules::Kind::Correlation => "correlation",
        }
        .to_owned(),
        analyzer: None,
        severity: info.severity,
        confidence: info.confidence,
        enabled: info.enabled,
        alerts: info.alerts,
        response: info.response,
        threshold: info.threshold,
        within_s: info.within_s,
        technique: texts(&info.techniques),
        tags: texts(&info.tags),
        falsepositives: info.falsepositives,
        line: info.line,
        file: info.file,
    }
}

fn analyzer_row(id: &str, rule: &AnalyzerRule) -> RuleRow {
    RuleRow {
        id: id.to_owned(),
        name: rule.name.clone(),
        description: rule.description.clone(),
        origin: "own".to_owned(),
        kind: "analyzer".to_owned(),
        analyzer: Some(rule.analyzer.clone()),
        severity: rule.severity_override.unwrap_or(Severity::Medium),
        confidence: 0,
        enabled: rule.enabled,
        alerts: true,
        response: None,
        threshold: None,
        within_s: None,
        technique: Vec::new(),
        tags: Vec::new(),
        falsepositives: Vec::new(),
        file: String::new(),
        line: 0,
        overridden: false,
    }
}
