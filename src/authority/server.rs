//! Sockets, signatures and faults around the zones.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::faults::{Fault, Faults};
use super::store::{Store, ZoneState};
use super::zonefile::ZoneFileError;
use super::{query, transfer, update};
use crate::dns::tsig::{self, Key, Received, Signer};
use crate::dns::{Message, Opcode, Rcode, soa_serial};
use crate::model::{Name, RrType};
use crate::view::View;

/// Connections at once.
const CONNECTIONS: usize = 256;
/// A connection that says nothing this long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// A reader that takes nothing this long is closed.
const STUCK: Duration = Duration::from_secs(10);

/// What a server shall be like.
pub struct AuthorityConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Zones: apex and the text of a zone file.
    pub zones: Vec<(Name, String)>,
    /// Keys that may transfer and update; without any, everybody may.
    pub keys: Vec<Key>,
    /// Who is told of changes.
    pub notify: Vec<SocketAddr>,
}

/// How often what was asked.
#[derive(Debug, Default)]
pub struct Counters {
    /// Queries, SOA polls among them.
    pub queries: AtomicU64,
    /// UPDATEs.
    pub updates: AtomicU64,
    /// Whole transfers.
    pub axfr: AtomicU64,
    /// Incremental transfers.
    pub ixfr: AtomicU64,
}

struct Shared {
    store: Mutex<Store>,
    keys: Vec<Key>,
    notify: Vec<SocketAddr>,
    faults: Faults,
    counters: Counters,
    stop: CancellationToken,
}

/// Starts servers.
pub struct Authority;

/// A running server; it stops when this is dropped.
pub struct Handle {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Authority {
    /// Starts a server on the running tokio runtime.
    ///
    /// # Errors
    /// When a zone cannot be read or the address cannot be bound.
    pub async fn start(config: AuthorityConfig) -> std::io::Result<Handle> {
        let mut store = Store::default();
        for (zone, text) in &config.zones {
            store.load(zone, text).map_err(|error| std::io::Error::other(format!("zone {zone}: {error}")))?;
        }
        let (udp, tcp) = bind(config.listen).await?;
        let addr = udp.local_addr()?;
        let shared = Arc::new(Shared {
            store: Mutex::new(store),
            keys: config.keys,
            notify: config.notify,
            faults: Faults::default(),
            counters: Counters::default(),
            stop: CancellationToken::new(),
        });
        tokio::spawn(serve_udp(Arc::clone(&shared), udp));
        tokio::spawn(serve_tcp(Arc::clone(&shared), tcp));
        Ok(Handle { addr, shared })
    }
}

/// One port for both; a free UDP port may be taken for TCP, so a few are tried.
async fn bind(listen: SocketAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..32 {
        let udp = UdpSocket::bind(listen).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if listen.port() != 0 => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::Error::other("no free port")))
}

impl Handle {
    /// Where it answers, UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The fault switchboard.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// How often what was asked.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// A zone as it is now.
    pub fn snapshot(&self, zone: &Name) -> Option<ZoneState> {
        self.shared.store.lock().ok()?.zones.get(zone).cloned()
    }

    /// The records of a zone as they are now.
    pub fn view(&self, zone: &Name) -> Option<View> {
        self.snapshot(zone).map(|state| state.view)
    }

    /// Puts a zone back to an earlier state, serial and all: what a restored backup does.
    pub fn restore(&self, state: ZoneState) {
        if let Ok(mut store) = self.shared.store.lock() {
            store.zones.insert(state.view.zone().clone(), state);
        }
    }

    /// Replaces a zone by the text of a zone file.
    ///
    /// # Errors
    /// [`ZoneFileError`].
    pub fn set_zone(&self, zone: &Name, text: &str) -> Result<(), ZoneFileError> {
        match self.shared.store.lock() {
            Ok(mut store) => store.load(zone, text),
            Err(_) => Ok(()),
        }
    }
}

async fn serve_udp(shared: Arc<Shared>, socket: UdpSocket) {
    let mut buffer = vec![0u8; 65_535];
    loop {
        let (len, peer) = tokio::select! {
            () = shared.stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(_) => continue,
            },
        };
        let reply = shared.handle(buffer[..len].to_vec(), true);
        if let Some(delay) = reply.delay {
            tokio::time::sleep(delay).await;
        }
        if let Some(answer) = reply.answers.first() {
            let _ = socket.send_to(answer, peer).await;
        }
    }
}

async fn serve_tcp(shared: Arc<Shared>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let stop = shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                _ = serve_connection(shared, stream) => {}
            }
            drop(place);
        });
    }
}

