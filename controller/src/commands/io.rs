//! Where a command reads and writes: standard input, output and error, or a test's.
use std::env;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};

use serde::Serialize;

use super::failure;
use crate::cli::Output;
use crate::render::{Style, plain};

/// The three streams of a command.
pub struct Io {
    /// Standard input.
    pub input: Box<dyn Read>,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// How standard output is written.
    pub style: Style,
    /// How standard error is written.
    err_style: Style,
    /// Whether a person watches standard error.
    is_terminal: bool,
    /// Whether the streams are this process's own.
    is_process: bool,
    /// Whether a person sits at both standard input and output.
    pub is_screen: bool,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("style", &self.style).finish_non_exhaustive()
    }
}

/// Standard output did not take what was written.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    /// Whoever read it has stopped, as `head` does: no failure of ours.
    #[error("standard output was closed")]
    Closed,
    /// It failed.
    #[error("write to standard output")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for OutError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

impl Io {
    /// This process's own.
    pub fn of_process() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let style = |terminal: bool| if wanted && terminal { Style::Coloured } else { Style::Plain };
        // Not locked: the daemon's threads may write too.
        let out = io::stdout();
        let (style, err_style) = (style(out.is_terminal()), style(io::stderr().is_terminal()));
        Self {
            input: Box::new(io::stdin()),
            out: Box::new(BufWriter::with_capacity(1 << 16, out)),
            err: Box::new(io::stderr()),
            style,
            err_style,
            is_terminal: io::stderr().is_terminal(),
            is_process: true,
            is_screen: io::stdin().is_terminal() && io::stdout().is_terminal(),
        }
    }

    /// A test's, without colours.
    pub fn new(input: impl Read + 'static, out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self {
            input: Box::new(input),
            out: Box::new(out),
            err: Box::new(err),
            style: Style::Plain,
            err_style: Style::Plain,
            is_terminal: false,
            is_process: false,
            is_screen: false,
        }
    }

    /// Writes bytes to standard output.
    ///
    /// # Errors
    /// [`OutError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OutError> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Hands everything written so far to whoever reads standard output.
    ///
    /// # Errors
    /// [`OutError`].
    pub fn flush(&mut self) -> Result<(), OutError> {
        Ok(self.out.flush()?)
    }

    /// Writes a value as it was asked for: a document for programs, or text for people.
    ///
    /// # Errors
    /// [`OutError`].
    pub fn report<T: Serialize + ?Sized>(
        &mut self,
        output: Output,
        value: &T,
        view: impl FnOnce(&T, Style, &mut String) -> fmt::Result,
    ) -> Result<(), OutError> {
        let mut text = match output {
            Output::Json => serde_json::to_string(value).map_err(io::Error::other)?,
            Output::Text => {
                let mut text = String::new();
                view(value, self.style, &mut text).map_err(io::Error::other)?;
                text
            }
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.write(text.as_bytes())
    }

    /// Shows that something takes its time, where standard error is a terminal.
    pub fn progress(&self, what: &str) -> indicatif::ProgressBar {
        if !self.is_terminal {
            return indicatif::ProgressBar::hidden();
        }
        let bar = indicatif::ProgressBar::new_spinner().with_message(plain::line(what).into_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        bar
    }

    /// Whether standard output is a terminal: a place for text alone.
    pub fn is_out_terminal(&self) -> bool {
        self.is_process && io::stdout().is_terminal()
    }

    /// Whether whoever read standard output has gone, as far as can be told without writing.
    pub fn is_out_closed(&self) -> bool {
        if !self.is_process {
            return false;
        }
        let mut out = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
        // SAFETY: one structure, which lives across the call; it returns at once.
        let ready = unsafe { libc::poll(&raw mut out, 1, 0) };
        ready > 0 && out.revents & (libc::POLLERR | libc::POLLNVAL) != 0
    }

    /// Tells people, on standard error, what is no part of the result.
    pub fn tell(&mut self, what: &str) {
        self.complain(plain::lines(what).trim_end());
    }

    /// Says something beside the result, on standard error.
    pub fn note(&mut self, what: impl fmt::Display) {
        self.complain(&format!("note: {}", plain::lines(&what.to_string())));
    }

    /// Says something that must not be overlooked, on standard error.
    pub fn warn(&mut self, what: impl fmt::Display) {
        let warning = self.err_style.yellow("warning:");
        self.complain(&format!("{warning} {}", plain::lines(&what.to_string())));
    }

    /// Says what went wrong, on standard error.
    pub fn fail(&mut self, error: &anyhow::Error) {
        let head = self.err_style.red("error:");
        self.complain(&format!("{head} {}", plain::lines(&failure::text(error))));
    }

    /// Prints what clap has to say: help to standard output, errors to standard error.
    ///
    /// # Errors
    /// [`OutError`].
    pub fn clap(&mut self, error: &clap::Error) -> Result<(), OutError> {
        let (text, style) = (error.render(), if error.use_stderr() { self.err_style } else { self.style });
        let text = if style == Style::Coloured { text.ansi().to_string() } else { text.to_string() };
        if error.use_stderr() {
            self.complain(text.trim_end());
            return Ok(());
        }
        self.write(text.as_bytes())?;
        self.flush()
    }

    /// Where standard error takes nothing, nobody is left to be told.
    fn complain(&mut self, text: &str) {
        drop(writeln!(self.err, "{text}"));
    }
}
