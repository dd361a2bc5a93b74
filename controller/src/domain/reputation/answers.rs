//! What was answered to sources: who comes back is answered for longer.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::assessment::Assessment;
use super::policy::{Answer, Grade, Policy};

/// An answer in force is lengthened where it would end more than so much later, in seconds: what one attack still sets off
/// is not answered each.
const WORTH_S: i64 = 60;

/// The answers of one grade to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many there were.
    pub times: u32,
    /// When the last one ends or ended, in seconds of the boot-time clock.
    pub until: i64,
}

impl Step {
    /// None at all.
    pub const NONE: Self = Self { times: 0, until: i64::MIN };

    fn is_in_force(self, now: i64) -> bool {
        self.until > now
    }

    /// As it counts after so long a memory.
    fn remembered(self, now: i64, memory_s: i64) -> Self {
        if now.saturating_sub(self.until) > memory_s { Self::NONE } else { self }
    }

    fn ended(self, now: i64) -> Self {
        Self { until: self.until.min(now), ..self }
    }

    /// As if the one in force had not been.
    fn lifted(self, now: i64) -> Self {
        match self.times.saturating_sub(u32::from(self.is_in_force(now))) {
            0 => Self::NONE,
            times => Self { times, ..self.ended(now) },
        }
    }

    fn or(self, other: Self) -> Self {
        Self { times: self.times.max(other.times), until: self.until.max(other.until) }
    }
}

/// What was answered to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Long denials.
    pub long: Step,
    /// Short denials.
    pub short: Step,
    /// Tighter limits.
    pub limit: Step,
}

impl Past {
    const NONE: Self = Self { long: Step::NONE, short: Step::NONE, limit: Step::NONE };

    /// Until when it is denied or limited, or was.
    fn until(self) -> i64 {
        self.until_of(Grade::Nothing)
    }

    /// The same of answers that are no weaker.
    fn until_of(self, grade: Grade) -> i64 {
        let steps = [(Grade::Long, self.long), (Grade::Short, self.short), (Grade::Limit, self.limit)];
        let ends = steps.into_iter().filter(|(of, _)| *of >= grade).map(|(_, step)| step.until);
        ends.max().unwrap_or(i64::MIN)
    }

    /// The strongest that is in force now, in seconds of the boot-time clock.
    pub fn in_force(self, boot_now: i64) -> Grade {
        let grades = [Grade::Long, Grade::Short, Grade::Limit].into_iter();
        let in_force = grades.filter(|grade| self.step(*grade).is_in_force(boot_now));
        in_force.max().unwrap_or(Grade::Nothing)
    }

    fn step(self, grade: Grade) -> Step {
        match grade {
            Grade::Nothing => Step::NONE,
            Grade::Limit => self.limit,
            Grade::Short => self.short,
            Grade::Long => self.long,
        }
    }

    /// With another answer, which ends what is weaker.
    fn answered(self, grade: Grade, step: Step, now: i64) -> Self {
        match grade {
            Grade::Nothing => self,
            Grade::Limit => Self { limit: step, ..self },
            Grade::Short => Self { short: step, limit: self.limit.ended(now), ..self },
            Grade::Long => Self { long: step, short: self.short.ended(now), limit: self.limit.ended(now) },
        }
    }

    fn each(self, change: impl Fn(Step) -> Step) -> Self {
        Self { long: change(self.long), short: change(self.short), limit: change(self.limit) }
    }

    fn or(self, other: Self) -> Self {
        Self { long: self.long.or(other.long), short: self.short.or(other.short), limit: self.limit.or(other.limit) }
    }
}

/// What was answered to a source, as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRow {
    /// The source.
    pub key: Arc<str>,
    /// Long denials, if there were any.
    pub long: Option<StepRow>,
    /// Short denials.
    pub short: Option<StepRow>,
    /// Tighter limits.
    pub limit: Option<StepRow>,
}

/// The answers of one grade, as they are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// How many there were.
    pub times: u32,
    /// In how many seconds the last one ends; negative if it has.
    pub ends_in_s: i64,
}

/// Decides what is answered, and remembers to whom.
///
/// Where there is no room for another source, one that was never denied for long goes, as long as these have a quarter of
/// the room, and then one that was: whoever's answer ends first. So what anybody can forge does not have the worst
/// forgotten.
#[derive(Clone, Debug)]
pub struct Answers {
    policy: Policy,
    sources: BTreeMap<Arc<str>, Past>,
    /// Those who were denied for long, and the others, by when their answers end.
    long: BTreeSet<(i64, Arc<str>)>,
    others: BTreeSet<(i64, Arc<str>)>,
}

impl Answers {
    /// One that remembers nobody.
    pub fn new(policy: Policy) -> Self {
        Self { policy, sources: BTreeMap::new(), long: BTreeSet::new(), others: BTreeSet::new() }
    }

    /// What follows from now on; what is remembered stays, as far as there is room.
    pub fn set(&mut self, policy: Policy) {
        self.policy = policy;
        self.make_room(policy.most_sources.max(1));
    }

    /// What follows.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sources that are remembered.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// What was answered to a source; `None` if nothing is remembered.
    pub fn past(&self, key: &str) -> Option<Past> {
        self.sources.get(key).copied()
    }

