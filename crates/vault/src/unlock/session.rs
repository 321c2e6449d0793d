//! The session: the daily key, kept by the kernel for a bounded time and shared by the user's processes.
//!
//! ```text
//! description = "keyvault:" ‖ vault id in hexadecimal
//! payload     = u8 1 ‖ i64le expiry in ms ‖ 16-byte vault id ‖ u32le epoch ‖ 32-byte daily key
//! ```
//!
//! The kernel drops the key at its time; the payload's own expiry, vault and epoch are checked as well, so that a
//! clock that was set back by hand, a rekeyed vault or a key under a foreign name opens nothing.

use borsh::BorshDeserialize;
use keyvault_core::clock::Moment;
use keyvault_core::codec;
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;
use keyvault_core::secret::{Full, SecretBytes};
use keyvault_os::kernel_keyring::{self, SessionError};

use super::keys::Daily;

const PREFIX: &str = "keyvault:";
const LAYOUT: u8 = 1;

#[derive(Debug)]
pub struct Session {
    pub daily: Daily,
    /// When it ends.
    pub until: Moment,
}

/// Keeps the daily key for `seconds`, instead of a session that may be open.
pub fn open(daily: &Daily, identity: &Identity, now: Moment, seconds: u32) -> Result<Moment, SessionError> {
    let until = now.plus_millis(i64::from(seconds) * 1000);
    let payload =
        encode(daily, identity, until).map_err(|full| SessionError::Other(std::io::Error::other(full)))?;
    kernel_keyring::store(&description(identity), payload.expose(), seconds)?;
    Ok(until)
}

/// The vault's session, if one is open. Any error of the kernel's means that there is none.
#[must_use]
pub fn find(identity: &Identity, now: Moment) -> Option<Session> {
    let payload = kernel_keyring::load(&description(identity)).ok()??;
    let session = decode(&payload, identity)?;
    (now < session.until).then_some(session)
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
    let stale = kernel_keyring::load(&own)?.is_some() && find(identity, now).is_none();
    let others = kernel_keyring::list(PREFIX).iter().filter(|description| **description != own).count();
    Ok(Kept { stale, others })
}

fn description(identity: &Identity) -> String {
    format!("{PREFIX}{}", identity.vault_hex())
}

fn encode(daily: &Daily, identity: &Identity, until: Moment) -> Result<SecretBytes, Full> {
    codec::encode_secret(&(LAYOUT, until, identity, daily.0.expose()))
}

fn decode(payload: &SecretBytes, identity: &Identity) -> Option<Session> {
    let mut rest = payload.expose();
    let (layout, until, owner) = <(u8, Moment, Identity)>::deserialize(&mut rest).ok()?;
    let daily = Daily(SealingKey::from_bytes(rest)?);
    (layout == LAYOUT && owner == *identity).then_some(Session { daily, until })
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
        let payload = encode(&daily(), &identity, NOW).unwrap();
        let session = decode(&payload, &identity).unwrap();
        assert_eq!((session.until, session.daily.0.expose()), (NOW, &[7; KEY_LEN]));
        assert!(decode(&payload, &Identity { epoch: 4, ..identity }).is_none());
        assert!(decode(&payload, &vault()).is_none());
        let mut other_layout = payload.expose().to_vec();
        if let Some(layout) = other_layout.first_mut() {
            *layout += 1;
        }
        let longer = [payload.expose(), &[0]].concat();
        for bytes in [&other_layout[..], &longer, payload.expose().get(..60).unwrap()] {
            assert!(decode(&SecretBytes::copy_from(bytes), &identity).is_none());
        }
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
