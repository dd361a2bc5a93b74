//! No header walks around a list: whatever a denied source puts behind its address, all of it is dropped.
//!
//! The smaller sibling of the test-run's tests, through a real interface.
use weir_tests::frames::{
    Extension, MORE_FRAGMENTS, SYN, Tag, V4, V6, ethertype, icmp_echo, icmpv6, proto, tcp, udp, v6,
};
use weir_tests::harness::Site;

const DENIED: [u8; 4] = [192, 0, 2, 66];
const DENIED_V6: [u8; 16] = v6(0x2001_0db8, 0x0bad, 0x66);
const CLEAN: [u8; 4] = [198, 51, 100, 9];
const CLEAN_V6: [u8; 16] = v6(0x2001_0db8, 0x900d, 0x9);

/// Sends a frame made for each of a denied and a clean source, in both families.
#[track_caller]
fn check(site: &Site, v4: &[V4], v6: &[V6]) {
    let denied: Vec<Vec<u8>> = v4.iter().map(V4::frame).chain(v6.iter().map(V6::frame)).collect();
    let clean_v4 = v4.iter().map(|packet| V4 { source: CLEAN, ..packet.clone() }.frame());
    let clean_v6 = v6.iter().map(|packet| V6 { source: CLEAN_V6, ..packet.clone() }.frame());
    let clean: Vec<Vec<u8>> = clean_v4.chain(clean_v6).collect();
    let count = denied.len() as u64;
    assert!(count > 0);
    site.send(&denied);
    site.saw(&[("denied", count)]);
    site.send(&clean);
    site.saw(&[("pass", count)]);
}

fn site() -> Site {
    let site = Site::new("");
    site.api().block(&["192.0.2.66", "2001:db8:0:bad::/64"]);
    site
}

#[test]
fn vlan_tags_to_the_depth_of_four_hide_nobody() {
    let site = site();
    let kinds = [ethertype::DOT1Q, ethertype::DOT1AD];
    let mut stacks: Vec<Vec<Tag>> = vec![Vec::new()];
    for depth in 1..=4 {
        for mix in 0..1 << depth {
            stacks.push((0..depth).map(|at| (kinds[mix >> at & 1], 100 + u16::try_from(at).unwrap())).collect());
        }
    }
    let v4: Vec<V4> = stacks.iter().map(|tags| V4::from(DENIED).tagged(tags.clone())).collect();
    let v6: Vec<V6> = stacks.iter().map(|tags| V6::from(DENIED_V6).tagged(tags.clone())).collect();
    check(&site, &v4, &v6);
}

#[test]
fn ipv4_options_of_any_length_hide_nobody() {
    let site = site();
    let v4: Vec<V4> = (0..=10).map(|words| V4::from(DENIED).options(vec![1; words * 4])).collect();
    // Record route, timestamp, loose source route, and an option that says it is longer than the header.
    let odd: [&[u8]; 4] =
        [&[7, 7, 4, 0, 0, 0, 0, 0], &[68, 8, 5, 0, 0, 0, 0, 0], &[131, 7, 4, 192, 0, 2, 1, 0], &[148, 200, 0, 0]];
    let odd = odd.into_iter().map(|options| V4::from(DENIED).options(options));
    check(&site, &v4.into_iter().chain(odd).collect::<Vec<_>>(), &[]);
}

#[test]
fn fragments_hide_nobody() {
    let site = site();
    let offsets = [0u16, 8, 64, 1480, 8 * 8000];
    let v4: Vec<V4> = offsets
        .iter()
        .flat_map(|offset| [0, MORE_FRAGMENTS].map(|flags| V4::from(DENIED).fragment(flags, *offset)))
        .collect();
    let v6: Vec<V6> = offsets
        .iter()
        .flat_map(|offset| [false, true].map(|more| V6::from(DENIED_V6).chain([Extension::fragment(*offset, more)])))
        .collect();
    check(&site, &v4, &v6);
}

#[test]
fn extension_headers_hide_nobody() {
    let site = site();
    let one = Extension::KINDS.iter().map(|kind| V6::from(DENIED_V6).kinds(&[*kind]));
    let two = Extension::KINDS
        .iter()
        .flat_map(|first| Extension::KINDS.iter().map(|second| V6::from(DENIED_V6).kinds(&[*first, *second])));
    let eight = (1..=8).map(|depth| V6::from(DENIED_V6).kinds(&vec![proto::DESTINATION; depth]));
    let long = (0..=40).step_by(8).map(|units| V6::from(DENIED_V6).chain([Extension::plain(proto::ROUTING, units)]));
    check(&site, &[], &one.chain(two).chain(eight).chain(long).collect::<Vec<_>>());
    // What is beyond reading for others is denied by its address as well: the source comes first.
    let nine = |source| V6::from(source).kinds(&[proto::DESTINATION; 9]).frame();
    site.send(&[nine(DENIED_V6), nine(CLEAN_V6)]);
    site.saw(&[("denied", 1), ("budget", 1)]);
}

#[test]
fn no_protocol_number_hides_anybody() {
    let site = site();
    let payload = vec![0; 64];
    let v4: Vec<V4> = (0..=255).map(|protocol| V4::from(DENIED).carrying(protocol, payload.clone())).collect();
    // Of a clean source some of these would be over budget: to whom reads extension headers, zeros are one after the
    // other. The denied are judged before anything is read.
    let v6: Vec<V6> = (0..=255).map(|protocol| V6::from(DENIED_V6).carrying(protocol, payload.clone())).collect();
    let denied: Vec<Vec<u8>> = v4.iter().map(V4::frame).chain(v6.iter().map(V6::frame)).collect();
    site.send(&denied);
    site.saw(&[("denied", 512)]);
    check(&site, &v4, &[]);
}

#[test]
fn neither_ports_nor_flags_nor_icmp_hide_anybody() {
    let site = site();
    let flags = (0..=255).map(|flags| V4::from(DENIED).carrying(proto::TCP, tcp(40_000, 443, flags, b"")));
    let ports = [0, 22, 53, 67, 68, 80, 443, 546, 547, 65_535];
    let ports = ports.into_iter().flat_map(|port| {
        [udp(port, port, b""), udp(port, 443, b"weir"), tcp(port, 22, SYN, b"")]
            .map(|payload| V4::from(DENIED).carrying(if payload.len() < 20 { proto::UDP } else { proto::TCP }, payload))
    });
    let echo = [V4::from(DENIED).carrying(proto::ICMP, icmp_echo())];
    // Neighbour discovery is link traffic only where it cannot have been routed: hop limit 255.
    let icmp = (0..=255).map(|kind| V6::from(DENIED_V6).carrying(proto::ICMPV6, icmpv6(kind, 0)).hops(64));
    check(&site, &flags.chain(ports).chain(echo).collect::<Vec<_>>(), &icmp.collect::<Vec<_>>());
}
