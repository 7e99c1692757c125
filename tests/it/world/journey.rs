//! Steps that journeys share, and what they look at in the end.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toall::{
    account::Person,
    post::{Post, State},
    sandbox::{Call, Exchange, Gate},
};

use super::{PATIENCE, World, person, read, sample, sha256_hex};

impl World {
    /// A world in which alice has linked @alice_makes.
    pub async fn linked() -> World {
        World::new().await.and_linked().await
    }

    pub async fn and_linked(self) -> World {
        self.link("alice", "alice_makes").await;
        self
    }

    /// The sample with padding after it (a `free` box, ISO 14496-12 section 8.1.2): a valid video of this size.
    pub fn film(&self, size: usize) -> PathBuf {
        let mut bytes = std::fs::read(sample()).unwrap();
        let padding = size - bytes.len();
        bytes.extend(u32::try_from(padding).unwrap().to_be_bytes());
        bytes.extend(b"free");
        bytes.extend((8..padding).map(|at| at as u8));
        let path = self.folder.path().join("film.mp4");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Everything that the newest message in a person's chat has shown, oldest first.
    pub fn history(&self, name: &str) -> Vec<String> {
        self.last(name).history.iter().map(read).collect()
    }

    /// What the newest message showed first that begins like this.
    pub fn shown(&self, name: &str, start: &str) -> String {
        let history = self.history(name);
        let found = history.iter().find(|text| text.starts_with(start)).cloned();
        found.unwrap_or_else(|| panic!("{start:?} was never shown, only {history:#?}"))
    }

    /// What alice is asked about a post of the sample that may be on X.
    pub fn asked(&self) -> String {
        format!(
            "X did not say whether it posted sample.mp4 to @alice_makes, and I have not found it there.\n\
             Please look at the account: is it there?\n{}/alice_makes \
             [Open X] [It is there] [Post it again] [Leave it]",
            self.x.url()
        )
    }

    /// A person's newest post as it is stored.
    pub async fn row(&self, name: &str) -> Post {
        self.app().store.posts_of(&person(name), 1).await.unwrap().pop().expect("no post")
    }

    /// Waits in real time until the person's newest post is as wanted, without turning the clock.
    pub async fn until_row(&self, name: &str, what: &str, reached: impl Fn(&Post) -> bool) -> Post {
        let mut changes = self.app().store.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                changes.mark_unchanged();
                let post = self.row(name).await;
                if reached(&post) {
                    return post;
                }
                changes.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("the post never was {what}"))
    }

    /// The names of the accounts a person has linked.
    pub async fn accounts(&self, person: &Person) -> Vec<String> {
        let accounts = self.app().store.accounts(person).await.unwrap();
        accounts.into_iter().map(|account| account.username).collect()
    }

    /// X was told once that both tokens are not wanted any more.
    pub fn assert_revoked(&self) {
        let revoked: Vec<_> = self.requests(Call::Revoke).iter().map(|exchange| exchange.status).collect();
        assert_eq!(revoked, [Some(200); 2]);
    }

    /// The requests of one kind that X has answered.
    pub fn requests(&self, call: Call) -> Vec<Exchange> {
        self.x.exchanges().into_iter().filter(|exchange| exchange.call == Some(call)).collect()
    }

    /// Opens the gate and waits until X has done what was held there.
    pub async fn let_act(&self, call: Call, gate: &Gate) {
        let before = self.requests(call).len();
        gate.open();
        self.until_x("the held request", |x| {
            x.exchanges().iter().filter(|exchange| exchange.call == Some(call)).count() > before
        })
        .await;
    }

    /// The newest post went to X once, to the letter and byte; its person knows, and nothing is left over.
    pub async fn assert_posted_once(&self, name: &str, caption: &str, file: &Path) {
        let posts = self.x.posts();
        assert_eq!(posts.len(), 1, "posts on X; said last: {}", self.last_text(name));
        assert_eq!(posts[0].text, caption);
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(posts[0].media[0].sha256_hex, Some(sha256_hex(&bytes)));
        let link = format!("{}/{}/status/{}", self.x.url(), posts[0].username, posts[0].id);
        let word = format!("Posted to @{}\n{link} [Open on X]", posts[0].username);
        assert_eq!(self.last_text(name), word);
        let told = self.said(name).into_iter().filter(|shown| read(&shown.message) == word);
        assert_eq!(told.count(), 1, "the outcome is said once");
        let row = self.row(name).await;
        assert_eq!((row.state, row.x_post_id.as_deref()), (State::Posted, Some(&*posts[0].id)));
        self.assert_at_rest().await;
    }

    /// As [`World::assert_at_rest`], a day after a post failed: so long its file is kept for another try.
    pub async fn assert_at_rest_in_a_day(&self) {
        self.pass(Duration::from_secs(24 * 3_600));
        self.settle().await;
        self.assert_at_rest().await;
    }

    /// Nothing is staged, leased or due.
    pub async fn assert_at_rest(&self) {
        assert_eq!(self.staged(), Vec::<PathBuf>::new(), "staging is left clean");
        let store = &self.app().store;
        assert_eq!(store.leased().await.unwrap(), 0, "leases");
        assert_eq!(store.next_lane_due().await.unwrap(), None);
        assert_eq!(store.next_message_due().await.unwrap(), None);
        assert_eq!(store.next_cleaning_due().await.unwrap(), None);
    }

    /// Files that are still staged.
    pub fn staged(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            let Ok(entries) = std::fs::read_dir(folder) else { return };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
                    _ => found.push(entry.path()),
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.config.data_dir.join("staging"), &mut found);
        let of_a_video =
            |path: &str| ["/posts/", "/uploads/", "/.upload"].iter().any(|part| path.contains(part));
        found.retain(|path| of_a_video(&path.to_string_lossy()));
        found
    }
}
