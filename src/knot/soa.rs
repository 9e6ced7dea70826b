//! The SOA poll and other small questions: one UDP exchange (RFC 1034 §4.3.5), TCP where UDP fails.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::error::{Exchange, Place, ServerError};
use super::seal::{Expected, Opened};
use super::stream::{self, Deframer};
use super::{Session, message, random_id};
use crate::dns::Message;
use crate::model::{Name, Rdata, RrType};

/// Polls after which a socket is replaced, so that its port does not stay guessable for ever.
const POLLS_PER_SOCKET: u32 = 1000;

/// RFC 1035 §4.1.1.
const NXDOMAIN: u16 = 3;

/// A connected socket kept between polls.
#[derive(Debug)]
pub(super) struct PollSocket {
    socket: UdpSocket,
    polls: u32,
}

/// One question.
struct Ask<'a> {
    zone: &'a Name,
    name: &'a Name,
    rtype: RrType,
}

impl Ask<'_> {
    fn query(&self, id: u16) -> Vec<u8> {
        Message::query(id, self.name.clone(), self.rtype).encode()
    }
}

/// What one exchange came to.
enum Reply<T> {
    Good(T),
    /// An answer that failed us. Anybody may have sent it, so TCP is asked before it is believed.
    Doubtful(ServerError),
}

/// An answer that is no good.
struct Wrong {
    error: ServerError,
    /// It claims a success that it cannot prove.
    forged: bool,
}

impl Session {
    /// The zone's SOA serial: UDP, three tries with fresh socket and id, then TCP.
    ///
    /// # Errors
    /// Any [`ServerError`].
    pub async fn soa(&self, zone: &Name) -> Result<u32, ServerError> {
        let ask = Ask { zone, name: zone, rtype: RrType::SOA };
        self.ask(&ask, |answer| {
            answer
                .and_then(|bytes| message::soa_serial(bytes, zone))
                .ok_or("it holds no SOA of the zone; is the zone served there, and is the name its apex?")
        })
        .await
    }

    /// The values of a TXT set as the server holds it now, none where there is none; tried as [`Session::soa`] is.
    ///
    /// # Errors
    /// Any [`ServerError`].
    pub async fn txt(&self, zone: &Name, name: &Name) -> Result<Vec<Rdata>, ServerError> {
        let ask = Ask { zone, name, rtype: RrType::TXT };
        self.ask(&ask, |answer| match answer {
            Some(bytes) => message::values(bytes, name, RrType::TXT).ok_or("it was cut off"),
            None => Ok(Vec::new()),
        })
        .await
    }

    /// `read` gets the verified answer, `None` for a name that does not exist, and says what is wrong with it.
    async fn ask<T>(
        &self,
        ask: &Ask<'_>,
        read: impl Fn(Option<&[u8]>) -> Result<T, &'static str>,
    ) -> Result<T, ServerError> {
        for attempt in 0..3 {
            let reused =
                if attempt == 0 { self.poll_socket.try_lock().ok().and_then(|mut slot| slot.take()) } else { None };
            let mut poll = match reused {
                Some(poll) => poll,
                None => match self.open_udp().await {
                    Ok(socket) => PollSocket { socket, polls: 0 },
                    // No descriptor, no route: TCP will say why in better words.
                    Err(_) => break,
                },
            };
            match self.ask_udp(&poll.socket, ask, &read).await {
                Ok(Some(Reply::Good(found))) => {
                    poll.polls += 1;
                    if poll.polls < POLLS_PER_SOCKET
                        && let Ok(mut slot) = self.poll_socket.try_lock()
                    {
                        *slot = Some(poll);
                    }
                    return Ok(found);
                }
                Ok(Some(Reply::Doubtful(error))) => {
                    tracing::debug!(%error, "asking again over TCP");
                    break;
                }
                // A port that refuses refuses again: TCP decides.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => break,
                Ok(None) | Err(_) => {}
            }
        }
        self.ask_tcp(ask, &read).await
    }

