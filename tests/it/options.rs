//! What a person says about a post besides its text: it reaches X, or they hear that it did not.

use serde_json::json;
use toall::{
    chat::Ask,
    post::{Failure, Note, Options, Replies, Sensitive, State},
    sandbox::{Answer, Call, Effect, Fault, Processing, Sent},
};

use crate::world::{World, person, sample};

/// The sample with these options, to the account of this name.
fn post_with(world: &World, options: Options, account: &str) -> Ask {
    let mut ask = world.post_of("First wave", &sample());
    if let Ask::Post { options: chosen, account: named, .. } = &mut ask {
        (*chosen, *named) = (options, account.to_owned());
    }
    ask
}

fn alt_text() -> Options {
    Options { alt_text: Some("A wave breaks over a board".to_owned()), ..Options::default() }
}

fn violent() -> Sensitive {
    Sensitive { graphic_violence: true, ..Sensitive::default() }
}

fn refused(status: u16) -> Effect {
    Effect::Refuse(match status {
        404 => Answer::empty(404),
        _ => Answer::invalid_request("metadata", "", "The metadata of this media cannot be set."),
    })
}

/// What X was told about the video, call by call.
fn told(world: &World) -> Vec<serde_json::Value> {
    let bodies = world.requests(Call::Metadata).into_iter().map(|exchange| match exchange.sent {
        Sent::Json(body) => body["metadata"].clone(),
        other => panic!("{other:?}"),
    });
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_reaches_x() {
    let world = World::linked().await;
    let options = Options {
        replies: Some(Replies::MentionedUsers),
        sensitive: violent(),
        made_with_ai: true,
        paid_partnership: true,
        ..alt_text()
    };
    world.ask("alice", post_with(&world, options.clone(), "")).await;
    world.settle().await;

    world.assert_posted_once("alice", "First wave", &sample()).await;
    let post = &world.x.posts()[0];
    assert_eq!(post.reply_settings.as_deref(), Some("mentionedUsers"));
    assert_eq!((post.made_with_ai, post.paid_partnership), (true, true));
    let metadata = json!({
        "alt_text": {"text": "A wave breaks over a board"},
        "sensitive_media_warning": {"adult_content": false, "graphic_violence": true, "other": false},
    });
    assert_eq!(post.media[0].metadata, metadata);
    assert_eq!(told(&world), [metadata]);
    assert_eq!(world.row("alice").await.options, options, "as stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_options_asks_for_nothing_and_pays_for_nothing() {
    let world = World::linked().await;
    let options = Options { made_with_ai: true, ..Options::default() };
    world.ask("alice", post_with(&world, options, "")).await;
    world.settle().await;
    world.post("alice", "Second wave", &sample()).await;
    world.settle().await;

    assert_eq!(told(&world), [json!(null); 0]);
    let sent: Vec<_> = world.requests(Call::CreatePost).into_iter().map(|exchange| exchange.sent).collect();
    let [Sent::Json(first), Sent::Json(second)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(first["made_with_ai"], true);
    let fields: Vec<_> = second.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["media", "text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alternative_text_that_x_refuses_is_left_out_and_said() {
    for status in [400, 404] {
        let world = World::linked().await;
        world.x.order(Fault::on(Call::Metadata, refused(status)).times(u32::MAX));
        world.ask("alice", post_with(&world, alt_text(), "")).await;
        world.settle().await;

        assert_eq!(world.x.posts().len(), 1);
        let link = format!("{}/alice_makes/status/{}", world.x.url(), world.x.posts()[0].id);
        assert_eq!(
            world.last_text("alice"),
            format!(
                "Posted to @alice_makes\n{link}\nX did not take the alternative text, so the post is there \
                 without it. [Open on X]"
            )
        );
        assert_eq!(world.row("alice").await.notes, [Note::AltTextNotTaken]);
        assert_eq!(told(&world).len(), 2, "a refusal counts once it is repeated");
        world.assert_at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_is_kept_when_x_minds_the_alternative_text_beside_it() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::Metadata, refused(400)).times(2));
    let options = Options { sensitive: violent(), ..alt_text() };
    world.ask("alice", post_with(&world, options, "")).await;
    world.settle().await;

    let warning = json!({
        "sensitive_media_warning": {"adult_content": false, "graphic_violence": true, "other": false},
    });
    assert_eq!(world.x.posts()[0].media[0].metadata, warning);
    assert_eq!(told(&world)[2], warning);
    assert!(world.last_text("alice").contains("X did not take the alternative text"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_not_posted_without_its_warning() {
    let world = World::linked().await;
    let refusal = world.x.order(Fault::on(Call::Metadata, refused(400)).times(2));
    let options = Options { sensitive: violent(), ..Options::default() };
    world.ask("alice", post_with(&world, options, "")).await;
    world.until("it is given up", |world| world.last_text("alice").contains("content warning")).await;

    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(world.row("alice").await.failure, Some(Failure::WarningNotTaken));
    assert_eq!(
        world.last_text("alice"),
        "sample.mp4 was not posted to @alice_makes.\nX did not take the content warning, and I do not post \
         the video without it. Try again later, or send the video without the warning and mark it on X. \
         [Try again]"
    );
    assert_eq!(refusal.fired(), 2, "a refusal counts once it is repeated");
    world.press("alice", &world.last("alice"), "Try again").await;
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.x.posts()[0].media[0].metadata["sensitive_media_warning"]["graphic_violence"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_outlasts_an_hour_without_its_endpoint() {
    let world = World::linked().await;
    let begun = world.now();
    let gone = world.x.order(Fault::on(Call::Metadata, refused(404)).times(u32::MAX));
    let options = Options { sensitive: violent(), ..Options::default() };
    world.ask("alice", post_with(&world, options, "")).await;
    world.until("an hour", |world| world.now() >= begun + 3_600_000).await;
    world.x.lift(&gone);
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.x.posts()[0].media[0].metadata["sensitive_media_warning"]["graphic_violence"], true);
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the upload is fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_while_describing_is_outlasted() {
    let faults = [
        Effect::Refuse(Answer::html(503)),
        Effect::Refuse(Answer::html(403)),
        Effect::Refuse(Answer::empty(408)),
        Effect::Drop,
        Effect::ActThenDrop,
        refused(404),
        Effect::Refuse(Answer::unauthorized()),
    ];
    for effect in faults {
        let world = World::linked().await;
        world.x.order(Fault::on(Call::Metadata, effect));
        world.ask("alice", post_with(&world, alt_text(), "")).await;
        world.settle().await;
        world.assert_posted_once("alice", "First wave", &sample()).await;
        assert_eq!(world.x.posts()[0].media[0].metadata["alt_text"]["text"], "A wave breaks over a board");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_x_forgot_is_made_and_described_again() {
    let world = World::linked().await;
    let asked = world.x.order(Fault::on(Call::Metadata, Effect::Refuse(Answer::html(503))));
    world.ask("alice", post_with(&world, alt_text(), "")).await;
    world.until("the first try", |_| asked.fired() == 1).await;
    world.x.forget_media();
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.x.posts()[0].media[0].metadata["alt_text"]["text"], "A wave breaks over a board");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_in_which_x_finds_nothing_costs_no_upload() {
    let world = World::with(|x, _| x.processing = Processing { steps: 0, check_after_secs: 0 });
    let world = world.await.and_linked().await;
    for (call, times) in [(Call::Metadata, 1), (Call::Status, u32::MAX)] {
        world.x.order(Fault::on(call, refused(404)).times(times));
    }
    world.ask("alice", post_with(&world, alt_text(), "")).await;
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.requests(Call::Initialize).len(), 1, "the video is not sent again");
    assert_eq!(world.x.posts()[0].media[0].metadata["alt_text"]["text"], "A wave breaks over a board");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_is_posted_again_has_its_warning_too() {
    let world = World::linked().await;
    let options = Options { sensitive: violent(), ..Options::default() };
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.ask("alice", post_with(&world, options, "")).await;
    world.until("the question", |world| world.last_text("alice") == world.asked()).await;
    // What is uploaded anew is not described: X minds.
    world.x.forget_media();
    world.x.order(Fault::on(Call::Metadata, refused(400)).times(2));
    world.press("alice", &world.last("alice"), "Post it again").await;
    world.until("the refusal", |world| world.last_text("alice").contains("Of the last attempt")).await;
    assert!(world.last_text("alice").contains("content warning"), "{}", world.last_text("alice"));

    world.press("alice", &world.last("alice"), "Post it again").await;
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.x.posts()[0].media[0].metadata["sensitive_media_warning"]["graphic_violence"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_refused_for_now_is_not_described_twice() {
    let world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(Answer::too_many_requests())).times(3));
    world.ask("alice", post_with(&world, alt_text(), "")).await;
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(told(&world).len(), 1, "X bills each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_killed_while_describing_goes_on() {
    let mut world = World::linked().await;
    let answer_lost = world.x.order(Fault::on(Call::Metadata, Effect::ActThenDrop));
    world.ask("alice", post_with(&world, alt_text(), "")).await;
    world.until("X has acted", |_| answer_lost.fired() == 1).await;
    world.kill().await;
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "First wave", &sample()).await;
    assert_eq!(world.row("alice").await.state, State::Posted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_goes_to_the_account_that_is_named() {
    let world = World::linked().await;
    world.link("alice", "bob_films").await;
    for name in ["alice_makes", "@Alice_Makes"] {
        world.ask("alice", post_with(&world, Options::default(), name)).await;
        world.settle().await;
    }
    world.ask("alice", post_with(&world, Options::default(), "")).await;
    world.settle().await;
    let to: Vec<_> = world.x.posts().into_iter().map(|post| post.username).collect();
    assert_eq!(to, ["alice_makes", "alice_makes", "bob_films"], "and else to the one linked last");
}

/// Asks to post and returns the refusal; nothing was written down.
async fn refusal(world: &World, ask: Ask) -> String {
    world.ask("alice", ask).await;
    let posts = world.app().store.posts_of(&person("alice"), 10).await.unwrap();
    assert_eq!(posts.len(), 0);
    world.last_text("alice")
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_cannot_be_met_are_refused_at_once() {
    let world = World::linked().await;
    assert_eq!(
        refusal(&world, post_with(&world, Options::default(), "@bob_films")).await,
        "You have not linked @bob_films. Linked: @alice_makes."
    );
    let long = Options { alt_text: Some("é".repeat(1_003)), ..Options::default() };
    assert_eq!(
        refusal(&world, post_with(&world, long, "")).await,
        "That alternative text is 1003 of 1000 characters. Shorten it by 3 and send it again as a reply to the video."
    );
    let nobody = World::new().await;
    let shown = refusal(&nobody, post_with(&nobody, Options::default(), "@bob_films")).await;
    assert!(shown.starts_with("You have not linked an X account yet."), "{shown}");
}
