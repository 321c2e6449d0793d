//! The session: the daily key, or a token if the session is limited, kept by the kernel for a bounded time and shared by
//! the user's processes.
//!
//! ```text
//! description = "keyvault:" ‖ vault id in hexadecimal
//! payload     = u8 1 ‖ i64le expiry in ms ‖ 16-byte vault id ‖ u32le epoch ‖ 32-byte daily key
//!             | u8 2 ‖ i64le expiry in ms ‖ 16-byte vault id ‖ u32le epoch ‖ 75-byte token
//! ```
//!
//! One description holds one key, so a vault has at most one session of a user, of one kind or the other. The kernel drops the key at its time; the payload's own expiry, vault and epoch are checked as well, so that a
//! clock that was set back by hand, a rekeyed vault or a key under a foreign name opens nothing.

use borsh::{BorshDeserialize as _, BorshSerialize as _};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};
use keyvault_os::kernel_keyring::{self, SessionError};

use super::keys::Daily;
use super::token::{LEN as TOKEN_LEN, Token};

const PREFIX: &str = "keyvault:";
/// Layouts of a payload.
const FULL: u8 = 1;
const LIMITED: u8 = 2;

#[derive(Debug)]
pub struct Session {
    pub daily: Daily,
    /// When it ends.
    pub until: Moment,
}

/// A session that opens the keys of its token and nothing else.
#[derive(Debug)]
pub struct LimitedSession {
    pub token: Token,
    /// When it ends.
    pub until: Moment,
}

/// A vault's session of either kind.
#[derive(Debug)]
pub enum Current {
    Full(Session),
    Limited(LimitedSession),
}

/// Keeps the daily key for `seconds`, instead of a session that may be open.
pub fn open(daily: &Daily, identity: &Identity, now: Moment, seconds: u32) -> Result<Moment, SessionError> {
    let until = now.plus_millis(i64::from(seconds) * 1000);
    store(identity, FULL, until, daily.0.expose(), seconds)?;
    Ok(until)
}

/// Keeps the token of a limited session for `seconds`, instead of a session that may be open.
pub fn open_limited(
    token: &Token,
    identity: &Identity,
    until: Moment,
    seconds: u32,
) -> Result<(), SessionError> {
    store(identity, LIMITED, until, token.text().expose(), seconds)
}

fn store(
    identity: &Identity,
    layout: u8,
    until: Moment,
    secret: &[u8],
    seconds: u32,
) -> Result<(), SessionError> {
    let payload = encode(layout, secret, identity, until)
        .map_err(|full| SessionError::Other(std::io::Error::other(full)))?;
    kernel_keyring::store(&description(identity), payload.expose(), seconds)
}

/// The vault's full session, if one is open. Any error of the kernel's means that there is none.
#[must_use]
pub fn find(identity: &Identity, now: Moment) -> Option<Session> {
    match current(identity, now)? {
        Current::Full(session) => Some(session),
        Current::Limited(_) => None,
    }
}

/// The vault's session of either kind, if one is open.
#[must_use]
pub fn current(identity: &Identity, now: Moment) -> Option<Current> {
    let payload = kernel_keyring::load(&description(identity)).ok()??;
    let (until, session) = decode(&payload, identity)?;
    (now < until).then_some(session)
}

/// Ends the vault's session; whether there was one.
pub fn close(identity: &Identity) -> Result<bool, SessionError> {
    kernel_keyring::clear(&description(identity))
}

/// Ends every session of this user; how many there were.
pub fn close_all() -> Result<usize, SessionError> {
    let mut closed = 0;
    for description in kernel_keyring::list(PREFIX) {
        closed += usize::from(kernel_keyring::clear(&description)?);
    }
    Ok(closed)
}

/// Sessions of this user, by what they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The vault's own is kept and opens nothing: of another epoch, or past its time by this clock.
    pub stale: bool,
    /// How many are kept for other vaults.
    pub others: usize,
}

/// Looks at the sessions that the kernel keeps for this user.
pub fn kept(identity: &Identity, now: Moment) -> Result<Kept, SessionError> {
    kernel_keyring::available()?;
    let own = description(identity);
    let stale = kernel_keyring::load(&own)?.is_some() && current(identity, now).is_none();
    let others = kernel_keyring::list(PREFIX).iter().filter(|description| **description != own).count();
    Ok(Kept { stale, others })
}

fn description(identity: &Identity) -> String {
    format!("{PREFIX}{}", identity.vault_hex())
}

fn encode(layout: u8, secret: &[u8], identity: &Identity, until: Moment) -> Result<SecretBytes, Full> {
    let mut payload = SecretWriter::with_capacity(1 + 8 + 16 + 4 + secret.len());
    (layout, until, identity).serialize(&mut payload).map_err(|_| Full)?;
    payload.push(secret)?;
    Ok(payload.finish())
}

