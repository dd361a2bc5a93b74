//! An ordinary server, and an ordinary client that keeps fetching from it.
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;

/// The server's port.
pub const PORT: u16 = 80;

/// Bytes of the page.
const PAGE: usize = 16 * 1024;

/// Pages that are fetched beside each other.
const VISITORS: usize = 4;

/// From the end of a fetch to the start of the next.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// One fetched page.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// When it was asked for.
    pub at: Instant,
    /// How long it took, from connecting to the page's last byte.
    pub took: Duration,
    /// Whether it came, whole.
    pub is_ok: bool,
}

/// All pages fetched so far.
#[derive(Debug, Default)]
pub struct Fetches(Mutex<Vec<Fetch>>);

impl Fetches {
    /// Those asked for from `from` until before `to`: complete once all that were asked for have ended.
    pub fn asked(&self, from: Instant, to: Instant) -> Vec<Fetch> {
        self.those(|fetch| fetch.at >= from && fetch.at < to)
    }

    /// Those that ended from `from` until before `to`.
    pub fn ended(&self, from: Instant, to: Instant) -> Vec<Fetch> {
        self.those(|fetch| fetch.at + fetch.took >= from && fetch.at + fetch.took < to)
    }

    fn those(&self, wanted: impl Fn(&Fetch) -> bool) -> Vec<Fetch> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|fetch| wanted(fetch)).copied().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&self, fetch: Fetch) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fetch);
    }
}

/// Serves pages from the network namespace of the calling thread until `on` is false.
///
/// # Errors
/// Where it cannot listen.
pub fn serve(on: &AtomicBool) -> Result<()> {
    runtime()?.block_on(async {
        let page = "weir\n".repeat(PAGE.div_ceil(5)).chars().take(PAGE).collect::<String>();
        let router = Router::new().route("/", get(move || std::future::ready(page.clone())));
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        tokio::select! {
            served = axum::serve(listener, router) => served.context("the server ended"),
            () = until_off(on) => Ok(()),
        }
    })
}

/// Fetches pages from the network namespace of the calling thread until `on` is false. Each takes a connection of its
/// own, so that a flood of connections would be felt.
///
/// # Errors
/// Where there can be no client at all.
pub fn visit(from: Ipv4Addr, server: Ipv4Addr, fetches: &Fetches, on: &AtomicBool) -> Result<()> {
    weir::adapters::tls::provide();
    let client = reqwest::Client::builder()
        .local_address(IpAddr::V4(from))
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .context("make an HTTP client")?;
    let url = format!("http://{server}:{PORT}/");
    runtime()?.block_on(async {
        let visitors = (0..VISITORS).map(|_| visitor(&client, &url, fetches, on));
        join_all(visitors).await;
    });
    Ok(())
}

async fn visitor(client: &reqwest::Client, url: &str, fetches: &Fetches, on: &AtomicBool) {
    while on.load(Ordering::Relaxed) {
        let at = Instant::now();
        let page = async { client.get(url).send().await?.error_for_status()?.bytes().await };
        let is_ok = page.await.is_ok_and(|page| page.len() == PAGE);
        fetches.add(Fetch { at, took: at.elapsed(), is_ok });
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for all of a few, polled in turn.
async fn join_all<F: Future<Output = ()>>(tasks: impl Iterator<Item = F>) {
    let mut tasks: Vec<_> = tasks.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        if tasks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn until_off(on: &AtomicBool) {
    while on.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}
