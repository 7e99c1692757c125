//! Sending a file: where to, which parts, and that it is complete.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer,
    caller::Caller,
    json::{Asked, Body, Whole, require},
    moment,
    openapi::Problems,
};
use crate::{
    intake::{Sent, Wanted},
    store::{MAX_PUT_BYTES, UploadId},
    video::MAX_BYTES,
    web::{
        Site,
        error::{Problem, Refusal},
    },
};

/// The longest file name taken.
const MAX_NAME: usize = 255;
/// Parts whose addresses can be had at once.
const MAX_PARTS_AT_ONCE: usize = 100;

/// A file that is to be uploaded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadWanted {
    /// For reading only.
    #[schema(min_length = 1, max_length = 255, example = "surf.mov")]
    filename: String,
    /// Decides nothing: what the file is, is found by looking inside.
    #[schema(
        max_length = 100,
        pattern = "^(video/[a-z0-9.+-]+|application/octet-stream)$",
        example = "video/quicktime"
    )]
    content_type: String,
    /// In bytes. Needed for an upload in parts; given, the storage takes exactly so many.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 8388608000_u64, example = 84213760)]
    size: Option<Whole>,
    /// Whether to send the file in parts: for more than 5 GiB, or to go on after a lost connection.
    multipart: Option<bool>,
}

/// Where to send a file.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadBegun {
    /// Takes one PUT with the file as its body. A secret. Absent for an upload in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_url: Option<String>,
    /// Always `PUT`.
    #[schema(example = "PUT")]
    method: &'static str,
    /// To be sent along with the file.
    headers: BTreeMap<&'static str, String>,
    /// Names the upload from here on.
    #[schema(example = "uploads/019ab3c0-5f5e-7a11-9c3e-2f1d0f6f6a10")]
    s3_key: String,
    /// Until then the address works; of an upload in parts, until then it is kept.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The most that can be sent this way.
    max_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    multipart: Option<Parts>,
}

/// How a file is cut.
#[derive(Serialize, ToSchema)]
pub(super) struct Parts {
    /// Length of each part but the last.
    part_bytes: u64,
    /// How many there are; they are numbered from 1.
    parts: u32,
}

/// Begins an upload.
///
/// The file then goes straight to storage, by one PUT or in parts. It is kept for 24 hours until it is posted.
#[utoipa::path(post, path = "/api/social/upload-url", tag = "uploads", operation_id = "beginUpload",
    request_body = UploadWanted, responses((status = 200, body = UploadBegun), Problems))]
pub(super) async fn begin(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Body(wanted): Body<UploadWanted>,
) -> Answer<UploadBegun> {
    let named = (1..=MAX_NAME).contains(&wanted.filename.chars().count());
    require(named, "filename has 1 to 255 characters.")?;
    let parts = wanted.multipart.unwrap_or(false);
    let wanted = Wanted {
        filename: wanted.filename,
        content_type: essence(&wanted.content_type).ok_or(Refusal::NOT_VIDEO)?,
        size: wanted.size.map(|size| size.0),
        parts,
    };
    let begun = site.intake.begin_upload(&caller.person, wanted).await?;
    let mut answer = UploadBegun {
        upload_url: None,
        method: "PUT",
        headers: BTreeMap::new(),
        s3_key: begun.id.to_string(),
        expires_at: moment(begun.expires_at),
        max_bytes: if parts { MAX_BYTES } else { MAX_PUT_BYTES },
        multipart: None,
    };
    match begun.by {
        Sent::Parts { part_bytes, parts } => answer.multipart = Some(Parts { part_bytes, parts }),
        Sent::Whole(signed) => {
            answer.expires_at = moment(signed.expires_at);
            answer.headers.extend(signed.content_type.map(|kind| ("content-type", kind)));
            answer.upload_url = Some(site.public_address(signed.url)?.into());
        }
    }
    Ok(Json(answer))
}

/// Parts that are to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartsWanted {
    #[schema(max_length = 128, example = "uploads/019ab3c0-5f5e-7a11-9c3e-2f1d0f6f6a10")]
    s3_key: String,
    /// Numbers of parts, from 1 on.
    #[schema(min_items = 1, max_items = 100, example = json!([1, 2, 3]))]
    #[schema(value_type = Vec<PartNumber>)]
    parts: Vec<Whole>,
}

/// From 1 on.
#[derive(ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 1000)]
#[expect(dead_code, reason = "describes another type")]
struct PartNumber(u32);

