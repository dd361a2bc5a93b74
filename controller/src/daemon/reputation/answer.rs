//! What a score asks for, carried out: denials and limits by the sync task.
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::problem;
use crate::adapters::clock;
use crate::daemon::detection::{guarded, has_limit};
use crate::domain::decision::{Enforcement, ListEnforcement, Origin};
use crate::domain::reputation::{Answer, Answers, Assessment, Grade};
use crate::domain::time::Now;
use crate::sync::{Batch, Command, Handle, Put, Shared, SyncError};
use crate::views;

/// The list of denials.
pub(in crate::daemon) const DENIALS: &str = "reputation";
/// The list of those that have the tighter limit.
pub(in crate::daemon) const LIMITS: &str = "reputation-limit";
/// Lines of the ledger that a reason names.
const REASONS: usize = 3;

/// Decisions that are to be sent.
#[derive(Debug)]
pub(super) struct Decisions {
    shared: Shared,
    sync: Handle,
    waiting: BTreeMap<&'static str, BTreeMap<IpNet, (Arc<str>, Put)>>,
}

impl Decisions {
    pub(super) fn new(shared: Shared, sync: Handle) -> Self {
        Self { shared, sync, waiting: BTreeMap::new() }
    }

    /// Notes what an assessment asks for.
    pub(super) fn answer(
        &mut self,
        prefix: IpNet,
        key: &Arc<str>,
        assessment: &Assessment,
        answers: &mut Answers,
        now: Now,
    ) {
        let boot = super::signed(now.boot.0);
        let past = answers.past(key);
        let is_answered =
            past.is_some_and(|past| [past.long, past.short, past.limit].iter().any(|step| step.until > boot));
        if is_answered && !self.is_in_force(prefix) {
            // Somebody lifted it: it does not count.
            answers.lifted(key, boot);
        }
        let (list, for_s) = match answers.answer(key, assessment, boot) {
            Answer::Nothing => return,
            Answer::Limit { for_s } => (LIMITS, for_s),
            Answer::Short { for_s } | Answer::Long { for_s } => (DENIALS, for_s),
        };
        if guarded(&self.shared, prefix, &Origin::Reputation).is_some()
            || list == LIMITS && !has_limit(&self.shared, LIMITS)
        {
            answers.lifted(key, boot);
            return;
        }
        let enforce = self.shared.read().settled.reputation.policy.enforce;
        let enforcement = if enforce { Enforcement::Enforce } else { Enforcement::Observe };
        let put = Put { expiry: Some(now.after(for_s)), reason: reason(assessment).into(), enforcement };
        self.waiting.entry(list).or_default().insert(prefix, (Arc::clone(key), put));
    }

    fn is_in_force(&self, prefix: IpNet) -> bool {
        let waits = self.waiting.values().any(|waiting| waiting.contains_key(&prefix));
        let state = self.shared.read();
        waits
            || [DENIALS, LIMITS]
                .iter()
                .any(|name| state.desired.named(name).is_some_and(|list| list.entries.contains_key(&prefix)))
    }

    /// All entries for scores, each with its list.
    fn entries(&self) -> Vec<(&'static str, IpNet)> {
        let state = self.shared.read();
        let mut found = Vec::new();
        for name in [DENIALS, LIMITS] {
            let Some(list) = state.desired.named(name) else { continue };
            found.extend(list.entries.keys().map(|prefix| (name, *prefix)));
        }
        found
    }

