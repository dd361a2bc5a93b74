//! What alerts caused that were nothing is undone: in force is then only what others cause.
use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use super::super::detection::{self, DENIALS, LIMITS, Triaged, Undone};
use super::super::reputation;
use super::super::ways::Ways;
use super::CaseFault;
use crate::adapters::clock;
use crate::domain::decision::Enforcement;
use crate::domain::guard::bare;
use crate::domain::http::alert::{self, Action, Alert, AlertId};
use crate::domain::http::source;
use crate::sync::{Batch, Batched, Command, Put, SyncError};

/// What was undone with alerts that were nothing.
#[derive(Debug, Default)]
pub(super) struct Lifted {
    /// Of rules.
    rules: Vec<IpNet>,
    /// What was lifted for the score.
    scores: Vec<IpNet>,
    users: Vec<String>,
    /// What is still in force against the same sources, on others' word.
    pub(super) remains: Vec<String>,
    /// These sources.
    still: BTreeSet<IpNet>,
    pub(super) score: Option<u8>,
}

impl Lifted {
    /// Prefixes and users that are denied or limited no longer.
    pub(super) fn words(&self) -> Vec<String> {
        let gone = self.rules.iter().chain(&self.scores).filter(|prefix| !self.still.contains(prefix));
        let mut words: Vec<String> = gone.map(ToString::to_string).collect();
        words.extend(self.users.iter().cloned());
        words.sort();
        words.dedup();
        words
    }

    /// Notes what is in force against a source now, on the word of alerts and of its score.
    fn remaining(&mut self, ways: &Ways, prefix: IpNet) {
        let lists = [DENIALS, LIMITS, reputation::DENIALS, reputation::LIMITS];
        let state = ways.shared.read();
        let in_force: Vec<String> = lists
            .into_iter()
            .filter_map(|list| {
                let entry = state.desired.named(list)?.entries.get(&prefix)?;
                let verb = if matches!(list, LIMITS | reputation::LIMITS) { "limited" } else { "denied" };
                let until = entry.expiry.map(|expiry| format!(" until {}", expiry.wall)).unwrap_or_default();
                Some(format!("{} is {verb}{until}: {}", bare(prefix), entry.reason))
            })
            .collect();
        drop(state);
        // Of several alerts of one source the last says how it is.
        let whose = format!("{} is ", bare(prefix));
        self.remains.retain(|remaining| !remaining.starts_with(&whose));
        if in_force.is_empty() {
            self.still.remove(&prefix);
        } else {
            self.still.insert(prefix);
        }
        self.remains.extend(in_force);
    }
}

/// Undoes what an alert caused; `cleared` are all that were nothing. Where another alert asks for a denial of the same
/// source, that is put back, for as long as it asks.
pub(super) async fn lift(
    ways: &Ways,
    alert: &Alert,
    cleared: &[AlertId],
    actor: &str,
    lifted: &mut Lifted,
) -> Result<(), CaseFault> {
    let mark = alert::mark(alert.id);
    let mut touched: BTreeSet<IpNet> = BTreeSet::new();
    let source = alert.source.as_ref().and_then(|source| source.parse::<IpAddr>().ok());
    touched.extend(source.map(source::prefix));
    for (action, prefix) in caused(ways, alert, &mark) {
        let others = others(ways, prefix, cleared).await?;
        let remaining = alert::longest(&others, action, clock::now().wall);
        let list = if action == Action::Limit { LIMITS } else { DENIALS };
        let batch = match remaining {
            Some((until, other)) => detection::batch(list, vec![(prefix, put(ways, list, prefix, until, other))]),
            None => Batch { remove: vec![prefix], ..detection::batch(list, Vec::new()) },
        };
        // What somebody made of it meanwhile, or another finding, is theirs.
        let batch = Batch { only_with: Some(mark.clone()), ..batch };
        let Batched { put: changed, removed, .. } = carried_out(ways, batch, actor).await?;
        let until = remaining.filter(|_| changed > 0).map(|(until, _)| until);
        if changed + removed > 0 {
            // At once, so that what is found now is not taken to be answered.
            let undone = vec![Undone { action, prefix, until }];
            ways.detection.triaged(Triaged { id: alert.id, is_closed: true, undone }).await;
            let (called, now) = (called(ways, prefix), clock::now().wall);
            if action == Action::Deny {
                ways.keeper.ask(move |store| store.denial_ends(&called, until, now)).await?;
            }
        }
        touched.insert(prefix);
        if removed > 0 {
            lifted.rules.push(prefix);
            if action == Action::Deny {
                limit_instead(ways, prefix, &others, actor).await?;
            }
        }
    }
    let users: Vec<String> = {
        let users = ways.shared.detected.users();
        let denied = users.list(clock::now().boot).filter(|denied| denied.reason.contains(&mark));
        denied.map(|denied| denied.user.clone()).collect()
    };
    for user in users {
        if ways.detection.lift(user.clone(), actor.to_owned()).await? {
            lifted.users.push(user);
        }
    }
    if alert.source.is_some() {
        let cleared = ways.reputation.cleared(alert.clone()).await?;
        lifted.score = Some(lifted.score.unwrap_or(0).max(cleared.score));
        touched.extend(&cleared.lifted);
        lifted.scores.extend(cleared.lifted);
    }
    for prefix in touched {
        lifted.remaining(ways, prefix);
    }
    Ok(())
}

