//! The pages of the simulated X: timelines and posts with their videos.

use std::{sync::Arc, time::SystemTime};

use axum::{
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use tower_http::services::ServeFile;

use super::{
    disk::media_path,
    state::{PostOnX, User, World, X},
};

/// Nothing from elsewhere, no scripts.
const POLICY: &str = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; \
     base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "
:root { color-scheme: light dark; --line: light-dark(#d6dde3, #323940); --quiet: light-dark(#55626d, #95a2ad);
  --accent: light-dark(#0b6bcb, #57a6f5); --page: light-dark(#fff, #0f1215); --on-accent: light-dark(#fff, #0b1016); }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
.notice { padding: .5rem 1rem; background: light-dark(#fff0c7, #463a11); text-align: center; font-size: .9rem; }
main { max-width: 38rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; line-height: 1.25; }
a { color: var(--accent); }
.quiet { color: var(--quiet); }
.avatar { width: 2.75rem; height: 2.75rem; border-radius: 50%; flex: none; }
.who, .choice { display: flex; gap: .75rem; align-items: center; line-height: 1.25; }
.who a { color: inherit; text-decoration: none; }
article { padding: 1rem 0; border-bottom: 1px solid var(--line); }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: .75rem 0; }
video, .photo { display: block; width: 100%; max-height: 80vh; border-radius: .75rem; background: #000; margin-bottom: .75rem; }
fieldset { border: 1px solid var(--line); border-radius: .75rem; padding: .5rem 1rem; }
.choice { padding: .5rem 0; cursor: pointer; }
.buttons { display: flex; gap: .75rem; flex-wrap: wrap; }
button { font: inherit; padding: .6rem 1.4rem; border-radius: 2rem; border: 1px solid var(--line); background: none; color: inherit; cursor: pointer; }
.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
";

/// A whole page, marked so that nobody takes it for X.
pub(super) fn layout(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Simulated X" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                div.notice role="note" { b { "Simulated X" } " · a sandbox on this machine. Nothing here reaches the real X." }
                main { (body) }
            }
        }
    }
}

/// Headers of every page.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `GET /`: what everybody posted, newest first.
pub(super) async fn everyone(State(x): State<Arc<X>>) -> Markup {
    let world = x.world();
    let posts: Vec<_> = world.posts.iter().rev().map(|post| world.shown(post)).collect();
    layout(
        "Timeline",
        html! {
            h1 { "Timeline" }
            (list(&world, &posts))
        },
    )
}

/// `GET /{username}`: what one person posted, newest first.
pub(super) async fn profile(State(x): State<Arc<X>>, Path(username): Path<String>) -> Response {
    let mut world = x.world();
    let Some(user) = world.user_named(&username).map(|user| user.clone()) else {
        return missing("There is no such account.");
    };
    let own = world.posts.iter().rev().filter(|post| post.user_id == user.id);
    let posts: Vec<_> = own.map(|post| world.shown(post)).collect();
    layout(
        &user.name,
        html! {
            h1 { (user.name) " " span.quiet { "@" (user.username) } }
            (list(&world, &posts))
            p { a href="/" { "Everybody's posts" } }
        },
    )
    .into_response()
}

/// `GET /{username}/status/{id}`: one post. As on X only the id counts.
pub(super) async fn post(State(x): State<Arc<X>>, Path((_, id)): Path<(String, String)>) -> Response {
    let world = x.world();
    let Some(post) = world.posts.iter().find(|post| post.id.to_string() == id) else {
        return missing("There is no such post.");
    };
    let post = world.shown(post);
    layout(
        &format!("Post by @{}", post.username),
        html! {
            (card(&world, &post))
            p { a href={"/" (post.username)} { "More from @" (post.username) } }
        },
    )
    .into_response()
}

/// `GET /media/{id}`: the uploaded bytes, with ranges.
pub(super) async fn media(State(x): State<Arc<X>>, Path(id): Path<String>, request: Request) -> Response {
    let found = id.parse().ok().and_then(|id: u64| {
        let world = x.world();
        let media = world.media.get(&id).filter(|media| media.is_finalized())?;
        Some((media_path(&x, id), media.media_type.parse().ok()?))
    });
    let Some((path, kind)) = found else {
        return missing("There is no such medium.");
    };
    match ServeFile::new_with_mime(path, &kind).try_call(request).await {
        Ok(response) => response.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /avatar/{username}.svg`: the first letter on a colour of its own.
pub(super) async fn avatar(State(x): State<Arc<X>>, Path(file): Path<String>) -> Response {
    let username = file.strip_suffix(".svg").unwrap_or(&file);
    let mut world = x.world();
    let Some(user) = world.user_named(username) else {
        return missing("There is no such account.");
    };
    let letter = user.name.chars().next().unwrap_or('?').to_uppercase().to_string();
    let hue = user.username.bytes().fold(0_u32, |hue, byte| hue * 31 % 360 + u32::from(byte)) % 360;
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96" {
            rect width="96" height="96" fill=(format!("hsl({hue} 45% 40%)")) {}
            text x="48" y="64" font-family="system-ui, sans-serif" font-size="44" fill="#fff" text-anchor="middle" { (letter) }
        }
    };
    ([(header::CONTENT_TYPE, "image/svg+xml")], svg.into_string()).into_response()
}

fn list(world: &World, posts: &[PostOnX]) -> Markup {
    html! {
        @for post in posts { (card(world, post)) }
        @if posts.is_empty() { p.quiet { "Nothing has been posted yet." } }
    }
}

fn card(world: &World, post: &PostOnX) -> Markup {
    let name = world.user(&post.user_id).map(|user: &User| user.name.as_str());
    html! {
        article {
            div.who {
                img.avatar src={"/avatar/" (post.username) ".svg"} alt="";
                a href={"/" (post.username)} {
                    b { (name.unwrap_or_default()) } br; span.quiet { "@" (post.username) }
                }
            }
            @if !post.text.is_empty() { p.text { (post.text) } }
            @for medium in &post.media { (player(world, &medium.id)) }
            a.quiet href={"/" (post.username) "/status/" (post.id)} { (when(post.created_at)) }
        }
    }
}

fn player(world: &World, id: &str) -> Markup {
    let media = id.parse().ok().and_then(|id: u64| world.media.get(&id));
    html! {
        @match media.map(|media| media.kind()) {
            Some("photo") => img.photo src={"/media/" (id)} alt="Attached photo";,
            _ => video controls playsinline preload="metadata" src={"/media/" (id)} {},
        }
    }
}

fn when(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or_default();
    time.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

fn missing(what: &str) -> Response {
    let page = layout(
        "Not found",
        html! {
            h1 { (what) }
            p { a href="/" { "Everybody's posts" } }
        },
    );
    (StatusCode::NOT_FOUND, page).into_response()
}
