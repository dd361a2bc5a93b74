//! Sampled drops as they come.
use std::path::PathBuf;

use reqwest::{Method, Response};

use super::{ANSWER, Client, ClientError, io_cause, within};
use crate::domain::capture::{Filter, SampleCounters, SampleLine};

/// Longest line that is read: a frame of any length, hexadecimal, would fit.
const LONGEST: usize = 1 << 20;

/// Lines about sampled drops, until the daemon stops or as many came as were wanted.
#[derive(Debug)]
pub struct SampleStream {
    response: Response,
    socket: PathBuf,
    /// What came and was not handed out yet.
    text: Vec<u8>,
    /// How much of it was.
    taken: usize,
}

impl Client {
    /// Listens to sampled drops: all, or as many as are wanted.
    ///
    /// # Errors
    /// [`ClientError`]; a problem where nothing is sampled.
    pub async fn samples(&self, n: Option<u64>, filter: &Filter) -> Result<SampleStream, ClientError> {
        let n = n.map(|n| n.to_string());
        let (verdicts, lists) = (filter.verdict_words(), filter.list_words());
        let query = [("n", n.as_deref().unwrap_or_default()), ("verdict", &verdicts), ("list", &lists)];
        let query: Vec<_> = query.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let request = self.request_untimed(Method::GET, &["samples", "stream"], &query);
        let response = within(ANSWER, self.send(request, ANSWER)).await.unwrap_or_else(|| Err(self.silent(ANSWER)))?;
        Ok(SampleStream { response, socket: self.socket.clone(), text: Vec::new(), taken: 0 })
    }

    /// The counters, once every sample up to now is on its way to whoever listens.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sample_counters(&self) -> Result<SampleCounters, ClientError> {
        self.document(self.request(Method::GET, &["samples", "counters"], &[])).await
    }
}

impl SampleStream {
    /// The next line; `None`: the stream is over. Nothing is lost where this is given up and called again.
    ///
    /// # Errors
    /// [`ClientError::Ended`] where the connection breaks, or the daemon, which tells its counters each second, says
    /// nothing; [`ClientError::NotWeir`] for what is no line of this version's.
    pub async fn next(&mut self) -> Result<Option<SampleLine>, ClientError> {
        loop {
            let rest = self.text.get(self.taken..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = serde_json::from_slice(rest.get(..end).unwrap_or_default());
                self.taken += end + 1;
                return line.map(Some).map_err(|error| self.not_weir(format!("a sample of another shape ({error})")));
            }
            if rest.len() > LONGEST {
                return Err(self.not_weir(format!("a line of more than {LONGEST} bytes")));
            }
            let piece = within(ANSWER, self.response.chunk()).await;
            let piece = piece.ok_or_else(|| self.ended(format!("it said nothing for {} s", ANSWER.as_secs())))?;
            let piece = piece
                .map_err(|error| self.ended(io_cause(&error).map_or_else(|| error.to_string(), ToString::to_string)))?;
            let Some(piece) = piece else { return Ok(None) };
            self.text.drain(..self.taken);
            self.taken = 0;
            self.text.extend_from_slice(&piece);
        }
    }

    /// Why a stream that should go on does not.
    pub fn ended(&self, why: String) -> ClientError {
        ClientError::Ended { socket: self.socket.clone(), why }
    }

    fn not_weir(&self, what: String) -> ClientError {
        ClientError::NotWeir { socket: self.socket.clone(), what }
    }
}
