//! Discord on a bad day, from the chat to X and back: the result reaches the person once.

use std::time::Duration;

use serde_json::{Value, json};
use toall::sandbox::{Answer, Call, Effect, Fault as OnX, Gate};

use super::{link_on_discord, link_on_discord_as, on_discord};
use crate::{
    discord::{Discord, Fault, File, Posted},
    world::{NOON, World, sample},
};

const MINUTE: Duration = Duration::from_secs(60);

async fn linked() -> (Discord, World) {
    let (discord, world) = on_discord().await;
    link_on_discord(&discord, &world).await;
    world.settle().await;
    (discord, world)
}

fn film(discord: &Discord, name: &str) -> crate::discord::Attached {
    let bytes = std::fs::read(sample()).unwrap();
    discord.attach(name, "video/mp4", File::Bytes(bytes.into()))
}

/// Posts the sample and stops when X is asked to make the post; goes on when the gate is opened.
async fn posted_up_to_creation(discord: &Discord, world: &World) -> Gate {
    let gate = Gate::closed();
    let held = world.x.order(OnX::on(Call::CreatePost, Effect::Hold(gate.clone())));
    discord.slash("alice", "general", "post", &[("caption", "Wave")], Some(&film(discord, "surf.mp4"))).await;
    status(discord).await;
    world.until("the creation", |_| held.fired() == 1).await;
    world.pass(Duration::from_secs(2));
    discord.wait_for("the newest status", |world| shown(world, "Posting to")).await;
    // Its turn to be edited has come again.
    world.pass(Duration::from_secs(2));
    gate
}

fn shown(world: &crate::discord::World, start: &str) -> Option<Posted> {
    world.messages.values().find(|posted| posted.shown().starts_with(start)).cloned()
}

/// The status of the only post, once there is one.
async fn status(discord: &Discord) -> Posted {
    let public = |posted: &&Posted| posted.ephemeral_for.is_none() && !posted.content.is_empty();
    discord.wait_for("a status", |world| world.messages.values().find(public).cloned()).await
}

fn fault(on: (&'static str, &'static str), times: u32, status: u16, body: Value) -> Fault {
    Fault { on, times, status, body, done: false }
}

/// What says that the post is on X, wherever it stands.
fn outcomes(discord: &Discord) -> Vec<Posted> {
    let world = discord.world();
    world.messages.values().filter(|posted| posted.shown().starts_with("Posted to")).cloned().collect()
}

