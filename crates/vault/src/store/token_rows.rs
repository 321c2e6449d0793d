//! Rows that a token's bearer reads.

use super::Tx;
use super::log_rows::Ledger;
use super::rows::number;
use super::table::{Result, Span, Table};

/// Stands unsealed in all rows of a token. Derived from the token, so that its bearer finds them.
pub type TokenId = [u8; 16];

/// The row that a bearer reads first; it binds the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewRow {
    pub token: TokenId,
    /// The vault's change that wrote it.
    pub change: u64,
    pub sealed: Vec<u8>,
}

/// One key, as a token's bearer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantRow {
    pub token: TokenId,
    pub key: [u8; 16],
    pub sealed: Vec<u8>,
}

/// How many rows a vault has in the tables of tokens, and how many ledgers besides its own, for a check that looks for
/// strays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TokenCounts {
    pub views: u64,
    pub grants: u64,
    /// Ledgers that have a head.
    pub ledgers: u64,
    /// Ledgers that have entries and no head, so that nothing tells whose they are.
    pub headless: u64,
}

impl Tx<'_> {
    pub(crate) fn view(&self, token: &TokenId) -> Result<Option<ViewRow>> {
        self.first(Table::TokenView, &["token", "change", "sealed"], &of(token), |columns| {
            Ok(ViewRow { token: columns.array()?, change: columns.unsigned()?, sealed: columns.bytes()? })
        })
    }

    pub(crate) fn put_view(&self, view: &ViewRow) -> Result<()> {
        self.put(
            Table::TokenView,
            vec![view.token.to_vec().into(), number(view.change)?.into(), view.sealed.clone().into()],
        )
    }

    /// A token's grants, ordered by the keys' ids.
    pub(crate) fn grants(&self, token: &TokenId) -> Result<Vec<GrantRow>> {
        self.list(Table::TokenGrant, &["token", "key", "sealed"], &of(token), |columns| {
            Ok(GrantRow { token: columns.array()?, key: columns.array()?, sealed: columns.bytes()? })
        })
    }

    pub(crate) fn put_grant(&self, grant: &GrantRow) -> Result<()> {
        self.put(
            Table::TokenGrant,
            vec![grant.token.to_vec().into(), grant.key.to_vec().into(), grant.sealed.clone().into()],
        )
    }

    pub(crate) fn delete_grant(&self, token: &TokenId, key_id: &[u8; 16]) -> Result<()> {
        self.delete_where(Table::TokenGrant, &of(token), &key_id.to_vec().into()).map(drop)
    }

    /// Deletes a token's view and grants: it opens nothing any more.
    pub(crate) fn delete_view(&self, token: &TokenId) -> Result<()> {
        self.delete(Table::TokenView, &of(token))?;
        self.delete(Table::TokenGrant, &of(token)).map(drop)
    }

    /// Deletes views and grants that are of none of the tokens in force, and ledgers that are not known. How many rows there
    /// were. Their columns may be anything.
    pub(crate) fn delete_other_tokens(&self, in_force: &[TokenId], known: &[Ledger]) -> Result<usize> {
        let kept = Span::except(in_force.iter().map(|token| token.to_vec()));
        let views = self.delete(Table::TokenView, &kept)? + self.delete(Table::TokenGrant, &kept)?;
        Ok(views + self.delete_other_ledgers(known)?)
    }

    /// Deletes what every token's bearer reads and wrote, and the ledgers of devices, for a rekey that seals all of it again.
    pub(crate) fn clear_tokens(&self) -> Result<()> {
        self.delete_other_tokens(&[], &[]).map(drop)
    }

    /// How many rows of tokens there are besides the records.
    pub(crate) fn token_counts(&self) -> Result<TokenCounts> {
        let [ledgers, headless] = self.count_other_ledgers()?;
        Ok(TokenCounts {
            views: self.count(Table::TokenView, &Span::All)?,
            grants: self.count(Table::TokenGrant, &Span::All)?,
            ledgers,
            headless,
        })
    }
}

fn of(token: &TokenId) -> Span {
    Span::one(token.to_vec())
}
