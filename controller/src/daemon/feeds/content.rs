//! What a feed's answer comes to: read, held against the guards, judged as a whole.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::adapters::feeds::error::FetchError;
use crate::adapters::feeds::fetch::{Bounds, Credential, Protocol, Request, Source};
use crate::config::{self, Feed, Location};
use crate::domain::decision::Origin;
use crate::domain::feed::judge::{Doubt, Judgement, judge};
use crate::domain::feed::reach::{Reach, reach};
use crate::domain::guard::{Guards, WouldHit};
use crate::domain::listfile::{self, Item, Parsed, Reading};
use crate::domain::prefixes::Prefixes;
use crate::followed::Followed;

/// A feed's answer, read and judged.
#[derive(Debug)]
pub(crate) struct Content {
    /// What was read.
    pub(crate) parsed: Parsed,
    /// What would be in force.
    pub(crate) prefixes: Prefixes,
    /// Whom it would hit.
    pub(crate) reach: Reach,
    /// Whom its refused lines would have hit.
    pub(crate) would_hit: WouldHit,
    /// What speaks against it as a whole.
    pub(crate) judgement: Judgement,
    /// What it names that nothing here knows the addresses of.
    pub(crate) unknown: Option<String>,
}

/// Reads and judges an answer of a feed that has `before` entries in force. Blocks for as long as that takes.
pub(crate) fn read(
    body: &[u8],
    feed: &Feed,
    guards: &Guards,
    followed: &Followed,
    before: Option<usize>,
    well_behaved: Vec<(ipnet::IpNet, u64)>,
    now: Timestamp,
) -> Content {
    let reading = Reading {
        column: feed.column.as_deref().map(Arc::from),
        least_score: feed.least_score,
        ..Reading::new(feed.format, now)
    };
    let (kind, origin) = (feed.action.kind(), Origin::Feed(0));
    let mut would_hit = WouldHit::default();
    let admit = |item: &Item| {
        let admitted = guards.admit_within(item.prefix, kind, &origin, false, feed.widest);
        admitted.inspect_err(|refusal| would_hit.note(refusal))
    };
    let parsed = listfile::parse_admitted(body, &reading, admit);
    let (expanded, unknown) = match followed.expand_asns(&parsed.asns) {
        Ok(expanded) => (expanded, None),
        Err(unknown) => (Vec::new(), Some(unknown)),
    };
    // What a number stands for is looked at as what is written out.
    let expanded =
        expanded.into_iter().filter(|prefix| guards.admit_within(*prefix, kind, &origin, false, feed.widest).is_ok());
    // An entry with an end of its own is in force until the list is read after it.
    let ending = parsed.ending.iter().map(|(prefix, _)| *prefix);
    let prefixes = Prefixes::new(parsed.entries.iter().copied().chain(ending).chain(expanded));
    let reach = reach(&prefixes, guards.protected_prefixes(), guards.never_block_prefixes(), well_behaved);
    let judgement = judge(&feed.limits, &parsed, prefixes.len(), before, &reach);
    Content { parsed, prefixes, reach, would_hit, judgement, unknown }
}

impl Content {
    /// Why it may not take the place of what is in force; `None`: it may.
    pub(crate) fn refused(&self, forced: bool) -> Option<String> {
        if let Some(unknown) = &self.unknown {
            return Some(unknown.clone());
        }
        (!self.judgement.accepts(forced)).then(|| self.judgement.text())
    }

    /// Seconds until the first of its entries ends by itself; `None`: none does.
    pub(crate) fn first_end_s(&self) -> Option<u64> {
        self.parsed.ending.iter().map(|(_, left)| *left).min()
    }

    /// The labels of what speaks against it.
    pub(crate) fn doubts(&self) -> Vec<&'static str> {
        let unknown = self.unknown.as_ref().map(|_| "no_asn_file");
        self.judgement.doubts.iter().map(Doubt::label).chain(unknown).collect()
    }
}

/// What is asked for a feed.
///
/// # Errors
/// [`FetchError`] where its source cannot be asked at all.
pub(crate) fn request(feed: &Feed) -> Result<Request, FetchError> {
    let (text, protocol) = match &feed.location {
        Location::Http(url) => (url.clone(), Protocol::Plain),
        Location::Taxii(url) => (url.clone(), Protocol::Taxii),
        Location::Misp(url) => (url.clone(), Protocol::Misp),
        Location::File(path) => (path.display().to_string(), Protocol::Plain),
    };
    let request = Request {
        headers: feed.headers.clone(),
        credential: feed.credential.clone().map(credential),
        allow_http: feed.allow_http,
        allow_private: feed.allow_private,
        bounds: Bounds {
            deadline: Duration::from_secs(feed.deadline_s),
            wire_bytes: feed.most_bytes,
            body_bytes: feed.most_bytes,
            ..Bounds::default()
        },
        ..Request::new(feed.name.clone(), Source::parse(&text, protocol)?)
    };
    request.check()?;
    Ok(request)
}

fn credential(credential: config::Credential) -> Credential {
    match credential {
        config::Credential::Basic { user, password_file } => Credential::Basic { user, file: password_file },
        config::Credential::Bearer { token_file } => Credential::Bearer(token_file),
        config::Credential::Header { name, file } => Credential::Header { name, file },
    }
}
