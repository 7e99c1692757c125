//! What the operator allows each person, and all of them together.

/// Why a post is not taken now. Moments are Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The person has this many posts under way, which is all they may have.
    InFlight { limit: u32 },
    /// The person has made this many posts within a day.
    Posts { limit: u32, frees_at: i64 },
    /// The person has sent this many bytes within a day, or would with this video.
    /// There is never room for a video larger than the limit.
    Bytes { limit: u64, left: u64, frees_at: Option<i64> },
    /// The month's money is spent, or what is left is less than this post's price. A whole month's may be less, too.
    Budget { left: Mills, frees_at: Option<i64> },
}

/// Money in thousandths of a US dollar: X's prices are whole in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mills(pub u64);

/// What X charges for a post (X's pricing page, 2026-04-20).
pub const PRICE: Mills = Mills(15);
/// What X charges for a post whose text has a link.
pub const PRICE_WITH_LINK: Mills = Mills(200);
/// X's price for connecting an account: it is asked once whose it is.
pub const CONNECTION_PRICE: Mills = Mills(10);

impl std::fmt::Display for Mills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (dollars, mills) if mills % 10 == 0 => write!(f, "${dollars}.{:02}", mills / 10),
            (dollars, mills) => write!(f, "${dollars}.{mills:03}"),
        }
    }
}
