//! What is wrong with a configuration, and where.
use std::fmt;

use crate::domain::limits::LimitError;

use super::LARGEST;

/// The first thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Box<Problem>,
}

impl ConfigError {
    /// This problem with the file as a whole.
    pub(super) fn in_file(file: &str, problem: Problem) -> Self {
        Self { place: Place::File(file.to_owned()), problem: Box::new(problem) }
    }
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file as a whole.
    File(String),
    /// At a character of the file.
    Position {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// In this variable of the environment.
    Environment(String),
}

impl Place {
    /// The place of the byte `offset` of `text`.
    pub(super) fn at(file: &str, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        Self::Position { file: file.to_owned(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Position { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More text than any configuration.
    #[error("{bytes} bytes are too many for a configuration; the most is {LARGEST}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Bytes that are no text.
    #[error("not UTF-8 from here on; save the file as UTF-8")]
    NotUtf8,
    /// The encoding of another system's editor.
    #[error("the file is UTF-16; save it as UTF-8")]
    Utf16,
    /// Text that is no TOML.
    #[error("{message}{}", quoted(.found))]
    Syntax {
        /// What is wrong, in the words of the TOML parser.
        message: String,
        /// What stands there; may be empty.
        found: String,
    },
    /// Not a key.
    #[error("unknown key {key:?}{}{}", within(.section), hint(.suggestion.as_ref()))]
    UnknownKey {
        /// What stands there.
        key: String,
        /// The section's heading; empty: none.
        section: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A variable that sets nothing.
    #[error("no setting has this name{}", hint(.suggestion.as_ref()))]
    UnknownVariable {
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A variable named after a whole section.
    #[error("this is a section; its keys are set one by one, as in {example}")]
    SectionVariable {
        /// One of its keys' variables.
        example: String,
    },
    /// A variable named after what only the file can hold.
    #[error("[[{list}]] can only be given in the file")]
    FileOnly {
        /// The list of sections.
        list: String,
    },
    /// A value of another type.
    #[error("{key:?} must be {wanted}, and is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// A number outside what makes sense.
    #[error("{key:?} is {value}; it must be from {least} to {most}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The number.
        value: String,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// Not one of the words that may stand there.
    #[error("{key:?} is {value:?}; it must be one of {}{}", .choices.join(", "), hint(.suggestion.as_ref()))]
    NotOneOf {
        /// The key.
        key: String,
        /// The word.
        value: String,
        /// What may stand there.
        choices: Vec<&'static str>,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// Not what the key takes.
    #[error("{key:?} is {value:?}: {why}")]
    Refused {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// What must be given is not.
    #[error("{key:?} is missing: {why}")]
    Missing {
        /// The key.
        key: String,
        /// What it is for.
        why: &'static str,
    },
    /// The same value twice where each may stand once.
    #[error("{key:?}: {value:?} is named twice")]
    Repeated {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A setting of an analyzer that makes no sense.
    #[error("{0}")]
    Analyzer(String),
    /// A limit that the kernel could not keep to.
    #[error("{key:?}: {reason}")]
    Limit {
        /// The key.
        key: String,
        /// Why.
        reason: LimitError,
    },
}

fn quoted(found: &str) -> String {
    if found.is_empty() { String::new() } else { format!(": {found:?}") }
}

fn within(section: &str) -> String {
    if section.is_empty() { String::new() } else { format!(" in {section}") }
}

fn hint(suggestion: Option<&String>) -> String {
    suggestion.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}
