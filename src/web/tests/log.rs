use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::NoSubscriber;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use super::{World, alice, shown};
use crate::sandbox::{Call, Effect, Fault};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_tells_what_happened_and_no_secret() {
    let world = World::start().await;
    // While there is one subscriber only, tracing lets the threads without it switch a log line off for good.
    let _second = tracing::Dispatch::new(NoSubscriber::new());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let mut secrets = Vec::new();
    let mut note = |url: &url::Url| {
        secrets
            .extend(url.query_pairs().map(|(_, value)| value.into_owned()).filter(|value| value.len() > 40));
    };
    let linked = world.agreed(&alice(), "alice_makes").await;
    note(&linked);
    let page = world.get(linked).await;
    let ticket = page.forms().swap_remove(0).1;
    world.press(&page, 0).await.says(200, "Linked");
    world.press(&page, 1).await.says(410, "no longer works");
    world.sandbox.order(Fault::on(Call::Token, Effect::Drop));
    let failed = world.agreed(&alice(), "alice_makes").await;
    note(&failed);
    world.get(failed).await.says(502, "X is not answering");
    let token = world.api_token(&alice()).await;
    shown(world.http.get(world.at("/api/social/accounts")).bearer_auth(&token)).await;
    world.get(world.at("/nothing/hush-path?hush=query")).await;

    assert_eq!(secrets.len(), 4, "two states and two codes");
    secrets.extend([ticket, token.strip_prefix("toall_").unwrap().to_owned(), "hush".to_owned()]);
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    // The client of this test logs too, at TRACE; only what the service itself says counts.
    let ours: Vec<_> = log.lines().filter(|line| line.contains("toall::")).collect();
    let answered = |part: &str| ours.iter().any(|line| line.contains("answered") && line.contains(part));
    assert!(answered("route=\"/api/social/callback\"") && answered("status=502"), "{log}");
    for secret in &secrets {
        assert!(!ours.iter().any(|line| line.contains(secret)), "{secret}: {log}");
    }
}
