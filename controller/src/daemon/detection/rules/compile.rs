//! From files, what people made, and overrides of both, to rules that can be used.
use std::collections::BTreeMap;
use std::sync::Arc;

use super::OWN;
use super::stored::{Made, Stored};
use crate::adapters::rules::Files;
use crate::config::Detection;
use crate::daemon::detection::engine::Own;
use crate::domain::http::analyzers::parameter::Given;
use crate::domain::http::analyzers::settings::{self, Settings};
use crate::domain::http::rules::{self, Override, Overrides, RuleFile, RuleSet, Weight};
use crate::domain::report::{AnalyzerRule, OverrideRequest};

/// Reads the files that the settings name. What is wrong with them: file, line, what; and with overrides, which changes
/// nothing else.
pub(in crate::daemon) fn files(detection: &Detection) -> (Files, Vec<String>, Vec<String>) {
    if !detection.rules.enabled || !detection.is_on() {
        return (Files::default(), Vec::new(), Vec::new());
    }
    let files = Files::read(detection.rules.shipped, &detection.rules.dirs);
    let unread = files.unread.iter().map(|unread| format!("{}: {}", unread.path.display(), unread.why));
    let mut problems: Vec<String> = unread.collect();
    let loaded = rules::load(&files.as_rules(), &overrides(detection, &Stored::default()));
    problems.extend(loaded.problems.iter().filter(|problem| problem.weight == Weight::Error).map(ToString::to_string));
    let warnings = loaded.problems.iter().filter(|problem| problem.file == rules::OVERRIDES).map(ToString::to_string);
    let warnings = warnings.collect();
    (files, problems, warnings)
}

/// What is otherwise about rules: as the settings say, then as people said.
pub(super) fn overrides(detection: &Detection, stored: &Stored) -> Overrides {
    let mut all: BTreeMap<String, OverrideRequest> = BTreeMap::new();
    for rule in &detection.rules.overrides {
        let change = OverrideRequest {
            // The settings switch rules off; `true` is what is usual.
            enabled: (!rule.enabled).then_some(false),
            severity: rule.severity,
            threshold: rule.threshold,
            within_s: rule.within_s,
            response: rule.response,
        };
        all.insert(rule.id.clone(), change);
    }
    for (id, change) in &stored.overrides {
        let before = all.remove(id).unwrap_or_default();
        all.insert(id.clone(), before.with(*change));
    }
    let plain = |change: OverrideRequest| Override {
        enabled: change.enabled,
        severity: change.severity,
        threshold: change.threshold,
        within_s: change.within_s,
        response: change.response,
    };
    all.into_iter().map(|(id, change)| (id, plain(change))).collect()
}

/// Rules that can be used.
#[derive(Debug)]
pub(in crate::daemon::detection) struct Compiled {
    pub(in crate::daemon::detection) set: Arc<RuleSet>,
    pub(in crate::daemon::detection) own: Vec<Own>,
    pub(super) problems: Vec<rules::Problem>,
}

pub(super) fn compile(detection: &Detection, read: &Files, stored: &Stored) -> Compiled {
    let mut files = read.as_rules();
    let names: Vec<(String, &str)> = stored
        .own
        .iter()
        .filter_map(|(id, made)| match made {
            Made::Sigma { yaml } => Some((format!("{OWN}{id}"), yaml.as_str())),
            Made::Analyzer { .. } => None,
        })
        .collect();
    files.extend(names.iter().map(|(name, text)| RuleFile { name, text, shipped: false }));
    let mut changes = overrides(detection, stored);
    let of_analyzers = |id: &String| matches!(stored.own.get(id), Some(Made::Analyzer { .. }));
    changes.retain(|id, _| !of_analyzers(id));
    let (set, problems) = if detection.rules.enabled {
        let loaded = rules::load(&files, &changes);
        (loaded.rules, loaded.problems)
    } else {
        (RuleSet::none(), Vec::new())
    };
    let unread = read.unread.iter().map(|unread| rules::Problem {
        file: unread.path.display().to_string(),
        line: 0,
        what: unread.why.clone(),
        weight: Weight::Error,
    });
    let problems = problems.into_iter().chain(unread).collect();
    let own = stored.own.iter().filter_map(|(id, made)| match made {
        Made::Analyzer { rule } if rule.enabled => of_analyzer(id, rule, &detection.analyzers).ok(),
        Made::Analyzer { .. } | Made::Sigma { .. } => None,
    });
    Compiled { set: Arc::new(set), own: own.collect(), problems }
}

/// An analyzer as a rule uses it: that one alone, with the rule's settings over the usual ones.
pub(super) fn of_analyzer(id: &str, rule: &AnalyzerRule, usual: &Settings) -> Result<Own, String> {
    let analyzer = settings::analyzer_named(&rule.analyzer).map_err(|error| error.to_string())?;
    let mut own = usual.clone();
    for name in settings::NAMES {
        own.set(name, "enabled", &Given::Flag(name == analyzer)).map_err(|error| error.to_string())?;
    }
    for (key, value) in &rule.config {
        let given =
            given(value).ok_or_else(|| format!("config.{key}: a number, a text, true, false or a list is wanted"))?;
        own.set(analyzer, key, &given).map_err(|error| error.to_string())?;
    }
    if let Some(error) = own.validate().first() {
        return Err(error.to_string());
    }
    Ok(Own {
        id: Arc::from(id),
        name: Arc::from(rule.name.as_str()),
        description: Arc::from(rule.description.as_str()),
        severity: rule.severity_override,
        hunt_id: rule.hunt_id.clone(),
        settings: own,
    })
}

pub(in crate::daemon) fn given(value: &serde_json::Value) -> Option<Given> {
    Some(match value {
        serde_json::Value::Bool(flag) => Given::Flag(*flag),
        serde_json::Value::Number(number) => Given::Number(number.as_f64()?),
        serde_json::Value::String(text) => Given::Text(text.clone()),
        serde_json::Value::Array(words) => {
            let word = |word: &serde_json::Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
            Given::List(words.iter().map(word).collect())
        }
        serde_json::Value::Null | serde_json::Value::Object(_) => return None,
    })
}
