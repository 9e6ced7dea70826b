//! ExternalDNS's own provider `rfc2136` and our webhook in the same scenarios on the same Knot, by the same ExternalDNS: what
//! becomes of each is seen in the zone, put into words, and held against the table in `docs/external-dns.md`.
//!
//! `KNOTWORK_BLESS=1 cargo test --test external_dns_rfc2136` writes the table anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use support::external::{Lab, Once, PREFIX, Webhook, endpoint, owned};
use support::knot::{KEYS, Setup};

const BEGIN: &str = "<!-- written by tests/external_dns_rfc2136.rs -->\n";
const END: &str = "<!-- end -->\n";

/// One of the two providers on a Knot of its own.
struct Side {
    lab: Lab,
    /// Ours; the in-tree one otherwise.
    webhook: Option<Webhook>,
    prefix: &'static str,
    more: Vec<String>,
}

/// How a side is set up.
#[derive(Default)]
struct Wish {
    /// `--txt-prefix`; [`PREFIX`] where it is empty.
    prefix: &'static str,
    /// Of the webhook's section.
    webhook: &'static str,
    /// More flags of the in-tree provider.
    in_tree: &'static [&'static str],
    /// The ACL of the server.
    acl: Option<(String, String)>,
    /// A wrong secret for the key.
    wrong_key: bool,
    /// The webhook is never ready, and that is the point.
    unready: bool,
}

impl Side {
    fn start(is_ours: bool, wish: &Wish) -> Side {
        let lab = Lab::with(&Setup { acl: wish.acl.clone(), ..Setup::default() }).expect("checked before");
        let prefix = if wish.prefix.is_empty() { PREFIX } else { wish.prefix };
        if wish.wrong_key {
            std::fs::write(lab.dir().join("key"), KEYS[0].1).unwrap();
        }
        lab.configure(&format!("prefix: \"{prefix}\""), &format!("owner: me, zones: [internal]{}", wish.webhook), "");
        let webhook = is_ours.then(|| match wish.unready {
            true => lab.unready_webhook("webhook", &[]),
            false => lab.webhook("webhook", &[]),
        });
        let secret = if wish.wrong_key { KEYS[0].1 } else { KEYS[3].1 };
        let mut more = match &webhook {
            Some(webhook) => webhook.flags(),
            None => in_tree(&lab, secret),
        };
        if webhook.is_none() {
            more.extend(owned(wish.in_tree));
        }
        Side { lab, webhook, prefix, more }
    }

    /// One loop.
    fn once(&self, flags: &[&str]) -> Ran {
        let asked = || self.webhook.as_ref().map_or(0, |webhook| webhook.asked("apply"));
        let before = asked();
        let prefix = format!("--txt-prefix={}", self.prefix);
        let ran = self.lab.once(
            &[self.lab.common(), self.more.clone(), owned(&["--txt-owner-id=me", &prefix]), owned(flags)].concat(),
        );
        let posts = match self.webhook {
            Some(_) => asked() > before,
            None => ran.log.contains("Adding RR: ") || ran.log.contains("Removing RR: "),
        };
        Ran { once: ran, posts }
    }

    fn has(&self, name: &str, rtype: &str) -> bool {
        !self.lab.dig(name, rtype).is_empty()
    }
}

/// The flags of the in-tree provider.
fn in_tree(lab: &Lab, secret: &str) -> Vec<String> {
    let port = format!("--rfc2136-port={}", lab.knot.addr.port());
    let secret = format!("--rfc2136-tsig-secret={secret}");
    owned(&[
        "--provider=rfc2136",
        "--rfc2136-host=127.0.0.1",
        &port,
        "--rfc2136-zone=internal",
        "--rfc2136-tsig-keyname=externaldns",
        "--rfc2136-tsig-secret-alg=hmac-sha256",
        &secret,
        "--rfc2136-axfr",
    ])
}

/// What a loop came to.
struct Ran {
    once: Once,
    /// Whether anything was sent to be changed.
    posts: bool,
}

impl Ran {
    /// # Panics
    /// Where the loop did not go well.
    fn well(self) -> Ran {
        assert!(self.once.ok, "{}", self.once.log);
        self
    }
}

