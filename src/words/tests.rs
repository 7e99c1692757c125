//! Every message, as people read it, in one place to read aloud.

use uuid::Uuid;

use super::*;
use crate::{
    account::{Account, AccountState, Platform, Profile, Tier},
    post::{
        AltTextTooLong, Attachment, Failure, Kind, Media, Mills, Note, Options, OverLimit, Party, Pause,
        Post, Sensitive, State, Waiting,
    },
    ticket::ApiToken,
    video::{AudioCodec, Container, VideoCodec, Warning},
};

const NOW: i64 = 1_795_348_800_000;

fn account() -> Account {
    Account {
        id: AccountId("2244994945".to_owned()),
        username: "alice_makes".to_owned(),
        name: "Alice".to_owned(),
        avatar_url: None,
        tier: Tier::Free,
        state: AccountState::Active,
        profile_at: NOW,
        preferred: true,
        others_to_end: 0,
    }
}

fn post(state: State) -> Post {
    Post {
        id: PostId(Uuid::from_u128(7)),
        request: uuid::Uuid::nil(),
        user: "discord:1".to_owned(),
        account: account().id,
        caption: "First wave of the year".to_owned(),
        options: Options::default(),
        attachment: Attachment {
            platform: Platform::Telegram,
            source: String::new(),
            name: "surf.mov".to_owned(),
            bytes: Some(84_000_000),
            content_type: None,
            kind: Kind::Video,
        },
        trouble_since: None,
        state,
        attempt: 0,
        object_key: None,
        bytes: (state != State::Staging).then_some(84_000_000),
        sha256: None,
        media_type: None,
        duration_ms: (state != State::Staging).then_some(42_000),
        media: None,
        chunk_bytes: None,
        processing_since: None,
        processing_percent: None,
        sessions: 0,
        intent_at: None,
        first_intent_at: None,
        intents: 0,
        refused_since: None,
        refused_sessions: 0,
        refetches: 0,
        resend: false,
        looks: 0,
        x_post_id: None,
        failure: None,
        notes: Vec::new(),
        waiting: None,
        created_at: NOW,
    }
}

fn read(message: &Message) -> String {
    let text = message.text.iter().map(|span| match span {
        Span::Text(text) | Span::Link(text) | Span::Code(text) => text.clone(),
        Span::Time(_) => "12:05".to_owned(),
    });
    let buttons = message.buttons.iter().map(|button| format!("  [ {} ]", button.label));
    text.chain(buttons).collect()
}

fn shown(post: &Post) -> String {
    let links = Links {
        profile: "https://x.com/alice_makes",
        post: post.x_post_id.as_ref().map(|_| "https://x.com/alice_makes/status/1993"),
    };
    let pace = bytes_done(post).map(|_| Pace { at: NOW - 6_000, bytes: 0 });
    read(&status(post, &account(), links, pace, NOW))
}

fn catalogue(entries: impl IntoIterator<Item = (String, String)>) -> String {
    entries.into_iter().map(|(name, text)| format!("── {name}\n{text}\n\n")).collect()
}

#[test]
fn a_post_under_way() {
    let mut received = post(State::Staging);
    received.bytes = Some(43_000_000);
    let mut uploading = post(State::Uploading);
    uploading.media =
        Some(Media { id: "1".to_owned(), expires_at: None, chunk_bytes: 4 << 20, segments_done: 10 });
    let mut begun = uploading.clone();
    begun.media.as_mut().unwrap().segments_done = 0;
    let mut processing = post(State::Processing);
    processing.processing_percent = Some(40);
    let mut sent = post(State::Publishing);
    sent.intent_at = Some(NOW);
    let mut link = post(State::Publishing);
    link.caption = "see example.com".to_owned();
    let mut left = post(State::Canceled);
    left.intent_at = Some(NOW);
    let mut posted = post(State::Posted);
    posted.x_post_id = Some("1993".to_owned());
    let mut described = link.clone();
    described.options.sensitive = Sensitive { other: true, ..Sensitive::default() };
    let mut without = posted.clone();
    without.notes = vec![Note::AltTextNotTaken];
    let warned = |mut post: Post| {
        let warning = warning(&Warning::MayBeTooLong(std::time::Duration::from_secs(300)));
        post.notes = vec![Note::Video { warning }];
        post
    };
    let mut rejected = post(State::Failed);
    rejected.failure = Some(Failure::MediaRejected { reason: String::new() });
    insta::assert_snapshot!(catalogue([
        ("with a warning".into(), shown(&warned(post(State::Processing)))),
        ("failed, with a warning".into(), shown(&warned(rejected))),
        ("waiting".into(), shown(&post(State::Staging))),
        ("receiving".into(), shown(&received)),
        ("checking".into(), shown(&post(State::Inspecting))),
        ("upload begun".into(), shown(&begun)),
        ("uploading".into(), shown(&uploading)),
        ("processing".into(), shown(&processing)),
        ("posting".into(), shown(&sent)),
        ("posting with a link".into(), shown(&link)),
        ("describing".into(), shown(&post(State::Describing))),
        ("posting with a link and a warning".into(), shown(&described)),
        ("posted".into(), shown(&posted)),
        ("posted without the alternative text".into(), shown(&without)),
        ("on the person's word".into(), shown(&post(State::Posted))),
        ("unsure".into(), shown(&post(State::NeedsUser))),
        ("cancelled".into(), shown(&post(State::Canceled))),
        ("left in doubt".into(), shown(&left)),
        (
            "on X twice".into(),
            read(&posted_twice(
                "surf.mov",
                "alice_makes",
                "https://x.com/alice_makes/status/1993",
                "https://x.com/alice_makes/status/1994",
            )),
        ),
    ]));
}

