//! What follows from a finding: nothing, a tighter limit, a denial for a time.
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use jiff::Timestamp;

use super::alert::{Action, Asked, NAME_CHARS, cut};
use super::book::Taken;
use super::finding::{Finding, Response};
use super::source;
use crate::domain::privacy::Names;
use crate::domain::time::{Expiry, Now};

/// The longest that evidence which anybody can forge denies for, in seconds.
pub const SPOOFABLE_LONGEST_S: u64 = 3_600;

/// A denial in force is lengthened where it would end so much later, in seconds: lines of one attack that are still on
/// their way do not each make a decision.
const WORTH_S: i64 = 60;

/// What follows from findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responses {
    /// What the settings say for detectors by name, whatever these say themselves.
    pub overrides: BTreeMap<String, Response>,
    /// How long a denial lasts at the most, in seconds. Each of a source is twice as long as the one before.
    pub longest_s: u64,
    /// How long an ended denial is remembered against its source, in seconds.
    pub memory_s: u64,
    /// Most sources that are remembered.
    pub most_sources: usize,
}

impl Default for Responses {
    fn default() -> Self {
        Self { overrides: BTreeMap::new(), longest_s: 7 * 86_400, memory_s: 30 * 86_400, most_sources: 65_536 }
    }
}

impl Responses {
    /// What is wanted for a finding: where neither the settings nor the detector say, an alert is all.
    pub fn wanted(&self, finding: &Finding) -> Response {
        self.overrides.get(finding.detector.name()).copied().or(finding.response).unwrap_or(Response::Observe)
    }
}

/// Why nothing is done about what was found, whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Its line was there before anybody looked.
    History,
    /// Somebody else than the server may have written its line.
    Forgeable,
}

impl Withheld {
    const fn why(self) -> &'static str {
        match self {
            Self::History => "the line is older than the daemon's watch, and nobody is denied for what is past",
            Self::Forgeable => {
                "line breaks are not escaped in this log, so anybody may have written the line: have the server log by syslog"
            }
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Consequence {
    /// Nothing but the alert.
    Observe,
    /// Somebody is to be told.
    Notify,
    /// The source has the tighter limit.
    Limit {
        /// The source.
        prefix: IpNet,
        /// How long, in seconds.
        for_s: u64,
        /// Until when.
        expiry: Expiry,
    },
    /// The source is denied.
    Deny {
        /// The source.
        prefix: IpNet,
        /// How long, in seconds.
        for_s: u64,
        /// Until when.
        expiry: Expiry,
    },
    /// The user is denied.
    DenyUser {
        /// Who.
        user: String,
        /// How long, in seconds.
        for_s: u64,
        /// Until when.
        expiry: Expiry,
    },
    /// Nothing: the source is denied or limited already, at least as long.
    InForce {
        /// Which of the two.
        action: Action,
        /// The source.
        prefix: IpNet,
        /// Until when.
        until: Timestamp,
        /// What would have been done were it not.
        asked: Asked,
    },
    /// Nothing, although more was wanted.
    Refused {
        /// What was wanted.
        wanted: Action,
        /// Why not.
        why: String,
    },
}

impl Consequence {
    /// As the alert says it.
    pub fn taken(&self) -> Taken {
        let taken = |action, target: String, for_s, until| Taken {
            action,
            target: Some(target),
            for_s,
            until: Some(until),
            asked: Some(Asked { action, until }),
            refused: None,
        };
        match self {
            Self::Observe => Taken::default(),
            Self::Notify => Taken { action: Action::Notify, ..Taken::default() },
            Self::Limit { prefix, for_s, expiry } => {
                taken(Action::Limit, prefix.to_string(), Some(*for_s), expiry.wall)
            }
            Self::Deny { prefix, for_s, expiry, .. } => {
                taken(Action::Deny, prefix.to_string(), Some(*for_s), expiry.wall)
            }
            Self::DenyUser { user, for_s, expiry } => taken(Action::DenyUser, user.clone(), Some(*for_s), expiry.wall),
            Self::InForce { action, prefix, until, asked } => {
                Taken { asked: Some(*asked), ..taken(*action, prefix.to_string(), None, *until) }
            }
            Self::Refused { why, .. } => Taken { refused: Some(why.clone()), ..Taken::default() },
        }
    }
}

/// What is remembered of a source, in seconds of the boot-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Past {
    denials: u32,
    denied_until: i64,
    limited_until: i64,
}

impl Past {
    const NONE: Self = Self { denials: 0, denied_until: i64::MIN, limited_until: i64::MIN };

