use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::NoSubscriber;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use super::{HUSH, World, json, token};
use crate::post::Options;

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
async fn the_log_knows_what_support_asks_for_and_no_secret() {
    let mut created = json(201, r#"{"data":{"id":"1"}}"#);
    created.headers_mut().insert("x-transaction-id", "abc123".parse().unwrap());
    let world = World::new([json(503, "hush"), created, json(200, "hush")]).await;

    // While there is one subscriber only, tracing lets the threads without it switch a log line off for good.
    let _second = tracing::Dispatch::new(NoSubscriber::new());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    world.x.exchange("hush-code".into(), "hush-verifier".into(), 0).await.unwrap_err();
    world.x.create_post(&token(), "hush, a caption", "77", &Options::default()).await.unwrap();
    world.x.refresh(&"hush-refresh".into(), 0).await.unwrap_err();

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("abc123")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(r#"call="POST /2/tweets" status=201"#), "{line}");
    assert!(!log.contains(HUSH), "{log}");
}
