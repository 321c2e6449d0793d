//! Verifiers' tokens of the epoch before a rekey, which go on until a time so that verifiers change their tokens one by one.
//!
//! A former token names the former epoch's signer, so its bearer has to learn of the present one: the rekey signs a
//! succession with the pair of the epoch that it ends, and it stands behind the signed view. Everything else is signed by
//! the present signer alone, and no held key is granted.

use std::collections::BTreeMap;

use borsh::io::{self, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{SealingKey, Signed, Signer, SignerId, SigningKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::TokenName;

use super::error::TokenError;
use super::record::{Rule, TokenKind, TokenRecord};
use super::signed::{NamedSigner, SignedText};
use super::{index, regrant};
use crate::audit::{Chain, ChainMark, Seed};
use crate::error::{VaultError, is_damage};
use crate::file::open::World;
use crate::store::{Ledger, ObjectKind};
use crate::tx::object::Object;
use crate::tx::{VerifiedTx, damaged};
use crate::unlock::token::Reader;

/// The longest time that a former token goes on, in milliseconds.
pub const LONGEST: i64 = 7 * 24 * 3_600_000;

/// The signer that follows another one, and until when bearers who know only the former may learn it so.
#[derive(BorshSerialize, BorshDeserialize)]
struct Succession {
    epoch: u32,
    signer: Vec<u8>,
    ends: Moment,
    extensions: Extensions,
}

/// A succession as it stands behind a view. The fields stand in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SignedSuccession {
    former_epoch: u32,
    former_signer: Vec<u8>,
    text: Vec<u8>,
    signature: Vec<u8>,
}

/// A former token as its owner knows it. The fields stand in the order of their encoding.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct FormerToken {
    id: Vec<u8>,
    #[borsh(serialize_with = "write_record", deserialize_with = "read_record")]
    pub(crate) record: TokenRecord,
    pub(crate) proof: SignedSuccession,
    extensions: Extensions,
}

impl Object for FormerToken {
    const KIND: ObjectKind = ObjectKind::Former;

