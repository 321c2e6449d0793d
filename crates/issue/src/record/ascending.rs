use std::ops::Deref;

use borsh::io::{self, Read};
use borsh::{BorshDeserialize, BorshSerialize};

/// An element of an [`Ascending`] list, by what it is sorted.
pub trait Sorted {
    type Key: Ord + ?Sized;
    fn sort_key(&self) -> &Self::Key;
}

/// A list whose elements ascend by their keys, none twice: one set has one encoding.
///
/// A boxed slice instead of a `BTreeSet`: most lists of a record are empty or short, and a million records are read at once.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct Ascending<T>(Box<[T]>);

impl<T: Sorted> Ascending<T> {
    /// Sorts the elements; of those with one key the last remains.
    pub fn of(elements: impl IntoIterator<Item = T>) -> Self {
        let mut list: Vec<T> = elements.into_iter().collect();
        list.reverse();
        list.sort_by(|left, right| left.sort_key().cmp(right.sort_key()));
        list.dedup_by(|later, first| later.sort_key() == first.sort_key());
        Self(list.into_boxed_slice())
    }

    #[must_use]
    pub fn find(&self, key: &T::Key) -> Option<&T> {
        let at = self.0.binary_search_by(|element| element.sort_key().cmp(key)).ok()?;
        self.0.get(at)
    }

    #[must_use]
    pub fn has(&self, key: &T::Key) -> bool {
        self.find(key).is_some()
    }
}

impl<T> Default for Ascending<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> Deref for Ascending<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Sorted + BorshDeserialize> BorshDeserialize for Ascending<T> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let list = Vec::<T>::deserialize_reader(reader)?;
        if list.is_sorted_by(|left, right| left.sort_key() < right.sort_key()) {
            Ok(Self(list.into_boxed_slice()))
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

macro_rules! sorted_by_itself {
    ($($type:ty),*) => {
        $(impl Sorted for $type {
            type Key = Self;
            fn sort_key(&self) -> &Self {
                self
            }
        })*
    };
}

sorted_by_itself!(u32, u64, super::Id, super::Network);

impl Sorted for Box<str> {
    type Key = str;
    fn sort_key(&self) -> &str {
        self
    }
}

#[cfg(test)]
mod tests {
    use keyvault_core::codec::{Malformed, decode, encode};

    use super::Ascending;

    #[test]
    fn a_list_out_of_order_or_with_an_element_twice_is_refused() {
        let read = |list: &[u32]| decode::<Ascending<u32>>(&encode(list)).map(|list| list.to_vec());
        for right in [&[][..], &[7], &[1, 2, 9]] {
            assert_eq!(read(right), Ok(right.to_vec()));
        }
        for wrong in [&[1, 1][..], &[2, 1], &[1, 3, 2]] {
            assert_eq!(read(wrong), Err(Malformed), "{wrong:?}");
        }
        assert_eq!(Ascending::of([3_u32, 1, 3, 2]).to_vec(), [1, 2, 3]);
    }
}
