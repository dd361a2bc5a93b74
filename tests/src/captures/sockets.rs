//! The host that a capture was taken at, as far as the kernel can be asked: its addresses and open UDP sockets.
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::harness::netns::Namespace;

/// A UDP socket of the protected host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Where it is open.
    pub local: SocketAddr,
    /// Whom it is connected to.
    pub remote: SocketAddr,
}

/// A network namespace with the addresses and sockets of a host. Nothing leaves it: it has no interface but its own
/// loopback, and nothing is sent.
#[derive(Debug)]
pub struct Host {
    _sockets: Vec<UdpSocket>,
    namespace: Namespace,
}

impl Host {
    /// One with these sockets open.
    ///
    /// # Panics
    /// Where the namespace or a socket cannot be made.
    pub fn new(sockets: &[Socket]) -> Self {
        let namespace = Namespace::new("captured");
        namespace.ip(&["link", "set", "lo", "up"]);
        // Connecting a socket needs a way to the other end, though nothing goes there.
        namespace.ip(&["-4", "route", "add", "default", "dev", "lo"]);
        namespace.ip(&["-6", "route", "add", "default", "dev", "lo"]);
        let addresses: BTreeSet<IpAddr> = sockets.iter().map(|socket| socket.local.ip()).collect();
        for address in addresses {
            let whole = if address.is_ipv4() { format!("{address}/32") } else { format!("{address}/128") };
            namespace.ip(&["address", "add", &whole, "dev", "lo"]);
        }
        let open = |socket: &Socket| {
            let opened = UdpSocket::bind(socket.local).unwrap_or_else(|error| panic!("open {socket:?}: {error}"));
            opened.connect(socket.remote).unwrap_or_else(|error| panic!("connect {socket:?}: {error}"));
            opened
        };
        let opened = namespace.inside(|| sockets.iter().map(open).collect());
        Self { _sockets: opened, namespace }
    }

    /// Runs `task` on a thread of this host's network: the program, run there, asks for this host's sockets.
    pub fn inside<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(task)
    }
}
