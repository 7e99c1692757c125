//! Tells the operator, once a month each, that the budget draws to its end and that it is used up.

use super::Intake;
use crate::{
    clock::Month,
    post::{Mills, PRICE},
    store::StoreError,
    words,
};

impl Intake {
    /// Looks at the budget after a post was taken or refused.
    pub(super) async fn watch_budget(&self) {
        let Some(budget) = self.limits.monthly_budget else { return };
        if let Err(error) = self.compare(budget).await {
            tracing::warn!(%error, "the budget could not be looked at");
        }
    }

    async fn compare(&self, budget: Mills) -> Result<(), StoreError> {
        let now = self.clock.now_ms();
        let month = Month::of(now);
        let spent = self.store.spent(&month).await?;
        metrics::gauge!("toall_budget_spent_usd").set(spent.0 as f64 / 1_000.0);
        let (name, message) = if spent.0.saturating_add(PRICE.0) > budget.0 {
            ("budget_spent", words::operator_budget_spent(budget))
        } else if spent.0.saturating_mul(5) >= budget.0.saturating_mul(4) {
            ("budget_near", words::operator_budget_near(spent, budget))
        } else {
            return Ok(());
        };
        self.store
            .begin_incident(&format!("{name}:{}", month.name), &self.access.operators, &message, now)
            .await
    }
}
