//! The transport against peers that follow a script: what a real server cannot be asked to do.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::*;
use crate::dns::{Message, Opcode, Rcode, Record};
use crate::model::{Name, RrType};

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn server(addr: SocketAddr, timeouts: Timeouts) -> Server {
    Server::new(ServerConfig { name: "peer".into(), addresses: vec![addr], source: None, key: None, timeouts })
}

fn quick() -> Timeouts {
    Timeouts { query: Duration::from_millis(200), progress: Duration::from_millis(300), ..Timeouts::default() }
}

async fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) {
    stream.write_u16(message.len() as u16).await.unwrap();
    stream.write_all(message).await.unwrap();
}

fn answer(request: &[u8], rcode: u8) -> Vec<u8> {
    let mut answer = request[..12].to_vec();
    answer[2] |= 0x80;
    answer[3] = rcode;
    answer[4..12].fill(0);
    answer
}

fn soa(serial: u32) -> Record {
    let mut rdata = vec![0, 0];
    rdata.extend(serial.to_be_bytes());
    rdata.extend([0; 16]);
    Record::new(n("internal"), RrType::SOA, 60, rdata)
}

fn soa_answer(request: &[u8], serial: u32) -> Vec<u8> {
    let mut message = Message::parse(request).unwrap().answer(Rcode::NOERROR);
    message.answers.push(soa(serial));
    message.encode()
}

fn update() -> Vec<u8> {
    let mut message = Message::new(0, Opcode::UPDATE);
    message.questions.push(crate::dns::Question {
        name: n("internal"),
        rtype: RrType::SOA,
        class: crate::dns::Class::IN,
    });
    message.encode()
}

async fn outcome(inbox: &mut mpsc::Receiver<Answered>) -> Answered {
    tokio::time::timeout(Duration::from_secs(20), inbox.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn answers_are_matched_by_id_in_any_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(read(&mut stream).await.unwrap());
        }
        // Backwards, with an answer to nobody in between.
        for (at, rcode) in [(2, 8), (1, 0), (0, 5)] {
            let mut stray = answer(&requests[at], 0);
            stray[2] = 0x80;
            write(&mut stream, &stray).await;
            write(&mut stream, &answer(&requests[at], rcode)).await;
        }
        stream
    });
    let session = server.session(0).unwrap();
    let (reply, mut inbox) = mpsc::channel(8);
    for tag in 0..3 {
        session.updates().submit(&n("internal"), update(), tag, &reply).await.unwrap();
    }
    let mut got = Vec::new();
    for _ in 0..3 {
        let one = outcome(&mut inbox).await;
        let rcode = match one.result {
            UpdateResult::Applied => 0,
            UpdateResult::Refused { rcode, .. } => rcode,
            other => panic!("{other:?}"),
        };
        got.push((one.tag, rcode));
    }
    got.sort_unstable();
    assert_eq!(got, [(0, 5), (1, 0), (2, 8)]);
    drop(peer);
}

#[tokio::test]
async fn what_was_unanswered_is_lost_and_never_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = read(&mut stream).await.unwrap();
        read(&mut stream).await.unwrap();
        write(&mut stream, &answer(&first, 0)).await;
        drop(stream);
        // The next connection gets the next message only.
        let (mut stream, _) = listener.accept().await.unwrap();
        let next = read(&mut stream).await.unwrap();
        write(&mut stream, &answer(&next, 0)).await;
        assert!(read(&mut stream).await.is_none(), "something was sent again");
    });
    let session = server.session(0).unwrap();
    let (reply, mut inbox) = mpsc::channel(8);
    for tag in 0..2 {
        session.updates().submit(&n("internal"), update(), tag, &reply).await.unwrap();
    }
    assert_eq!(outcome(&mut inbox).await.result, UpdateResult::Applied);
    let lost = outcome(&mut inbox).await;
    assert!(matches!(lost.result, UpdateResult::Lost(ServerError::Unreachable { .. })), "{lost:?}");
    session.updates().submit(&n("internal"), update(), 2, &reply).await.unwrap();
    let third = outcome(&mut inbox).await;
    assert_eq!((third.tag, third.result), (2, UpdateResult::Applied));
    drop((session, server));
    peer.await.unwrap();
}

#[tokio::test]
async fn without_a_server_nothing_was_sent() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = server(port, quick());
    let (reply, mut inbox) = mpsc::channel(8);
    server.session(0).unwrap().updates().submit(&n("internal"), update(), 0, &reply).await.unwrap();
    let one = outcome(&mut inbox).await;
    assert!(matches!(&one.result, UpdateResult::NotSent(error) if error.reason() == "ServerUnreachable"), "{one:?}");
    let text = format!("{:?}", one.result);
    assert!(text.contains(&port.to_string()), "{text}");
}

#[tokio::test]
async fn a_message_over_the_limit_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    let (reply, mut inbox) = mpsc::channel(8);
    let session = server.session(0).unwrap();
    session.updates().submit(&n("internal"), vec![0; 65_536], 0, &reply).await.unwrap();
    let one = outcome(&mut inbox).await;
    assert!(matches!(one.result, UpdateResult::NotSent(ServerError::BadAnswer { .. })), "{one:?}");
}

