use borsh::io::{self, Read};
use borsh::{BorshDeserialize, BorshSerialize};

/// A kind of page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The API's record, alone on one page.
    Api = 1,
    /// Scopes and roles.
    Words = 2,
    Clients = 3,
    Keys = 4,
    Overrides = 5,
    /// Names of the owner's keys, under a key that verifiers do not have, and a root of their own.
    Names = 6,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Api, Self::Words, Self::Clients, Self::Keys, Self::Overrides, Self::Names];

    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl BorshSerialize for Kind {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        (*self as u8).serialize(writer)
    }
}

impl BorshDeserialize for Kind {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        Self::of(u8::deserialize_reader(reader)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}
