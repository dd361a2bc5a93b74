//! `weir run`: the daemon, in the foreground.
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::cli::{Global, RunArgs};
use crate::daemon::{self, Options};

/// Where network namespaces have their names.
const NETNS: &str = "/run/netns";

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// Why it could not start; nothing that was in force has changed then.
pub fn run(args: &RunArgs, global: &Global) -> Result<()> {
    if let Some(name) = &args.netns {
        enter(name)?;
    }
    daemon::run(&Options {
        config: global.config.clone(),
        interfaces: args.interfaces.iter().map(ToString::to_string).collect(),
        mode: args.mode,
        observe: args.observe,
        socket: global.socket.clone(),
    })
}

/// Enters a network namespace and no other: the BPF filesystem and the state stay the host's, so that what is pinned
/// outlives the daemon.
fn enter(name: &str) -> Result<()> {
    if name.is_empty() || name.contains('/') {
        bail!("{name:?} is not the name of a network namespace");
    }
    let path = Path::new(NETNS).join(name);
    let namespace = File::open(&path).with_context(|| {
        format!("open the network namespace {}; `ip netns list` shows those there are", path.display())
    })?;
    // SAFETY: an open descriptor and a constant; threads are started only later.
    if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
        return Err(std::io::Error::last_os_error())
            .with_context(|| format!("enter the network namespace {name}: it takes root or CAP_SYS_ADMIN"));
    }
    Ok(())
}
