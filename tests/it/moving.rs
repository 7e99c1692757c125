//! An installation that goes to another database, and one that comes back from a backup.

use std::{fs, process::Command};

use tempfile::TempDir;
use toall::{
    app::reconcile::reconcile,
    post::State,
    sandbox::{Answer, Call, Effect, Fault, Gate},
    store::{LEASE, Lost},
};

use crate::{
    postgres,
    wire::Wire,
    world::{World, read, sample},
};

/// Another database than the suite runs on, where there is one; kept for as long as the values live.
async fn elsewhere() -> (String, TempDir, Option<postgres::Database>) {
    let folder = TempDir::new().unwrap();
    if !postgres::wanted()
        && let Some(cluster) = postgres::cluster().await
    {
        let database = cluster.empty().await;
        return (database.url.clone(), folder, Some(database));
    }
    (format!("sqlite:{}", folder.path().join("moved.db").display()), folder, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_another_engine_and_goes_on_there() {
    let mut world = World::linked().await;
    world.post("alice", "Before", &sample()).await;
    world.settle().await;
    world.stop().await;

    let (to, folder, _database) = elsewhere().await;
    let file = folder.path().join("config.toml");
    let data = world.config.data_dir.display();
    fs::write(&file, format!("data_dir = '{data}'\ntwitter.client_id = 'id'\n")).unwrap();
    let address = folder.path().join("address");
    fs::write(&address, &to).unwrap();
    let from = secrecy::ExposeSecret::expose_secret(&world.config.database.url).to_owned();
    let migrate = |from: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_toall"));
        program.env_remove("TOALL_TEST_DATABASE");
        program.arg("migrate-database").arg("--config").arg(&file).args(["--from", from]);
        let output = program.arg(format!("--to=file:{}", address.display())).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (done, said, wrong) = migrate(&from);
    assert!(done, "{wrong}");
    // What comes before tells of progress on a machine that is slow.
    assert!(said.contains("Moved, read back and compared:\n"), "{said}");
    assert!(said.lines().any(|line| line.split_whitespace().eq(["posts", "1", "row"])), "{said}");
    assert!(said.contains("keep the key"), "{said}");

    // Once more: it is not empty any more.
    let (done, _, wrong) = migrate(&from);
    assert!(!done && wrong.contains("is not empty"), "{wrong}");
    let (done, _, wrong) = migrate("mysql://toall:hidden@localhost/toall");
    assert!(!done && wrong.starts_with("--from is not a database toall knows."), "{wrong}");
    assert!(!wrong.contains("hidden"), "{wrong}");

    world.config.database.url = to.as_str().into();
    world.boot().await;
    let before = world.row("alice").await;
    assert_eq!((before.caption.as_str(), before.state), ("Before", State::Posted));
    world.post("alice", "After", &sample()).await;
    world.settle().await;
    let texts: Vec<_> = world.x.posts().into_iter().map(|post| post.text).collect();
    assert_eq!(texts, ["Before", "After"]);
    world.stop().await;
}

/// What a backup holds.
enum Backup {
    File(TempDir),
    Postgres(postgres::Database),
}

impl Backup {
    /// Of a service that is dead. Its connections may still be closing: so files are not copied one by one.
    async fn of(world: &World) -> Backup {
        if postgres::wanted() {
            let url: url::Url =
                secrecy::ExposeSecret::expose_secret(&world.config.database.url).parse().unwrap();
            let name = url.path().trim_start_matches('/');
            return Backup::Postgres(postgres::cluster().await.unwrap().copy(name).await);
        }
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("backup.db").to_str().unwrap().to_owned();
        sqlx::query("VACUUM INTO $1").bind(file).execute(&mut world.connection().await).await.unwrap();
        Backup::File(folder)
    }

    fn restore(&self, world: &mut World) {
        match self {
            Backup::Postgres(database) => world.config.database.url = database.url.as_str().into(),
            Backup::File(folder) => {
                let database = world.database();
                for end in ["-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{end}", database.display()));
                }
                fs::copy(folder.path().join("backup.db"), database).unwrap();
            }
        }
    }
}

/// A world that posted once, and whose database is back at the moment when this request was out; down.
async fn restored_to(call: Call) -> (World, Backup) {
    let mut world = World::linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(call, Effect::Hold(gate.clone())));
    world.post("alice", "Once", &sample()).await;
    world.until("the held request", |_| held.fired() == 1).await;
    world.until_said().await;
    world.kill().await;
    let backup = Backup::of(&world).await;
    world.let_act(call, &gate).await;
    world.boot().await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    world.stop().await;
    backup.restore(&mut world);
    (world, backup)
}