#[tokio::test]
async fn forged_datagrams_are_passed_over() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = server(socket.local_addr().unwrap(), quick());
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let query = &buffer[..length];
        let mut wrong_id = soa_answer(query, 666);
        wrong_id[0] ^= 1;
        let other = Message::query(u16::from_be_bytes([query[0], query[1]]), n("elsewhere"), RrType::SOA).encode();
        for forged in [wrong_id, soa_answer(&other, 667), vec![1, 2, 3], query.to_vec(), soa_answer(query, 42)] {
            socket.send_to(&forged, from).await.unwrap();
        }
    });
    assert_eq!(server.session(0).unwrap().soa(&n("internal")).await.unwrap(), 42);
}

#[tokio::test]
async fn silence_over_udp_is_asked_again_and_then_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // Holds the port and never answers.
    let silent = UdpSocket::bind(addr).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let query = read(&mut stream).await.unwrap();
        write(&mut stream, &soa_answer(&query, 7)).await;
        stream
    });
    let server = server(addr, quick());
    assert_eq!(server.session(0).unwrap().soa(&n("internal")).await.unwrap(), 7);
    let mut tries = 0;
    let mut ids = std::collections::HashSet::new();
    let mut buffer = [0; 512];
    while silent.try_recv(&mut buffer).is_ok() {
        tries += 1;
        ids.insert([buffer[0], buffer[1]]);
    }
    assert_eq!((tries, ids.len()), (3, 3));
}

fn zone_answer(request: &[u8], serials: &[u32]) -> Vec<u8> {
    let mut message = Message::parse(request).unwrap().answer(Rcode::NOERROR);
    message.authorities.clear();
    for serial in serials {
        message.answers.push(soa(*serial));
        message.answers.push(Record::new(n("a.internal"), RrType::A, 60, [10, 0, 0, 1].to_vec()));
    }
    message.answers.pop();
    message.encode()
}

#[tokio::test]
async fn a_transfer_reconnects_once_when_the_kept_connection_was_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    tokio::spawn(async move {
        loop {
            // One transfer on each connection, then it is closed as idle.
            let (mut stream, _) = listener.accept().await.unwrap();
            let query = read(&mut stream).await.unwrap();
            write(&mut stream, &zone_answer(&query, &[5, 5])).await;
        }
    });
    let session = server.session(0).unwrap();
    for _ in 0..3 {
        let transfer = session.transfer(&n("internal"), None).await.unwrap();
        assert!(matches!(transfer, crate::dns::xfr::Transfer::Full(view) if view.serial() == 5));
    }
}

#[tokio::test]
async fn a_transfer_that_stops_or_stalls_is_thrown_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    tokio::spawn(async move {
        let mut stalled = Vec::new();
        for round in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let query = read(&mut stream).await.unwrap();
            match round {
                // Ends before the last SOA.
                0 => write(&mut stream, &zone_answer(&query, &[5])).await,
                // The last SOA is another one.
                1 => write(&mut stream, &zone_answer(&query, &[5, 6])).await,
                // Never ends.
                _ => {
                    write(&mut stream, &zone_answer(&query, &[5])).await;
                    stalled.push(stream);
                }
            }
        }
        std::future::pending::<()>().await;
    });
    let session = server.session(0).unwrap();
    for _ in 0..3 {
        let error = session.transfer(&n("internal"), None).await.unwrap_err();
        assert_eq!(error.reason(), "TransferIncomplete", "{error}");
    }
}

/// A server that is slow with one zone (a secondary of it is silent, `knot.md` fact 4) goes on with the others, and so do
/// we: the window is shared.
#[tokio::test]
async fn a_zone_that_is_not_answered_does_not_hold_up_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server(listener.local_addr().unwrap(), quick());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        while let Some(request) = read(&mut stream).await {
            if Message::parse(&request).unwrap().questions[0].name == n("quick.internal") {
                write(&mut stream, &answer(&request, 0)).await;
            }
        }
    });
    let session = server.session(0).unwrap();
    let slow = tokio::spawn({
        let session = Arc::clone(&session);
        async move {
            let (reply, _inbox) = mpsc::channel(2 * WINDOW);
            for tag in 0..2 * WINDOW as u64 {
                session.updates().submit(&n("internal"), update(), tag, &reply).await.unwrap();
            }
        }
    });
    // Until the slow zone has all that it can get.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (reply, mut inbox) = mpsc::channel(WINDOW);
    let message = || {
        let mut message = Message::parse(&update()).unwrap();
        message.questions[0].name = n("quick.internal");
        message.encode()
    };
    let since = Instant::now();
    for tag in 0..50 {
        session.updates().submit(&n("quick.internal"), message(), tag, &reply).await.unwrap();
        assert_eq!(outcome(&mut inbox).await.result, UpdateResult::Applied);
    }
    // Sooner than the first deadline of the slow one could free anything.
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert!(!slow.is_finished());
}
