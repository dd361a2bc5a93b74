//! What was given and where: text to values whose keys and types are known ones.
use std::collections::BTreeMap;

use toml::de::{DeArray, DeInteger, DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Place, Problem};
use super::raw::{each_leaf, is_list_of_sections, join};
use super::{Source, suggest};

/// The largest whole number TOML has.
pub(super) const LARGEST_NUMBER: u64 = i64::MAX.unsigned_abs();

/// Of several sections that have a key, the one to name.
const MEANT_FIRST: &str = "limits.source";

/// Values that were given, checked for key and type, each with its place.
#[derive(Debug)]
pub(super) struct Given<'a> {
    file: &'a str,
    text: &'a str,
    values: Table,
    spots: BTreeMap<String, Spot>,
    /// The byte behind each line feed.
    line_starts: Vec<usize>,
}

/// A place as it is noted.
#[derive(Clone, Debug)]
enum Spot {
    /// From this byte of the text.
    Text(usize),
    /// In this variable.
    Variable(String),
}

/// A problem and the byte of the text it begins at.
struct Fault {
    offset: usize,
    problem: Problem,
}

impl<'a> Given<'a> {
    /// Reads a file's text against all keys there are.
    ///
    /// # Errors
    /// [`ConfigError`] at the first thing that is no TOML, no known key or of the wrong type.
    pub(super) fn read(text: &'a str, file: &'a str, schema: &Table) -> Result<Self, ConfigError> {
        let document = DeTable::parse(text).map_err(|error| syntax(text, file, &earliest(text, error)))?;
        let mut reader = Reader { schema, spots: BTreeMap::new() };
        let values = reader.section(schema, document.get_ref(), &Heading::default()).map_err(|fault| ConfigError {
            place: Place::at(file, text, fault.offset),
            problem: Box::new(fault.problem),
        })?;
        let line_starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Ok(Self { file, text, values, spots: reader.spots, line_starts })
    }

    /// The values.
    pub(super) fn values(&self) -> &Table {
        &self.values
    }

    /// Puts a variable's value in place of what the file gave.
    pub(super) fn put(&mut self, key: &str, variable: &str, value: Value) {
        let mut at = &mut self.values;
        let mut names: Vec<&str> = key.split('.').collect();
        let last = names.pop().unwrap_or_default();
        for name in names {
            let section = at.entry(name).or_insert_with(|| Value::Table(Table::new()));
            // The keys come from the schema and the file was held against it, so it is a section.
            let Value::Table(section) = section else { return };
            at = section;
        }
        at.insert(last.to_owned(), value);
        // The file's elements are gone with its list.
        let elements = format!("{key}[");
        self.spots.retain(|spot, _| !spot.starts_with(&elements));
        self.spots.insert(key.to_owned(), Spot::Variable(variable.to_owned()));
    }

    /// Where a setting was given.
    pub(super) fn source(&self, key: &str) -> Source {
        match self.spots.get(key) {
            None => Source::Default,
            Some(Spot::Variable(name)) => Source::Env(name.clone()),
            Some(Spot::Text(offset)) => {
                Source::File { line: 1 + self.line_starts.partition_point(|start| start <= offset) }
            }
        }
    }

    /// An error at the place of a key, or of what holds it where it was not given itself.
    pub(super) fn error(&self, key: &str, problem: Problem) -> ConfigError {
        let holders = std::iter::successors(Some(key), |key| key.rfind(['.', '[']).and_then(|end| key.get(..end)));
        let spot = holders.into_iter().find_map(|key| self.spots.get(key));
        let place = match spot {
            None => Place::File(self.file.to_owned()),
            Some(Spot::Text(offset)) => Place::at(self.file, self.text, *offset),
            Some(Spot::Variable(name)) => Place::Environment(name.clone()),
        };
        ConfigError { place, problem: Box::new(problem) }
    }
}

/// The first error of a text in which `reported` was found.
///
/// The parser looks at structure before it looks into values, so what it reports first may come later in the text.
/// Finding all takes memory for each, so a text much larger than any configuration is spared.
fn earliest(text: &str, reported: toml::de::Error) -> toml::de::Error {
    const LOOKED_THROUGH: usize = 1 << 16;
    if text.len() > LOOKED_THROUGH {
        return reported;
    }
    let (_, errors) = DeTable::parse_recoverable(text);
    let start = |error: &toml::de::Error| error.span().map_or(usize::MAX, |span| span.start);
    errors.into_iter().min_by_key(start).unwrap_or(reported)
}

/// What the TOML parser refused, with the beginning of what stands there.
fn syntax(text: &str, file: &str, error: &toml::de::Error) -> ConfigError {
    const SHOWN: usize = 40;
    let message = error.message().to_owned();
    let Some(span) = error.span() else {
        let problem = Problem::Syntax { message, found: String::new() };
        return ConfigError::in_file(file, problem);
    };
    let place = Place::at(file, text, span.start);
    let found = text.get(span).and_then(|found| found.lines().next()).unwrap_or_default();
    let found = found.chars().take(SHOWN).collect();
    ConfigError { place, problem: Box::new(Problem::Syntax { message, found }) }
}

/// A section by its key, and by the words above it in the file.
#[derive(Clone, Debug, Default)]
struct Heading {
    key: String,
    text: String,
}

impl Heading {
    fn section(key: String) -> Self {
        let text = format!("[{key}]");
        Self { key, text }
    }

