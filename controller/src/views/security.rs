//! The security view: how the parts do, and what is known of one address.
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;
use weir_common::verdict::{Action, Verdict};

use crate::adapters::kernel::query::KernelPolicy;
use crate::adapters::kernel::reader::Counters;
use crate::domain::audit::Filter;
use crate::domain::decision::Kind;
use crate::domain::report::{AlertFilter, Component, FeedState, Recent, SecurityStatus, Statistics, Threat};
use crate::sync::Shared;

/// `GET /api/security/status`.
pub fn status(shared: &Shared) -> SecurityStatus {
    let counters = shared.reader.counters();
    let status = super::status(shared);
    let settings = std::sync::Arc::clone(&shared.read().settled);
    let detection = status.detection.as_ref();
    let trouble = |part: &str| status.health.problems.iter().find(|problem| problem.starts_with(part)).cloned();
    let component = |is_on: bool, problem: Option<String>, said: Option<String>| Component {
        state: match (is_on, &problem) {
            (false, _) => "off",
            (true, None) => "ok",
            (true, Some(_)) => "failing",
        }
        .to_owned(),
        detail: problem.or(said),
    };
    let attached = status.interfaces.iter().filter(|interface| interface.index.is_some()).count();
    let interfaces = format!("{attached} of {} interfaces", status.interfaces.len());
    let detached = (attached < status.interfaces.len()).then(|| format!("attached to {interfaces}"));
    let failing = status.feeds.iter().filter(|feed| !matches!(feed.state, FeedState::Ok | FeedState::Waiting)).count();
    let broken_feeds = (failing > 0).then(|| format!("{failing} of {} feeds", status.feeds.len()));
    let sources = shared.detected.ledger().len();
    let components = BTreeMap::from([
        ("filter".to_owned(), component(true, detached, Some(interfaces))),
        ("store".to_owned(), component(true, trouble("store"), None)),
        ("events_store".to_owned(), component(true, trouble("events store:"), None)),
        (
            "detection".to_owned(),
            component(
                detection.is_some(),
                trouble("detection"),
                detection.map(|row| format!("{} rules", row.rules_enabled)),
            ),
        ),
        ("reputation".to_owned(), component(true, trouble("reputation"), Some(format!("{sources} sources")))),
        ("feeds".to_owned(), component(!status.feeds.is_empty(), broken_feeds, None)),
        ("geoip".to_owned(), component(!status.geo.is_empty(), trouble("geo"), None)),
        ("crowdsec".to_owned(), component(status.crowdsec.is_some(), trouble("crowdsec"), None)),
    ]);
    let policy = settings.reputation.policy;
    let configuration = BTreeMap::from([
        ("enforcement".to_owned(), json!(status.enforcement)),
        ("alerts_enforce".to_owned(), json!(settings.detection.alerts.enforce)),
        ("reputation_enforce".to_owned(), json!(policy.enforce)),
        ("auto_deny_threshold".to_owned(), json!(policy.deny_at)),
        ("auto_deny_for_s".to_owned(), json!(policy.deny_for_s)),
        ("event_retention_s".to_owned(), json!(settings.audit.retention_s)),
        ("alert_retention_s".to_owned(), json!(settings.detection.alerts.retention_s)),
        ("hash_addresses".to_owned(), json!(settings.privacy.hash_addresses)),
        ("drop_requests".to_owned(), json!(settings.privacy.drop_requests)),
    ]);
    let alerts = detection.map_or(0, |row| row.alerts.values().sum());
    SecurityStatus {
        ok: status.health.ok,
        threat_level: super::audit::threat_level(shared).name().to_owned(),
        components,
        configuration,
        statistics: statistics(&counters, alerts),
        problems: status.health.problems,
    }
}

fn statistics(counters: &Counters, threat_detected: u64) -> Statistics {
    let mut found = Statistics { threat_detected, ..Statistics::default() };
    for verdict in Verdict::ALL {
        let packets = counters.enforced.get(verdict.slot() as usize).map_or(0, |tally| tally.packets);
        found.total_requests += packets;
        if verdict.action() == Action::Pass {
            continue;
        }
        found.blocked_requests += packets;
        match verdict {
            Verdict::RateSource | Verdict::RateNetwork | Verdict::RateGlobal => {
                found.rate_limited += packets;
                found.ddos_blocked += packets;
            }
            Verdict::Denied
            | Verdict::Feed
            | Verdict::Country
            | Verdict::Asn
            | Verdict::Reputation
            | Verdict::Rule
            | Verdict::Crowdsec
            | Verdict::Offender => found.ip_blocked += packets,
            _ => found.ddos_blocked += packets,
        }
    }
    found
}

/// What is known of one address.
pub fn threat(shared: &Shared, policy: &KernelPolicy, address: IpAddr) -> Threat {
    let explained = super::explain(shared, policy, address);
    let score = explained.reputation.as_ref().map_or(0, |reputation| reputation.score);
    let level = match score {
        0..40 => "LOW",
        40..60 => "MEDIUM",
        60..80 => "HIGH",
        _ => "CRITICAL",
    };
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == explained.verdict);
    let called = super::names_of(shared, &address.to_string()).unwrap_or_default();
    let tally = shared.detected.tally();
    let mut events = 0;
    for name in &called {
        events += tally.select(&Filter { source: Some(name), ..Filter::default() }, 0, 0).1;
    }
    drop(tally);
    let filter = AlertFilter { source: Some(explained.address.to_string()), ..AlertFilter::default() };
    let alerts =
        shared.detected.alerts().and_then(|reader| reader.list(&filter, 1, 0).ok()).map_or(0, |list| list.total);
    let line_seen = explained.reputation.iter().flat_map(|known| &known.evidence).filter_map(|line| line.last).max();
    let alert_seen = explained.alerts.iter().map(|alert| alert.last_seen).max();
    Threat {
        ip: explained.address,
        score,
        level: level.to_owned(),
        blocked: verdict.is_some_and(|verdict| verdict.action() == Action::Drop),
        allowed: explained.entries.iter().any(|entry| entry.kind == Kind::Allow),
        verdict: explained.verdict,
        reason: explained.reason,
        protected: explained.protected,
        country: explained.country,
        asn: explained.asn,
        as_name: explained.as_name,
        reputation: explained.reputation,
        entries: explained.entries,
        recent: Recent { events, alerts },
        last_seen: line_seen.max(alert_seen),
        alerts: explained.alerts,
    }
}
