//! A relay between an engine and a server that notes what passes: whole UPDATEs, when they went and were answered, and
//! how many questions were asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// One UPDATE that passed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The message as signed by the engine.
    pub message: Vec<u8>,
    /// When its last octet came from the engine.
    pub sent: Instant,
    /// When its answer came from the server.
    pub answered: Option<Instant>,
}

/// What passed so far.
#[derive(Debug, Default)]
pub struct Log {
    /// UPDATEs in their order.
    pub updates: Mutex<Vec<Seen>>,
    /// Datagrams from the engine.
    pub datagrams: AtomicUsize,
    /// Messages from the engine over TCP.
    pub streamed: AtomicUsize,
}

/// Starts relaying to `server`; gives the address to ask instead.
pub async fn start(server: SocketAddr) -> (SocketAddr, Arc<Log>) {
    let log: Arc<Log> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let addr = listener.local_addr().expect("bound");
    let udp = UdpSocket::bind(addr).await.expect("udp");
    let noted = Arc::clone(&log);
    tokio::spawn(async move {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.expect("udp");
        let (mut query, mut answer) = ([0; 4096], [0; 4096]);
        let mut client = None;
        loop {
            tokio::select! {
                Ok((length, from)) = udp.recv_from(&mut query) => {
                    noted.datagrams.fetch_add(1, Ordering::SeqCst);
                    client = Some(from);
                    let _ = upstream.send_to(&query[..length], server).await;
                }
                Ok((length, _)) = upstream.recv_from(&mut answer) => if let Some(client) = client {
                    let _ = udp.send_to(&answer[..length], client).await;
                }
            }
        }
    });
    let noted = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, server, Arc::clone(&noted)));
        }
    });
    (addr, log)
}

async fn relay(client: TcpStream, server: SocketAddr, log: Arc<Log>) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok(message) = frame(&mut from_server).await {
            if is_update(&message) {
                let mut updates = answers.updates.lock().expect("log");
                let waiting =
                    updates.iter_mut().find(|one| one.answered.is_none() && one.message[..2] == message[2..4]);
                if let Some(one) = waiting {
                    one.answered = Some(Instant::now());
                }
            }
            if to_client.write_all(&message).await.is_err() {
                break;
            }
        }
    });
    while let Ok(message) = frame(&mut from_client).await {
        log.streamed.fetch_add(1, Ordering::SeqCst);
        if is_update(&message) {
            let seen = Seen { message: message[2..].to_vec(), sent: Instant::now(), answered: None };
            log.updates.lock().expect("log").push(seen);
        }
        to_server.write_all(&message).await?;
    }
    Ok(())
}

/// One message with its length before it.
async fn frame(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = length.to_be_bytes().to_vec();
    message.resize(2 + usize::from(length), 0);
    stream.read_exact(&mut message[2..]).await?;
    Ok(message)
}

fn is_update(frame: &[u8]) -> bool {
    frame.get(4).is_some_and(|flags| flags & 0x78 == 0x28)
}