/// What an alert may have caused: whom its mark is on, and whom it names, as that may be on its way.
fn caused(ways: &Ways, alert: &Alert, mark: &str) -> Vec<(Action, IpNet)> {
    let mut caused = Vec::new();
    let target = alert.action_target.as_ref().and_then(|target| target.parse::<IpNet>().ok());
    let state = ways.shared.read();
    for (action, list) in [(Action::Deny, DENIALS), (Action::Limit, LIMITS)] {
        let entries = state.desired.named(list).into_iter().flat_map(|list| list.entries.iter());
        let marked = entries.filter(|(_, info)| info.reason.contains(mark));
        let mut prefixes: Vec<IpNet> = marked.map(|(prefix, _)| *prefix).collect();
        prefixes.extend(target.filter(|target| alert.action == action && !prefixes.contains(target)));
        caused.extend(prefixes.into_iter().map(|prefix| (action, prefix)));
    }
    caused
}

/// All names of a source.
pub(super) fn called(ways: &Ways, prefix: IpNet) -> Vec<String> {
    let mut called = ways.shared.detected.privacy.load().names.all_of(prefix);
    // As it is called in memory.
    called.push(prefix.to_string());
    called.sort();
    called.dedup();
    called
}

/// The other alerts that ask for a denial or a limit of a source.
async fn others(ways: &Ways, prefix: IpNet, cleared: &[AlertId]) -> Result<Vec<Alert>, CaseFault> {
    let called = called(ways, prefix);
    let mut others = ways.detection.open_alerts(called.clone()).await;
    let now = clock::now().wall;
    let written = ways.keeper.ask(move |store| store.asking(&called, now)).await?;
    let is_open = |alert: &Alert| others.iter().any(|open| open.id == alert.id);
    let written: Vec<Alert> = written.into_iter().filter(|alert| !is_open(alert)).collect();
    others.extend(written);
    others.retain(|other| !cleared.contains(&other.id) && other.asks(now).is_some());
    Ok(others)
}

fn is_listed(ways: &Ways, list: &str, prefix: IpNet) -> bool {
    ways.shared.read().desired.named(list).is_some_and(|list| list.entries.contains_key(&prefix))
}

/// An entry for what an alert asks for, carried out or counted as the one there is.
fn put(ways: &Ways, list: &str, prefix: IpNet, until: Timestamp, other: &Alert) -> Put {
    let now = clock::now();
    let left = u64::try_from(until.duration_since(now.wall).as_secs()).unwrap_or(0);
    let state = ways.shared.read();
    let before = state.desired.named(list).and_then(|list| list.entries.get(&prefix));
    let usual = if state.settings.detection.alerts.enforce { Enforcement::Enforce } else { Enforcement::Observe };
    let enforcement = before.map_or(usual, |before| before.enforcement);
    Put { expiry: Some(now.after(left.max(1))), reason: other.reason().into(), enforcement }
}

/// Who was denied needed no limit: where others ask for one, it has it now.
async fn limit_instead(ways: &Ways, prefix: IpNet, others: &[Alert], actor: &str) -> Result<(), CaseFault> {
    let longest = alert::longest(others, Action::Limit, clock::now().wall);
    let Some((until, other)) = longest else { return Ok(()) };
    if !is_listed(ways, LIMITS, prefix) && detection::has_limit(&ways.shared, LIMITS) {
        let batch = detection::batch(LIMITS, vec![(prefix, put(ways, LIMITS, prefix, until, other))]);
        carried_out(ways, batch, actor).await?;
    }
    Ok(())
}

async fn carried_out(ways: &Ways, batch: Batch, actor: &str) -> Result<Batched, SyncError> {
    ways.sync.ask(|reply| Command::Batch(batch, actor.to_owned(), reply)).await
}
