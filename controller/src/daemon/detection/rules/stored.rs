//! What people made and changed, as the store has it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::adapters::store::Change;
use crate::domain::report::{AnalyzerRule, OverrideRequest};

/// What keys of the store begin with.
const OWN_KEY: &str = "own/";
const OVERRIDE_KEY: &str = "override/";

/// A rule that somebody made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum Made {
    /// Sigma.
    Sigma { yaml: String },
    /// An analyzer with settings of its own.
    Analyzer { rule: AnalyzerRule },
}

/// What people made and changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) own: BTreeMap<String, Made>,
    pub(super) overrides: BTreeMap<String, OverrideRequest>,
}

impl Stored {
    /// As the store has it; what is not understood is said.
    pub(super) fn read(rows: BTreeMap<String, String>) -> (Self, Vec<String>) {
        let (mut stored, mut problems) = (Self::default(), Vec::new());
        for (key, text) in rows {
            let read = if let Some(id) = key.strip_prefix(OWN_KEY) {
                serde_json::from_str(&text).map(|made| {
                    stored.own.insert(id.to_owned(), made);
                })
            } else if let Some(id) = key.strip_prefix(OVERRIDE_KEY) {
                serde_json::from_str(&text).map(|change| {
                    stored.overrides.insert(id.to_owned(), change);
                })
            } else {
                problems.push(format!("{key}: not a rule of this weir"));
                continue;
            };
            if let Err(error) = read {
                problems.push(format!("{key}: {error}"));
            }
        }
        (stored, problems)
    }

    /// The changes that make the store hold `other` in place of this.
    pub(super) fn changes(&self, other: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        difference(OWN_KEY, &self.own, &other.own, &mut changes);
        difference(OVERRIDE_KEY, &self.overrides, &other.overrides, &mut changes);
        changes
    }
}

fn difference<T: PartialEq + Serialize>(
    prefix: &str,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
    changes: &mut Vec<Change>,
) {
    let gone = old.keys().filter(|id| !new.contains_key(*id));
    changes.extend(gone.map(|id| Change::RemoveRule { id: format!("{prefix}{id}") }));
    for (id, value) in new.iter().filter(|(id, value)| old.get(*id) != Some(value)) {
        // Texts and numbers always make a document.
        if let Ok(rule) = serde_json::to_string(value) {
            changes.push(Change::PutRule { id: format!("{prefix}{id}"), rule });
        }
    }
}
