//! Names, parsed once and trusted from then on: of keys, scopes, tags and variables.
//!
//! All are ASCII by grammar, so no escape code, right-to-left mark or homoglyph can stand in one.

pub mod refused;
pub mod similar;

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize, io};

use crate::codec;

/// The longest name of a key, a scope or a tag, in bytes.
pub const MAX_NAME: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    /// More than [`MAX_NAME`] bytes.
    #[error("is longer than 128 bytes")]
    TooLong,
    /// A character outside the grammar, or an empty segment, or one that begins with `.` or `-`.
    #[error(
        "is not a valid name (letters, digits, _ . - in parts joined by /; scopes also :; no part starts with . or -)"
    )]
    Grammar,
    /// No name of a variable.
    #[error("is not a valid variable (letters, digits, _ . -; the first is a letter or _)")]
    Variable,
    /// A variable that makes programs run or load code.
    #[error("is a variable that makes programs run or load code")]
    RunsCode,
    /// A variable of keyvault itself.
    #[error("is a variable that keyvault itself uses")]
    Reserved,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $check:expr, $stored:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
        pub struct $type(String);

        impl $type {
            /// Checks the grammar.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl BorshDeserialize for $type {
            fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
                codec::read_short::<MAX_NAME, _, _, _>(reader, $stored)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

name_type!(
    /// A key's name: `seg(/seg)*`, seg `[A-Za-z0-9_][A-Za-z0-9._-]*`, at most 128 bytes, case-sensitive.
    KeyName,
    |text| segments(text, false),
    Self::parse
);
name_type!(
    /// A scope: a key name's grammar, with `:` allowed after a segment's first character.
    Scope,
    |text| segments(text, true),
    Self::parse
);
name_type!(
    /// A token's name: a key name's grammar.
    TokenName,
    |text| segments(text, false),
    Self::parse
);
name_type!(
    /// A name that an API's sets give to a client, a role, or a limit: a key name's grammar.
    Label,
    |text| segments(text, false),
    Self::parse
);
name_type!(
    /// The key of a tag: a key name's grammar.
    TagKey,
    |text| segments(text, false),
    Self::parse
);
name_type!(
    /// An environment variable: `[A-Za-z_][A-Za-z0-9_.-]*`, at most 128 bytes, and none that runs code.
    ///
    /// Dots and dashes are allowed because dotenv files have them; see [`EnvName::readable_by_shells`].
    EnvName,
    variable,
    Self::stored
);

impl KeyName {
    /// The variable a key gets when none is given: its name in upper case with `_` for `/ . -`, and `_` before a
    /// leading digit.
    pub fn default_variable(&self) -> Result<EnvName, NameError> {
        let mut variable: String = self
            .0
            .chars()
            .map(|c| if matches!(c, '/' | '.' | '-') { '_' } else { c.to_ascii_uppercase() })
            .collect();
        if variable.starts_with(|c: char| c.is_ascii_digit()) {
            variable.insert(0, '_');
        }
        EnvName::parse(&variable)
    }
}

impl EnvName {
    /// A variable that is in the vault already: the grammar only. What runs code is judged again when it is handed
    /// out, because that list grows and an old vault must still open.
    pub fn stored(text: &str) -> Result<Self, NameError> {
        variable_grammar(text).map(|()| Self(text.to_owned()))
    }

    /// Returns `true` if a shell can read the variable: no dot or dash in it.
    #[must_use]
    pub fn readable_by_shells(&self) -> bool {
        !self.0.contains(['.', '-'])
    }
}

fn segments(text: &str, colon: bool) -> Result<(), NameError> {
    length(text)?;
    let well_formed = |segment: &str| {
        segment.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && segment
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') || (colon && c == ':'))
    };
    if text.split('/').all(well_formed) { Ok(()) } else { Err(NameError::Grammar) }
}

fn variable(text: &str) -> Result<(), NameError> {
    variable_grammar(text)?;
    if text.starts_with("KEYVAULT_") {
        return Err(NameError::Reserved);
    }
    if runs_code(text) { Err(NameError::RunsCode) } else { Ok(()) }
}

fn variable_grammar(text: &str) -> Result<(), NameError> {
    length(text)?;
    let well_formed = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if well_formed { Ok(()) } else { Err(NameError::Variable) }
}

fn length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        1..=MAX_NAME => Ok(()),
        _ => Err(NameError::TooLong),
    }
}

