//! Sockets of this network namespace: what listens, who is connected, and which of it is a login session.
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::facts::Sources;
use super::facts::logins::{self, Login};
use super::paths;
use crate::domain::cutoff::{Here, Session};

/// What a socket does, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// TCP: it takes connections. UDP: it takes packets of whoever sends them.
    Listens,
    /// It is connected.
    IsConnected,
    /// It opens or closes a connection.
    Other,
}

/// A socket of the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What it does.
    pub does: Does,
    /// Its own address.
    pub local: IpAddr,
    /// Its own port.
    pub port: u16,
    /// The other end's address; unspecified where there is none.
    pub remote: IpAddr,
    /// Its number among files; 0: no process has it.
    pub inode: u64,
}

/// The sockets in the text of `/proc/net/tcp`, `tcp6`, `udp` or `udp6` (proc(5)). Lines that are none are left out, as is
/// the heading.
pub fn parse(text: &str) -> Vec<Socket> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Socket> {
    // sl local remote state queues timer retransmits uid timeout inode
    let mut words = line.split_ascii_whitespace();
    let number = words.next()?.strip_suffix(':')?;
    number.parse::<u64>().ok()?;
    let (local, port) = end(words.next()?)?;
    let (remote, _) = end(words.next()?)?;
    // Numbers of the kernel's TCP states, which UDP borrows: 7, "closed", is what an unconnected one is in.
    let does = match words.next()? {
        "0A" | "07" => Does::Listens,
        "01" => Does::IsConnected,
        _ => Does::Other,
    };
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket { does, local, port, remote, inode })
}

/// `0100007F:0016`: words of the address as the machine has them in memory, and the port as a number.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |at: usize| -> Option<[u8; 4]> { Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes()) };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut octets = [0; 16];
            for (place, byte) in octets.iter_mut().zip(words.as_flattened()) {
                *place = *byte;
            }
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

/// What is reached on this machine, in the calling thread's network namespace, now. What cannot be read is left out: it is
/// for warnings only.
pub fn here(sources: &Sources) -> Here {
    let (tcp, udp) = (table(["tcp", "tcp6"]), table(["udp", "udp6"]));
    let mut sessions: Vec<Session> = logins(sources).iter().flat_map(|login| sessions(login, &tcp)).collect();
    sessions.sort();
    sessions.dedup();
    Here { tcp: listening(&tcp), udp: listening(&udp), sessions, given: given_ports() }
}

fn table(names: [&str; 2]) -> Vec<Socket> {
    // Of the thread: another one may be in another network namespace. A missing family has no sockets.
    let read = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    names.into_iter().flat_map(|name| parse(&read(name))).collect()
}

/// Ports at which others than this machine are listened to.
fn listening(sockets: &[Socket]) -> BTreeSet<u16> {
    let open = sockets.iter().filter(|socket| socket.does == Does::Listens && !socket.local.is_loopback());
    open.map(|socket| socket.port).collect()
}

fn logins(sources: &Sources) -> Vec<Login> {
    let all = [logins::read_utmp(&sources.utmp), logins::read_sessions(&sources.sessions)];
    all.into_iter().flat_map(Result::unwrap_or_default).collect()
}

/// The connections of a login: of its process where that is known and can be looked into, else all from its address to
/// ports that are listened at.
fn sessions(login: &Login, tcp: &[Socket]) -> Vec<Session> {
    let open = listening(tcp);
    let from_there = |socket: &&Socket| socket.does == Does::IsConnected && socket.remote == login.address;
    let connected: Vec<&Socket> = tcp.iter().filter(from_there).collect();
    let inodes = login.process.and_then(|process| inodes(process).ok()).unwrap_or_default();
    let own = |socket: &Socket| socket.inode != 0 && inodes.contains(&socket.inode);
    let is_certain = connected.iter().any(|socket| own(socket));
    let session = |socket: &&Socket| Session {
        user: login.user.clone(),
        address: login.address,
        port: socket.port,
        is_certain,
        interfaces: paths::interfaces(socket.local, socket.remote),
    };
    if is_certain {
        return connected.iter().filter(|socket| own(socket)).map(session).collect();
    }
    connected.iter().filter(|socket| open.contains(&socket.port)).map(session).collect()
}

