//! Any of three processes is killed at any moment, again and again, while posts keep coming.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, PgConnection};
use toall::clock::Clock;
use tokio_util::task::AbortOnDropHandle;

use super::{Sent, Three, node};
use crate::{
    crash::{check::HANGING, number, people::EVERYBODY, s3, site},
    world::{PATIENCE, sha256_hex},
};

/// Posts of a plain `cargo test`.
const POSTS: u64 = 12;
const SEED: u64 = 20_261_123;
/// So many posts may be under way.
const UNDER_WAY: usize = 8;
/// How many die together, drawn from these.
const AT_ONCE: [usize; 6] = [1, 1, 1, 1, 2, 3];

/// How long after a kill the database may still be doing what it was told before.
const LAST_WORD_MS: i64 = 1_000;
/// How long a status is one process's to write.
const TURN_MS: i64 = 30_000;

/// What came of it, by what a process had in hand when it was killed.
#[derive(Default)]
struct Kills(BTreeMap<String, usize>);

/// A minute passes at once for what the dead held, as often as it is looked at: what a process had sent before it died may
/// be written after.
async fn time_flies_for(dead: Arc<Mutex<(Vec<String>, i64)>>, mut database: PgConnection) {
    loop {
        tokio::time::sleep(super::WRITTEN_DOWN).await;
        let (names, last) = dead.lock().unwrap().clone();
        let turns = last + LAST_WORD_MS + TURN_MS;
        for name in names {
            let statements = format!(
                "UPDATE x_accounts SET due_at = 0 WHERE lease_owner = '{name}' AND due_at > 0;
                 UPDATE leases SET due_at = 0 WHERE owner = '{name}' AND due_at > 0;
                 UPDATE posts SET status_taken_until = 0 WHERE status_taken_until BETWEEN 1 AND {turns}"
            );
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut database).await.unwrap();
        }
    }
}

impl Kills {
    /// Notes what a process holds by the database, and kills it.
    async fn kill(
        &mut self,
        three: &Three,
        victim: usize,
        dead: &Mutex<(Vec<String>, i64)>,
        database: &mut PgConnection,
    ) {
        let child = &three.children[victim];
        let name = node(child);
        let mut in_hand: Vec<String> = sqlx::query_scalar(
            "SELECT p.state FROM x_accounts a JOIN posts p ON p.id = a.current_post_id WHERE a.lease_owner = $1
              UNION ALL SELECT name FROM leases WHERE owner = $1 AND name LIKE 'telegram%'",
        )
        .bind(&name)
        .fetch_all(&mut *database)
        .await
        .unwrap();
        assert!(child.kill(), "it runs");
        let mut dead = dead.lock().unwrap();
        dead.0.push(name);
        dead.1 = Clock::system().now_ms();
        drop(dead);
        if in_hand.is_empty() {
            in_hand.push("nothing".to_owned());
        }
        for what in in_hand {
            *self.0.entry(what).or_default() += 1;
        }
    }
}

