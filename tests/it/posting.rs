//! From `/post` to the link.

use std::time::Duration;

use toall::sandbox::{Call, Effect, Fault};

use crate::world::{World, read, sample, sha256_hex};

#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_chat_to_x() {
    let world = World::new().await;
    world.link("alice", "alice_makes").await;

    world.post("alice", "First wave of the year", &sample()).await;
    world.settle().await;

    let posts = world.x.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].text, "First wave of the year");
    assert_eq!(posts[0].username, "alice_makes");
    let bytes = std::fs::read(sample()).unwrap();
    assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
    assert_eq!(
        world.last_text("alice"),
        format!("Posted to @alice_makes\n{}/alice_makes/status/{} [Open on X]", world.x.url(), posts[0].id)
    );
    let statuses = world.said("alice");
    assert_eq!(statuses.len(), 3, "one message each: the link, linked, and the status");
    assert_eq!(world.staged(), Vec::<std::path::PathBuf>::new(), "staging is left clean");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_does_not_post_twice() {
    for effect in [Effect::Drop, Effect::ActThenDrop] {
        let acted = matches!(effect, Effect::ActThenDrop);
        let world = World::new().await;
        world.link("alice", "alice_makes").await;
        let fault = world.x.order(Fault::on(Call::CreatePost, effect));

        world.post("alice", "once", &sample()).await;
        world.settle().await;

        assert_eq!(fault.fired(), 1);
        let posts = world.x.posts();
        if acted {
            assert_eq!(posts.len(), 1);
            assert!(
                world.last_text("alice").starts_with("Posted to @alice_makes"),
                "{}",
                world.last_text("alice")
            );
        } else {
            assert_eq!(posts.len(), 0);
            let asked = world.last("alice");
            assert!(read(&asked.message).contains("[It is there] [Post it again] [Leave it]"), "{asked:?}");
            world.press("alice", &asked, "Post it again").await;
            world.settle().await;
            assert_eq!(world.x.posts().len(), 1);
            assert!(world.last_text("alice").starts_with("Posted to @alice_makes"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_are_refreshed_once() {
    let world = World::new().await;
    world.link("alice", "alice_makes").await;
    world.pass(Duration::from_secs(3 * 3_600));

    world.post("alice", "later", &sample()).await;
    world.settle().await;

    assert_eq!(world.x.posts().len(), 1);
    let refreshes = world.x.exchanges().iter().filter(|exchange| exchange.path == "/2/oauth2/token").count();
    assert_eq!(refreshes, 2, "one for the link, one for the refresh");
}
