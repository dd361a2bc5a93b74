//! Plain values to the configuration: what makes no sense is refused here.
mod detection;
mod floods;
mod history;
mod sources;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::domain::decision::ListEnforcement;
use crate::domain::duration;
use crate::domain::listfile::parse_prefix;
use crate::domain::tables::Capacity;

use super::error::Problem;
use super::raw::{Raw, RawApi, RawList, RawState};
use super::suggest;
use super::types::{
    Api, Choice, Config, Feed, FeedAction, Headers, InterfaceName, Log, NeverBlock, Privacy, Protected, State, Top,
};

/// Most entries a table may be sized for: all public lists together have a few million, and the kernel sets this memory
/// aside when the table is made.
const MOST_ENTRIES: u64 = 1 << 26;

/// Most kernel memory of a generation's tables, in MiB: their lines have 32-bit numbers.
const MOST_MIB: u64 = 1 << 16;

/// Most sources that may be followed over their limit at once; the kernel sets this memory aside at start.
const MOST_SOURCES: u64 = 1 << 24;

/// Most samples a second and CPU; more than user space reads.
const MOST_SAMPLES: u64 = 1_000_000;

/// Longest path of a UNIX socket: 108 bytes with the zero that ends it (unix(7)).
const LONGEST_SOCKET_PATH: usize = 107;

/// A value that is refused.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its key.
    pub(super) key: String,
    /// Why.
    pub(super) problem: Problem,
}

impl Fault {
    fn refused(key: &str, value: &str, why: &(impl ToString + ?Sized)) -> Self {
        let problem = Problem::Refused { key: key.to_owned(), value: value.to_owned(), why: why.to_string() };
        Self { key: key.to_owned(), problem }
    }

    fn repeated(key: &str, value: &str) -> Self {
        let problem = Problem::Repeated { key: key.to_owned(), value: value.to_owned() };
        Self { key: key.to_owned(), problem }
    }
}

/// The configuration these values make, and what is legal in it and worth knowing. What a burst of 0 came to is written
/// back to them.
///
/// # Errors
/// [`Fault`] with the first value that makes no sense.
pub(super) fn config(raw: &mut Raw) -> Result<(Config, Vec<String>), Fault> {
    let mut floods = floods::floods(raw)?;
    let mut profiles = floods::profiles_of(&raw.lists, &floods)?;
    let detection = detection::detection(raw)?;
    let (lists, feeds) = (lists(&raw.lists)?, sources::feeds(&raw.feeds)?);
    let limits = |(name, enforcement): (&String, &ListEnforcement)| {
        *enforcement == ListEnforcement::Limit && !profiles.contains_key(name)
    };
    let feed_limits = |feed: &Feed| {
        feed.action == FeedAction::Limit && !lists.contains_key(&feed.name) && !profiles.contains_key(&feed.name)
    };
    let is_needed = lists.iter().any(limits) || feeds.iter().any(feed_limits) || !raw.geo.limit.is_empty();
    floods::limit_of_lists(&mut raw.limits, &mut floods, is_needed);
    if detection.is_on() {
        floods::limit_of_rules(&mut floods, &mut profiles);
    }
    let config = Config {
        profiles,
        floods,
        interfaces: interfaces(&raw.interfaces)?,
        mode: choice("mode", &raw.mode)?,
        enforcement: choice("enforcement", &raw.enforcement)?,
        state: state(&raw.state)?,
        api: api(&raw.api)?,
        offenders: floods::offenders(&raw.limits.offenders)?,
        headers: Headers { over_budget: choice("headers.over_budget", &raw.headers.over_budget)? },
        top: Top { track: raw.top.track },
        samples: NonZeroU32::new(number("samples.per_second", raw.samples.per_second, 0, MOST_SAMPLES)?),
        protected: Protected {
            addresses: prefixes("protected.addresses", &raw.protected.addresses)?,
            login_sessions: raw.protected.login_sessions,
        },
        never_block: NeverBlock {
            shipped: raw.never_block.shipped,
            files: each("never_block.files", &raw.never_block.files, absolute)?,
            addresses: prefixes("never_block.addresses", &raw.never_block.addresses)?,
        },
        lists,
        feeds,
        geo: sources::geo(&raw.geo)?,
        crowdsec: sources::crowdsec(&raw.crowdsec)?,
        detection,
        reputation: history::reputation(&raw.reputation)?,
        audit: history::audit(&raw.audit)?,
        privacy: Privacy { hash_addresses: raw.privacy.hash_addresses, drop_requests: raw.privacy.drop_requests },
        log: Log { level: choice("log.level", &raw.log.level)?, format: choice("log.format", &raw.log.format)? },
    };
    let warnings = together::warnings(raw, &config);
    Ok((config, warnings))
}

