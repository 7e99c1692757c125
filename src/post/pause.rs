//! Pauses that X imposes on an account or on the whole app.

use super::Waiting;

/// Reason for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// One kind of request was made too often.
    RateLimit,
    /// The operator's prepaid credits are gone.
    Credits,
    /// The operator's limit for the billing cycle is reached.
    SpendCap,
    /// The operator's app may not use this API.
    NotEnrolled,
    /// The operator's plan allows no more posts this month.
    PostCap,
    /// The account has made as many posts as X lets it make in a day.
    DailyLimit,
}

impl Pause {
    /// The pauses of the whole app.
    pub const OF_THE_APP: [Pause; 4] = [Pause::Credits, Pause::SpendCap, Pause::NotEnrolled, Pause::PostCap];
    const ALL: [Pause; 6] = [
        Pause::RateLimit,
        Pause::Credits,
        Pause::SpendCap,
        Pause::NotEnrolled,
        Pause::PostCap,
        Pause::DailyLimit,
    ];

    /// The word that is stored, logged and counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Pause::RateLimit => "rate_limit",
            Pause::Credits => "credits",
            Pause::SpendCap => "spend_cap",
            Pause::NotEnrolled => "not_enrolled",
            Pause::PostCap => "post_cap",
            Pause::DailyLimit => "daily_limit",
        }
    }

    /// Reads a stored word. A word written by a newer version becomes a rate limit, because that ends without help.
    pub fn from_stored(word: &str) -> Pause {
        Pause::ALL.into_iter().find(|pause| pause.as_str() == word).unwrap_or(Pause::RateLimit)
    }

    /// Length of the pause in milliseconds if X names none. Buying credits takes minutes; everything else needs a
    /// decision by the operator.
    pub fn span_ms(self) -> i64 {
        match self {
            Pause::RateLimit => 15 * 60_000,
            Pause::Credits => 10 * 60_000,
            Pause::SpendCap | Pause::NotEnrolled | Pause::PostCap | Pause::DailyLimit => 60 * 60_000,
        }
    }

    /// The post's waiting state for this pause until `until`.
    pub fn waiting(self, until: i64) -> Waiting {
        match self {
            Pause::RateLimit => Waiting::RateLimit { until },
            Pause::Credits => Waiting::Credits { until },
            Pause::SpendCap => Waiting::SpendCap { until },
            Pause::NotEnrolled => Waiting::NotEnrolled { until },
            Pause::PostCap => Waiting::PostCap { until },
            Pause::DailyLimit => Waiting::DailyLimit { until },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_word_comes_back_and_the_status_carries_it() {
        for pause in Pause::ALL {
            assert_eq!(Pause::from_stored(pause.as_str()), pause);
            let stored = serde_json::to_string(&pause.waiting(7)).unwrap();
            assert_eq!(stored, format!(r#"{{"for":"{}","until":7}}"#, pause.as_str()));
            assert_eq!(pause.waiting(7).is_for_the_app(), Pause::OF_THE_APP.contains(&pause));
        }
        assert_eq!(Pause::from_stored("of a later version"), Pause::RateLimit);
    }
}
