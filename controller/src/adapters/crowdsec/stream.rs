//! An answer's bytes, handed to the reader as they come.
use std::io::{self, BufReader};

use reqwest::Response;
use tokio::sync::mpsc;

use crate::domain::crowdsec::Rules;
use crate::domain::crowdsec::page::{self, Page, PageError};

/// Pieces of an answer that wait for the reader.
const WAITING: usize = 32;

/// Bytes that the reader takes at a time.
const BUFFER: usize = 64 * 1024;

/// Why an answer could not be read.
pub(super) enum Failure {
    Lost(reqwest::Error),
    TooLarge,
    Page(PageError),
    Stopped,
}

/// Reads an answer of at most so many bytes. The reader has a thread of its own: it must not hold up others.
pub(super) async fn read(mut response: Response, rules: Rules, startup: bool, most: u64) -> Result<Page, Failure> {
    if response.content_length().is_some_and(|length| length > most) {
        return Err(Failure::TooLarge);
    }
    let (pieces, waiting) = mpsc::channel(WAITING);
    let pieces_of = Pieces { waiting, piece: Vec::new(), at: 0, ended: false };
    let reading =
        tokio::task::spawn_blocking(move || page::read(BufReader::with_capacity(BUFFER, pieces_of), &rules, startup));
    let mut bytes = 0u64;
    loop {
        // Where either of the two fails, the reader finds that its text does not end, and what it says does not matter.
        let Some(piece) = response.chunk().await.map_err(Failure::Lost)? else { break };
        bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if bytes > most {
            return Err(Failure::TooLarge);
        }
        if pieces.send(Some(Vec::from(piece))).await.is_err() {
            // The reader has understood enough to know that it is no answer.
            break;
        }
    }
    // It may be gone, as above.
    drop(pieces.send(None).await);
    reading.await.ok().ok_or(Failure::Stopped)?.map_err(Failure::Page)
}

/// The pieces as one text. `None` is its end; an end without it is an error.
struct Pieces {
    waiting: mpsc::Receiver<Option<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl io::Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() && !self.ended {
            match self.waiting.blocking_recv() {
                Some(Some(piece)) => (self.piece, self.at) = (piece, 0),
                Some(None) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let left = self.piece.get(self.at..).unwrap_or_default();
        let taken = left.len().min(into.len());
        for (to, from) in into.iter_mut().zip(left) {
            *to = *from;
        }
        self.at = self.at.saturating_add(taken);
        Ok(taken)
    }
}