    fn element(list: &str, at: usize) -> Self {
        Self { key: format!("{list}[{at}]"), text: format!("[[{list}]]") }
    }
}

/// Holds what is given against all keys there are, and notes the places.
struct Reader<'a> {
    schema: &'a Table,
    spots: BTreeMap<String, Spot>,
}

impl Reader<'_> {
    fn section(&mut self, known: &Table, given: &DeTable<'_>, heading: &Heading) -> Result<Table, Fault> {
        let mut values = Table::new();
        // In the file's order, so that the first error is the first one in the file.
        let mut entries: Vec<_> = given.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let named_at = name.span().start;
            let name: &str = name.get_ref();
            let Some(sample) = known.get(name) else {
                return Err(Fault { offset: named_at, problem: self.unknown(name, known, heading) });
            };
            let key = join(&heading.key, name);
            let value = match (sample, value.get_ref()) {
                (Value::Array(samples), DeValue::Array(elements)) => {
                    self.note(&key, value);
                    self.list(samples.first(), elements, &key)?
                }
                (_, DeValue::Table(_)) if !sample.is_table() => {
                    // The place of a section is its heading, and of that its name.
                    return Err(Fault { offset: named_at, problem: wrong_type(sample, value.get_ref(), key) });
                }
                _ => self.value(sample, value, Heading::section(key))?,
            };
            values.insert(name.to_owned(), value);
        }
        Ok(values)
    }

    fn list(&mut self, sample: Option<&Value>, elements: &DeArray<'_>, key: &str) -> Result<Value, Fault> {
        let text = Value::String(String::new());
        let sample = sample.unwrap_or(&text);
        let elements = elements.iter().enumerate();
        let values = elements.map(|(at, element)| self.value(sample, element, Heading::element(key, at)));
        values.collect::<Result<_, _>>().map(Value::Array)
    }

    /// A value under its own heading, which matters if it is a section.
    fn value(&mut self, sample: &Value, given: &Spanned<DeValue<'_>>, heading: Heading) -> Result<Value, Fault> {
        self.note(&heading.key, given);
        let problem = match (sample, given.get_ref()) {
            (Value::String(_), DeValue::String(text)) => return Ok(Value::String(text.clone().into_owned())),
            (Value::Boolean(_), DeValue::Boolean(value)) => return Ok(Value::Boolean(*value)),
            (Value::Table(known), DeValue::Table(section)) => {
                return self.section(known, section, &heading).map(Value::Table);
            }
            (Value::Integer(_), DeValue::Integer(number)) => match whole(number) {
                Some(number) => return Ok(Value::Integer(number)),
                None => {
                    Problem::OutOfRange { key: heading.key, value: number.to_string(), least: 0, most: LARGEST_NUMBER }
                }
            },
            (Value::Float(_), DeValue::Float(number)) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() && number >= 0.0 => return Ok(Value::Float(number)),
                _ => wrong_type(sample, given.get_ref(), heading.key),
            },
            (Value::Float(_), DeValue::Integer(number)) => match whole(number).and_then(|n| u32::try_from(n).ok()) {
                Some(number) => return Ok(Value::Float(f64::from(number))),
                None => wrong_type(sample, given.get_ref(), heading.key),
            },
            (sample, given) => wrong_type(sample, given, heading.key),
        };
        Err(Fault { offset: given.span().start, problem })
    }

    fn note(&mut self, key: &str, given: &Spanned<DeValue<'_>>) {
        self.spots.insert(key.to_owned(), Spot::Text(given.span().start));
    }

    fn unknown(&self, name: &str, known: &Table, heading: &Heading) -> Problem {
        let here = suggest::nearest(name, known.keys().map(String::as_str)).map(|key| format!("{key:?}"));
        let elsewhere = || {
            let mut found: Option<String> = None;
            each_leaf(self.schema, &mut |key, _| {
                let (section, leaf) = key.rsplit_once('.').unwrap_or(("", key));
                if leaf == name && (found.is_none() || section == MEANT_FIRST) {
                    found = Some(match (section, section.strip_suffix("[0]")) {
                        ("", _) => format!("{name:?} before the first [section]"),
                        (_, Some(list)) => format!("{name:?} in [[{list}]]"),
                        (_, None) => format!("{name:?} in [{section}]"),
                    });
                }
            });
            found
        };
        Problem::UnknownKey { key: name.to_owned(), section: heading.text.clone(), suggestion: here.or_else(elsewhere) }
    }
}

fn wrong_type(sample: &Value, given: &DeValue<'_>, key: String) -> Problem {
    Problem::WrongType { wanted: wanted(sample, &key), found: found(given).to_owned(), key }
}

fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| *number >= 0)
}

/// What a value of this type is called.
pub(super) fn wanted(sample: &Value, key: &str) -> String {
    match sample {
        Value::String(_) => "text in quotes".to_owned(),
        Value::Integer(_) => "a whole number".to_owned(),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Array(elements) if is_list_of_sections(elements) => format!("one or more [[{key}]] sections"),
        Value::Array(_) => "a list of texts, as in [\"one\", \"two\"]".to_owned(),
        Value::Table(_) if key.ends_with(']') => "a section".to_owned(),
        Value::Table(_) => format!("a section, [{key}]"),
        Value::Float(_) => "a number, as in 0.5".to_owned(),
        // No key is of this type.
        Value::Datetime(_) => sample.type_str().to_owned(),
    }
}

fn found(given: &DeValue<'_>) -> &'static str {
    match given {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
