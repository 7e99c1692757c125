//! The description of the API, made from the code.

use std::collections::BTreeMap;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoResponses, OpenApi, ToSchema,
    openapi::{
        Content, Ref, RefOr, ResponseBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::web::error::Refusal;

/// Where the description is served.
pub(super) const PATH: &str = "/api/openapi.json";
const TOKEN: &str = "token";

/// What the description says before it comes to the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "toall",
        description = "Publishes video to X for the person whose token comes along. Send /token to the bot in your chat \
            for one. Errors are application/problem+json (RFC 9457) with a stable `code` and a `remedy`."
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "accounts", description = "Linking X accounts"),
        (name = "uploads", description = "Sending a file to storage"),
        (name = "posts", description = "Posting it, and following that")
    )
)]
struct Frame;

pub(super) fn frame() -> utoipa::openapi::OpenApi {
    let mut frame = Frame::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("toall_…")
        .description(Some("Made in chat by /token"))
        .build();
    let components = frame.components.get_or_insert_default();
    components.security_schemes.insert(TOKEN.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    frame.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    frame
}

/// `GET /api/openapi.json`
pub(super) fn shown(description: &utoipa::openapi::OpenApi) -> Response {
    match description.to_json() {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => crate::web::error::Problem::from(Refusal::OUR_FAULT).into_response(),
    }
}

/// A refusal (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: the code says which.
    #[schema(example = "about:blank")]
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// What happened.
    detail: String,
    /// Stable, for programs.
    #[schema(example = "caption_too_long")]
    code: String,
    /// What to do next.
    remedy: String,
}

/// The refusals that any route may answer with, by status.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut codes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for refusal in Refusal::OF_API {
            codes.entry(refusal.status.as_str().to_owned()).or_default().push(refusal.code);
        }
        let problem = || Content::new(Some(Ref::from_schema_name("ProblemBody")));
        let response = |codes: Vec<&str>| {
            let codes = codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
            let response = ResponseBuilder::new().description(format!("Code {codes}"));
            RefOr::T(response.content("application/problem+json", problem()).build())
        };
        codes.into_iter().map(|(status, codes)| (status, response(codes))).collect()
    }
}
