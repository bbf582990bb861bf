//! Lists in order of arrival, linked through the entries of a slab themselves: append and take out
//! in constant time, without memory of their own.

use slab::Slab;

const NONE: u32 = u32::MAX;

/// An entry's place in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    older: u32,
    newer: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self { older: NONE, newer: NONE };
}

/// What can be in a list, in one at a time.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// Entries of a slab, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, len: 0 }
    }
}

impl List {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.len > 0).then_some(self.oldest)
    }

    /// Appends an entry that is in no list.
    pub(crate) fn push<T: Linked>(&mut self, entries: &mut Slab<T>, index: u32) {
        let Some(entry) = entries.get_mut(index as usize) else { return };
        *entry.links() = Links { older: self.newest, newer: NONE };
        match entries.get_mut(self.newest as usize) {
            Some(newest) => newest.links().newer = index,
            None => self.oldest = index,
        }
        self.newest = index;
        self.len += 1;
    }

    /// Takes out an entry that is in this list.
    pub(crate) fn remove<T: Linked>(&mut self, entries: &mut Slab<T>, index: u32) {
        let Some(entry) = entries.get_mut(index as usize) else { return };
        let Links { older, newer } = std::mem::replace(entry.links(), Links::NONE);
        match entries.get_mut(older as usize) {
            Some(older) => older.links().newer = newer,
            None => self.oldest = newer,
        }
        match entries.get_mut(newer as usize) {
            Some(newer) => newer.links().older = older,
            None => self.newest = older,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Linked for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    proptest! {
        #[test]
        fn entries_stay_in_the_order_they_came(steps in prop::collection::vec(0..9usize, 0..100)) {
            let (mut entries, mut list, mut model) = (Slab::new(), List::default(), Vec::<u32>::new());
            for step in steps {
                if step < model.len() {
                    let index = model.remove(step);
                    list.remove(&mut entries, index);
                    entries.remove(index as usize);
                } else {
                    let index = entries.insert(Links::NONE) as u32;
                    list.push(&mut entries, index);
                    model.push(index);
                }
                prop_assert_eq!((list.len(), list.oldest()), (model.len(), model.first().copied()));
            }
        }
    }
}