/// Where to send parts.
#[derive(Serialize, ToSchema)]
pub(super) struct PartsSigned {
    parts: Vec<PartSigned>,
    /// Until then the addresses work.
    #[schema(format = DateTime)]
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
struct PartSigned {
    part: u32,
    /// Takes one PUT with the part as its body. A secret.
    upload_url: String,
    /// The length that the part must have.
    bytes: u64,
}

/// Gives addresses for parts of an upload.
#[utoipa::path(post, path = "/api/social/upload-parts", tag = "uploads", operation_id = "signParts",
    request_body = PartsWanted, responses((status = 200, body = PartsSigned), Problems))]
pub(super) async fn sign_parts(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Body(wanted): Body<PartsWanted>,
) -> Answer<PartsSigned> {
    require((1..=MAX_PARTS_AT_ONCE).contains(&wanted.parts.len()), "Ask for 1 to 100 parts at once.")?;
    let numbers: Vec<u32> =
        wanted.parts.iter().map(|number| u32::try_from(number.0).unwrap_or(u32::MAX)).collect();
    let signed = site.intake.sign_parts(&caller.person, upload_id(&wanted.s3_key)?, &numbers).await?;
    let expires_at = signed.first().map_or(0, |part| part.to.expires_at);
    let parts = signed.into_iter().map(|part| {
        Ok(PartSigned {
            part: part.number,
            upload_url: site.public_address(part.to.url)?.into(),
            bytes: part.bytes,
        })
    });
    Ok(Json(PartsSigned { parts: parts.collect::<Result<_, Refusal>>()?, expires_at: moment(expires_at) }))
}

/// Names an upload.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadNamed {
    #[param(max_length = 128, example = "uploads/019ab3c0-5f5e-7a11-9c3e-2f1d0f6f6a10")]
    s3_key: String,
}

/// What has arrived of an upload.
#[derive(Serialize, ToSchema)]
pub(super) struct PartsDone {
    filename: String,
    /// In bytes, as declared.
    size: u64,
    part_bytes: u64,
    parts_total: u32,
    /// The parts that need not be sent again.
    done: Vec<PartDone>,
}

#[derive(Serialize, ToSchema)]
struct PartDone {
    part: u32,
    bytes: u64,
}

/// Says which parts have arrived, to go on after a lost connection.
#[utoipa::path(get, path = "/api/social/upload-parts", tag = "uploads", operation_id = "listParts",
    params(UploadNamed), responses((status = 200, body = PartsDone), Problems))]
pub(super) async fn parts_done(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(named): Asked<UploadNamed>,
) -> Answer<PartsDone> {
    let (upload, done) = site.intake.parts_done(&caller.person, upload_id(&named.s3_key)?).await?;
    Ok(Json(PartsDone {
        size: upload.size.unwrap_or_default(),
        part_bytes: upload.part_bytes.unwrap_or_default(),
        parts_total: upload.parts().unwrap_or_default(),
        filename: upload.filename,
        done: done.into_iter().map(|part| PartDone { part: part.number, bytes: part.bytes }).collect(),
    }))
}

/// Names an upload.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadSent {
    #[schema(max_length = 128, example = "uploads/019ab3c0-5f5e-7a11-9c3e-2f1d0f6f6a10")]
    s3_key: String,
}

/// An upload that can be posted.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadComplete {
    s3_key: String,
    /// As found in storage.
    bytes: u64,
}

/// Makes one file of what was sent, if all of it arrived. Asked again, it answers the same.
#[utoipa::path(post, path = "/api/social/upload-complete", tag = "uploads", operation_id = "completeUpload",
    request_body = UploadSent, responses((status = 200, body = UploadComplete), Problems))]
pub(super) async fn complete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Body(sent): Body<UploadSent>,
) -> Answer<UploadComplete> {
    let id = upload_id(&sent.s3_key)?;
    let bytes = site.intake.complete_upload(&caller.person, id).await?;
    Ok(Json(UploadComplete { s3_key: id.to_string(), bytes }))
}

/// Gives up an upload that is not posted, and deletes what was sent of it.
#[utoipa::path(delete, path = "/api/social/upload", tag = "uploads", operation_id = "discardUpload",
    params(UploadNamed), responses((status = 204, description = "Gone"), Problems))]
pub(super) async fn discard(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(named): Asked<UploadNamed>,
) -> Result<StatusCode, Problem> {
    site.intake.discard_upload(&caller.person, upload_id(&named.s3_key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn upload_id(s3_key: &str) -> Result<UploadId, Refusal> {
    s3_key.parse().map_err(|_| Refusal::NO_UPLOAD)
}

/// `video/mp4` of `Video/MP4; codecs=…`; `None` for what is no media type at all.
fn essence(content_type: &str) -> Option<String> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.+-".contains(c);
    (kind.len() <= 100 && kind.chars().all(plain)).then_some(kind)
}
