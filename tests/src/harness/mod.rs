//! A weir of one's own: the real daemon between two network namespaces, with its own state and BPF filesystem.
//!
//! A [`Site`] is made for one test and takes everything down with it, also when the test panics. Nothing of the
//! machine's own is touched: interfaces, pins, sockets and files are all made here.
//!
//! What is waited for is waited for by its condition ([`wait_for`]); time alone proves nothing.
pub mod api;
pub mod binary;
pub mod command;
pub mod daemon;
pub mod ledger;
pub mod netns;
pub mod place;
pub mod sender;
pub mod terminal;
pub mod traffic;
pub mod turn;
pub mod watch;

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use api::Api;
use command::Said;
use daemon::Daemon;
use ledger::Ledger;
use netns::{Link, Namespace};
use place::Place;
use traffic::Traffic;
use turn::Turn;

use crate::frames::{SERVER_V4, SERVER_V6};

/// How long anything is waited for that should come at once: long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `probe` finds what it looks for.
///
/// # Panics
/// Where it does not within the time: `what` is what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < within, "waited {within:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether times are to be held to what is promised of release builds.
pub fn is_release() -> bool {
    !cfg!(debug_assertions)
}

/// A file of the real-world data. Where there is none, says aloud that `test` is skipped.
pub fn data(test: &str, file: &str) -> Option<PathBuf> {
    let path = env::var_os("WEIR_DATA").map(|folder| PathBuf::from(folder).join(file));
    if let Some(path) = path.filter(|path| path.exists()) {
        return Some(path);
    }
    let line = format!("{test}: {file} is not in the folder that WEIR_DATA names");
    eprintln!("SKIPPED: {line}");
    if let Some(skipped) = env::var_os("WEIR_SKIPPED") {
        let mut file = OpenOptions::new().append(true).create(true).open(skipped).expect("the file WEIR_SKIPPED names");
        writeln!(file, "{line}").expect("write to the file WEIR_SKIPPED names");
    }
    None
}

/// A list of `count` addresses from `first` on, one a line.
pub fn addresses(first: [u8; 4], count: u32) -> String {
    let first = Ipv4Addr::from(first).to_bits();
    let lines: Vec<String> = (first..first + count).map(|address| Ipv4Addr::from_bits(address).to_string()).collect();
    lines.join("\n") + "\n"
}

/// What a [`Site`] is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The configuration, beside where state, pins and socket are; its own keys may stand at its top.
    pub config: &'a str,
    /// Interfaces the daemon protects.
    pub interfaces: usize,
    /// More words for `weir run`.
    pub args: &'a [&'a str],
    /// Whether times are measured, so that no other test may run beside.
    pub alone: bool,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self { config: "", interfaces: 1, args: &[], alone: false }
    }
}

/// A daemon, its interfaces, and somebody on the other side of them.
///
/// Fields go in this order: first the daemon, then what it left in the kernel, then the namespaces.
#[derive(Debug)]
pub struct Site {
    daemon: Option<Daemon>,
    /// Its files and pins.
    pub place: Place,
    /// Its interfaces and their other ends.
    pub links: Vec<Link>,
    /// Where packets come from.
    pub client: Namespace,
    /// Where weir is.
    pub server: Namespace,
    /// Variables that the daemon has besides.
    pub environment: Vec<(String, String)>,
    args: Vec<String>,
    seen: Mutex<Ledger>,
    _turn: Turn,
}

impl Site {
    /// A running daemon with a configuration on one interface.
    pub fn new(config: &str) -> Self {
        Self::of(&Plan { config, ..Plan::default() })
    }

    /// A running daemon as planned.
    pub fn of(plan: &Plan<'_>) -> Self {
        let mut site = Self::idle(plan);
        site.start();
        site
    }

    /// Everything but the daemon.
    ///
    /// # Panics
    /// Where this is not root: it says what to do.
    pub fn idle(plan: &Plan<'_>) -> Self {
        // SAFETY: takes nothing and always succeeds.
        let user = unsafe { libc::geteuid() };
        assert_eq!(
            user, 0,
            "these tests make network namespaces and attach XDP programs: run them as root (`sudo cargo xtask test`)"
        );
        let turn = if plan.alone { Turn::alone() } else { Turn::shared() };
        let (server, client) = (Namespace::new("server"), Namespace::new("client"));
        client.without_ipv6();
        server.without_source_checks();
        let links = (0..plan.interfaces).map(|at| Link::new(&server, &client, &format!("wv{at}"))).collect();
        let place = Place::new(plan.config);
        let site = Self {
            daemon: None,
            place,
            links,
            client,
            server,
            environment: Vec::new(),
            args: plan.args.iter().map(ToString::to_string).collect(),
            seen: Mutex::default(),
            _turn: turn,
        };
        site.give_addresses();
        site
    }

