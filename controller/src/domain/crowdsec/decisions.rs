//! What is in force by a server's decisions.
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::page::{MOST, Page, Refusals, Refused, Told};
use crate::domain::decision::Enforcement;
use crate::domain::time::{BootSeconds, Expiry, Now};

/// A decision that is told again may seem to end this many seconds earlier or later: what is left of it was rounded up
/// at another moment. Every such end is at or after the true one, so the first is kept.
const ROUNDING: u64 = 1;

/// What is in force on a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Until when.
    pub expiry: Expiry,
    /// Why, for people.
    pub reason: Arc<str>,
    /// Carried out or counted.
    pub enforcement: Enforcement,
}

/// What changed: each prefix is named once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// What is in force now where something else, or nothing, was.
    pub put: Vec<(IpNet, Put)>,
    /// Where nothing is in force any more.
    pub remove: Vec<IpNet>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }
}

/// A server's decisions, each with its own end, and what follows from them.
///
/// Several may name one prefix. Those that deny go before those that are only observed, and of equals the one that ends
/// last is in force; when it is over or deleted, the next one is.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// By number. Numbers below 0 are of [`Decisions::restore`].
    held: BTreeMap<i64, Held>,
    by_prefix: BTreeSet<(IpNet, i64)>,
    by_expiry: BTreeSet<(BootSeconds, i64)>,
    in_force: BTreeMap<IpNet, Put>,
    refusals: Refusals,
    /// Seconds that the last answers took to come: by so much an end that is told again may seem to have moved.
    took: u64,
    slack: u64,
}

#[derive(Clone, Debug)]
struct Held {
    prefix: IpNet,
    put: Put,
    source: Arc<str>,
}

impl Decisions {
    /// What was in force when it was last written down: a first whole answer is then compared with it, and only what
    /// differs is told. What is over by now is left out.
    pub fn restore(entries: impl IntoIterator<Item = (IpNet, Put)>, now: Now) -> Self {
        let mut restored = Self::default();
        for ((prefix, put), id) in entries.into_iter().take(MOST).zip((i64::MIN..0).rev()) {
            if !put.expiry.is_over(now.boot) {
                restored.in_force.insert(prefix, put.clone());
                restored.hold(id, Held { prefix, put, source: Arc::from("restored") });
            }
        }
        restored
    }

    /// Says how many seconds the answer took that is taken in next. What is left of a decision is counted from when the
    /// answer was there, which is at or after the moment the server meant.
    pub fn took(&mut self, seconds: u64) {
        self.slack = self.took.max(seconds);
        self.took = seconds;
    }

    /// How many decisions there are; several may name the same prefix.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What is in force, by prefix.
    pub fn in_force(&self) -> &BTreeMap<IpNet, Put> {
        &self.in_force
    }

