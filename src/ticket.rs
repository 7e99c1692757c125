//! One-use tickets: the OAuth `state`, the confirmation of a link, API tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A random word of 256 bits that opens one door once. Only its hash is stored.
#[derive(Clone, Debug)]
pub struct Ticket(SecretString);

/// What may be told of an API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    /// As its person called it; may be empty.
    pub name: String,
    /// Its last letters.
    pub last4: String,
    /// Unix milliseconds.
    pub created_at: i64,
    /// To within ten minutes, in Unix milliseconds.
    pub last_used_at: Option<i64>,
}

/// The system gave no randomness, so no ticket can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no randomness")]
pub struct NoRandomness;

/// Letters of a ticket: 32 bytes in unpadded URL-safe base64.
const LETTERS: usize = 43;

impl Ticket {
    /// Draws a new ticket.
    pub fn draw() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Ticket(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Makes a ticket that all of these secrets together make again.
    pub fn derive(secrets: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for secret in secrets {
            // With its length, so that the same letters divided otherwise make another ticket.
            digest.update((secret.len() as u64).to_be_bytes());
            digest.update(secret);
        }
        Ticket(URL_SAFE_NO_PAD.encode(digest.finalize()).into())
    }

    /// Reads a ticket that somebody shows; `None` when it cannot be one.
    pub fn shown(text: &str) -> Option<Self> {
        let fits = text.len() == LETTERS
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fits.then(|| Ticket(text.into()))
    }

    /// The ticket itself, for the one who is to hold it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored: the SHA-256 in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.expose_secret()))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_differ_and_read_back() {
        let (one, two) = (Ticket::draw().unwrap(), Ticket::draw().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(Ticket::shown(one.expose()).unwrap().hash(), one.hash());
        assert!(!format!("{one:?}").contains(one.expose()));
    }

    #[test]
    fn the_same_secrets_make_the_same_ticket() {
        let ticket = |secrets: &[&str]| Ticket::derive(secrets).expose().to_owned();
        assert_eq!(ticket(&["state", "code"]), ticket(&["state", "code"]));
        assert!(Ticket::shown(&ticket(&["state", "code"])).is_some());
        for other in [&["state", "codes"][..], &["statec", "ode"], &["code", "state"], &["statecode"]] {
            assert_ne!(ticket(other), ticket(&["state", "code"]), "{other:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_ticket_is_not_one() {
        for text in
            ["", "abc", &"a".repeat(42), &"a".repeat(44), &"é".repeat(43), &format!("{} ", "a".repeat(42))]
        {
            assert!(Ticket::shown(text).is_none(), "{text:?}");
        }
    }
}
