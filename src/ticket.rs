//! One-use tickets: the OAuth `state`, the confirmation of a link, API tokens.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A random secret of 256 bits with a single purpose. Only its hash is stored.
#[derive(Clone, Debug)]
pub struct Ticket(SecretString);

/// The public details of an API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    /// The name its owner gave it; may be empty.
    pub name: String,
    /// Its last four characters.
    pub last4: String,
    /// Time of creation in Unix milliseconds.
    pub created_at: i64,
    /// Time of the last use in Unix milliseconds, accurate to ten minutes.
    pub last_used_at: Option<i64>,
}

/// The system gave no randomness, so no ticket can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no randomness")]
pub struct NoRandomness;

/// Length of a ticket in characters: 32 bytes in unpadded URL-safe base64.
const LETTERS: usize = 43;

impl Ticket {
    /// Draws a new ticket.
    pub fn draw() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Ticket(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Derives a ticket from secrets; the same secrets always give the same ticket.
    pub fn derive(secrets: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for secret in secrets {
            // The length separates the secrets: ("ab", "c") and ("a", "bc") must give different tickets.
            digest.update((secret.len() as u64).to_be_bytes());
            digest.update(secret);
        }
        Ticket(URL_SAFE_NO_PAD.encode(digest.finalize()).into())
    }

    /// Parses a presented ticket; `None` if the text cannot be one.
    pub fn shown(text: &str) -> Option<Self> {
        let fits = text.len() == LETTERS
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fits.then(|| Ticket(text.into()))
    }

    /// The secret text, to be given to its holder only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The SHA-256 in hexadecimal, which is what the database stores.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.0.expose_secret()))
    }
}

/// Formats bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
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
