//! Probes of one interface: what it is, what is attached to it, and which mode its driver can do.
use super::super::super::system::interfaces::{self, Interface};
use super::super::super::system::nic::{self, Channels, XdpFeatures};
use super::super::super::system::xdp::{self, Attached, Mode};
use super::{Probe, with_cause};

/// The largest MTU whose packets fit in a page with XDP's headroom, as most drivers reckon it.
const ONE_PAGE: u32 = 3498;

/// weir's own program.
const OWN: &str = "weir";

/// Drivers that run programs in native mode, for kernels before 6.3, which cannot be asked.
const NATIVE_DRIVERS: [&str; 18] = [
    "bnxt_en",
    "ena",
    "gve",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mlx4_en",
    "mlx5_core",
    "nfp",
    "qede",
    "sfc",
    "tun",
    "veth",
    "virtio_net",
];

/// Makes all probes of the named interface.
pub(super) fn probes(name: &str) -> Vec<Probe> {
    const NAME: &str = "interface";
    let (index, interfaces) = match (interfaces::index_of(name), interfaces::list()) {
        (Ok(index), Ok(interfaces)) => (index, interfaces),
        (Err(error), _) => return vec![Probe::unknown(NAME, format!("{name}: cannot be looked up: {error}"))],
        (_, Err(error)) => return vec![Probe::unknown(NAME, format!("{name}: {}", with_cause(&error)))],
    };
    let Some(interface) = interfaces.iter().find(|interface| Some(interface.index) == index) else {
        let names: Vec<_> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        return vec![Probe::missing(
            NAME,
            format!("{name}: no such interface in this network namespace"),
            format!("there are {}", names.join(", ")),
        )];
    };
    let driver = nic::driver(name).ok();
    vec![
        Probe::good(NAME, description(interface, driver.as_deref())),
        occupied(interface),
        native(interface, driver.as_deref(), nic::xdp_features(interface.index).ok().flatten()),
        queues(interface, nic::channels(name).ok()),
    ]
}

fn description(interface: &Interface, driver: Option<&str>) -> String {
    let state = if interface.up { "up" } else { "down" };
    format!(
        "{}: index {}, {state}, MTU {}, {}",
        interface.name,
        interface.index,
        interface.mtu,
        driver.map_or_else(|| "no driver of its own".to_owned(), |driver| format!("driver {driver}"))
    )
}

fn occupied(interface: &Interface) -> Probe {
    match xdp::attached(interface.index, super::program_name) {
        Ok(programs) => judge_programs(&interface.name, &programs),
        Err(error) => Probe::unknown("XDP attached", format!("{}: {}", interface.name, with_cause(&error))),
    }
}

fn judge_programs(interface: &str, programs: &[Attached]) -> Probe {
    const NAME: &str = "XDP attached";
    let Some(other) = programs.iter().find(|program| program.name.as_deref() != Some(OWN)) else {
        let found = programs.first().map_or_else(|| "nothing".to_owned(), |own| format!("weir's {own}"));
        return Probe::good(NAME, format!("{interface}: {found}"));
    };
    let detach = match other.mode {
        Mode::Native => "xdpdrv",
        Mode::Generic => "xdpgeneric",
        Mode::Offload => "xdpoffload",
    };
    Probe::missing(
        NAME,
        format!("{interface}: {other}, which weir never replaces"),
        format!(
            "stop what attached it (`bpftool link` and `bpftool prog show id {}` name it); if nothing holds it, \
             `ip link set dev {interface} {detach} off` takes it off",
            other.program_id
        ),
    )
}

fn native(interface: &Interface, driver: Option<&str>, features: Option<XdpFeatures>) -> Probe {
    const NAME: &str = "native mode";
    const GENERIC: &str =
        "`mode = \"auto\"` takes generic mode, which works on every interface and costs more a packet";
    let name = &interface.name;
    let known = driver.filter(|driver| NATIVE_DRIVERS.contains(driver));
    match (features, known, driver) {
        (Some(features), _, _) if !features.native() => {
            return Probe::degraded(NAME, format!("{name}: its driver does not run XDP programs"), GENERIC);
        }
        (None, None, Some(driver)) => {
            return Probe::unknown(
                NAME,
                format!("{name}: this kernel cannot be asked, and driver {driver} is not known"),
            );
        }
        (None, None, None) => {
            return Probe::degraded(NAME, format!("{name}: has no driver that could run XDP programs"), GENERIC);
        }
        (Some(_), _, _) | (None, Some(_), _) => {}
    }
    if interface.mtu > ONE_PAGE {
        return Probe::degraded(
            NAME,
            format!("{name}: its driver may refuse it with an MTU of {}, beyond one page", interface.mtu),
            format!("`ip link set dev {name} mtu {ONE_PAGE}` or less; otherwise {GENERIC}"),
        );
    }
    let how = if features.is_some() { "its driver says so" } else { "its driver is known for it; not asked" };
    Probe::good(NAME, format!("{name}: possible; {how}"))
}

