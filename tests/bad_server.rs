//! What goes wrong at the server and in a folder, through the real binary on the embedded authority: each is said with what
//! to do, ends with its exit code, and leaves the rest unharmed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use knotwork::authority::{Authority, AuthorityConfig, Fault, Handle, Times};
use knotwork::model::RrType;
use support::engine::{key, n};
use support::knot::KEYS;
use support::site::{Ran, Site};

async fn serve() -> Handle {
    let mut zone = "$TTL 300\n@ SOA ns0 host 10 3600 600 86400 60\n@ NS ns0\nns0 A 10.0.0.1\n".to_owned();
    // More than one message of a transfer.
    (0..3000).for_each(|host| zone.push_str(&format!("other{host} A 10.7.{}.{}\n", host / 250, host % 250)));
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: vec![(n("internal"), zone)],
        keys: vec![key(KEYS[0].0, KEYS[0].1)],
        notify: vec![],
    };
    Authority::start(config).await.unwrap()
}

fn has(authority: &Handle, name: &str) -> bool {
    authority.view(&n("internal")).unwrap().get(&n(name), RrType::A).is_some()
}

fn expect(ran: &Ran, code: i32, words: &[&str]) {
    let text = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, code, "{text}");
    for word in words {
        assert!(text.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off() {
    let authority = serve().await;
    let site = Site::new(authority.addr());
    site.put("a", "name: a.internal, a: [10.0.0.2]");
    for skew in [3600, -3600] {
        authority.faults().set(Fault::Skew(skew), Times::Always);
        let before = authority.serial(&n("internal"));
        for command in ["plan", "apply"] {
            expect(&site.records_run(&[command]), 1, &["clock", "internal", &authority.addr().to_string()]);
        }
        assert_eq!(authority.serial(&n("internal")), before);
        authority.faults().clear();
    }
    site.apply(&[], 0);
    assert!(has(&authority, "a.internal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_of_a_transfer() {
    let authority = serve().await;
    let site = Site::new(authority.addr());
    site.put("a", "name: a.internal, a: [10.0.0.2]");
    site.put("b", "name: b.internal, a: [10.0.0.3]");
    site.apply(&[], 0);
    site.cut("b");
    let before = authority.serial(&n("internal"));
    for (fault, word) in [
        (Fault::TransferCut(1), "transfer"),
        (Fault::TransferCut(0), "closed by the server"),
        (Fault::TransferNoEnd, "transfer"),
    ] {
        authority.faults().set(fault.clone(), Times::Always);
        // A part of a zone is no zone: what it lacks would look as if it were gone.
        for args in [&["plan"][..], &["apply"], &["apply", "--prune"]] {
            expect(&site.records_run(args), 1, &[word, "internal", &authority.addr().to_string()]);
        }
        assert_eq!(authority.serial(&n("internal")), before, "{fault:?}");
        authority.faults().clear();
    }
    site.apply(&["--prune"], 0);
    assert!(has(&authority, "a.internal") && !has(&authority, "b.internal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_one_broken_file() {
    let authority = serve().await;
    let site = Site::new(authority.addr());
    for host in ["a", "b", "c"] {
        site.put(host, &format!("name: {host}.internal, a: [10.0.0.2]"));
    }
    site.apply(&[], 0);
    // One file is broken, one is gone, one is new, one is edited.
    site.file("b.yaml", "---\napiVersion: [\n");
    site.cut("c");
    site.put("d", "name: d.internal, a: [10.0.0.4]");
    site.put("a", "name: a.internal, a: [10.0.0.9]");
    expect(&site.records_run(&["plan", "--prune"]), 1, &["b.yaml:", "d.internal", "wait"]);
    expect(&site.records_run(&["apply", "--prune"]), 1, &["b.yaml:"]);
    for host in ["a", "b", "c", "d"] {
        assert!(has(&authority, &format!("{host}.internal")), "{host}: the good is applied and nothing is deleted");
    }
    let live = authority.view(&n("internal")).unwrap().get(&n("a.internal"), RrType::A).unwrap();
    assert_eq!(live.values, [[10, 0, 0, 9].into()], "edits of good files are applied");
    // Octets that are no text, and a folder that may not be read as one.
    std::fs::write(site.records().join("b.yaml"), [0xff, 0xfe, 0x00, 0x80]).unwrap();
    expect(&site.records_run(&["apply", "--prune"]), 1, &["b.yaml"]);
    assert!(has(&authority, "c.internal"));
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    site.apply(&["--prune"], 0);
    assert!(has(&authority, "b.internal") && !has(&authority, "c.internal"));
}
