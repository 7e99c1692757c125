//! Upload sessions: initialize, finalize, status.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use axum::{
    Extension,
    body::Bytes,
    extract::{self, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    MediaOnX,
    access::Caller,
    answer::{Answer, data},
    disk::assemble,
    processing::Run,
    request::{Query, invalid_body, json_body},
    state::{X, epoch_secs},
};

/// Media types and categories of OpenAPI 2.167.
const TYPES: [&str; 15] = [
    "video/mp4",
    "video/webm",
    "video/mp2t",
    "video/quicktime",
    "text/srt",
    "text/vtt",
    "image/jpeg",
    "image/gif",
    "image/bmp",
    "image/png",
    "image/webp",
    "image/pjpeg",
    "image/tiff",
    "model/gltf-binary",
    "model/vnd.usdz+zip",
];
const CATEGORIES: [&str; 8] = [
    "amplify_video",
    "tweet_gif",
    "tweet_image",
    "tweet_video",
    "dm_gif",
    "dm_image",
    "dm_video",
    "subtitles",
];
/// 16 GiB, the maximum of `total_bytes`.
const MAX_TOTAL: u64 = 17_179_869_184;

/// A medium from initialize on.
pub(super) struct Media {
    id: u64,
    key: String,
    owners: Vec<String>,
    pub(super) media_type: String,
    category: String,
    total: u64,
    /// Bytes per segment.
    pub(super) segments: BTreeMap<u32, u64>,
    pub(super) expires: SystemTime,
    finalized: Option<Finalized>,
    /// The metadata of the last call that set any, as sent.
    pub(super) metadata: Value,
    /// Held while the segments are put together, so that two finalize requests do it once.
    assembling: Arc<tokio::sync::Mutex<()>>,
}

struct Finalized {
    sha256_hex: Option<String>,
    run: Run,
}

impl Media {
    pub(super) fn is_finalized(&self) -> bool {
        self.finalized.is_some()
    }

    /// Returns true if this user may still use the media.
    pub(super) fn is_open_to(&self, user_id: &str, now: SystemTime) -> bool {
        now < self.expires && self.owners.iter().any(|owner| owner == user_id)
    }

    /// Returns true if a post may carry the media.
    pub(super) fn is_ready(&self, now: SystemTime) -> bool {
        let finalized = self.finalized.as_ref();
        finalized.is_some_and(|finalized| !self.is_processed() || finalized.run.is_over_well(now))
    }

    /// Videos and animations are processed, the rest is ready at once.
    fn is_processed(&self) -> bool {
        self.category.ends_with("video") || self.category.ends_with("gif")
    }