    /// Whether something waits.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, and takes in what the sync task says; what of it came about.
    pub(super) async fn send(&mut self, answers: &mut Answers) -> Vec<(&'static str, IpNet)> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut done = Vec::new();
        for (list, entries) in waiting {
            let put = entries.iter().map(|(prefix, (_, put))| (*prefix, put.clone())).collect();
            let batch = batch(list, put, Vec::new());
            let answer = self.sync.ask(|reply| Command::Batch(batch, DENIALS.to_owned(), reply)).await;
            let boot = super::signed(clock::now().boot.0);
            match answer {
                Ok(batched) => {
                    for (prefix, _) in &batched.refused {
                        if let Some((key, _)) = entries.get(prefix) {
                            answers.lifted(key, boot);
                        }
                    }
                    let is_refused = |prefix: &IpNet| batched.refused.iter().any(|(refused, _)| refused == prefix);
                    done.extend(entries.keys().filter(|prefix| !is_refused(prefix)).map(|prefix| (list, *prefix)));
                    problem(&self.sync, None);
                }
                // In force all the same.
                Err(SyncError::NotSaved(_)) => done.extend(entries.keys().map(|prefix| (list, *prefix))),
                Err(error) => {
                    for (key, _) in entries.values() {
                        answers.lifted(key, boot);
                    }
                    problem(&self.sync, Some(format!("what scores ask for is not carried out: {error}")));
                }
            }
        }
        done
    }

    /// Lifts what is in force for the score of a source. Where `if_asked` is set, only what its score does not ask for any
    /// more; what it asks for then comes in its place.
    pub(super) async fn lift(&mut self, name: &str, if_asked: bool, answers: &mut Answers) -> Vec<IpNet> {
        let (policy, names) = {
            let policy = self.shared.read().settled.reputation.policy;
            (policy, self.shared.detected.privacy.load().names.clone())
        };
        let (key, now): (Arc<str>, Now) = (name.into(), clock::now());
        let boot = super::signed(now.boot.0);
        let in_force = answers.past(name).map_or(Grade::Nothing, |past| past.in_force(boot));
        // Names are made with nothing locked: there may be many.
        let entries = self.entries().into_iter();
        let entries: Vec<(&'static str, IpNet, Assessment)> = entries
            .filter(|(_, prefix)| names.all_of(*prefix).iter().any(|called| called == name))
            .map(|(list, prefix)| (list, prefix, views::reputation::assess(&self.shared, prefix.addr())))
            .filter(|(list, _, assessment)| {
                let of_entry = if *list == LIMITS { Grade::Limit } else { in_force.max(Grade::Short) };
                !if_asked || policy.grade(assessment) < of_entry
            })
            .collect();
        if entries.is_empty() {
            return Vec::new();
        }
        // It was not to be, so it does not count.
        answers.lifted(&key, boot);
        if if_asked {
            for (_, prefix, assessment) in &entries {
                self.answer(*prefix, &key, assessment, answers, now);
            }
        }
        // First what is asked for, so that there is no gap.
        let stays = self.send(answers).await;
        let mut lifted = Vec::new();
        for (list, prefix, _) in entries {
            if stays.contains(&(list, prefix)) {
                continue;
            }
            let batch = batch(list, Vec::new(), vec![prefix]);
            let answer = self.sync.ask(|reply| Command::Batch(batch, DENIALS.to_owned(), reply)).await;
            match answer {
                Ok(_) | Err(SyncError::NotSaved(_)) if stays.iter().any(|(_, other)| *other == prefix) => {}
                Ok(_) | Err(SyncError::NotSaved(_)) => lifted.push(prefix),
                Err(error) => problem(&self.sync, Some(format!("{prefix} is not lifted: {error}"))),
            }
        }
        lifted
    }
}

fn batch(list: &str, put: Vec<(IpNet, Put)>, remove: Vec<IpNet>) -> Batch {
    let usual = if list == LIMITS { ListEnforcement::Limit } else { ListEnforcement::Enforce };
    let (list, origin) = (list.to_owned(), Origin::Reputation);
    Batch { list, origin, usual, put, remove, replace: false, only_with: None, dry_run: false }
}

/// The score, and what weighs most in it.
fn reason(assessment: &Assessment) -> String {
    let lines = assessment.lines.iter().filter(|line| line.points > 0.0).take(REASONS);
    let most: Vec<String> = lines.map(|line| format!("{} {:.0}", line.source, line.points)).collect();
    format!("score {}: {}", assessment.score, most.join(", "))
}
