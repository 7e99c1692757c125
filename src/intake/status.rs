//! How posts fare, for those who ask instead of being told.

use uuid::Uuid;

use super::Intake;
use crate::{
    account::{Account, Person},
    post::{Post, PostId, State, Waiting},
    store::StoreError,
    words,
};

/// A post as it stands.
#[derive(Clone, Debug)]
pub struct PostStatus {
    pub post: Post,
    pub account: Account,
    /// On X, once it is there.
    pub link: Option<String>,
    pub progress: Progress,
    /// Why it waits, if it waits for anything but its turn.
    pub waiting: Option<Waiting>,
}

/// How far the transfer at hand is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes_done: u64,
    /// `None` while nobody knows.
    pub bytes: Option<u64>,
    /// Of the transfer to X, then of X's processing; 0 to 100.
    pub percent: Option<u8>,
}

impl Intake {
    /// The posts that a person asked for at once; empty when they asked for none such.
    pub async fn request_status(
        &self,
        person: &Person,
        request: Uuid,
    ) -> Result<Vec<PostStatus>, StoreError> {
        let posts = self.store.posts_of_request(person, request).await?;
        self.statuses(posts).await
    }

    /// A person's posts from before `before`, newest first.
    pub async fn recent_posts(
        &self,
        person: &Person,
        before: Option<PostId>,
        limit: u32,
    ) -> Result<Vec<PostStatus>, StoreError> {
        let posts = self.store.posts_before(person, before.unwrap_or(PostId(Uuid::max())), limit).await?;
        self.statuses(posts).await
    }

    /// One post of a person's.
    pub async fn post_status(&self, person: &Person, id: PostId) -> Result<Option<PostStatus>, StoreError> {
        let post = self.store.own_post(person, id).await?;
        Ok(self.statuses(post.into_iter().collect()).await?.pop())
    }

    async fn statuses(&self, posts: Vec<Post>) -> Result<Vec<PostStatus>, StoreError> {
        let now = self.clock.now_ms();
        let mut statuses = Vec::with_capacity(posts.len());
        for post in posts {
            let Some(account) = self.store.account(&post.account).await? else { continue };
            let link =
                post.x_post_id.as_deref().map(|id| self.x.post_link(&account.username, id).to_string());
            let progress = progress(&post);
            let waiting = words::waits_for(&post, &account, now).cloned();
            statuses.push(PostStatus { post, account, link, progress, waiting });
        }
        Ok(statuses)
    }
}

fn progress(post: &Post) -> Progress {
    let all = match post.state {
        State::Staging => post.attachment.bytes,
        _ => post.bytes,
    };
    let sent = matches!(
        post.state,
        State::Processing | State::Describing | State::Publishing | State::NeedsUser | State::Posted
    );
    let done = if sent { all } else { words::bytes_done(post) }.unwrap_or(0);
    let percent = match (post.state, all) {
        (State::Processing, _) => post.processing_percent,
        (State::Posted, _) => Some(100),
        (_, Some(all)) if all > 0 => u8::try_from(done.min(all) * 100 / all).ok(),
        _ => None,
    };
    Progress { bytes_done: done, bytes: all, percent }
}