    /// What is to be done about a source now, in seconds of the boot-time clock. Ask when there is new evidence against
    /// it: a score that is still high after an answer has ended is answered again, for longer.
    ///
    /// Nothing, if something at least as strong is in force and a new one would not end a minute later. What goes on while
    /// an answer is in force lengthens it, and is no reason for a longer one. What is weaker ends with what is stronger.
    pub fn answer(&mut self, key: &Arc<str>, assessment: &Assessment, boot_now: i64) -> Answer {
        let grade = self.policy.grade(assessment);
        if !self.policy.enforce || grade == Grade::Nothing {
            return Answer::Nothing;
        }
        let memory_s = signed(self.policy.memory_s);
        let past = self.past(key).unwrap_or(Past::NONE).each(|step| step.remembered(boot_now, memory_s));
        let step = past.step(grade);
        let before = step.times.saturating_sub(u32::from(step.is_in_force(boot_now)));
        let answer = self.policy.answer(grade, before);
        let until = boot_now.saturating_add(signed(answer.for_s()));
        let in_force = past.until_of(grade);
        if in_force > boot_now && until.saturating_sub(in_force) <= WORTH_S {
            return Answer::Nothing;
        }
        let step = Step { times: before.saturating_add(1), until };
        self.remember(key, past.answered(grade, step, boot_now));
        answer
    }

    /// What is in force against a source was lifted, or refused at the door: it ends, and does not count. What was before
    /// it does.
    pub fn lifted(&mut self, key: &Arc<str>, boot_now: i64) {
        let Some(past) = self.past(key) else { return };
        let past = past.each(|step| step.lifted(boot_now));
        if past == Past::NONE {
            self.forget(key);
        } else {
            self.remember(key, past);
        }
    }

    /// A source is called otherwise from now on. If one of that name is remembered too, the worse of each counts. Returns
    /// whether anything was remembered under the old name.
    pub fn rename(&mut self, old: &str, new: &Arc<str>) -> bool {
        if old == new.as_ref() {
            return false;
        }
        let Some(past) = self.past(old) else { return false };
        self.forget(old);
        let past = self.past(new).map_or(past, |other| past.or(other));
        self.remember(new, past);
        true
    }

    /// All who are remembered, by name.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sources.keys()
    }

    /// Forgets what was answered to a source. Returns whether anything was remembered.
    pub fn forget(&mut self, key: &str) -> bool {
        let Some((key, past)) = self.sources.remove_entry(key) else { return false };
        self.by_end(past).remove(&(past.until(), key));
        true
    }

    /// Forgets whom nothing counts against any more.
    pub fn sweep(&mut self, boot_now: i64) {
        let oldest = boot_now.saturating_sub(signed(self.policy.memory_s));
        for by_end in [&mut self.long, &mut self.others] {
            while by_end.first().is_some_and(|(until, _)| *until < oldest) {
                if let Some((_, key)) = by_end.pop_first() {
                    self.sources.remove(&key);
                }
            }
        }
    }

    /// All that is remembered, by name.
    pub fn to_save(&self, boot_now: i64) -> Vec<PastRow> {
        let row = |step: Step| {
            let ends_in_s = step.until.saturating_sub(boot_now);
            (step.times > 0).then_some(StepRow { times: step.times, ends_in_s })
        };
        let rows = self.sources.iter().map(|(key, past)| PastRow {
            key: Arc::clone(key),
            long: row(past.long),
            short: row(past.short),
            limit: row(past.limit),
        });
        rows.collect()
    }

    /// Takes in what was saved, as of now: who has a past already has the worse of each.
    pub fn restore(&mut self, rows: Vec<PastRow>, boot_now: i64) {
        let step = |row: Option<StepRow>| {
            let row = row.filter(|row| row.times > 0);
            row.map_or(Step::NONE, |row| Step { times: row.times, until: boot_now.saturating_add(row.ends_in_s) })
        };
        for row in rows {
            let past = Past { long: step(row.long), short: step(row.short), limit: step(row.limit) };
            let past = self.past(&row.key).map_or(past, |other| past.or(other));
            if past != Past::NONE {
                self.remember(&row.key, past);
            }
        }
        self.sweep(boot_now);
    }

    fn remember(&mut self, key: &Arc<str>, past: Past) {
        self.forget(key);
        self.make_room(self.policy.most_sources.saturating_sub(1));
        self.by_end(past).insert((past.until(), Arc::clone(key)));
        self.sources.insert(Arc::clone(key), past);
    }

    fn by_end(&mut self, past: Past) -> &mut BTreeSet<(i64, Arc<str>)> {
        if past.long.times > 0 { &mut self.long } else { &mut self.others }
    }

    fn make_room(&mut self, most: usize) {
        let others_keep = self.policy.most_sources / 4;
        while self.sources.len() > most {
            let first = if self.others.len() >= others_keep {
                self.others.pop_first().or_else(|| self.long.pop_first())
            } else {
                self.long.pop_first().or_else(|| self.others.pop_first())
            };
            let Some((_, key)) = first else { break };
            self.sources.remove(&key);
        }
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
