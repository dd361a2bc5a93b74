//! Interfaces: attached at start, adopted after a restart, attached again when they come back.
use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use weir_common::abi::control_word;

use crate::adapters::kernel::instance::Instance;
use crate::adapters::kernel::link::{self, Mode, WantedMode};
use crate::adapters::kernel::sys;
use crate::adapters::system::{interfaces, xdp};
use crate::sync::takeover::Kernel;
use crate::sync::{Command, Handle, InterfaceState};

/// How long `status` shows that an interface was without protection; the log keeps it.
const ALARM: Duration = Duration::from_mins(5);
/// How often the interfaces are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The interfaces weir is asked to protect, and what is attached to them.
#[derive(Debug)]
pub(super) struct Interfaces {
    instance: Instance,
    program: OwnedFd,
    program_id: u32,
    wanted: WantedMode,
    names: Vec<String>,
    links: HashMap<String, (OwnedFd, Mode)>,
}

impl Interfaces {
    /// Attaches to every interface, adopting links of an earlier daemon.
    ///
    /// # Errors
    /// The first that cannot be: what was attached before this daemon stays; what it attached itself comes off again.
    pub(super) fn attach(kernel: &Kernel, instance: &Instance, names: &[String], wanted: WantedMode) -> Result<Self> {
        let mut all = Self {
            instance: instance.clone(),
            program: kernel.program.try_clone()?,
            program_id: kernel.program_id,
            wanted,
            names: names.to_vec(),
            links: HashMap::new(),
        };
        let mut there = Vec::new();
        for name in names {
            there.push((name, interfaces::index_of(name)?.ok_or_else(|| no_such_interface(name))?));
        }
        let mut fresh = Vec::new();
        for (name, index) in there {
            match all.attach_one(name, index) {
                Ok(true) => fresh.push(index),
                Ok(false) => {}
                Err(error) => {
                    for index in fresh {
                        // Best effort on the way out; the pin is what would keep it attached.
                        let _gone = std::fs::remove_file(all.instance.link(index));
                    }
                    return Err(error);
                }
            }
        }
        all.drop_others()?;
        Ok(all)
    }

    /// `true` where the attachment is new.
    fn attach_one(&mut self, name: &str, index: u32) -> Result<bool> {
        let pin = self.instance.link(index);
        if let Some(link) = link::adopt(self.program.as_fd(), self.program_id, name, index, &pin)? {
            let mode = self.mode_of(index);
            tracing::info!(interface = name, index, %mode, "adopted");
            self.links.insert(name.to_owned(), (link, mode));
            return Ok(false);
        }
        let occupant = || {
            let there = xdp::attached(index, program_name).ok()?;
            there.first().map(ToString::to_string)
        };
        let attached = link::attach(self.program.as_fd(), name, index, self.wanted, &pin, occupant)?;
        if let Some(why) = &attached.fell_back {
            tracing::warn!(interface = name, index, mode = %attached.mode, why, "attached, native mode cannot be had");
        } else {
            tracing::info!(interface = name, index, mode = %attached.mode, "attached");
        }
        self.links.insert(name.to_owned(), (attached.link, attached.mode));
        Ok(true)
    }

    /// Links of interfaces that are no longer asked for come off.
    fn drop_others(&self) -> Result<()> {
        let ours: Vec<u32> = self
            .links
            .values()
            .filter_map(|(link, _)| sys::link_info(link.as_fd()).ok())
            .map(|info| info.interface)
            .collect();
        for (index, path) in self.instance.pinned_links()? {
            if !ours.contains(&index) {
                tracing::info!(index, "an interface that is gone or no longer asked for is let go");
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn mode_of(&self, index: u32) -> Mode {
        let there = xdp::attached(index, program_name).unwrap_or_default();
        let generic =
            there.iter().any(|attached| attached.program_id == self.program_id && attached.mode == xdp::Mode::Generic);
        if generic { Mode::Generic } else { Mode::Native }
    }

    /// What is attached, as the kernel's links say now.
    pub(super) fn state(&self) -> Vec<InterfaceState> {
        self.names
            .iter()
            .map(|name| {
                let alive = self.links.get(name).and_then(|(link, mode)| {
                    let info = sys::link_info(link.as_fd()).ok()?;
                    (info.interface != 0).then_some((info.interface, *mode))
                });
                InterfaceState {
                    name: name.clone(),
                    index: alive.map(|(index, _)| index),
                    mode: alive.map(|(_, mode)| mode),
                }
            })
            .collect()
    }

    /// Attaches again to interfaces that were deleted and made anew under their name. Says what changed.
    pub(super) fn look(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        for state in self.state() {
            let index = interfaces::index_of(&state.name).ok().flatten();
            if state.index.is_some() && (index == state.index || index.is_none()) {
                // Alive; a name that leads elsewhere means it was renamed, and the link goes with it.
                continue;
            }
            let Some(index) = index else { continue };
            if state.index.is_some() {
                continue;
            }
            match self.attach_one(&state.name, index) {
                Ok(_) => {
                    news.push(format!("{} came back as index {index} and is attached again", state.name));
                    // The link of the interface that is gone is still pinned under its index.
                    if let Err(error) = self.drop_others() {
                        tracing::debug!(%error, "a link that leads nowhere stays pinned");
                    }
                }
                Err(error) => tracing::debug!(interface = state.name, error = %error, "not attached again yet"),
            }
        }
        news
    }

    /// Looks at the interfaces for as long as the daemon lives.
    pub(super) async fn watch(mut self, sync: Handle, word: impl Fn(u32) -> u64 + Send) {
        let mut last = self.state();
        let mut told_detached = false;
        let mut alarm: Option<Instant> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if word(control_word::DETACHED) != 0 {
                if !told_detached {
                    told_detached = true;
                    let what = "`weir detach` was given: nothing is filtered; restart weir to attach again";
                    let _stopping = sync.send(Command::Problem("detached".to_owned(), Some(what.to_owned())));
                    let _stopping = sync.send(Command::Interfaces(self.state()));
                }
                continue;
            }
            for what in self.look() {
                tracing::warn!(what, "an interface was not protected for a moment");
                alarm = Some(Instant::now());
                let _stopping = sync.send(Command::Problem("interfaces".to_owned(), Some(what)));
            }
            if alarm.is_some_and(|since| since.elapsed() >= ALARM) {
                alarm = None;
                let _stopping = sync.send(Command::Problem("interfaces".to_owned(), None));
            }
            let state = self.state();
            if state != last {
                last.clone_from(&state);
                if sync.send(Command::Interfaces(state)).is_err() {
                    return;
                }
            }
        }
    }
}

fn program_name(id: u32) -> std::io::Result<String> {
    sys::program_info(sys::program_by_id(id)?.as_fd()).map(|(_, name)| name)
}

fn no_such_interface(name: &str) -> anyhow::Error {
    let there: Vec<String> =
        interfaces::list().map(|all| all.into_iter().map(|interface| interface.name).collect()).unwrap_or_default();
    anyhow!("there is no interface {name:?} here; there are: {}", there.join(", "))
}
