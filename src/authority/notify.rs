//! NOTIFY out (RFC 1996): over TCP, as Knot DNS sends it, to each target by itself.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::net::{framed, within};
use super::server::{Shared, now};
use super::store::{Store, count};
use super::zone::Zone;
use crate::dns::{Class, tsig::Key};
use crate::dns::{Message, Opcode, Question, Rcode, Record, soa_serial, tsig};
use crate::model::{Name, RrType};

/// How long one NOTIFY may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Pauses after a failure: doubled from the first up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Tells one target of every zone at first, then of every new serial. What it misses is told again until it answers;
/// serials that come in between are not told one by one.
pub(super) async fn run(shared: Arc<Shared>, target: SocketAddr, key: Option<Name>) {
    let mut changes = shared.changed.subscribe();
    let mut told: BTreeMap<Name, u32> = BTreeMap::new();
    let mut pause = PAUSES.0;
    loop {
        changes.mark_unchanged();
        let (soas, key) = shared.with(|store| news(store, key.as_ref(), &told));
        let mut failed = false;
        for soa in soas {
            let serial = soa_serial(&soa.rdata).unwrap_or_default();
            let zone = soa.name.clone();
            let sent = tokio::select! {
                sent = within(DEADLINE, send(target, soa, key.as_ref())) => sent,
                () = shared.stop.cancelled() => return,
            };
            match sent {
                Ok(()) => {
                    shared.with(|store| count(&store.counters.notified));
                    told.insert(zone, serial);
                }
                Err(error) => {
                    tracing::debug!(%target, %zone, %error, "NOTIFY failed");
                    failed = true;
                }
            }
        }
        let retry = async {
            match failed {
                true => tokio::time::sleep(pause).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = retry => pause = (pause * 2).min(PAUSES.1),
            () = shared.stop.cancelled() => return,
        }
        if !failed {
            pause = PAUSES.0;
        }
    }
}

/// The SOA records of zones whose serial the target does not know, and the key for it.
fn news(store: &Store, key: Option<&Name>, told: &BTreeMap<Name, u32>) -> (Vec<Record>, Option<Key>) {
    let new = store.zones.values().filter(|zone| told.get(zone.apex()) != Some(&zone.serial()));
    let key = store.keys.iter().find(|known| Some(known.name()) == key);
    (new.map(Zone::soa).collect(), key.cloned())
}

/// Sends one NOTIFY and waits for its answer.
async fn send(address: SocketAddr, soa: Record, key: Option<&Key>) -> io::Result<()> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut message = Message::new(NEXT.fetch_add(1, Ordering::Relaxed), Opcode::NOTIFY);
    message.authoritative = true;
    message.questions.push(Question { name: soa.name.clone(), rtype: RrType::SOA, class: Class::IN });
    message.answers.push(soa);
    let (bytes, pending) = match key {
        Some(key) => {
            let (bytes, pending) = tsig::sign(key, message.encode(), now());
            (bytes, Some(pending))
        }
        None => (message.encode(), None),
    };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&framed(&bytes)).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if let Some(pending) = pending {
        answer = pending.verify(answer, now()).map_err(|error| bad(error.to_string()))?;
    }
    let answer = Message::parse(&answer).map_err(|error| bad(error.to_string()))?;
    match answer.response && answer.id == message.id && answer.rcode == Rcode::NOERROR {
        true => Ok(()),
        false => Err(bad(format!("answered {}", answer.rcode))),
    }
}
