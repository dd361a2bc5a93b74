//! What comes again and again, by number, each once, for as long as somebody uses it.
use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use ahash::AHashMap;

use super::slot;

/// The number of nothing.
pub(super) const NONE: u32 = 0;

/// Texts.
pub(super) type Texts = Dictionary<Arc<str>>;

/// Things, and how often each is used. A number that nobody uses any more is another thing's later.
#[derive(Debug)]
pub(super) struct Dictionary<T> {
    ids: AHashMap<T, u32>,
    /// The thing of number 1 is the first.
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    thing: Option<T>,
    uses: u32,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { ids: AHashMap::new(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The number of a thing that is used once more.
    pub(super) fn take<'a, Q>(&mut self, thing: &'a Q) -> u32
    where
        T: Borrow<Q> + From<&'a Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(id) = self.ids.get(thing) {
            if let Some(entry) = entry(&mut self.entries, *id) {
                entry.uses = entry.uses.saturating_add(1);
            }
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { thing: None, uses: 0 });
            u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
        });
        let thing = T::from(thing);
        if let Some(entry) = entry(&mut self.entries, id) {
            *entry = Entry { thing: Some(thing.clone()), uses: 1 };
        }
        self.ids.insert(thing, id);
        id
    }

    /// A thing is used once less.
    pub(super) fn give_back(&mut self, id: u32) {
        let Some(entry) = entry(&mut self.entries, id) else { return };
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses > 0 {
            return;
        }
        if let Some(thing) = entry.thing.take() {
            self.ids.remove(&thing);
            self.free.push(id);
        }
    }

    /// The number of a thing that somebody uses.
    pub(super) fn id<Q: Eq + Hash + ?Sized>(&self, thing: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
    {
        self.ids.get(thing).copied()
    }

    /// All things that somebody uses.
    pub(super) fn things(&self) -> impl Iterator<Item = &T> {
        self.ids.keys()
    }

    /// The thing of a number.
    pub(super) fn thing(&self, id: u32) -> Option<&T> {
        self.entries.get(slot(id).checked_sub(1)?)?.thing.as_ref()
    }

    /// Room for something by number: one more than the greatest number.
    pub(super) fn slots(&self) -> usize {
        self.entries.len() + 1
    }

    /// Closes up if not even half of all numbers are used, and says which number each has become: by the number it had.
    pub(super) fn tidy(&mut self) -> Option<Vec<u32>> {
        if self.ids.len() * 2 >= self.entries.len() {
            return None;
        }
        let mut numbers = vec![NONE; self.slots()];
        let mut kept = Vec::with_capacity(self.ids.len());
        for (entry, number) in std::mem::take(&mut self.entries).into_iter().zip(numbers.iter_mut().skip(1)) {
            let Some(id) = entry.thing.as_ref().and_then(|thing| self.ids.get_mut(thing)) else { continue };
            kept.push(entry);
            *id = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            *number = *id;
        }
        self.entries = kept;
        self.free = Vec::new();
        self.ids.shrink_to_fit();
        Some(numbers)
    }

    /// About how many bytes of memory it takes, without what its things take elsewhere.
    pub(super) fn bytes(&self) -> usize {
        self.ids.capacity() * (size_of::<(T, u32)>() + 1)
            + self.entries.capacity() * size_of::<Entry<T>>()
            + self.free.capacity() * size_of::<u32>()
    }
}

impl Texts {
    /// The number of a text that is used once more.
    pub(super) fn take_text(&mut self, text: Option<&str>) -> u32 {
        text.map_or(NONE, |text| self.take(text))
    }

    /// Calls those otherwise for which `change` says something, and says which number each has become, as two that are
    /// called alike are one: by the number it had. `None`: all are called as before.
    pub(super) fn change(&mut self, change: impl Fn(&str) -> Option<String>) -> Option<Vec<u32>> {
        let texts = self.entries.iter().zip(1..).filter_map(|(entry, id)| Some((id, entry.thing.as_ref()?)));
        let changed: Vec<(u32, Arc<str>, Arc<str>)> =
            texts.filter_map(|(id, old)| Some((id, Arc::clone(old), change(old)?.into()))).collect();
        if changed.is_empty() {
            return None;
        }
        let mut numbers: Vec<u32> = (NONE..).take(self.slots()).collect();
        for (id, old, new) in changed {
            self.ids.remove(&old);
            let other = self.ids.get(&new).copied();
            let Some(entry) = entry(&mut self.entries, id) else { continue };
            let Some(other) = other else {
                entry.thing = Some(Arc::clone(&new));
                self.ids.insert(new, id);
                continue;
            };
            let Entry { uses, .. } = std::mem::replace(entry, Entry { thing: None, uses: 0 });
            if let Some(entry) = self::entry(&mut self.entries, other) {
                entry.uses = entry.uses.saturating_add(uses);
            }
            self.free.push(id);
            if let Some(number) = numbers.get_mut(slot(id)) {
                *number = other;
            }
        }
        // What one has become may have become another itself.
        for at in 0..numbers.len() {
            let Some(mut number) = numbers.get(at).copied() else { continue };
            while let Some(next) = numbers.get(slot(number)).copied().filter(|next| *next != number) {
                number = next;
            }
            if let Some(of) = numbers.get_mut(at) {
                *of = number;
            }
        }
        Some(numbers)
    }