/// How variables begin that programs load code from, or that they run: the dynamic linker, shells, interpreters, and git
/// and pagers, which start helpers named by variables.
pub const RUNS_CODE_PREFIXES: [&str; 8] =
    ["LD_", "DYLD_", "GIT_SSH", "GIT_CONFIG", "BASH_FUNC_", "LUA_INIT", "COR_PROFILER", "CORECLR_PROFILER"];

/// The other variables of that kind, whole.
pub const RUNS_CODE: [&str; 68] = [
    "PATH",
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "IFS",
    "PROMPT_COMMAND",
    "ZDOTDIR",
    "SHELL",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_SCRIPT_SHELL",
    "npm_config_script_shell",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONBREAKPOINT",
    "PYTHONUSERBASE",
    "PERL5OPT",
    "PERL5LIB",
    "PERLLIB",
    "PERL5DB",
    "RUBYOPT",
    "RUBYLIB",
    "GEM_PATH",
    "GEM_HOME",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "MAVEN_OPTS",
    "GRADLE_OPTS",
    "GIT_ASKPASS",
    "GIT_EXEC_PATH",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_TEMPLATE_DIR",
    "GIT_DIR",
    "SSH_ASKPASS",
    "SUDO_ASKPASS",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "LOCPATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "DOTNET_STARTUP_HOOKS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "MAKEFLAGS",
    "R_PROFILE",
    "R_PROFILE_USER",
];

/// Returns `true` if programs that find this variable in their environment load code from where it points, or run what
/// it says.
fn runs_code(variable: &str) -> bool {
    RUNS_CODE_PREFIXES.iter().any(|prefix| variable.starts_with(prefix)) || RUNS_CODE.contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_43_the_grammar_refuses_what_could_mislead() {
        for good in ["a", "stripe/live", "_x", "A.b-c/9", "0"] {
            assert!(KeyName::parse(good).is_ok(), "{good}");
        }
        for bad in ["../x", "-x", "a=b", "", "a//b", "/a", "a/", ".a", "a b", "ä", "a:b", "a\u{1b}", "a/../b"]
        {
            assert!(KeyName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(KeyName::parse(&"a".repeat(129)), Err(NameError::TooLong));
        assert!(KeyName::parse(&"a".repeat(128)).is_ok());
        assert!(Scope::parse("repo:read").is_ok() && Scope::parse(":x").is_err());
    }

    #[test]
    fn variables_that_run_code_are_refused() {
        for bad in ["LD_PRELOAD", "PATH", "BASH_ENV", "NODE_OPTIONS", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT"] {
            assert_eq!(EnvName::parse(bad), Err(NameError::RunsCode), "{bad}");
        }
        assert_eq!(EnvName::parse("KEYVAULT_PASSPHRASE"), Err(NameError::Reserved));
        assert!(EnvName::parse("spring.datasource-url").is_ok_and(|name| !name.readable_by_shells()));
    }

    #[test]
    fn the_default_variable_is_the_name_in_upper_case() {
        let of = |name| KeyName::parse(name).and_then(|name| name.default_variable());
        assert_eq!(of("stripe/live.key-1"), EnvName::parse("STRIPE_LIVE_KEY_1"));
        assert_eq!(of("2captcha"), EnvName::parse("_2CAPTCHA"));
        assert_eq!(of("path"), Err(NameError::RunsCode));
    }
}