fn queues(interface: &Interface, channels: Option<Channels>) -> Probe {
    const NAME: &str = "receive queues";
    let name = &interface.name;
    let Some(Channels { current, most }) = channels else {
        return Probe::good(NAME, format!("{name}: {}, as it was made", interface.receive_queues));
    };
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
    if current < most.min(cpus) {
        return Probe::degraded(
            NAME,
            format!("{name}: {current} of {most}, for {cpus} CPUs: the others judge no packets"),
            format!("`ethtool -L {name} combined {}`", most.min(cpus)),
        );
    }
    Probe::good(NAME, format!("{name}: {current} of {most}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::system::tests::{in_namespace, ip};
    use super::super::Outcome;
    use super::*;

    fn interface(mtu: u32) -> Interface {
        let addresses = Vec::new();
        Interface {
            name: "eth0".into(),
            index: 2,
            up: true,
            loopback: false,
            mtu,
            receive_queues: 1,
            master: None,
            upon: None,
            addresses,
        }
    }

    fn program(name: Option<&str>, mode: Mode) -> Attached {
        Attached { program_id: 77, name: name.map(Into::into), mode }
    }

    #[test]
    fn another_program_is_named_and_never_replaced() {
        assert_eq!(judge_programs("eth0", &[]).found, "eth0: nothing");
        let own = judge_programs("eth0", &[program(Some("weir"), Mode::Native)]);
        assert_eq!((own.outcome, own.found.as_str()), (Outcome::Good, "eth0: weir's program 77 \"weir\" (native)"));
        let other = judge_programs("eth0", &[program(Some("fw"), Mode::Generic)]);
        assert_eq!(other.outcome, Outcome::Missing);
        assert_eq!(other.found, "eth0: program 77 \"fw\" (generic), which weir never replaces");
        assert!(other.remedy.unwrap().contains("xdpgeneric off"));
        assert_eq!(judge_programs("eth0", &[program(None, Mode::Native)]).outcome, Outcome::Missing);
    }

    #[test]
    fn native_mode_is_judged_by_driver_and_mtu() {
        assert_eq!(native(&interface(1500), Some("veth"), None).outcome, Outcome::Good);
        assert_eq!(native(&interface(9000), Some("veth"), None).outcome, Outcome::Degraded);
        assert_eq!(native(&interface(1500), Some("mystery"), None).outcome, Outcome::Unknown);
        assert_eq!(native(&interface(1500), None, None).outcome, Outcome::Degraded);
    }

    #[test]
    fn too_few_queues_are_told_with_the_command() {
        let queues = |current, most| queues(&interface(1500), Some(Channels { current, most }));
        assert_eq!(queues(1, 1).outcome, Outcome::Good);
        assert_eq!(queues(4096, 4096).outcome, Outcome::Good);
        let few = queues(0, 4096);
        assert_eq!(few.outcome, Outcome::Degraded);
        assert!(few.remedy.unwrap().starts_with("`ethtool -L eth0 combined "));
    }

    #[test]
    fn a_real_pair_is_probed() {
        in_namespace(|| {
            ip("link add near mtu 1500 type veth peer name far");
            let found = probes("near");
            assert!(found[0].found.starts_with("near: index "), "{found:?}");
            assert!(found[0].found.ends_with(", down, MTU 1500, driver veth"), "{found:?}");
            assert_eq!(found[1].found, "near: nothing");
            assert_eq!(found[2].outcome, Outcome::Good, "{found:?}");
            assert_eq!(found.len(), 4);
            assert_eq!(probes("lo")[2].outcome, Outcome::Degraded);
        });
    }

    #[test]
    fn a_missing_interface_is_told_with_those_there_are() {
        in_namespace(|| {
            let found = probes("weir-none");
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].outcome, Outcome::Missing);
            assert!(found[0].remedy.as_ref().unwrap().contains("lo"), "{found:?}");
        });
    }
}
