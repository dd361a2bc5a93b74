//! What is weighed and remembered: reputation, audit, privacy.
use crate::config::error::Problem;
use crate::config::raw::{RawAudit, RawPrior, RawReputation};
use crate::config::types::{Audit, PlacePrior, Reputation, SourcePlace};
use crate::domain::geo::Asn;
use crate::domain::http::finding::NotAName;
use crate::domain::http::recorded::Keep;
use crate::domain::reputation::{Limits, Policy};

use super::detection::{LONGEST_DENIAL_S, LONGEST_S, not_one_of, span};
use super::{Fault, number};

/// Most sources of which evidence is kept.
const MOST_SOURCES: u64 = 500_000;
/// Most events that are kept.
const MOST_EVENTS: u64 = 100_000_000;
/// Most `[[reputation.policy]]` sections.
const MOST_PRIORS: usize = 1_000;

pub(super) fn reputation(raw: &RawReputation) -> Result<Reputation, Fault> {
    let grade = |name: &str, value| number(&format!("reputation.{name}"), value, 0, 100);
    let time = |name: &str, text: &str| span(&format!("reputation.{name}"), text, 1, LONGEST_DENIAL_S);
    let policy = Policy {
        enforce: raw.enforce,
        limit_at: grade("limit_at", raw.limit_at)?,
        limit_for_s: time("limit_for", &raw.limit_for)?,
        short_at: grade("short_at", raw.short_at)?,
        short_for_s: time("short_for", &raw.short_for)?,
        deny_at: grade("deny_at", raw.deny_at)?,
        deny_for_s: time("deny_for", &raw.deny_for)?,
        longest_s: time("longest", &raw.longest)?,
        most_sources: number("reputation.max_sources", raw.max_sources, 100, MOST_SOURCES)?,
        ..Policy::default()
    };
    // 0 is never. What is stricter begins later, or what is milder would never be.
    let grades = [("limit_at", policy.limit_at), ("short_at", policy.short_at), ("deny_at", policy.deny_at)];
    let given: Vec<(&str, u8)> = grades.into_iter().filter(|(_, at)| *at > 0).collect();
    for pair in given.windows(2) {
        if let [(milder, before), (stricter, at)] = pair
            && at < before
        {
            let why = format!("it begins before {milder} ({before}), which is milder; give it at least as many points");
            return Err(Fault::refused(&format!("reputation.{stricter}"), &at.to_string(), &why));
        }
    }
    if policy.deny_for_s > policy.longest_s {
        let why = format!("longer than `longest` ({})", raw.longest);
        return Err(Fault::refused("reputation.deny_for", &raw.deny_for, &why));
    }
    if raw.policy.len() > MOST_PRIORS {
        let why = format!("{} are too many; the most is {MOST_PRIORS}", raw.policy.len());
        return Err(Fault::refused("reputation.policy", "[[reputation.policy]]", &why));
    }
    let priors =
        raw.policy.iter().enumerate().map(|(at, raw)| prior(raw, &|key| format!("reputation.policy[{at}].{key}")));
    Ok(Reputation {
        limits: Limits {
            most_sources: policy.most_sources,
            half_life_s: span("reputation.half_life", &raw.half_life, 60, LONGEST_S)?,
        },
        policy,
        priors: priors.collect::<Result<_, _>>()?,
    })
}

fn prior(raw: &RawPrior, key: &dyn Fn(&str) -> String) -> Result<PlacePrior, Fault> {
    let place = match (raw.country.as_str(), raw.asn) {
        ("", 0) => {
            let why = "a [[reputation.policy]] section names a `country` or an `asn`";
            return Err(Fault { key: key("country"), problem: Problem::Missing { key: key("country"), why } });
        }
        ("", asn) => {
            let asn = u32::try_from(asn).ok().and_then(Asn::new);
            let refused =
                || Fault::refused(&key("asn"), &raw.asn.to_string(), "not the number of an autonomous system");
            SourcePlace::Asn(asn.ok_or_else(refused)?)
        }
        (country, 0) => {
            SourcePlace::Country(country.parse().map_err(|error| Fault::refused(&key("country"), country, &error))?)
        }
        (country, _) => {
            return Err(Fault::refused(&key("country"), country, "a section names a country or an asn, not both"));
        }
    };
    Ok(PlacePrior { place, points: number(&key("points"), raw.points, 1, 100)? })
}

pub(super) fn audit(raw: &RawAudit) -> Result<Audit, Fault> {
    let events = match raw.events.as_str() {
        "nothing" => Keep::Nothing,
        "security" => Keep::Security,
        "all" => Keep::All,
        other => return Err(not_one_of("audit.events", &NotAName::new("choice of events", other, Keep::NAMES))),
    };
    Ok(Audit {
        events,
        retention_s: span("audit.retention", &raw.retention, 3_600, LONGEST_S)?,
        most_events: number("audit.max_events", raw.max_events, 1_000, MOST_EVENTS)?,
    })
}
