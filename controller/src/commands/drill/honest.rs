//! The honest: ordinary traffic of every kind that floods resemble, at a modest rate, through the same filter.
mod clients;
mod router;
mod servers;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::stage::Stage;
use super::stop::Stop;
use crate::adapters::system::netns::Namespace;
use crate::domain::drill::latency::Latency;
use crate::domain::drill::report::Exchange;

/// How long every kind may take to get its first answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is still under way when nothing more is asked has this long to come.
const AFTERWARDS: Duration = Duration::from_millis(400);
/// How often a task looks whether it should go on.
const GLANCE: Duration = Duration::from_millis(10);
/// The port QUIC uses.
const QUIC: u16 = 443;
/// Bytes of its datagrams: as long as the first of a connection must be (RFC 9000 §14.1).
const QUIC_BYTES: usize = 1_200;
/// Longer than any packet here: the kernel sends fragments.
const LONG_BYTES: usize = 3_000;

/// A kind of honest traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// HTTP over IPv4.
    Http,
    /// HTTP over IPv6.
    Http6,
    /// Answers to the protected host's own DNS queries.
    Dns,
    /// Datagrams as of QUIC.
    Quic,
    /// Datagrams over IPv6 that are longer than a packet.
    Fragments,
    /// Messages of routers: packets too long, packets too old.
    PathMtu,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Http, Self::Http6, Self::Dns, Self::Quic, Self::Fragments, Self::PathMtu];

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http6 => "http_ipv6",
            Self::Dns => "dns",
            Self::Quic => "quic",
            Self::Fragments => "ipv6_fragments",
            Self::PathMtu => "path_mtu",
        }
    }
}

/// What the honest sent and got, so far.
#[derive(Debug, Default)]
struct Board {
    sent: [AtomicU64; 6],
    answered: [AtomicU64; 6],
    /// When a request was made, and how many milliseconds it took; `None`: it failed.
    requests: Mutex<Vec<(Instant, Option<f64>)>>,
    /// Nothing more is asked.
    quiet: AtomicBool,
    /// All is over.
    over: AtomicBool,
}

impl Board {
    fn sent(&self, kind: Kind) {
        self.sent[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn answered(&self, kind: Kind, count: u64) {
        self.answered[kind as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// A request that has ended.
    fn request(&self, kind: Kind, at: Instant, is_ok: bool) {
        self.sent(kind);
        self.answered(kind, u64::from(is_ok));
        let took = is_ok.then(|| at.elapsed().as_secs_f64() * 1e3);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push((at, took));
    }

    fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Relaxed)
    }

    fn counts(&self) -> [Exchange; 6] {
        Kind::ALL.map(|kind| Exchange {
            sent: self.sent[kind as usize].load(Ordering::Relaxed),
            answered: self.answered[kind as usize].load(Ordering::Relaxed),
        })
    }

    async fn until_over(&self) {
        while !self.over.load(Ordering::Relaxed) {
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// Honest traffic that goes on in threads of its own; ended when dropped.
#[derive(Debug)]
pub(super) struct Honest {
    board: Arc<Board>,
    threads: Vec<JoinHandle<Result<()>>>,
}

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at: Instant,
    counts: [Exchange; 6],
}

impl Honest {
    /// Starts all of it and waits until every kind got an answer.
    pub(super) fn start(stage: &Stage, stop: &Stop) -> Result<Self> {
        let board = Arc::new(Board::default());
        let addresses = stage.addresses;
        let mut honest = Self { board: Arc::clone(&board), threads: Vec::new() };
        let servers = Arc::clone(&board);
        honest.spawn(&stage.server, "servers", move || runtime()?.block_on(servers::serve(addresses, servers)))?;
        let clients = Arc::clone(&board);
        honest.spawn(&stage.honest, "clients", move || runtime()?.block_on(clients::visit(addresses, clients)))?;
        let router = Arc::clone(&board);
        honest.spawn(&stage.honest, "router", move || router::route(addresses, &router))?;
        let arrivals = Arc::clone(&board);
        honest.spawn(&stage.server, "arrivals", move || router::count_arrivals(&arrivals))?;
        let all = stop.wait_for(PATIENCE, || {
            honest.still_runs()?;
            Ok(board.counts().iter().all(|count| count.answered > 0).then_some(()))
        })?;
        if all.is_none() {
            let silent = Kind::ALL.into_iter().zip(board.counts()).filter(|(_, count)| count.answered == 0);
            let silent: Vec<&str> = silent.map(|(kind, _)| kind.name()).collect();
            bail!(
                "before any flood, honest traffic got no answer within {} s: {}",
                PATIENCE.as_secs(),
                silent.join(", ")
            );
        }
        Ok(honest)
    }

    fn spawn(
        &mut self,
        namespace: &Namespace,
        name: &str,
        task: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let namespace = namespace.another()?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            namespace.enter()?;
            task()
        });
        self.threads.push(thread.context("start a thread")?);
        Ok(())
    }

    /// Fails where a thread ended before its time, with its reason.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) else { return Ok(()) };
        let name = self.threads.get(ended).and_then(|thread| thread.thread().name()).unwrap_or_default().to_owned();
        match self.threads.swap_remove(ended).join() {
            Ok(Err(error)) => Err(error.context(format!("the honest {name} ended"))),
            Ok(Ok(())) | Err(_) => Err(anyhow!("the honest {name} ended")),
        }
    }

    /// What is counted now.
    pub(super) fn mark(&self) -> Mark {
        Mark { at: Instant::now(), counts: self.board.counts() }
    }

    /// Requests that were made from one moment until another.
    pub(super) fn latency(&self, from: &Mark, to: &Mark) -> Latency {
        let requests = self.board.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let those = requests.iter().filter(|(at, _)| *at >= from.at && *at < to.at);
        Latency::of(&those.map(|(_, took)| *took).collect::<Vec<_>>())
    }

    /// Asks nothing more, waits for what is under way, and says what was exchanged since a moment, by kind.
    pub(super) fn finish(&self, since: &Mark) -> BTreeMap<String, Exchange> {
        self.board.quiet.store(true, Ordering::Relaxed);
        std::thread::sleep(AFTERWARDS);
        let kinds = Kind::ALL.into_iter().zip(self.board.counts()).zip(since.counts);
        let since = |now: Exchange, then: Exchange| {
            let sent = now.sent.saturating_sub(then.sent);
            // What was under way at that moment was sent before it.
            Exchange { sent, answered: now.answered.saturating_sub(then.answered).min(sent) }
        };
        kinds.map(|((kind, now), then)| (kind.name().to_owned(), since(now, then))).collect()
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.board.quiet.store(true, Ordering::Relaxed);
        self.board.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What it would say now changes nothing any more.
            drop(thread.join());
        }
    }
}

/// Runs tasks until all is over; the first that fails ends them.
async fn together(board: &Board, tasks: Vec<Box<dyn Future<Output = Result<()>> + Send>>) -> Result<()> {
    let mut set = tokio::task::JoinSet::new();
    for task in tasks {
        set.spawn(Box::into_pin(task));
    }
    tokio::select! {
        () = board.until_over() => Ok(()),
        failed = async {
            loop {
                match set.join_next().await {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => return error,
                    Some(Err(error)) => return error.into(),
                    // All have done what they had to; the rest of the time passes.
                    None => std::future::pending::<()>().await,
                }
            }
        } => Err(failed),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}
