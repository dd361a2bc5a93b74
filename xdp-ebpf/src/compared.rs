//! What others do about sources, to be measured beside: a count in the kernel's own map of the least recently used.
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::LruHashMap;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;

/// One entry unless measurements ask for more when they load it.
#[btf_map]
static LEAST_RECENT: LruHashMap<[u8; 4], u64, 1> = LruHashMap::new();

/// Where the source of an IPv4 packet lies behind an Ethernet header without tags.
const SOURCE: usize = 14 + 12;

/// Counts the packet for its source, and drops it.
#[inline(always)]
pub(crate) fn least_recent(ctx: &XdpContext) -> u32 {
    let place = ctx.data() + SOURCE;
    if place + 4 > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the place lies inside the packet.
    let source = unsafe { core::ptr::read_unaligned(place as *const [u8; 4]) };
    if let Some(count) = LEAST_RECENT.get_ptr_mut(source) {
        // SAFETY: a live map value; measurements run on one CPU.
        unsafe { *count += 1 };
    } else if LEAST_RECENT.insert(source, 1, 0).is_err() {
        return xdp_action::XDP_ABORTED;
    }
    xdp_action::XDP_DROP
}
