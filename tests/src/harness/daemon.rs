//! The daemon's process.
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::{PATIENCE, command, wait_for};

/// How the line begins that says that packets are judged from here on.
const READY: &str = "weir is ready: ";

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Daemon {
    /// Starts `weir` with these words, and these variables besides, and waits until it is ready.
    ///
    /// # Panics
    /// Where it ends before, or takes too long: with all that it said.
    #[track_caller]
    pub fn start(args: &[String], environment: &[(String, String)]) -> Self {
        let mut command = command::weir(args);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // What is typed at a terminal is for whoever runs it, not for the daemon.
        command.process_group(0);
        die_with_the_test(&mut command);
        let mut child = command.spawn().expect("weir can be started");
        let log = follow(child.stderr.take().expect("it is piped"));
        let mut daemon = Self { child, log };
        let start = Instant::now();
        while daemon.said(READY).is_none() {
            let ended = daemon.child.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none() && start.elapsed() < 2 * PATIENCE,
                "the daemon did not get ready ({ended:?}):\n{}",
                daemon.log()
            );
            thread::sleep(std::time::Duration::from_millis(1));
        }
        daemon
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it said so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The last line it said that contains these words.
    pub fn said(&self, words: &str) -> Option<String> {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().rev().find(|line| line.contains(words)).cloned()
    }

    /// Waits until it says these words.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn says(&self, words: &str) -> String {
        wait_for(words, PATIENCE, || self.said(words))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it is gone.
    #[track_caller]
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.pid()).expect("a process number");
        // SAFETY: the child is not waited for yet, so the number is still its own.
        let sent = unsafe { libc::kill(pid, signal) };
        assert_eq!(sent, 0, "signal {signal}: {}", std::io::Error::last_os_error());
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// Where it cannot be.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has done so well.
    ///
    /// # Panics
    /// Where it fails or takes too long.
    #[track_caller]
    pub fn terminate(mut self) {
        self.signal(libc::SIGTERM);
        let status = self.ends();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where that takes too long.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        wait_for("the daemon's end", PATIENCE, || self.child.try_wait().expect("a child can be waited for"))
    }

    /// A line of `/proc/PID/status`, in kibibytes: `VmRSS` is its memory now, `VmHWM` the most it ever was.
    ///
    /// # Panics
    /// Where there is no such line.
    #[track_caller]
    pub fn kibibytes(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the daemon runs");
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let number = found.and_then(|text| text.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {line} in:\n{status}"))
    }

    fn end(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

fn follow(stderr: ChildStderr) -> Log {
    let log = Log::default();
    let into = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { return };
            into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    log
}

/// A test that is killed takes its daemon with it.
fn die_with_the_test(command: &mut Command) {
    let die = || {
        // SAFETY: constants only; safe between fork and exec.
        let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: one system call, no memory and no lock.
    unsafe { command.pre_exec(die) };
}
