//! Why posts wait for X's leave.

use super::Waiting;

/// What X has closed for a while.
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
}

impl Pause {
    /// The pauses of the whole app.
    pub const OF_THE_APP: [Pause; 3] = [Pause::Credits, Pause::SpendCap, Pause::NotEnrolled];
    const ALL: [Pause; 4] = [Pause::RateLimit, Pause::Credits, Pause::SpendCap, Pause::NotEnrolled];

    /// The word that is stored, logged and counted.
    pub fn as_str(self) -> &'static str {
        match self {
            Pause::RateLimit => "rate_limit",
            Pause::Credits => "credits",
            Pause::SpendCap => "spend_cap",
            Pause::NotEnrolled => "not_enrolled",
        }
    }

    /// The pause of a stored word; a rate limit where a later version wrote another, for that ends by itself.
    pub fn from_stored(word: &str) -> Pause {
        Pause::ALL.into_iter().find(|pause| pause.as_str() == word).unwrap_or(Pause::RateLimit)
    }

    /// How long X is left alone, in milliseconds, when it does not say: credits are bought in minutes, the rest
    /// takes a decision.
    pub fn span_ms(self) -> i64 {
        match self {
            Pause::RateLimit => 15 * 60_000,
            Pause::Credits => 10 * 60_000,
            Pause::SpendCap | Pause::NotEnrolled => 60 * 60_000,
        }
    }

    /// What the status of a post says that waits for this until `until`.
    pub fn waiting(self, until: i64) -> Waiting {
        match self {
            Pause::RateLimit => Waiting::RateLimit { until },
            Pause::Credits => Waiting::Credits { until },
            Pause::SpendCap => Waiting::SpendCap { until },
            Pause::NotEnrolled => Waiting::NotEnrolled { until },
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
            assert_eq!(pause.waiting(7).is_for_the_app(), pause != Pause::RateLimit);
        }
        assert_eq!(Pause::from_stored("of a later version"), Pause::RateLimit);
    }
}
