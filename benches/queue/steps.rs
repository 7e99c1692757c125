//! The worker's writes for each step of a post, without the chat, the storage and X.

use anyhow::bail;
use toall::{
    clock::Clock,
    post::{Media, State},
    store::{Lease, Store},
    words::Message,
};
use uuid::Uuid;

use crate::video::MIB;

/// A video as people take them with a phone, of about half a minute.
pub const VIDEO_BYTES: u64 = 30_000_000;
/// As the worker cuts it.
const CHUNK: u64 = 4 * MIB;
/// Steps of a post that nothing goes wrong with.
pub const STEPS: u32 = 5;

/// Does what is next for a post; true when that was the last of it.
pub async fn step(store: &Store, lease: &Lease, clock: &Clock) -> anyhow::Result<bool> {
    let mut post = lease.post.clone();
    post.state = match post.state {
        State::Staging => {
            store.staged_so_far(lease, VIDEO_BYTES / 2, clock.now_ms()).await?;
            post.bytes = Some(VIDEO_BYTES);
            post.sha256 = Some("0".repeat(64));
            State::Inspecting
        }
        State::Inspecting => {
            post.media_type = Some("video/quicktime".to_owned());
            post.duration_ms = Some(30_000);
            State::Uploading
        }
        State::Uploading => {
            let media = Media {
                id: Uuid::now_v7().to_string(),
                expires_at: None,
                chunk_bytes: CHUNK,
                segments_done: 0,
            };
            store.start_media(lease, &media, clock.now_ms()).await?;
            store.segments_done(&media.id).await?;
            for segment in 0..media.segments(VIDEO_BYTES) {
                store.segments_acknowledged(lease, &media.id, &[segment], clock.now_ms()).await?;
            }
            post.chunk_bytes = Some(CHUNK);
            post.media = Some(media);
            State::Processing
        }
        State::Processing => State::Publishing,
        State::Publishing => {
            store.renew(lease, clock.now_ms()).await?;
            store.intend(lease, clock.now_ms()).await?;
            finish(store, lease, clock).await?;
            return Ok(true);
        }
        state => bail!("a post in the state {} was claimed", state.as_str()),
    };
    let now = clock.now_ms();
    store.save(lease, &post, Some(now), "goes_on", now).await?;
    Ok(false)
}

/// Writes down that a post is on X.
pub async fn finish(store: &Store, lease: &Lease, clock: &Clock) -> anyhow::Result<()> {
    let on_x = lease.post.id.to_string();
    Ok(store.posted(lease, &on_x, |_, _| Message::text(""), clock.now_ms()).await?)
}
