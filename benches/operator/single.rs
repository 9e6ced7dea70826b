//! From one object applied to its name answered by Knot, again and again.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::bare;
use crate::stats::{quantile, show};

const OBJECTS: usize = 200;

/// The table.
pub fn run() -> String {
    let world = crate::world();
    let operator = world.operator();
    let runtime = crate::runtime();
    let client = runtime.block_on(bare::client(&world.cluster.kubeconfig()));
    let api = bare::records(&client, "dns.knotwork.dev");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(world.knot.addr).expect("knot");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let mut out = String::from(
        "| objects | how | API server took it: p50 | p95 | answered by Knot: p50 | p95 |\n|---|---|---|---|---|---|\n",
    );
    let zones = ["internal", "s3.garage.internal", "10.in-addr.arpa"];
    for (how, prefix, zones, gap) in [
        ("more than a second after the one before in its zone", "s", &zones[..], Duration::from_millis(450)),
        ("in quick succession in one zone", "q", &zones[..1], Duration::from_millis(150)),
    ] {
        let (mut created, mut answered) = (Vec::new(), Vec::new());
        for index in 0..OBJECTS {
            let name = format!("{prefix}{index}.{}", zones[index % zones.len()]);
            let from = Instant::now();
            runtime.block_on(bare::apply_one(&api, "dns.knotwork.dev", &format!("{prefix}{index}"), &name));
            created.push(from.elapsed());
            let question = question(&name);
            while !is_answered(&socket, &question) {
                assert!(from.elapsed() < Duration::from_secs(60), "{name} is not answered:\n{}", operator.log());
                std::thread::sleep(Duration::from_micros(500));
            }
            answered.push(from.elapsed());
            std::thread::sleep(gap);
        }
        out += &format!(
            "| {OBJECTS} | {how} | {} | {} | {} | {} |\n",
            show(quantile(&created, 0.5)),
            show(quantile(&created, 0.95)),
            show(quantile(&answered, 0.5)),
            show(quantile(&answered, 0.95)),
        );
    }
    out + &format!(
        "\nOne object after the other, from the call that creates it to the first answer with its address; Knot is asked every half \
         millisecond. Knot delays an UPDATE that follows another one of its zone by less than a second until the second is over where a \
         boundary lies between (`reference/knot.md` fact 3): that is the p95 of the second line. Load of the machine at the end: {}.\n",
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?"),
    )
}

/// A question for an address.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

fn is_answered(socket: &UdpSocket, question: &[u8]) -> bool {
    socket.send(question).expect("sent");
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).unwrap_or(0);
    length > 12 && answer[3] & 15 == 0 && answer[7] > 0
}
