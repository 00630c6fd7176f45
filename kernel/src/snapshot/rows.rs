//! Rows that snapshots share: a copy of all of them costs a pointer each. Never lets a change of one copy show in another.

use std::iter::Map;
use std::slice;
use std::sync::Arc;

/// Rows of one kind, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<T>(Vec<Arc<T>>);

/// The rows one after the other.
pub type Iter<'a, T> = Map<slice::Iter<'a, Arc<T>>, fn(&'a Arc<T>) -> &'a T>;

/// The rows one after the other, for changing them: those that others share are copied first.
pub type IterMut<'a, T> = Map<slice::IterMut<'a, Arc<T>>, fn(&'a mut Arc<T>) -> &'a mut T>;

impl<T> Rows<T> {
    /// The rows one after the other.
    pub fn iter(&self) -> Iter<'_, T> {
        self.0.iter().map(Arc::as_ref)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a row at the end.
    pub fn push(&mut self, row: impl Into<Arc<T>>) {
        self.0.push(row.into());
    }

    /// Keeps only rows that fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&T) -> bool) {
        self.0.retain(|row| fits(row));
    }

    /// Drops them all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: Clone> Rows<T> {
    /// The rows one after the other, for changing them: those that others share are copied first.
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        self.0.iter_mut().map(Arc::make_mut)
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, R: Into<Arc<T>>> FromIterator<R> for Rows<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        Self(rows.into_iter().map(Into::into).collect())
    }
}

impl<T, R: Into<Arc<T>>> From<Vec<R>> for Rows<T> {
    fn from(rows: Vec<R>) -> Self {
        rows.into_iter().collect()
    }
}

impl<T, R: Into<Arc<T>>> Extend<R> for Rows<T> {
    fn extend<I: IntoIterator<Item = R>>(&mut self, rows: I) {
        self.0.extend(rows.into_iter().map(Into::into));
    }
}

impl<'a, T> IntoIterator for &'a Rows<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut Rows<T> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_copy_shows_in_no_other() {
        let rows: Rows<u32> = [1, 2, 3].into_iter().collect();
        let mut changed = rows.clone();
        for row in &mut changed {
            *row *= 2;
        }
        changed.retain(|row| *row != 4);
        changed.push(7);
        assert_eq!((rows.iter().sum::<u32>(), rows.len()), (6, 3));
        assert_eq!(changed, Rows::from(vec![2, 6, 7]));
    }
}
