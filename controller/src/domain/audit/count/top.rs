//! The first few of many.
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the order goes by, the greatest in front.
pub(super) type Key = (u64, u64, u32);

/// Those with the greatest keys, so many of them. Keys are all different.
pub(super) struct Top<T> {
    most: usize,
    /// The last key, where there is no room for another.
    floor: Option<Key>,
    kept: BinaryHeap<Reverse<(Key, T)>>,
}

impl<T: Ord> Top<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, floor: None, kept: BinaryHeap::new() }
    }

    /// Whether one with this key would be among them now.
    pub(super) fn takes(&self, key: Key) -> bool {
        self.floor.is_none_or(|floor| key > floor) && self.most > 0
    }

    pub(super) fn offer(&mut self, key: Key, item: T) {
        // Nearly all of many are none of the first few: that is to be known at once.
        if !self.takes(key) {
            return;
        }
        if self.kept.len() == self.most {
            self.kept.pop();
        }
        self.kept.push(Reverse((key, item)));
        if self.kept.len() == self.most {
            self.floor = self.kept.peek().map(|Reverse((key, _))| *key);
        }
    }

    /// The one with the greatest key in front.
    pub(super) fn into_sorted(self) -> Vec<T> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse((_, item))| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_are_those_that_sorting_puts_in_front(numbers in prop::collection::vec(any::<u64>(), 0..50), most in 0..60_usize) {
            let mut top = Top::new(most);
            for number in &numbers {
                top.offer((*number, 0, 0), *number);
            }
            let mut sorted = numbers;
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            sorted.truncate(most);
            prop_assert_eq!(top.into_sorted(), sorted);
        }
    }
}
