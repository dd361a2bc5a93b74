//! Settings from the environment: `WEIR_SECTION__KEY`.
use toml::{Table, Value};

use super::error::{ConfigError, Place, Problem};
use super::given::{Given, LARGEST_NUMBER, wanted};
use super::raw::{each_leaf, is_list_of_sections, join};
use super::suggest;

/// What all of weir's variables begin with.
const PREFIX: &str = "WEIR_";

/// Variables that are somebody else's: the command line's and the tests'.
pub(super) const NOT_SETTINGS: [&str; 10] = [
    "WEIR_BLESS",
    "WEIR_DATA",
    "WEIR_SKIPPED",
    "WEIR_SEED",
    "WEIR_TEST_CROWDSEC",
    "WEIR_TEST_SCHEMATHESIS",
    "WEIR_TEST_GEO",
    "WEIR_SOCKET",
    "WEIR_CONFIG",
    "WEIR_LOG",
];

/// A setting that a variable can hold.
struct Settable {
    variable: String,
    key: String,
    sample: Value,
}

/// Puts the environment's settings over the file's.
///
/// # Errors
/// [`ConfigError`] at the first variable that begins like weir's and names no setting, or holds no value of its type.
pub(super) fn apply(
    given: &mut Given<'_>,
    schema: &Table,
    env: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let settable = settable(schema);
    // Sorted, so that of several errors it is always the same that is reported.
    let mut variables: Vec<_> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        if NOT_SETTINGS.contains(&name.as_str()) {
            continue;
        }
        let value = match settable.iter().find(|setting| setting.variable == name) {
            Some(setting) => value(setting, &text).map(|value| (setting.key.as_str(), value)),
            None => Err(unknown(&name, schema, &settable)),
        };
        match value {
            Ok((key, value)) => given.put(key, &name, value),
            Err(problem) => return Err(ConfigError { place: Place::Environment(name), problem: Box::new(problem) }),
        }
    }
    Ok(())
}

fn settable(schema: &Table) -> Vec<Settable> {
    let mut settable = Vec::new();
    each_leaf(schema, &mut |key, sample| {
        // Sections that come in any number have no name of their own.
        if !key.contains('[') {
            settable.push(Settable { variable: variable(key), key: key.to_owned(), sample: sample.clone() });
        }
    });
    settable
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn value(setting: &Settable, text: &str) -> Result<Value, Problem> {
    let Settable { key, sample, .. } = setting;
    let wrong = || Problem::WrongType {
        key: key.clone(),
        wanted: wanted(sample, key),
        found: if text.is_empty() { "empty".to_owned() } else { format!("{text:?}") },
    };
    match sample {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Boolean(_) => text.parse().map(Value::Boolean).ok().ok_or_else(wrong),
        Value::Integer(_) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(wrong());
            }
            let number = text.parse().ok().filter(|number: &i64| *number >= 0).map(Value::Integer);
            number.ok_or_else(|| Problem::OutOfRange {
                key: key.clone(),
                value: text.to_owned(),
                least: 0,
                most: LARGEST_NUMBER,
            })
        }
        Value::Array(_) => {
            let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
            Ok(Value::Array(elements.map(|element| Value::String(element.to_owned())).collect()))
        }
        Value::Float(_) => {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
            number.map(Value::Float).ok_or_else(wrong)
        }
        // No key is of these types.
        Value::Datetime(_) | Value::Table(_) => Err(wrong()),
    }
}

/// The keys of all lists of sections in a section, which no variable can hold.
fn lists_of_sections(section: &Table, path: &str) -> Vec<String> {
    let mut lists = Vec::new();
    for (name, value) in section {
        let key = join(path, name);
        match value {
            Value::Table(inner) => lists.extend(lists_of_sections(inner, &key)),
            Value::Array(elements) if is_list_of_sections(elements) => lists.push(key),
            Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
    lists
}

/// What is wrong with a variable that holds no setting.
fn unknown(name: &str, schema: &Table, settable: &[Settable]) -> Problem {
    let below = format!("{name}__");
    if let Some(setting) = settable.iter().find(|setting| setting.variable.starts_with(&below)) {
        return Problem::SectionVariable { example: setting.variable.clone() };
    }
    for list in lists_of_sections(schema, "") {
        let variable = variable(&list);
        if name == variable || name.starts_with(&format!("{variable}__")) {
            return Problem::FileOnly { list };
        }
    }
    // What all have in common says nothing about likeness.
    let own = |name: &'_ str| name.strip_prefix(PREFIX).map(str::to_owned).unwrap_or_default();
    let names: Vec<String> = settable.iter().map(|setting| own(&setting.variable)).collect();
    let suggestion = suggest::nearest(&own(name), names.iter().map(String::as_str));
    Problem::UnknownVariable { suggestion: suggestion.map(|meant| format!("{PREFIX}{meant}")) }
}
