//! The XDP program: reads bytes, looks up maps and returns what `weir_common::judge` says. It decides nothing.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(clippy::needless_pass_by_value, reason = "the program macro hands the context over")]

mod compared;
mod context;
mod generator;
mod maps;
#[expect(unreachable_pub, reason = "the bench on the host includes the file too")]
mod sequence;
mod sockets;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use weir_common::judge::judge;
use weir_common::verdict::Action;

// The program attached to an interface.
#[xdp]
#[inline(always)]
fn weir(ctx: XdpContext) -> u32 {
    let Some(maps) = maps::Maps::new(&ctx) else { return xdp_action::XDP_PASS };
    let judgement = judge(&context::Packet::new(&ctx), &maps);
    #[cfg(feature = "trace")]
    aya_log_ebpf::debug!(&ctx, "verdict {} list {}", judgement.verdict().slot(), judgement.list);
    match judgement.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
    }
}

// The empty program every cost is measured against.
#[xdp]
fn empty(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

// What sends the packets that a generator made.
#[xdp]
fn transmit(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

// What others do about sources, for comparison.
#[xdp]
fn least_recent(ctx: XdpContext) -> u32 {
    compared::least_recent(&ctx)
}

// The least that a look-up can be, for comparison.
#[xdp]
fn one_line(ctx: XdpContext) -> u32 {
    compared::one_line(&ctx)
}

// What stands before them when they are measured.
#[xdp]
fn generate_v4(ctx: XdpContext) -> u32 {
    generator::v4(&ctx)
}

#[xdp]
fn generate_v6(ctx: XdpContext) -> u32 {
    generator::v6(&ctx)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // An endless loop: a panic that can be reached is refused by the verifier when the program is loaded.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
