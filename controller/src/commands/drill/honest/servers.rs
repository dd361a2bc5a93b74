//! What runs on the protected host: a web server, echoes, and a program that asks a resolver.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::{Board, Kind, QUIC, together};
use crate::commands::drill::stage::{Addresses, WEB};
use crate::domain::drill::dns;

/// Bytes of the page.
pub(super) const PAGE: usize = 16 * 1024;
/// From one question to the next.
const BETWEEN: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Serves, echoes and asks until all is over.
pub(super) async fn serve(addresses: Addresses, board: Arc<Board>) -> Result<()> {
    let resolver = SocketAddr::from((addresses.v4(53), 53));
    let (connected, unconnected) = (Arc::clone(&board), Arc::clone(&board));
    together(
        &board,
        vec![
            Box::new(web(Ipv4Addr::UNSPECIFIED.into())),
            Box::new(web(Ipv6Addr::UNSPECIFIED.into())),
            Box::new(echo(SocketAddr::from((addresses.v4(1), QUIC)))),
            Box::new(echo(SocketAddr::from((addresses.v6(1), QUIC)))),
            Box::new(async move { ask(resolver, true, &connected).await }),
            Box::new(async move { ask(resolver, false, &unconnected).await }),
        ],
    )
    .await
}

async fn web(address: IpAddr) -> Result<()> {
    let page = "weir\n".repeat(PAGE.div_ceil(5)).chars().take(PAGE).collect::<String>();
    let router = Router::new().route("/", get(move || std::future::ready(page.clone())));
    let listener = listen(SocketAddr::from((address, WEB))).with_context(|| format!("listen at {address}:{WEB}"))?;
    axum::serve(listener, router).await.context("the web server ended")
}

/// Listens at one family's addresses only, so that there can be a listener for each.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => {
            let socket = tokio::net::TcpSocket::new_v6()?;
            only_v6(&socket)?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // As many as wait for nginx.
    socket.listen(511)
}

fn only_v6(socket: &impl std::os::fd::AsRawFd) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let len = libc::socklen_t::try_from(size_of_val(&on)).map_err(std::io::Error::other)?;
    // SAFETY: pointer and length are of one live integer.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, (&raw const on).cast(), len)
    };
    if set < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends back what comes.
async fn echo(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address).await.with_context(|| format!("listen at {address}"))?;
    let mut buffer = vec![0; 65_536];
    loop {
        // A message that a client is gone concerns that client.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer.get(..len).unwrap_or_default();
        drop(socket.send_to(datagram, from).await);
    }
}

/// Asks a resolver, as programs do: with a socket that is connected to it, or with one that is not.
async fn ask(resolver: SocketAddr, connect: bool, board: &Board) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.context("open a socket")?;
    if connect {
        socket.connect(resolver).await.context("connect to the resolver")?;
    }
    let mut buffer = [0; 512];
    for id in (0..=u16::MAX).cycle() {
        if board.is_quiet() {
            break;
        }
        let question = dns::query(id);
        let sent = if connect { socket.send(&question).await } else { socket.send_to(&question, resolver).await };
        let answer = timeout(PATIENCE, async {
            loop {
                let len = socket.recv(&mut buffer).await?;
                // An answer to an earlier question came late.
                if dns::answered(buffer.get(..len).unwrap_or_default()) == Some(id) {
                    return std::io::Result::Ok(());
                }
            }
        });
        let is_answered = sent.is_ok() && matches!(answer.await, Ok(Ok(())));
        board.sent(Kind::Dns);
        board.answered(Kind::Dns, u64::from(is_answered));
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(())
}
