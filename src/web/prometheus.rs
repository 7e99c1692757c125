//! What operators' machines ask: `GET /metrics` in Prometheus' text format, on a listener of its own.

use std::time::Duration;

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{ServerLimits, serve};
use crate::{
    clock::Clock,
    health::{Health, Status},
    post::{Pause, State as PostState},
    store::{Store, StoreError},
};

/// How often what was measured is put in order, so that it stays small when nobody reads it.
const UPKEEP: Duration = Duration::from_secs(10);
/// Upper bounds of the histograms, in seconds.
const BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0];

/// Whoever scrapes gives up after ten seconds, as a rule.
const DATABASE_TAKES: Duration = Duration::from_secs(5);

/// What a metric is, for its HELP and TYPE lines.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// In seconds.
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

/// Every metric there is. A test holds it against the code, the alerts and the dashboard.
const METRICS: &[(&str, Kind, &str)] = &[
    (
        "toall_budget_spent_usd",
        Gauge,
        "What this month's posts cost, with those under way; only with a budget.",
    ),
    ("toall_build_info", Gauge, "Always 1; the version is a label."),
    ("toall_chat_edits_total", Counter, "Status messages written to chats, by whether the chat took them."),
    (
        "toall_database_statements_total",
        Counter,
        "Statements that this process sent to the database, those within transactions included.",
    ),
    (
        "toall_database_transactions_total",
        Counter,
        "Transactions of this process at the database, by kind: a statement on its own is one.",
    ),
    (
        "toall_database_up",
        Gauge,
        "Whether the database answered at this scrape; 0 while nothing can be worked on.",
    ),
    ("toall_http_connections_evicted_total", Counter, "Idle connections closed to make room for new ones."),
    (
        "toall_http_connections_refused_total",
        Counter,
        "Connections refused for lack of room, or over one address's share.",
    ),
    (
        "toall_http_requests_refused_total",
        Counter,
        "Requests refused for lack of room, or over one client's share.",
    ),
    ("toall_http_request_seconds", Histogram, "How long answers took, by method and route."),
    ("toall_http_requests_total", Counter, "Requests answered, by method, route and status."),
    ("toall_incidents_total", Counter, "What began that only the operator can mend, by kind."),
    ("toall_lanes_rearmed_total", Counter, "Accounts whose work nobody would have looked at; must stay 0."),
    ("toall_lanes_leased", Gauge, "Accounts being worked on at this moment."),
    ("toall_paused", Gauge, "1 while X refuses the whole app and nothing is posted, by reason."),
    ("toall_posts", Gauge, "Posts that are not over, by state."),
    (
        "toall_posts_total",
        Counter,
        "Posts that came to an end, by outcome and, for failed ones, the code of the failure.",
    ),
    ("toall_queue_age_seconds", Gauge, "For how long the work that waits longest has been due."),
    (
        "toall_part_up",
        Gauge,
        "1 while a part works, 0 while it fails or is disabled, as /readyz says; by part.",
    ),
    ("toall_restarts_total", Counter, "Tasks that died and were restarted; must stay 0."),
    ("toall_segments_total", Counter, "Segments of videos that X acknowledged."),
    ("toall_step_seconds", Histogram, "How long steps took, by step."),
    ("toall_steps_total", Counter, "Steps done, by step and by what came of them."),
    ("toall_token_refreshes_total", Counter, "Refreshes of tokens, by outcome."),
    ("toall_upload_bytes_total", Counter, "Bytes of videos that X acknowledged."),
    (
        "toall_x_quota_remaining",
        Gauge,
        "What is left of the app's 24 hours at X, by call; NaN while X has not said.",
    ),
    ("toall_x_request_seconds", Histogram, "How long X took to answer, by call."),
    (
        "toall_x_requests_total",
        Counter,
        "Requests to X, by call and status; the status is \"none\" when no answer came.",
    ),
];

/// Collects from now on what the process measures; once per process.
///
/// # Errors
/// When something collects already.
pub fn install_recorder() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()?;
    for (name, kind, help) in METRICS.iter().copied() {
        match kind {
            Counter => describe_counter!(name, help),
            Gauge => describe_gauge!(name, help),
            Histogram => describe_histogram!(name, Unit::Seconds, help),
        }
    }
    // A rate needs a beginning: what has not happened yet is 0, not absent.
    for outcome in ["posted", "failed", "canceled"] {
        counter!("toall_posts_total", "outcome" => outcome, "code" => "").absolute(0);
    }
    for outcome in ["kept", "refused", "trouble"] {
        counter!("toall_token_refreshes_total", "outcome" => outcome).absolute(0);
    }
    counter!("toall_lanes_rearmed_total").absolute(0);
    gauge!("toall_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(recorder)
}

/// What a scrape reads.
#[derive(Clone)]
struct Measured {
    recorder: PrometheusHandle,
    store: Store,
    health: Health,
    clock: Clock,
}

/// Serves what was measured at `GET /metrics` until `stop`.
///
/// How much waits is asked of the database at each scrape. While that does not answer, those gauges keep their last
/// value and the rest is served all the same.
pub async fn serve_metrics(
    listener: TcpListener,
    recorder: PrometheusHandle,
    store: Store,
    health: Health,
    clock: Clock,
    stop: CancellationToken,
) {
    let upkeep = async {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            recorder.run_upkeep();
        }
    };
    let router = Router::new().route("/metrics", get(shown)).with_state(Measured {
        recorder: recorder.clone(),
        store,
        health,
        clock,
    });
    tokio::select! {
        () = serve(listener, router, ServerLimits::default(), stop) => {}
        () = upkeep => {}
    }
}

