//! Files that are not where they say, and names that are not only names.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use toall::{
    account::Platform,
    chat::Ask,
    post::{Attachment, Kind, State},
    sandbox::{Call, Effect, Fault, Gate},
};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    discord::{Discord, File},
    telegram::{ALICE, TOKEN, Telegram},
    world::{World, read, sample},
};

fn post(platform: Platform, source: &str, name: &str) -> Ask {
    let file = Attachment {
        platform,
        source: source.to_owned(),
        name: name.to_owned(),
        bytes: None,
        content_type: None,
        kind: Kind::Video,
    };
    Ask::Post {
        caption: "hush".to_owned(),
        options: Default::default(),
        account: String::new(),
        file: Some(file),
        dedupe_key: Uuid::now_v7().to_string(),
    }
}

/// Somebody's service on this machine that nobody should ask; whether anybody did.
struct Neighbour(TcpListener);

impl Neighbour {
    async fn new() -> (Neighbour, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Neighbour(listener), port)
    }

    fn assert_left_alone(self) {
        let listener = self.0.into_std().unwrap();
        let knocked = listener.accept();
        assert!(
            matches!(&knocked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{knocked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_elsewhere_is_refused_and_nobody_is_asked() {
    let (neighbour, port) = Neighbour::new().await;
    let discord = Discord::start(Default::default()).await;
    let settings = discord.settings();
    let world = World::with(|_, config| config.discord = Some(settings)).await.and_linked().await;
    let ours =
        discord.attach("surf.mov", "video/quicktime", File::Redirects(format!("http://127.0.0.1:{port}/")));
    let sideways = discord.attach("x.mov", "video/quicktime", File::Redirects("//127.0.0.1:1/".to_owned()));
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.0.0.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://cdn.discordapp.com@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}/#@cdn.discordapp.com"),
        format!("https://127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://[fe80::1]/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
        ours.url,
        sideways.url,
    ] {
        world.ask("alice", post(Platform::Discord, &url, "surf.mov")).await;
        world.settle().await;
        let row = world.row("alice").await;
        assert_eq!(row.state, State::Failed, "{url}");
        assert_eq!(row.failure, Some(toall::post::Failure::ForeignFile), "{url}");
        assert!(
            world.last_text("alice").starts_with("surf.mov was not posted"),
            "{}",
            world.last_text("alice")
        );
    }
    neighbour.assert_left_alone();
    assert_eq!(world.x.posts().len(), 0);
    assert_eq!(world.staged(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_bot_api_server_makes_us_read_no_file_but_its_own() {
    let (neighbour, port) = Neighbour::new().await;
    let dir = tempfile::tempdir().unwrap();
    let telegram = Telegram::start_local(dir.path().to_owned()).await;
    let settings = telegram.settings();
    let world = World::with(|_, config| config.telegram = Some(settings)).await.and_linked().await;
    telegram.private(ALICE).video("surf.mp4", fs::read(sample()).unwrap(), "");
    let source = telegram.file_ids().pop().unwrap();

    let own = dir.path().join(TOKEN);
    // A good video, where no file of the bot's belongs: were it read, it would be posted.
    let outside = dir.path().join("outside.mp4");
    fs::copy(sample(), &outside).unwrap();
    fs::copy(sample(), own.join("td.binlog")).unwrap();
    symlink(&outside, own.join("videos/link.mp4")).unwrap();
    let (outside, own) = (outside.to_str().unwrap(), own.to_str().unwrap());
    for path in [
        outside.to_owned(),
        world.config.data_dir.join("toall.key").to_str().unwrap().to_owned(),
        "/etc/passwd".to_owned(),
        "/dev/zero".to_owned(),
        "/proc/self/environ".to_owned(),
        format!("{own}/td.binlog"),
        format!("{own}/videos/../../outside.mp4"),
        format!("{own}/videos/link.mp4"),
        format!("{own}/videos"),
    ] {
        telegram.claim_path(&path);
        world.ask("alice", post(Platform::Telegram, &source, "surf.mp4")).await;
        world.settle().await;
        assert_eq!(world.row("alice").await.state, State::Failed, "{path}");
        let said = world.last_text("alice");
        assert!(said.starts_with("surf.mp4 was not posted") && !said.contains(&path), "{said}");
    }
    for path in [
        "../../etc/passwd".to_owned(),
        format!("../bot{TOKEN}/videos/file.mp4"),
        format!("http://127.0.0.1:{port}/file.mp4"),
        format!("//127.0.0.1:{port}/file.mp4"),
        "%2e%2e/%2e%2e/file.mp4".to_owned(),
        "a?b#c\r\nx: y".to_owned(),
    ] {
        telegram.claim_path(&path);
        world.ask("alice", post(Platform::Telegram, &source, "surf.mp4")).await;
        world.settle().await;
        // An address is a name like any other to the server that is asked for it.
        let wanted = if path.starts_with("http") { State::Posted } else { State::Failed };
        assert_eq!(world.row("alice").await.state, wanted, "{path}");
    }
    neighbour.assert_left_alone();
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_name_is_shown_on_one_line_and_is_no_path_anywhere() {
    let world = World::linked().await;
    let long = format!("{}.mp4", "x".repeat(10_000));
    for name in [
        "../../../../etc/cron.d/evil.mp4",
        "/etc/passwd",
        "..\\..\\evil.mp4",
        "a\r\nPosted to @mallory\nhttps://evil.example\u{2028}.mp4",
        "\u{202e}4pm.evil",
        "\u{2066}\u{2067}\u{2069}",
        "\u{1b}[2J\u{7}\0.mp4",
        "<script>alert(1)</script>.mp4",
        "",
        "..",
        &long,
    ] {
        let gate = Gate::closed();
        let held = world.x.order(Fault::on(Call::Initialize, Effect::Hold(gate.clone())));
        let before = world.x.posts().len();
        world.ask("alice", post(Platform::Console, sample().to_str().unwrap(), name)).await;
        world.until("the upload", |_| held.fired() == 1).await;
        let id = world.row("alice").await.id.to_string();
        let staged = world.staged();
        let kept: Vec<_> = staged.iter().filter(|path| path.ends_with(format!("posts/{id}"))).collect();
        assert_eq!(kept.len(), 1, "{name:?} is kept under the post's own id: {staged:?}");
        gate.open();
        world.settle().await;

        assert_eq!(world.x.posts().len(), before + 1, "{name:?}");
        for shown in world.last("alice").history.iter().map(read) {
            let odd = |c: char| {
                (c.is_control() && c != '\n')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!shown.contains(odd), "{shown:?}");
            assert!(
                !shown.starts_with("Posted to @mallory") && !shown.contains("\nPosted to @mallory"),
                "{shown:?}"
            );
            assert!(shown.chars().count() < 400, "{shown:?}");
        }
    }
    let beside: Vec<_> = fs::read_dir(world.config.data_dir.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("evil") || name.contains("cron"))
        .collect();
    assert_eq!(beside, [""; 0]);
}