/// A row: what happens, how the side is set up, and what becomes of it in words.
type Row = (&'static str, fn() -> Wish, fn(&Side) -> String);

const ROWS: &[Row] = &[
    (
        "the apex is wished with `--txt-prefix=edns-`, so that its ownership TXT falls outside the zone, and two other names beside it",
        || Wish { prefix: "edns-", ..Wish::default() },
        |side| {
            side.lab.feed(&[a("internal"), a("a.internal"), a("b.internal")]);
            (0..2).for_each(|_| drop(side.once(&[])));
            how_many(side, &["internal", "a.internal", "b.internal"])
        },
    ),
    ("a name of `notinternal`, which only ends like the zone, and two good ones", Wish::default, |side| {
        side.lab.feed(&[a("www.notinternal"), a("a.internal"), a("b.internal")]);
        (0..2).for_each(|_| drop(side.once(&[])));
        how_many(side, &["a.internal", "b.internal"])
    }),
    (
        "one record that the server's ACL refuses, and two good ones",
        || {
            let rules = "  - id: some\n    key: externaldns\n    action: [ update, transfer ]\n    update-owner: name\n    \
                         update-owner-match: sub-or-equal\n    update-owner-name: [ _knotwork, a, b ]\n  - id: all\n    \
                         key: operator\n    action: [ update, transfer ]\n";
            Wish { acl: Some(("some, all".to_owned(), rules.to_owned())), ..Wish::default() }
        },
        |side| {
            side.lab.feed(&[a("never.internal"), a("a.internal"), a("b.internal")]);
            (0..2).for_each(|_| drop(side.once(&[])));
            assert!(!side.has("never.internal", "A"));
            how_many(side, &["a.internal", "b.internal"])
        },
    ),
    ("a DNAME, below which its ownership TXT has no room, and two good ones", Wish::default, |side| {
        side.lab.feed(&[endpoint("old.internal", "DNAME", 60, &["new.example.net"]), a("a.internal"), a("b.internal")]);
        (0..2).for_each(|_| drop(side.once(&[])));
        let made = how_many(side, &["a.internal", "b.internal"]);
        if side.has("old.internal", "DNAME") { format!("{made}, and the DNAME too") } else { made }
    }),
    ("an A becomes a CNAME", Wish::default, swap),
    ("MX, SRV and NAPTR in an idle loop", Wish::default, |side| {
        side.lab.feed(&[
            endpoint("m.internal", "MX", 60, &["10 mx.example.net"]),
            endpoint("_s._tcp.internal", "SRV", 60, &["0 50 5060 sip.example.net."]),
            endpoint("n.internal", "NAPTR", 60, &["100 50 \"u\" \"sip+E2U\" \"\" sip.example.net."]),
        ]);
        side.once(&[]).well();
        assert!(side.has("m.internal", "MX") && side.has("_s._tcp.internal", "SRV") && side.has("n.internal", "NAPTR"));
        idle(side)
    }),
    ("the MX is changed, and then no longer wished", Wish::default, |side| {
        for host in ["mx1", "mx2"] {
            side.lab.feed(&[endpoint("m.internal", "MX", 60, &[&format!("10 {host}.example.net")])]);
            side.once(&[]);
        }
        let found = side.lab.dig("m.internal", "MX");
        let changed = match found.len() {
            1 if found[0].contains("mx2") => "the new one replaces the old one",
            2 => "the old one stays beside the new one",
            _ => panic!("{found:?}"),
        };
        side.lab.feed(&[]);
        side.once(&[]);
        let gone = if side.has("m.internal", "MX") { "neither ever goes" } else { "it goes" };
        format!("{changed}, and {gone}")
    }),
    ("a TXT of two strings in an idle loop", Wish::default, |side| {
        side.lab.feed(&[endpoint("t.internal", "TXT", 60, &["\"v=DKIM1; p=first\" \"second\""])]);
        side.once(&[]);
        idle(side)
    }),
    ("a TXT without quotes, `v=spf1 -all`", Wish::default, |side| {
        side.lab.feed(&[endpoint("t.internal", "TXT", 60, &["v=spf1 -all"])]);
        side.once(&[]);
        let read = side.lab.dig("t.internal", "TXT").join("").replace("\" \"", "").replace('"', "");
        format!("receivers read `{read}`; {}", idle(side))
    }),
    (
        "a shortest TTL of 300 s (`--rfc2136-min-ttl`, `minTtl`), and a wish of 60 s, in an idle loop",
        || Wish { in_tree: &["--rfc2136-min-ttl=300s"], webhook: ", minTtl: 300", ..Wish::default() },
        |side| {
            side.lab.feed(&[a("a.internal")]);
            side.once(&[]).well();
            assert!(side.lab.zone("internal").data.contains("a.internal. 300 A 10.0.0.1"));
            idle(side)
        },
    ),
    ("no TTL is wished", Wish::default, |side| {
        side.lab.feed(&[endpoint("a.internal", "A", 0, &["10.0.0.1"])]);
        side.once(&[]).well();
        let found = side.lab.zone("internal").data;
        let ttl = found.iter().find_map(|line| line.strip_prefix("a.internal. ")?.split(' ').next()).unwrap();
        if ttl == "300" { "the zone's default, 300 s".to_owned() } else { format!("{ttl} s") }
    }),
    (
        "the server refuses the transfer, and somebody else has an A at a wished name",
        || {
            let rules = "  - id: no\n    key: externaldns\n    action: update\n  - id: yes\n    key: [ operator, other ]\n    action: [ update, transfer ]\n";
            Wish { acl: Some(("no, yes".to_owned(), rules.to_owned())), unready: true, ..Wish::default() }
        },
        |side| {
            side.lab.nsupdate("other", "internal", &["add www.internal 300 A 10.9.0.1"]);
            side.lab.feed(&[a("www.internal")]);
            let ran = side.once(&[]);
            let found = side.lab.dig("www.internal", "A");
            match (&found.iter().map(String::as_str).collect::<Vec<_>>()[..], ran.posts) {
                (["10.0.0.1", "10.9.0.1"], true) => {
                    "takes the zone for empty, and adds its address to the other's".to_owned()
                }
                (["10.9.0.1"], false) => "answers 503; nothing is planned, nothing written".to_owned(),
                other => panic!("{other:?} {}", ran.once.log),
            }
        },
    ),
    (
        "a key with a wrong secret",
        || Wish { wrong_key: true, unready: true, ..Wish::default() },
        |side| {
            side.lab.feed(&[a("www.internal")]);
            let ran = side.once(&[]);
            assert!(!ran.once.ok && !side.has("www.internal", "A"), "{}", ran.once.log);
            if ran.posts {
                "takes the zone for empty, and plans to make everything"
            } else {
                "answers 503; nothing is planned"
            }
            .to_owned()
        },
    ),
    ("`--registry=noop`, and a person's record that nobody wishes", Wish::default, |side| {
        side.lab.nsupdate("other", "internal", &["add person.internal 300 A 10.9.0.1"]);
        side.once(&["--registry=noop"]);
        if side.has("person.internal", "A") { "it stays" } else { "it is deleted" }.to_owned()
    }),
    ("a name is wished as `MiXeD.internal`, and then no longer", Wish::default, |side| {
        side.lab.feed(&[a("MiXeD.internal")]);
        side.once(&[]).well();
        assert!(side.has("mixed.internal", "A"));
        let idle = idle(side);
        side.lab.feed(&[]);
        side.once(&[]);
        format!("{idle}; then {}", if side.has("mixed.internal", "A") { "it never goes" } else { "it goes" })
    }),
];

fn a(name: &str) -> serde_json::Value {
    endpoint(name, "A", 60, &["10.0.0.1"])
}

fn how_many(side: &Side, names: &[&str]) -> String {
    let there = names.iter().filter(|name| side.has(name, "A")).count();
    match there {
        0 => "nothing is made, in no loop".to_owned(),
        all if all == names.len() => format!("the {all} good ones are made"),
        some => panic!("{some} of {names:?}"),
    }
}

/// What another loop does where nothing changed.
fn idle(side: &Side) -> String {
    let serials = side.lab.serials();
    let ran = side.once(&[]);
    let writes = side.lab.serials() != serials;
    match (ran.posts, writes) {
        (false, false) => "posts nothing".to_owned(),
        (true, false) => "posts them again, in every loop".to_owned(),
        (true, true) => "posts them again, and the zone gets a new serial, in every loop".to_owned(),
        (false, true) => panic!("who wrote?"),
    }
}

/// A name is asked for without a pause while its A becomes a CNAME.
fn swap(side: &Side) -> String {
    side.lab.feed(&[a("www.internal")]);
    side.once(&[]).well();
    assert_eq!(side.lab.dig("www.internal", "A"), ["10.0.0.1"]);
    side.lab.feed(&[endpoint("www.internal", "CNAME", 60, &["lb.example.net"])]);
    let done = AtomicBool::new(false);
    let (asked, without) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut asked, mut without) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                asked += 1;
                without += usize::from(side.lab.dig("www.internal", "A").is_empty());
            }
            (asked, without)
        });
        side.once(&[]).well();
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    assert!(asked > 0);
    let there = side.lab.dig("www.internal", "A") == ["lb.example.net."];
    match (there, without) {
        (true, 0) => "every query has an answer, the old or the new one".to_owned(),
        (false, _) => {
            side.once(&[]);
            assert!(side.has("www.internal", "CNAME"));
            "the name is gone until the next loop".to_owned()
        }
        other => panic!("{other:?} of {asked}"),
    }
}

