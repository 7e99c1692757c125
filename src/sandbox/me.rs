//! `GET /2/users/me`: whose token it is.

use std::sync::Arc;

use axum::{Extension, extract::State, http::Uri, response::Response};
use serde_json::{Map, Value, json};

use super::{
    User,
    access::Caller,
    answer::{Answer, data},
    request::Query,
    state::X,
};

/// The fields one may ask for (OpenAPI 2.167); those the simulator has nothing for stay absent.
pub(super) const USER_FIELDS: [&str; 24] = [
    "confirmed_email",
    "connection_status",
    "created_at",
    "description",
    "entities",
    "id",
    "is_identity_verified",
    "location",
    "name",
    "parody",
    "profile_banner_url",
    "profile_image_url",
    "protected",
    "public_metrics",
    "receives_your_dm",
    "subscribes_to_you",
    "subscription",
    "subscription_type",
    "url",
    "username",
    "verified",
    "verified_followers_count",
    "verified_type",
    "withheld",
];

/// The handler.
pub(super) async fn me(
    State(x): State<Arc<X>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Answer> {
    let query = Query::of(&uri, &["user.fields", "expansions", "post.fields", "tweet.fields"])?;
    let fields = query.list("user.fields", &USER_FIELDS)?;
    let world = x.world();
    let user = world.user(&caller.user_id).ok_or_else(Answer::forbidden)?;
    let mut all = user_json(&x, user);
    all.retain(|name, _| {
        ["id", "name", "username"].contains(&name.as_str()) || fields.contains(&name.as_str())
    });
    Ok(data(Value::Object(all)))
}

fn user_json(x: &X, user: &User) -> Map<String, Value> {
    let premium = user.subscription.is_premium();
    let all = json!({
        "id": user.id,
        "name": user.name,
        "username": user.username,
        "created_at": "2022-10-13T20:28:00.000Z",
        "profile_image_url": format!("{}/avatar/{}.svg", x.url, user.username),
        "protected": false,
        "subscription_type": user.subscription.name(),
        "verified": premium,
        "verified_type": if premium { "blue" } else { "none" },
        "public_metrics": {
            "followers_count": 0,
            "following_count": 0,
            "post_count": 0,
            "listed_count": 0,
        },
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}
