//! Assignments that a shell evaluates: `export NAME='value'`.
//!
//! Values stand between single quotes only, where a shell replaces nothing. What ends them there is written as that shell
//! has it: `'\''` in a POSIX shell; `\'` and `\\` in fish; in PowerShell a quote twice, and to PowerShell the typographic
//! quotes U+2018 to U+201B are quotes as well (about_Quoting_Rules).

use keyvault_core::secret::{SecretBytes, SecretWriter};

use super::{ExchangeError, Obstacle, cannot_carry};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// sh, bash, zsh, ksh, dash.
    Posix,
    Fish,
    Pwsh,
}

pub(super) fn write(entries: &[(&str, &[u8])], shell: Shell) -> Result<SecretBytes, ExchangeError> {
    for (variable, value) in entries {
        if value.contains(&0) {
            return Err(cannot_carry(variable, Obstacle::Nul));
        }
        if shell != Shell::Pwsh && !is_identifier(variable) {
            return Err(cannot_carry(variable, Obstacle::Name));
        }
        if shell == Shell::Pwsh && std::str::from_utf8(value).is_err() {
            return Err(cannot_carry(variable, Obstacle::NotUtf8));
        }
    }
    let lines = || entries.iter().flat_map(|(variable, value)| line(variable, value, shell));
    let mut text = SecretWriter::with_capacity(lines().map(<[u8]>::len).sum());
    for piece in lines() {
        text.push(piece)?;
    }
    Ok(text.finish())
}

/// An assignment and its newline, in pieces.
fn line<'e>(variable: &'e str, value: &'e [u8], shell: Shell) -> impl Iterator<Item = &'e [u8]> {
    let (before, between): (&[u8], &[u8]) = match shell {
        Shell::Posix => (b"export ", b"='"),
        Shell::Fish => (b"set -gx ", b" '"),
        Shell::Pwsh => (b"${env:", b"} = '"),
    };
    let start = [before, variable.as_bytes(), between].into_iter();
    start.chain(quoted(value, shell)).chain(std::iter::once(&b"'\n"[..]))
}

fn quoted(value: &[u8], shell: Shell) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (len, written) = match shell {
            Shell::Posix if first == b'\'' => (1, Some(&b"'\\''"[..])),
            Shell::Fish if first == b'\'' => (1, Some(&b"\\'"[..])),
            Shell::Fish if first == b'\\' => (1, Some(&b"\\\\"[..])),
            Shell::Pwsh => doubled(rest),
            Shell::Posix | Shell::Fish => (1, None),
        };
        let (piece, behind) = rest.split_at_checked(len)?;
        rest = behind;
        Some(written.unwrap_or(piece))
    })
}

/// The length of the next piece of a PowerShell string, and how it is written if it is a quote.
fn doubled(value: &[u8]) -> (usize, Option<&'static [u8]>) {
    let quotes = ["''", "\u{2018}\u{2018}", "\u{2019}\u{2019}", "\u{201a}\u{201a}", "\u{201b}\u{201b}"];
    let quote = quotes.iter().find(|twice| value.starts_with(twice.as_bytes().split_at(twice.len() / 2).0));
    quote.map_or((1, None), |twice| (twice.len() / 2, Some(twice.as_bytes())))
}

/// `[A-Za-z_][A-Za-z0-9_]*` (POSIX.1-2024, 3.216).
fn is_identifier(variable: &str) -> bool {
    !variable.starts_with(|first: char| first.is_ascii_digit())
        && !variable.is_empty()
        && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &[u8], shell: Shell) -> String {
        let written = write(&[("A", value)], shell).unwrap_or_else(|_| SecretBytes::copy_from(b"refused"));
        String::from_utf8_lossy(written.expose()).into_owned()
    }

    #[test]
    fn values_stand_between_single_quotes_of_their_shell() {
        for (shell, value, expected) in [
            (Shell::Posix, "it's $HOME `x` \\", "export A='it'\\''s $HOME `x` \\'\n"),
            (Shell::Posix, "", "export A=''\n"),
            (Shell::Fish, "it's \\n $HOME", "set -gx A 'it\\'s \\\\n $HOME'\n"),
            (Shell::Pwsh, "it's", "${env:A} = 'it''s'\n"),
            (
                Shell::Pwsh,
                "\u{2018}; calc; \u{201b}",
                "${env:A} = '\u{2018}\u{2018}; calc; \u{201b}\u{201b}'\n",
            ),
            (Shell::Pwsh, "\u{201c} \u{2019}", "${env:A} = '\u{201c} \u{2019}\u{2019}'\n"),
        ] {
            assert_eq!(written(value.as_bytes(), shell), expected, "{shell:?}");
        }
        assert_eq!(written(b"\xff", Shell::Posix), "export A='\u{fffd}'\n");
    }

    #[test]
    fn what_a_shell_cannot_carry_is_refused() {
        let refused = |variable, value: &[u8], shell| write(&[(variable, value)], shell).err();
        let because = |variable, reason| Some(cannot_carry(variable, reason));
        assert_eq!(refused("A", b"a\0b", Shell::Posix), because("A", Obstacle::Nul));
        assert_eq!(refused("a.b", b"x", Shell::Posix), because("a.b", Obstacle::Name));
        assert_eq!(refused("a-b", b"x", Shell::Fish), because("a-b", Obstacle::Name));
        assert_eq!(refused("a.b", b"x", Shell::Pwsh), None);
        assert_eq!(refused("A", b"\xff", Shell::Pwsh), because("A", Obstacle::NotUtf8));
    }
}