    pub(super) async fn open_udp(&self) -> io::Result<UdpSocket> {
        let any = if self.address.is_ipv4() { [0, 0, 0, 0].into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let source = self.settings.source.filter(|source| source.is_ipv4() == self.address.is_ipv4()).unwrap_or(any);
        let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await?;
        // A connected socket takes datagrams from that server alone, and learns of a closed port at once.
        socket.connect(self.address).await?;
        Ok(socket)
    }

    /// One exchange; `None` when nothing that belongs to it came in time.
    async fn ask_udp<T>(
        &self,
        socket: &UdpSocket,
        ask: &Ask<'_>,
        read: impl Fn(Option<&[u8]>) -> Result<T, &'static str>,
    ) -> io::Result<Option<Reply<T>>> {
        let id = random_id();
        let (query, expected) = self.settings.seal.sign(ask.query(id));
        socket.send(&query).await?;
        let mut buffer = vec![0u8; 4096];
        let mut doubtful = None;
        let exchange = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                let bytes = &buffer[..length];
                if !message::answers(bytes, id, ask.name, ask.rtype) {
                    continue;
                }
                match self.judge(&expected, bytes, ask, &read) {
                    Ok(found) => return Ok(Some(Reply::Good(found))),
                    // A forged answer must not keep the true one out.
                    Err(Wrong { error, forged: true }) => doubtful = Some(error),
                    Err(Wrong { error, .. }) => return Ok(Some(Reply::Doubtful(error))),
                }
            }
        };
        match tokio::time::timeout(self.settings.timeouts.query, exchange).await {
            Ok(result) => result,
            Err(_) => Ok(doubtful.map(Reply::Doubtful)),
        }
    }

    async fn ask_tcp<T>(
        &self,
        ask: &Ask<'_>,
        read: impl Fn(Option<&[u8]>) -> Result<T, &'static str>,
    ) -> Result<T, ServerError> {
        let place = Place { server: self.address, zone: ask.zone.clone() };
        let unreachable =
            |error: io::Error| ServerError::Unreachable { place: place.clone(), detail: error.to_string() };
        let timeouts = &self.settings.timeouts;
        let mut stream =
            stream::connect(self.address, self.settings.source, timeouts.connect).await.map_err(unreachable)?;
        let id = random_id();
        let (query, expected) = self.settings.seal.sign(ask.query(id));
        let exchange = async {
            let mut framed = Vec::with_capacity(query.len() + 2);
            let _ = stream::frame(&query, &mut framed);
            stream.write_all(&framed).await?;
            let mut input = Deframer::default();
            loop {
                if let Some(bytes) = input.next() {
                    return Ok(bytes);
                }
                if stream.read_buf(input.buffer(4096)).await? == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
                }
            }
        };
        let limit = timeouts.query.max(Duration::from_secs(3));
        let bytes = tokio::time::timeout(limit, exchange)
            .await
            .map_err(|_| ServerError::Timeout { place: place.clone(), what: Exchange::Query, after: limit })?
            .map_err(unreachable)?;
        if !message::answers(&bytes, id, ask.name, ask.rtype) {
            let detail = "it is about something else".to_owned();
            return Err(ServerError::BadAnswer { place, what: Exchange::Query, detail });
        }
        self.judge(&expected, &bytes, ask, read).map_err(|wrong| wrong.error)
    }

    /// Verifies and reads one answer.
    fn judge<T>(
        &self,
        expected: &Expected,
        bytes: &[u8],
        ask: &Ask<'_>,
        read: impl Fn(Option<&[u8]>) -> Result<T, &'static str>,
    ) -> Result<T, Wrong> {
        let place = Place { server: self.address, zone: ask.zone.clone() };
        let what = Exchange::Query;
        let answer = match self.settings.seal.open(&place, what, expected, bytes) {
            Opened::Good(message) => read(Some(&message)),
            Opened::Failed { rcode: NXDOMAIN, .. } if ask.name != ask.zone => read(None),
            Opened::Failed { error, .. } => return Err(Wrong { error, forged: false }),
            Opened::Forged(error) => return Err(Wrong { error, forged: true }),
        };
        answer.map_err(|detail| Wrong {
            error: ServerError::BadAnswer { place, what, detail: detail.to_owned() },
            forged: false,
        })
    }
}