/// The sockets that a process holds.
fn inodes(process: u32) -> io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        // What is closed meanwhile is held no more.
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let number = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        inodes.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// The ports that this network namespace gives sockets which ask for none.
fn given_ports() -> Option<RangeInclusive<u16>> {
    given(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn given(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_ascii_whitespace().map(str::parse);
    let (first, last) = (ports.next()?.ok()?, ports.next()?.ok()?);
    Some(first..=last)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::super::tests::{in_namespace, ip};
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0\n   \
         1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346 1 0000 100 0\n   \
         2: 0A0200C0:0016 076433C6:D431 01 00000024:00000000 01:00000014 00000000     0        0 12347 4 0000 20 4\n   \
         3: 0A0200C0:0016 076433C6:D432 06 00000000:00000000 03:00000014 00000000     0        0 0 3 0000\n";

    const TCP6: &str = "  sl  local_address                         remote_address                        st\n   \
         0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 \
         00:00000000 00000000     0        0 7 1 0000\n   \
         1: B80D0120000000000000000001000000:01BB 0000000000000000FFFF0000076433C6:9C40 01 00000000:00000000 \
         00:00000000 00000000     0        0 8 1 0000\n";

    fn ends(sockets: &[Socket]) -> Vec<(Does, String, u16, String, u64)> {
        let texts = |socket: &Socket| {
            (socket.does, socket.local.to_string(), socket.port, socket.remote.to_string(), socket.inode)
        };
        sockets.iter().map(texts).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        let text = |text: &str| text.to_owned();
        assert_eq!(
            ends(&parse(TCP)),
            [
                (Does::Listens, text("127.0.0.1"), 3_306, text("0.0.0.0"), 12_345),
                (Does::Listens, text("0.0.0.0"), 22, text("0.0.0.0"), 12_346),
                (Does::IsConnected, text("192.0.2.10"), 22, text("198.51.100.7"), 12_347),
                (Does::Other, text("192.0.2.10"), 22, text("198.51.100.7"), 0),
            ]
        );
        assert_eq!(
            ends(&parse(TCP6)),
            [
                (Does::Listens, text("::"), 443, text("::"), 7),
                (Does::IsConnected, text("2001:db8::1"), 443, text("198.51.100.7"), 8),
            ]
        );
        assert_eq!(listening(&parse(TCP)), BTreeSet::from([22]));
    }

    #[test]
    fn lines_that_are_no_sockets_are_left_out() {
        for text in [
            "",
            "sl local_address",
            "0: 0100007F:0CEA",
            "0: 0100007F:0CEA 00000000:0000 0A",
            "0: 0100007F 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 100007F:0CEA 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007G:0CEA 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: 0100007F:10CEA 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "x: 0100007F:0CEA 00000000:0000 0A 0:0 0:0 0 0 0 1",
            "0: \u{e9}\u{e9}\u{e9}\u{e9}:0CEA 00000000:0000 0A 0:0 0:0 0 0 0 1",
        ] {
            assert_eq!(parse(text), [], "{text}");
        }
    }

    #[test]
    fn the_range_of_given_ports_is_read() {
        assert_eq!(given("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(given("32768"), None);
        assert_eq!(given("a b"), None);
    }

    #[test]
    fn what_listens_and_who_is_logged_in_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let sources =
            Sources { resolvers: Vec::new(), utmp: folder.path().join("utmp"), sessions: folder.path().to_owned() };
        in_namespace(|| {
            ip("link set lo up");
            ip("address add 192.0.2.1/32 dev lo");
            let shell = TcpListener::bind("192.0.2.1:2222").unwrap();
            let web = TcpListener::bind("[::]:8080").unwrap();
            let _local = TcpListener::bind("127.0.0.1:3306").unwrap();
            let _dns = UdpSocket::bind("192.0.2.1:53").unwrap();
            let clients =
                [TcpStream::connect("192.0.2.1:2222").unwrap(), TcpStream::connect("192.0.2.1:8080").unwrap()];
            let accepted = [shell.accept().unwrap(), web.accept().unwrap()];
            let write = |leader: &str| {
                let text = format!("USER=alice\nREMOTE=1\nREMOTE_HOST=192.0.2.1\n{leader}");
                fs::write(folder.path().join("7"), text).unwrap();
            };
            let found = |here: &Here| -> Vec<(u16, bool)> {
                here.sessions.iter().map(|session| (session.port, session.is_certain)).collect()
            };
            // No process is named: every connection from there to what is listened at may be the session's.
            write("");
            let seen = here(&sources);
            assert_eq!((seen.tcp.clone(), seen.udp.clone()), (BTreeSet::from([2_222, 8_080]), BTreeSet::from([53])));
            assert_eq!(found(&seen), [(2_222, false), (8_080, false)]);
            // This process holds both ends of all of them.
            write(&format!("LEADER={}\n", std::process::id()));
            let ports = found(&here(&sources));
            assert!(ports.contains(&(2_222, true)) && ports.contains(&(8_080, true)), "{ports:?}");
            assert!(seen.given.is_some());
            drop((clients, accepted));
        });
    }
}
