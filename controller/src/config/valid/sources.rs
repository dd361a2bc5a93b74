//! What is followed: feeds, geography, CrowdSec.
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::domain::decision::MOST_FEEDS;
use crate::domain::feed::{judge, presets};
use crate::domain::geo::Rules;
use crate::domain::guard::Widest;
use crate::domain::listfile::Format;

use super::super::error::Problem;
use super::super::raw::{RawCrowdsec, RawFeed, RawGeo};
use super::super::suggest;
use super::super::types::{Credential, Crowdsec, CrowdsecTls, Feed, Geo, Location, Protocol};
use super::{Fault, absolute, choice, is_list_name, number, seconds};

/// Seconds from one request to the next where neither the feed nor its preset says.
const USUAL_INTERVAL_S: u64 = 3_600;
/// Shortest time from one request to the next: what a publisher bears, and a list's build takes.
const SHORTEST_INTERVAL_S: u64 = 10;
/// Least seconds between two requests of a feed of no preset, whatever went wrong.
const LEAST_PAUSE_S: u64 = 10;
/// Longest time from one request to the next.
const LONGEST_INTERVAL_S: u64 = 30 * 86_400;
/// Most unpacked MiB of a reply: ten million lines of the longest address.
const MOST_MIB: u64 = 1_024;
/// Names of lists that are weir's own.
const TAKEN: [&str; 5] = ["block", "allow", "crowdsec", "rules", "rules-limit"];

pub(super) fn feeds(raw: &[RawFeed]) -> Result<Vec<Feed>, Fault> {
    if raw.len() > usize::from(MOST_FEEDS) {
        let why = format!("{} are too many; the most is {MOST_FEEDS}", raw.len());
        return Err(Fault::refused("feeds", "[[feeds]]", &why));
    }
    let mut names = BTreeSet::new();
    let mut feeds = Vec::new();
    for (at, raw) in raw.iter().enumerate() {
        let key = |name: &str| format!("feeds[{at}].{name}");
        let feed = feed(raw, &key)?;
        if !names.insert(feed.name.clone()) {
            return Err(Fault::repeated(&key("name"), &feed.name));
        }
        feeds.push(feed);
    }
    Ok(feeds)
}

fn feed(raw: &RawFeed, key: &dyn Fn(&str) -> String) -> Result<Feed, Fault> {
    let preset = preset(raw, key)?;
    let name = match (raw.name.as_str(), preset) {
        ("", None) => return Err(missing(&key("name"), "a feed is a list, and a list has a name")),
        ("", Some(preset)) => preset.name,
        (name, _) => name,
    };
    if !is_list_name(name) || TAKEN.contains(&name) || name.starts_with("country-") || name.starts_with("asn-") {
        let why = "not a name for a feed: 1 to 64 of letters, digits, - _ and ., and not one that weir gives itself";
        return Err(Fault::refused(&key("name"), name, why));
    }
    let format = match raw.format.as_str() {
        "auto" => preset.map_or(Format::Auto, |preset| preset.format),
        text => text.parse().map_err(|error| Fault::refused(&key("format"), text, &error))?,
    };
    let percent = |name: &str, value: u64, most: u64| -> Result<u32, Fault> { number(&key(name), value, 0, most) };
    Ok(Feed {
        name: name.to_owned(),
        location: location(raw, preset, key)?,
        format,
        column: Some(raw.column.clone()).filter(|column| !column.is_empty()),
        least_score: number(&key("least_score"), raw.least_score, 0, u64::from(u32::MAX))?,
        interval_s: interval(raw, preset, key)?,
        least_pause_s: match preset {
            // Publishers ask for an hour at the most, and a failure is no reason to ask more often.
            Some(preset) if raw.url.is_empty() => preset.interval_s.min(3_600),
            _ => LEAST_PAUSE_S,
        },
        action: choice(&key("action"), &raw.action)?,
        weight: number(&key("weight"), raw.weight, 1, 100)?,
        expire_s: seconds(&key("expire"), &raw.expire, SHORTEST_INTERVAL_S, u64::MAX)?,
        headers: headers(raw, key)?,
        credential: credential(raw, key)?,
        allow_http: raw.allow_http,
        allow_private: raw.allow_private,
        most_bytes: number::<u64>(&key("most_mib"), raw.most_mib, 1, MOST_MIB)? << 20,
        deadline_s: seconds(&key("deadline"), &raw.deadline, 1, 3_600)?.unwrap_or(120),
        widest: Widest {
            v4: number(&key("widest_v4"), raw.widest_v4, 4, 32)?,
            v6: number(&key("widest_v6"), raw.widest_v6, 8, 128)?,
        },
        limits: judge::Limits {
            most_entries: number(&key("most_entries"), raw.most_entries, 1, super::MOST_ENTRIES)?,
            least_entries: match raw.least_entries {
                // What is usual: at least one, or as many as the preset knows of.
                1 => preset.and_then(|preset| usize::try_from(preset.least_entries).ok()),
                least => Some(number(&key("least_entries"), least, 0, super::MOST_ENTRIES)?),
            },
            most_shrink_percent: percent("most_shrink_percent", raw.most_shrink_percent, 100)?,
            most_growth_percent: percent("most_growth_percent", raw.most_growth_percent, 1_000_000)?,
            most_rejected_percent: percent("most_rejected_percent", raw.most_rejected_percent, 100)?,
            ..judge::Limits::default()
        },
    })
}

