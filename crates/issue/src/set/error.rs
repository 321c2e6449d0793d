use keyvault_core::clock::RngError;

use super::Kind;

/// The reason why a list, a header, or a set is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("the list of sets is not the one that the state record names")]
    List,
    #[error("the list of sets is malformed")]
    ListMalformed,
    #[error("the header is malformed")]
    HeaderMalformed,
    #[error("the header has field {0}, which this version does not know")]
    HeaderNewer(u16),
    #[error("the header is of another vault or epoch")]
    OtherVault,
    #[error("the header is of another API")]
    OtherApi,
    #[error("the header names another signer, or its signature does not verify")]
    Origin,
    #[error("the header's signature has an algorithm that this version does not know")]
    OriginNewer,
    #[error("the header is not the one in the list of sets")]
    NotListed,
    #[error("the set belongs to no issuer of the API")]
    NoIssuer,
    #[error("the issuer's bounds have field {0}, which this version does not know")]
    IssuerNewer(u16),
    #[error("the issuer was taken away with its keys")]
    IssuerEnded,
    #[error("the issuer is past its end, and the header is one that nobody had seen before")]
    IssuerPast,
    #[error("the header is older than one seen before")]
    Older,
    #[error("another header with this number was seen before")]
    Forked,
    #[error("the header's number is further above the listed one than an issuer may raise it")]
    Number,
    #[error("the set has more keys than its issuer may have")]
    TooManyKeys,
    #[error("the set has more clients than its issuer may have")]
    TooManyClients,
    #[error("a set may not have pages of this kind, or not so many")]
    Shape,
    #[error("page {page} of kind {kind} is missing, or another is in its place")]
    PageMissing { kind: u8, page: u32 },
    #[error("there are more pages than the header says")]
    PageExtra,
    #[error("page {page} of kind {kind} is too long")]
    PageLong { kind: u8, page: u32 },
    #[error("page {page} of kind {kind} does not open in its place")]
    PageSeal { kind: u8, page: u32 },
    #[error("page {page} of kind {kind} is malformed")]
    PageMalformed { kind: u8, page: u32 },
    #[error("the set does not have as many records as its header says")]
    Count,
    #[error("the pages do not have the root that was signed")]
    Root,
    #[error("the pages of names do not have the root that was signed")]
    NamesRoot,
    #[error("the API's record was written by a later version")]
    ApiNewer,
    /// A delta cannot lead there.
    #[error("the set has to be loaded whole")]
    LoadWhole,
    #[error("the set uses id {0} again")]
    Reused(crate::record::Id),
}

impl SetError {
    pub(super) fn malformed(kind: Kind, page: u32) -> Self {
        Self::PageMalformed { kind: kind as u8, page }
    }
}

/// The reason why a set cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Rng(#[from] RngError),
    /// A page that was to be sealed again is not one of the set's.
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("a record breaks a rule of its kind")]
    Invalid,
    #[error("two records of one kind have one key")]
    Twice,
    #[error("a page would be too long or have too many records")]
    Full,
    #[error("there is no higher number for a header")]
    Number,
    #[error("there is no key for pages of kind {0}")]
    NoKey(u8),
    #[error("a page has a record that a later version wrote")]
    Newer,
}
