//! What `doctor` finds out about the server's clock: a signed answer tells when it was signed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::UdpSocket;

use crate::dns::Message;
use crate::dns::tsig::{self, Key};
use crate::knot::ServerConfig;
use crate::model::{Name, RrType};

/// Seconds of difference from which a person should look; signatures are refused beyond [`tsig::FUDGE`].
pub(super) const WARN: u64 = 60;
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(2);

/// How many seconds the server's clock is ahead of ours (negative: behind). `None` without a key, or where no signed
/// answer comes over UDP.
pub(super) async fn ahead(server: &ServerConfig, address: SocketAddr, zone: &Name) -> Option<i64> {
    let key = server.key.as_ref()?;
    for _ in 0..TRIES {
        if let Ok(Some(ahead)) = tokio::time::timeout(PATIENCE, ask(key, server.source, address, zone)).await {
            return Some(ahead);
        }
    }
    None
}

async fn ask(key: &Key, source: Option<IpAddr>, address: SocketAddr, zone: &Name) -> Option<i64> {
    let any = if address.is_ipv4() { IpAddr::from([0, 0, 0, 0]) } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = source.filter(|source| source.is_ipv4() == address.is_ipv4()).unwrap_or(any);
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await.ok()?;
    socket.connect(address).await.ok()?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).ok()?;
    let query = Message::query(u16::from_be_bytes(id), zone.clone(), RrType::SOA).encode();
    let (query, pending) = tsig::sign(key, query, now());
    socket.send(&query).await.ok()?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        let (answer, now) = (&buffer[..length], now());
        // What is not the server's own answer is passed over.
        if pending.verify(answer, now).is_ok() {
            let signed = i64::try_from(tsig::time_signed(answer)?).ok()?;
            return signed.checked_sub(i64::try_from(now).ok()?);
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The difference in words.
pub(super) fn words(ahead: i64) -> String {
    match ahead {
        // Whole seconds, and the answer took some time.
        -1..=1 => "its clock agrees with ours".to_owned(),
        ahead => {
            format!("its clock is {} s {} ours", ahead.unsigned_abs(), if ahead > 0 { "ahead of" } else { "behind" })
        }
    }
}
