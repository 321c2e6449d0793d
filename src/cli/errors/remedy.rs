//! Exit code, kind and hint for an error whose message is its `Display`.

use std::borrow::Cow;
use std::fmt::Display;

use super::{Failure, code};

#[derive(Debug)]
pub(super) struct Remedy {
    code: u8,
    kind: &'static str,
    hint: Option<Cow<'static, str>>,
}

impl Remedy {
    pub(super) fn new(code: u8, kind: &'static str, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { code, kind, hint: Some(hint.into()) }
    }

    pub(super) const fn without_hint(code: u8, kind: &'static str) -> Self {
        Self { code, kind, hint: None }
    }

    /// The failure with this message.
    pub(super) fn after(self, message: &dyn Display) -> Failure {
        let Self { code, kind, hint } = self;
        Failure { code, kind, message: message.to_string(), hint: hint.map(Cow::into_owned), quiet: false }
    }
}

pub(super) fn failed(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::FAILED, "failed", hint)
}

pub(super) fn usage(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::USAGE, "usage", hint)
}

pub(super) fn not_found(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::NOT_FOUND, "not_found", hint)
}

pub(super) fn wrong_credential(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::LOCKED, "wrong_credential", hint)
}

pub(super) fn damaged(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::DAMAGED, "damaged", hint)
}

pub(super) fn refused(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::REFUSED, "refused", hint)
}

pub(super) fn changed(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::BUSY, "changed", hint)
}

pub(super) fn busy(hint: impl Into<Cow<'static, str>>) -> Remedy {
    Remedy::new(code::BUSY, "busy", hint)
}
