//! A packet's bytes, read the way the verifier follows.
use core::arch::asm;

use aya_ebpf::programs::XdpContext;
use weir_common::abi::low;
use weir_common::frame::{Frame, MAX_OFFSET};
use zerocopy::FromBytes;

/// The packet behind an XDP context.
pub(crate) struct Packet<'a> {
    ctx: &'a XdpContext,
    len: u32,
}

impl<'a> Packet<'a> {
    /// The packet of `ctx`.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        let mut len = (ctx.data_end() - ctx.data()) as u64;
        // Hides where the number came from: narrowed to 32 bits before the subtraction, both pointers would be spilled
        // as halves, which the verifier refuses. The frame is below 4 GiB by far.
        // SAFETY: copies a register onto itself.
        unsafe { asm!("{0} = {0}", inout(reg) len, options(nomem, nostack)) };
        Self { ctx, len: low(len) }
    }
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    fn read<T: FromBytes + Copy>(&self, offset: u32) -> Option<T> {
        if offset > MAX_OFFSET {
            return None;
        }
        let start = self.ctx.data() + offset as usize;
        // This exact form, packet pointer plus constant against the end, is what the verifier learns the bound from.
        if start + size_of::<T>() > self.ctx.data_end() {
            return None;
        }
        // SAFETY: `start..start + size_of::<T>()` lies inside the packet, and any bytes are a valid `T`.
        Some(unsafe { core::ptr::read_unaligned(start as *const T) })
    }
}