#[test]
fn a_post_that_waits() {
    let until = NOW + 300_000;
    let party = |with| Waiting::Trouble { with, until };
    let waits = [
        Waiting::RateLimit { until },
        party(Party::X),
        party(Party::Chat),
        party(Party::Staging),
        Waiting::Credits { until },
        Waiting::SpendCap { until },
        Waiting::NotEnrolled { until },
        Waiting::PostCap { until },
        Waiting::DailyLimit { until },
        Waiting::Reconnect,
        Waiting::Looking,
    ];
    insta::assert_snapshot!(catalogue(waits.map(|waiting| {
        let mut post = post(State::Uploading);
        let name = format!("{waiting:?}").replace(&until.to_string(), "…");
        post.intent_at = (waiting == Waiting::Looking).then_some(NOW);
        post.waiting = Some(waiting);
        (name, shown(&post))
    })));
}

#[test]
fn a_post_that_failed() {
    let text = |text: &str| text.to_owned();
    let failures = [
        Failure::FileGone,
        Failure::FileEmpty,
        Failure::FileTooLarge { limit: 20 << 20 },
        Failure::DayFull { limit: 2_000_000_000 },
        Failure::LargerThanADay { limit: 2_000_000_000 },
        Failure::VideoRefused { reason: text("The end of the file is missing. Send the video again.") },
        Failure::ForeignFile,
        Failure::StagingLost,
        Failure::MediaRejected { reason: String::new() },
        Failure::MediaRejected { reason: text("InvalidMedia") },
        Failure::ProcessingTooLong,
        Failure::PartsTooLarge { bytes: 239_000 },
        Failure::PartsTooLarge { bytes: 1_500_000 },
        Failure::CaptionTooLong { weighted: 302, limit: 280 },
        Failure::Duplicate,
        Failure::TooLongForAccount { minutes: Some(2) },
        Failure::TooLongForAccount { minutes: None },
        Failure::AccountRestricted,
        Failure::MissingPermission,
        Failure::LinkRefused,
        Failure::TooManyCashtags,
        Failure::WarningNotTaken,
        Failure::Refused { detail: String::new() },
        Failure::Refused { detail: text("Reply is not allowed.") },
        Failure::Disconnected,
        Failure::Blocked,
        Failure::GaveUp { on: Party::X },
        Failure::GaveUp { on: Party::Chat },
        Failure::GaveUp { on: Party::Staging },
        Failure::CrashLoop,
        Failure::Internal,
    ];
    insta::assert_snapshot!(catalogue(failures.map(|failure| {
        let mut post = post(State::Failed);
        let name = format!("{failure:?}");
        post.failure = Some(failure);
        (name, shown(&post))
    })));
}

