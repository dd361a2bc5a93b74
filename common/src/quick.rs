//! The short way of the packets that floods are made of: an IPv4 or IPv6 header without options, extension headers,
//! fragments or tags, from a source that nothing odd is known of.
//!
//! It gives the verdict that [`crate::judge`] gives on the long way, or none: whatever it does not see to by itself is
//! left to the long way before anything is counted. The differential tests hold both against the reference.
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::abi::{Control, Slot, control_word, feature, low};
use crate::addr::{self, SourceKey};
use crate::frame::Frame;
use crate::judge::{COUNTED, LEFT, OPEN, Walk};
use crate::limit::{self, track};
use crate::lookup;
use crate::open::Open;
use crate::tables::Tables;
use crate::traffic::{self, Place};
use crate::verdict::Verdict;
use crate::walk::{self, Ipv6Header, protocol};

/// An untagged Ethernet header and an IPv4 header behind it, in words as large as what is asked of them at once.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
struct Words {
    addresses: [u8; 12],
    /// Ethertype; version and header length, type of service, total length, number.
    kind: [u8; 8],
    /// Fragment, time to live, protocol.
    rest: [u8; 4],
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

/// The same with an IPv6 header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, Immutable, KnownLayout)]
struct WordsV6 {
    addresses: [u8; 12],
    ethertype: [u8; 2],
    network: Ipv6Header,
}

/// The first two bytes of [`Words::kind`], read as they stand, of IPv6; the first three of IPv4 without options.
const KIND_V6: u64 = 0xdd86;
const KIND_V4: u64 = 0x45_0008;
/// What of [`Words::rest`] says that a packet is a fragment, or the fragment of one.
const FRAGMENT: u32 = 0xff3f;

/// What a slot may ask for that is seen to here where nothing is said about the source; all else is for [`crate::open`].
const SEEN_TO: u32 = feature::BUDGET_PASSES | feature::TRACK_SOURCES | feature::SOURCE_LIMIT;

/// The counter slot of the verdict, with [`COUNTED`] if it is counted too; [`OPEN`]; or [`LEFT`] with nothing counted.
#[inline(always)]
pub(crate) fn judge<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, walk: &mut Walk) -> u32 {
    plain(frame, tables, walk).unwrap_or(LEFT)
}

#[inline(always)]
fn plain<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, walk: &mut Walk) -> Option<u32> {
    let header = frame.read::<Words>(0)?;
    let kind = u64::from_le_bytes(header.kind);
    if kind & 0xff_ffff != KIND_V4 {
        if kind & 0xffff == KIND_V6 {
            return v6(frame, tables, walk);
        }
        return None;
    }
    let rest = u32::from_le_bytes(header.rest);
    let protocol = (rest >> 24) as u8;
    if rest & FRAGMENT != 0 || protocol == protocol::IGMP {
        return None;
    }
    let total_len = (low(kind >> 32) & 0xffff) as u16;
    let total_len = u32::from(total_len.swap_bytes());
    if total_len < walk::IPV4_LEN || total_len + walk::ETHERNET_LEN > frame.len() {
        return None;
    }
    let (source, destination) = (u32::from_le_bytes(header.source), u32::from_le_bytes(header.destination));
    // 0/8, 127/8 and 224/3 cannot be sources; and what goes to 255.255.255.255 may be essential.
    let first = source & 0xff;
    if first.wrapping_sub(1) >= 223 || first == 127 || source == destination || destination == u32::MAX {
        return None;
    }
    let (index, slot) = policy(tables)?;
    let source = source.swap_bytes();
    let value = lookup::v4(tables, index, &slot.layout, source).ok()?;
    let place = Place {
        protocol,
        offset: walk::ETHERNET_LEN + walk::IPV4_LEN,
        end: walk::ETHERNET_LEN + total_len,
        fragment: 0,
    };
    decide(frame, tables, walk, (index, slot), value, (SourceKey::v4(source), false), place)
}

#[inline(always)]
fn v6<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T, walk: &mut Walk) -> Option<u32> {
    // Read anew: the optimiser would put the address together from what was read as a header of IPv4.
    let header = frame.read::<WordsV6>(tables.hide(0))?.network;
    let end = walk::ETHERNET_LEN + walk::IPV6_LEN + u32::from(u16::from_be_bytes(header.payload_len));
    let is_plain = header.version_class >> 4 == 6
        && (header.next == protocol::TCP || header.next == protocol::UDP)
        && end <= frame.len();
    let [s, d] = [header.source, header.destination];
    let (upper, lower) = addr::halves(s);
    // From the global space only: nothing there is a bogon or essential link traffic.
    if !is_plain || upper >> 61 != 1 || s == d {
        return None;
    }
    let (index, slot) = policy(tables)?;
    let value = lookup::v6(tables, index, &slot.layout, upper, lower).ok()?;
    let offset = walk::ETHERNET_LEN + walk::IPV6_LEN;
    let place = Place { protocol: header.next, offset, end, fragment: 0 };
    decide(frame, tables, walk, (index, slot), value, (SourceKey::v6(upper), true), place)
}

/// The slot in force, if there is nothing beside it: no bypass, no overlay, no confirm.
#[inline(always)]
fn policy<T: Tables>(tables: &T) -> Option<(u32, &Slot)> {
    let control = Control::from_word(tables.control(control_word::CONTROL)?);
    if tables.control(control_word::BYPASS)? | tables.control(control_word::OVERLAY)? != 0 || control.confirm_pending()
    {
        return None;
    }
    Some((control.slot(), tables.slot(control.slot())?))
}

/// The verdict by what the tables hold.
#[inline(always)]
fn decide<F: Frame + ?Sized, T: Tables>(
    frame: &F,
    tables: &T,
    walk: &mut Walk,
    (index, slot): (u32, &Slot),
    value: u32,
    (key, is_v6): (SourceKey, bool),
    place: Place,
) -> Option<u32> {
    let bytes = u64::from(frame.len());
    walk.slot = index;
    let mut class = 0;
    if value != 0 {
        class = tables.forget_half(9, lookup::live_class(tables, index, &slot.layout, value).ok()?);
    }
    if class != 0 {
        // Who is protected, observed or limited otherwise is judged on the long way.
        let plain = tables.row(index, slot, class)?.plain;
        if plain == 0 || slot.features & feature::OBSERVE_ALL != 0 {
            return None;
        }
        let verdict = plain & 0xffff;
        walk.list = plain >> 16;
        tables.count_class(slot, index, class, bytes);
        track(tables, slot, key, bytes, verdict > Verdict::Fault.slot());
        if slot.sample_cost != 0 {
            return Some(verdict);
        }
        tables.count_verdict(verdict, bytes);
        return Some(verdict | COUNTED);
    }
    let mut own = 0;
    if slot.features & !SEEN_TO == 0 {
        own = limit::unlisted(tables, slot, key, bytes);
        if !limit::is_near(own) {
            // A place that is known beforehand, where `count_verdict` has to look one up.
            tables.with_cpu(|cpu| cpu.enforced[Verdict::Pass.slot() as usize].add(bytes));
            return Some(Verdict::Pass.slot() | COUNTED);
        }
    }
    if slot.features & feature::OBSERVE_ALL != 0 {
        return None;
    }
    let mut facts = traffic::of_network_only();
    if slot.features & feature::TRANSPORT != 0 {
        facts = traffic::facts(frame, place);
    }
    Open { slot: index, key, profile: 0, facts, start: walk::ETHERNET_LEN, is_v6, fragment: 0, own }.keep(tables);
    Some(OPEN)
}
