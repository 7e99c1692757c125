//! A way to PostgreSQL on which a connection breaks where a test says.
//!
//! It reads along as far as it must: where a message ends, what is asked, and when the server is ready for more
//! (PostgreSQL's documentation, "Frontend/Backend Protocol": "Message Flow" and "Message Formats").

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// When a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Before the server has heard what it is to do.
    Asking,
    /// Once the server has done it, before it has said so.
    Answering,
}

/// What goes over all its connections. A write is a statement that changes rows by itself, or the `COMMIT` of several.
#[derive(Default)]
struct Plan {
    port: u16,
    breaks: Option<Planned>,
    broken: watch::Sender<bool>,
}

struct Planned {
    /// What one of the write's statements contains.
    write: &'static str,
    /// How many such go through before.
    after: usize,
    when: Break,
}

pub struct Wire {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    carrier: AbortHandle,
}

impl Wire {
    /// To the server at this port on loopback.
    pub async fn to(port: u16) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(Plan { port, ..Plan::default() }));
        let plans = plan.clone();
        let carrier = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let plan = plans.clone();
                tokio::spawn(async move {
                    let port = plan.lock().unwrap().port;
                    // A server that is gone refuses by hanging up.
                    if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        carry(client, server, plan).await;
                    }
                });
            }
        });
        Wire { address, plan, carrier: carrier.abort_handle() }
    }

    /// The address of a database at the other end.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://toall@{}/{database}?sslmode=disable", self.address)
    }

    /// Connections made from now on go to the server at this port.
    pub fn turn_to(&self, port: u16) {
        self.plan.lock().unwrap().port = port;
    }

    /// The connection breaks that brings a write with a statement that contains `write`, after so many others like it, once.
    pub fn break_at(&self, write: &'static str, after: usize, when: Break) {
        let mut plan = self.plan.lock().unwrap();
        plan.breaks = Some(Planned { write, after, when });
        plan.broken.send_replace(false);
    }

    /// Whether it is broken.
    pub fn broken(&self) -> watch::Receiver<bool> {
        self.plan.lock().unwrap().broken.subscribe()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Plan {
    /// Whether the connection is to break at this write.
    fn write(&mut self, statements: &[String]) -> Option<Break> {
        let planned = self.breaks.as_mut()?;
        if !statements.iter().any(|statement| statement.contains(planned.write)) {
            return None;
        }
        if planned.after > 0 {
            planned.after -= 1;
            return None;
        }
        let when = planned.when;
        self.breaks = None;
        self.broken.send_replace(true);
        Some(when)
    }
}

/// What both directions of a connection know.
#[derive(Default)]
struct Talk {
    /// How often the server was asked to say that it is ready, and has.
    asked: usize,
    answered: usize,
    /// Whether it is in a transaction.
    begun: bool,
    /// What is answered after so many is not told any more.
    told: Option<usize>,
}

/// Ends with either side, or where the plan says.
async fn carry(client: TcpStream, server: TcpStream, plan: Arc<Mutex<Plan>>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let talk = Mutex::new(Talk::default());
    tokio::select! {
        _ = ask(from_client, to_server, &plan, &talk) => {}
        _ = answer(from_server, to_client, &talk) => {}
    }
}

async fn ask(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    talk: &Mutex<Talk>,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    // The first message has no kind.
    to.write_all(&rest(&mut from).await?).await?;
    let mut prepared = HashMap::new();
    let mut statements = Vec::new();
    loop {
        let kind = from.read_u8().await?;
        let body = rest(&mut from).await?;
        let asked = match kind {
            b'P' => {
                let mut texts = texts(&body);
                prepared.insert(texts.next().unwrap(), texts.next().unwrap());
                None
            }
            b'B' => texts(&body).nth(1).and_then(|name| prepared.get(&name).cloned()),
            b'Q' => texts(&body).next(),
            _ => None,
        };
        if let Some(statement) = asked {
            let begun = talk.lock().unwrap().begun;
            let ends = statement.starts_with("COMMIT");
            if !begun {
                statements.clear();
            }
            if !ends && changes(&statement) {
                statements.push(statement);
            }
            if !statements.is_empty() && (ends || !begun) {
                match plan.lock().unwrap().write(&statements) {
                    None => {}
                    Some(Break::Asking) => return Ok(()),
                    Some(Break::Answering) => {
                        let mut talk = talk.lock().unwrap();
                        talk.told = Some(talk.asked);
                    }
                }
            }
        }
        if matches!(kind, b'Q' | b'S') {
            talk.lock().unwrap().asked += 1;
        }
        to.write_all(&[&[kind][..], &body].concat()).await?;
    }
}

async fn answer(from: OwnedReadHalf, mut to: OwnedWriteHalf, talk: &Mutex<Talk>) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let kind = from.read_u8().await?;
        let body = rest(&mut from).await?;
        let ready = kind == b'Z';
        let told = {
            let mut talk = talk.lock().unwrap();
            let told = talk.told.is_none_or(|told| talk.answered < told);
            if ready {
                // The first, after the greeting, was not asked for.
                talk.answered += usize::from(talk.asked > 0);
                talk.begun = body.last() != Some(&b'I');
            }
            told
        };
        match told {
            true => to.write_all(&[&[kind][..], &body].concat()).await?,
            false if ready => return Ok(()),
            false => {}
        }
    }
}

/// A message's length, which counts itself, and what follows.
async fn rest(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut body = length.to_be_bytes().to_vec();
    body.resize(length as usize, 0);
    from.read_exact(&mut body[4..]).await?;
    Ok(body)
}

/// The texts at the beginning of a message, each of which ends with a zero.
fn texts(body: &[u8]) -> impl Iterator<Item = String> {
    body[4..].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
}

/// Whether a statement changes rows.
fn changes(statement: &str) -> bool {
    let statement = statement.trim_start();
    ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb))
}