#[test]
fn answers() {
    let tokens = [
        ApiToken {
            id: Uuid::from_u128(1),
            name: "backup script".to_owned(),
            last4: "x7Qa".to_owned(),
            created_at: NOW - 3_600_000,
            last_used_at: Some(NOW),
        },
        ApiToken {
            id: Uuid::from_u128(2),
            name: String::new(),
            last4: "b_9Z".to_owned(),
            created_at: NOW,
            last_used_at: None,
        },
    ];
    let profile = Profile {
        id: account().id,
        username: "alice_makes".to_owned(),
        name: "Alice".to_owned(),
        avatar_url: None,
        tier: Tier::Free,
    };
    let mut second = account();
    second.id = AccountId("99".to_owned());
    second.username = "surf_club".to_owned();
    second.name = String::new();
    second.preferred = false;
    second.state = AccountState::ReconnectNeeded;
    let two = [account(), second];
    let too_long = crate::caption::Caption::parse("x".repeat(302), crate::caption::LIMIT).unwrap_err();
    let control = crate::caption::Caption::parse("a\u{0}b", crate::caption::LIMIT).unwrap_err();
    let too_long_alt = AltTextTooLong { characters: 1_020 };
    let listed = [(post(State::Failed), account(), None), {
        (post(State::Posted), account(), Some("https://x.com/alice_makes/status/1993".to_owned()))
    }];
    let messages = [
        ("help on Discord", help(Platform::Discord)),
        ("start on Telegram", start(Platform::Telegram)),
        ("connect", connect("https://x.com/i/oauth2/authorize")),
        ("connect what", connect_what("")),
        ("connect bluesky", connect_what("bluesky")),
        ("private chat", open_private_chat(Some("https://t.me/toall_bot"))),
        ("linked", linked(&profile)),
        ("not linked", not_linked()),
        ("no accounts", accounts(&[])),
        ("one account", accounts(&two[..1])),
        ("two accounts", accounts(&two)),
        ("preferred", preferred(&two[0])),
        ("disconnect which", disconnect_which(&two)),
        ("unknown account", unknown_account("bob", &two)),
        ("nothing linked", nothing_linked()),
        ("disconnected", disconnected(&two[0], false, true)),
        ("disconnected, X not told", disconnected(&two[0], false, false)),
        ("disconnected, others remain", disconnected(&two[0], true, false)),
        ("reconnect first", reconnect_first(&two[1])),
        ("unknown command", unknown("pots")),
        ("no command", unknown("")),
        ("no video on Discord", no_video(Platform::Discord)),
        ("no video on Telegram", no_video(Platform::Telegram)),
        ("a photo", not_a_video(Kind::Photo)),
        ("empty file", empty_file()),
        ("too large for Telegram", too_large_for_chat(Platform::Telegram, 84_000_000, 20 << 20)),
        (
            "too large for Telegram, in private",
            with_upload_link(
                too_large_for_chat(Platform::Telegram, 84_000_000, 20 << 20),
                "https://toall.example/upload/…",
            ),
        ),
        (
            "too large for Telegram, in a group",
            with_upload_button(too_large_for_chat(Platform::Telegram, 84_000_000, 20 << 20)),
        ),
        ("too large for X", too_large_for_x(9_000_000_000, 8_388_608_000)),
        ("caption too long", caption_refused(&too_long, Platform::Telegram)),
        ("caption too long on Discord", caption_refused(&too_long, Platform::Discord)),
        ("caption with a control character", caption_refused(&control, Platform::Telegram)),
        ("alternative text too long", alt_text_refused(too_long_alt, Platform::Discord)),
        ("no posts", posts(&[], NOW)),
        ("posts", posts(&listed, NOW)),
        ("too late", too_late()),
        ("cancelled", cancelled("surf.mov", false)),
        ("left in doubt", cancelled("surf.mov", true)),
        ("nothing to cancel", nothing_to_cancel()),
        ("not yours", not_yours()),
        ("upload", upload("https://toall.example/upload/…")),
        ("web", web("https://toall.example/accounts/…")),
        ("token", api_token("toall_…")),
        ("tokens, none", api_tokens(&[])),
        ("tokens", api_tokens(&tokens)),
        ("too many tokens", too_many_tokens(&tokens)),
        ("token ended", token_ended()),
        ("our fault", our_fault()),
        ("perhaps taken", perhaps_taken()),
        ("form out of date", form_out_of_date()),
        ("moved", moved()),
    ];
    insta::assert_snapshot!(catalogue(messages.map(|(name, message)| (name.to_owned(), read(&message)))));
}

