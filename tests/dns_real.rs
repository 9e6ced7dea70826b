//! The protocol layer against real servers: UPDATE, transfers, and what they say of wrong keys and clocks.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use base64::Engine;
use knotwork::dns::tsig::{self, Algorithm, Key, TsigError};
use knotwork::dns::xfr::{self, Progress, Reader, Transfer, XfrError};
use knotwork::dns::{Message, Rcode, update};
use knotwork::model::{Name, RrType};
use knotwork::plan::{Edit, Guard};
use knotwork::view::View;
use support::bind::Bind;
use support::knot::{KEYS, Knot};
use support::parts;

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn key(name: &str, secret: &[u8]) -> Key {
    Key::new(n(name), Algorithm::HmacSha256, secret).unwrap()
}

fn secret() -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(KEYS[0].1).unwrap()
}

struct Tcp(TcpStream);

impl Tcp {
    fn to(addr: SocketAddr) -> Tcp {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Tcp(stream)
    }

    fn send(&mut self, message: &[u8]) {
        self.0.write_all(&[&(message.len() as u16).to_be_bytes()[..], message].concat()).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 2];
        self.0.read_exact(&mut len).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        self.0.read_exact(&mut message).unwrap();
        message
    }
}

fn transfer(addr: SocketAddr, have: Option<u32>) -> Result<Transfer, XfrError> {
    let zone = n("internal");
    let mut tcp = Tcp::to(addr);
    let (question, sequence) = tsig::sign_sequence(&key(KEYS[0].0, &secret()), xfr::question(&zone, 9, have), now());
    tcp.send(&question);
    let mut reader = Reader::new(zone, 9, have, Some(sequence));
    while reader.push(tcp.receive(), now())? == Progress::More {}
    reader.finish()
}

fn whole(addr: SocketAddr) -> View {
    let Transfer::Full(view) = transfer(addr, None).unwrap() else { panic!("no whole zone") };
    view
}

fn send_update(addr: SocketAddr, key: &Key, time: u64, guards: &[Guard], edits: &[Edit]) -> Result<Rcode, TsigError> {
    let (message, pending) = tsig::sign(key, update::encode(&n("internal"), 77, guards, edits), time);
    let mut tcp = Tcp::to(addr);
    tcp.send(&message);
    Ok(Message::parse(&pending.verify(tcp.receive(), time)?).unwrap().rcode)
}

fn against(addr: SocketAddr) {
    let good = key(KEYS[0].0, &secret());
    let empty = whole(addr);
    let name = |i: u32| n(&format!("Host{i}.internal"));
    let mut edits = Vec::new();
    let mut guards = Vec::new();
    for i in 0..900 {
        guards.push(Guard::NameNotInUse(name(i)));
        edits.push(Edit::Add(name(i), RrType::A, 300, [10, 0, 0, i as u8].into()));
        edits.push(Edit::Add(name(i).child(b"_knotwork").unwrap(), RrType::TXT, 300, (*b"\x06marker").into()));
    }
    assert_eq!(send_update(addr, &good, now(), &guards, &edits), Ok(Rcode::NOERROR));
    assert_eq!(send_update(addr, &good, now(), &guards, &edits), Ok(Rcode::YXDOMAIN));
    let before = whole(addr);
    assert_eq!(before.name_count(), empty.name_count() + 1800);
    let seen = |i: u32| Guard::SetIs(name(i), RrType::A, vec![[10, 0, 0, i as u8].into()]);
    let edits = [
        Edit::Add(name(2), RrType::A, 60, [10, 0, 0, 2].into()),
        Edit::Remove(name(1), RrType::A, [10, 0, 0, 1].into()),
        Edit::Remove(name(2), RrType::A, [10, 0, 0, 2].into()),
    ];
    assert_eq!(send_update(addr, &good, now(), &[seen(1), seen(2)], &edits), Ok(Rcode::NOERROR));
    assert_eq!(send_update(addr, &good, now(), &[seen(1)], &edits), Ok(Rcode::NXRRSET));

    let after = whole(addr);
    // BIND answers with the whole zone where the differences are larger than it (max-ixfr-ratio).
    match transfer(addr, Some(empty.serial())).unwrap() {
        Transfer::Full(view) => assert!(view.same_content(&after)),
        Transfer::Delta(steps) => {
            let mut view = empty.clone();
            view.apply(&steps).unwrap();
            assert!(view.same_content(&after));
        }
        other => panic!("{other:?}"),
    }
    let Transfer::Delta(steps) = transfer(addr, Some(before.serial())).unwrap() else { panic!("no differences") };
    let mut followed = before.clone();
    followed.apply(&steps).unwrap();
    assert!(followed.same_content(&after) && followed.serial() == after.serial());
    assert_eq!(after.get(&name(2), RrType::A).unwrap().ttl, 60);
    assert!(!after.in_use(&name(1)) && after.in_use(&name(899)));
    assert!(matches!(transfer(addr, Some(after.serial())), Ok(Transfer::UpToDate)));
    assert!(matches!(transfer(addr, Some(after.serial() + 1)), Ok(Transfer::Behind(s)) if s == after.serial()));

    let said = |key: &Key, time| send_update(addr, key, time, &[], &edits).unwrap_err();
    assert_eq!(said(&key(KEYS[0].0, b"another"), now()), TsigError::BadSig(Rcode::NOTAUTH));
    let unknown = said(&key("unknown", &secret()), now());
    assert!(matches!(unknown, TsigError::BadKey(Rcode::NOTAUTH) | TsigError::Unsigned(Rcode::NOTAUTH)), "{unknown}");
    let late = now() - 3600;
    assert!(matches!(said(&good, late), TsigError::BadTime { ours, server } if ours == late && server > late + 3500));
}

#[test]
fn knot() {
    let Some(program) = parts::need("knot") else { return };
    against(Knot::start(&program).addr);
}

#[test]
fn newer_knot() {
    let Some(program) = parts::need("knot-next") else { return };
    against(Knot::start(&program).addr);
}

#[test]
fn bind() {
    let Some(program) = parts::need("bind") else { return };
    against(Bind::start(&program).addr);
}
