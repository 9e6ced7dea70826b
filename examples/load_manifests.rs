//! How long `source::load` takes: 100,000 records as documents of one file and of a hundred.
//!
//! `cargo run --release --example load_manifests [RECORDS]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use knotwork::source::{Config, Input, load};

const CONFIG: &str = "owner: home
instance: bench
servers:
  - {name: s, address: 127.0.0.1, zones: [{name: internal}, {name: 10.in-addr.arpa}]}
";

fn document(i: usize, out: &mut String) {
    let (a, b, c) = (i >> 16 & 255, i >> 8 & 255, i & 255);
    writeln!(
        out,
        "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: host-{i}\n  namespace: dns\nspec:\n  name: host-{i}.internal\n  ttl: 300\n  a:\n    - 10.{a}.{b}.{c}"
    )
    .unwrap();
}

fn main() {
    let records: usize = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let config = Config::parse(Path::new("knotwork.yaml"), CONFIG).unwrap();
    for files in [1, 100] {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = 0;
        for file in 0..files {
            let mut text = String::new();
            (file * records / files..(file + 1) * records / files).for_each(|i| document(i, &mut text));
            bytes += text.len();
            std::fs::write(dir.path().join(format!("{file:03}.yaml")), text).unwrap();
        }
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                let loaded = load(&[Input::Path(dir.path().to_owned())], &config, false);
                assert!(loaded.objects == records && loaded.is_complete() && loaded.refusals.is_empty());
                let time = begun.elapsed().as_secs_f64();
                drop(loaded);
                time
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{records} records in {files} files, {} MB: median {:.2} s, best {:.2} s",
            bytes / 1_000_000,
            times[2],
            times[0]
        );
    }
}
