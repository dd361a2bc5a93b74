//! What is known of an address's behaviour: the ledger's lines, and what feeds, country and network add.
use std::net::IpAddr;

use jiff::Timestamp;

use crate::config::{FeedAction, SourcePlace};
use crate::daemon::who;
use crate::domain::geo::Place;
use crate::domain::http::source;
use crate::domain::report::{EvidenceRow, ReputationRow, SourceRow};
use crate::domain::reputation::{Assessment, Ledger, Line, Prior, Who};
use crate::sync::{Shared, State};

/// What is known beforehand of an address: by feeds of evidence, by country, by network.
pub fn priors(shared: &Shared, address: IpAddr, place: &Place) -> Vec<Prior> {
    let state = shared.read();
    let mut priors = of_feeds(&state, address);
    for prior in &state.settled.reputation.priors {
        let points = f64::from(prior.points);
        match prior.place {
            SourcePlace::Country(country) if place.country == Some(country) => {
                priors.push(Prior { kind: "country", source: country.to_string(), points });
            }
            SourcePlace::Asn(asn) if place.asn == Some(asn.get()) => {
                priors.push(Prior { kind: "asn", source: format!("AS{asn}"), points });
            }
            SourcePlace::Country(_) | SourcePlace::Asn(_) => {}
        }
    }
    priors
}

/// Feeds of evidence that name an address, each once.
fn of_feeds(state: &State, address: IpAddr) -> Vec<Prior> {
    let mut priors: Vec<Prior> = Vec::new();
    if !state.settings.feeds.iter().any(|feed| feed.action == FeedAction::Reputation) {
        return priors;
    }
    for decision in state.desired.covering(source::prefix(address)) {
        let Some(list) = state.desired.list(decision.list) else { continue };
        let feed = state.settings.feeds.iter().find(|feed| feed.name == *list.name);
        let Some(feed) = feed.filter(|feed| feed.action == FeedAction::Reputation) else { continue };
        if !priors.iter().any(|prior| prior.source == feed.name) {
            priors.push(Prior { kind: "feed", source: feed.name.clone(), points: f64::from(feed.weight) });
        }
    }
    priors
}

/// What there is against an address now.
pub fn assess(shared: &Shared, address: IpAddr) -> Assessment {
    let privacy = shared.detected.privacy.load();
    let place = shared.followed.place(address);
    let priors = priors(shared, address, &place);
    let who = who(&privacy.names, address, &place);
    let ledger = shared.detected.ledger();
    // Under a key that is used no more it may have another name.
    let key = privacy.names.all_of(source::prefix(address)).into_iter().find(|name| ledger.contains(name));
    let who = Who { key: key.map_or(who.key, Into::into), ..who };
    ledger.assess(&who, &priors, shared.detected.now().wall)
}

/// The score that the ledger's own lines of a source come to, with what its neighbours did, by its name.
pub fn score_of(shared: &Shared, name: &str, now: Timestamp) -> u8 {
    let ledger = shared.detected.ledger();
    ledger.assess(&known(&ledger, name), &[], now).score
}

/// Who a source is by its name, with the network it was last seen in, if there is anything against it.
pub fn known(ledger: &Ledger, name: &str) -> Who {
    let known = ledger.who(name).cloned();
    known.unwrap_or_else(|| Who { key: name.into(), network: "".into(), asn: None })
}

/// The same for people; `None`: there is nothing.
pub fn row(assessment: &Assessment) -> Option<ReputationRow> {
    let evidence: Vec<EvidenceRow> = assessment.lines.iter().map(evidence).collect();
    (!evidence.is_empty()).then_some(ReputationRow { score: assessment.score, sum: tenths(assessment.sum), evidence })
}

fn evidence(line: &Line) -> EvidenceRow {
    EvidenceRow {
        kind: line.kind.clone(),
        source: line.source.clone(),
        alert: line.alert,
        weight: tenths(line.weight),
        points: tenths(line.points),
        count: line.count,
        first: line.first,
        last: line.last,
        spoofable: line.spoofable,
    }
}

/// Sources with evidence against them, the worst first; and how many there are.
pub fn worst(shared: &Shared, most: usize, offset: usize) -> (Vec<SourceRow>, u64) {
    let now = shared.detected.now().wall;
    let (rows, total) = shared.detected.ledger().top(now, most, offset);
    let rows = rows.into_iter().map(|(source, sum)| SourceRow {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
        score: sum.round().clamp(0.0, 100.0) as u8,
        sum: tenths(sum),
        source: source.to_string(),
    });
    (rows.collect(), total as u64)
}

/// A figure as it is shown: more digits say nothing.
fn tenths(points: f64) -> f64 {
    (points * 10.0).round() / 10.0
}