    fn until(self) -> i64 {
        self.denied_until.max(self.limited_until)
    }
}

/// Decides what follows from findings, and remembers against whom.
///
/// Where there is no room for another source, the one whose denial ends first is forgotten: it would then be denied as if
/// for the first time.
#[derive(Clone, Debug)]
pub struct Responder {
    responses: Responses,
    names: Names,
    /// By the name that is kept of each.
    sources: BTreeMap<String, Past>,
    by_end: BTreeSet<(i64, String)>,
}

impl Responder {
    /// One that remembers nobody.
    pub fn new(responses: Responses) -> Self {
        Self { responses, names: Names::plain(), sources: BTreeMap::new(), by_end: BTreeSet::new() }
    }

    /// What sources are called from now on; who was called otherwise is found by that.
    pub fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// The name that is kept of a source.
    pub fn name(&self, prefix: IpNet) -> String {
        self.names.prefix(prefix)
    }

    /// What follows from now on; what is remembered stays.
    pub fn set(&mut self, responses: Responses) {
        self.responses = responses;
    }

    /// What follows.
    pub fn responses(&self) -> &Responses {
        &self.responses
    }

    /// Sources that are remembered.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// What is to be done about a finding `now`.
    ///
    /// `withheld`: nobody is denied for it, and why. `guard` says why a prefix must
    /// not be denied or limited, if it must not.
    pub fn respond(
        &mut self,
        finding: &Finding,
        now: Now,
        withheld: Option<Withheld>,
        guard: &dyn Fn(IpNet) -> Option<String>,
    ) -> Consequence {
        let (wanted, for_s) = match self.responses.wanted(finding) {
            Response::Observe => return Consequence::Observe,
            Response::Notify => return Consequence::Notify,
            Response::Limit { for_s } => (Action::Limit, for_s),
            Response::Deny { for_s } => (Action::Deny, for_s),
            Response::DenyUser { for_s } => (Action::DenyUser, for_s),
        };
        let refused = |why: &str| Consequence::Refused { wanted, why: why.to_owned() };
        if let Some(withheld) = withheld {
            return refused(withheld.why());
        }
        if wanted == Action::DenyUser {
            let Some(user) = finding.user.as_deref().filter(|user| !user.is_empty()) else {
                return refused("no user is named");
            };
            let for_s = for_s.clamp(1, self.responses.longest_s.max(1));
            return Consequence::DenyUser { user: cut(user, NAME_CHARS), for_s, expiry: now.after(for_s) };
        }
        let Some(address) = finding.source else { return refused("no address is known") };
        let prefix = source::prefix(address);
        if let Some(why) = guard(prefix) {
            return refused(&why);
        }
        let spoofable = finding.spoofable;
        if wanted == Action::Deny {
            self.deny(prefix, for_s, spoofable, now)
        } else {
            self.limit(prefix, for_s, spoofable, now)
        }
    }

    fn deny(&mut self, prefix: IpNet, first_s: u64, spoofable: bool, now: Now) -> Consequence {
        let now_s = boot(now);
        let past = self.past(prefix, now_s);
        let is_denied = past.denied_until > now_s;
        // What one attack sets off at several rules is one offence.
        let before = if is_denied { past.denials.saturating_sub(1) } else { past.denials };
        let for_s = self.bounded(first_s.saturating_mul(1 << before.min(32)), spoofable);
        let until = now_s.saturating_add(signed(for_s));
        if is_denied && until.saturating_sub(past.denied_until) < WORTH_S {
            return in_force(Action::Deny, prefix, past.denied_until, asked(Action::Deny, for_s, now), now);
        }
        let denials = before.saturating_add(1);
        self.remember(prefix, Past { denials, denied_until: until, ..past });
        Consequence::Deny { prefix, for_s, expiry: now.after(for_s) }
    }

    fn limit(&mut self, prefix: IpNet, for_s: u64, spoofable: bool, now: Now) -> Consequence {
        let now_s = boot(now);
        let past = self.past(prefix, now_s);
        let for_s = self.bounded(for_s, spoofable);
        let asked = asked(Action::Limit, for_s, now);
        if past.denied_until > now_s {
            return in_force(Action::Deny, prefix, past.denied_until, asked, now);
        }
        let until = now_s.saturating_add(signed(for_s));
        if past.limited_until > now_s && until.saturating_sub(past.limited_until) < WORTH_S {
            return in_force(Action::Limit, prefix, past.limited_until, asked, now);
        }
        self.remember(prefix, Past { limited_until: until, ..past });
        Consequence::Limit { prefix, for_s, expiry: now.after(for_s) }
    }