async fn serve_connection(shared: Arc<Shared>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let mut len = [0u8; 2];
        tokio::time::timeout(IDLE, stream.read_exact(&mut len)).await.map_err(std::io::Error::other)??;
        let mut message = vec![0u8; usize::from(u16::from_be_bytes(len))];
        tokio::time::timeout(STUCK, stream.read_exact(&mut message)).await.map_err(std::io::Error::other)??;
        let reply = shared.handle(message, false);
        if let Some(delay) = reply.delay {
            tokio::time::sleep(delay).await;
        }
        for answer in &reply.answers {
            let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
            framed.extend_from_slice(answer);
            if reply.end == End::HalfAnswer {
                framed.truncate(framed.len() / 2);
            }
            tokio::time::timeout(STUCK, stream.write_all(&framed)).await.map_err(std::io::Error::other)??;
        }
        match reply.end {
            End::Go => {}
            End::Close | End::HalfAnswer => return Ok(()),
            End::Stall => {
                shared.stop.cancelled().await;
                return Ok(());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Go,
    Close,
    HalfAnswer,
    Stall,
}

struct Reply {
    answers: Vec<Vec<u8>>,
    delay: Option<Duration>,
    end: End,
}

impl Reply {
    fn of(answers: Vec<Vec<u8>>) -> Reply {
        Reply { answers, delay: None, end: End::Go }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0);
        let skew = self.faults.strike(|fault| match fault {
            Fault::Skew(seconds) => Some(*seconds),
            _ => None,
        });
        now.saturating_add_signed(skew.unwrap_or(0))
    }

    fn struck(&self, wanted: &Fault) -> bool {
        self.faults.strike(|fault| (fault == wanted).then_some(())).is_some()
    }

    /// From request to answers.
    fn handle(&self, request: Vec<u8>, udp: bool) -> Reply {
        let now = self.now();
        let (plain, signer) = match tsig::receive(&self.keys, request, now) {
            Received::Unsigned(plain) => (plain, None),
            Received::Signed { message, signer, .. } => (message, Some(signer)),
            Received::Rejected(answer) => return Reply::of(if answer.is_empty() { vec![] } else { vec![answer] }),
        };
        let Ok(message) = Message::parse(&plain) else {
            let Some(id) = plain.get(..2) else { return Reply::of(vec![]) };
            let mut out = Message::new(u16::from_be_bytes([id[0], id[1]]), Opcode::QUERY);
            (out.response, out.rcode) = (true, Rcode::FORMERR);
            return Reply::of(vec![out.encode()]);
        };
        if message.response {
            return Reply::of(vec![]);
        }
        let kind = message.questions.first().map(|question| question.rtype);
        let mut reply = match (message.opcode, kind) {
            (Opcode::UPDATE, _) => self.update(&message, signer, now),
            (Opcode::QUERY, Some(RrType::AXFR | RrType::IXFR)) => self.transfer(&message, signer, now, udp),
            (Opcode::QUERY, _) => self.query(&message, signer, now, udp),
            _ => Reply::of(vec![sign(&message.answer(Rcode::NOTIMP), signer, now)]),
        };
        reply.delay = self.faults.strike(|fault| match fault {
            Fault::Delay(delay) => Some(*delay),
            _ => None,
        });
        if self.struck(&Fault::WrongId) {
            reply.answers.iter_mut().filter_map(|answer| answer.first_mut()).for_each(|octet| *octet ^= 0x55);
        }
        reply
    }

    fn trusted(&self, signer: &Option<Signer>) -> bool {
        self.keys.is_empty() || signer.is_some()
    }

    fn finish(&self, answer: &Message, signer: Option<Signer>, now: u64) -> Vec<u8> {
        if self.struck(&Fault::Unsigned) {
            return answer.encode();
        }
        let mut signed = sign(answer, signer, now);
        if self.struck(&Fault::Forged) {
            forge(&mut signed);
        }
        signed
    }

    fn query(&self, message: &Message, signer: Option<Signer>, now: u64, udp: bool) -> Reply {
        self.counters.queries.fetch_add(1, Ordering::Relaxed);
        let rcode = self.faults.strike(|fault| match fault {
            Fault::QueryRcode(rcode) => Some(*rcode),
            _ => None,
        });
        let mut answer = match (rcode, self.store.lock()) {
            (Some(rcode), _) => message.answer(rcode),
            (None, Ok(store)) => query::answer(&store, message),
            (None, Err(_)) => message.answer(Rcode::SERVFAIL),
        };
        let opt = message.additionals.iter().find(|record| record.rtype == RrType::OPT);
        let room = opt.map_or(512, |opt| usize::from(opt.class.0).clamp(512, 1232));
        if opt.is_some() {
            let mut own = crate::dns::Record::new(Name::root(), RrType::OPT, 0, Vec::new());
            own.class = crate::dns::Class(1232);
            answer.additionals.push(own);
        }
        if udp && answer.encode().len() > room {
            answer.truncated = true;
            answer.answers.clear();
            answer.authorities.clear();
            answer.additionals.retain(|record| record.rtype == RrType::OPT);
        }
        Reply::of(vec![self.finish(&answer, signer, now)])
    }

    fn update(&self, message: &Message, signer: Option<Signer>, now: u64) -> Reply {
        self.counters.updates.fetch_add(1, Ordering::Relaxed);
        if self.struck(&Fault::LostBefore) {
            return Reply { answers: vec![], delay: None, end: End::Close };
        }
        let refused = self.faults.strike(|fault| match fault {
            Fault::UpdateRcode(rcode) => Some(*rcode),
            Fault::RefuseName(name) => {
                message.authorities.iter().any(|record| record.name == *name).then_some(Rcode::REFUSED)
            }
            _ => None,
        });
        let rcode = match (refused, self.store.lock()) {
            (Some(rcode), _) => rcode,
            // Knot says NOTAUTH where its ACL does not allow.
            (None, _) if !self.trusted(&signer) => Rcode::NOTAUTH,
            (None, Ok(mut store)) => update::apply(&mut store, message),
            (None, Err(_)) => Rcode::SERVFAIL,
        };
        if rcode == Rcode::NOERROR {
            self.tell(message);
        }
        if self.struck(&Fault::LostAfter) {
            return Reply { answers: vec![], delay: None, end: End::Close };
        }
        if self.struck(&Fault::SilentAfter) {
            return Reply { answers: vec![], delay: None, end: End::Go };
        }
        let mut reply = Reply::of(vec![self.finish(&message.answer(rcode), signer, now)]);
        if self.struck(&Fault::AnswerCut) {
            reply.end = End::HalfAnswer;
        }
        reply
    }

    fn transfer(&self, message: &Message, signer: Option<Signer>, now: u64, udp: bool) -> Reply {
        let incremental = message.questions.first().is_some_and(|question| question.rtype == RrType::IXFR);
        let counter = if incremental { &self.counters.ixfr } else { &self.counters.axfr };
        counter.fetch_add(1, Ordering::Relaxed);
        let rcode = self.faults.strike(|fault| match fault {
            Fault::TransferRcode(rcode) => Some(*rcode),
            _ => None,
        });
        let zone = message.questions.first().map(|question| question.name.clone()).unwrap_or_else(Name::root);
        let state = self.store.lock().ok().and_then(|store| store.zones.get(&zone).cloned());
        let rcode = rcode.or((!self.trusted(&signer)).then_some(Rcode::NOTAUTH));
        let (Some(state), None) = (state, rcode) else {
            return Reply::of(vec![sign(&message.answer(rcode.unwrap_or(Rcode::NOTAUTH)), signer, now)]);
        };
        let mut messages = transfer::messages(&state, message, udp);
        let mut end = End::Go;
        let mut forged = None;
        let transfer_fault = self.faults.strike(|fault| match fault {
            Fault::TransferCut(_)
            | Fault::TransferReordered
            | Fault::TransferStalled(_)
            | Fault::TransferForged(_)
            | Fault::TransferNoEnd
            | Fault::TransferOtherEnd => Some(fault.clone()),
            _ => None,
        });
        match transfer_fault {
            Some(Fault::TransferCut(after)) => {
                messages.truncate(after);
                end = End::Close;
            }
            Some(Fault::TransferStalled(after)) => {
                messages.truncate(after);
                end = End::Stall;
            }
            Some(Fault::TransferReordered) if messages.len() > 2 => messages.swap(1, 2),
            Some(Fault::TransferForged(at)) => forged = Some(at),
            Some(Fault::TransferNoEnd) => {
                messages.last_mut().map(|last| last.answers.pop());
                end = End::Close;
            }
            Some(Fault::TransferOtherEnd) => other_end(&mut messages),
            _ => {}
        }
        let mut answers: Vec<Vec<u8>> = match signer {
            None => messages.iter().map(Message::encode).collect(),
            Some(signer) => {
                let mut sequence = signer.into_sequence();
                messages.iter().map(|message| sequence.sign(message.encode(), now)).collect()
            }
        };
        if let Some(answer) = forged.and_then(|at: usize| answers.get_mut(at)) {
            forge(answer);
        }
        Reply { answers, delay: None, end }
    }

    /// NOTIFY (RFC 1996), best effort.
    fn tell(&self, message: &Message) {
        let Some(zone) = message.questions.first().map(|question| question.name.clone()) else { return };
        for target in &self.notify {
            let mut notify = Message::query(1, zone.clone(), RrType::SOA);
            (notify.opcode, notify.authoritative) = (Opcode::NOTIFY, true);
            let target = *target;
            tokio::spawn(async move {
                let send = async {
                    let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
                    socket.send_to(&notify.encode(), target).await
                };
                let _ = tokio::time::timeout(Duration::from_secs(2), send).await;
            });
        }
    }
}

fn sign(answer: &Message, signer: Option<Signer>, now: u64) -> Vec<u8> {
    match signer {
        Some(signer) => signer.sign(answer.encode(), now),
        None => answer.encode(),
    }
}

/// Spoils the MAC, which ends 6 octets before the end of a TSIG record without other data.
fn forge(answer: &mut [u8]) {
    let at = answer.len().saturating_sub(8);
    if let Some(octet) = answer.get_mut(at) {
        *octet ^= 0xff;
    }
}

fn other_end(messages: &mut [Message]) {
    let Some(soa) = messages.last_mut().and_then(|last| last.answers.last_mut()) else { return };
    let Some(serial) = soa_serial(&soa.rdata) else { return };
    let at = soa.rdata.len().saturating_sub(20);
    if let Some(place) = soa.rdata.get_mut(at..at + 4) {
        place.copy_from_slice(&serial.wrapping_add(1).to_be_bytes());
    }
}
