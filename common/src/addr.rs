//! Addresses as the walk carries them.

/// A packet's source address, in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// What rates are counted by: an IPv4 address, or an IPv6 /64.
///
/// IPv4 addresses live under `ffff:ffff::/32`, which as an IPv6 source is multicast and never reaches the counters,
/// so the two families cannot collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(u64);

/// What a [`SourceKey`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceNetwork {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The upper half of an IPv6 address: a /64.
    V6([u8; 8]),
}

impl Source {
    /// The key its rate is counted by.
    #[inline(always)]
    pub const fn key(self) -> SourceKey {
        match self {
            Self::V4(a) => SourceKey::v4(u32::from_be_bytes(a)),
            Self::V6(a) => SourceKey::v6(halves(a).0),
        }
    }
}

impl SourceKey {
    const V4_SPACE: u64 = 0xffff_ffff_0000_0000;

    /// The key of an IPv4 address.
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Self(Self::V4_SPACE | address as u64)
    }

    /// The key of the /64 with this upper half.
    #[inline(always)]
    pub const fn v6(upper: u64) -> Self {
        Self(upper)
    }

    /// The key as stored in the maps.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The key read from a map.
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The key of the network the source is in: its /24, its /48.
    #[must_use]
    #[inline(always)]
    pub const fn wider(self) -> Self {
        let is_v4 = self.0 >> 32 == Self::V4_SPACE >> 32;
        Self(if is_v4 { self.0 & !0xff } else { self.0 & !0xffff })
    }

    /// The address or /64 behind the key.
    pub const fn network(self) -> SourceNetwork {
        if self.0 & Self::V4_SPACE == Self::V4_SPACE {
            SourceNetwork::V4(((self.0 & 0xffff_ffff) as u32).to_be_bytes())
        } else {
            SourceNetwork::V6(self.0.to_be_bytes())
        }
    }

    /// A keyed mix, uniform over its upper bits: nobody without the seed can aim at a set.
    #[inline(always)]
    pub const fn hash(self, seed: u64) -> u32 {
        let mut h = (self.0 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 32;
        h = h.wrapping_mul(seed | 1);
        (h >> 32) as u32
    }
}

/// A keyed mix of a whole word, uniform over all bits of both halves.
#[inline(always)]
pub const fn mix(word: u64, seed: u64) -> u64 {
    let mut h = (word ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 32;
    h = h.wrapping_mul(seed | 1);
    h ^ h >> 29
}

/// The halves of an IPv6 address: network and interface.
#[inline(always)]
pub const fn halves(a: [u8; 16]) -> (u64, u64) {
    (
        u64::from_be_bytes([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]]),
        u64::from_be_bytes([a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_back_to_the_network() {
        assert_eq!(Source::V4([192, 0, 2, 7]).key().network(), SourceNetwork::V4([192, 0, 2, 7]));
        let mut v6 = [0u8; 16];
        v6[..8].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 9]);
        v6[15] = 1;
        assert_eq!(Source::V6(v6).key().network(), SourceNetwork::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 9]));
        let mut neighbour = v6;
        neighbour[15] = 2;
        assert_eq!(Source::V6(v6).key(), Source::V6(neighbour).key());
    }

    #[test]
    fn families_do_not_collide() {
        let mapped_like = [0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7, 0, 0, 0, 0];
        assert_ne!(Source::V6(mapped_like).key(), Source::V4([192, 0, 2, 7]).key());
    }
}
