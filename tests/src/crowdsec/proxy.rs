//! A way to a server on which an answer can be lost.
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use super::RealLapi;
use crate::harness::netns;

/// What must stand in an answer for it to be lost; `None`: none is.
type Words = Arc<Mutex<Option<String>>>;

/// Listens beside the server and hands on what both say. It lasts as long as the process: its threads wait for
/// connections that nobody makes.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    lost: Words,
}

impl Proxy {
    /// Listens in the server's namespace.
    ///
    /// # Errors
    /// The system call's.
    pub fn start(server: &RealLapi) -> Result<Self> {
        let listener = netns::inside(&server.namespace, || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr().context("where the proxy listens")?;
        let (lost, namespace) = (Words::default(), server.namespace.clone());
        let words = Arc::clone(&lost);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // A server that is away refuses, and whoever asked sees an end.
                let far = netns::inside(&namespace, || TcpStream::connect(super::address()));
                if let Ok(far) = far {
                    // A connection that breaks is seen at both ends, which is what a proxy is for.
                    drop(join(&near, &far, &words));
                }
            }
        });
        Ok(Self { address, lost })
    }

    /// Its address, for who asks.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Loses the next answer with these words in it: the connection ends instead.
    pub fn lose(&self, words: &str) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
    }

    /// Whether an answer was lost since it was asked for.
    pub fn has_lost(&self) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

fn join(near: &TcpStream, far: &TcpStream, words: &Words) -> std::io::Result<()> {
    let (from, to) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || hand_on(&from, &to, &Words::default()));
    let (from, to, words) = (far.try_clone()?, near.try_clone()?, Arc::clone(words));
    thread::spawn(move || hand_on(&from, &to, &words));
    Ok(())
}

/// Hands on until one side ends, or what is read is to be lost.
fn hand_on(mut from: &TcpStream, mut to: &TcpStream, words: &Words) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let read = bytes.get(..length).unwrap_or_default();
        let mut lost = words.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.as_ref().is_some_and(|words| String::from_utf8_lossy(read).contains(words.as_str())) {
            *lost = None;
            break;
        }
        drop(lost);
        if to.write_all(read).is_err() {
            break;
        }
    }
    for end in [from, to] {
        // It may be closed already.
        drop(end.shutdown(Shutdown::Both));
    }
}
