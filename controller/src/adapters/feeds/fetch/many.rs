//! Feeds of many parts: TAXII pages, MISP events.
use std::collections::BTreeSet;
use std::fmt;

use reqwest::Url;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;

use super::http::Http;
use super::source::host;
use super::{Known, Received, hash};
use crate::adapters::feeds::error::FetchError;

const TAXII: &str = "application/taxii+json;version=2.1";
const JSON: &str = "application/json";
/// Longest token of a next page, in bytes.
const LONGEST_TOKEN: usize = 4 << 10;

/// A page of a collection (TAXII 2.1, section 3.7).
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    more: bool,
    next: Option<String>,
    #[serde(borrow)]
    objects: Option<&'a RawValue>,
}

fn shape(url: &Url, what: impl Into<String>) -> FetchError {
    FetchError::Shape { host: host(url), what: what.into() }
}

/// All pages of a collection as one envelope.
pub(super) async fn taxii(http: &mut Http<'_>, url: &Url) -> Result<Received, FetchError> {
    let mut body = b"{\"objects\":[".to_vec();
    let mut any = false;
    let mut at = url.clone();
    let mut token: Option<String> = None;
    for _ in 0..http.request.bounds.requests {
        let page = http.body(&at, Some(TAXII)).await?;
        let page = page.body.trim_ascii();
        let envelope =
            if page.starts_with(b"{") { serde_json::from_slice::<Envelope<'_>>(page) } else { Err(not_an_object()) };
        let envelope = envelope.map_err(|error| shape(url, format!("a page is no TAXII 2.1 envelope: {error}")))?;
        let objects = envelope.objects.map_or("[]", RawValue::get).trim();
        let objects = objects.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::trim);
        let objects = objects.ok_or_else(|| shape(url, "the objects of a page are no array"))?;
        if !objects.is_empty() {
            if any {
                body.push(b',');
            }
            body.extend_from_slice(objects.as_bytes());
            any = true;
        }
        if !envelope.more {
            body.extend_from_slice(b"]}");
            return Ok(Received { body, ..Received::default() });
        }
        let next = envelope.next.filter(|next| !next.is_empty() && next.len() <= LONGEST_TOKEN);
        let next = next.ok_or_else(|| shape(url, "a page says there is more and does not say what is next"))?;
        if token.as_ref() == Some(&next) || objects.is_empty() {
            return Err(shape(url, "a page says there is more and has nothing, or names itself as the next"));
        }
        at = url.clone();
        // Among the query's own pairs there may be an older `next`.
        let own: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(key, _)| key != "next").collect();
        at.query_pairs_mut().clear().extend_pairs(own).append_pair("next", &next);
        token = Some(next);
    }
    Err(FetchError::TooManyRequests { host: host(url), limit: http.request.bounds.requests })
}

fn not_an_object() -> serde_json::Error {
    serde::de::Error::custom("not an object")
}

/// All events of a MISP feed as one array; none where the manifest is the known one.
pub(super) async fn misp(
    http: &mut Http<'_>,
    url: &Url,
    known: Option<&Known>,
) -> Result<Option<Received>, FetchError> {
    let mut folder = url.clone();
    let path = folder.path().strip_suffix("manifest.json").unwrap_or(folder.path()).to_owned();
    folder.set_path(&if path.ends_with('/') { path } else { format!("{path}/") });
    let manifest_url = join(&folder, "manifest.json")?;
    // Without the hash of the manifest there is nothing that a "not modified" could speak of.
    let indexed = known.filter(|known| known.validators.index.is_some());
    let Some(manifest) = http.conditional(&manifest_url, Some(JSON), indexed).await? else { return Ok(None) };
    let index = hash(&manifest.body);
    if indexed.is_some_and(|known| known.validators.index == Some(index) && !known.in_full) {
        return Ok(None);
    }
    let limit = http.request.bounds.requests;
    let events = names(&manifest.body, limit);
    let events = events.map_err(|error| shape(url, format!("manifest.json is no object of events: {error}")))?;
    let events = events.ok_or_else(|| FetchError::TooManyRequests { host: host(url), limit })?;
    if let Some(bad) = events.iter().find(|name| !is_uuid(name)) {
        let shown: String = bad.chars().take(64).collect();
        return Err(shape(url, format!("manifest.json names {shown:?}, which is no UUID")));
    }
    let mut body = b"[".to_vec();
    for (number, uuid) in events.iter().enumerate() {
        let event = http.body(&join(&folder, &format!("{uuid}.json"))?, Some(JSON)).await?;
        serde_json::from_slice::<IgnoredAny>(&event.body)
            .map_err(|error| shape(url, format!("event {uuid} is no JSON: {error}")))?;
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event.body.trim_ascii());
    }
    body.push(b']');
    let mut validators = manifest.validators;
    validators.index = Some(index);
    Ok(Some(Received { body, validators }))
}

/// The names of an object's members, below `limit` of them; none where there are more, of which no more is kept.
fn names(json: &[u8], limit: usize) -> serde_json::Result<Option<BTreeSet<String>>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let names = deserializer.deserialize_map(Names { limit })?;
    deserializer.end()?;
    Ok(names)
}

struct Names {
    limit: usize,
}

impl<'de> Visitor<'de> for Names {
    type Value = Option<BTreeSet<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeSet::new();
        while names.len() < self.limit {
            match map.next_entry::<String, IgnoredAny>()? {
                Some((name, _)) => names.insert(name),
                None => return Ok(Some(names)),
            };
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

fn join(folder: &Url, name: &str) -> Result<Url, FetchError> {
    folder.join(name).map_err(|error| shape(folder, error.to_string()))
}

/// 8-4-4-4-12 hexadecimal digits and nothing else: the name becomes part of a path.
fn is_uuid(name: &str) -> bool {
    let lengths = name.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
