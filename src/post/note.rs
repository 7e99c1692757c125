//! Remarks about a post that people see beside its state.

use serde::{Deserialize, Serialize};

/// A remark about a post that does not stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// X may refuse the video or show it badly; with the reason in plain words.
    Video { warning: String },
    /// X refused the alternative text for the video.
    AltTextNotTaken,
    /// A note written by a newer version.
    #[serde(other)]
    Unknown,
}