fn preset(raw: &RawFeed, key: &dyn Fn(&str) -> String) -> Result<Option<&'static presets::Preset>, Fault> {
    let name = raw.preset.as_str();
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(preset) = presets::named(name) {
        return Ok(Some(preset));
    }
    let choices: Vec<&'static str> = presets::presets().iter().map(|preset| preset.name).collect();
    let suggestion = suggest::nearest(name, choices.iter().copied()).map(|word| format!("{word:?}"));
    let key = key("preset");
    let problem = Problem::NotOneOf { key: key.clone(), value: name.to_owned(), choices, suggestion };
    Err(Fault { key, problem })
}

fn location(
    raw: &RawFeed,
    preset: Option<&'static presets::Preset>,
    key: &dyn Fn(&str) -> String,
) -> Result<Location, Fault> {
    if !raw.file.is_empty() {
        if !raw.url.is_empty() {
            return Err(Fault::refused(&key("file"), &raw.file, "a feed has either a file or a url"));
        }
        return absolute(&key("file"), &raw.file).map(Location::File);
    }
    let url = match (raw.url.as_str(), preset) {
        ("", None) => return Err(missing(&key("url"), "a feed needs a url, a file or a preset")),
        ("", Some(preset)) => preset.url,
        (url, _) => url,
    };
    let is_http = url.starts_with("http://");
    if !is_http && !url.starts_with("https://") {
        return Err(Fault::refused(
            &key("url"),
            url,
            "a url begins with https:// (or http://, with allow_http = true)",
        ));
    }
    if is_http && !raw.allow_http {
        let why = "http:// is not encrypted, so anybody on the way can change the list; allow_http = true takes it";
        return Err(Fault::refused(&key("url"), url, why));
    }
    if url.contains('@') && url.split('/').nth(2).is_some_and(|host| host.contains('@')) {
        let why = "no user and password in a url, where every log shows them; use user and password_file";
        return Err(Fault::refused(&key("url"), url, why));
    }
    let url = url.to_owned();
    Ok(match choice(&key("protocol"), &raw.protocol)? {
        Protocol::Http => Location::Http(url),
        Protocol::Taxii => Location::Taxii(url),
        Protocol::Misp => Location::Misp(url),
    })
}

fn interval(
    raw: &RawFeed,
    preset: Option<&'static presets::Preset>,
    key: &dyn Fn(&str) -> String,
) -> Result<u64, Fault> {
    let asked = seconds(&key("interval"), &raw.interval, SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S)?;
    let Some(preset) = preset else { return Ok(asked.unwrap_or(USUAL_INTERVAL_S)) };
    match asked {
        Some(asked) if raw.url.is_empty() && asked < preset.interval_s => {
            let least = preset.interval_s;
            let why =
                format!("weir asks the publisher of {} every {least} seconds at the most, by their terms", preset.name);
            Err(Fault::refused(&key("interval"), &raw.interval, &why))
        }
        Some(asked) => Ok(asked),
        None => Ok(preset.interval_s),
    }
}

fn headers(raw: &RawFeed, key: &dyn Fn(&str) -> String) -> Result<Vec<(String, String)>, Fault> {
    super::each(&key("headers"), &raw.headers, |key, header| {
        let parts = header.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        match parts {
            Some((name, value)) if is_token(name) && is_visible(value) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(Fault::refused(key, header, "not a header, as in \"Accept: text/plain\"")),
        }
    })
}

fn credential(raw: &RawFeed, key: &dyn Fn(&str) -> String) -> Result<Option<Credential>, Fault> {
    let named: Vec<&str> = [("user", &raw.user), ("token_file", &raw.token_file), ("key_header", &raw.key_header)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name)
        .collect();
    if let [_, second, ..] = named.as_slice() {
        let why = "a feed has one credential: user and password_file, token_file, or key_header and key_file";
        return Err(Fault::refused(&key(second), second, why));
    }
    if !raw.user.is_empty() || !raw.password_file.is_empty() {
        if raw.user.is_empty() {
            return Err(missing(&key("user"), "a password belongs to a user"));
        }
        if !is_visible(&raw.user) || raw.user.contains(':') {
            return Err(Fault::refused(&key("user"), &raw.user, "not a user's name"));
        }
        let password_file = absolute(&key("password_file"), &raw.password_file)?;
        return Ok(Some(Credential::Basic { user: raw.user.clone(), password_file }));
    }
    if !raw.token_file.is_empty() {
        return Ok(Some(Credential::Bearer { token_file: absolute(&key("token_file"), &raw.token_file)? }));
    }
    if raw.key_header.is_empty() && raw.key_file.is_empty() {
        return Ok(None);
    }
    if !is_token(&raw.key_header) {
        return Err(Fault::refused(&key("key_header"), &raw.key_header, "not the name of a header"));
    }
    Ok(Some(Credential::Header { name: raw.key_header.clone(), file: absolute(&key("key_file"), &raw.key_file)? }))
}