    /// What was not taken since the start, by reason.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// When the next decision ends: until then [`Decisions::expire`] finds nothing.
    pub fn next_expiry(&self) -> Option<BootSeconds> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    /// Each decision's source and prefix: what usage metrics count.
    pub fn sources(&self) -> impl Iterator<Item = (&Arc<str>, IpNet)> + '_ {
        self.held.values().map(|held| (&held.source, held.prefix))
    }

    /// Takes in what changed since the last answer. Nothing is lost by taking the same answer twice.
    pub fn apply(&mut self, page: Page, now: Now) -> Delta {
        self.refusals.add(&page.refusals);
        let mut touched = self.lapse(now);
        for told in page.new {
            self.take(told, now, &mut touched);
        }
        for id in page.deleted {
            touched.extend(self.drop(id));
        }
        self.settle(touched)
    }

    /// Takes in all there is: what is not among it is over.
    pub fn replace(&mut self, page: Page, now: Now) -> Delta {
        self.refusals.add(&page.refusals);
        let mut touched = self.lapse(now);
        let told: BTreeSet<i64> = page.new.iter().map(|told| told.id).collect();
        // Restored ones go last: until then what is told on the same prefix is compared with them.
        let gone: Vec<i64> = self.held.keys().copied().filter(|id| *id > 0 && !told.contains(id)).collect();
        for id in gone {
            touched.extend(self.drop(id));
        }
        for told in page.new {
            self.take(told, now, &mut touched);
        }
        let restored: Vec<i64> = self.held.range(..0).map(|(id, _)| *id).collect();
        for id in restored {
            touched.extend(self.drop(id));
        }
        self.settle(touched)
    }

    /// Forgets what is over by now.
    pub fn expire(&mut self, now: Now) -> Delta {
        let touched = self.lapse(now);
        self.settle(touched)
    }

    fn take(&mut self, told: Told, now: Now, touched: &mut BTreeSet<IpNet>) {
        let earlier = self.held.get(&told.id);
        if earlier.is_none() && self.held.len() >= MOST {
            self.refusals.count(Refused::Full);
            return;
        }
        let mut expiry = now.after(told.seconds);
        let is_same = |held: &&Held| held.prefix == told.prefix && held.put.enforcement == told.enforcement;
        let same = earlier
            .filter(is_same)
            .or_else(|| self.restored(told.prefix).filter(is_same).filter(|held| held.put.reason == told.reason));
        if let Some(known) = same.map(|held| held.put.expiry)
            && known.boot.0.abs_diff(expiry.boot.0) <= ROUNDING.saturating_add(self.slack)
        {
            expiry = known;
        }
        touched.extend(self.drop(told.id));
        touched.insert(told.prefix);
        let put = Put { expiry, reason: told.reason, enforcement: told.enforcement };
        self.hold(told.id, Held { prefix: told.prefix, put, source: told.source });
    }

    /// The restored entry of this very prefix.
    fn restored(&self, prefix: IpNet) -> Option<&Held> {
        let (_, id) = self.by_prefix.range((prefix, i64::MIN)..(prefix, 0)).next()?;
        self.held.get(id)
    }

    fn hold(&mut self, id: i64, held: Held) {
        self.by_prefix.insert((held.prefix, id));
        self.by_expiry.insert((held.put.expiry.boot, id));
        self.held.insert(id, held);
    }

    /// Takes a decision out; its prefix, if there was one.
    fn drop(&mut self, id: i64) -> Option<IpNet> {
        let held = self.held.remove(&id)?;
        self.by_prefix.remove(&(held.prefix, id));
        self.by_expiry.remove(&(held.put.expiry.boot, id));
        Some(held.prefix)
    }

    /// Takes out what is over; the prefixes of it.
    fn lapse(&mut self, now: Now) -> BTreeSet<IpNet> {
        let over: Vec<i64> = self.by_expiry.range(..=(now.boot, i64::MAX)).map(|(_, id)| *id).collect();
        over.into_iter().filter_map(|id| self.drop(id)).collect()
    }

    /// What is in force on a prefix by the decisions held.
    fn strongest(&self, prefix: IpNet) -> Option<&Put> {
        let puts = self.by_prefix.range((prefix, i64::MIN)..=(prefix, i64::MAX));
        let puts = puts.filter_map(|(_, id)| Some((&self.held.get(id)?.put, *id)));
        // The oldest of equals, so that nothing changes when the same is said again.
        let (put, _) = puts.max_by_key(|(put, id)| {
            (put.enforcement == Enforcement::Enforce, put.expiry.boot, std::cmp::Reverse(*id))
        })?;
        Some(put)
    }

    /// Compares what was in force with what is now.
    fn settle(&mut self, touched: BTreeSet<IpNet>) -> Delta {
        let mut delta = Delta::default();
        for prefix in touched {
            match self.strongest(prefix).cloned() {
                Some(put) if self.in_force.get(&prefix) == Some(&put) => {}
                Some(put) => {
                    self.in_force.insert(prefix, put.clone());
                    delta.put.push((prefix, put));
                }
                None => {
                    if self.in_force.remove(&prefix).is_some() {
                        delta.remove.push(prefix);
                    }
                }
            }
        }
        delta
    }
}
