//! The sockets: datagrams and connections in, steps out.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::reply::{Reply, Step};
use super::server::{Shared, now};
use super::store::Transport;

/// Ports tried until one is free for both protocols.
const TRIES: usize = 100;

/// Datagrams whose answers wait at a time; more are dropped.
const WAITING: usize = 256;

/// UDP and TCP on the same port.
pub(super) async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        tries += 1;
        // TCP first: ports of connections that were closed lately are never given out for it.
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if address.port() != 0 || tries == TRIES => return Err(error),
            Err(_) => {}
        }
    }
}

/// Answers datagrams until told to stop.
pub(super) async fn datagrams(shared: Arc<Shared>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shared.stop.cancelled() => return,
        };
        let Ok((length, from)) = received else {
            // An error of one client's making; not to spin should it be more than that.
            sleep(Duration::from_millis(1)).await;
            continue;
        };
        let Some(request) = buffer.get(..length).map(<[u8]>::to_vec) else { continue };
        let steps: Vec<Step> = shared.with(|store| store.handle(request, Transport::Udp, now())).collect();
        if let [Step::Send(answer)] = &steps[..] {
            let _ = socket.send_to(answer, from).await;
        } else if let Ok(permit) = Arc::clone(&waiting).try_acquire_owned() {
            let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
            tokio::spawn(async move {
                datagram_steps(&shared, &socket, from, steps).await;
                drop(permit);
            });
        }
    }
}

async fn datagram_steps(shared: &Shared, socket: &UdpSocket, from: SocketAddr, mut steps: Vec<Step>) {
    steps.reverse();
    while let Some(step) = steps.pop() {
        match step {
            Step::Send(answer) => drop(socket.send_to(&answer, from).await),
            Step::SendHalf(answer) => drop(socket.send_to(&answer[..answer.len() / 2], from).await),
            Step::Wait(time) => sleep(time).await,
            Step::Later(time, request) => {
                sleep(time).await;
                if shared.stop.is_cancelled() {
                    return;
                }
                steps = shared.with(|store| store.handle_late(request, Transport::Udp, now())).collect();
                steps.reverse();
            }
            Step::Stall | Step::Close => return,
        }
    }
}

/// Accepts connections until told to stop.
pub(super) async fn connections(shared: Arc<Shared>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(shared.max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, say: wait for some to come back.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            tokio::select! {
                _ = connection(&shared, stream) => {}
                () = shared.stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}

/// Answers the requests of one connection, in their order. Ends with an error when the client is gone or too slow.
async fn connection(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let length = within(shared.patience, reader.read_u16()).await?;
        let mut request = vec![0; usize::from(length)];
        within(shared.patience, reader.read_exact(&mut request)).await?;
        let mut reply = shared.with(|store| store.handle(request, Transport::Tcp, now()));
        while let Some((time, request)) = steps(shared, reply, &mut reader, &mut writer).await? {
            // Carried out even if the client gives up meanwhile: such requests are what the step is for.
            sleep(time).await;
            reply = shared.with(|store| store.handle_late(request, Transport::Tcp, now()));
        }
    }
}

/// Takes the steps of an answer; gives a request that is to be handled later.
async fn steps(
    shared: &Shared,
    reply: Reply,
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> io::Result<Option<(Duration, Vec<u8>)>> {
    for step in reply {
        match step {
            Step::Send(message) => within(shared.patience, writer.write_all(&framed(&message))).await?,
            Step::SendHalf(message) => {
                let frame = framed(&message);
                within(shared.patience, writer.write_all(&frame[..frame.len() / 2])).await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Step::Wait(time) => sleep(time).await,
            Step::Later(time, request) => return Ok(Some((time, request))),
            Step::Stall => {
                let mut ignored = [0; 512];
                while within(shared.patience, reader.read(&mut ignored)).await? > 0 {}
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Step::Close => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
    Ok(None)
}

/// A message with its length before it (RFC 1035 §4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 2);
    frame.extend_from_slice(&(message.len() as u16).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// The result of `work`, or an error when it takes longer.
pub(super) async fn within<T>(deadline: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(deadline, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