/// The post was made and said once, with its link, and nothing that was sent was refused for what it said.
fn assert_told_once(discord: &Discord, world: &World) -> Posted {
    let [on_x] = &world.x.posts()[..] else { panic!("{:?}", world.x.posts()) };
    let told = outcomes(discord);
    assert_eq!(told.len(), 1, "{told:#?}");
    let link = format!("{}/alice_makes/status/{}", world.x.url(), on_x.id);
    assert_eq!(told[0].shown(), format!("Posted to @alice_makes\n{link}"));
    assert_eq!(discord.world().refusals, [""; 0]);
    told[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_status_comes_back_with_the_outcome_before_and_after_the_token() {
    for late in [Duration::ZERO, 20 * MINUTE] {
        let (discord, world) = linked().await;
        let gate = posted_up_to_creation(&discord, &world).await;
        let status = status(&discord).await;
        discord.world().delete(status.id);
        world.pass(late);
        gate.open();
        world.settle().await;
        let told = assert_told_once(&discord, &world);
        assert_ne!(told.id, status.id);
        assert_eq!(told.edits, 0, "progress is not sent anew");
        assert_eq!(discord.messages("general").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_status_that_had_a_nonce_is_not_taken_for_the_outcome() {
    let (discord, world) = linked().await;
    // The interaction is dead at once, so the bot writes the status itself, with a nonce.
    let dead = json!({ "code": 10015, "message": "Unknown Webhook" });
    discord.world().faults = vec![fault(("PATCH", "/messages/@original"), u32::MAX, 404, dead)];
    let gate = posted_up_to_creation(&discord, &world).await;
    let status = status(&discord).await;
    assert_eq!(discord.world().nonces.len(), 1);
    discord.world().delete(status.id);
    gate.open();
    world.settle().await;
    assert_ne!(assert_told_once(&discord, &world).id, status.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_was_removed_tells_the_outcome_in_private() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    discord.world().let_bot_write("general", false);
    world.pass(20 * MINUTE);
    gate.open();
    world.settle().await;
    assert_told_once(&discord, &world);
    assert_eq!(discord.dms("alice").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_reaches_nobody_is_given_up_and_stays_to_be_read() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    {
        let mut world = discord.world();
        let direct = world.direct("alice");
        world.channels.get_mut(&direct).unwrap().bot_may_write = false;
        world.let_bot_write("general", false);
    }
    world.pass(20 * MINUTE);
    let before = discord.world().requests.len();
    gate.open();
    world.settle().await;
    assert_eq!(outcomes(&discord).len(), 0);
    let tries = discord.world().times("POST", "/users/@me/channels").len();
    assert!(
        (100..200).contains(&tries),
        "{tries} tries, of {} requests",
        discord.world().requests.len() - before
    );
    let store = &world.app().store;
    assert_eq!((store.leased().await.unwrap(), store.next_message_due().await.unwrap()), (0, None));

    discord.slash("alice", "general", "posts", &[], None).await;
    let listed = discord.wait_for("the list", |world| shown(world, "Your latest posts")).await;
    assert!(listed.shown().contains("surf.mp4 to @alice_makes: posted"), "{}", listed.shown());
    assert!(listed.shown().contains(&world.x.posts()[0].id), "{}", listed.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_reaches_nobody_arrives_when_the_person_can_be_written_to_again() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    {
        let mut world = discord.world();
        let direct = world.direct("alice");
        world.channels.get_mut(&direct).unwrap().bot_may_write = false;
        world.let_bot_write("general", false);
    }
    world.pass(20 * MINUTE);
    gate.open();
    let tries = |discord: &Discord| discord.world().times("POST", "/users/@me/channels").len();
    world.until("some tries", |_| tries(&discord) >= 8).await;
    discord.world().let_bot_write("general", true);
    world.settle().await;
    assert_told_once(&discord, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_asks_to_wait_is_left_alone_and_sees_the_last_state() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    let slow = json!({ "message": "You are being rate limited.", "retry_after": 40.0, "global": false });
    discord.world().faults = vec![fault(("PATCH", "/messages/"), 1, 429, slow)];
    gate.open();
    world.settle().await;
    let times = discord.world().times("PATCH", "/messages/");
    let [.., refused, last] = times[..] else { panic!("{times:?}") };
    assert!((40_000..42_000).contains(&(last - refused)), "{}", last - refused);
    assert_told_once(&discord, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_in_trouble_is_outlasted() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    let shut = json!({ "code": 50013, "message": "Missing Permissions" });
    discord.world().faults = vec![
        fault(("PATCH", "/messages/"), 2, 502, json!(null)),
        fault(("PATCH", "/messages/"), 1, 500, json!({ "code": 0, "message": "500" })),
        fault(("PATCH", "/messages/"), 1, 400, shut),
    ];
    gate.open();
    world.settle().await;
    let told = assert_told_once(&discord, &world);
    assert_eq!(discord.messages("general").len(), 1, "the same message: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_edited_once_in_a_second_and_a_half() {
    let (discord, world) = linked().await;
    link_on_discord_as(&discord, &world, "bob_films").await;
    for (account, name) in [("alice_makes", "a.mp4"), ("bob_films", "b.mp4"), ("alice_makes", "c.mp4")] {
        let options = [("caption", name), ("account", account)];
        discord.slash("alice", "general", "post", &options, Some(&film(&discord, name))).await;
    }
    discord.wait_for("three statuses", |world| (statuses(world) == 3).then_some(())).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 3);
    assert_eq!(outcomes(&discord).len(), 3);
    let edits: Vec<i64> = {
        let world = discord.world();
        let patched = world.times("PATCH", "/channels/");
        patched.into_iter().filter(|at| *at > NOON).collect()
    };
    assert!(edits.len() >= 3, "{edits:?}");
    let close: Vec<_> = edits.windows(2).filter(|pair| pair[1] - pair[0] < 1_500).collect();
    assert_eq!(close, [[0_i64; 2]; 0], "of {edits:?}");
}

fn statuses(world: &crate::discord::World) -> usize {
    let public = |posted: &&Posted| posted.ephemeral_for.is_none() && !posted.content.is_empty();
    world.messages.values().filter(public).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_neither_pings_nor_is_markup_nor_makes_a_message_too_long() {
    let (discord, world) = linked().await;
    let stars = "*_~`|<>[]()#-:@".repeat(20);
    let names = [
        "@everyone.mp4",
        "<@1> <@&2> <#3>.mp4",
        "**bold** `x` ||spoiler||.mp4",
        "[a](https://evil.example).mp4",
        &stars,
    ];
    world.x.order(
        OnX::on(
            Call::CreatePost,
            Effect::Refuse(Answer::forbidden_because(&"*_~`|@everyone <@1> ".repeat(30))),
        )
        .times(u32::MAX),
    );
    for (before, name) in names.into_iter().enumerate() {
        let file = crate::discord::Attached { name: name.to_owned(), ..film(&discord, "film.mp4") };
        discord.slash("alice", "general", "post", &[("caption", "@everyone **hi**")], Some(&file)).await;
        discord.wait_for("a status", |world| (statuses(world) > before).then_some(())).await;
        world.settle().await;
        let told = discord.messages("general").pop().unwrap();
        let (first, rest) = told.shown().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let head: String = name.chars().take(59).collect();
        assert!(first.starts_with(&head), "{first}");
        assert!(first.ends_with("was not posted to @alice_makes."), "{first}");
        assert!(rest.starts_with("X refused this post: *_~`|@everyone <@1> "), "{rest}");
        let bare = |text: &str| text.replace("\\@", "").contains("@everyone");
        assert!(!bare(&told.content), "{}", told.content);
    }
    assert_eq!(discord.world().refusals, [""; 0], "nothing could ping, and nothing was too long");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_whose_link_died_while_its_lane_rested_is_fetched_by_a_new_one() {
    let (discord, world) = linked().await;
    let pause = u64::try_from(NOON / 1_000).unwrap() + 23 * 3_600 + 3_000;
    let limited = Answer::too_many_requests().limit("x-user-limit-24hour", 100, 0, pause);
    world.x.order(OnX::on(Call::CreatePost, Effect::Refuse(limited)).times(1));
    for name in ["first.mp4", "second.mp4"] {
        let file = film(&discord, name);
        discord.slash("alice", "general", "post", &[("caption", name)], Some(&file)).await;
    }
    discord.wait_for("two statuses", |world| (statuses(world) == 2).then_some(())).await;
    let parked = |world: &crate::discord::World| {
        world.messages.values().any(|posted| posted.shown().contains("goes on by itself at"))
    };
    world.until("the pause", |_| parked(&discord.world())).await;
    // The service rests a little longer than Discord's links live.
    world.pass(Duration::from_secs(25 * 3_600));
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2);
    assert_eq!(discord.world().times("POST", "/attachments/refresh-urls").len(), 1);
    assert_eq!(outcomes(&discord).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_that_discord_no_longer_has_is_said() {
    let (discord, world) = linked().await;
    let file = film(&discord, "surf.mp4");
    discord.world().files.clear();
    discord.slash("alice", "general", "post", &[], Some(&file)).await;
    status(&discord).await;
    world.settle().await;
    assert_eq!(
        discord.messages("general")[0].shown(),
        "surf.mp4 was not posted to @alice_makes.\nThe chat no longer has the file. Send it again."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_menu_of_a_message_leads_to_a_post() {
    let (discord, world) = linked().await;
    let file = film(&discord, "surf.mp4");
    let chosen = discord.choose("alice", "general", "look at this", &[&file]).await;
    let form = discord.wait_for("the form", |world| world.interactions[&chosen].form.clone()).await;
    discord.submit("alice", "general", &form, "Surf at dawn").await;
    status(&discord).await;
    world.settle().await;
    assert_eq!(world.x.posts()[0].text, "Surf at dawn");
    assert_told_once(&discord, &world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_row_and_the_acknowledgement_loses_no_post() {
    let (discord, mut world) = linked().await;
    let before = discord.world().times("POST", "/callback").len();
    // Discord takes no acknowledgement as long as the process lives.
    discord.world().faults = vec![fault(("POST", "/callback"), u32::MAX, 503, json!(null))];
    let video = film(&discord, "surf.mp4");
    let asked = discord.slash("alice", "general", "post", &[("caption", "Wave")], Some(&video)).await;
    let tries = |world: &crate::discord::World| world.times("POST", "/callback").len() - before;
    discord.wait_for("a try", |world| (tries(world) > 0).then_some(())).await;
    world.kill().await;
    discord.world().faults.clear();
    world.boot().await;
    world.settle().await;
    assert_eq!(discord.world().interactions[&asked].acknowledged, None);
    assert_told_once(&discord, &world);
    assert_eq!(discord.messages("general").len(), 1, "nothing that says \"thinking\" stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_acknowledgement_and_the_first_words_loses_no_post() {
    let (discord, mut world) = linked().await;
    discord.world().faults = vec![fault(("PATCH", "/messages/@original"), u32::MAX, 503, json!(null))];
    let video = film(&discord, "surf.mp4");
    let asked = discord.slash("alice", "general", "post", &[("caption", "Wave")], Some(&video)).await;
    discord.wait_for("an acknowledgement", |world| world.interactions[&asked].acknowledged).await;
    world.kill().await;
    discord.world().faults.clear();
    world.boot().await;
    world.settle().await;
    assert_told_once(&discord, &world);
    assert_eq!(discord.messages("general").len(), 1, "the answer that said \"thinking\" holds the outcome");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_outlives_the_process_that_opened_it_and_is_its_persons_alone() {
    let (discord, mut world) = linked().await;
    let chosen = discord.choose("alice", "general", "", &[&film(&discord, "surf.mp4")]).await;
    let form = discord.wait_for("the form", |world| world.interactions[&chosen].form.clone()).await;
    world.kill().await;
    world.boot().await;
    discord.wait_for("the bot to be back", |world| (world.gateway.identified == 2).then_some(())).await;
    let (mut unknown, mut foreign) = (form.clone(), form.clone());
    unknown["custom_id"] = json!("post:12");
    foreign["custom_id"] = json!("colour");
    for (user, form) in [("bob", &form), ("alice", &unknown), ("alice", &foreign)] {
        discord.submit(user, "general", form, "mine now").await;
        let said =
            "I no longer know which video that was. Choose Post to X in the menu of the message again.";
        let private = |posted: &&Posted, asked| posted.ephemeral_for == Some(asked) && posted.shown() == said;
        let found = discord.wait_for("the word", |world| {
            let asked = world.users[user];
            world.messages.iter().find(|(_, posted)| private(posted, asked)).map(|(id, _)| *id)
        });
        let found = found.await;
        discord.world().messages.remove(&found);
    }
    discord.submit("alice", "general", &form, "Surf at dawn").await;
    status(&discord).await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    assert_eq!(world.x.posts()[0].text, "Surf at dawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_gateway_repeats_is_one_post() {
    let (discord, world) = linked().await;
    let gate = posted_up_to_creation(&discord, &world).await;
    discord.world().gateway.repeat_last();
    gate.open();
    world.settle().await;
    assert_told_once(&discord, &world);
    assert_eq!(discord.messages("general").len(), 1);
}
