//! The network of a drill: a protected host, honest clients on one of its interfaces, the flood on the other.
//!
//! The honest have an interface of their own, as a network card has several queues: a veth's ring that the flood fills
//! loses packets before XDP, and of those no filter can be blamed. On their own ring whatever of theirs does not come
//! through was refused by weir, and the driver counts it.
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use weir_common::verdict::{Action, Verdict};

use super::daemon::Daemon;
use super::place::Place;
use super::stop::Stop;
use super::under::Taken;
use crate::adapters::client::Client;
use crate::adapters::kernel::link::Mode;
use crate::adapters::system::links::{self, End};
use crate::adapters::system::netns::Namespace;
use crate::domain::drill::flood::{Target, public_v4, public_v6};
use crate::domain::drill::frame::{Link, Mac};
use crate::domain::drill::random::Random;
use crate::domain::drill::report::{ListTaken, Under};

/// The protected host's interface to the honest.
pub(super) const HONEST: &str = "drill-honest";
/// Its other end.
pub(super) const HONEST_PEER: &str = "honest";
/// The protected host's interface to the flood.
pub(super) const FLOOD: &str = "drill-flood";
/// Its other end.
pub(super) const FLOOD_PEER: &str = "flood";

/// Ethernet addresses of the interfaces.
pub(super) const HONEST_MAC: Mac = [2, 0, 0, 0, 1, 1];
pub(super) const HONEST_PEER_MAC: Mac = [2, 0, 0, 0, 1, 2];
const FLOOD_MAC: Mac = [2, 0, 0, 0, 2, 1];
const FLOOD_PEER_MAC: Mac = [2, 0, 0, 0, 2, 2];

/// The web server's port.
pub(super) const WEB: u16 = 80;

/// The protected host's address towards the flood, and the gateway there, where answers to forged sources go.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// From where connections are opened and held: all of it is the attacker's own.
const HOLDERS: Ipv4Addr = Ipv4Addr::new(198, 18, 128, 0);
const HOLDERS_LEN: u8 = 18;

/// The last byte of each honest IPv4 address beside the host's own.
const HONEST_HOSTS: [u8; 6] = [2, 3, 4, 5, 53, 254];
/// Networks that are looked at for one whose addresses the settings let through.
const CANDIDATES: usize = 400;

/// Networks of the honest: a /24 and a /64. The host is the first of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

impl Addresses {
    /// The address of a host in the /24; 1 is the protected one.
    pub(super) fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.v4.network().to_bits() | u32::from(host))
    }

    /// The address of a host in the /64.
    pub(super) fn v6(&self, host: u8) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.v6.network().to_bits() | u128::from(host))
    }
}

/// The network, the daemon in it, and what is known of its settings.
///
/// Fields go in this order: first the daemon, then what it left, then the namespaces.
#[derive(Debug)]
pub(super) struct Stage {
    _daemon: Daemon,
    pub(super) client: Client,
    _place: Place,
    /// Where weir is.
    pub(super) server: Namespace,
    /// Where the honest are.
    pub(super) honest: Namespace,
    /// Where the flood comes from.
    pub(super) attacker: Namespace,
    pub(super) addresses: Addresses,
    pub(super) under: Under,
}

impl Stage {
    /// Sets everything up, and starts the daemon.
    pub(super) fn set(name: &str, taken: &Taken, stop: &Stop) -> Result<Self> {
        let place = Place::new(name)?;
        let private = taken.private(&place)?;
        fs::write(place.config(), &private.text).context("write the drill's configuration")?;
        let store = taken.copy_store(&place.state())?;
        let namespaces = (|| Ok::<_, std::io::Error>([Namespace::new()?, Namespace::new()?, Namespace::new()?]))();
        let [server, honest, attacker] = namespaces.context("make network namespaces")?;
        wire(&server, &honest, &attacker).context("make the drill's interfaces")?;
        let (daemon, client) = Daemon::start(&place, &server, &[HONEST, FLOOD], stop)?;
        let status = client.status()?;
        let native = Mode::Native.to_string();
        if let Some(other) = status.interfaces.iter().find(|interface| interface.mode.as_ref() != Some(&native)) {
            bail!("{} is not attached in native mode, which drills count by", other.name);
        }
        let addresses = addresses(&client)?;
        give(&server, &honest, &addresses).context("give the honest their addresses")?;
        let lists = status.lists.iter().map(|list| ListTaken {
            name: list.name.clone(),
            kind: list.kind,
            entries: list.entries,
            enforcement: list.enforcement,
        });
        let under = Under {
            profile: taken.is_profile(),
            source: taken.source().to_owned(),
            left_out: private.left_out,
            store: store.map(|store| store.display().to_string()),
            lists: lists.collect(),
            problems: status.health.problems,
        };
        Ok(Self { _daemon: daemon, client, _place: place, server, honest, attacker, addresses, under })
    }

    /// Who is flooded.
    pub(super) fn target(&self) -> Target {
        Target {
            link: Link { to: FLOOD_MAC, from: FLOOD_PEER_MAC },
            v4: self.addresses.v4(1),
            v6: self.addresses.v6(1),
            web: WEB,
        }
    }

