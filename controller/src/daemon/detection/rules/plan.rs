//! What a change to the rules comes to.
use super::compile::of_analyzer;
use super::stored::{Made, Stored};
use super::{OWN, RuleChange, RuleError, SHOWN};
use crate::config::Detection;
use crate::domain::http::rules::{self, Form, Overrides, RuleFile, Weight};
use crate::domain::report::{AnalyzerRule, RejectRow, RuleRow};

/// Rules that people make at the most.
const MOST_OWN: usize = 1_000;
/// Of these, those that use an analyzer: each has a memory of its own.
const MOST_OF_ANALYZERS: usize = 32;

/// What is wrong with the rule of this id.
pub(super) fn rejects(problems: &[rules::Problem], id: &str, stored: &Stored) -> Vec<(Weight, RejectRow)> {
    if !matches!(stored.own.get(id), Some(Made::Sigma { .. })) {
        return Vec::new();
    }
    let file = format!("{OWN}{id}");
    let own = problems.iter().filter(|problem| problem.file == file).take(SHOWN);
    own.map(|problem| {
        let row = RejectRow { line: problem.line as u64, text: String::new(), why: problem.what.clone() };
        (problem.weight, row)
    })
    .collect()
}

/// What a change comes to: the rule's id, what it is called in the audit trail, and all that is stored afterwards.
pub(super) fn plan(
    change: &RuleChange,
    before: &Stored,
    known: &[RuleRow],
    detection: &Detection,
) -> Result<(String, &'static str, Stored), RuleError> {
    let mut after = before.clone();
    match change {
        RuleChange::Text { id, text, is_json } => {
            let (made, own_id) = made(text, *is_json, id.as_deref(), detection)?;
            let id = match id {
                None if before.own.contains_key(&own_id) || known.iter().any(|row| row.id == own_id) => {
                    return Err(RuleError::Exists(own_id));
                }
                None => own_id,
                Some(id) if before.own.contains_key(id) => {
                    if *id != own_id {
                        let why = format!("the text says that its id is {own_id:?}, and it is to replace {id:?}");
                        return Err(RuleError::Bad(why, Vec::new()));
                    }
                    id.clone()
                }
                Some(id) => return Err(not_own(id, known)),
            };
            if before.own.len() >= MOST_OWN && !before.own.contains_key(&id) {
                return Err(RuleError::TooMany(format!(
                    "{MOST_OWN} rules of one's own are the most; delete one first"
                )));
            }
            let of_analyzers = before.own.values().filter(|made| matches!(made, Made::Analyzer { .. })).count();
            if matches!(made, Made::Analyzer { .. })
                && of_analyzers >= MOST_OF_ANALYZERS
                && !before.own.contains_key(&id)
            {
                let why = format!("{MOST_OF_ANALYZERS} rules that use an analyzer are the most; delete one first");
                return Err(RuleError::TooMany(why));
            }
            after.own.insert(id.clone(), made);
            Ok((id, "rule put", after))
        }
        RuleChange::Override(id, change) => {
            if !known.iter().any(|row| row.id == *id) {
                return Err(RuleError::Unknown(id.clone()));
            }
            if let Some(Made::Analyzer { rule }) = after.own.get_mut(id) {
                if change.threshold.is_some() || change.within_s.is_some() || change.response.is_some() {
                    let why = "of a rule that uses an analyzer, `config` says these; replace its text";
                    return Err(RuleError::Bad(why.to_owned(), Vec::new()));
                }
                rule.enabled = change.enabled.unwrap_or(rule.enabled);
                rule.severity_override = change.severity.or(rule.severity_override);
            } else {
                let before = after.overrides.remove(id).unwrap_or_default();
                after.overrides.insert(id.clone(), before.with(*change));
            }
            Ok((id.clone(), "rule change", after))
        }
        RuleChange::Delete(id) => {
            let had = after.own.remove(id).is_some() | after.overrides.remove(id).is_some();
            if !had && !known.iter().any(|row| row.id == *id) {
                return Err(RuleError::Unknown(id.clone()));
            }
            Ok((id.clone(), "rule delete", after))
        }
    }
}

fn not_own(id: &str, known: &[RuleRow]) -> RuleError {
    match known.iter().find(|row| row.id == id) {
        Some(row) if row.file.is_empty() => RuleError::NotOwn(id.to_owned(), "weir".to_owned()),
        Some(row) => RuleError::NotOwn(id.to_owned(), row.file.clone()),
        None => RuleError::Unknown(id.to_owned()),
    }
}

/// A rule from its text, with its id.
fn made(text: &str, is_json: bool, id: Option<&str>, detection: &Detection) -> Result<(Made, String), RuleError> {
    let bad = |why: String| RuleError::Bad(why, Vec::new());
    if !is_json {
        return sigma(text.to_owned());
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    if let Some(yaml) = value.get("yaml").and_then(serde_json::Value::as_str) {
        return sigma(yaml.to_owned());
    }
    let name = value.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
    let own_id = id.map_or_else(|| slug(name), str::to_owned);
    if own_id.is_empty() {
        return Err(bad("name is missing: a rule has one, of letters and digits at least".to_owned()));
    }
    if value.get("analyzer").is_some() {
        let rule: AnalyzerRule = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        of_analyzer(&own_id, &rule, &detection.analyzers).map_err(bad)?;
        return Ok((Made::Analyzer { rule }, own_id));
    }
    let form: Form = serde_json::from_value(value).map_err(|error| {
        bad(format!("{error}; a rule is YAML (Sigma), a form (name, severity, conditions), or an analyzer's (name, analyzer, config)"))
    })?;
    let yaml = form.to_yaml(&own_id).map_err(|error| bad(error.to_string()))?;
    Ok((Made::Sigma { yaml }, own_id))
}

fn sigma(yaml: String) -> Result<(Made, String), RuleError> {
    let file = RuleFile { name: "rule", text: &yaml, shipped: false };
    let loaded = rules::load(&[file], &Overrides::new());
    let rejects: Vec<RejectRow> = loaded
        .problems
        .iter()
        .filter(|problem| problem.weight == Weight::Error)
        .take(SHOWN)
        .map(|problem| RejectRow { line: problem.line as u64, text: String::new(), why: problem.what.clone() })
        .collect();
    if let Some(first) = rejects.first() {
        return Err(RuleError::Bad(format!("line {}: {}", first.line, first.why), rejects));
    }
    let first = loaded.rules.describe().into_iter().min_by_key(|info| info.line);
    match first {
        Some(info) => Ok((Made::Sigma { yaml }, info.id.to_string())),
        None => Err(RuleError::Bad("there is no rule in it".to_owned(), Vec::new())),
    }
}

/// A name as an id.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-").chars().take(64).collect()
}

#[cfg(test)]
mod tests;
