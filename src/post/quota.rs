//! The operator's limits for each person and for everyone together, and X's prices.

/// Reason why a post is not accepted now. Times are in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The person has reached the limit of posts in flight.
    InFlight { limit: u32 },
    /// The person has reached the limit of posts within a day.
    Posts { limit: u32, frees_at: i64 },
    /// The person has reached the limit of bytes within a day, or would with this video.
    /// `frees_at` is `None` for a video larger than the whole limit: waiting would not help.
    Bytes { limit: u64, left: u64, frees_at: Option<i64> },
    /// The rest of the month's budget is less than this post's price. `frees_at` is `None` if a whole month's is, too.
    Budget { left: Mills, frees_at: Option<i64> },
}

/// Money in thousandths of a US dollar. All prices of X are whole numbers in this unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mills(pub u64);

/// X's price for a post (X's pricing page, 2026-04-20).
pub const PRICE: Mills = Mills(15);
/// X's price for a post whose text contains a link.
pub const PRICE_WITH_LINK: Mills = Mills(200);
/// X's price for connecting an account, which needs one billed read of its profile.
pub const CONNECTION_PRICE: Mills = Mills(10);

impl std::fmt::Display for Mills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (dollars, mills) if mills % 10 == 0 => write!(f, "${dollars}.{:02}", mills / 10),
            (dollars, mills) => write!(f, "${dollars}.{mills:03}"),
        }
    }
}
