//! A set's header: what its signer says of it as a whole.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{Extensions, decode, encode};
use keyvault_core::crypto::{Hash, SignatureError, Signed, Signer, SignerId, SigningKey, sha256};
use keyvault_core::identity::{FORMAT, Identity};

use super::page::{By, MAX_RECORDS};
use super::{Kind, SetError, VerifiedList};
use crate::record::{Ascending, Mark, Sorted};
use crate::{ApiId, SetId};

/// A header has a lower number, as a change of the vault has.
pub const MAX_NUMBER: u64 = 1 << 62;
/// Most pages of one kind.
pub const MAX_PAGES: u32 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    pub format: u32,
    pub identity: Identity,
    pub api: ApiId,
    pub set: SetId,
    /// Rises with each header of the set. That of an owner's set is the vault's change that wrote it.
    pub number: u64,
    /// Over the pages of all kinds but names.
    pub root: Hash,
    /// Over the pages of names.
    pub names: Option<Hash>,
    pub kinds: Ascending<KindCount>,
    pub time: Moment,
    /// From then on the set is unconfirmed.
    pub fresh_until: Option<Moment>,
    pub signer: SignedBy,
    pub extensions: Extensions,
}

/// How many pages and records there are of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KindCount {
    pub kind: Kind,
    /// A power of two.
    pub pages: u32,
    pub records: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedBy {
    pub kind: SignerKind,
    pub id: SignerId,
}

/// 2 is reserved for a device, as in the state record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SignerKind {
    /// The vault's owner: the pair of the epoch.
    Epoch = 1,
    Issuer = 3,
}

/// A header and its signature, as a row has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    pub text: Vec<u8>,
    pub signature: Vec<u8>,
}

/// A header that a verifier believes. [`VerifiedHeader::of_owner`] and [`crate::issuer::accept`] make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHeader {
    header: Header,
    hash: Hash,
    by: By,
    mark: Option<Mark>,
}

/// A header whose signature verified. It may still be an old one.
pub(crate) struct Signature {
    pub(crate) header: Header,
    pub(crate) hash: Hash,
}

impl Sorted for KindCount {
    type Key = Kind;
    fn sort_key(&self) -> &Kind {
        &self.kind
    }
}

impl SignedHeader {
    #[must_use]
    pub fn sign(header: &Header, signing: &SigningKey) -> Self {
        let text = encode(header);
        let signature = signing.sign(Signed::SetHeader, &header.identity, &text);
        Self { text, signature }
    }

    /// The list of sets binds it: header and signature.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&encode(&(&self.text, &self.signature)))
    }

    /// The structure, believed by nobody yet: enough to find out which set and number a row claims to be.
    pub fn unverified(&self) -> Result<Header, SetError> {
        decode(&self.text).map_err(|_| SetError::HeaderMalformed)
    }
}

impl Header {
    #[must_use]
    pub fn count(&self, kind: Kind) -> (u32, u32) {
        self.kinds.find(&kind).map_or((0, 0), |count| (count.pages, count.records))
    }

    /// Pages are a power of two, and not many more than records need, so that a header cannot make a reader count far.
    fn is_well_formed(&self) -> bool {
        let fits = |count: &KindCount| {
            count.pages.is_power_of_two()
                && count.pages <= MAX_PAGES
                && u64::from(count.pages) <= u64::from(count.records).next_power_of_two()
                && u64::from(count.records) <= u64::from(count.pages) * MAX_RECORDS as u64
        };
        self.format == FORMAT
            && self.number < MAX_NUMBER
            && self.kinds.iter().all(fits)
            && self.names.is_some() == self.kinds.has(&Kind::Names)
    }
}

impl Signature {
    /// Decodes a header and verifies who signed it; `issuer` signs as [`SignerKind::Issuer`].
    pub(crate) fn verify(
        list: &VerifiedList,
        api: &ApiId,
        issuer: Option<&Signer>,
        signed: &SignedHeader,
    ) -> Result<Self, SetError> {
        let header = signed.unverified()?;
        let origin = list.origin();
        if header.identity != origin.identity {
            return Err(SetError::OtherVault);
        }
        if header.api != *api {
            return Err(SetError::OtherApi);
        }
        let key = match header.signer.kind {
            SignerKind::Epoch => &origin.owner,
            SignerKind::Issuer => issuer.ok_or(SetError::Origin)?,
        };
        if header.signer.id != key.id() {
            return Err(SetError::Origin);
        }
        match key.verify(Signed::SetHeader, &origin.identity, &signed.text, &signed.signature) {
            Ok(()) => {}
            Err(SignatureError::Wrong) => return Err(SetError::Origin),
            Err(SignatureError::UnknownAlgorithm) => return Err(SetError::OriginNewer),
        }
        if !header.is_well_formed() {
            return Err(SetError::HeaderMalformed);
        }
        Ok(Self { header, hash: signed.hash() })
    }
}

impl VerifiedHeader {
    /// The header of the owner's set of an API: signed by the owner, and exactly the one in the list.
    pub fn of_owner(list: &VerifiedList, api: &ApiId, signed: &SignedHeader) -> Result<Self, SetError> {
        let Signature { header, hash } = Signature::verify(list, api, None, signed)?;
        if let Some(field) = header.extensions.must_be_known() {
            return Err(SetError::HeaderNewer(field));
        }
        if list.set(&header.set).is_none_or(|listed| (listed.number, listed.header) != (header.number, hash))
        {
            return Err(SetError::NotListed);
        }
        if header.count(Kind::Api) != (1, 1) {
            return Err(SetError::Shape);
        }
        Ok(Self { header, hash, by: By::Owner, mark: None })
    }

    /// Only [`crate::issuer::accept`] calls this, once the issuer's bounds hold.
    pub(crate) fn of_issuer(verified: Signature, mark: Mark) -> Self {
        Self { header: verified.header, hash: verified.hash, by: By::Issuer, mark: Some(mark) }
    }

    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// False once the set is past the time until which its signer confirmed it.
    #[must_use]
    pub fn is_fresh(&self, now: Moment) -> bool {
        self.header.fresh_until.is_none_or(|until| now < until)
    }

    pub(super) fn by(&self) -> By {
        self.by
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        self.mark
    }
}
