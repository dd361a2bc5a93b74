//! The drill's own daemon.
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::contain::{OURSELVES, end_with_parent};
use super::place::Place;
use super::stop::Stop;
use crate::adapters::client::Client;
use crate::adapters::system::netns::{self, Namespace};

/// How long it may take to be ready: it may have millions of entries to build tables of.
const PATIENCE: Duration = Duration::from_mins(2);
/// Lines of its log that are shown where it fails.
const SHOWN: usize = 5;

/// A running daemon; ended when dropped.
#[derive(Debug)]
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it on interfaces of a network namespace and waits until it answers. It must be dropped on this thread, and
    /// ends with it.
    pub(super) fn start(
        place: &Place,
        namespace: &Namespace,
        interfaces: &[&str],
        stop: &Stop,
    ) -> Result<(Self, Client)> {
        let mut command = Command::new(OURSELVES);
        command.arg0("weir").arg("run").arg("-c").arg(place.config());
        command.args(interfaces.iter().flat_map(|interface| ["-i", interface]));
        // What the environment gave stands in the configuration, but for what would lead it to the operator's own.
        for (key, _) in std::env::vars_os() {
            if key.as_encoded_bytes().starts_with(b"WEIR_") {
                command.env_remove(key);
            }
        }
        command.env_remove("NOTIFY_SOCKET");
        let log = File::create(place.log()).context("create the drill's log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // What is typed at the terminal is for the drill, which ends it.
        command.process_group(0);
        end_with_parent(&mut command);
        let descriptor = namespace.as_fd().try_clone_to_owned().context("hold the network namespace")?;
        // SAFETY: one system call, no memory and no lock.
        unsafe { command.pre_exec(move || netns::enter(descriptor.as_fd())) };
        let mut daemon = Self(command.spawn().context("start the drill's daemon")?);
        let client = Client::new(&place.socket())?;
        let ready = stop.wait_for(PATIENCE, || {
            if let Some(status) = daemon.0.try_wait()? {
                bail!("the drill's daemon did not start ({status}): {}", tail(place));
            }
            Ok(client.status().ok())
        })?;
        match ready {
            Some(_) => Ok((daemon, client)),
            None => bail!("the drill's daemon was not ready within {} s: {}", PATIENCE.as_secs(), tail(place)),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The last it said.
fn tail(place: &Place) -> String {
    let log = fs::read(place.log()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("; ")
}
