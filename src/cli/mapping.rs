//! `VAR=NAME` and `N=NAME`: what the command sees, and the key that it gets there.

use std::os::fd::RawFd;

use super::errors::vault::looks_like_a_value;
use keyvault_core::name::{EnvName, KeyName};
use keyvault_os::process::descriptors::FIRST;

/// Why a text is no mapping. It is shown only if its sides are names that look swapped: anything else may be a secret.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum MappingError {
    #[error("takes {form}")]
    Shape { form: &'static str, example: &'static str },
    #[error("takes {form}, and the two sides look swapped")]
    Swapped { form: &'static str, corrected: String },
    #[error("{0}")]
    Side(String),
}

/// Reads `VAR=NAME` for a file, whose path the variable holds.
pub(in crate::cli) fn to_file(text: &str) -> Result<(EnvName, KeyName), MappingError> {
    to_variable(text).map_err(|why| match why {
        MappingError::Shape { form, .. } => MappingError::Shape { form, example: "TLS_KEY=tls/key" },
        why => why,
    })
}

const VARIABLE: &str = "VAR=NAME";
const DESCRIPTOR: &str = "N=NAME";

/// Reads `VAR=NAME`.
pub(in crate::cli) fn to_variable(text: &str) -> Result<(EnvName, KeyName), MappingError> {
    to_variable_by(text, |variable| EnvName::parse(variable).map_err(|why| why.to_string()))
}

/// Reads `VAR=NAME` where fewer variables are accepted than elsewhere.
pub(in crate::cli) fn to_variable_by(
    text: &str,
    parse: impl Fn(&str) -> Result<EnvName, String>,
) -> Result<(EnvName, KeyName), MappingError> {
    let Some((variable, name)) = text.split_once('=') else {
        return Err(MappingError::Shape { form: VARIABLE, example: "DATABASE_URL=db/prod" });
    };
    let is_variable = |text: &str| EnvName::stored(text).is_ok();
    if !is_variable(variable) && is_variable(name) && is_shown_key(variable) && !looks_like_a_value(name) {
        return Err(MappingError::Swapped { form: VARIABLE, corrected: format!("{name}={variable}") });
    }
    Ok((parse(variable).map_err(MappingError::Side)?, key(name)?))
}

/// Reads `N=NAME`.
pub(in crate::cli) fn to_descriptor(text: &str) -> Result<(RawFd, KeyName), MappingError> {
    let Some((number, name)) = text.split_once('=') else {
        return Err(MappingError::Shape { form: DESCRIPTOR, example: "3=tls/key" });
    };
    let descriptor = |text: &str| text.parse().ok().filter(|number| *number >= FIRST);
    if number.parse::<RawFd>().is_err() && descriptor(name).is_some() && is_shown_key(number) {
        return Err(MappingError::Swapped { form: DESCRIPTOR, corrected: format!("{name}={number}") });
    }
    let number = descriptor(number).ok_or_else(|| {
        MappingError::Side("is not a descriptor: a number from 3 up (`--stdin NAME` is for 0)".to_owned())
    })?;
    Ok((number, key(name)?))
}

fn key(text: &str) -> Result<KeyName, MappingError> {
    KeyName::parse(text).map_err(|why| MappingError::Side(why.to_string()))
}

fn is_shown_key(text: &str) -> bool {
    KeyName::parse(text).is_ok() && !looks_like_a_value(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn corrected<T: std::fmt::Debug>(read: Result<T, MappingError>) -> Option<String> {
        match read.unwrap_err() {
            MappingError::Swapped { corrected, .. } => Some(corrected),
            MappingError::Shape { .. } | MappingError::Side(_) => None,
        }
    }

    #[test]
    fn a_mapping_is_what_the_command_sees_and_then_the_key() {
        let (variable, name) = to_variable("DATABASE_URL=db/prod").unwrap();
        assert_eq!((variable.as_str(), name.as_str()), ("DATABASE_URL", "db/prod"));
        let (number, name) = to_descriptor("3=db/prod").unwrap();
        assert_eq!((number, name.as_str()), (3, "db/prod"));
    }

    #[test]
    fn swapped_sides_are_recognized_where_only_one_order_can_be_meant() {
        assert_eq!(corrected(to_variable("db/prod=DATABASE_URL")).unwrap(), "DATABASE_URL=db/prod");
        assert_eq!(corrected(to_variable("9lives=TOKEN")).unwrap(), "TOKEN=9lives");
        assert_eq!(corrected(to_variable("db/prod=PATH")).unwrap(), "PATH=db/prod");
        assert_eq!(corrected(to_descriptor("db/prod=3")).unwrap(), "3=db/prod");
        // Neither side is a variable, or the left one is, though a refused one; or what stands there may be a secret.
        for other in ["db/prod=a/b", "PATH=a", "=a", "A=", "A", "4eC39HqLyjWDarjtT1zdp7dc=TOKEN"] {
            assert_eq!(corrected(to_variable(other)), None, "{other}");
        }
        for other in ["a=2", "2=a", "a=b", "a", "4eC39HqLyjWDarjtT1zdp7dc=3"] {
            assert_eq!(corrected(to_descriptor(other)), None, "{other}");
        }
    }
}
