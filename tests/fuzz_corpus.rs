//! The fuzz corpus and seeded mutations of it, on stable Rust: what `fuzz/` does with libFuzzer, in small.
//!
//! `KNOTWORK_FUZZ_SEED=N` repeats a run, `KNOTWORK_FUZZ_RUNS=N` makes it longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

#[path = "fuzz/entries.rs"]
mod entries;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use entries::{ENTRIES, Entry};

/// SplitMix64: good enough to choose mutations, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Pieces that mean something to some reader.
const PIECES: &[&[u8]] = &[
    b"\\# ",
    b"\\",
    b"\\255",
    b"\"",
    b"(",
    b";",
    b",",
    b"=",
    b".",
    b"..",
    b"@",
    b"*",
    b"-",
    b"/",
    b"\xc0\x0c",
    b"\xc0\x00",
    b"\x00",
    b"\xff\xff",
    b"\x3f",
    b"\x40",
    b"\x7f",
    b"\x80",
    b"heritage=",
    b"knotwork",
    b"external-dns",
    b"\xc3\xbc",
    b"key65535",
    b"mandatory=",
    b"in-addr.arpa",
    b"xn--",
    b"99999999999",
    b": ",
    b"\n",
    b"\t",
    b"[",
    b"{",
    b"---\n",
    b"&a ",
];

fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(9)).min(data.len());
        match random.below(8) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.next() as u8,
            2 => drop(data.drain(at..end)),
            3 => drop(data.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            4 => drop(data.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
            5 => {
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            6 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(32)).min(other.len());
                data.splice(at..end, other[from..to].iter().copied());
            }
            _ => data.truncate(at.max(1)),
        }
    }
    data
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

fn run(name: &str, entry: Entry, data: &[u8], seed: u64) -> bool {
    catch_unwind(AssertUnwindSafe(|| entry(data))).unwrap_or_else(|_| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.crash"));
        std::fs::write(&file, data).expect("the input can be kept");
        panic!("{name} fails, seed {seed}; add the input to fuzz/corpus/{name}: {} {:?}", file.display(), data);
    })
}

#[test]
fn corpus_and_mutations_of_it() {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = number("KNOTWORK_FUZZ_SEED").unwrap_or(now);
    let runs = number("KNOTWORK_FUZZ_RUNS");
    let runs = runs.unwrap_or(match std::env::var("KNOTWORK_TIER").as_deref() {
        Ok("quick") => 20_000,
        Ok("full") => 2_000_000,
        _ => 50_000,
    });
    eprintln!("KNOTWORK_FUZZ_SEED={seed} KNOTWORK_FUZZ_RUNS={runs}");
    for (name, entry) in ENTRIES {
        let begun = std::time::Instant::now();
        // YAML takes a hundred times as long as a message, and so does planning.
        let runs = if matches!(*name, "manifest" | "config" | "changes") { runs / 10 } else { runs };
        let mut random = Random(seed);
        let mut pool = corpus(name);
        assert!(pool.len() >= 3, "fuzz/corpus/{name} is nearly empty");
        let accepted = pool.iter().filter(|data| run(name, *entry, data, seed)).count();
        assert!(accepted * 2 >= pool.len(), "{name}: only {accepted} of {} seeds pass the door", pool.len());
        let mut passed = 0;
        for _ in 0..runs {
            let (a, b) = (random.below(pool.len()), random.below(pool.len()));
            let data = mutate(&pool[a], &pool[b], &mut random);
            let accepted = run(name, *entry, &data, seed);
            passed += u64::from(accepted);
            // Mutations of accepted mutations go further; the seeds stay, and the pool is bounded.
            if accepted && random.below(4) == 0 && data.len() < 4096 {
                if pool.len() < 512 { pool.push(data) } else { pool[256 + random.below(256)] = data }
            }
        }
        eprintln!("{name}: {runs} runs, {passed} accepted, in {:?}", begun.elapsed());
    }
}

/// Every entry has a fuzz target, and every corpus an entry.
#[test]
fn targets_and_corpora_match() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |dir: &str, ending: &str| {
        let mut names: Vec<String> = std::fs::read_dir(root.join(dir))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(ending).to_owned())
            .collect();
        names.sort();
        names
    };
    let mut entries: Vec<String> = ENTRIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    entries.sort();
    assert_eq!(names("fuzz_targets", ".rs"), entries);
    assert_eq!(names("corpus", ""), entries);
}
