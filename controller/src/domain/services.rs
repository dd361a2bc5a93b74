//! Names for what floods are made of: services whose answers are larger than their questions, and types of ICMP.

/// A service that answers by UDP whoever seems to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it is called.
    pub name: &'static str,
    /// The ports it answers from.
    pub ports: &'static [u16],
}

/// Services that were seen to be used for amplification (CISA alert TA14-017A and what came after it), by the ports that
/// IANA has for them.
pub const AMPLIFIERS: [Service; 21] = [
    Service { name: "qotd", ports: &[17] },
    Service { name: "chargen", ports: &[19] },
    Service { name: "dns", ports: &[53] },
    Service { name: "tftp", ports: &[69] },
    Service { name: "portmap", ports: &[111] },
    Service { name: "ntp", ports: &[123] },
    Service { name: "netbios", ports: &[137, 138] },
    Service { name: "snmp", ports: &[161] },
    Service { name: "cldap", ports: &[389] },
    Service { name: "isakmp", ports: &[500, 4500] },
    Service { name: "rip", ports: &[520] },
    Service { name: "ipmi", ports: &[623] },
    Service { name: "mssql", ports: &[1434] },
    Service { name: "ssdp", ports: &[1900] },
    Service { name: "arms", ports: &[3283] },
    Service { name: "stun", ports: &[3478] },
    Service { name: "wsd", ports: &[3702] },
    Service { name: "coap", ports: &[5683] },
    Service { name: "memcached", ports: &[11211] },
    Service { name: "jenkins", ports: &[33848] },
    Service { name: "dhcpdiscover", ports: &[37810] },
];

/// A type of ICMP by name, in both families' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpType {
    /// What it is called.
    pub name: &'static str,
    /// Its number in ICMP.
    pub v4: Option<u8>,
    /// Its number in `ICMPv6`.
    pub v6: Option<u8>,
    /// Why it cannot be denied; empty: it can.
    pub needed: &'static str,
}

const PATH_MTU: &str = "without it connections hang whose path takes smaller packets only (RFC 1191, RFC 8201)";
const ERRORS: &str = "without it connections learn of errors only by waiting (RFC 4890)";
const LINK: &str = "without it the link dies (RFC 4890)";

/// Types by IANA's registries.
pub const ICMP_TYPES: [IcmpType; 18] = [
    IcmpType { name: "echo-reply", v4: Some(0), v6: Some(129), needed: "" },
    IcmpType { name: "destination-unreachable", v4: Some(3), v6: Some(1), needed: PATH_MTU },
    IcmpType { name: "packet-too-big", v4: None, v6: Some(2), needed: PATH_MTU },
    IcmpType { name: "source-quench", v4: Some(4), v6: None, needed: "" },
    IcmpType { name: "redirect", v4: Some(5), v6: None, needed: "" },
    IcmpType { name: "echo-request", v4: Some(8), v6: Some(128), needed: "" },
    IcmpType { name: "router-advertisement", v4: Some(9), v6: None, needed: "" },
    IcmpType { name: "router-solicitation", v4: Some(10), v6: None, needed: "" },
    IcmpType { name: "time-exceeded", v4: Some(11), v6: Some(3), needed: ERRORS },
    IcmpType { name: "parameter-problem", v4: Some(12), v6: Some(4), needed: ERRORS },
    IcmpType { name: "timestamp-request", v4: Some(13), v6: None, needed: "" },
    IcmpType { name: "timestamp-reply", v4: Some(14), v6: None, needed: "" },
    IcmpType { name: "information-request", v4: Some(15), v6: None, needed: "" },
    IcmpType { name: "information-reply", v4: Some(16), v6: None, needed: "" },
    IcmpType { name: "address-mask-request", v4: Some(17), v6: None, needed: "" },
    IcmpType { name: "address-mask-reply", v4: Some(18), v6: None, needed: "" },
    IcmpType { name: "neighbour-discovery", v4: None, v6: Some(135), needed: LINK },
    IcmpType { name: "node-information-query", v4: None, v6: Some(139), needed: "" },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ports_are_each_their_own() {
        let names: BTreeSet<_> = AMPLIFIERS.iter().map(|service| service.name).collect();
        let ports: Vec<u16> = AMPLIFIERS.iter().flat_map(|service| service.ports).copied().collect();
        assert_eq!(names.len(), AMPLIFIERS.len());
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        let names: BTreeSet<_> = ICMP_TYPES.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), ICMP_TYPES.len());
        assert!(ICMP_TYPES.iter().all(|kind| kind.v4.is_some() || kind.v6.is_some()));
    }
}
