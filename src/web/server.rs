//! Connections: accepted up to a limit, given a time to say what they want, and let go in order.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections open at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// How long a connection may take to send a request's head; also how long it may idle between requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// The longest head of a request, in bytes; longer ones get 431.
const HEAD_BYTES: usize = 32 * 1024;
/// How long requests in flight may go on after the stop.
const GRACE: Duration = Duration::from_secs(15);

/// Serves until `stop`, then takes no more and finishes what is in flight, for 15 seconds at most.
///
/// A request that was begun is finished even when its browser leaves: half a link would be a permission at X that
/// nobody remembers.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, slot))
        };
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, slot)) => {
                let connection = connection(stream, router.clone(), tasks.clone(), stop.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: give others time to close some.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("requests were still in flight when the web part stopped");
    }
}

async fn connection(stream: TcpStream, router: Router, tasks: TaskTracker, stop: CancellationToken) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = tasks.spawn(router.call(request));
        async move {
            let Ok(response) = answer.await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(response)
        }
    });
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
