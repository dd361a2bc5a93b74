//! What is written of a ledger, and read back.
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::Held;
use super::{Ledger, Who};

/// A source as it is written: all of it, in place of what was written before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The source.
    pub key: Arc<str>,
    /// The network it is in.
    pub network: Arc<str>,
    /// The autonomous system it is in, where that is known.
    pub asn: Option<u32>,
    /// What is held of it.
    pub lines: Vec<Held>,
}

impl Ledger {
    /// Sources that changed since they were last taken, at most so many: a source that changed twice comes once.
    ///
    /// Take what is gone whenever these are taken: nobody is in both.
    pub fn take_changed(&mut self, most: usize) -> Vec<Saved> {
        let mut saved = Vec::new();
        while saved.len() < most {
            let Some(key) = self.changed.pop_first() else { break };
            let Some(entry) = self.sources.get_mut(&key) else { continue };
            entry.is_saved = true;
            let lines = entry.lines.iter().cloned().collect();
            saved.push(Saved { key, network: Arc::clone(&entry.who.network), asn: entry.who.asn, lines });
        }
        saved
    }

    /// Sources that were forgotten since this was last asked, of those that may have been written.
    pub fn take_gone(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.gone).into_iter().collect()
    }

    /// The clock was set back to `now`: what is of the future since then is of now. It would not fade until then.
    pub fn set_back(&mut self, now: Timestamp) {
        let fresh = Self::new(self.limits);
        let before = std::mem::replace(self, fresh);
        let saved = before.sources.into_values().map(|entry| Saved {
            lines: entry.lines.iter().cloned().collect(),
            key: entry.who.key,
            network: entry.who.network,
            asn: entry.who.asn,
        });
        self.restore(saved.collect(), now);
        self.gone.extend(before.gone);
        self.overflowed = self.overflowed.saturating_add(before.overflowed);
        self.changed.extend(self.sources.keys().cloned());
    }

    /// Takes in what was written. What has faded `now`, contradicts itself, or has no room is gone; what there is already
    /// of a source is added to.
    pub fn restore(&mut self, saved: Vec<Saved>, now: Timestamp) {
        for saved in saved {
            let who = Who { key: saved.key, network: saved.network, asn: saved.asn };
            let lines: Vec<Held> = saved.lines.into_iter().filter_map(|line| line.restored(now)).collect();
            let is_new = !self.sources.contains_key(&who.key);
            let is_taken = self.take_in(&who, &lines);
            if let Some(entry) = self.sources.get_mut(&who.key) {
                entry.is_saved = true;
                if is_new && is_taken {
                    self.changed.remove(&who.key);
                }
            } else {
                self.gone.insert(who.key);
            }
        }
        self.sweep(now);
    }
}
