//! Programs run to their end, and what they said.
use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::{PATIENCE, binary};

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit status; `None`: a signal ended it.
    pub code: Option<i32>,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// A `weir` command.
pub fn weir<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(binary::path());
    command.args(args);
    without_settings(&mut command);
    command
}

/// Takes from a command's environment what weir would read as settings, or what is the tests' own.
pub fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("WEIR_") {
            command.env_remove(name);
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be started, or does not end in time.
#[track_caller]
pub fn said(command: &mut Command) -> Said {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("start {}: {error}", command.get_program().display()));
    let out = reading(child.stdout.take());
    let err = reading(child.stderr.take());
    let code = end_of(&mut child, &format!("{command:?}"));
    let text = |reader: JoinHandle<String>| reader.join().expect("reading does not panic");
    Said { code, out: text(out), err: text(err) }
}

fn reading(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes).expect("a pipe can be read");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[track_caller]
fn end_of(child: &mut Child, what: &str) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code();
        }
        if start.elapsed() > 2 * PATIENCE {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            panic!("{what} did not end");
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

impl Said {
    /// Asserts that all went well; its standard output.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts that it ended with this status and said all these words on standard error.
    ///
    /// # Panics
    /// Where it did not.
    #[track_caller]
    pub fn badly(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in words {
            assert!(self.err.contains(words), "wanted {words:?} in:\n{}", self.err);
        }
        self.err
    }
}
