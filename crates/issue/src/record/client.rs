use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::name::Label;

use super::{Conditions, Id, Mark, Record, State, is_text};
use crate::set::Kind;

/// An owner of keys. Its limits hold for all of them together, so that neither many keys nor a rotation multiplies them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Client {
    pub id: Id,
    pub state: State,
    pub name: Label,
    pub contact: Box<str>,
    pub created: Moment,
    pub conditions: Option<Box<Conditions>>,
    pub extensions: Extensions,
}

impl Record for Client {
    const KIND: Kind = Kind::Clients;
    type Key = Id;

    fn key(&self) -> Id {
        self.id
    }

    fn place(key: &Id) -> u64 {
        key.number()
    }

    fn mark(key: &Id) -> Option<Mark> {
        Some(key.mark())
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn is_valid(&self) -> bool {
        self.state.is_valid()
            && is_text(&self.contact)
            && self.conditions.as_ref().is_none_or(|conditions| conditions.is_valid())
    }
}
