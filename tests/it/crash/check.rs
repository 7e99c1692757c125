//! What must hold after every round, whatever died.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    people::EVERYBODY,
    plan::{Film, Plan},
    round::{Fault, Finding, LINK_FIRST, Report},
    site::{Row, Site},
};
use crate::world::sha256_hex;

/// What is said to a button that was pressed too late.
const STALE: &str = "That no longer applies: the post has moved on.";

/// What there is none of in a database at rest, on either engine.
pub const HANGING: [&str; 4] = [
    "SELECT count(*) FROM x_accounts WHERE lease_owner IS NOT NULL",
    "SELECT count(*) FROM x_accounts WHERE due_at IS NOT NULL OR current_post_id IS NOT NULL",
    "SELECT count(*) FROM posts WHERE due_at IS NOT NULL OR status_due_at IS NOT NULL",
    "SELECT count(*) FROM notices",
];

/// Looks at X, the chats, the storage and the database of a service that was stopped at rest. `unheard` are requests of
/// people that came to nothing with a kill, and were made once more.
pub async fn check(site: &Site, plan: &Plan, unheard: &BTreeSet<i64>, report: &mut Report) {
    let mut database = open(site).await;
    let rows = site.rows().await.expect("a database at rest can be read");
    let mut findings = Vec::new();
    for film in &plan.posts {
        let mut of_it = rows.iter().filter(|row| row.caption == film.caption);
        match (of_it.next(), of_it.next()) {
            (None, _) => findings.push(lost(format!("{} has no row", film.caption))),
            (Some(_), Some(_)) => findings.push(other(format!("{} has two rows", film.caption))),
            (Some(row), None) => {
                one_post(site, film, row, &mut findings);
                report.failed += usize::from(row.state == "failed");
                report.canceled += usize::from(row.state == "canceled");
            }
        }
    }
    strangers(site, plan, &mut findings);
    report.left_behind = messages(site, &rows, &mut findings);
    presses(site, report, &mut findings);
    if let Some(channel) = &site.discord {
        findings.extend(channel.blemishes(unheard).into_iter().map(other));
    }
    staging(site, &rows, &mut findings);
    books(&mut database, &mut findings).await;
    let said = site.child.said();
    for word in [
        "panicked",
        "two posts on X were made of one",
        crate::telegram::TOKEN,
        crate::discord::TOKEN,
        super::s3::SECRET,
    ] {
        if said.contains(word) {
            findings.push(other(format!("the log says {word}: {said}")));
        }
    }
    report.findings.append(&mut findings);
}

fn lost(what: String) -> Finding {
    Finding { fault: Fault::Lost, what }
}

fn silent(what: String) -> Finding {
    Finding { fault: Fault::Silent, what }
}

fn other(what: String) -> Finding {
    Finding { fault: Fault::Other, what }
}

/// A post is on X exactly once, byte by byte, or explained; and its last word stands in the chat.
fn one_post(site: &Site, film: &Film, row: &Row, findings: &mut Vec<Finding>) {
    let on_x: Vec<_> = site.x.posts().into_iter().filter(|post| post.text == film.caption).collect();
    if on_x.len() > 1 {
        let what = format!("{} is on X {} times", film.caption, on_x.len());
        findings.push(Finding { fault: Fault::Doubled, what });
    }
    for post in &on_x {
        if post.media.len() != 1 || post.media[0].sha256_hex != Some(sha256_hex(&film.bytes)) {
            findings.push(other(format!("{} has other bytes on X", film.caption)));
        }
        if post.username != film.person.account {
            findings.push(other(format!("{} went to {}", film.caption, post.username)));
        }
    }
    let word = match (row.state.as_str(), on_x.first()) {
        ("posted", None) => {
            findings.push(lost(format!("{} is not on X: {row:?}", film.caption)));
            return;
        }
        ("posted", Some(_)) if row.vouched == 1 => format!("Posted to @{}, as you say.", row.username),
        ("posted", Some(post)) => {
            if row.x_post_id.as_ref() != Some(&post.id) {
                findings.push(other(format!("the row does not agree with X on {}: {row:?}", film.caption)));
            }
            format!("Posted to @{}\n{}/{}/status/{}", row.username, site.x.url(), row.username, post.id)
        }
        ("failed", None) => format!("{} was not posted to @{}.\n", film.name, row.username),
        ("canceled", _) => "Left as it is.".to_owned(),
        (state, _) => {
            findings.push(lost(format!("{} is {state}, {} times on X: {row:?}", film.caption, on_x.len())));
            return;
        }
    };
    if film.broken != (row.state == "failed") {
        findings.push(other(format!("{} ended as {}: {:?}", film.name, row.state, row.failure)));
    }
    match site.status(row) {
        Some(shown) if shown.text.starts_with(&word) => {}
        shown => findings.push(silent(format!("{} should read {word:?}, not {shown:?}", film.caption))),
    }
}

