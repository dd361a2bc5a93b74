//! What is measured beside: what others do about sources, a count in the kernel's own map of the least recently used; and
//! the least that a look-up in weir's own tables can be, one read of one line.
use core::arch::asm;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::{Array, LruHashMap};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use weir_common::abi::low;

use crate::maps;

/// One entry unless measurements ask for more when they load it.
#[btf_map]
static LEAST_RECENT: LruHashMap<[u8; 4], u64, 1> = LruHashMap::new();

/// How one line is read, written by user space: steps of ten instructions besides, the slot, its first line that may be
/// read and how many there are.
#[btf_map]
static ONE_LINE: Array<[u64; 4], 1, { 1 << 10 }> = Array::new();

/// Most steps.
const STEPS: u64 = 63;

/// Where the source of an IPv4 packet lies behind an Ethernet header without tags.
const SOURCE: usize = 14 + 12;

/// Counts the packet for its source, and drops it.
#[inline(always)]
pub(crate) fn least_recent(ctx: &XdpContext) -> u32 {
    let Some(source) = source(ctx) else { return xdp_action::XDP_ABORTED };
    if let Some(count) = LEAST_RECENT.get_ptr_mut(source) {
        // SAFETY: a live map value; measurements run on one CPU.
        unsafe { *count += 1 };
    } else if LEAST_RECENT.insert(source, 1, 0).is_err() {
        return xdp_action::XDP_ABORTED;
    }
    xdp_action::XDP_DROP
}

/// Reads the line that the source's mix leads to, whatever it holds, and drops; and does so many steps of arithmetic that
/// wait for nothing.
#[inline(always)]
pub(crate) fn one_line(ctx: &XdpContext) -> u32 {
    let Some(source) = source(ctx) else { return xdp_action::XDP_ABORTED };
    let Some([steps, slot, first, lines]) = ONE_LINE.get(0) else { return xdp_action::XDP_ABORTED };
    let mixed = u64::from(u32::from_ne_bytes(source).wrapping_mul(0x9e37_79b1));
    let line = first + ((mixed * (lines & 0xffff_ffff)) >> 32);
    let Some(word) = maps::word_of_line(low(*slot), low(line)) else { return xdp_action::XDP_ABORTED };
    let mut left = steps & STEPS;
    while left > 0 {
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!("{0} += 1", "{1} += 1", "{0} += 1", "{1} += 1", "{0} += 1", "{1} += 1",
                inout(reg) left => _, inout(reg) left => _, options(nomem, nostack));
        }
        left -= 1;
    }
    // So that the read is not left out; no line holds this.
    if word == u64::MAX - 1 { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

#[inline(always)]
fn source(ctx: &XdpContext) -> Option<[u8; 4]> {
    let place = ctx.data() + SOURCE;
    if place + 4 > ctx.data_end() {
        return None;
    }
    // SAFETY: the place lies inside the packet.
    Some(unsafe { core::ptr::read_unaligned(place as *const [u8; 4]) })
}
