//! Sources have other names once addresses are hashed, or a key is rotated: what is known of them goes on under these.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Task, WRITTEN_AT_ONCE};
use crate::domain::reputation::Renamed;

impl Task {
    /// Calls what was called by its address as it is called now, where that is otherwise than before.
    pub(super) async fn follow_names(&mut self) {
        if !Arc::ptr_eq(&self.privacy, &self.shared.detected.privacy.load()) {
            self.rename_all().await;
        }
    }

    /// Calls all that is called by an address by the name in force. What has a name already keeps it: nobody knows whose it
    /// is, until there is something new about them.
    pub(super) async fn rename_all(&mut self) {
        self.privacy = self.shared.detected.privacy.load_full();
        let (keys, networks) = {
            let ledger = self.shared.detected.ledger();
            let keys: BTreeSet<Arc<str>> = ledger.keys_with_evidence().cloned().collect();
            (keys, ledger.networks())
        };
        // Names are made with nothing locked: there may be many.
        let renamed = |called: &Arc<str>| Some((Arc::clone(called), self.privacy.names.renamed(called)?.into()));
        let networks: Renamed = networks.iter().filter_map(renamed).collect();
        let sources: Renamed = keys.iter().filter_map(renamed).collect();
        let answered: Renamed = self.answers.keys().filter_map(renamed).collect();
        let signed_in: Renamed = self.signed_in.keys().filter_map(renamed).collect();
        for (old, new) in &answered {
            self.answers_changed |= self.answers.rename(old, new);
        }
        for (old, new) in signed_in {
            if let Some(last) = self.signed_in.remove(&old) {
                let kept = self.signed_in.entry(new).or_insert(last);
                *kept = last.max(*kept);
            }
        }
        self.shared.detected.ledger().rename_networks(&networks, &sources);
        if sources.is_empty() {
            return;
        }
        // The row of the old name goes with the one write in which that of the new comes: neither none nor both are found
        // by who starts after a crash. So nothing else waits, and no more at a time than are written together.
        self.write_all().await;
        let sources: Vec<(Arc<str>, Arc<str>)> = sources.into_iter().collect();
        for some in sources.chunks(WRITTEN_AT_ONCE) {
            {
                let mut ledger = self.shared.detected.ledger();
                for (old, new) in some {
                    ledger.rename(old, new);
                }
            }
            self.look().await;
        }
    }
}