    /// Gives the first interface the addresses that frames are sent to.
    pub fn give_addresses(&self) {
        let interface = &self.links[0].name;
        let (v4, v6) = (Ipv4Addr::from(SERVER_V4), Ipv6Addr::from(SERVER_V6));
        self.server.ip(&["address", "add", &format!("{v4}/24"), "dev", interface]);
        self.server.ip(&["address", "add", &format!("{v6}/64"), "dev", interface, "nodad"]);
    }

    /// What `weir run` is started with.
    pub fn run_args(&self) -> Vec<String> {
        let mut args = vec!["run".to_owned(), "--netns".to_owned(), self.server.name().to_owned()];
        for link in &self.links {
            args.extend(["-i".to_owned(), link.name.clone()]);
        }
        args.extend(["-c".to_owned(), self.place.config().display().to_string()]);
        args.extend(self.args.iter().cloned());
        args
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not get ready: with all that it said.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "a daemon runs already");
        self.daemon = Some(Daemon::start(&self.run_args(), &self.environment));
    }

    /// Tries to start a second daemon, or a first one that has reason not to start, and waits for its end.
    #[track_caller]
    pub fn refused_start(&self) -> Said {
        command::said(&mut command::weir(&self.run_args()))
    }

    /// The daemon.
    ///
    /// # Panics
    /// Where none runs.
    #[track_caller]
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("no daemon runs")
    }

    /// Takes the daemon out, for its end.
    ///
    /// # Panics
    /// Where none runs.
    #[track_caller]
    pub fn take_daemon(&mut self) -> Daemon {
        self.daemon.take().expect("no daemon runs")
    }

    /// Ends the daemon by SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.take_daemon().kill();
    }

    /// Ends the daemon by SIGTERM and waits until it has gone well.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.take_daemon().terminate();
    }

    /// The daemon's API.
    pub fn api(&self) -> Api {
        Api::new(self.place.socket())
    }

    /// Runs `weir` with this site's configuration.
    #[track_caller]
    pub fn weir(&self, args: &[&str]) -> Said {
        let config = self.place.config().display().to_string();
        let args: Vec<&str> = ["-c", &config].into_iter().chain(args.iter().copied()).collect();
        command::said(&mut command::weir(&args))
    }

    /// Sends frames through the first interface, in order.
    pub fn send<F: AsRef<[u8]>>(&self, frames: &[F]) {
        self.links[0].sender.send(frames);
    }

    /// Sends frames in turn through the first interface, in the background.
    pub fn traffic(&self, frames: Vec<Vec<u8>>, per_second: u64) -> Traffic {
        Traffic::start(&self.links[0].sender, frames, per_second)
    }

    /// Waits until the kernel has counted exactly these verdicts since the last call, and nothing else.
    ///
    /// # Panics
    /// Where it counts something else, or not in time.
    #[track_caller]
    pub fn saw(&self, expected: &[(&str, u64)]) {
        self.counted(expected, || Ledger::of_status(&self.api().status()));
    }

    /// As [`Site::saw`], read from the pinned maps: for when no daemon answers.
    ///
    /// # Panics
    /// As [`Site::saw`].
    #[track_caller]
    pub fn kernel_saw(&self, expected: &[(&str, u64)]) {
        let reader = self.place.reader();
        self.counted(expected, || Ledger::of_counters(&reader.counters()));
    }

    #[track_caller]
    fn counted(&self, expected: &[(&str, u64)], read: impl Fn() -> Ledger) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let wanted = Ledger::of(expected);
        let start = Instant::now();
        let now = loop {
            let now = read();
            let since = now.since(&seen);
            if since == wanted {
                break now;
            }
            assert!(
                since.packets() < wanted.packets() && start.elapsed() < PATIENCE,
                "wanted {wanted}, and the kernel counted {since}{}",
                self.daemon.as_ref().map(|daemon| format!("; the daemon said:\n{}", daemon.log())).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(2));
        };
        *seen = now;
    }
}
