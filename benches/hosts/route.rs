//! Names routed a second, on one core.

use std::hint::black_box;
use std::time::{Duration, Instant};

use knotwork::model::{Name, RrType};
use knotwork::split::route::Path;
use knotwork::split::{HostFacts, Router};

use crate::stats::{median, number};
use crate::worlds;

const ROUNDS: usize = 15;
const NAMES: usize = 4096;

/// What programs ask: half of it private names of every link, half public ones; one in sixteen a reverse name.
fn names() -> Vec<(Name, RrType)> {
    let name = |n: usize| match n % 16 {
        0 => (format!("{}.{}.0.10.in-addr.arpa", n % 250, n % 9), RrType::PTR),
        1 => (format!("nas{}", n % 9), RrType::A),
        2 | 3 => (format!("host{n}.maas"), RrType::A),
        4..=8 => (format!("host{n}.{}", worlds::domain(1 + n % 8, n % 40)), RrType::A),
        9..=11 => (format!("www.shop{n}.example.com"), RrType::AAAA),
        _ => (format!("cdn{n}.static.eu-west-1.provider{}.net", n % 100), RrType::A),
    };
    (0..NAMES).map(name).map(|(text, rtype)| (Name::parse(&text).expect("a name"), rtype)).collect()
}

/// Its name, its facts by release, and the releases.
type Host = (&'static str, fn(u16) -> HostFacts, &'static [u16]);

/// The table.
pub fn run() -> String {
    let names = names();
    let mut table = String::from(
        "| host | systemd | scopes | domains | `route()`, names/s | with `failClosed`, names/s |\n|---|---|---|---|---|---|\n",
    );
    let hosts: [Host; 3] = [
        ("homelab", worlds::homelab, &[252, 257, 262]),
        ("eight links", worlds::large, &[252, 257, 262]),
        ("eight delegates", worlds::delegated, &[262]),
    ];
    for (what, host, versions) in hosts {
        for version in versions {
            let router = Router::new(&host(*version));
            let scopes = router.table().scopes();
            let domains: usize = scopes.iter().map(|scope| scope.domains.len()).sum();
            let routed = rate(&names, |name, rtype| {
                black_box(router.table().route(name, rtype, Path::Nss));
            });
            let answered = rate(&names, |name, rtype| {
                black_box(router.answers(name, rtype, Path::Nss));
            });
            table.push_str(&format!(
                "| {what} | {version} | {} | {domains} | {} | {} |\n",
                scopes.len(),
                number(routed),
                number(answered)
            ));
        }
    }
    format!(
        "{table}\nOne thread, {} different names in turn (private, public, single-label and reverse ones), median of {ROUNDS} rounds. \
         The second rate is `Router::answers`, which also asks where the name would go without the links that take it.\n",
        number(NAMES)
    )
}

/// Names a second.
fn rate(names: &[(Name, RrType)], mut route: impl FnMut(&Name, RrType)) -> usize {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        let from = Instant::now();
        for _ in 0..16 {
            names.iter().for_each(|(name, rtype)| route(name, *rtype));
        }
        times.push(from.elapsed());
    }
    (16.0 * names.len() as f64 / median(&times).as_secs_f64()) as usize
}
