//! Telegram on a bad day, from the chat to X and back: the result reaches the person once.

use std::time::{Duration, Instant};

use toall::sandbox::{Answer, Call, Effect, Fault as OnX, Gate};

use super::{ALICE, SURF_CLUB, confirm, link_in, link_on_telegram, on_telegram};
use crate::{
    telegram::{Fault, Shown, Speaker, Telegram, User},
    world::{PATIENCE, World, sample},
};

async fn linked() -> (Telegram, World) {
    let (telegram, world) = on_telegram().await;
    link_on_telegram(&telegram, &world).await;
    world.settle().await;
    (telegram, world)
}

/// Posts the sample and stops when X is asked to make the post; goes on when the gate is opened.
async fn posted_up_to_creation(telegram: &Telegram, world: &World, by: &Speaker) -> Gate {
    let gate = Gate::closed();
    let held = world.x.order(OnX::on(Call::CreatePost, Effect::Hold(gate.clone())));
    by.video("surf.mp4", std::fs::read(sample()).unwrap(), "/post Wave");
    let chat = by.chat();
    telegram.wait_for(|telegram| status(telegram, chat)).await;
    world.until("the creation", |_| held.fired() == 1).await;
    world.pass(Duration::from_secs(2));
    let posting =
        |telegram: &Telegram| telegram.said(chat).pop().filter(|shown| shown.text.starts_with("Posting to"));
    telegram.wait_for(posting).await;
    // Its turn to be edited has come again.
    world.pass(Duration::from_secs(2));
    gate
}

/// The status in a chat, while it is there.
fn status(telegram: &Telegram, chat: i64) -> Option<Shown> {
    telegram.said(chat).into_iter().find(|shown| shown.text.contains("@alice_makes ·"))
}

/// What says in a chat that the post is on X.
fn outcomes(telegram: &Telegram, chat: i64) -> Vec<Shown> {
    let mut said = telegram.said(chat);
    said.retain(|shown| shown.text.starts_with("Posted to"));
    said
}

/// The post was made, and said once in this chat, with its link.
fn assert_told_once(telegram: &Telegram, world: &World, chat: i64) -> Shown {
    let [on_x] = &world.x.posts()[..] else { panic!("{:?}", world.x.posts()) };
    let told = outcomes(telegram, chat);
    assert_eq!(told.len(), 1, "{told:#?}");
    let link = format!("{}/alice_makes/status/{}", world.x.url(), on_x.id);
    assert!(told[0].text.starts_with(&format!("Posted to @alice_makes\n{link}")), "{}", told[0].text);
    told[0].clone()
}

