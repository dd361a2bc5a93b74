//! Addresses that no decision may deny: our own, and those without which nobody reaches us or is reached.
pub mod logins;
mod routes;

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::interfaces::{self, Interface};
use logins::Login;

/// Why an address is protected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It is an address of this interface.
    OwnAddress(String),
    /// A default route leads there.
    Gateway,
    /// The system asks it for names.
    Resolver,
    /// This user's authenticated login session comes from there.
    LoginSession(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnAddress(interface) => write!(f, "address of {interface}"),
            Self::Gateway => f.write_str("default gateway"),
            Self::Resolver => f.write_str("resolver"),
            Self::LoginSession(user) => write!(f, "login session of {user}"),
        }
    }
}

/// A protected address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// The address; never loopback, unspecified, multicast or an IPv4 address written as IPv6.
    pub address: IpAddr,
    /// Why it is protected; an address with several reasons has a fact for each.
    pub why: Why,
}

/// What was found, and what could not be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// By address, without repetitions.
    pub facts: Vec<Fact>,
    /// Each source that could not be read: which, and why. Its facts are missing.
    pub problems: Vec<String>,
}

/// Files the facts are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Files like `/etc/resolv.conf`. The first must exist; others are read where they do.
    pub resolvers: Vec<PathBuf>,
    /// The table of logins.
    pub utmp: PathBuf,
    /// logind's folder of sessions.
    pub sessions: PathBuf,
}

impl Default for Sources {
    /// The system's own files, and systemd-resolved's: where that runs, the usual file names only its local stub.
    fn default() -> Self {
        Self {
            resolvers: vec!["/etc/resolv.conf".into(), "/run/systemd/resolve/resolv.conf".into()],
            utmp: "/var/run/utmp".into(),
            sessions: "/run/systemd/sessions".into(),
        }
    }
}

/// Gathers all facts of the calling thread's network namespace, now. A source that cannot be read is a problem and
/// costs its own facts only.
pub fn gather(sources: &Sources) -> Facts {
    let mut found = Facts::default();
    match interfaces::list() {
        Ok(interfaces) => interfaces.iter().for_each(|interface| found.own(interface)),
        Err(error) => found.problems.push(with_cause(&error)),
    }
    found.gateways();
    for (at, path) in sources.resolvers.iter().enumerate() {
        found.resolvers(path, at > 0);
    }
    found.logins(sources);
    found.facts.retain(|fact| can_be_a_peer(fact.address));
    found.facts.sort();
    found.facts.dedup();
    found
}

impl Facts {
    fn add(&mut self, address: IpAddr, why: Why) {
        self.facts.push(Fact { address: address.to_canonical(), why });
    }

    fn own(&mut self, interface: &Interface) {
        for address in &interface.addresses {
            self.add(*address, Why::OwnAddress(interface.name.clone()));
        }
    }

    fn gateways(&mut self) {
        match routes::gateways() {
            Ok(gateways) => {
                for address in gateways.addresses {
                    self.add(address, Why::Gateway);
                }
                self.problems.extend(gateways.problems);
            }
            Err(error) => self.problems.push(with_cause(&error)),
        }
    }

    fn resolvers(&mut self, path: &Path, optional: bool) {
        match fs::read(path) {
            Ok(text) => {
                for address in resolvers(&String::from_utf8_lossy(&text)) {
                    self.add(address, Why::Resolver);
                }
            }
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(format!("resolvers: cannot read {}: {error}", path.display())),
        }
    }

