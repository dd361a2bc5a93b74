//! The kernel's own type format, as much of it as says that an array's keys are numbers and its values words in a struct.
//!
//! A struct, as in the object: what is none has no places for what the kernel would look for in values, and Linux 5.15 to
//! 6.2 takes arrays that differ in that for maps of different kinds.
//!
//! Source: Documentation/bpf/btf.rst of the kernel.

/// Number of the key's type.
pub(super) const KEY: u32 = 1;
/// Number of the value's type.
pub(super) const VALUE: u32 = 4;

/// Types of an array whose values are so many words.
pub(super) fn array_of_words(words: u32) -> Vec<u8> {
    const NAMES: &[u8] = b"\0u32\0u64\0words\0";
    const HEADER_LEN: u32 = 24;
    // An integer has its name's place, kind 1, bytes and bits; an array kind 3, and its element, index and length; a struct
    // kind 4 with the number of members, bytes, and each member's name, type and place.
    let integers = [[1, 1 << 24, 4, 32], [5, 1 << 24, 8, 64]].concat();
    let array = [0, 3 << 24, 0, 2, KEY, words];
    let value = [0, 4 << 24 | 1, words.saturating_mul(8), 9, 3, 0];
    let types = [integers.as_slice(), &array, &value].concat();
    let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
    let types_len = u32::try_from(types.len()).unwrap_or(u32::MAX);
    let names_len = u32::try_from(NAMES.len()).unwrap_or(u32::MAX);
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    // Version and flags, then where types and names are behind the header.
    bytes.extend([1, 0]);
    bytes.extend([HEADER_LEN, 0, types_len, types_len, names_len].into_iter().flat_map(u32::to_ne_bytes));
    bytes.extend(types);
    bytes.extend(NAMES);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::sys;

    #[test]
    fn the_kernel_takes_the_types_for_arrays_of_any_size() {
        for words in [1, 8, 18] {
            let bytes = array_of_words(words);
            sys::btf_load(&bytes).unwrap_or_else(|error| panic!("{words} words: {error}"));
            assert_eq!(bytes.len(), 24 + 4 * (4 + 4 + 6 + 6) + 15);
        }
    }
}
