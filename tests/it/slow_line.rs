//! A line to X that is slow, and shared by everybody's uploads.
//!
//! `TOALL_TEST_LINE` sets what it carries, in bytes per second: 300000 is 2.4 Mbit/s, and takes two minutes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use toall::sandbox::{Call, Processing, Subscription};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Mutex,
    time::Instant,
};

use crate::world::World;

/// Makes three segments of 4 MiB.
const FILM_BYTES: usize = 9_000_000;
/// What is taken from a connection at once.
const PIECE: usize = 16 * 1024;

/// A line to a server on loopback that carries so many bytes a second to it, over all connections.
struct Line {
    address: SocketAddr,
    carried: Arc<AtomicU64>,
}

impl Line {
    async fn to(server: SocketAddr, rate: f64) -> Line {
        let socket = TcpSocket::new_v4().unwrap();
        // The system takes as little as it can in advance, so that the client sees how fast the line is.
        socket.set_recv_buffer_size(PIECE as u32).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::new(AtomicU64::new(0));
        let (count, free_at) = (carried.clone(), Arc::new(Mutex::new(Instant::now())));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (count, free_at) = (count.clone(), free_at.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let back = tokio::spawn(async move {
                        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                    });
                    let mut piece = vec![0; PIECE];
                    while let Ok(bytes @ 1..) = from_client.read(&mut piece).await {
                        let mut free_at = free_at.lock().await;
                        let passed =
                            (*free_at).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate);
                        tokio::time::sleep_until(passed).await;
                        *free_at = passed;
                        drop(free_at);
                        count.fetch_add(bytes as u64, Relaxed);
                        if to_server.write_all(&piece[..bytes]).await.is_err() {
                            break;
                        }
                    }
                    drop(to_server);
                    let _ = back.await;
                });
            }
        });
        Line { address, carried }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_uploads_over_a_slow_line_send_nothing_twice() {
    let rate = std::env::var("TOALL_TEST_LINE").map_or(6_000_000.0, |rate| rate.parse().unwrap());
    let mut world = World::linked().await;
    let names = ["bob", "carol", "dave"];
    for name in names {
        world.x.add_user(name, name, Subscription::None);
        world.link(name, name).await;
    }
    // Nothing but the line takes time.
    world.x.set_processing(Processing { steps: 0, check_after_secs: 0 });
    let x: url::Url = world.x.url().parse().unwrap();
    let line = Line::to(x.socket_addrs(|| None).unwrap()[0], rate).await;
    world.config.twitter.api_url = format!("http://{}/", line.address).parse().unwrap();
    world.config.worker.upload_parallelism = 16;
    world.kill().await;
    world.boot().await;

    let film = world.film(FILM_BYTES);
    join_all(["alice", "bob", "carol", "dave"].map(|name| world.post(name, name, &film))).await;
    let four = Duration::from_secs_f64(4.5 * FILM_BYTES as f64 / rate) + Duration::from_secs(30);
    let mut changes = world.x.changes();
    let all = changes.wait_for(|_| world.x.posts().len() == 4);
    let done = tokio::time::timeout(four, all).await.is_ok();
    assert!(done, "the line is not used well: {} bytes carried", line.carried.load(Relaxed));

    let appends = world.requests(Call::Append);
    assert!(appends.iter().all(|append| append.status == Some(200)), "{appends:#?}");
    assert_eq!(appends.len(), 4 * 3, "each segment once");
    let (carried, needed) = (line.carried.load(Relaxed), 4 * FILM_BYTES as u64);
    assert!(carried < needed + needed / 20, "{carried} bytes for {needed}");
    world.settle().await;
    world.assert_at_rest().await;
}