    /// The text of a number.
    pub(super) fn text(&self, id: u32) -> Option<String> {
        self.thing(id).map(|text| String::from(&**text))
    }

    /// About how many bytes of memory it takes, with its texts.
    pub(super) fn bytes_with_texts(&self) -> usize {
        /// What an `Arc` counts beside its text.
        const COUNTS: usize = 16;
        let texts = self.entries.iter().filter_map(|entry| entry.thing.as_ref());
        texts.map(|text| text.len() + COUNTS).sum::<usize>() + self.bytes()
    }
}

fn entry<T>(entries: &mut [Entry<T>], id: u32) -> Option<&mut Entry<T>> {
    entries.get_mut(slot(id).checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_until_nobody_uses_it() {
        let mut texts = Texts::default();
        assert_eq!(texts.take_text(None), NONE);
        let (a, b) = (texts.take("a"), texts.take("b"));
        assert_eq!((a, b, texts.take("a")), (1, 2, 1));
        assert_eq!((texts.text(a).as_deref(), texts.id("b"), texts.id("c")), (Some("a"), Some(b), None));
        texts.give_back(a);
        assert_eq!(texts.text(a).as_deref(), Some("a"));
        texts.give_back(a);
        texts.give_back(a);
        texts.give_back(NONE);
        assert_eq!((texts.text(a), texts.id("a"), texts.text(NONE)), (None, None, None));
        assert_eq!((texts.take("c"), texts.take("d")), (1, 3));
    }

    #[test]
    fn texts_that_are_called_alike_from_now_on_are_one() {
        let mut texts = Texts::default();
        let ids = ["a", "b", "c", "d", "b"].map(|text| texts.take(text));
        assert_eq!(ids, [1, 2, 3, 4, 2]);
        assert_eq!(texts.change(|_| None), None);
        // What the first becomes becomes another in its turn.
        let change = |text: &str| match text {
            "a" => Some("b".to_owned()),
            "b" => Some("c".to_owned()),
            "d" => Some("e".to_owned()),
            _ => None,
        };
        assert_eq!(texts.change(change), Some(vec![NONE, 3, 3, 3, 4]));
        assert_eq!((texts.id("a"), texts.id("b"), texts.id("c"), texts.id("e")), (None, None, Some(3), Some(4)));
        for _ in 0..3 {
            texts.give_back(3);
            assert_eq!(texts.id("c"), Some(3));
        }
        texts.give_back(3);
        assert_eq!((texts.id("c"), texts.text(4).as_deref()), (None, Some("e")));
    }

    #[test]
    fn texts_are_renumbered_where_most_are_gone() {
        let mut texts = Texts::default();
        let ids: Vec<u32> = (0..1_000).map(|number| texts.take(number.to_string().as_str())).collect();
        assert_eq!(texts.tidy(), None);
        let full = texts.bytes_with_texts();
        for id in ids.iter().filter(|id| **id != 10 && **id != 1_000) {
            texts.give_back(*id);
        }
        let numbers = texts.tidy().unwrap();
        assert_eq!((numbers.len(), numbers.iter().max(), numbers[10], numbers[1_000]), (1_001, Some(&2), 1, 2));
        assert_eq!((texts.slots(), texts.text(1).as_deref(), texts.id("999")), (3, Some("9"), Some(2)));
        assert!(texts.bytes_with_texts() * 20 < full, "{} of {full}", texts.bytes_with_texts());
        assert_eq!((texts.take("x"), texts.take("9")), (3, 1));
        texts.give_back(2);
        assert_eq!(texts.text(2), None);
        assert_eq!(texts.take("y"), 2);
    }
}