async fn reconciled(world: &World, lost: Lost) -> String {
    let mut out = Vec::new();
    reconcile(&world.config, lost, &world.clock, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_made_after_the_backup_is_found_and_not_made_again() {
    let (mut world, _backup) = restored_to(Call::Finalize).await;
    let said = reconciled(&world, Lost::Long).await;
    assert_eq!(said, "Looked for at X before anything is sent: 1 post.\nNow start toall.\n");
    // Once more does no harm.
    assert_eq!(reconciled(&world, Lost::Long).await, said);
    world.boot().await;
    world.settle().await;
    let row = world.row("alice").await;
    assert_eq!((row.state, row.x_post_id), (State::Posted, Some(world.x.posts()[0].id.clone())));
    assert_eq!(world.x.posts().len(), 1);
    world.assert_at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reconciling_it_is_made_twice() {
    let (mut world, _backup) = restored_to(Call::Finalize).await;
    world.boot().await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 2, "the reason for `toall reconcile`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_cannot_be_told_on_x_is_asked_about() {
    let (mut world, _backup) = restored_to(Call::Initialize).await;
    assert_eq!(
        reconciled(&world, Lost::Seconds).await,
        "Nothing to do: no post needs to be looked for.\n",
        "within seconds it cannot have come to X"
    );
    let said = reconciled(&world, Lost::Long).await;
    assert_eq!(
        said,
        "Not to be told at X, since no upload had begun, so that their people are asked: 1 post.\nNow start toall.\n"
    );
    world.boot().await;
    world.settle().await;
    assert_eq!(world.last_text("alice"), world.asked());
    assert_eq!(world.x.posts().len(), 1);
    world.press("alice", &world.last("alice"), "It is there").await;
    world.settle().await;
    assert_eq!(world.row("alice").await.state, State::Posted);
    assert_eq!(world.x.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_not_on_x_is_asked_about_and_made_once() {
    let mut world = World::linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Initialize, Effect::Hold(gate.clone())));
    world.post("alice", "Once", &sample()).await;
    world.until("the held request", |_| held.fired() == 1).await;
    world.until_said().await;
    world.kill().await;
    reconciled(&world, Lost::Long).await;
    gate.open();
    world.boot().await;
    world.settle().await;
    let question = world.last("alice");
    assert_eq!(read(&question.message), world.asked());
    assert_eq!(world.x.posts().len(), 0);
    world.press("alice", &question, "Post it again").await;
    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_post_that_was_tried_again_since_is_not_made_twice() {
    let mut world = World::linked().await;
    let refusal = Answer::json(
        403,
        &serde_json::json!({"title": "Forbidden", "status": 403, "detail": "You are not allowed to do this."}),
    );
    let fault = world.x.order(Fault::on(Call::CreatePost, Effect::Refuse(refusal)));
    world.post("alice", "Once", &sample()).await;
    world.settle().await;
    assert_eq!(fault.fired(), 1);
    assert_eq!(world.row("alice").await.state, State::Failed);
    world.stop().await;
    let backup = Backup::of(&world).await;
    world.boot().await;
    let failed = world.last("alice");
    world.press("alice", &failed, "Try again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    world.stop().await;
    backup.restore(&mut world);
    assert_eq!(
        reconciled(&world, Lost::Long).await,
        "Looked for if their people try them again: 1 failed post.\nNow start toall.\n"
    );
    world.boot().await;
    world.press("alice", &failed, "Try again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1, "{}", world.last_text("alice"));
    assert_eq!(world.row("alice").await.state, State::NeedsUser);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_was_answered_since_is_looked_into_again() {
    let mut world = World::linked().await;
    world.x.order(Fault::on(Call::CreatePost, Effect::Drop));
    world.post("alice", "Once", &sample()).await;
    world.settle().await;
    let question = world.last("alice");
    assert_eq!(read(&question.message), world.asked());
    world.stop().await;
    let backup = Backup::of(&world).await;
    world.boot().await;
    world.press("alice", &question, "Post it again").await;
    world.settle().await;
    assert_eq!(world.x.posts().len(), 1);
    world.stop().await;
    backup.restore(&mut world);
    assert_eq!(
        reconciled(&world, Lost::Long).await,
        "Looked for at X before anything is sent: 1 post.\nNow start toall.\n"
    );
    world.boot().await;
    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_missed_the_last_commits_takes_over_while_toall_runs() {
    if !postgres::wanted() {
        return eprintln!("left out on SQLite: a standby that takes over");
    }
    let (primary, standby) = postgres::Cluster::pair().await.unwrap();
    let wire = Wire::to(primary.port()).await;
    let world = World::over(&wire, primary.database().await).await.and_linked().await;
    let gate = Gate::closed();
    let held = world.x.order(Fault::on(Call::Finalize, Effect::Hold(gate.clone())));
    world.post("alice", "Once", &sample()).await;
    world.until("the held request", |_| held.fired() == 1).await;
    world.until_said().await;
    standby.fall_behind(&primary).await;
    gate.open();
    world.settle().await;
    assert_eq!(world.row("alice").await.state, State::Posted);

    primary.crash();
    standby.promote().await;
    wire.turn_to(standby.port());
    assert_eq!(
        reconciled(&world, Lost::Seconds).await,
        "Looked for at X before anything is sent: 1 post.\nNow start toall.\n"
    );
    assert_eq!(world.row("alice").await.state, State::Publishing);
    // Who took the lane then knows that it is past it.
    world.pass(LEASE);
    world.settle().await;
    world.assert_posted_once("alice", "Once", &sample()).await;
}