async fn shown(State(measured): State<Measured>) -> impl IntoResponse {
    for (part, status) in measured.health.statuses() {
        let up = matches!(status, Status::Starting | Status::Ok);
        gauge!("toall_part_up", "part" => part).set(if up { 1.0 } else { 0.0 });
    }
    let now = measured.clock.now_ms();
    let store = &measured.store;
    let asked = async {
        store.ping().await?;
        Ok::<_, StoreError>((store.backlog(now).await?, store.paused().await?, store.days().await?))
    };
    let asked = tokio::time::timeout(DATABASE_TAKES, asked).await;
    gauge!("toall_database_up").set(if matches!(asked, Ok(Ok(_))) { 1.0 } else { 0.0 });
    match asked {
        Ok(Ok((backlog, paused, days))) => {
            for state in PostState::ALL.into_iter().filter(|state| !state.is_over()) {
                let count = backlog.posts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
                gauge!("toall_posts", "state" => state.as_str()).set(float(count));
            }
            for why in Pause::OF_THE_APP {
                let on = if paused == Some(why) { 1.0 } else { 0.0 };
                gauge!("toall_paused", "reason" => why.as_str()).set(on);
            }
            for day in days {
                // Of a day that is over nothing is known, and no alarm is to go by it.
                let left = if day.until > now { float(day.remaining) } else { f64::NAN };
                gauge!("toall_x_quota_remaining", "call" => day.call).set(left);
            }
            gauge!("toall_lanes_leased").set(float(backlog.leased));
            gauge!("toall_queue_age_seconds").set(float(backlog.overdue_ms) / 1_000.0);
        }
        Ok(Err(error)) => tracing::warn!(%error, "the queue could not be measured"),
        Err(_) => tracing::warn!("the queue could not be measured: the database does not answer"),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], measured.recorder.render())
}

/// Gauges are floating-point numbers; these counts stay far below 2^53.
#[expect(clippy::cast_precision_loss)]
fn float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::{config, store::Vault, words::Message};

    fn names_in(text: &str) -> BTreeSet<String> {
        let word = |rest: &str| -> String {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        let names = text.match_indices("toall_").map(|(at, _)| word(&text[at..]));
        names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
    }

    fn known() -> BTreeSet<String> {
        METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }

    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => sources(&entry.path(), found),
                false if entry.path().ends_with("web/prometheus.rs") => {}
                false => *found += &fs::read_to_string(entry.path()).unwrap_or_default(),
            }
        }
    }

    #[tokio::test]
    async fn what_is_so_for_all_processes_is_read_from_the_database() {
        const NOW: i64 = 1_000_000;
        let folder = tempfile::tempdir().unwrap();
        let database = config::Database::sqlite(&folder.path().join("toall.db"));
        let store = Store::open(&database, Vault::new(&[7; 32]), NOW).await.unwrap();
        store.keep_day("POST /2/tweets", 10_000, 321, NOW + 1).await.unwrap();
        store
            .pause(Pause::Credits, PostState::Publishing, &[], &Message::text("no credits"), NOW)
            .await
            .unwrap();

        let recorder = PrometheusBuilder::new().build_recorder();
        let _here = metrics::set_default_local_recorder(&recorder);
        let clock = Clock::by_hand(NOW);
        let measured =
            Measured { recorder: recorder.handle(), store, clock: clock.clone(), health: Default::default() };
        shown(State(measured.clone())).await;
        let said = measured.recorder.render();
        for line in [
            r#"toall_database_up 1"#,
            r#"toall_paused{reason="credits"} 1"#,
            r#"toall_paused{reason="spend_cap"} 0"#,
            r#"toall_x_quota_remaining{call="POST /2/tweets"} 321"#,
        ] {
            assert!(said.contains(line), "{line} is not in {said}");
        }
        clock.set(NOW + 2);
        shown(State(measured.clone())).await;
        let said = measured.recorder.render();
        assert!(said.contains(r#"toall_x_quota_remaining{call="POST /2/tweets"} NaN"#), "{said}");
    }

    #[test]
    fn whatever_is_measured_is_described() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let mut measured: BTreeSet<_> = code
            .split("metrics::")
            .skip(1)
            .filter_map(|rest| rest.split_once('(')?.1.split('"').nth(1))
            .filter(|name| name.starts_with("toall_"))
            .map(str::to_owned)
            .collect();
        // Measured where they are described.
        let here = [
            "toall_build_info",
            "toall_database_up",
            "toall_posts",
            "toall_lanes_leased",
            "toall_queue_age_seconds",
            "toall_paused",
            "toall_x_quota_remaining",
            "toall_part_up",
        ];
        measured.extend(here.map(str::to_owned));
        assert_eq!(measured, known());
    }

    #[test]
    fn alerts_and_dashboard_ask_for_what_there_is() {
        for file in ["ops/alerts.yml", "ops/grafana.json"] {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
            let unknown: Vec<_> = names_in(&text).difference(&known()).cloned().collect();
            assert_eq!(unknown, Vec::<String>::new(), "{file}");
        }
    }
}
