//! Where a packet's bytes come from.
use zerocopy::FromBytes;

/// Highest offset at which a header is read; deeper is the `budget` verdict.
///
/// Eight usual extension headers behind four tags end far below it, and a small constant keeps the verifier's ranges small.
pub const MAX_OFFSET: u32 = 512;

/// A frame, starting at its Ethernet header.
///
/// Two implementations: the XDP context (pointer and end, compared the way the verifier follows) and a byte slice.
pub trait Frame {
    /// Bytes of the frame as XDP sees it, without FCS.
    fn len(&self) -> u32;

    /// Whether the frame holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes at `offset` as a `T` in network order, or `None` where the frame ends before or `offset` is above
    /// [`MAX_OFFSET`].
    fn read<T: FromBytes + Copy>(&self, offset: u32) -> Option<T>;
}

impl Frame for [u8] {
    fn len(&self) -> u32 {
        u32::try_from(<[u8]>::len(self)).unwrap_or(u32::MAX)
    }

    fn read<T: FromBytes + Copy>(&self, offset: u32) -> Option<T> {
        if offset > MAX_OFFSET {
            return None;
        }
        T::read_from_prefix(self.get(offset as usize..)?).ok().map(|(value, _)| value)
    }
}
