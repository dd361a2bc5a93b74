//! Whether a local socket waits for a packet.
use core::mem::size_of;
use core::ptr::{addr_of, addr_of_mut};

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2,
};
use aya_ebpf::helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release};
use aya_ebpf::programs::XdpContext;
use weir_common::abi::low;
use weir_common::addr::Source;
use weir_common::tables::Asked;

/// The network namespace of the interface the packet arrived on.
const OWN_NAMESPACE: u64 = u64::MAX;

/// Who would take UDP from this source and port to this destination and port; see [`weir_common::tables::Tables::asked`]. `tuple` is
/// where the question is put together.
#[inline(always)]
pub(crate) fn udp(
    ctx: &XdpContext,
    tuple: *mut bpf_sock_tuple,
    source: Source,
    destination: Source,
    ports: u32,
    askers_from: u32,
) -> Asked {
    let from = ((ports >> 16) as u16).to_be();
    let to = ((ports & 0xffff) as u16).to_be();
    // SAFETY: both kinds of tuple lie inside the union, and every field of the one that is used is written.
    let size = unsafe {
        match (source, destination) {
            (Source::V4(source), Source::V4(destination)) => {
                let v4 = addr_of_mut!((*tuple).__bindgen_anon_1.ipv4);
                (*v4).saddr = u32::from_ne_bytes(source);
                (*v4).daddr = u32::from_ne_bytes(destination);
                (*v4).sport = from;
                (*v4).dport = to;
                size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>()
            }
            (Source::V6(source), Source::V6(destination)) => {
                let v6 = addr_of_mut!((*tuple).__bindgen_anon_1.ipv6);
                (*v6).saddr = words(source);
                (*v6).daddr = words(destination);
                (*v6).sport = from;
                (*v6).dport = to;
                size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2>()
            }
            _ => return Asked::Nobody,
        }
    };
    // SAFETY: the context is the program's own, the tuple as large as said.
    let socket = unsafe { bpf_sk_lookup_udp(ctx.as_ptr(), tuple, low(size as u64), OWN_NAMESPACE, 0) };
    if socket.is_null() {
        return Asked::Nobody;
    }
    // SAFETY: a socket that is held until it is released below; its fields are read once.
    let (local, remote) = unsafe {
        (core::ptr::read_volatile(addr_of!((*socket).src_port)), core::ptr::read_volatile(addr_of!((*socket).dst_port)))
    };
    // SAFETY: found above, and not used after this.
    unsafe { bpf_sk_release(socket.cast()) };
    if remote != 0 {
        Asked::ThisSender
    } else if local >= askers_from {
        Asked::AnAsker
    } else {
        Asked::AService
    }
}

/// An address as the four words that the kernel takes it for.
#[inline(always)]
const fn words(address: [u8; 16]) -> [u32; 4] {
    let a = address;
    [
        u32::from_ne_bytes([a[0], a[1], a[2], a[3]]),
        u32::from_ne_bytes([a[4], a[5], a[6], a[7]]),
        u32::from_ne_bytes([a[8], a[9], a[10], a[11]]),
        u32::from_ne_bytes([a[12], a[13], a[14], a[15]]),
    ]
}