/// `KILLS_POSTS` and `KILLS_SEED` make another run.
#[tokio::test(flavor = "multi_thread")]
async fn any_process_is_killed_again_and_again_and_every_post_is_made_once() {
    let Some(three) = Three::start().await else { return };
    let seed = number("KILLS_SEED").unwrap_or(SEED);
    let wanted = usize::try_from(number("KILLS_POSTS").unwrap_or(POSTS)).unwrap();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut database = three.connection().await;
    let started = Instant::now();
    let (mut sent, mut films): (Vec<Sent>, BTreeMap<String, String>) = Default::default();
    let (mut kills, mut count) = (Kills::default(), 0);
    let dead = Arc::new(Mutex::new((Vec::new(), 0)));
    let _time = AbortOnDropHandle::new(tokio::spawn(time_flies_for(dead.clone(), three.connection().await)));
    while sent.len() < wanted {
        // The longer a run, the longer the pauses: it is to come to an end.
        let pause = rng.u64(200..1_200.max(2 * wanted as u64));
        let next = tokio::time::Instant::now() + Duration::from_millis(pause);
        let mut asked = three.x.changes();
        loop {
            let made = three.x.posts().len();
            while sent.len() < wanted && sent.len() < made + UNDER_WAY {
                let film = site::film(0, &mut rng);
                let caption = format!("Post {}", sent.len());
                sent.push(three.post(EVERYBODY[sent.len() % EVERYBODY.len()], &caption, &film));
                films.insert(caption, sha256_hex(&film));
                if sent.len() % 100 == 0 {
                    println!("{} posts and {count} kills in {} s", sent.len(), started.elapsed().as_secs());
                }
            }
            if tokio::time::timeout_at(next, asked.changed()).await.is_err() {
                break;
            }
        }
        let mut victims = [0, 1, 2];
        rng.shuffle(&mut victims);
        let victims = &victims[..AT_ONCE[rng.usize(..AT_ONCE.len())]];
        for victim in victims {
            kills.kill(&three, *victim, &dead, &mut database).await;
            count += 1;
        }
        for victim in victims {
            three.children[*victim].start();
        }
        for victim in victims {
            three.children[*victim].until_ready().await;
        }
    }
    println!("the last kill was {} s after the start", started.elapsed().as_secs());
    three.until_all_are_over(wanted).await;

    let took = started.elapsed();
    let mut found = Vec::new();
    let on_x = three.x.posts();
    for (caption, film) in &films {
        let of_it: Vec<_> = on_x.iter().filter(|post| &post.text == caption).collect();
        match of_it[..] {
            [post] if post.media.len() == 1 && post.media[0].sha256_hex.as_ref() == Some(film) => {}
            [_] => found.push(format!("{caption} has other bytes on X")),
            [] => found.push(format!("lost: {caption}")),
            _ => found.push(format!("doubled: {caption} is on X {} times", of_it.len())),
        }
    }
    // A message that was sent and not noted is sent again: Telegram knows no key that would keep a second one out.
    let mut left_behind = 0;
    for person in EVERYBODY {
        let said = three.telegram.said(person.user.id);
        for post in sent.iter().filter(|post| post.by.user.id == person.user.id) {
            let answers: Vec<_> = said.iter().filter(|shown| shown.reply_to == Some(post.message)).collect();
            if !answers.iter().any(|shown| shown.text.starts_with("Posted to")) {
                found.push(format!("silent: {answers:#?}"));
            }
            left_behind += answers.len().saturating_sub(1);
        }
    }
    if left_behind > count * EVERYBODY.len() {
        found.push(format!("{left_behind} messages are left behind by {count} kills"));
    }
    found.extend(hanging(&three, &mut database).await);
    println!(
        "seed {seed}: {} posts, {count} kills in {} s; killed with in hand {:?}; {left_behind} messages left behind; found {found:#?}",
        sent.len(),
        took.as_secs(),
        kills.0,
    );
    assert!(found.is_empty(), "{found:#?}");
    assert!(count > 0, "nothing was killed");
}

/// What is not at rest after some patience: rows that wait, and films that are still kept.
async fn hanging(three: &Three, database: &mut PgConnection) -> Vec<String> {
    let bucket = three.folder.path().join("bucket").join(s3::BUCKET);
    let until = Instant::now() + PATIENCE;
    loop {
        let mut hanging = Vec::new();
        for statement in HANGING {
            let count: i64 =
                sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *database).await.unwrap();
            if count > 0 {
                hanging.push(format!("{count} by {statement}"));
            }
        }
        hanging.extend(site::objects(&bucket).into_iter().map(|name| format!("{name} is left in staging")));
        if hanging.is_empty() || Instant::now() > until {
            return hanging;
        }
        // What is let go of is told to nobody.
        tokio::time::sleep(super::WRITTEN_DOWN).await;
    }
}
