//! The terminal as a screen, and as it was before.
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event as Happened, KeyEventKind};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::app::Event;

/// How long the thread that reads keys waits before it looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(50);

/// A terminal in raw mode on its other screen. Dropped, it is as it was before; a panic sees to that too.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| restore())?;
        Ok(Self { terminal })
    }

    /// Its columns and lines.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Writes what is different from what is there.
    ///
    /// # Errors
    /// The terminal's.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to see to.
        drop(self.terminal.show_cursor());
        restore();
    }
}

fn restore() {
    drop(ratatui::try_restore());
}

/// Keys and sizes, read by a thread of their own; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Keys {
    happened: UnboundedReceiver<io::Result<Event>>,
    is_over: Arc<AtomicBool>,
}

impl Keys {
    /// Begins to read.
    ///
    /// # Errors
    /// The system's, where there can be no thread.
    pub(super) fn read() -> io::Result<Self> {
        let (tell, happened) = unbounded_channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        // Not waited for in the end: it may stand in the middle of a key, until the rest of it comes.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || watch(&tell, &over))?;
        Ok(Self { happened, is_over })
    }

    /// The next event.
    ///
    /// # Errors
    /// The terminal's: it is gone.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        self.happened.recv().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn watch(tell: &UnboundedSender<io::Result<Event>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let happened = match event::poll(GLANCE) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let event = match happened {
            Ok(Happened::Key(key)) if key.kind != KeyEventKind::Release => Ok(Event::Key(key)),
            Ok(Happened::Resize(columns, lines)) => Ok(Event::Size(columns, lines)),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        let is_last = event.is_err();
        if tell.send(event).is_err() || is_last {
            return;
        }
    }
}