    fn bounded(&self, for_s: u64, spoofable: bool) -> u64 {
        let longest =
            if spoofable { self.responses.longest_s.min(SPOOFABLE_LONGEST_S) } else { self.responses.longest_s };
        for_s.clamp(1, longest.max(1))
    }

    /// What counts against a source now.
    fn past(&self, prefix: IpNet, now_s: i64) -> Past {
        self.past_of(&self.names.all_of(prefix), now_s)
    }

    fn past_of(&self, called: &[String], now_s: i64) -> Past {
        let past = called.iter().find_map(|name| self.sources.get(name)).copied().unwrap_or(Past::NONE);
        let is_forgotten = now_s.saturating_sub(past.until()) > signed(self.responses.memory_s);
        if is_forgotten { Past::NONE } else { past }
    }

    fn remember(&mut self, prefix: IpNet, past: Past) {
        self.forget(prefix);
        self.remember_name(self.names.prefix(prefix), past);
    }

    fn remember_name(&mut self, name: String, past: Past) {
        self.forget_name(&name);
        while self.sources.len() >= self.responses.most_sources.max(1) {
            let Some((_, first)) = self.by_end.pop_first() else { break };
            self.sources.remove(&first);
        }
        self.by_end.insert((past.until(), name.clone()));
        self.sources.insert(name, past);
    }

    fn forget(&mut self, prefix: IpNet) {
        for name in self.names.all_of(prefix) {
            self.forget_name(&name);
        }
    }

    /// Forgets what is remembered under a name.
    pub fn forget_name(&mut self, name: &str) {
        if let Some(past) = self.sources.remove(name) {
            self.by_end.remove(&(past.until(), name.to_owned()));
        }
    }

    /// Takes in a denial of an earlier run, in the order they were made: it counts against its source, which goes by the
    /// name that was kept of it, as it did.
    pub fn record(&mut self, who: &str, denied_at: Timestamp, for_s: u64, now: Now) {
        let ago = now.wall.duration_since(denied_at).as_secs().max(0);
        let until = boot(now).saturating_sub(ago).saturating_add(signed(for_s));
        let past = self.past_of(&[who.to_owned()], boot(now));
        let denials = past.denials.saturating_add(1);
        self.remember_name(who.to_owned(), Past { denials, denied_until: past.denied_until.max(until), ..past });
    }

    /// A denial or limit was lifted, or refused at the door: it is not in force, and a denial does not count against its
    /// source. Denials before it do.
    pub fn lifted(&mut self, action: Action, prefix: IpNet, now: Now) {
        let called = self.names.all_of(prefix);
        let Some(mut past) = called.iter().find_map(|name| self.sources.get(name)).copied() else { return };
        if action == Action::Limit {
            past.limited_until = i64::MIN;
        } else {
            past.denials = past.denials.saturating_sub(1);
            past.denied_until = past.denied_until.min(boot(now));
        }
        if past.denials == 0 && past.limited_until == i64::MIN {
            self.forget(prefix);
        } else {
            self.remember(prefix, past);
        }
    }

    /// A denial or limit ends earlier than it was made to: what is left of it is others' doing, and counts as one of
    /// theirs.
    pub fn shortened(&mut self, action: Action, prefix: IpNet, until: Timestamp, now: Now) {
        let called = self.names.all_of(prefix);
        let past = called.iter().find_map(|name| self.sources.get(name)).copied().unwrap_or(Past::NONE);
        let left = until.duration_since(now.wall).as_secs().max(0);
        let until = boot(now).saturating_add(left);
        let past = if action == Action::Limit {
            Past { limited_until: until, ..past }
        } else {
            Past { denials: past.denials.max(1), denied_until: until, ..past }
        };
        self.remember(prefix, past);
    }

    /// Forgets whom nothing counts against any more.
    pub fn sweep(&mut self, now: Now) {
        let oldest = boot(now).saturating_sub(signed(self.responses.memory_s));
        while self.by_end.first().is_some_and(|(until, _)| *until < oldest) {
            if let Some((_, name)) = self.by_end.pop_first() {
                self.sources.remove(&name);
            }
        }
    }
}

fn asked(action: Action, for_s: u64, now: Now) -> Asked {
    Asked { action, until: now.after(for_s).wall }
}

fn in_force(action: Action, prefix: IpNet, until_s: i64, asked: Asked, now: Now) -> Consequence {
    let left = until_s.saturating_sub(boot(now)).max(0);
    let until = now.wall.checked_add(jiff::SignedDuration::from_secs(left)).unwrap_or(Timestamp::MAX);
    Consequence::InForce { action, prefix, until, asked }
}

fn boot(now: Now) -> i64 {
    signed(now.boot.0)
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
