//! Tells the operator that the budget draws to its end, and that a post was refused for it: each once a month, and once
//! more when the operator has changed the budget.

use super::Intake;
use crate::{
    clock::Month,
    post::{Mills, OverLimit, PRICE},
    store::StoreError,
    words::{self, Message},
};

impl Intake {
    /// Looks at the budget after a post was taken, for the first or another time.
    pub(super) async fn watch_budget(&self) {
        let Some(budget) = self.limits.monthly_budget else { return };
        if let Err(error) = self.compare(budget).await {
            tracing::warn!(%error, "the budget could not be looked at");
        }
    }

    /// Tells that the budget is used up, if that is why a post was refused. What is left may pay for one without a link.
    pub(super) async fn watch_refusal(&self, over: &OverLimit) {
        let (Some(budget), OverLimit::Budget { left, .. }) = (self.limits.monthly_budget, over) else {
            return;
        };
        if *left < PRICE
            && let Err(error) =
                self.budget_told("budget_spent", budget, &words::operator_budget_spent(budget)).await
        {
            tracing::warn!(%error, "the operator could not be told that the budget is used up");
        }
    }

    async fn compare(&self, budget: Mills) -> Result<(), StoreError> {
        let spent = self.store.spent(&Month::of(self.clock.now_ms())).await?;
        metrics::gauge!("toall_budget_spent_usd").set(spent.0 as f64 / 1_000.0);
        if spent.0.saturating_mul(5) < budget.0.saturating_mul(4) {
            return Ok(());
        }
        self.budget_told("budget_near", budget, &words::operator_budget_near(spent, budget)).await
    }

    async fn budget_told(&self, what: &str, budget: Mills, message: &Message) -> Result<(), StoreError> {
        let now = self.clock.now_ms();
        let incident = format!("{what}:{}:{}", Month::of(now).name, budget.0);
        self.store.begin_incident(&incident, &self.access.operators, message, now).await
    }
}