    /// `video`, `animated_gif` or `photo`, as the timeline names it.
    pub(super) fn kind(&self) -> &'static str {
        match self.category.as_str() {
            category if category.ends_with("video") => "video",
            category if category.ends_with("gif") => "animated_gif",
            _ => "photo",
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn for_posts(&self) -> bool {
        self.category.starts_with("tweet_") || self.category == "amplify_video"
    }

    pub(super) fn shown(&self) -> MediaOnX {
        let finalized = self.finalized.as_ref();
        MediaOnX {
            id: self.id.to_string(),
            key: self.key.clone(),
            bytes: self.total,
            sha256_hex: finalized.and_then(|finalized| finalized.sha256_hex.clone()),
            metadata: self.metadata.clone(),
        }
    }

    /// The answer to finalize and status.
    fn answer(&self, now: SystemTime) -> Response {
        let left = self.expires.duration_since(now).unwrap_or_default();
        let mut body = json!({
            "id": self.id.to_string(),
            "media_key": self.key,
            "size": self.total,
            "expires_after_secs": left.as_secs(),
        });
        match self.kind() {
            "photo" => body["image"] = json!({"image_type": self.media_type}),
            _ => body["video"] = json!({"video_type": self.media_type}),
        }
        let run = self.finalized.as_ref().filter(|_| self.is_processed());
        if let Some(info) = run.and_then(|finalized| finalized.run.info(now)) {
            body["processing_info"] = info;
        }
        data(body)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Initialize {
    media_type: Option<String>,
    total_bytes: Option<u64>,
    media_category: Option<String>,
    #[serde(default)]
    additional_owners: Vec<String>,
    #[serde(rename = "shared")]
    _shared: Option<bool>,
}

/// `POST /2/media/upload/initialize`
pub(super) async fn initialize(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let asked: Initialize = json_body(&headers, &body)?;
    // The schema requires neither of these; without them X opens a session that cannot end well.
    let media_type = asked.media_type.unwrap_or_default();
    let total = asked.total_bytes.ok_or_else(|| invalid_body("total_bytes is missing."))?;
    if !TYPES.contains(&media_type.as_str()) {
        let message = format!("media_type is not one of [{}]", TYPES.join(","));
        return Err(Answer::invalid_request("media_type", &media_type, &message));
    }
    let category = asked.media_category.unwrap_or_else(|| {
        let image = media_type.starts_with("image/");
        (if image { "tweet_image" } else { "tweet_video" }).to_owned()
    });
    if !CATEGORIES.contains(&category.as_str()) {
        let message = format!("media_category is not one of [{}]", CATEGORIES.join(","));
        return Err(Answer::invalid_request("media_category", &category, &message));
    }
    if total == 0 || total > MAX_TOTAL {
        let message = format!("total_bytes has to be between 1 and {MAX_TOTAL}.");
        return Err(Answer::invalid_request("total_bytes", &total.to_string(), &message));
    }
    let id = x.next_id();
    let prefix = match category.as_str() {
        "amplify_video" => 13,
        category if category.ends_with("gif") => 16,
        category if category.ends_with("image") => 3,
        _ => 7,
    };
    let mut owners = asked.additional_owners;
    owners.push(caller.user_id);
    let media = Media {
        id,
        key: format!("{prefix}_{id}"),
        owners,
        media_type,
        category,
        total,
        segments: BTreeMap::new(),
        expires: x.now() + x.settings.media_life,
        finalized: None,
        metadata: Value::Null,
        assembling: Arc::default(),
    };
    let answer = data(json!({
        "id": id.to_string(),
        "media_key": media.key,
        "expires_after_secs": x.settings.media_life.as_secs(),
    }));
    x.world().media.insert(id, media);
    Ok(answer)
}

/// The 404 without a body that a session gets which is unknown, expired or somebody else's.
pub(super) fn no_session() -> Answer {
    Answer::empty(404)
}

/// `POST /2/media/upload/{id}/finalize`
pub(super) async fn finalize(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    extract::Path(id): extract::Path<String>,
) -> Result<Response, Answer> {
    let now = x.now();
    let id: u64 = id.parse().map_err(|_| no_session())?;
    let open = |media: &&Media| media.is_open_to(&caller.user_id, now);
    let assembling =
        x.world().media.get(&id).filter(open).map(|media| media.assembling.clone()).ok_or_else(no_session)?;
    let _alone = assembling.lock().await;
    let segments = {
        let world = x.world();
        let media = world.media.get(&id).filter(open).ok_or_else(no_session)?;
        if media.is_finalized() {
            return Ok(media.answer(now));
        }
        let whole = media.segments.keys().copied().eq(0..media.segments.len() as u32);
        if !whole || media.segments.values().sum::<u64>() != media.total {
            return Err(Answer::invalid_request(
                "id",
                &id.to_string(),
                "Segments do not add up to provided total file size.",
            ));
        }
        media.segments.len() as u32
    };
    let sha256_hex = if x.settings.keep_media {
        let x = x.clone();
        let assembled = tokio::task::spawn_blocking(move || assemble(&x, id, segments)).await;
        match assembled {
            Ok(Ok(sha256_hex)) => Some(sha256_hex),
            _ => return Err(Answer::html(500)),
        }
    } else {
        None
    };
    let mut world = x.world();
    let processing = world.processing;
    let failure = world.processing_failures.pop_front();
    let media = world.media.get_mut(&id).ok_or_else(no_session)?;
    let failure = failure.map(|(failure, ordered)| {
        ordered.fire();
        failure
    });
    media.finalized = Some(Finalized { sha256_hex, run: Run::start(now, processing, failure) });
    Ok(media.answer(now))
}

/// `GET /2/media/upload`
pub(super) async fn status(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Answer> {
    let query = Query::of(&uri, &["command", "media_id"])?;
    query.list("command", &["STATUS"])?;
    let asked = query.get("media_id").unwrap_or_default();
    let id: u64 = asked
        .parse()
        .map_err(|_| Answer::invalid_request("media_id", asked, "media_id has to match ^[0-9]{1,19}$"))?;
    let now = x.now();
    let mut world = x.world();
    let media = world
        .media
        .get_mut(&id)
        .filter(|media| media.is_open_to(&caller.user_id, now))
        .ok_or_else(no_session)?;
    // Not documented; an answer without processing_info would read as ready.
    let finalized = media
        .finalized
        .as_mut()
        .ok_or_else(|| Answer::invalid_request("media_id", asked, "The upload is not finalized yet."))?;
    finalized.run.asked();
    Ok(media.answer(now))
}

/// When the session ends, for the answer to an append.
pub(super) fn expires_at(media: &Media) -> u64 {
    epoch_secs(media.expires)
}
