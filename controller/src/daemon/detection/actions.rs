//! What follows from findings, carried out: denials and limits by the sync task, denied users, and those who are told.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::mpsc;

use crate::adapters::clock;
use crate::adapters::store::{Change, PastDenial};
use crate::domain::decision::{Enforcement, Kind, ListEnforcement, Origin};
use crate::domain::guard::{Refusal, bare};
use crate::domain::http::alert::{Action, AlertId, reason};
use crate::domain::http::detector::Outcome;
use crate::domain::http::respond::Consequence;
use crate::domain::listfile::Refused as _;
use crate::domain::time::Expiry;
use crate::sync::{Batch, Batched, Command, Handle, Put, Shared, SyncError};

/// The list of denials.
pub(in crate::daemon) const DENIALS: &str = "rules";
/// The list of those that have the tighter limit.
pub(in crate::daemon) const LIMITS: &str = "rules-limit";
/// On whose word.
const ORIGIN: &str = "rule";
/// The part that problems are noted under.
const PART: &str = "rules: decisions";
/// Decisions that go to the sync task together: few enough to go live at once.
const TOGETHER: usize = 64;

/// The origin of all that follows from rules and analyzers.
pub(in crate::daemon) fn origin() -> Origin {
    Origin::Automation(Arc::from(ORIGIN))
}

/// Entries for one of the two lists.
pub(in crate::daemon) fn batch(list: &str, put: Vec<(IpNet, Put)>) -> Batch {
    let usual = if list == LIMITS { ListEnforcement::Limit } else { ListEnforcement::Enforce };
    Batch {
        list: list.to_owned(),
        origin: origin(),
        usual,
        put,
        remove: Vec::new(),
        replace: false,
        only_with: None,
        dry_run: false,
    }
}

/// Whether the settings name a limit for a list of those that have the tighter one.
pub(in crate::daemon) fn has_limit(shared: &Shared, list: &str) -> bool {
    let state = shared.read();
    state.settings.floods.tight.is_some() || state.settings.profiles.contains_key(list)
}

/// Why a source must not be denied or limited on this word, if it must not: the label of the reason, and in words.
pub(in crate::daemon) fn guarded(shared: &Shared, prefix: IpNet, origin: &Origin) -> Option<(&'static str, String)> {
    let state = shared.read();
    let Err(refusal) = state.guards.admit(prefix, Kind::Deny, origin, false) else {
        // A denial would change nothing, and would count against the source later.
        let allowed = state.desired.covering(prefix).into_iter().find(|decision| decision.kind == Kind::Allow)?;
        return Some(("allowed", format!("{} is on an allow list ({})", bare(prefix), bare(allowed.prefix))));
    };
    drop(state);
    let named = |what: &str, hits: &[crate::domain::guard::Hit]| {
        let why = hits.first().map_or("", |hit| hit.why.as_str());
        format!("{} is {what} ({why})", bare(prefix))
    };
    let text = match &refusal {
        Refusal::Protected { hits, .. } => named("protected", hits),
        Refusal::NeverBlock { hits, .. } => named("never blocked", hits),
        Refusal::TooWide { .. } | Refusal::Special { .. } => refusal.to_string(),
    };
    Some((refusal.reason(), text))
}

/// Decisions on their way to the sync task.
#[derive(Debug)]
struct Sent {
    list: &'static str,
    /// By prefix: the alert behind it, and how long it is.
    decisions: BTreeMap<IpNet, (AlertId, u64)>,
}

/// What the sync task said to decisions.
#[derive(Debug)]
pub(super) struct Answered {
    number: u64,
    sent: Sent,
    answer: Result<Batched, SyncError>,
}

/// A decision that did not come about.
#[derive(Debug)]
pub(super) struct NotDone {
    /// The alert behind it.
    pub(super) alert: AlertId,
    /// What.
    pub(super) action: Action,
    /// Who.
    pub(super) prefix: IpNet,
    /// The label of the reason.
    pub(super) label: &'static str,
    /// Why, in words.
    pub(super) why: String,
}

