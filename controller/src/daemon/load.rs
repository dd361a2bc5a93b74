//! From the configuration's file to the settings a policy is built with.
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;

use crate::adapters::system::{facts, interfaces, sockets};
use crate::adapters::{clock, privacy_key};
use crate::config::{self, Config, Loaded, OverBudget, Source};
use crate::domain::cutoff::{self, CutOff, Spared};
use crate::domain::decision::{Decision, Enforcement, Kind, ListEnforcement, Origin};
use crate::domain::desired::Desired;
use crate::domain::floods::Floods;
use crate::domain::listfile;
use crate::domain::prefixes::single;
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
        warnings: loaded.warnings.clone(),
    })
}

/// What settings for ports cut off on this machine, now.
pub fn cut_off(floods: &Floods, spared: &Spared<'_>) -> CutOff {
    cutoff::cut_off(floods, &sockets::here(&facts::Sources::default()), spared)
}

/// The interfaces that have these names, by index; what is not there is left out.
pub fn indexes(names: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeSet<u32> {
    names.into_iter().filter_map(|name| interfaces::index_of(name.as_ref()).ok().flatten()).collect()
}

/// Whether an address is on an operator's allow list for as long as nobody takes it off, so that no rule for ports holds
/// for it under these settings.
pub fn is_allowed(desired: &Desired, settings: &Settings, address: IpAddr) -> bool {
    let decisions = desired.covering(single(address)).into_iter().map(|mut decision| {
        if let Some(list) = desired.list(decision.list) {
            decision.of_list = settings.enforcement_of(list);
        }
        decision
    });
    let first =
        decisions.filter(|decision| decision.standing() == ListEnforcement::Enforce).min_by_key(Decision::order);
    first.is_some_and(|decision| {
        decision.kind == Kind::Allow && decision.origin == Origin::Operator && decision.info.expiry.is_none()
    })
}

/// Settings that are to take the place of others here, `state` being the state folder: where they cut off a login session
/// they are refused, and what else they cut off is noted and logged.
///
/// # Errors
/// They cut off a login session, and do not say that they mean it; or addresses are to be hashed, and there is no key.
pub fn guarded(mut settings: Settings, state: &Path, cut_off: CutOff) -> Result<Settings> {
    names(&settings, state)?;
    let CutOff { refused, warned } = cut_off;
    if !refused.is_empty() {
        bail!("{}", refused.join("; "));
    }
    settings.warnings.extend(warned);
    log(&settings);
    Ok(settings)
}

/// Settings at a start. What they cut off is logged and refuses nothing, not even a login session: a daemon that stays
/// down protects nobody, and who starts it may not be who is logged in.
pub fn at_start(mut settings: Settings, cut_off: CutOff) -> Settings {
    let CutOff { refused, warned } = cut_off;
    settings.warnings.extend(refused.into_iter().chain(warned));
    log(&settings);
    settings
}

fn log(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::EntryInfo;
    use crate::domain::time::BootSeconds;

    fn of(text: &str) -> Settings {
        let loaded = parse(text, "weir.toml").unwrap();
        settings(text, &loaded, "weir.toml", false, 1).unwrap()
    }

    #[test]
    fn a_change_that_cuts_off_a_session_is_refused_and_a_start_is_loud() {
        let folder = tempfile::tempdir().unwrap();
        let cut = || CutOff { refused: vec!["alice".to_owned()], warned: vec!["a port".to_owned()] };
        let text = "[limits.network]\npackets_per_second = 500\n";
        let refused = guarded(of(text), folder.path(), cut()).unwrap_err();
        assert_eq!(refused.to_string(), "alice");
        let taken = guarded(of(text), folder.path(), CutOff { refused: Vec::new(), ..cut() }).unwrap();
        assert_eq!(taken.warnings.len(), 2, "{:?}", taken.warnings);
        assert!(taken.warnings[0].contains("limits.network") && taken.warnings[1] == "a port", "{:?}", taken.warnings);
        assert_eq!(at_start(of(text), cut()).warnings[1..], ["alice", "a port"]);
    }

    #[test]
    fn who_an_operator_allows_for_good_is_allowed() {
        let info = |ends: bool| EntryInfo {
            reason: "".into(),
            added_at: jiff::Timestamp::UNIX_EPOCH,
            expiry: ends.then_some(crate::domain::time::Expiry {
                boot: BootSeconds(u64::MAX),
                wall: jiff::Timestamp::UNIX_EPOCH,
            }),
            enforcement: Enforcement::Enforce,
            forced: false,
            sequence: 1,
        };
        let mut desired = Desired::new();
        let mut put = |name: &str, kind, origin, prefix: &str, ends| {
            let id = desired.list_for(name, kind, &origin).unwrap();
            let list = desired.list_mut(id).unwrap();
            list.entries.insert(prefix.parse().unwrap(), info(ends));
        };
        put("allow", Kind::Allow, Origin::Operator, "192.0.2.0/24", false);
        put("allow", Kind::Allow, Origin::Operator, "198.51.100.1/32", true);
        put("block", Kind::Deny, Origin::Operator, "192.0.2.9/32", false);
        let (plain, off) = (of(""), of("[[lists]]\nname = \"allow\"\nenforcement = \"off\"\n"));
        let ask = |settings: &Settings, address: &str| is_allowed(&desired, settings, address.parse().unwrap());
        assert!(ask(&plain, "192.0.2.7"));
        // It ends some time; nobody says a word; new settings turn the list off.
        assert!(!ask(&plain, "198.51.100.1") && !ask(&plain, "203.0.113.1") && !ask(&off, "192.0.2.7"));
        let denied_inside = ask(&plain, "192.0.2.9");
        assert_eq!(denied_inside, Origin::Operator.rank(Kind::Allow) < Origin::Operator.rank(Kind::Deny));
    }
}
