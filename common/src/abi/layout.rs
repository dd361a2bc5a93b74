//! Where the tables of a slot are.
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

abi! {
    /// Where each table begins among the lines of a slot, and how large it is.
    ///
    /// Line 0 belongs to no table, so 0 says that a table is not there. Values found in tables are numbers in three
    /// ranges: classes, then runs of what ends, then places in [`Layout::deep`].
    #[derive(Default)]
    pub struct Layout: 96 {
        /// Keys the hashes, so that nobody can aim at a line.
        pub key: [u64; 2],
        /// Which IPv4 addresses surely are in neither of the next two tables: its first word among those of all filters.
        pub filter_v4: u32,
        /// Its words; 0: there is none, and every address may be in them.
        pub filter_v4_words: u32,
        /// IPv4 addresses, by quotient.
        pub exact_v4: u32,
        /// Its lines; 0 or at least [`super::QUOTIENT_LINES`].
        pub exact_v4_lines: u32,
        /// IPv4 addresses that the quotient table has no room for, or all of them where there is none.
        pub spill_v4: u32,
        /// Its lines without those that others link to.
        pub spill_v4_lines: u32,
        /// IPv4 ranges: a word for each chunk.
        pub direct_v4: u32,
        /// IPv6 ranges in `2000::/3`: which chunks differ from their group's background.
        pub bitmap_v6: u32,
        /// How many such chunks come before each group's: which of the words of chunks is its first.
        pub ranks_v6: u32,
        /// The values of groups' backgrounds; 0: all of them are unlisted.
        pub backgrounds_v6: u32,
        /// The words of those chunks.
        pub chunks_v6: u32,
        /// IPv6 ranges outside `2000::/3`, by the upper half of the address.
        pub elsewhere_v6: u32,
        /// Its lines.
        pub elsewhere_v6_lines: u32,
        /// Fingerprints of IPv6 addresses.
        pub exact_v6: u32,
        /// Its lines without those that others link to.
        pub exact_v6_lines: u32,
        /// The addresses themselves, by number.
        pub records_v6: u32,
        /// Ranges by the lower half of an IPv6 address: a word for each /64 that has any.
        pub deep: u32,
        /// What ends, and what holds afterwards.
        pub runs: u32,
        /// The first value that is a run's, not a class.
        pub runs_from: u32,
        /// The first value that is a place in `deep`.
        pub deep_from: u32,
    }
}