#[test]
fn side_by_side_as_the_document_says() {
    if Lab::start().is_none() {
        return;
    }
    let (give, cells) = mpsc::channel();
    let tasks = Mutex::new((0..ROWS.len()).flat_map(|row| [(row, false), (row, true)]).collect::<BTreeSet<_>>());
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (give, tasks) = (give.clone(), &tasks);
            let work = move || {
                while let Some((row, is_ours)) = { tasks.lock().unwrap().pop_first() } {
                    let (what, wish, run) = &ROWS[row];
                    eprintln!("{what}, {}", if is_ours { "ours" } else { "in-tree" });
                    // The others go on, so that one run tells of all that is wrong.
                    let cell = catch_unwind(AssertUnwindSafe(|| run(&Side::start(is_ours, &wish()))));
                    give.send(((row, is_ours), cell.unwrap_or_else(|_| "?".to_owned()))).unwrap();
                }
            };
            std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, work).unwrap();
        }
    });
    drop(give);
    let cells: std::collections::BTreeMap<(usize, bool), String> = cells.into_iter().collect();
    let mut table = "| what happens | in-tree `rfc2136` of 0.22 | `knotwork webhook` |\n|---|---|---|\n".to_owned();
    for (row, (what, ..)) in ROWS.iter().enumerate() {
        writeln!(table, "| {what} | {} | {} |", cells[&(row, false)], cells[&(row, true)]).unwrap();
    }

    assert!(!cells.values().any(|cell| cell == "?"), "what happened is above:\n{table}");

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/external-dns.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the table");
    let (told, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("KNOTWORK_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(told, table, "docs/external-dns.md tells something else than what happens");
}

/// From the in-tree provider to ours and back: the zone stays as it is, to the letter, and each takes the other's records for
/// its own.
#[test]
fn moving_here_and_back_changes_no_record() {
    let Some(lab) = Lab::start() else { return };
    lab.configure(&format!("prefix: \"{PREFIX}\""), "owner: me, zones: [internal]", "");
    let me = owned(&["--txt-owner-id=me", &format!("--txt-prefix={PREFIX}")]);
    let in_tree = [lab.common(), in_tree(&lab, KEYS[3].1), me.clone()].concat();
    let feed = |address: &str| {
        lab.feed(&[
            endpoint("www.internal", "A", 60, &["10.0.0.1", "10.0.0.2"]),
            endpoint("www.internal", "AAAA", 60, &["2001:db8::1"]),
            endpoint("changes.internal", "A", 60, &[address]),
            endpoint("alias.internal", "CNAME", 60, &["www.internal"]),
            endpoint("*.apps.internal", "A", 60, &["10.0.0.3"]),
            endpoint("text.internal", "TXT", 60, &["word"]),
        ]);
    };
    feed("10.0.0.9");
    let first = lab.once(&in_tree);
    assert!(first.ok, "{}", first.log);
    let (made, serials) = (lab.zone("internal"), lab.serials());
    assert!(made.data.len() == 7 && made.marks.len() == 6, "{made:#?}");

    // Here: nothing to do.
    let webhook = lab.webhook("webhook", &[]);
    let ours = [lab.common(), webhook.flags(), me].concat();
    let external = lab.external_with("ours", &ours);
    external.is_idle(&lab, &webhook);
    assert_eq!((webhook.asked("apply"), lab.zone("internal")), (0, made.clone()));
    assert_eq!(lab.serials(), serials);
    // It changes one and makes one, and no other is touched.
    feed("10.0.0.10");
    let mut changed = made.clone();
    changed.data.remove("changes.internal. 60 A 10.0.0.9");
    changed.data.insert("changes.internal. 60 A 10.0.0.10".to_owned());
    external.settles(&lab, &webhook, &[("internal", changed.clone())].into());
    drop((external, webhook));

    // And back: nothing to do, and what ours changed is the in-tree one's to change.
    let back = lab.once(&in_tree);
    assert!(back.ok && !back.log.contains(" RR: "), "{}", back.log);
    assert_eq!(lab.zone("internal"), changed);
    feed("10.0.0.9");
    let back = lab.once(&in_tree);
    assert!(back.ok, "{}", back.log);
    assert_eq!(lab.zone("internal"), made);
}
