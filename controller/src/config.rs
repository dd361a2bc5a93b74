//! Settings: text and environment in, a configuration that is valid by construction out.
//!
//! Three steps, each with its own file: what was given, with its place (`given`); the same as plain values, where every
//! key has a default (`raw`); and what the rest of weir sees (`types`), made by `valid`. Nothing here reads a file or
//! the environment: both are handed in.
mod environment;
mod error;
mod given;
mod raw;
mod suggest;
mod types;
mod valid;

use serde::{Deserialize as _, Serialize};

pub use self::error::{ConfigError, Place, Problem};
use self::given::Given;
use self::raw::Raw;
pub use self::types::{
    AlertSettings, Api, Audit, Config, Credential, Crowdsec, CrowdsecTls, Detection, Events, Feed, FeedAction, Geo,
    Headers, InterfaceName, InterfaceNameError, Location, Log, LogFormat, LogLevel, LogSource, Mode, NeverBlock,
    OverBudget, PlacePrior, Privacy, Protected, Reputation, RuleOverride, RuleSettings, SourcePlace, State,
    UnknownMode,
};

/// Largest configuration that is read: two thousand times the shipped one.
pub const LARGEST: usize = 1 << 20;

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in force: those of no section first, then by name.
    pub settings: Vec<Setting>,
    /// What is legal and worth knowing, a sentence each: limits that cost more than they hold, settings that do nothing.
    pub warnings: Vec<String>,
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its key, as in `limits.source.burst` or `lists[0].name`.
    pub key: String,
    /// Its value, as TOML writes it.
    pub value: String,
    /// Where it was given.
    pub source: Source,
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nowhere.
    Default,
    /// In the file.
    File {
        /// From 1.
        line: usize,
    },
    /// In this variable of the environment.
    Env(String),
}

/// Reads a configuration from bytes: as [`parse`], and says what is wrong with an encoding.
///
/// # Errors
/// [`ConfigError`].
pub fn parse_bytes(
    bytes: &[u8],
    file: &str,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(ConfigError::in_file(file, Problem::Utf16));
    }
    // Before the bytes are looked at one by one.
    too_large(bytes.len(), file)?;
    match str::from_utf8(bytes) {
        Ok(text) => parse(text, file, env),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let place = Place::at(file, &String::from_utf8_lossy(before), error.valid_up_to());
            Err(ConfigError { place, problem: Box::new(Problem::NotUtf8) })
        }
    }
}

/// Reads a configuration. `file` is only what errors call it; `env` is all of the environment, of which variables that
/// begin with `WEIR_` are read: `WEIR_LIMITS__SOURCE__BURST` stands for `burst` under `[limits.source]` and goes before
/// the file, and lists are separated by commas.
///
/// Empty text and environment make the defaults.
///
/// # Errors
/// [`ConfigError`]: the first thing wrong, with its place. Nothing is guessed and nothing ignored.
pub fn parse(text: &str, file: &str, env: impl Iterator<Item = (String, String)>) -> Result<Loaded, ConfigError> {
    too_large(text.len(), file)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let schema = raw::schema();
    let mut given = Given::read(text, file, &schema)?;
    environment::apply(&mut given, &schema, env)?;
    // Keys and types have been held against those of `Raw`, so this is only the change of form.
    let mut raw = Raw::deserialize(given.values().clone()).map_err(|error| {
        ConfigError::in_file(file, Problem::Syntax { message: error.message().to_owned(), found: String::new() })
    })?;
    let (config, warnings) = valid::config(&mut raw).map_err(|fault| given.error(&fault.key, fault.problem))?;
    let settings = settings(&raw, &given);
    Ok(Loaded { config, settings, warnings })
}

fn too_large(bytes: usize, file: &str) -> Result<(), ConfigError> {
    if bytes <= LARGEST {
        return Ok(());
    }
    Err(ConfigError::in_file(file, Problem::TooLarge { bytes }))
}

fn settings(raw: &Raw, given: &Given<'_>) -> Vec<Setting> {
    let mut settings = Vec::new();
    raw::each_leaf(&raw.to_table(), &mut |key, value| {
        settings.push(Setting { key: key.to_owned(), value: value.to_string(), source: given.source(key) });
    });
    settings.sort_by_key(|setting| setting.key.contains('.'));
    settings
}

#[cfg(test)]
mod tests;
