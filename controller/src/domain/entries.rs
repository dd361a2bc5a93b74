//! Entries of one list, sorted by prefix, in pieces that copies of the list share.
//!
//! What a policy slot's tables were built from is kept as long as packets are judged by them ([`super::overlay`]), beside
//! what is desired now. A list of a million entries is not copied for that: a change copies the piece it is made in.
use std::sync::Arc;

use ipnet::IpNet;

use super::decision::EntryInfo;

/// Entries of a piece at the most: what one change copies.
const MOST: usize = 128;

/// Entries by prefix. Cloning shares the memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// None is empty; each begins behind the one before.
    pieces: Pieces,
}

#[derive(Clone, Debug, Default)]
struct Pieces(Vec<Arc<Vec<(IpNet, EntryInfo)>>>);

impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        // Where the pieces are cut makes no difference.
        self.0.iter().flat_map(|piece| piece.iter()).eq(other.0.iter().flat_map(|piece| piece.iter()))
    }
}

impl Eq for Entries {}

impl Entries {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pieces.0.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.0.is_empty()
    }

    /// The piece in which a prefix is or would be.
    fn piece_of(&self, prefix: &IpNet) -> usize {
        self.pieces.0.partition_point(|piece| piece.last().is_some_and(|(last, _)| last < prefix))
    }

    /// What stands beside a prefix.
    pub fn get(&self, prefix: &IpNet) -> Option<&EntryInfo> {
        let piece = self.pieces.0.get(self.piece_of(prefix))?;
        let at = piece.binary_search_by(|(other, _)| other.cmp(prefix)).ok()?;
        piece.get(at).map(|(_, info)| info)
    }

    /// Whether this very prefix is among them.
    pub fn contains_key(&self, prefix: &IpNet) -> bool {
        self.get(prefix).is_some()
    }

    /// Puts an entry in; gives back what stood there.
    pub fn insert(&mut self, prefix: IpNet, info: EntryInfo) -> Option<EntryInfo> {
        let at = self.piece_of(&prefix);
        let pieces = &mut self.pieces.0;
        // Behind the last of all: into the last piece while it has room, so that what comes in order fills each.
        let is_behind = at == pieces.len();
        let at = if is_behind { at.saturating_sub(1) } else { at };
        let Some(piece) = pieces.get_mut(at).filter(|piece| !is_behind || piece.len() < MOST) else {
            pieces.push(Arc::new(vec![(prefix, info)]));
            return None;
        };
        let piece = Arc::make_mut(piece);
        match piece.binary_search_by(|(other, _)| other.cmp(&prefix)) {
            Ok(found) => piece.get_mut(found).map(|(_, old)| std::mem::replace(old, info)),
            Err(place) => {
                piece.insert(place, (prefix, info));
                if piece.len() > MOST {
                    let upper = piece.split_off(MOST / 2);
                    pieces.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, prefix: &IpNet) -> Option<EntryInfo> {
        let at = self.piece_of(prefix);
        let pieces = &mut self.pieces.0;
        let piece = pieces.get_mut(at)?;
        let place = piece.binary_search_by(|(other, _)| other.cmp(prefix)).ok()?;
        let (_, info) = Arc::make_mut(piece).remove(place);
        let left = piece.len();
        if left == 0 {
            pieces.remove(at);
        } else if left < MOST / 4
            && let Some(next) = pieces.get(at + 1).filter(|next| next.len() < MOST / 2).cloned()
            && let Some(piece) = pieces.get_mut(at)
        {
            Arc::make_mut(piece).extend(next.iter().cloned());
            pieces.remove(at + 1);
        }
        Some(info)
    }

    /// Keeps those of which this is true. What has nothing to lose stays shared.
    pub fn retain(&mut self, mut keep: impl FnMut(&IpNet, &EntryInfo) -> bool) {
        for piece in &mut self.pieces.0 {
            let gone: Vec<IpNet> =
                piece.iter().filter(|(prefix, info)| !keep(prefix, info)).map(|(prefix, _)| *prefix).collect();
            if !gone.is_empty() {
                Arc::make_mut(piece).retain(|(prefix, _)| gone.binary_search(prefix).is_err());
            }
        }
        self.pieces.0.retain(|piece| !piece.is_empty());
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&IpNet, &EntryInfo)> {
        self.pieces.0.iter().flat_map(|piece| piece.iter()).map(|(prefix, info)| (prefix, info))
    }

    /// Those at or behind a prefix, in order.
    pub fn starting_at(&self, prefix: IpNet) -> impl Iterator<Item = (&IpNet, &EntryInfo)> {
        let pieces = self.pieces.0.get(self.piece_of(&prefix)..).unwrap_or_default();
        let entries = pieces.iter().flat_map(|piece| piece.iter());
        entries.map(|(prefix, info)| (prefix, info)).skip_while(move |(other, _)| **other < prefix)
    }

    /// Their prefixes, in order.
    pub fn keys(&self) -> impl Iterator<Item = &IpNet> {
        self.iter().map(|(prefix, _)| prefix)
    }

    /// What stands beside them, in order of the prefixes.
    pub fn values(&self) -> impl Iterator<Item = &EntryInfo> {
        self.iter().map(|(_, info)| info)
    }
}

impl Extend<(IpNet, EntryInfo)> for Entries {
    fn extend<I: IntoIterator<Item = (IpNet, EntryInfo)>>(&mut self, entries: I) {
        for (prefix, info) in entries {
            self.insert(prefix, info);
        }
    }
}

impl FromIterator<(IpNet, EntryInfo)> for Entries {
    fn from_iter<I: IntoIterator<Item = (IpNet, EntryInfo)>>(entries: I) -> Self {
        let mut all = Self::new();
        all.extend(entries);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::decision::Enforcement;

    fn info(sequence: u64) -> EntryInfo {
        EntryInfo {
            reason: Arc::from(""),
            added_at: Timestamp::UNIX_EPOCH,
            expiry: None,
            enforcement: Enforcement::Enforce,
            forced: false,
            sequence,
        }
    }

    fn net(number: u16) -> IpNet {
        let [high, low] = number.to_be_bytes();
        IpNet::new(std::net::IpAddr::from([192, 0, high, low]), 32).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_a_sorted_map_and_a_copy_does_not_change(
            steps in proptest::collection::vec((0u16..600, 0u8..10), 1..1_500), copy_at in 0usize..1_500,
        ) {
            let (mut entries, mut naive) = (Entries::new(), BTreeMap::new());
            let mut copies = None;
            for (at, (number, what)) in steps.into_iter().enumerate() {
                if at == copy_at {
                    copies = Some((entries.clone(), naive.clone()));
                }
                let (prefix, sequence) = (net(number), at as u64);
                match what {
                    0..6 => prop_assert_eq!(entries.insert(prefix, info(sequence)), naive.insert(prefix, info(sequence))),
                    6..9 => prop_assert_eq!(entries.remove(&prefix), naive.remove(&prefix)),
                    _ => {
                        entries.retain(|_, info| info.sequence % 7 != u64::from(number % 7));
                        naive.retain(|_, info| info.sequence % 7 != u64::from(number % 7));
                    }
                }
                prop_assert_eq!(entries.get(&prefix), naive.get(&prefix));
                prop_assert_eq!((entries.len(), entries.is_empty()), (naive.len(), naive.is_empty()));
            }
            for (entries, naive) in [(entries, naive)].into_iter().chain(copies) {
                prop_assert!(entries.iter().eq(naive.iter()));
                for number in (0..600).step_by(37) {
                    prop_assert!(entries.starting_at(net(number)).eq(naive.range(net(number)..)));
                }
                prop_assert!(entries.pieces.0.iter().all(|piece| (1..=MOST).contains(&piece.len())));
            }
        }
    }

    #[test]
    fn what_a_change_does_not_touch_stays_shared() {
        let mut entries: Entries = (0..10_000).map(|number| (net(number), info(1))).collect();
        assert_eq!(entries.pieces.0.len(), 10_000_usize.div_ceil(MOST), "what comes in order fills each piece");
        let copy = entries.clone();
        entries.insert(net(5_000), info(2));
        entries.remove(&net(7_000));
        entries.retain(|prefix, _| *prefix != net(9_000));
        let shared =
            entries.pieces.0.iter().filter(|piece| copy.pieces.0.iter().any(|other| Arc::ptr_eq(piece, other)));
        assert_eq!(shared.count(), copy.pieces.0.len() - 3);
        assert_eq!((copy.len(), entries.len()), (10_000, 9_998));
    }
}
