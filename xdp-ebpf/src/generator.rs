//! Programs that write a fresh source into the packet and go on to the program under test.
//!
//! The kernel's test-run repeats one packet, whose look-ups would all be answered from the cache. Loaded for
//! measurements only; what they cost is in the figure of the empty program too, run behind the same generator.
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::{Array, ProgramArray};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;

use crate::sequence::{self, Draw};

const MMAPABLE: usize = 1 << 10;

/// What is drawn, written by user space; the counter is the generator's.
#[btf_map]
static GENERATOR: Array<Draw, 1, MMAPABLE> = Array::new();
/// The program under test.
#[btf_map]
static NEXT: ProgramArray<1> = ProgramArray::new();

/// Where the source lies behind an Ethernet header without tags.
const SOURCE_V4: usize = 14 + 12;
const SOURCE_V6: usize = 14 + 8;

#[inline(always)]
fn next_number() -> Option<u64> {
    let draw = GENERATOR.get_ptr_mut(0)?;
    // SAFETY: a live map value; measurements run on one CPU, and user space writes between them.
    unsafe {
        let number = sequence::drawn_of_all(&*draw);
        (*draw).counter += 1;
        Some(number)
    }
}

/// Writes the source and leaves for the program under test; comes back only where there is none or the packet is short.
#[inline(always)]
fn send_on<const N: usize>(ctx: &XdpContext, offset: usize, source: [u8; N]) -> u32 {
    let place = ctx.data() + offset;
    if place + N > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the place lies inside the packet.
    unsafe { core::ptr::write_unaligned(place as *mut [u8; N], source) };
    // SAFETY: nothing here has anything to drop.
    unsafe { NEXT.tail_call(ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// An IPv4 packet's.
#[inline(always)]
pub(crate) fn v4(ctx: &XdpContext) -> u32 {
    let Some(number) = next_number() else { return xdp_action::XDP_ABORTED };
    send_on(ctx, SOURCE_V4, sequence::v4(number))
}

/// An IPv6 packet's.
#[inline(always)]
pub(crate) fn v6(ctx: &XdpContext) -> u32 {
    let Some(number) = next_number() else { return xdp_action::XDP_ABORTED };
    send_on(ctx, SOURCE_V6, sequence::v6(number))
}
