//! One value for IPv4 and one for IPv6.

use crate::net::Family;
use serde::{Deserialize, Serialize};
use std::ops::{Index, IndexMut};

/// A pair of values, one per IP version.
///
/// It is used wherever both families are handled alike, so that no code depends on the order of an
/// array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PerFamily<T> {
    /// The value for IPv4.
    pub v4: T,
    /// The value for IPv6.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// Creates the pair by calling `make` once per family, IPv4 first.
    pub fn from_fn(mut make: impl FnMut(Family) -> T) -> Self {
        let v4 = make(Family::V4);
        Self { v4, v6: make(Family::V6) }
    }

    /// Returns a pair of references.
    pub fn as_ref(&self) -> PerFamily<&T> {
        PerFamily { v4: &self.v4, v6: &self.v6 }
    }

    /// Returns a pair of mutable references.
    pub fn as_mut(&mut self) -> PerFamily<&mut T> {
        PerFamily { v4: &mut self.v4, v6: &mut self.v6 }
    }

    /// Applies `derive` to both values, IPv4 first.
    pub fn map<U>(self, mut derive: impl FnMut(T) -> U) -> PerFamily<U> {
        let v4 = derive(self.v4);
        PerFamily { v4, v6: derive(self.v6) }
    }

    /// Joins two pairs into a pair of tuples.
    pub fn zip<U>(self, other: PerFamily<U>) -> PerFamily<(T, U)> {
        PerFamily { v4: (self.v4, other.v4), v6: (self.v6, other.v6) }
    }

    /// Iterates over both values by reference, IPv4 first.
    pub fn iter(&self) -> std::array::IntoIter<&T, 2> {
        [&self.v4, &self.v6].into_iter()
    }

    /// Iterates over both values by mutable reference, IPv4 first.
    pub fn iter_mut(&mut self) -> std::array::IntoIter<&mut T, 2> {
        [&mut self.v4, &mut self.v6].into_iter()
    }

    /// Iterates over both values together with their family, IPv4 first.
    pub fn with_family(self) -> std::array::IntoIter<(Family, T), 2> {
        [(Family::V4, self.v4), (Family::V6, self.v6)].into_iter()
    }
}

impl<T> Index<Family> for PerFamily<T> {
    type Output = T;

    fn index(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl<T> IndexMut<Family> for PerFamily<T> {
    fn index_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl<T> IntoIterator for PerFamily<T> {
    type Item = T;
    type IntoIter = std::array::IntoIter<T, 2>;

    fn into_iter(self) -> Self::IntoIter {
        [self.v4, self.v6].into_iter()
    }
}

impl<'a, T> IntoIterator for &'a PerFamily<T> {
    type Item = &'a T;
    type IntoIter = std::array::IntoIter<&'a T, 2>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut PerFamily<T> {
    type Item = &'a mut T;
    type IntoIter = std::array::IntoIter<&'a mut T, 2>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_stays_with_its_family() {
        let mut lengths = PerFamily::from_fn(|family| if family == Family::V4 { 32 } else { 128 });
        assert_eq!((lengths[Family::V4], lengths[Family::V6]), (32, 128));
        lengths[Family::V6] = 64;
        assert_eq!(lengths.map(|bits| bits / 8), PerFamily { v4: 4, v6: 8 });
        let pairs: Vec<_> = lengths.with_family().collect();
        assert_eq!(pairs, [(Family::V4, 32), (Family::V6, 64)]);
        assert_eq!(lengths.zip(PerFamily { v4: 'a', v6: 'b' }).v6, (64, 'b'));
    }

    #[test]
    fn every_iteration_starts_with_ipv4() {
        let mut names = PerFamily { v4: "4".to_owned(), v6: "6".to_owned() };
        assert_eq!(names.iter().collect::<Vec<_>>(), ["4", "6"]);
        for name in &mut names {
            name.insert(0, 'v');
        }
        names.as_mut().v6.push('!');
        assert_eq!(names.as_ref().map(String::len), PerFamily { v4: 2, v6: 3 });
        assert_eq!((&names).into_iter().collect::<Vec<_>>(), ["v4", "v6!"]);
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["v4", "v6!"]);
    }
}