async fn assert_at_rest(world: &World) {
    let store = &world.app().store;
    assert_eq!((store.leased().await.unwrap(), store.next_message_due().await.unwrap()), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_status_comes_back_with_the_outcome() {
    let (telegram, world) = linked().await;
    let gate = posted_up_to_creation(&telegram, &world, &telegram.private(ALICE)).await;
    let shown = telegram.said(ALICE.id).pop().unwrap();
    telegram.delete(ALICE.id, shown.id);
    let sent = telegram.calls("sendMessage").len();
    gate.open();
    world.settle().await;
    assert_told_once(&telegram, &world, ALICE.id);
    assert_eq!(telegram.calls("sendMessage").len(), sent + 1, "progress is not sent anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_was_removed_from_the_group_tells_the_outcome_in_private() {
    let (telegram, world) = linked().await;
    let club = telegram.group(SURF_CLUB, ALICE);
    let gate = posted_up_to_creation(&telegram, &world, &club).await;
    telegram.kick(club.chat());
    gate.open();
    world.settle().await;
    assert_told_once(&telegram, &world, ALICE.id);
    assert_eq!(outcomes(&telegram, club.chat()), []);
    assert_at_rest(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_is_answered_in_private() {
    let (telegram, world) = linked().await;
    let club = telegram.group(SURF_CLUB, ALICE).topic(77);
    telegram.fail_next("sendMessage", Fault::Refuse(400, "Bad Request: message thread not found"));
    club.video("surf.mp4", std::fs::read(sample()).unwrap(), "/post Wave");
    telegram.wait_for(|telegram| status(telegram, ALICE.id)).await;
    world.settle().await;
    assert_told_once(&telegram, &world, ALICE.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_reaches_nobody_is_given_up_and_stays_to_be_read() {
    let (telegram, world) = linked().await;
    let gate = posted_up_to_creation(&telegram, &world, &telegram.private(ALICE)).await;
    telegram.block(ALICE);
    let before = telegram.calls("editMessageText").len();
    gate.open();
    world.settle().await;
    assert_eq!(outcomes(&telegram, ALICE.id), []);
    let tries = telegram.calls("editMessageText").len() - before;
    assert!((100..200).contains(&tries), "{tries} tries");
    assert_at_rest(&world).await;

    telegram.unblock(ALICE);
    telegram.private(ALICE).text("/posts");
    let listed = |telegram: &Telegram| {
        telegram.said(ALICE.id).pop().filter(|shown| shown.text.starts_with("Your latest posts"))
    };
    let listed = telegram.wait_for(listed).await;
    assert!(listed.text.contains("surf.mp4 to @alice_makes: posted"), "{}", listed.text);
    assert!(listed.text.contains(&world.x.posts()[0].id), "{}", listed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_arrives_once_the_person_lets_the_bot_write_again() {
    let (telegram, world) = linked().await;
    let gate = posted_up_to_creation(&telegram, &world, &telegram.private(ALICE)).await;
    telegram.block(ALICE);
    let before = telegram.calls("editMessageText").len();
    gate.open();
    world.until("some tries", |_| telegram.calls("editMessageText").len() >= before + 8).await;
    telegram.unblock(ALICE);
    world.settle().await;
    assert_told_once(&telegram, &world, ALICE.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_became_a_supergroup_sees_the_outcome() {
    let (telegram, world) = linked().await;
    let club = telegram.group(SURF_CLUB, ALICE);
    let gate = posted_up_to_creation(&telegram, &world, &club).await;
    let moved = club.chat() - 1;
    telegram.migrate(club.chat(), moved);
    gate.open();
    world.settle().await;
    assert_told_once(&telegram, &world, moved);
    assert_eq!(outcomes(&telegram, ALICE.id), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_asks_to_wait_is_left_alone_by_every_post_and_sees_the_last_state() {
    let (telegram, world) = linked().await;
    let gate = posted_up_to_creation(&telegram, &world, &telegram.private(ALICE)).await;
    telegram.fail_next("editMessageText", Fault::SlowDown(40));
    let before = telegram.calls("editMessageText").len();
    gate.open();
    world.until("the refusal", |_| telegram.calls("editMessageText").len() > before).await;
    let (refused_at, asked) = (world.now(), telegram.calls("editMessageText").len());
    // A second post of the same chat has its first word to say.
    let sent = telegram.calls("sendMessage").len();
    telegram.private(ALICE).video("second.mp4", std::fs::read(sample()).unwrap(), "/post Second");
    let next = |telegram: &Telegram| {
        telegram.calls("sendMessage").len() > sent || telegram.calls("editMessageText").len() > asked
    };
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    world.until("the next word", |_| next(&telegram)).await;
    let waited = world.now() - refused_at;
    assert!((40_000..42_000).contains(&waited), "{waited} ms");
    world.settle().await;
    assert_eq!(outcomes(&telegram, ALICE.id).len(), 2, "both, once each");
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_in_trouble_is_outlasted() {
    let (telegram, world) = linked().await;
    let gate = posted_up_to_creation(&telegram, &world, &telegram.private(ALICE)).await;
    let faults = [Fault::Drop, Fault::Drop, Fault::Refuse(400, "Bad Request: something new")];
    for fault in faults {
        telegram.fail_next("editMessageText", fault);
    }
    let sent = telegram.calls("sendMessage").len();
    gate.open();
    world.settle().await;
    assert_told_once(&telegram, &world, ALICE.id);
    assert_eq!(telegram.calls("sendMessage").len(), sent, "the same message");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_shown_as_they_wrote_it_and_not_cut() {
    let (telegram, world) = linked().await;
    let said = "<b>@bob</b> [a](https://evil.example) *_~`| evil.example ".repeat(6);
    let detail: String = said.chars().take(300).collect();
    world.x.order(OnX::on(Call::CreatePost, Effect::Refuse(Answer::forbidden_because(&said))));
    let name = "<b>@bob</b> [login-x.com](https://evil.example) *_~`|.mp4";
    telegram.private(ALICE).video(name, std::fs::read(sample()).unwrap(), "/post <i>@bob</i>");
    telegram.wait_for(|telegram| status(telegram, ALICE.id)).await;
    world.settle().await;
    let told = telegram.said(ALICE.id).pop().unwrap();
    let whole =
        format!("{name} was not posted to @alice_makes.\nX refused this post: {}\n", detail.trim_end());
    assert!(told.text.starts_with(&whole), "{}", told.text);
    assert!(told.code.iter().any(|piece| piece == "@bob"), "{:?}", told.code);
    assert!(told.code.iter().any(|piece| piece == "evil.example"), "{:?}", told.code);
}

/// The token that an answer shows.
fn shown_token(telegram: &Telegram) -> Option<String> {
    let said = telegram.said(ALICE.id);
    let words = said.iter().flat_map(|shown| shown.text.split_whitespace());
    words.map(str::to_owned).find(|word| word.starts_with("toall_"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_telegram_did_not_take_comes_later() {
    // Not a server error: teloxide waits ten seconds before it says so.
    for fault in [Fault::SlowDown(3), Fault::Drop] {
        let (telegram, world) = linked().await;
        telegram.fail_next("sendMessage", fault);
        telegram.private(ALICE).text("/token laptop");
        let mut changes = telegram.changes();
        let shown = async {
            // The answer is kept for a while that only the clock ends.
            while shown_token(&telegram).is_none() {
                world.pass(Duration::from_secs(1));
                let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, shown).await.expect("the token is never shown");
        world.settle().await;
        assert_at_rest(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_shown_does_not_stay_valid() {
    let (telegram, world) = linked().await;
    telegram.block(ALICE);
    let asked = telegram.calls("sendMessage").len();
    telegram.private(ALICE).text("/token laptop");
    telegram.wait_for(|telegram| (telegram.calls("sendMessage").len() > asked).then_some(())).await;
    telegram.wait_for(|telegram| (telegram.unconfirmed() == 0).then_some(())).await;
    telegram.unblock(ALICE);
    world.settle().await;
    let before = telegram.said(ALICE.id).len();
    telegram.private(ALICE).text("/tokens");
    let listed = telegram.wait_for(|telegram| telegram.said(ALICE.id).into_iter().nth(before)).await;
    assert!(!listed.text.contains("laptop"), "{}", listed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_hangs_delays_no_other_chat() {
    let (telegram, world) = linked().await;
    world.link("alice", "alice_makes").await;
    world.settle().await;
    for _ in 0..4 {
        telegram.fail_next("sendMessage", Fault::Hang);
    }
    let sent = telegram.calls("sendMessage").len();
    for number in 0..12 {
        let bytes = std::fs::read(sample()).unwrap();
        telegram.private(ALICE).video("surf.mp4", bytes, &format!("/post Wave {number}"));
    }
    telegram.wait_for(|telegram| (telegram.calls("sendMessage").len() >= sent + 4).then_some(())).await;
    let (begun, said) = (Instant::now(), world.said("alice").len());
    world.post("alice", "Elsewhere", &sample()).await;
    let mut seen = world.console.changes();
    let elsewhere = async {
        while world.said("alice").len() == said {
            seen.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, elsewhere).await.expect("nothing is said elsewhere");
    // Another chat of Telegram's is not kept waiting either.
    let bob = User { id: 78, name: "bob" };
    telegram.private(bob).text("/accounts");
    telegram.wait_for(|telegram| telegram.said(bob.id).into_iter().next()).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_topic_sends_the_outcome_in_private() {
    for refusal in ["Bad Request: TOPIC_CLOSED", "Bad Request: CHAT_RESTRICTED"] {
        let (telegram, world) = linked().await;
        let club = telegram.group(SURF_CLUB, ALICE);
        let gate = posted_up_to_creation(&telegram, &world, &club).await;
        telegram.fail_next("editMessageText", Fault::Refuse(400, refusal));
        gate.open();
        world.settle().await;
        assert_told_once(&telegram, &world, ALICE.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_outlasts_refusals() {
    let (telegram, world) = on_telegram().await;
    telegram.private(ALICE).text("/connect twitter");
    let offered = |telegram: &Telegram| telegram.said(ALICE.id).last().map(|shown| shown.text.clone());
    let link = link_in(&telegram.wait_for(offered).await);
    telegram.block(ALICE);
    let before = telegram.calls("sendMessage").len();
    confirm(&world, &link).await;
    world.until("some tries", |_| telegram.calls("sendMessage").len() >= before + 6).await;
    telegram.unblock(ALICE);
    world.settle().await;
    let told = telegram.said(ALICE.id).pop().unwrap();
    assert!(told.text.starts_with("Linked @alice_makes"), "{}", told.text);
    assert_at_rest(&world).await;
}
