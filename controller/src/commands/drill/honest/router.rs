//! Honest messages of a router about real packets of the honest: too long, too old (RFC 792, RFC 1191, RFC 4443, RFC 8201).
use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Board, Kind};
use crate::adapters::system::packets::PacketSocket;
use crate::commands::drill::stage::{Addresses, HONEST_MAC, HONEST_PEER, HONEST_PEER_MAC, WEB};
use crate::domain::drill::frame::{Ends, Link};
use crate::domain::drill::quote;

/// From one round of messages to the next.
const EVERY: Duration = Duration::from_millis(100);
/// The router's address is the last of its network.
const ROUTER: u8 = 254;
/// Frames that are looked at for one to quote, in one round.
const LOOK_AT: usize = 4_096;
/// How often arrivals are counted.
const COUNT_EVERY: Duration = Duration::from_millis(20);

/// Sends messages about the web server's packets until all is over.
pub(super) fn route(addresses: Addresses, board: &Board) -> Result<()> {
    let socket = PacketSocket::both_ways(HONEST_PEER).context("open a packet socket")?;
    let link = Link { to: HONEST_MAC, from: HONEST_PEER_MAC };
    let v4 = Ends::V4 { from: addresses.v4(ROUTER), to: addresses.v4(1) };
    let v6 = Ends::V6 { from: addresses.v6(ROUTER), to: addresses.v6(1) };
    let mut buffer = vec![0; 65_536];
    let mut quoted = [None, None];
    while !board.over.load(Ordering::Relaxed) {
        for _ in 0..LOOK_AT {
            let Some(frame) = socket.receive(&mut buffer)? else { break };
            for (place, ends) in quoted.iter_mut().zip([&v4, &v6]) {
                if let Some(quote) = quote::of_server(frame, ends, WEB) {
                    *place = Some(quote);
                }
            }
        }
        if !board.is_quiet() {
            let messages: Vec<Vec<u8>> = quoted
                .iter()
                .zip([&v4, &v6])
                .filter_map(|(quoted, ends)| Some(quote::messages(&link, ends, quoted.as_deref()?)))
                .flatten()
                .collect();
            let mut rest = messages.as_slice();
            while !rest.is_empty() && !board.over.load(Ordering::Relaxed) {
                let sent = socket.send(rest)?;
                (0..sent).for_each(|_| board.sent(Kind::PathMtu));
                rest = rest.get(sent..).unwrap_or_default();
            }
        }
        thread::sleep(EVERY);
    }
    Ok(())
}

/// Counts the router's messages that came to the protected host's stack, until all is over.
pub(super) fn count_arrivals(board: &Board) -> Result<()> {
    let mut last = arrived()?;
    while !board.over.load(Ordering::Relaxed) {
        let now = arrived()?;
        board.answered(Kind::PathMtu, now.saturating_sub(last));
        last = now;
        thread::sleep(COUNT_EVERY);
    }
    Ok(())
}

/// Messages of these kinds that this network namespace has received.
fn arrived() -> Result<u64> {
    let read = |file: &str| {
        let path = format!("/proc/thread-self/net/{file}");
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    };
    Ok(quote::arrived(&read("snmp")?, &read("snmp6")?))
}
