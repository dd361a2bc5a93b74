//! Network namespaces and the veth pairs between them.
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::command::{self, Said};
use super::sender::Sender;

/// A network namespace under a name of its own; removed when dropped, with every interface in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one; `role` is part of its name, for whoever looks while a test runs.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name]).well();
        Self { name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` in it.
    ///
    /// # Panics
    /// Where that fails.
    #[track_caller]
    pub fn ip(&self, args: &[&str]) -> String {
        let args: Vec<&str> = ["-n", &self.name].into_iter().chain(args.iter().copied()).collect();
        ip(&args).well()
    }

    /// Runs `task` on a thread that has entered it: sockets made there stay in it.
    ///
    /// # Panics
    /// Where it cannot be entered, or `task` panics.
    pub fn inside<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        inside(&self.name, task)
    }

    /// Keeps the kernel from sending IPv6 packets of its own, which counters would count.
    pub(super) fn without_ipv6(&self) {
        self.set(&["ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"], "1");
    }

    /// Has the stack take packets from sources it has no route to.
    pub(super) fn without_source_checks(&self) {
        self.set(&["ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"], "0");
    }

    fn set(&self, settings: &[&str], value: &str) {
        self.inside(|| {
            for setting in settings {
                fs::write(format!("/proc/sys/net/{setting}"), value).expect("a setting of the namespace's own");
            }
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let said = ip(&["netns", "del", &self.name]);
        assert!(said.code == Some(0) || thread::panicking(), "the namespace stays: {said:?}");
    }
}

/// Runs `task` on a thread that has entered the namespace of this name.
///
/// # Panics
/// Where it cannot be entered, or `task` panics.
pub fn inside<T: Send>(name: &str, task: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = File::open(format!("/run/netns/{name}")).expect("the namespace is there");
            // SAFETY: an open descriptor and a constant; the thread ends with the task.
            let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "enter {name}: {}", std::io::Error::last_os_error());
            task()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `ip`.
#[track_caller]
fn ip(args: &[&str]) -> Said {
    command::said(Command::new("ip").args(args))
}

/// A veth pair: weir's end in one namespace, somebody's in the other.
#[derive(Debug)]
pub struct Link {
    /// Name of weir's end.
    pub name: String,
    /// Name of the other end.
    pub peer: String,
    /// Sends frames into the other end.
    pub sender: Sender,
}

impl Link {
    /// Makes a pair and switches it on.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[track_caller]
    pub fn new(server: &Namespace, client: &Namespace, name: &str) -> Self {
        let peer = format!("{name}-peer");
        // The address that frames are sent to.
        let address = "02:00:00:00:00:02";
        let made =
            ["link", "add", name, "address", address, "type", "veth", "peer", "name", &peer, "netns", client.name()];
        server.ip(&made);
        client.ip(&["link", "set", &peer, "up", "arp", "off"]);
        server.ip(&["link", "set", name, "up"]);
        let sender = Sender::new(client, &peer);
        Self { name: name.to_owned(), peer, sender }
    }
}
