//! Sampled drops: the latest, and all that come.
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Api;
use super::error::ApiError;
use crate::daemon::{ListenError, SamplesHandle};
use crate::domain::capture::{DropVerdictError, Filter, SampleCounters, SampleLine};
use crate::domain::report::SampleRow;

/// Bytes from which lines are sent in one piece, rather than with those that follow.
const PIECE: usize = 16 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LatestQuery {
    n: Option<usize>,
}

pub(super) async fn latest(State(api): State<Api>, query: Query<LatestQuery>) -> Json<Vec<SampleRow>> {
    Json(api.samples.latest(query.n.unwrap_or(20)))
}

pub(super) async fn counters(State(api): State<Api>) -> Result<Json<SampleCounters>, ApiError> {
    Ok(Json(api.samples.settle().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// End after so many samples.
    n: Option<u64>,
    /// Verdicts, separated by commas; absent: all.
    #[serde(default)]
    verdict: String,
    /// Lists, separated by commas; absent: all.
    #[serde(default)]
    list: String,
}

/// Every sampled drop from now on, a document a line.
pub(super) async fn stream(State(api): State<Api>, query: Query<StreamQuery>) -> Result<Response, ApiError> {
    if query.n == Some(0) {
        return Err(ApiError::bad_request("n is 0; it is how many samples to send, from 1, or absent for all"));
    }
    let filter = Filter::read(&query.verdict, &query.list)?;
    check(&api, &filter)?;
    let listening = api.samples.listen().await?;
    let mut first = Vec::new();
    write(&SampleLine::Start(listening.start), &mut first);
    let lines = Lines { from: listening.lines, samples: api.samples, filter, left: query.n, first, is_over: false };
    let pieces = stream::unfold(lines, |mut lines| async move {
        let piece = lines.next().await?;
        Some((Ok::<_, Infallible>(piece), lines))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)).into_response())
}

/// Whether there can be samples that are wanted.
fn check(api: &Api, filter: &Filter) -> Result<(), ApiError> {
    let state = api.shared.read();
    if state.settings.samples_per_second == 0 {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "sampling is off: `[samples] per_second` is 0 in the settings in force; set it to 100, say, and \
             `weir config reload`",
        ));
    }
    let unknown = filter.lists().iter().find(|name| !state.desired.lists().any(|list| *list.name == **name));
    match unknown {
        Some(name) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no list {name:?}; `weir status` names those there are"),
        )),
        None => Ok(()),
    }
}

impl From<DropVerdictError> for ApiError {
    fn from(error: DropVerdictError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<ListenError> for ApiError {
    fn from(error: ListenError) -> Self {
        let status = match error {
            ListenError::Busy => StatusCode::TOO_MANY_REQUESTS,
            ListenError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

/// The lines for one listener. They wait where they are until the listener takes them, and the oldest are lost where it
/// does not.
struct Lines {
    from: Receiver<Arc<SampleLine>>,
    samples: SamplesHandle,
    filter: Filter,
    /// What is sent before all else.
    first: Vec<u8>,
    /// Samples still to send; `None`: all that come.
    left: Option<u64>,
    is_over: bool,
}

impl Lines {
    /// The lines there are, once there is one; `None`: there will be no more.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = std::mem::take(&mut self.first);
        while piece.is_empty() {
            if self.is_over {
                return None;
            }
            match self.from.recv().await {
                Ok(line) => self.add(&line, &mut piece),
                Err(RecvError::Lagged(lost)) => write(&SampleLine::Lost(lost), &mut piece),
                Err(RecvError::Closed) => return None,
            }
        }
        while !self.is_over && piece.len() < PIECE {
            match self.from.try_recv() {
                Ok(line) => self.add(&line, &mut piece),
                Err(TryRecvError::Lagged(lost)) => write(&SampleLine::Lost(lost), &mut piece),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        // Whoever wanted so many also wants to know of how many.
        if self.is_over
            && let Ok(counters) = self.samples.settle().await
        {
            write(&SampleLine::Counters(counters), &mut piece);
        }
        Some(piece)
    }

    fn add(&mut self, line: &SampleLine, piece: &mut Vec<u8>) {
        if let SampleLine::Sample(sample) = line {
            if !self.filter.wants(sample) {
                return;
            }
            self.left = self.left.map(|left| left.saturating_sub(1));
            self.is_over = self.left == Some(0);
        }
        write(line, piece);
    }
}

fn write(line: &SampleLine, piece: &mut Vec<u8>) {
    // Into memory, and of keys that are text: neither can fail.
    if serde_json::to_writer(&mut *piece, line).is_ok() {
        piece.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::{self, Sender};

    use super::*;

    fn sample(verdict: &str) -> Arc<SampleLine> {
        Arc::new(SampleLine::Sample(SampleRow {
            at: jiff::Timestamp::UNIX_EPOCH,
            interface: 1,
            interface_name: None,
            verdict: verdict.to_owned(),
            observed: false,
            list: None,
            detail: None,
            length: 60,
            bytes: "00".to_owned(),
        }))
    }

    fn lines(room: usize, verdicts: &str, left: Option<u64>) -> (Sender<Arc<SampleLine>>, Lines) {
        let (sender, from) = broadcast::channel(room);
        let filter = Filter::read(verdicts, "").unwrap();
        let lines =
            Lines { from, samples: SamplesHandle::without_reader(), filter, first: Vec::new(), left, is_over: false };
        (sender, lines)
    }

    /// What the next piece says, in short.
    async fn next(lines: &mut Lines) -> Option<Vec<String>> {
        let piece = lines.next().await?;
        let line = |line: &str| match serde_json::from_str(line).unwrap() {
            SampleLine::Sample(sample) => sample.verdict,
            SampleLine::Lost(lost) => format!("lost {lost}"),
            SampleLine::Start(_) | SampleLine::Counters(_) => "other".to_owned(),
        };
        Some(String::from_utf8(piece).unwrap().lines().map(line).collect())
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_sent_and_no_more_than_that() {
        let (sender, mut lines) = lines(16, "bogon,feed", Some(3));
        for verdict in ["bogon", "denied", "feed", "bogon", "feed"] {
            sender.send(sample(verdict)).unwrap();
        }
        assert_eq!(next(&mut lines).await.unwrap(), ["bogon", "feed", "bogon"]);
        assert_eq!(next(&mut lines).await, None);
    }

    #[tokio::test]
    async fn a_listener_that_fell_behind_is_told_how_much_it_lost() {
        let (sender, mut lines) = lines(4, "", None);
        for _ in 0..7 {
            sender.send(sample("bogon")).unwrap();
        }
        assert_eq!(next(&mut lines).await.unwrap(), ["lost 3", "bogon", "bogon", "bogon", "bogon"]);
        drop(sender);
        assert_eq!(next(&mut lines).await, None, "the daemon stopped");
    }

    #[tokio::test]
    async fn pieces_are_bounded_and_nothing_is_lost_between_them() {
        let (sender, mut lines) = lines(1 << 10, "", None);
        for _ in 0..1_000 {
            sender.send(sample("bogon")).unwrap();
        }
        drop(sender);
        let (mut pieces, mut sent) = (0, 0);
        while let Some(piece) = lines.next().await {
            assert!(piece.len() < PIECE + 1_000);
            pieces += 1;
            sent += String::from_utf8(piece).unwrap().lines().count();
        }
        assert_eq!(sent, 1_000);
        assert!(pieces > 1);
    }
}
