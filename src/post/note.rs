//! What a person is to know about a post besides where it stands.

use serde::{Deserialize, Serialize};

/// Something about a post that does not stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// X may mind something about the video; what, in plain words.
    Video { warning: String },
    /// X did not take the alternative text for the video.
    AltTextNotTaken,
    /// Something that a later version wrote.
    #[serde(other)]
    Unknown,
}
