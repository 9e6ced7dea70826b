//! How fast UPDATE messages are written: `cargo run --release --example update_encode`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use knotwork::dns::update;
use knotwork::model::{Name, RrType};
use knotwork::plan::{Edit, Guard};

fn main() {
    let zone = Name::parse("internal").unwrap();
    let units: Vec<(Vec<Guard>, Vec<Edit>)> = (0..100_000)
        .map(|i| {
            let name = Name::parse(&format!("host{i:06}.internal")).unwrap();
            let marker = name.child(b"_knotwork").unwrap();
            let text: Box<[u8]> = [vec![100], vec![b'x'; 100]].concat().into();
            (
                vec![
                    Guard::SetAbsent(Name::parse("home._knotwork.internal").unwrap(), RrType::TXT),
                    Guard::NameNotInUse(name.clone()),
                    Guard::SetAbsent(marker.clone(), RrType::TXT),
                ],
                vec![
                    Edit::Add(name, RrType::A, 300, [10u8, 0, 0, 1].into()),
                    Edit::Add(marker, RrType::TXT, 300, text),
                ],
            )
        })
        .collect();
    let start = Instant::now();
    let (mut messages, mut octets) = (0, 0);
    for chunk in units.chunks(300) {
        let message = update::encode(&zone, 1, chunk.iter().flat_map(|u| &u.0), chunk.iter().flat_map(|u| &u.1));
        messages += 1;
        octets += message.len();
    }
    let took = start.elapsed();
    let rate = 400_000.0 / took.as_secs_f64();
    println!("100000 guarded creates, {messages} messages, {octets} octets: {took:?}, {rate:.0} records/s");
}
