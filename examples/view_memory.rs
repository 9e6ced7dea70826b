//! Time and memory from the messages of a transfer to a view: `cargo run --release --example view_memory [RECORDS]`.
//!
//! The messages are those of Knot: 16 KB each, names in canonical order, TSIG on every one when `--signed` is given.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use knotwork::dns::tsig::{self, Algorithm, Key, Received};
use knotwork::dns::xfr::{self, Reader, Transfer};
use knotwork::dns::{Message, Rcode, Record};
use knotwork::model::{Name, RrType};

/// Octets, from the kernel.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let signed = args.iter().any(|arg| arg == "--signed");
    let shuffled = args.iter().any(|arg| arg == "--shuffled");
    let records: u64 = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let zone = Name::parse("internal").unwrap();
    let key = Key::new(Name::parse("operator").unwrap(), Algorithm::HmacSha256, b"secret").unwrap();
    let now = 1_760_000_000;
    let mut query = xfr::question(&zone, 9, None);
    let (mut sequence, mut signer) = (None, None);
    if signed {
        let (request, client) = tsig::sign_sequence(&key, query.clone(), now);
        let Received::Signed { message, signer: server, .. } = tsig::receive(&[key], request, now) else { panic!() };
        (query, sequence, signer) = (message, Some(client), Some(server.into_sequence()));
    }
    let question = Message::parse(&query).unwrap();
    let soa = Record::new(zone.clone(), RrType::SOA, 300, [&[0u8, 0, 0, 0, 0, 5][..], &[0; 16]].concat());
    let mut messages = Vec::new();
    let mut answer = question.answer(Rcode::NOERROR);
    answer.answers.push(soa.clone());
    let mut close = |answer: &mut Message| {
        let message = answer.encode();
        let message = match &mut signer {
            Some(signer) => signer.sign(message, now),
            None => message,
        };
        messages.push(message.into_boxed_slice().into_vec());
        answer.answers.clear();
        answer.questions.clear();
    };
    for i in 0..records {
        // Fixed width, so the order of numbers is that of names; a stride that meets every number once shuffles them.
        let i = if shuffled { i * 7_368_787 % records } else { i };
        let name = zone.child(format!("h{i:07}").as_bytes()).unwrap();
        answer.answers.push(Record::new(name, RrType::A, 300, (i as u32).to_be_bytes()));
        if answer.answers.len() == 640 {
            close(&mut answer);
        }
    }
    answer.answers.push(soa);
    close(&mut answer);
    let octets: usize = messages.iter().map(Vec::len).sum();
    println!("{records} A records, {} messages, {:.1} MB raw, signed: {signed}", messages.len(), octets as f64 / 1e6);
    println!("RSS with the raw messages:   {:6.1} MB", memory("VmRSS") as f64 / 1e6);

    let start = Instant::now();
    let mut reader = Reader::new(zone, 9, None, sequence);
    for message in messages {
        reader.push(message, now).unwrap();
    }
    let Transfer::Full(mut view) = reader.finish().unwrap() else { panic!() };
    println!("raw messages to view:        {:6.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("peak RSS:                    {:6.1} MB", memory("VmHWM") as f64 / 1e6);
    println!("RSS with the view alone:     {:6.1} MB", memory("VmRSS") as f64 / 1e6);
    assert_eq!(view.name_count() as u64, records + 1);

    let timed = |what: &str, run: &mut dyn FnMut() -> usize| {
        let start = Instant::now();
        let count = run();
        println!("{what:28} {:8.3} ms ({count})", start.elapsed().as_secs_f64() * 1e3);
    };
    timed("walk over all sets:", &mut || view.nodes().map(|node| node.sets().count()).sum());
    timed("clone:", &mut || view.clone().name_count());
    let names: Vec<Name> =
        (0..100_000).map(|i| Name::parse(&format!("h{:07}.internal", i * 7919 % records)).unwrap()).collect();
    timed("100k lookups:", &mut || names.iter().filter(|name| view.get(name, RrType::A).is_some()).count());
    let diff = |from: u32, name: &Name| {
        let entry = |rtype, rdata: Box<[u8]>| knotwork::view::Entry { name: name.clone(), rtype, ttl: 300, rdata };
        let soa = |serial: u32| knotwork::view::Entry {
            name: view.zone().clone(),
            rtype: RrType::SOA,
            ttl: 300,
            rdata: [&[0, 0], &serial.to_be_bytes()[..], &[0; 16]].concat().into(),
        };
        knotwork::view::Diff {
            from,
            to: from + 1,
            removed: vec![soa(from)],
            added: vec![soa(from + 1), entry(RrType::TXT, [1, b'x'].into())],
        }
    };
    let steps: Vec<_> = names.iter().take(1000).enumerate().map(|(i, name)| diff(5 + i as u32, name)).collect();
    timed("one step:", &mut || view.apply(&steps[..1]).unwrap().len());
    timed("999 steps in one go:", &mut || view.apply(&steps[1..]).unwrap().len());
}
