//! `weir doctor`: what stands in weir's way here, and what would take it out of the way.
mod machine;

use anyhow::{Result, bail};
use serde::{Serialize, Serializer};

use super::io::Io;
use super::{client, here, settings};
use crate::adapters::client::ClientError;
use crate::adapters::kernel::probes::{self, Outcome, Probe};
use crate::cli::{DoctorArgs, Global};
use crate::config::Config;
use crate::render;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; the same words every time.
    pub name: String,
    /// How it came out.
    #[serde(serialize_with = "word")]
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// The way out, where something is to be done.
    pub remedy: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn word<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(outcome)
}

impl From<Probe> for Finding {
    fn from(probe: Probe) -> Self {
        let Probe { name, outcome, found, remedy } = probe;
        Self { name: name.to_owned(), outcome, found, remedy }
    }
}

impl Finding {
    fn new(name: &str, outcome: Outcome, found: impl Into<String>, remedy: Option<&str>) -> Self {
        Self { name: name.to_owned(), outcome, found: found.into(), remedy: remedy.map(str::to_owned) }
    }
}

pub(super) fn run(args: &DoctorArgs, global: &Global, io: &mut Io) -> Result<()> {
    let (config, of_config) = configuration(global);
    let names = |config: &Config| config.interfaces.iter().map(ToString::to_string).collect();
    let interfaces: Vec<String> = if args.interfaces.is_empty() {
        config.as_ref().map_or_else(Vec::new, names)
    } else {
        args.interfaces.iter().map(ToString::to_string).collect()
    };
    let bpffs = config.as_ref().and_then(|config| config.state.bpffs.as_deref());
    let mut findings: Vec<Finding> =
        probes::run_with_bpffs(&interfaces, bpffs).into_iter().map(Finding::from).collect();
    findings.push(of_config);
    if let Some(config) = &config {
        findings.push(machine::memory(&config.state));
        findings.push(machine::state_folder(&config.state.dir));
        findings.push(machine::ports(&here::cut_off(config, global)));
    }
    findings.push(daemon(global));
    io.report(global.output, findings.as_slice(), render::doctor::doctor)?;
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Missing)
        .map(|finding| finding.name.as_str())
        .collect();
    if !missing.is_empty() {
        bail!("weir does not run here without: {}", missing.join(", "));
    }
    Ok(())
}

/// The configuration, and what is to be said of it.
fn configuration(global: &Global) -> (Option<Config>, Finding) {
    const NAME: &str = "configuration";
    match settings::load(global) {
        Ok(found) => {
            let text = match &found.file {
                Some(file) => format!("{}: ok", file.display()),
                None => format!("{}: not there; every setting has its default", global.config_path().display()),
            };
            if !found.loaded.warnings.is_empty() {
                let text = format!("{text}, and worth a look: {}", found.loaded.warnings.join("; "));
                let remedy = Some("correct it, unless it is meant so");
                return (Some(found.loaded.config), Finding::new(NAME, Outcome::Degraded, text, remedy));
            }
            (Some(found.loaded.config), Finding::new(NAME, Outcome::Good, text, None))
        }
        Err(error) => {
            let text = super::failure::text(&error);
            let remedy = Some("correct it; `weir config check` reads it again");
            (None, Finding::new(NAME, Outcome::Missing, text, remedy))
        }
    }
}

/// Whether a daemon runs. One that does not is no fault of the machine's.
fn daemon(global: &Global) -> Finding {
    const NAME: &str = "daemon";
    let status = match client(global) {
        Ok(client) => client.status().map(|status| (client.socket().display().to_string(), status)),
        Err(error) => return Finding::new(NAME, Outcome::Unknown, super::failure::text(&error), None),
    };
    match status {
        Ok((socket, status)) => {
            let up = render::times::span(status.uptime_s);
            let found = format!("weir {} answers at {socket}, up {up}", status.version);
            if status.health.ok {
                return Finding::new(NAME, Outcome::Good, found, None);
            }
            let found = format!("{found}, and is not well: {}", status.health.problems.join("; "));
            Finding::new(NAME, Outcome::Degraded, found, Some("`weir status` tells more"))
        }
        Err(ClientError::Unreachable { socket, why, way_out }) => {
            let found = format!("nobody answers at {}: {why}", socket.display());
            Finding::new(NAME, Outcome::Degraded, found, Some(way_out))
        }
        Err(error) => Finding::new(NAME, Outcome::Degraded, error.to_string(), None),
    }
}
