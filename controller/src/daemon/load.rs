//! From the configuration's file to the settings a policy is built with.
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;

use crate::adapters::system::{facts, sockets};
use crate::adapters::{clock, privacy_key};
use crate::config::{self, Config, Loaded, OverBudget, Source};
use crate::domain::cutoff::{self, CutOff};
use crate::domain::decision::Enforcement;
use crate::domain::floods::Floods;
use crate::domain::listfile;
use crate::domain::privacy::Names;
use crate::domain::report::SettingRow;
use crate::sync::Settings;

/// The file that is read when none is named; it need not exist.
pub const DEFAULT_FILE: &str = "/etc/weir/weir.toml";

/// The never-block set that comes with weir.
const SHIPPED: &[u8] = include_bytes!("../../never-block/default.txt");

/// Reads the configuration from a file (the default one may be missing) and the environment.
///
/// # Errors
/// What is wrong with it, with the place.
pub fn read(file: Option<&Path>) -> Result<(String, Loaded)> {
    let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
    // One byte more than is read tells that there is more.
    let limit = u64::try_from(config::LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {}
        Err(error) => return Err(error).with_context(|| format!("read the configuration {}", path.display())),
    }
    let name = path.display().to_string();
    let loaded = config::parse_bytes(&bytes, &name, environment()?.into_iter())?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), loaded))
}

/// Reads a configuration from text that was in force before.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str, name: &str) -> Result<Loaded> {
    Ok(config::parse(text, name, environment()?.into_iter())?)
}

/// The environment. Variables of others may hold any bytes; ours may not.
fn environment() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (key, value) in std::env::vars_os() {
        let Ok(key) = key.into_string() else { continue };
        match value.into_string() {
            Ok(value) => all.push((key, value)),
            Err(value) if key.starts_with("WEIR_") => {
                anyhow::bail!("the environment's {key} is not UTF-8: {}", value.to_string_lossy())
            }
            Err(_) => {}
        }
    }
    Ok(all)
}

/// The settings of a configuration. Reads the never-block files.
///
/// # Errors
/// A never-block file that cannot be read or understood: a guard that silently was not there would be worse.
pub fn settings(text: &str, loaded: &Loaded, file: &str, observe: bool, cpus: u32) -> Result<Settings> {
    let config = &loaded.config;
    zones(config)?;
    let (rule_files, rule_problems, _) = super::detection::rule_files(&config.detection);
    Ok(Settings {
        enforcement: if observe { Enforcement::Observe } else { config.enforcement },
        floods: Arc::new(config.floods.clone()),
        consequence: config.offenders,
        ports: Arc::new(config.floods.port_table()?),
        cpus,
        askers_from: facts::lowest_given_port(),
        profiles: config.profiles.clone(),
        budget_passes: config.headers.over_budget == OverBudget::Pass,
        track_sources: config.top.track,
        samples_per_second: config.samples.map_or(0, std::num::NonZeroU32::get),
        lists: config.lists.clone(),
        protected: config.protected.addresses.iter().map(|prefix| (*prefix, "set in [protected]".to_owned())).collect(),
        login_sessions: config.protected.login_sessions,
        never_block: never_block(config)?,
        capacity: config.state.capacity,
        text: Arc::from(text),
        rows: rows(loaded, file),
        feeds: Arc::new(config.feeds.clone()),
        geo: config.geo.clone(),
        crowdsec: config.crowdsec.clone(),
        detection: Arc::new(config.detection.clone()),
        reputation: Arc::new(config.reputation.clone()),
        audit: config.audit,
        privacy: config.privacy,
        rule_files: Arc::new(rule_files),
        rule_problems,
        warnings: Vec::new(),
    })
}

/// What settings for ports cut off on this machine, now.
///
/// # Errors
/// They cut off a login session, and do not say that they mean it.
pub fn cut_off(floods: &Floods) -> Result<Vec<String>> {
    let CutOff { refused, warned } = cutoff::cut_off(floods, &sockets::here(&facts::Sources::default()));
    if !refused.is_empty() {
        bail!("{}", refused.join("; "));
    }
    Ok(warned)
}

/// Settings that are to be put in force here, `state` being the state folder: those that cut off a login session are refused, and what else they cut off
/// is noted and logged.
///
/// # Errors
/// Those of [`cut_off`]; and addresses are to be hashed, and there is no key.
pub fn guarded(mut settings: Settings, state: &Path) -> Result<Settings> {
    names(&settings, state)?;
    settings.warnings = cut_off(&settings.floods)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}

/// What addresses are called where they are kept, `state` being the state folder.
///
/// # Errors
/// Addresses are to be hashed, and there is no key.
pub fn names(settings: &Settings, state: &Path) -> Result<Names> {
    if !settings.privacy.hash_addresses {
        return Ok(Names::plain());
    }
    privacy_key::names(state, clock::now().wall).context("[privacy] hash_addresses")
}

/// Whether the time zones that logs are in are known here.
fn zones(config: &Config) -> Result<()> {
    for log in &config.detection.logs {
        if let Some(zone) = &log.zone {
            jiff::tz::TimeZone::get(zone).with_context(|| format!("the zone of [[logs]] {}", log.name))?;
        }
    }
    Ok(())
}

/// What is wrong with the rules that settings name: file, line, what; and which overrides are of none.
pub fn rule_problems(config: &Config) -> (Vec<String>, Vec<String>) {
    let (_, problems, warnings) = super::detection::rule_files(&config.detection);
    (problems, warnings)
}

/// Settings that are to take the place of others: rules that cannot be used refuse them.
///
/// # Errors
/// File, line and what.
pub fn with_whole_rules(settings: Settings) -> Result<Settings> {
    if settings.rule_problems.is_empty() {
        return Ok(settings);
    }
    bail!("the rules before stay, and so does all else: {}", settings.rule_problems.join("; "))
}

fn never_block(config: &Config) -> Result<Vec<(IpNet, String)>> {
    let mut all: Vec<(IpNet, String)> =
        config.never_block.addresses.iter().map(|prefix| (*prefix, "set in [never_block]".to_owned())).collect();
    if config.never_block.shipped {
        let prefixes = listfile::parse_never_block(SHIPPED).context("the never-block set that comes with weir")?;
        all.extend(
            prefixes.into_iter().map(|prefix| (prefix, "shared by many: in weir's own never-block set".to_owned())),
        );
    }
    let own = config.detection.logs.iter().flat_map(|log| &log.trusted_proxies);
    let proxies = config.detection.events.trusted_proxies.iter().chain(own);
    all.extend(proxies.map(|prefix| (*prefix, "a trusted proxy: many come through it".to_owned())));
    for path in &config.never_block.files {
        let bytes = fs::read(path).with_context(|| format!("read the never-block file {}", path.display()))?;
        let prefixes =
            listfile::parse_never_block(&bytes).with_context(|| format!("never-block file {}", path.display()))?;
        let name =
            path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
        all.extend(prefixes.into_iter().map(|prefix| (prefix, format!("in {name}"))));
    }
    Ok(all)
}

/// Every setting as the API shows it.
pub fn rows(loaded: &Loaded, file: &str) -> Vec<SettingRow> {
    loaded
        .settings
        .iter()
        .map(|setting| SettingRow {
            key: setting.key.clone(),
            value: setting.value.clone(),
            source: match &setting.source {
                Source::Default => "default".to_owned(),
                Source::File { line } => format!("{file}:{line}"),
                Source::Env(name) => name.clone(),
            },
        })
        .collect()
}
