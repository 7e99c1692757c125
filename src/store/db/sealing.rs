//! Seals what must not stand in the database in the clear.
//!
//! XChaCha20-Poly1305 with a random nonce; the row's own id is the associated data, so that a sealed value
//! cannot be moved to another row. Layout: version, key id, nonce, ciphertext with tag.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Holds the encryption key, and while it is being changed the one before it too. Has no `Debug`, so that it cannot
/// be printed.
pub struct Vault {
    current: Key,
    former: Option<Key>,
}

struct Key {
    cipher: XChaCha20Poly1305,
    id: [u8; KEY_ID],
}

/// A sealed value could not be opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VaultError {
    /// Sealed with another key.
    #[error(
        "the database was written with another encryption key. Put the former key back: it is security.encryption_key \
         in the config, or the file toall.key in the data folder"
    )]
    OtherKey,
    #[error("a stored secret is damaged")]
    Damaged,
    #[error("the system gave no randomness")]
    NoRandomness,
}

impl Key {
    fn new(key: &[u8; 32]) -> Self {
        let digest = Sha256::digest(key);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Key { cipher: XChaCha20Poly1305::new(key.into()), id }
    }
}

impl Vault {
    /// A vault with one key of 32 bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Vault { current: Key::new(key), former: None }
    }

    /// The same vault, which also opens what the key before this one sealed.
    pub fn with_former(self, key: &[u8; 32]) -> Self {
        Vault { former: Some(Key::new(key)), ..self }
    }

    /// Seals `plain` so that only [`Vault::open`] with the same `owner` returns it.
    pub fn seal(&self, plain: &[u8], owner: &str) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let payload = Payload { msg: plain, aad: owner.as_bytes() };
        let sealed =
            self.current.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Damaged)?;
        let mut out = Vec::with_capacity(HEADER + sealed.len());
        out.extend_from_slice(&self.mark());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what [`Vault::seal`] made for the same `owner`.
    pub fn open(&self, sealed: &[u8], owner: &str) -> Result<Vec<u8>, VaultError> {
        let (header, body) = sealed.split_at_checked(HEADER).ok_or(VaultError::Damaged)?;
        if header[0] != VERSION {
            return Err(VaultError::Damaged);
        }
        let mut keys = [Some(&self.current), self.former.as_ref()].into_iter().flatten();
        let key = keys.find(|key| header[1..=KEY_ID] == key.id).ok_or(VaultError::OtherKey)?;
        let nonce: [u8; NONCE] = header[1 + KEY_ID..].try_into().map_err(|_| VaultError::Damaged)?;
        let payload = Payload { msg: body, aad: owner.as_bytes() };
        key.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Damaged)
    }

    /// What everything begins with that [`Vault::seal`] makes.
    pub(crate) fn mark(&self) -> [u8; 1 + KEY_ID] {
        let [a, b, c, d] = self.current.id;
        [VERSION, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_for_the_owner_and_key_that_sealed() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal(b"refresh", "account:1").unwrap();

        assert_eq!(vault.open(&sealed, "account:1").unwrap(), b"refresh");
        assert_eq!(vault.open(&sealed, "account:2"), Err(VaultError::Damaged));
        assert_eq!(Vault::new(&[8; 32]).open(&sealed, "account:1"), Err(VaultError::OtherKey));
        let mut bent = sealed.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(vault.open(&bent, "account:1"), Err(VaultError::Damaged));
        assert_eq!(vault.open(&sealed[..10], "account:1"), Err(VaultError::Damaged));
        assert!(!sealed.windows(7).any(|window| window == b"refresh"));
    }

    #[test]
    fn while_the_key_is_changed_both_open_and_the_new_one_seals() {
        let old = Vault::new(&[7; 32]).seal(b"refresh", "account:1").unwrap();
        let both = Vault::new(&[8; 32]).with_former(&[7; 32]);
        assert_eq!(both.open(&old, "account:1").unwrap(), b"refresh");
        assert_eq!(both.open(&old, "account:2"), Err(VaultError::Damaged));

        let new = both.seal(b"refresh", "account:1").unwrap();
        assert!(new.starts_with(&both.mark()) && !old.starts_with(&both.mark()));
        assert_eq!(Vault::new(&[8; 32]).open(&new, "account:1").unwrap(), b"refresh");
        assert_eq!(Vault::new(&[7; 32]).open(&new, "account:1"), Err(VaultError::OtherKey));
        assert_eq!(
            Vault::new(&[9; 32]).with_former(&[6; 32]).open(&old, "account:1"),
            Err(VaultError::OtherKey)
        );
    }
}