#[test]
fn limits_of_the_operator_and_what_only_they_can_mend() {
    let (frees_at, month) = (NOW, Some(NOW));
    let over = |name: &str, over| (name.to_owned(), read(&over_limit(&over)));
    let told = |name: &str, message: Message| (name.to_owned(), read(&message));
    insta::assert_snapshot!(catalogue([
        told("not admitted", not_admitted("telegram:5", false, false)),
        told("not admitted, with groups", not_admitted("discord:5", true, false)),
        told("not admitted, nobody runs it yet", not_admitted("telegram:5", false, true)),
        told("blocked", blocked()),
        told("claimed", claimed()),
        told("claim refused", claim_refused()),
        told("claim later", claim_later()),
        told("slow down", slow_down()),
        over("one under way", OverLimit::InFlight { limit: 1 }),
        over("under way", OverLimit::InFlight { limit: 100 }),
        over("posts", OverLimit::Posts { limit: 20, frees_at }),
        over("bytes", OverLimit::Bytes { limit: 2_000_000_000, left: 84_000_000, frees_at: Some(NOW) }),
        over("bytes, never", OverLimit::Bytes { limit: 2_000_000_000, left: 84_000_000, frees_at: None }),
        over("budget", OverLimit::Budget { left: Mills(5), frees_at: month }),
        over("budget, never", OverLimit::Budget { left: Mills(5), frees_at: None }),
        over("budget, without a link", OverLimit::Budget { left: Mills(150), frees_at: month }),
        over("budget, never with a link", OverLimit::Budget { left: Mills(150), frees_at: None }),
        told("operator: credits", operator_paused(Pause::Credits)),
        told("operator: spending limit", operator_paused(Pause::SpendCap)),
        told("operator: not enrolled", operator_paused(Pause::NotEnrolled)),
        told("operator: cap on posts", operator_paused(Pause::PostCap)),
        told("operator: it goes on", operator_resumed()),
        told("operator: app refused", operator_client_rejected()),
        told("operator: app accepted", operator_client_accepted()),
        told("operator: Telegram rejects the token", operator_chat_rejected("Telegram")),
        told("operator: Discord rejects the token", operator_chat_rejected("Discord")),
        told("operator: token accepted", operator_chat_accepted("Discord")),
        told("operator: read cap", operator_read_cap()),
        told("operator: call closed", operator_call_closed("POST /2/media/metadata")),
        told("operator: budget near", operator_budget_near(Mills(20_015), Mills(25_000))),
        told("operator: budget spent", operator_budget_spent(Mills(25_000))),
        told("operator: storage", operator_storage()),
        told("operator: storage works", operator_storage_works()),
        told("operator: unreadable post", operator_unreadable_post("0197")),
        told("operator: result rejected", operator_result_rejected("0197")),
    ]));
}

#[test]
fn what_x_may_mind_about_a_video() {
    let seconds = std::time::Duration::from_secs;
    let warnings = [
        Warning::MayBeTooLong(seconds(300)),
        Warning::AboveLimit(seconds(1200)),
        Warning::MayBeTooShort,
        Warning::CutOff,
        Warning::DurationUnknown,
        Warning::NotRead(Container::M2ts),
        Warning::NotRead(Container::WebM),
        Warning::VideoCodec(VideoCodec::Hevc),
        Warning::AudioCodec(AudioCodec::HeAac),
        Warning::AudioCodec(AudioCodec::Mp3),
        Warning::Channels(6),
        Warning::Size(3840, 2160),
        Warning::OddSize(721, 1280),
        Warning::AspectRatio(2000, 200),
        Warning::StretchedPixels,
        Warning::FrameRate(119.88),
        Warning::Interlaced,
        Warning::KeyFrameGap(600),
        Warning::PixelFormat(Some(10), None),
    ];
    let lines: Vec<String> = warnings.iter().map(warning).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_list_of_accounts_fits_into_a_message_of_any_chat() {
    let mut longest = account();
    longest.username = "_".repeat(15);
    longest.name = "*".repeat(50);
    longest.preferred = false;
    longest.state = AccountState::ReconnectNeeded;
    let many = vec![longest; 60];
    for message in [accounts(&many), unknown_account(&"*".repeat(80), &many)] {
        let text = read(&message);
        // Discord takes 2,000 characters, and each may need a backslash.
        assert!(text.chars().count() <= 1_000, "{}", text.chars().count());
        assert!(text.contains(" more"), "{text}");
    }
}

#[test]
fn deeds_survive_the_way_through_a_chat() {
    let id = PostId(Uuid::now_v7());
    let account = AccountId("9".repeat(20));
    for deed in [
        Deed::Cancel(id),
        Deed::Retry(id),
        Deed::PostAgain(id),
        Deed::ItIsThere(id),
        Deed::Connect,
        Deed::Upload,
        Deed::Disconnect(account.clone()),
        Deed::Prefer(account),
    ] {
        let text = deed.to_string();
        assert!(text.len() <= 64, "{text}");
        assert_eq!(text.parse::<Deed>().unwrap(), deed);
    }
    for text in ["", "cancel", "cancel:7", "prefer:", "prefer:12x", "connect:1", "explode:1"] {
        assert!(text.parse::<Deed>().is_err(), "{text}");
    }
}

#[test]
fn sizes_and_spans_are_as_people_write_them() {
    assert_eq!(size(0), "0 bytes");
    assert_eq!(size(239_000), "239 kB");
    assert_eq!(size(8_400_000), "8.4 MB");
    assert_eq!(size(84_000_000), "84 MB");
    assert_eq!(size(8_388_608_000), "8.4 GB");
    assert_eq!(length(42_000), "0:42");
    assert_eq!(length(3_723_000), "1:02:03");
    assert_eq!(span(6_000), "6 s");
    assert_eq!(span(150_000), "3 min");
    assert_eq!(file_name("../\u{202e}a\u{7}\n.mp4"), "../a.mp4");
    assert_eq!(file_name(&"a".repeat(100)).chars().count(), 60);
    assert_eq!(file_name(" \n"), "video");
}