/// Carries out what follows.
#[derive(Debug)]
pub(super) struct Actions {
    shared: Shared,
    sync: Handle,
    enforce: bool,
    waiting: BTreeMap<&'static str, Vec<(IpNet, Put, AlertId, u64)>>,
    number: u64,
    in_flight: BTreeSet<u64>,
    /// Prefixes that are on their way, each with how often.
    on_their_way: BTreeMap<IpNet, u32>,
    tell: mpsc::UnboundedSender<Answered>,
    /// What the sync task said.
    pub(super) answers: mpsc::UnboundedReceiver<Answered>,
    /// What followed, by its name.
    pub(super) responses: BTreeMap<&'static str, u64>,
    /// Denials that came about and are not written yet.
    pub(super) denials: Vec<PastDenial>,
}

impl Actions {
    pub(super) fn new(shared: Shared, sync: Handle) -> Self {
        let (tell, answers) = mpsc::unbounded_channel();
        Self {
            shared,
            sync,
            enforce: true,
            waiting: BTreeMap::new(),
            number: 0,
            in_flight: BTreeSet::new(),
            on_their_way: BTreeMap::new(),
            tell,
            answers,
            responses: BTreeMap::new(),
            denials: Vec::new(),
        }
    }

    /// Whether decisions are carried out, or only counted.
    pub(super) fn set_enforce(&mut self, enforce: bool) {
        self.enforce = enforce;
    }

    /// The number of the last decisions that were sent: what was read up to then is acted upon once [`Self::is_done`].
    pub(super) fn mark(&self) -> u64 {
        self.number
    }

    /// Whether all decisions up to this mark are in force and saved.
    pub(super) fn is_done(&self, mark: u64) -> bool {
        self.in_flight.first().is_none_or(|first| *first > mark)
    }

    /// Whether a denial or limit that was made before is still there: somebody may have lifted it.
    pub(super) fn is_in_force(&self, action: Action, prefix: IpNet) -> bool {
        if self.on_their_way.contains_key(&prefix) {
            return true;
        }
        let list = if action == Action::Limit { LIMITS } else { DENIALS };
        let state = self.shared.read();
        state.desired.named(list).is_some_and(|list| list.entries.contains_key(&prefix))
    }

    /// Has done what follows from a finding; `Err`: why it is not.
    pub(super) fn carry_out(&mut self, outcome: &Outcome) -> Result<(), NotDone> {
        let alert = outcome.folded.id;
        let by = reason(&outcome.finding.title, outcome.finding.detector.name(), alert);
        let name = match &outcome.consequence {
            Consequence::Observe | Consequence::InForce { .. } | Consequence::Refused { .. } => return Ok(()),
            Consequence::Notify => Action::Notify,
            Consequence::Deny { prefix, for_s, expiry } => {
                self.put(DENIALS, *prefix, *expiry, by, (alert, *for_s));
                Action::Deny
            }
            Consequence::Limit { prefix, for_s, expiry } => {
                if !has_limit(&self.shared, LIMITS) {
                    let why = "no tighter limit is set: [limits.tight] says what it is".to_owned();
                    return Err(NotDone { alert, action: Action::Limit, prefix: *prefix, label: "no_limit", why });
                }
                self.put(LIMITS, *prefix, *expiry, by, (alert, *for_s));
                Action::Limit
            }
            Consequence::DenyUser { user, expiry, .. } => {
                self.deny_user(user, &by, *expiry);
                Action::DenyUser
            }
        };
        *self.responses.entry(name.name()).or_default() += 1;
        Ok(())
    }

    fn put(&mut self, list: &'static str, prefix: IpNet, expiry: Expiry, reason: String, about: (AlertId, u64)) {
        let enforcement = if self.enforce { Enforcement::Enforce } else { Enforcement::Observe };
        let put = Put { expiry: Some(expiry), reason: reason.into(), enforcement };
        let waiting = self.waiting.entry(list).or_default();
        // The last one counts.
        waiting.retain(|(other, ..)| *other != prefix);
        waiting.push((prefix, put, about.0, about.1));
        if waiting.len() >= TOGETHER {
            self.send();
        }
    }

