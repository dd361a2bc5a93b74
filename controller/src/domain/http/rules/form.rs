//! Rules as people fill them in: a name, what fields must be, how bad it is.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yaml_serde::{Mapping, Value};

use super::fields;
use crate::domain::duration;
use crate::domain::http::finding::Response;
use crate::domain::http::severity::Severity;

/// A rule filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleForm)]
pub struct Form {
    /// Its name, in a few words.
    pub name: String,
    /// In more words.
    #[serde(default)]
    pub description: String,
    /// How bad it is.
    pub severity: Severity,
    /// What must be so of one event, all of it.
    pub conditions: Vec<Condition>,
    /// How many such events make a finding; one, if it is not said.
    #[serde(default)]
    pub threshold: Option<u64>,
    /// Within how many seconds.
    #[serde(default)]
    pub within_s: Option<u64>,
    /// What is done.
    #[serde(default)]
    pub response: Option<Response>,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RuleCompare)]
pub enum Compare {
    /// It is one of the values.
    Is,
    /// One of the values is in it.
    Contains,
    /// It starts with one of the values.
    StartsWith,
    /// It ends with one of the values.
    EndsWith,
    /// One of the values, as a pattern, matches in it.
    Re,
    /// It is an address in one of the prefixes.
    Cidr,
    /// It is at least the value.
    Gte,
    /// It is at most the value.
    Lte,
}

/// What must be so of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RuleCondition)]
pub struct Condition {
    /// The field.
    pub field: String,
    /// How it is compared.
    #[serde(default = "is")]
    pub compare: Compare,
    /// With what: one of them is enough.
    pub values: Vec<String>,
}

const fn is() -> Compare {
    Compare::Is
}

/// Why a form is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A part is empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field is none.
    #[error("no log has a field {field}{}", nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default())]
    Field {
        /// The field.
        field: String,
        /// One that is, and is like it.
        nearest: Option<&'static str>,
    },
    /// Only one of the two.
    #[error("threshold and within_s belong together: give both or neither")]
    Half,
    /// It could not be written.
    #[error("the rule cannot be written: {0}")]
    Written(String),
}

impl Form {
    /// The same as a Sigma rule of this id.
    ///
    /// # Errors
    /// [`FormError`], where something is missing or no field.
    pub fn to_yaml(&self, id: &str) -> Result<String, FormError> {
        if self.name.trim().is_empty() {
            return Err(FormError::Missing("name"));
        }
        if self.conditions.is_empty() {
            return Err(FormError::Missing("a condition"));
        }
        let mut selection = Mapping::new();
        let mut selections: Vec<Value> = Vec::new();
        for condition in &self.conditions {
            if !fields::known(&condition.field) {
                let nearest = fields::nearest(&condition.field);
                return Err(FormError::Field { field: condition.field.clone(), nearest });
            }
            if condition.values.iter().all(String::is_empty) {
                return Err(FormError::Missing("a value"));
            }
            let (key, values) = condition.item();
            if selection.contains_key(&key) {
                selections.push(Value::Mapping(std::mem::take(&mut selection)));
            }
            selection.insert(key, values);
        }
        selections.push(Value::Mapping(selection));
        let mut detection = Mapping::new();
        for (number, selection) in selections.into_iter().enumerate() {
            detection.insert(format!("selection_{number}").into(), selection);
        }
        detection.insert("condition".into(), "all of selection_*".into());
        let mut rule = Mapping::new();
        rule.insert("title".into(), self.name.as_str().into());
        rule.insert("id".into(), id.into());
        if !self.description.is_empty() {
            rule.insert("description".into(), self.description.as_str().into());
        }
        rule.insert("level".into(), self.severity.name().into());
        rule.insert("logsource".into(), mapping([("category", "webserver".into())]));
        rule.insert("detection".into(), Value::Mapping(detection));
        let extra = self.extra()?;
        if !extra.is_empty() {
            rule.insert("weir".into(), Value::Mapping(extra));
        }
        yaml_serde::to_string(&Value::Mapping(rule)).map_err(|error| FormError::Written(error.to_string()))
    }

    fn extra(&self) -> Result<Mapping, FormError> {
        let mut extra = Mapping::new();
        let (word, lasts) = match self.response {
            None => (None, None),
            Some(Response::Observe) => (Some("observe"), None),
            Some(Response::Notify) => (Some("notify"), None),
            Some(Response::Limit { for_s }) => (Some("limit"), Some(for_s)),
            Some(Response::Deny { for_s }) => (Some("deny"), Some(for_s)),
            Some(Response::DenyUser { for_s }) => (Some("deny_user"), Some(for_s)),
        };
        if let Some(word) = word {
            extra.insert("response".into(), word.into());
        }
        if let Some(lasts) = lasts {
            extra.insert("for".into(), duration::format(lasts).into());
        }
        match (self.threshold, self.within_s) {
            (None, None) => {}
            (Some(count), Some(within_s)) => {
                let within = duration::format(within_s).into();
                extra.insert("repeat".into(), mapping([("count", count.into()), ("within", within)]));
            }
            _ => return Err(FormError::Half),
        }
        Ok(extra)
    }
}

impl Condition {
    fn item(&self) -> (Value, Value) {
        let modifier = match self.compare {
            Compare::Is => "",
            Compare::Contains => "|contains",
            Compare::StartsWith => "|startswith",
            Compare::EndsWith => "|endswith",
            Compare::Re => "|re",
            Compare::Cidr => "|cidr",
            Compare::Gte => "|gte",
            Compare::Lte => "|lte",
        };
        let written = |value: &String| match self.compare {
            Compare::Gte | Compare::Lte => value.parse::<u64>().map_or_else(|_| value.as_str().into(), Value::from),
            // What would be a wildcard in a rule is plain text in a form.
            Compare::Is | Compare::Contains | Compare::StartsWith | Compare::EndsWith => {
                value.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?").into()
            }
            Compare::Re | Compare::Cidr => value.as_str().into(),
        };
        let mut values: Vec<Value> = self.values.iter().filter(|value| !value.is_empty()).map(written).collect();
        let values = if values.len() == 1 { values.swap_remove(0) } else { Value::Sequence(values) };
        (format!("{}{modifier}", self.field).into(), values)
    }
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}