/// The session, and when it ends.
fn decode(payload: &SecretBytes, identity: &Identity) -> Option<(Moment, Current)> {
    let mut secret = payload.expose();
    let (layout, until, owner) = <(u8, Moment, Identity)>::deserialize(&mut secret).ok()?;
    let current = match layout {
        FULL => Current::Full(Session { daily: Daily(SealingKey::from_bytes(secret)?), until }),
        LIMITED if secret.len() == TOKEN_LEN => {
            Current::Limited(LimitedSession { token: Token::parse(secret).ok()?, until })
        }
        _ => return None,
    };
    (owner == *identity).then_some((until, current))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use keyvault_core::clock::Rng;
    use keyvault_core::crypto::{KEY_LEN, SystemRng};

    const NOW: Moment = Moment(1_767_603_600_000);

    /// A vault that nobody else has, so that its session is nobody else's.
    fn vault() -> Identity {
        let mut identity = Identity { vault_id: [0; 16], epoch: 3 };
        SystemRng.fill(&mut identity.vault_id).unwrap();
        identity
    }

    fn daily() -> Daily {
        Daily(SealingKey::from_bytes(&[7; KEY_LEN]).unwrap())
    }

    #[test]
    fn what_is_kept_reads_back_for_its_vault_and_epoch_alone() {
        let identity = vault();
        let payload = encode(FULL, daily().0.expose(), &identity, NOW).unwrap();
        let (until, session) = decode(&payload, &identity).unwrap();
        assert!(
            until == NOW
                && matches!(session, Current::Full(Session { daily, until: NOW }) if *daily.0.expose() == [7; KEY_LEN])
        );
        assert!(decode(&payload, &Identity { epoch: 4, ..identity }).is_none());
        assert!(decode(&payload, &vault()).is_none());
        let mut other_layout = payload.expose().to_vec();
        other_layout.splice(..1, [3]);
        let longer = [payload.expose(), &[0]].concat();
        for bytes in [&other_layout[..], &longer, payload.expose().get(..60).unwrap()] {
            assert!(decode(&SecretBytes::copy_from(bytes), &identity).is_none());
        }
    }

    #[test]
    fn a_limited_session_holds_a_token_and_no_key_in_128_bytes() {
        let (identity, token) = (vault(), Token::create(&[7; 16], &SystemRng).unwrap());
        let payload = encode(LIMITED, token.text().expose(), &identity, NOW).unwrap();
        assert_eq!(payload.len(), 104);
        let (until, session) = decode(&payload, &identity).unwrap();
        let is_it = |kept: &LimitedSession| kept.token.id() == token.id() && kept.until == NOW;
        assert!(until == NOW && matches!(session, Current::Limited(kept) if is_it(&kept)));
        for other in [Identity { epoch: 4, ..identity }, vault()] {
            assert!(decode(&payload, &other).is_none());
        }
        // The layout alone tells a token from a daily key.
        let with = |layout: u8, end: &[u8]| {
            let bytes = [&[layout], payload.expose().get(1..29).unwrap(), end].concat();
            decode(&SecretBytes::copy_from(&bytes), &identity)
        };
        assert!(with(LIMITED, token.text().expose()).is_some() && with(FULL, &[7; KEY_LEN]).is_some());
        for (layout, end) in [
            (FULL, token.text().expose()),
            (LIMITED, &[7; KEY_LEN][..]),
            (LIMITED, &[7; TOKEN_LEN]),
            (LIMITED, &[token.text().expose(), b" "].concat()),
            (3, token.text().expose()),
        ] {
            assert!(with(layout, end).is_none(), "{layout} {}", end.len());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_session_takes_the_others_place_whatever_its_kind() {
        let (identity, token) = (vault(), Token::create(&[7; 16], &SystemRng).unwrap());
        let until = open(&daily(), &identity, NOW, 60).unwrap();
        open_limited(&token, &identity, until, 60).unwrap();
        assert!(find(&identity, NOW).is_none() && !kept(&identity, NOW).unwrap().stale);
        assert!(matches!(current(&identity, NOW), Some(Current::Limited(_))));
        assert!(current(&identity, until).is_none() && kept(&identity, until).unwrap().stale);
        open(&daily(), &identity, NOW, 60).unwrap();
        assert!(matches!(current(&identity, NOW), Some(Current::Full(_))));
        assert!(close(&identity).unwrap() && current(&identity, NOW).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_session_is_found_until_its_end_and_ended_once() {
        let (identity, other) = (vault(), vault());
        assert!(find(&identity, NOW).is_none());
        let until = open(&daily(), &identity, NOW, 60).unwrap();
        assert_eq!(until, NOW.plus_millis(60_000));
        assert!(find(&identity, NOW).is_some() && find(&identity, Moment(until.0 - 1)).is_some());
        assert!(find(&identity, until).is_none() && find(&identity, Moment(until.0 + 1)).is_none());
        assert!(find(&other, NOW).is_none() && find(&Identity { epoch: 4, ..identity }, NOW).is_none());
        assert!(!kept(&identity, NOW).unwrap().stale);
        assert!(kept(&identity, until).unwrap().stale && !kept(&other, until).unwrap().stale);
        assert!(kept(&other, NOW).unwrap().others > 0);
        assert!(close(&identity).unwrap() && !close(&identity).unwrap());
        assert!(find(&identity, NOW).is_none() && !kept(&identity, NOW).unwrap().stale);
    }
}
