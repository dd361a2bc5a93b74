//! Whom settings cut off on this machine, as far as a command can tell.
use std::net::IpAddr;

use super::client;
use crate::cli::Global;
use crate::config::Config;
use crate::daemon::load;
use crate::domain::cutoff::{CutOff, Spared};
use crate::domain::decision::{Kind, ListEnforcement};

/// What a configuration cuts off here. Who is allowed is asked of the daemon; where none answers, nobody is known to be.
pub(super) fn cut_off(config: &Config, global: &Global) -> CutOff {
    let is_allowed = |address: IpAddr| {
        let asked = client(global).ok().and_then(|client| client.explain(address).ok());
        asked.is_some_and(|explained| {
            explained.entries.iter().any(|entry| {
                let stays = entry.expires_at.is_none() && entry.enforcement == ListEnforcement::Enforce;
                entry.decides && stays && entry.kind == Kind::Allow && entry.origin == "operator"
            })
        })
    };
    let interfaces = load::indexes(&config.interfaces);
    load::cut_off(&config.floods, &Spared { interfaces: &interfaces, is_allowed: &is_allowed, in_force: &[] })
}