/// Whether a text is a token as HTTP has it.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_visible(text: &str) -> bool {
    text.len() <= 1_024 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

pub(super) fn geo(raw: &RawGeo) -> Result<Geo, Fault> {
    let file = |name: &str, value: &str| -> Result<Option<PathBuf>, Fault> {
        if value.is_empty() { Ok(None) } else { absolute(&format!("geo.{name}"), value).map(Some) }
    };
    let (country_file, asn_file) = (file("country_file", &raw.country_file)?, file("asn_file", &raw.asn_file)?);
    let selectors = |name: &str, values: &[String]| {
        super::each(&format!("geo.{name}"), values, |key, value| {
            value.parse().map_err(|error| Fault::refused(key, value, &error))
        })
    };
    let unknown = choice("geo.unknown", &raw.unknown)?;
    let (deny, observe) = (selectors("deny", &raw.deny)?, selectors("observe", &raw.observe)?);
    let allow_only = Some(selectors("allow_only", &raw.allow_only)?).filter(|selectors| !selectors.is_empty());
    let rules = Rules::new(deny, observe, selectors("limit", &raw.limit)?, allow_only, unknown)
        .map_err(|error| Fault::refused(&format!("geo.{}", error.key()), "", &error))?;
    if rules.is_empty() {
        return Ok(Geo { country_file, asn_file, rules: None });
    }
    if rules.need_countries() && country_file.is_none() {
        return Err(missing("geo.country_file", "rules for countries need a database that knows them"));
    }
    if rules.need_networks() && asn_file.is_none() {
        return Err(missing("geo.asn_file", "rules for autonomous systems need a database that knows them"));
    }
    Ok(Geo { country_file, asn_file, rules: Some(rules) })
}

pub(super) fn crowdsec(raw: &RawCrowdsec) -> Result<Option<Crowdsec>, Fault> {
    let file = |name: &str, value: &str| -> Result<Option<PathBuf>, Fault> {
        if value.is_empty() { Ok(None) } else { absolute(&format!("crowdsec.{name}"), value).map(Some) }
    };
    let api_key_file = file("api_key_file", &raw.api_key_file)?;
    let own_file = file("file", &raw.file)?;
    let tls = CrowdsecTls {
        cert_file: file("cert_file", &raw.cert_file)?,
        key_file: file("key_file", &raw.key_file)?,
        ca_file: file("ca_file", &raw.ca_file)?,
        insecure_skip_verify: raw.insecure_skip_verify,
    };
    let url = raw.api_url.as_str();
    if !(url.starts_with("http://") || url.starts_with("https://") || url.starts_with('/')) {
        return Err(Fault::refused(
            "crowdsec.api_url",
            url,
            "a server is an http:// or https:// url, or a socket's path",
        ));
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Err(missing("crowdsec.key_file", "a certificate and its key come together"));
    }
    let interval_s = seconds("crowdsec.interval", &raw.interval, 1, 3_600)?.unwrap_or(10);
    let metrics_interval_s = seconds("crowdsec.metrics_interval", &raw.metrics_interval, 600, 86_400)?.unwrap_or(1_800);
    if !raw.enabled {
        return Ok(None);
    }
    if own_file.is_none() && api_key_file.is_none() && tls.cert_file.is_none() {
        let why = "the server wants to know who asks: put the key that `cscli bouncers add weir` prints into a file";
        return Err(missing("crowdsec.api_key_file", why));
    }
    let scopes = super::each("crowdsec.scopes", &raw.scopes, |key, scope| {
        let scope_lower = scope.to_ascii_lowercase();
        if matches!(scope_lower.as_str(), "ip" | "range") {
            return Ok(scope_lower);
        }
        Err(Fault::refused(key, scope, "weir carries out decisions of the scopes ip and range"))
    })?;
    Ok(Some(Crowdsec {
        file: own_file,
        api_url: url.to_owned(),
        api_key_file,
        tls,
        interval_s,
        scopes,
        origins: raw.origins.clone(),
        scenarios_containing: raw.scenarios_containing.clone(),
        scenarios_not_containing: raw.scenarios_not_containing.clone(),
        deny_types: raw.deny_types.clone(),
        observe_types: raw.observe_types.clone(),
        metrics_interval_s,
    }))
}

fn missing(key: &str, why: &'static str) -> Fault {
    Fault { key: key.to_owned(), problem: Problem::Missing { key: key.to_owned(), why } }
}
