//! A relay between an engine and a server that loses what it is told to lose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Notify, mpsc};

/// What becomes of UPDATEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server gets it; its answer is swallowed and the connection closed.
    Answer,
    /// It is held back and the connection to the client closed; the server gets it when told.
    Request,
}

/// A running relay.
pub struct Proxy {
    /// Where it listens, UDP and TCP.
    pub addr: SocketAddr,
    /// The UPDATE of this number (from 1) is hit; 0: none.
    pub victim: Arc<AtomicUsize>,
    /// Lets go of a held UPDATE.
    pub release: Arc<Notify>,
    /// The response codes that held UPDATEs got in the end.
    pub late: mpsc::UnboundedReceiver<u8>,
    /// UPDATEs seen.
    pub updates: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Plan {
    server: SocketAddr,
    loss: Loss,
    victim: Arc<AtomicUsize>,
    updates: Arc<AtomicUsize>,
    release: Arc<Notify>,
    late: mpsc::UnboundedSender<u8>,
}

impl Proxy {
    /// Starts relaying to `server`.
    pub async fn start(server: SocketAddr, loss: Loss) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let udp = Arc::new(UdpSocket::bind(addr).await.unwrap());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let (query, udp) = (buffer[..length].to_vec(), Arc::clone(&udp));
                tokio::spawn(async move {
                    let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    upstream.send_to(&query, server).await.unwrap();
                    let mut answer = [0; 4096];
                    if let Ok((length, _)) = upstream.recv_from(&mut answer).await {
                        let _ = udp.send_to(&answer[..length], from).await;
                    }
                });
            }
        });
        let (late, inbox) = mpsc::unbounded_channel();
        let plan =
            Plan { server, loss, victim: Arc::default(), updates: Arc::default(), release: Arc::default(), late };
        let (victim, release, updates) = (plan.victim.clone(), plan.release.clone(), plan.updates.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, plan.clone()));
            }
        });
        Proxy { addr, victim, release, late: inbox, updates }
    }
}

/// The messages of a stream; ends when the stream does.
fn messages(mut stream: OwnedReadHalf) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(1000);
    tokio::spawn(async move {
        while let Ok(length) = stream.read_u16().await {
            let mut message = vec![0; usize::from(length)];
            if stream.read_exact(&mut message).await.is_err() || send.send(message).await.is_err() {
                break;
            }
        }
    });
    receive
}

async fn write(stream: &mut OwnedWriteHalf, message: &[u8]) -> Option<()> {
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    stream.write_all(&frame).await.ok()
}

async fn relay(client: TcpStream, plan: Plan) -> Option<()> {
    let server = TcpStream::connect(plan.server).await.ok()?;
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (mut from_client, mut from_server) = (messages(from_client), messages(from_server));
    loop {
        tokio::select! {
            message = from_client.recv() => {
                let message = message?;
                let update = message[2] & 0x78 == 0x28;
                let hit = update && plan.updates.fetch_add(1, Ordering::SeqCst) + 1 == plan.victim.load(Ordering::SeqCst);
                if !hit {
                    write(&mut to_server, &message).await?;
                    continue;
                }
                match plan.loss {
                    Loss::Answer => {
                        write(&mut to_server, &message).await?;
                        // All answers that are due, the victim's the last.
                        while let Ok(Some(_)) =
                            tokio::time::timeout(std::time::Duration::from_millis(300), from_server.recv()).await
                        {}
                        return to_client.shutdown().await.ok();
                    }
                    Loss::Request => {
                        to_client.shutdown().await.ok()?;
                        drop(from_client);
                        plan.release.notified().await;
                        write(&mut to_server, &message).await?;
                        let answer = from_server.recv().await?;
                        let _ = plan.late.send(answer[3] & 15);
                        return None;
                    }
                }
            }
            message = from_server.recv() => write(&mut to_client, &message?).await?,
        }
    }
}
