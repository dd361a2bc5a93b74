//! Source addresses by number: what the generator writes into packets and what tables are filled with beside it.
//!
//! Every number has an address of its own, so "the first N" and "all but the first N" never meet, and a wrong verdict
//! cannot hide behind a collision. User space includes this file as it stands.
use zerocopy::{FromBytes, IntoBytes};

/// Numbers that have an IPv4 address: half of what may send. 10/8, 127/8, 169/8, 192/8,
/// 203/8 and all from 224/3 have none.
pub const V4_NUMBERS: u64 = 1 << 31;

/// Numbers that have an IPv6 address, all of them in `2000::/3`.
pub const V6_NUMBERS: u64 = 1 << 61;

/// Which numbers are drawn: `first`, and so many from there. One number alone makes the same source every time.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes)]
pub struct Draw {
    /// The first number.
    pub first: u64,
    /// How many; at most 2^32.
    pub count: u64,
    /// Draws so far.
    pub counter: u64,
    /// Others that are drawn in between.
    pub shares: [Share; 2],
}

/// What is drawn in between: each so-many-th number, from a set of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes)]
pub struct Share {
    /// Each so-many-th, a power of two; 0: none.
    pub each: u64,
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// The number of the draw with this counter, of whichever set it is from.
#[inline(always)]
pub fn drawn_of_all(draw: &Draw) -> u64 {
    let [one, other] = &draw.shares;
    let mut of = *draw;
    // One share takes the first of its many, the other the second.
    if one.each != 0 && draw.counter & (one.each - 1) == 0 {
        (of.first, of.count, of.counter) = (one.first, one.count, draw.counter / one.each);
    } else if other.each != 0 && draw.counter & (other.each - 1) == 1 {
        (of.first, of.count, of.counter) = (other.first, other.count, draw.counter / other.each);
    }
    drawn(&of)
}

/// The number of the draw with this counter: the counters of a whole turn of 2^32 are spread evenly, in no order that a
/// cache could follow.
#[inline(always)]
pub fn drawn(draw: &Draw) -> u64 {
    const MASK: u64 = (1 << 32) - 1;
    let mut mixed = draw.counter & MASK;
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x85eb_ca6b) & MASK;
    mixed ^= mixed >> 13;
    mixed = mixed.wrapping_mul(0xc2b2_ae35) & MASK;
    mixed ^= mixed >> 16;
    draw.first + (mixed.wrapping_mul(draw.count) >> 32)
}

/// The IPv4 address with this number, below [`V4_NUMBERS`].
#[inline(always)]
pub fn v4(number: u64) -> [u8; 4] {
    const MASK: u64 = V4_NUMBERS - 1;
    // Each step can be undone within 31 bits, so the whole is one-to-one.
    let mut mixed = number & MASK;
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x2c1b_3c6d) & MASK;
    mixed ^= mixed >> 12;
    mixed = mixed.wrapping_mul(0x297a_2d39) & MASK;
    mixed ^= mixed >> 15;
    // 128 first octets, spread over 1 to 223. What would be 127 or 169 takes the octet before it, which no other takes.
    let place = mixed >> 24;
    let octet = 1 + ((place * 7) >> 2) - u64::from(place == 72 || place == 96);
    let [_, _, _, _, address @ ..] = (octet << 24 | mixed & 0x00ff_ffff).to_be_bytes();
    address
}

/// The IPv6 address with this number, below [`V6_NUMBERS`]. No two share a /64.
#[inline(always)]
pub fn v6(number: u64) -> [u8; 16] {
    const MASK: u64 = V6_NUMBERS - 1;
    let mut upper = number & MASK;
    upper ^= upper >> 31;
    upper = upper.wrapping_mul(0xff51_afd7_ed55_8ccd) & MASK;
    upper ^= upper >> 29;
    upper = upper.wrapping_mul(0xc4ce_b9fe_1a85_ec53) & MASK;
    upper ^= upper >> 31;
    let mut lower = !number;
    lower ^= lower >> 33;
    lower = lower.wrapping_mul(0xd6e8_feb8_6659_fd93);
    lower ^= lower >> 32;
    let mut address = [0; 16];
    address[..8].copy_from_slice(&(1 << 61 | upper).to_be_bytes());
    address[8..].copy_from_slice(&lower.to_be_bytes());
    address
}