    /// A system may keep either record of logins, or both.
    fn logins(&mut self, sources: &Sources) {
        let (mut missing, mut logins) = (0, Vec::new());
        for (path, read) in [
            (&sources.utmp, logins::read_utmp(&sources.utmp)),
            (&sources.sessions, logins::read_sessions(&sources.sessions)),
        ] {
            match read {
                Ok(found) => logins.extend(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing += 1,
                Err(error) => self.problems.push(format!("login sessions: cannot read {}: {error}", path.display())),
            }
        }
        if missing == 2 {
            self.problems.push(format!(
                "login sessions: neither {} nor {} exists, so their remote ends are not known",
                sources.utmp.display(),
                sources.sessions.display()
            ));
        }
        for Login { user, address, .. } in logins {
            self.add(address, Why::LoginSession(user));
        }
    }
}

/// The lowest local port that this network namespace gives a socket that asks for none; Linux's default where it cannot be
/// read.
pub fn lowest_given_port() -> u16 {
    const DEFAULT: u16 = 32_768;
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(DEFAULT)
}

/// The addresses of `nameserver` lines, in order. Zones (`fe80::1%eth0`) are left off; lines with anything but an
/// address are skipped, as the resolver does.
pub fn resolvers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        // resolv.conf(5): the keyword starts the line.
        let rest = line.strip_prefix("nameserver")?;
        let word = rest.starts_with([' ', '\t']).then(|| rest.split_whitespace().next())??;
        word.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(address).collect()
}

/// Whether packets from this address can come in over a wire.
fn can_be_a_peer(address: IpAddr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{in_namespace, ip};
    use super::*;

    fn text(addresses: &[IpAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nameserver_lines_are_read_as_the_resolver_reads_them() {
        let file = "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.2\nnameserver\t2001:db8::2  # x\n\
                    nameserver fe80::1%eth0\n nameserver 192.0.2.3\nnameserver\nnameserver dns.example\n\
                    nameservers 192.0.2.4\nnameserver192.0.2.5\nnameserver 192.0.2.6";
        assert_eq!(text(&resolvers(file)), ["192.0.2.2", "2001:db8::2", "fe80::1", "192.0.2.6"]);
        assert_eq!(resolvers(""), Vec::<IpAddr>::new());
    }

    #[test]
    fn facts_say_why() {
        let said = |why: Why| why.to_string();
        assert_eq!(said(Why::OwnAddress("eth0".into())), "address of eth0");
        assert_eq!(said(Why::Gateway), "default gateway");
        assert_eq!(said(Why::Resolver), "resolver");
        assert_eq!(said(Why::LoginSession("alice".into())), "login session of alice");
    }

    #[test]
    fn all_sources_come_together_without_loopback() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            resolvers: vec![folder.path().join("resolv.conf"), folder.path().join("none")],
            utmp: folder.path().join("utmp"),
            sessions: folder.path().join("sessions"),
        };
        fs::write(&sources.resolvers[0], "nameserver 127.0.0.53\nnameserver ::ffff:192.0.2.53\n").unwrap();
        fs::create_dir(&sources.sessions).unwrap();
        fs::write(sources.sessions.join("7"), "USER=alice\nREMOTE=1\nREMOTE_HOST=198.51.100.7\n").unwrap();
        in_namespace(|| {
            ip("link set lo up");
            ip("link add near type veth peer name far");
            ip("address add 192.0.2.1/24 dev near");
            ip("address add 203.0.113.1/32 dev lo");
            ip("link set far up");
            ip("link set near up");
            ip("route add default via 192.0.2.254");
            let found = gather(&sources);
            let facts: Vec<_> = found.facts.iter().map(|fact| format!("{} {}", fact.address, fact.why)).collect();
            let facts: Vec<_> = facts.iter().filter(|fact| !fact.starts_with("fe80")).collect();
            assert_eq!(found.problems, Vec::<String>::new());
            assert_eq!(
                facts,
                [
                    "192.0.2.1 address of near",
                    "192.0.2.53 resolver",
                    "192.0.2.254 default gateway",
                    "198.51.100.7 login session of alice",
                    "203.0.113.1 address of lo"
                ]
            );
        });
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_costs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            resolvers: vec![folder.path().to_path_buf()],
            utmp: folder.path().join("utmp"),
            sessions: folder.path().join("sessions"),
        };
        in_namespace(|| {
            ip("link add near type veth peer name far");
            ip("address add 192.0.2.1/24 dev near");
            let found = gather(&sources);
            assert!(found.facts.iter().any(|fact| fact.address.to_string() == "192.0.2.1"), "{found:?}");
            assert_eq!(found.problems.len(), 2, "{found:?}");
            assert!(found.problems[0].starts_with("resolvers: cannot read "), "{found:?}");
            assert!(found.problems[1].starts_with("login sessions: neither "), "{found:?}");
        });
    }
}
