//! The session: the daily key, kept by the kernel for a bounded time and shared by the user's processes.
//!
//! ```text
//! description = "keyvault:" ‖ vault id in hexadecimal
//! payload     = u8 1 ‖ i64le expiry in ms ‖ 16-byte vault id ‖ u32le epoch ‖ 32-byte daily key
//! ```
//!
//! The kernel drops the key at its time; the payload's own expiry, vault and epoch are checked as well, so that a
//! clock that was set back by hand, a rekeyed vault or a key under a foreign name opens nothing.

use crate::clock::Moment;
use crate::codec::Decoder;
use crate::crypto::{KEY_LEN, Key};
use crate::identity::Identity;
use crate::secret::{Full, SecretBytes, SecretWriter};
use crate::sys::keyring::{self, SessionError};

use super::keys::Daily;

const PREFIX: &str = "keyvault:";
const LAYOUT: u8 = 1;

/// An open session.
#[derive(Debug)]
pub struct Session {
    /// The daily key.
    pub daily: Daily,
    /// When it ends.
    pub until: Moment,
}

/// Keeps the daily key for `seconds`, instead of a session that may be open.
pub fn open(daily: &Daily, identity: &Identity, now: Moment, seconds: u32) -> Result<Moment, SessionError> {
    let until = now.plus_millis(i64::from(seconds) * 1000);
    let payload =
        encode(daily, identity, until).map_err(|full| SessionError::Other(std::io::Error::other(full)))?;
    keyring::store(&description(identity), payload.expose(), seconds)?;
    Ok(until)
}

/// The vault's session, if one is open. Whatever the kernel says against it means that there is none.
#[must_use]
pub fn find(identity: &Identity, now: Moment) -> Option<Session> {
    let payload = keyring::load(&description(identity)).ok()??;
    let session = decode(&payload, identity)?;
    (now < session.until).then_some(session)
}

/// Ends the vault's session; whether there was one.
pub fn close(identity: &Identity) -> Result<bool, SessionError> {
    keyring::clear(&description(identity))
}

/// Ends every session of this user; how many there were.
pub fn close_all() -> Result<usize, SessionError> {
    let mut closed = 0;
    for description in keyring::list(PREFIX) {
        closed += usize::from(keyring::clear(&description)?);
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
    keyring::available()?;
    let own = description(identity);
    let stale = keyring::load(&own)?.is_some() && find(identity, now).is_none();
    let others = keyring::list(PREFIX).iter().filter(|description| **description != own).count();
    Ok(Kept { stale, others })
}

fn description(identity: &Identity) -> String {
    format!("{PREFIX}{}", identity.vault_hex())
}

fn encode(daily: &Daily, identity: &Identity, until: Moment) -> Result<SecretBytes, Full> {
    let mut payload = SecretWriter::with_capacity(1 + 8 + 16 + 4 + KEY_LEN);
    payload.push(&[LAYOUT])?;
    payload.push(&until.0.to_le_bytes())?;
    payload.push(&identity.vault_id)?;
    payload.push(&identity.epoch.to_le_bytes())?;
    payload.push(daily.0.expose())?;
    Ok(payload.finish())
}

fn decode(payload: &SecretBytes, identity: &Identity) -> Option<Session> {
    let mut decoder = Decoder::new(payload.expose());
    let layout = decoder.u8().ok()?;
    let until = Moment(decoder.i64().ok()?);
    let owner = Identity { vault_id: decoder.array().ok()?, epoch: decoder.u32().ok()? };
    let daily = Daily(Key::from_bytes(decoder.fixed(KEY_LEN).ok()?)?);
    decoder.end().ok()?;
    (layout == LAYOUT && owner == *identity).then_some(Session { daily, until })
}