    /// An address of the attacker's own.
    pub(super) fn holder(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(HOLDERS.to_bits() + 1 + number % 0x3ffe)
    }
}

/// Makes both veth pairs, and sends what has no other way to the attacker.
fn wire(server: &Namespace, honest: &Namespace, attacker: &Namespace) -> Result<()> {
    // Before there are interfaces that would take the defaults over.
    for (namespace, settings) in [
        (server, [("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")]),
        (attacker, [("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")]),
    ] {
        namespace.inside(|| {
            for (setting, value) in settings {
                let path = format!("/proc/sys/net/{setting}");
                fs::write(&path, value).with_context(|| format!("write {path}; a drill needs IPv4 and IPv6"))?;
            }
            anyhow::Ok(())
        })?;
    }
    server.inside(|| {
        let ends = [
            (HONEST, HONEST_MAC, HONEST_PEER, HONEST_PEER_MAC, honest),
            (FLOOD, FLOOD_MAC, FLOOD_PEER, FLOOD_PEER_MAC, attacker),
        ];
        for (name, mac, peer, peer_mac, there) in ends {
            links::add_veth(End { name, mac }, End { name: peer, mac: peer_mac }, there.as_fd())?;
            links::switch_on(name)?;
        }
        links::switch_on("lo")?;
        links::add_address(FLOOD, net(OUTSIDE.into(), 24)?)?;
        anyhow::Ok(())
    })?;
    honest.inside(|| {
        links::switch_on("lo")?;
        anyhow::Ok(links::switch_on(HONEST_PEER)?)
    })?;
    attacker.inside(|| {
        links::switch_on("lo")?;
        links::add_address(FLOOD_PEER, net(GATEWAY.into(), 24)?)?;
        links::switch_on(FLOOD_PEER)?;
        links::own_network(net(HOLDERS.into(), HOLDERS_LEN)?)?;
        anyhow::Ok(links::add_default_route(OUTSIDE.into())?)
    })?;
    server.inside(|| anyhow::Ok(links::add_default_route(GATEWAY.into())?))
}

/// Gives the protected host and the honest their addresses.
fn give(server: &Namespace, honest: &Namespace, addresses: &Addresses) -> Result<()> {
    server.inside(|| {
        links::add_address(HONEST, net(addresses.v4(1).into(), 24)?)?;
        anyhow::Ok(links::add_address(HONEST, net(addresses.v6(1).into(), 64)?)?)
    })?;
    honest.inside(|| {
        for host in HONEST_HOSTS {
            links::add_address(HONEST_PEER, net(addresses.v4(host).into(), 24)?)?;
        }
        links::add_address(HONEST_PEER, net(addresses.v6(2).into(), 64)?)?;
        anyhow::Ok(links::add_address(HONEST_PEER, net(addresses.v6(254).into(), 64)?)?)
    })
}

/// Networks whose addresses the settings let through: whom the operator denies is not honest to them.
fn addresses(client: &Client) -> Result<Addresses> {
    let mut random = Random::new(1);
    let v4 = let_through(client, |candidate| {
        let network = match candidate {
            0 => Ipv4Addr::new(203, 0, 113, 0),
            1 => Ipv4Addr::new(192, 0, 2, 0),
            _ => Ipv4Addr::from_bits(public_v4(&mut random).to_bits() & !0xff),
        };
        let hosts = HONEST_HOSTS.map(|host| Ipv4Addr::from_bits(network.to_bits() | u32::from(host)).into());
        (network, hosts.to_vec())
    })?;
    let v6 = let_through(client, |candidate| {
        let network = match candidate {
            0 => Ipv6Addr::new(0x2001, 0xdb8, 0xd, 0, 0, 0, 0, 0),
            _ => Ipv6Addr::from_bits(public_v6(&mut random).to_bits() >> 64 << 64),
        };
        (network, vec![Ipv6Addr::from_bits(network.to_bits() | 2).into()])
    })?;
    Ok(Addresses { v4: Ipv4Net::new(v4, 24)?, v6: Ipv6Net::new(v6, 64)? })
}

/// The first candidate none of whose hosts is refused.
fn let_through<T>(client: &Client, mut candidate: impl FnMut(usize) -> (T, Vec<IpAddr>)) -> Result<T> {
    let mut first = None;
    for number in 0..CANDIDATES {
        let (network, hosts) = candidate(number);
        match refused(client, &hosts)? {
            None => return Ok(network),
            Some(why) => first = first.or(Some(why)),
        }
    }
    bail!("the settings refuse all {CANDIDATES} networks that were tried for the honest: {}", first.unwrap_or_default())
}

/// Why packets from one of these addresses are dropped; `None`: they are not.
fn refused(client: &Client, addresses: &[IpAddr]) -> Result<Option<String>> {
    for address in addresses {
        let explained = client.explain(*address)?;
        let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == explained.verdict);
        if verdict.is_none_or(|verdict| verdict.action() == Action::Drop) {
            return Ok(Some(format!("{address}: {}", explained.reason)));
        }
    }
    Ok(None)
}

fn net(address: IpAddr, length: u8) -> Result<IpNet> {
    Ok(IpNet::new(address, length)?)
}