    /// Sends off what waits.
    pub(super) fn send(&mut self) {
        for (list, waiting) in std::mem::take(&mut self.waiting) {
            self.number += 1;
            let number = self.number;
            let mut sent = Sent { list, decisions: BTreeMap::new() };
            let mut put = Vec::with_capacity(waiting.len());
            for (prefix, one, alert, for_s) in waiting {
                sent.decisions.insert(prefix, (alert, for_s));
                *self.on_their_way.entry(prefix).or_default() += 1;
                put.push((prefix, one));
            }
            self.in_flight.insert(number);
            let batch = batch(list, put);
            let (sync, tell) = (self.sync.clone(), self.tell.clone());
            let asked = sync.asking(|reply| Command::Batch(batch, "rules".to_owned(), reply));
            tokio::spawn(async move {
                let answer = asked.await;
                // Whoever sent it may have gone; the decisions stand.
                let _gone = tell.send(Answered { number, sent, answer });
            });
        }
    }

    /// Takes in what the sync task said; what did not come about.
    pub(super) fn answered(&mut self, answered: Answered) -> Vec<NotDone> {
        let Answered { number, sent, answer } = answered;
        self.in_flight.remove(&number);
        for prefix in sent.decisions.keys() {
            if let Some(count) = self.on_their_way.get_mut(prefix) {
                *count -= 1;
                if *count == 0 {
                    self.on_their_way.remove(prefix);
                }
            }
        }
        let now = clock::now().wall;
        let not_done = |prefix: IpNet, label: &'static str, why: String| {
            let (alert, _) = sent.decisions.get(&prefix)?;
            let action = if sent.list == DENIALS { Action::Deny } else { Action::Limit };
            Some(NotDone { alert: *alert, action, prefix, label, why })
        };
        match answer {
            Ok(batched) => {
                let refused: BTreeMap<IpNet, &'static str> = batched.refused.iter().copied().collect();
                if sent.list == DENIALS {
                    let made = sent.decisions.iter().filter(|(prefix, _)| !refused.contains_key(prefix));
                    let names = &self.shared.detected.privacy.load().names;
                    let made = made.map(|(prefix, (_, for_s))| PastDenial {
                        who: names.prefix(*prefix),
                        denied_at: now,
                        for_s: *for_s,
                    });
                    self.denials.extend(made);
                }
                let _stopping = self.sync.send(Command::Problem(PART.to_owned(), None));
                let why = |prefix: IpNet| {
                    guarded(&self.shared, prefix, &origin()).map_or_else(|| "refused".to_owned(), |(_, why)| why)
                };
                refused.into_iter().filter_map(|(prefix, label)| not_done(prefix, label, why(prefix))).collect()
            }
            // In force all the same.
            Err(SyncError::NotSaved(_)) => Vec::new(),
            Err(error) => {
                let why = error.to_string();
                let problem = format!("what follows from alerts is not carried out: {why}");
                let _stopping = self.sync.send(Command::Problem(PART.to_owned(), Some(problem)));
                sent.decisions.keys().filter_map(|prefix| not_done(*prefix, "not_in_force", why.clone())).collect()
            }
        }
    }

    fn deny_user(&mut self, user: &str, reason: &str, expiry: Expiry) {
        let Some(denial) = self.shared.detected.users().deny(user, reason, expiry, clock::now()) else { return };
        let mut changes = vec![Change::PutUser(denial.denied.clone())];
        changes.extend(denial.gone.map(|user| Change::RemoveUser { user }));
        let detail = serde_json::json!({"reason": reason, "until": expiry.wall.to_string()});
        let audit = ("rules".to_owned(), "deny user".to_owned(), denial.denied.user, detail);
        let _stopping = self.sync.send(Command::Save(changes, Some(audit), None));
    }

    /// Forgets users whose time is over.
    pub(super) fn sweep_users(&self) {
        let over = self.shared.detected.users().sweep(clock::now().boot);
        if !over.is_empty() {
            let changes = over.into_iter().map(|user| Change::RemoveUser { user }).collect();
            let _stopping = self.sync.send(Command::Save(changes, None, None));
        }
    }
}