    fn name(&self) -> &[u8] {
        &self.id
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn complete(self, _: u64) -> Result<Self, Malformed> {
        let record = &self.record;
        let fits = self.id == record.id
            && record.kind == TokenKind::Verifier
            && record.rule == Rule::default()
            && record.revoked.is_none()
            && record.expires.is_some_and(|expires| self.proof.ends().is_ok_and(|ends| expires <= ends));
        record.hold_kind()?;
        if fits { Ok(self) } else { Err(Malformed) }
    }
}

fn write_record<W: Write>(record: &TokenRecord, writer: &mut W) -> io::Result<()> {
    length_of(record)?.serialize(writer)?;
    record.serialize(writer)
}

/// Reads through no buffer of its own: the record has the keys of the token.
fn read_record<R: Read>(reader: &mut R) -> io::Result<TokenRecord> {
    let length = u32::deserialize_reader(reader)?;
    let record = TokenRecord::deserialize_reader(reader)?;
    if length_of(&record)? == length { Ok(record) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A record has one encoding, so this is the length of what was read, too.
fn length_of(record: &TokenRecord) -> io::Result<u32> {
    u32::try_from(borsh::object_length(record)?).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl SignedSuccession {
    /// Signs, with the pair of the epoch of `old`, that the signer of the epoch of `new` follows until `ends`.
    pub(crate) fn sign(old: &VerifiedTx<'_>, new: &VerifiedTx<'_>, ends: Moment) -> Self {
        let signer = new.daily.signing.signer().encode();
        let extensions = Extensions::default();
        let text = codec::encode(&Succession { epoch: new.identity.epoch, signer, ends, extensions });
        Self {
            former_epoch: old.identity.epoch,
            former_signer: old.daily.signing.signer().encode(),
            signature: old.daily.signing.sign(Signed::Succession, &old.identity, &text),
            text,
        }
    }

    fn ends(&self) -> Result<Moment, Malformed> {
        codec::decode(&self.text).map(|succession: Succession| succession.ends)
    }

    /// Returns `true` if a former signer signed that this one follows it in this epoch, whenever that ends.
    pub(crate) fn leads_to(&self, present: &SigningKey, identity: &Identity) -> bool {
        let former = Signer::id_of(&self.former_signer);
        self.successor(&former, &present.signer().encode(), identity, Moment(i64::MIN)).is_ok()
    }

    /// The id of the vault's present signer, which the signer in a token, `former`, says follows it.
    pub(crate) fn successor(
        &self,
        former: &SignerId,
        present: &[u8],
        identity: &Identity,
        now: Moment,
    ) -> Result<SignerId, TokenError> {
        const WHAT: &str = "succession";
        let signed_in = Identity { epoch: self.former_epoch, ..*identity };
        let signer = NamedSigner { id: former, encoded: &self.former_signer };
        SignedText::of(&self.text, &self.signature).verify(Signed::Succession, &signer, &signed_in)?;
        let succession: Succession =
            codec::decode(&self.text).map_err(|Malformed| TokenError::NotByOwner { what: WHAT })?;
        let is_next = self.former_epoch.checked_add(1) == Some(identity.epoch);
        if !is_next || succession.epoch != identity.epoch || succession.signer != present {
            return Err(TokenError::NotByOwner { what: WHAT });
        }
        if let Some(field) = succession.extensions.must_be_known() {
            return Err(TokenError::Newer { what: format!("the succession has field {field}") });
        }
        if succession.ends <= now {
            return Err(TokenError::FormerOver { since: succession.ends });
        }
        Ok(Signer::id_of(present))
    }
}

/// Lets the verifier's token of this record go on until `ends`, by a rekey that gives its bearer another one.
pub(crate) fn go_on(
    tx: &mut VerifiedTx<'_>,
    record: &TokenRecord,
    proof: &SignedSuccession,
    ends: Moment,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let reader = Reader::from_bytes(record.reader.expose()).ok_or_else(|| damaged("token: its reader"))?;
    let first_key = SealingKey::random(world.rng)?;
    let seed = SealingKey::from_bytes(first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
    let mut record = TokenRecord {
        name: record.name.clone(),
        kind: TokenKind::Verifier,
        id: record.id,
        reader,
        first_key,
        rule: Rule::default(),
        created: record.created,
        expires: Some(record.expires.map_or(ends, |expires| expires.min(ends))),
        revoked: None,
        made_by: record.made_by.clone(),
        view: None,
        read: ChainMark::START,
        places: BTreeMap::new(),
        apis: record.apis.clone(),
        extensions: Extensions::default(),
    };
    let keys = record.keys(&tx.identity);
    let chain = Chain::rewrite(Seed::from(seed), tx.rows, &keys.audit, &tx.identity, &[], world.rng)?;
    record.read = chain.end();
    regrant::write_view(tx, &mut record, &keys, false, Some(proof), world)?;
    let former = FormerToken {
        id: record.id.to_vec(),
        record,
        proof: proof.clone(),
        extensions: Extensions::default(),
    };
    put(tx, &former, world)
}

pub(crate) fn put(
    tx: &mut VerifiedTx<'_>,
    former: &FormerToken,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let tag = tx.object_tag(ObjectKind::Former, former.name());
    let revision = tx.rows.object(ObjectKind::Former, &tag)?.map_or(0, |row| row.revision);
    tx.put_object(former, revision, world.rng)
}

/// The former tokens whose objects hold. One that does not is for a check to find, and opens nothing after the next change.
pub(crate) fn that_hold(tx: &mut VerifiedTx<'_>) -> Result<Vec<FormerToken>, VaultError> {
    if !tx.rows.has_objects(ObjectKind::Former)? {
        return Ok(Vec::new());
    }
    let mut formers = Vec::new();
    for row in tx.rows.wellformed_objects(ObjectKind::Former)? {
        match tx.verified(&row) {
            Err(error) if is_damage(&error) => {}
            former => formers.push(former?),
        }
    }
    Ok(formers)
}

/// Ends the former tokens whose time is over, and those whose verifier has no token in force under their name.
pub(crate) fn settle(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    let formers = that_hold(tx)?;
    if formers.is_empty() {
        return Ok(());
    }
    let mut in_force = index::load_all(tx)?;
    in_force.retain(|record| record.revoked.is_none());
    let now = world.now();
    let goes_on = |record: &TokenRecord| {
        !record.expired(now) && in_force.iter().any(|successor| successor.name == record.name)
    };
    let mut over = formers.iter().filter(|former| !goes_on(&former.record));
    over.try_for_each(|former| end(tx, former))
}

/// Ends every former token of this name, or of any: the present ones are replaced as well.
pub(crate) fn end_of(tx: &mut VerifiedTx<'_>, name: Option<&TokenName>) -> Result<(), VaultError> {
    let formers = that_hold(tx)?;
    let mut meant = formers.iter().filter(|former| name.is_none_or(|name| former.record.name == *name));
    meant.try_for_each(|former| end(tx, former))
}

/// Deletes everything of a former token. Its entry in the API's record is closed by the change.
fn end(tx: &mut VerifiedTx<'_>, former: &FormerToken) -> Result<(), VaultError> {
    tx.entries.moved = true;
    tx.rows.delete_view(&former.record.id)?;
    tx.rows.delete_ledger(Ledger::Token(former.record.id))?;
    let tag = tx.object_tag(ObjectKind::Former, former.name());
    tx.delete_object(ObjectKind::Former, &tag)
}
