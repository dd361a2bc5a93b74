//! Who comes to the protected host: visitors of its web server, a QUIC-like client, a sender of long datagrams; and the
//! resolver the host asks.
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::net::UdpSocket;
use tokio::time::MissedTickBehavior;

use super::servers::PAGE;
use super::{Board, Kind, LONG_BYTES, QUIC, QUIC_BYTES, together};
use crate::adapters::tls;
use crate::commands::drill::stage::{Addresses, WEB};
use crate::domain::drill::dns;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// From one datagram to the next: 200 a second.
const QUIC_EVERY: Duration = Duration::from_millis(5);
/// From one long datagram to the next.
const LONG_EVERY: Duration = Duration::from_millis(50);

/// Somebody who fetches pages.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    kind: Kind,
    from: IpAddr,
    to: IpAddr,
    /// Whether one connection is used for all pages.
    keeps: bool,
    pause: Duration,
}

/// Visits until all is over.
pub(super) async fn visit(addresses: Addresses, board: Arc<Board>) -> Result<()> {
    tls::provide();
    let v4 = |host, keeps, pause| Visitor {
        kind: Kind::Http,
        from: addresses.v4(host).into(),
        to: addresses.v4(1).into(),
        keeps,
        pause: Duration::from_millis(pause),
    };
    let v6 = |keeps, pause| Visitor {
        kind: Kind::Http6,
        from: addresses.v6(2).into(),
        to: addresses.v6(1).into(),
        keeps,
        pause: Duration::from_millis(pause),
    };
    let mut tasks: Vec<Box<dyn Future<Output = Result<()>> + Send>> = Vec::new();
    for visitor in [v4(2, false, 150), v4(3, false, 150), v4(4, true, 30), v6(false, 200), v6(true, 50)] {
        let board = Arc::clone(&board);
        tasks.push(Box::new(async move { fetch(visitor, &board).await }));
    }
    tasks.push(Box::new(resolve(addresses)));
    for (kind, from, to, bytes, every) in [
        (Kind::Quic, IpAddr::from(addresses.v4(5)), SocketAddr::from((addresses.v4(1), QUIC)), QUIC_BYTES, QUIC_EVERY),
        (Kind::Fragments, addresses.v6(2).into(), SocketAddr::from((addresses.v6(1), QUIC)), LONG_BYTES, LONG_EVERY),
    ] {
        let board = Arc::clone(&board);
        tasks.push(Box::new(async move { exchange(kind, from, to, bytes, every, &board).await }));
    }
    together(&board, tasks).await
}

async fn fetch(visitor: Visitor, board: &Board) -> Result<()> {
    let client = reqwest::Client::builder()
        .local_address(visitor.from)
        .pool_max_idle_per_host(usize::from(visitor.keeps))
        .timeout(PATIENCE)
        .tls_certs_only([])
        .no_proxy()
        .build()
        .context("make an HTTP client")?;
    let url = format!("http://{}/", SocketAddr::from((visitor.to, WEB)));
    while !board.is_quiet() {
        let at = Instant::now();
        let page = async { client.get(&url).send().await?.error_for_status()?.bytes().await };
        let is_ok = page.await.is_ok_and(|page| page.len() == PAGE);
        board.request(visitor.kind, at, is_ok);
        tokio::time::sleep(visitor.pause).await;
    }
    Ok(())
}

/// Answers questions.
async fn resolve(addresses: Addresses) -> Result<()> {
    let socket = UdpSocket::bind((addresses.v4(53), 53)).await.context("open the resolver's socket")?;
    let mut buffer = [0; 512];
    loop {
        // A message that the asking socket is gone concerns that one.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = dns::answer(buffer.get(..len).unwrap_or_default(), addresses.v4(1)) {
            drop(socket.send_to(&answer, from).await);
        }
    }
}

/// Sends datagrams on one flow and counts those that come back.
async fn exchange(
    kind: Kind,
    from: IpAddr,
    to: SocketAddr,
    bytes: usize,
    every: Duration,
    board: &Board,
) -> Result<()> {
    let socket = UdpSocket::bind((from, 0)).await.with_context(|| format!("open a socket at {from}"))?;
    socket.connect(to).await.with_context(|| format!("connect to {to}"))?;
    let datagram = vec![0x71; bytes];
    let mut buffer = vec![0; 65_536];
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick(), if !board.is_quiet() => {
                // What cannot be sent, because nobody listens yet, is not sent.
                if socket.send(&datagram).await.is_ok() {
                    board.sent(kind);
                }
            }
            came = socket.recv(&mut buffer) => board.answered(kind, u64::from(came.is_ok_and(|len| len == bytes))),
        }
    }
}
