//! One question in plain DNS to one address, by UDP or TCP: how programs reach the stub, and resolved its servers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, UdpSocket};

use crate::dns::Message;
use crate::model::{Name, RrType};

/// How long an answer may take, the sending included; resolved itself waits five seconds for a server.
pub const DEADLINE: Duration = Duration::from_secs(6);

/// By what a question goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One datagram each way; an answer that does not fit is asked for again by TCP.
    Udp,
    /// A connection.
    Tcp,
}

/// Asks, and gives the answer to just this question.
///
/// # Errors
/// Of the network; `TimedOut` after [`DEADLINE`], `InvalidData` for an answer that is none.
pub async fn ask(
    to: SocketAddr,
    device: Option<&str>,
    way: Way,
    (name, rtype): (&Name, RrType),
) -> io::Result<Message> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", DEADLINE.as_secs()));
    let asking = async {
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
        let mut query = Message::query(u16::from_be_bytes(id), name.clone(), rtype);
        query.recursion_desired = true;
        if way == Way::Udp {
            let answer = datagram(to, device, &query).await?;
            if !answer.truncated {
                return Ok(answer);
            }
        }
        stream(to, device, &query).await
    };
    tokio::time::timeout(DEADLINE, asking).await.map_err(|_| late())?
}

fn is_answer(query: &Message, answer: &Message) -> bool {
    answer.response && answer.id == query.id && answer.questions == query.questions
}

async fn datagram(to: SocketAddr, device: Option<&str>, query: &Message) -> io::Result<Message> {
    let from: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(from).await?;
    socket.bind_device(device.map(str::as_bytes))?;
    socket.connect(to).await?;
    socket.send(&query.encode()).await?;
    let mut octets = [0; 4096];
    loop {
        let length = socket.recv(&mut octets).await?;
        // Whatever else comes here is not for us.
        if let Some(answer) = Message::parse(&octets[..length]).ok().filter(|answer| is_answer(query, answer)) {
            return Ok(answer);
        }
    }
}

async fn stream(to: SocketAddr, device: Option<&str>, query: &Message) -> io::Result<Message> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind_device(device.map(str::as_bytes))?;
    let mut stream = socket.connect(to).await?;
    let octets = query.encode();
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes();
    stream.write_all(&[&length[..], &octets].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "what came is no answer to the question");
    Message::parse(&answer).ok().filter(|answer| is_answer(query, answer)).ok_or_else(wrong)
}