fn interfaces(names: &[String]) -> Result<Vec<InterfaceName>, Fault> {
    let mut interfaces: Vec<InterfaceName> = Vec::new();
    let mut seen = BTreeSet::new();
    for (at, name) in names.iter().enumerate() {
        let key = format!("interfaces[{at}]");
        let interface: InterfaceName = name.parse().map_err(|error| Fault::refused(&key, name, &error))?;
        if !seen.insert(name) {
            return Err(Fault::repeated(&key, name));
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

fn state(raw: &RawState) -> Result<State, Fault> {
    let addresses = number("state.max_addresses", raw.max_addresses, 1, MOST_ENTRIES)?;
    let prefixes = number("state.max_prefixes", raw.max_prefixes, 1, MOST_ENTRIES)?;
    let mib: u64 = number("state.max_table_mib", raw.max_table_mib, 1, MOST_MIB)?;
    Ok(State {
        dir: absolute("state.dir", &raw.dir)?,
        bpffs: if raw.bpffs.is_empty() { None } else { Some(absolute("state.bpffs", &raw.bpffs)?) },
        capacity: Capacity { addresses, prefixes, bytes: mib << 20 },
        max_sources: number("state.max_sources", raw.max_sources, 1, MOST_SOURCES)?,
    })
}

fn api(raw: &RawApi) -> Result<Api, Fault> {
    let socket = absolute("api.socket", &raw.socket)?;
    if raw.socket.ends_with('/') {
        return Err(Fault::refused("api.socket", &raw.socket, "a socket is a file, and this names a folder"));
    }
    if raw.socket.len() > LONGEST_SOCKET_PATH {
        let why = format!("{} bytes are too long; a socket's path has at most {LONGEST_SOCKET_PATH}", raw.socket.len());
        return Err(Fault::refused("api.socket", &raw.socket, &why));
    }
    if !is_group(&raw.group) {
        return Err(Fault::refused("api.group", &raw.group, "not the name of a group"));
    }
    let group = Some(raw.group.clone()).filter(|group| !group.is_empty());
    let listen: Option<SocketAddr> = raw.listen.parse().ok();
    if listen.is_none() && !raw.listen.is_empty() {
        let why = "not an address and a port, as in \"127.0.0.1:9184\" or \"[::1]:9184\"";
        return Err(Fault::refused("api.listen", &raw.listen, why));
    }
    Ok(Api { socket, group, listen })
}

/// Whether a group may be called this; empty is none.
fn is_group(name: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 32 && !name.starts_with('-') && name.chars().all(is_plain)
}

fn lists(raw: &[RawList]) -> Result<BTreeMap<String, ListEnforcement>, Fault> {
    let mut lists = BTreeMap::new();
    for (at, list) in raw.iter().enumerate() {
        let key = format!("lists[{at}].name");
        if list.name.is_empty() {
            let why = "each [[lists]] section is about the list it names";
            return Err(Fault { key: key.clone(), problem: Problem::Missing { key, why } });
        }
        if !is_list_name(&list.name) {
            return Err(Fault::refused(&key, &list.name, "not a list's name: 1 to 64 of letters, digits, - _ and ."));
        }
        let enforcement = choice(&format!("lists[{at}].enforcement"), &list.enforcement)?;
        if !list.limit.is_empty() && enforcement != ListEnforcement::Limit {
            let why = "a list that names a limit must have enforcement = \"limit\"";
            return Err(Fault::refused(&format!("lists[{at}].limit"), &list.limit, why));
        }
        if lists.insert(list.name.clone(), enforcement).is_some() {
            return Err(Fault::repeated(&key, &list.name));
        }
    }
    Ok(lists)
}

/// As the lists themselves are named.
fn is_list_name(name: &str) -> bool {
    name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn choice<T: Choice>(key: &str, value: &str) -> Result<T, Fault> {
    if let Some(choice) = T::ALL.iter().copied().find(|choice| choice.word() == value) {
        return Ok(choice);
    }
    let choices: Vec<&'static str> = T::ALL.iter().map(|choice| choice.word()).collect();
    let suggestion = suggest::nearest(value, choices.iter().copied()).map(|word| format!("{word:?}"));
    let problem = Problem::NotOneOf { key: key.to_owned(), value: value.to_owned(), choices, suggestion };
    Err(Fault { key: key.to_owned(), problem })
}

fn number<T: TryFrom<u64>>(key: &str, value: u64, least: u64, most: u64) -> Result<T, Fault> {
    let number = if (least..=most).contains(&value) { T::try_from(value).ok() } else { None };
    number.ok_or_else(|| {
        let problem = Problem::OutOfRange { key: key.to_owned(), value: value.to_string(), least, most };
        Fault { key: key.to_owned(), problem }
    })
}

/// Seconds of a duration; `None` where none is given.
fn seconds(key: &str, text: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = duration::parse(text).map_err(|error| Fault::refused(key, text, &error))?;
    if (least..=most).contains(&seconds) {
        return Ok(Some(seconds));
    }
    let problem = Problem::OutOfRange { key: key.to_owned(), value: format!("{seconds} seconds"), least, most };
    Err(Fault { key: key.to_owned(), problem })
}

fn absolute(key: &str, value: &str) -> Result<PathBuf, Fault> {
    // The daemon's own folder is nothing to build on: under systemd it is the root.
    if !value.starts_with('/') {
        return Err(Fault::refused(key, value, "a path must be absolute, from / on"));
    }
    if value.contains('\0') {
        return Err(Fault::refused(key, value, "a path holds no zero byte"));
    }
    Ok(PathBuf::from(value))
}

fn prefixes(key: &str, values: &[String]) -> Result<Vec<IpNet>, Fault> {
    each(key, values, |key, value| parse_prefix(value).map_err(|error| Fault::refused(key, value, &error)))
}

/// Reads each element of a list under its own key.
fn each<T>(key: &str, values: &[String], read: impl Fn(&str, &str) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    values.iter().enumerate().map(|(at, value)| read(&format!("{key}[{at}]"), value)).collect()
}
