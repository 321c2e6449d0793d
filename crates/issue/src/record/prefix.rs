use borsh::io::{self, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// Longest prefix of a key's text, in characters.
const MAX_PREFIX: usize = 16;

/// A key's text begins with it: `kv` of `kv_live_…`. Letters, digits, and `_` inside; empty for keys that another system
/// made. It is kept in place: each of a million records has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    len: u8,
    bytes: [u8; MAX_PREFIX],
}

impl Prefix {
    pub const NONE: Self = Self { len: 0, bytes: [0; MAX_PREFIX] };

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut prefix = Self { len: u8::try_from(text.len()).ok()?, bytes: [0; MAX_PREFIX] };
        prefix.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Self::is_valid(text.as_bytes()).then_some(prefix)
    }

    fn is_valid(text: &[u8]) -> bool {
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        text.len() <= MAX_PREFIX
            && text.iter().all(inside)
            && !text.starts_with(b"_")
            && !text.ends_with(b"_")
    }

    /// The text, if it can begin a key of ours: a prefix that is not empty.
    pub(crate) fn check(text: &[u8]) -> Option<&str> {
        if text.is_empty() || !Self::is_valid(text) {
            return None;
        }
        std::str::from_utf8(text).ok()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl BorshSerialize for Prefix {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        self.as_str().serialize(writer)
    }
}

impl BorshDeserialize for Prefix {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let len = usize::try_from(u32::deserialize_reader(reader)?).map_err(|_| malformed())?;
        let mut bytes = [0; MAX_PREFIX];
        let text = bytes.get_mut(..len).ok_or_else(malformed)?;
        reader.read_exact(text)?;
        std::str::from_utf8(text).ok().and_then(Self::parse).ok_or_else(malformed)
    }
}