/// Nothing is on X that nobody sent.
fn strangers(site: &Site, plan: &Plan, findings: &mut Vec<Finding>) {
    for post in site.x.posts() {
        if !plan.posts.iter().any(|film| film.caption == post.text) {
            findings.push(other(format!("{} is on X, and nobody sent it", post.text)));
        }
    }
}

/// Telegram refuses no second copy of a message. So a service that is killed between sending one and noting where it
/// stands leaves it behind: for each post one at most in each life that ended by a kill, for each first status that
/// was on its way. On Discord, nothing is left behind. How many were.
fn messages(site: &Site, rows: &[Row], findings: &mut Vec<Finding>) -> usize {
    let known: BTreeSet<_> = rows.iter().filter_map(Row::message).collect();
    let sent: BTreeMap<_, _> = site.trap.sent().into_iter().map(|sent| (sent.id, sent)).collect();
    let mut excused = BTreeSet::new();
    let mut left_behind = BTreeMap::new();
    for line in EVERYBODY.into_iter().flat_map(|person| site.said(person)) {
        let about_linking = line.text.starts_with("Link") || line.text.ends_with(LINK_FIRST);
        if !about_linking && line.text != STALE && !known.contains(&line.id) {
            left_behind.insert(line.id, line);
        }
    }
    for (id, line) in &left_behind {
        let by_a_kill = sent.get(id).filter(|sent| sent.unheard || sent.life < site.trap.life());
        if !by_a_kill.is_some_and(|sent| excused.insert((sent.life, sent.unheard, sent.reply_to))) {
            findings.push(other(format!(
                "left behind without a kill: {line:?}, of {left_behind:#?} and {sent:#?}"
            )));
        }
    }
    left_behind.len()
}

/// Who presses a button is told when that came too late: once, and once more when a kill had Telegram tell of it again.
fn presses(site: &Site, report: &Report, findings: &mut Vec<Finding>) {
    let said: Vec<_> = EVERYBODY.into_iter().flat_map(|person| site.said(person)).collect();
    let too_late = said.iter().filter(|line| line.text == STALE).count();
    if too_late > report.asked + report.restarts {
        findings.push(other(format!("{too_late} presses came too late, of {}: {said:#?}", report.asked)));
    }
}

/// Only what may be tried again is kept.
fn staging(site: &Site, rows: &[Row], findings: &mut Vec<Finding>) {
    for name in site.staged() {
        let kept = rows.iter().any(|row| {
            name == row.id && ["failed", "canceled"].contains(&row.state.as_str()) && row.clean_at.is_some()
        });
        if !kept {
            findings.push(other(format!("{name} is left in staging: {rows:#?}")));
        }
    }
}

/// No lease hangs, nothing is due, and the file is whole.
async fn books(database: &mut SqliteConnection, findings: &mut Vec<Finding>) {
    let verdict: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut *database).await.unwrap();
    if verdict != ["ok"] {
        findings.push(other(format!("integrity: {verdict:?}")));
    }
    for statement in HANGING.into_iter().chain(["SELECT count(*) FROM pragma_foreign_key_check"]) {
        let count: i64 = sqlx::query_scalar(statement).fetch_one(&mut *database).await.unwrap();
        if count > 0 {
            findings.push(other(format!("{count} by {statement}")));
        }
    }
}

/// Nobody else has it open any more, so this sees what the next start would.
async fn open(site: &Site) -> SqliteConnection {
    SqliteConnectOptions::new().filename(site.database()).connect().await.unwrap()
}
