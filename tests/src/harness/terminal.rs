//! A program in a terminal: what it shows, what is typed, and how it leaves the terminal.
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs::File, thread};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::{PATIENCE, command, wait_for};

/// A pseudo-terminal with a program in it; the program is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    /// The program's end, held open so that its settings can be read after the program's end.
    inside: OwnedFd,
    before: Termios,
    screen: Screen,
    child: Child,
}

#[derive(Clone)]
struct Screen(Arc<Mutex<vt100::Parser>>);

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Screen").field(&self.lines()).finish()
    }
}

impl Screen {
    fn with<T>(&self, read: impl FnOnce(&mut vt100::Parser) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lines(&self) -> Vec<String> {
        self.with(|parser| {
            let (_, columns) = parser.screen().size();
            parser.screen().rows(0, columns).map(|line| line.trim_end().to_owned()).collect()
        })
    }
}

impl Terminal {
    /// Runs `weir` in a terminal of so many columns and lines.
    ///
    /// # Panics
    /// Where there can be no terminal, or the program cannot be started.
    pub fn weir(args: &[String], columns: u16, lines: u16) -> Self {
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&outside).expect("a terminal");
        unlockpt(&outside).expect("a terminal");
        let name = ptsname(&outside, Vec::new()).expect("a terminal has a name");
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let inside = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).expect("the program's end");
        tcsetwinsize(&inside, size(columns, lines)).expect("a size");
        let before = tcgetattr(&inside).expect("settings");
        let screen = Screen(Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0))));
        let end = || Stdio::from(inside.try_clone().expect("a descriptor"));
        let mut command = command::weir(args);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").stdin(end()).stdout(end()).stderr(end());
        own_terminal(&mut command);
        let child = command.spawn().expect("weir can be started");
        let keyboard = File::from(outside);
        follow(keyboard.try_clone().expect("a descriptor"), screen.clone());
        Self { keyboard, inside, before, screen, child }
    }

    /// What the screen shows, line by line.
    pub fn lines(&self) -> Vec<String> {
        self.screen.lines()
    }

    /// The line with all these words, once there is one.
    ///
    /// # Panics
    /// Where none comes: with what is shown instead.
    #[track_caller]
    pub fn shows(&self, words: &[&str]) -> String {
        let found = |line: &String| words.iter().all(|words| line.contains(words));
        self.until(&format!("a line with {words:?}"), |lines| lines.iter().find(|line| found(line)).cloned())
    }

    /// What `probe` finds on the screen, once it does.
    ///
    /// # Panics
    /// Where it does not: with what is shown instead.
    #[track_caller]
    pub fn until<T>(&self, what: &str, probe: impl Fn(&[String]) -> Option<T>) -> T {
        let start = std::time::Instant::now();
        loop {
            let lines = self.lines();
            if let Some(found) = probe(&lines) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain: {what}; the screen:\n{}", lines.join("\n"));
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Types.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Gives the terminal another size.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.screen.with(|parser| parser.screen_mut().set_size(lines, columns));
        tcsetwinsize(&self.inside, size(columns, lines)).expect("a size");
    }

    /// Whether the program shows its own screen instead of the lines before it.
    pub fn is_on_other_screen(&self) -> bool {
        self.screen.with(|parser| parser.screen().alternate_screen())
    }

    /// Whether keys are passed on one by one and unseen, as a screen wants them.
    ///
    /// # Panics
    /// Where the terminal is gone.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.inside).expect("settings").local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// The program's process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end, and until the terminal is as it was before.
    ///
    /// # Panics
    /// Where it does not end, or leaves the terminal in another state.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let status = wait_for("the program's end", PATIENCE, || self.child.try_wait().expect("it can be waited for"));
        let now = tcgetattr(&self.inside).expect("settings");
        assert_eq!((now.local_modes, now.input_modes), (self.before.local_modes, self.before.input_modes));
        assert_eq!((now.output_modes, now.control_modes), (self.before.output_modes, self.before.control_modes));
        // The last it wrote may still be on its way to us.
        wait_for("the screen of before", PATIENCE, || (!self.is_on_other_screen()).then_some(()));
        wait_for("a cursor", PATIENCE, || self.screen.with(|parser| (!parser.screen().hide_cursor()).then_some(())));
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The program leads a session of its own, whose terminal is its standard input.
fn own_terminal(command: &mut Command) {
    let own = || {
        rustix::process::setsid()?;
        // SAFETY: standard input is open: it was just put there.
        rustix::process::ioctl_tiocsctty(unsafe { rustix::fd::BorrowedFd::borrow_raw(0) })?;
        Ok(())
    };
    // SAFETY: two system calls, safe between fork and exec.
    unsafe { command.pre_exec(own) };
}

fn follow(mut outside: File, screen: Screen) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // An error is the end: nobody holds the other end any more.
        while let Ok(count @ 1..) = outside.read(&mut bytes) {
            screen.with(|parser| parser.process(bytes.get(..count).unwrap_or_default()));
        }
    });
}
