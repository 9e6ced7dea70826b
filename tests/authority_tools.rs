//! The embedded authority in the hands of the tools that people have: `dig`, `kdig`, `nsupdate`, `knsupdate`; and our own
//! messages in the eyes of BIND's and Knot's readers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;

use knotwork::authority::{Authority, AuthorityConfig, Fault, Grant, Handle, Limits, Times};
use knotwork::dns::update;
use knotwork::model::RrType;
use knotwork::plan::{Edit, Guard};
use support::engine::{key, n};
use support::knot::KEYS;
use support::parts::{self, Program};
use support::writer::data;

/// Commits that the journal keeps.
const JOURNAL: usize = 3;

/// An authority in which `operator` may do all, and `kea-ddns` update A records at and below dhcp.internal.
async fn start() -> Handle {
    let mut zone = include_str!("authority/tools.zone").to_owned();
    (0..40).for_each(|host| zone.push_str(&format!("big A 10.1.0.{host}\n")));
    (0..200).for_each(|host| zone.push_str(&format!("huge A 10.2.0.{host}\n")));
    let kea = Grant {
        key: Some(n("kea-ddns")),
        update: true,
        transfer: false,
        types: vec![RrType::A],
        names: vec![n("dhcp.internal")],
    };
    let limits =
        Limits { grants: vec![Grant::all(Some(n("operator"))), kea], journal_commits: JOURNAL, ..Limits::default() };
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: vec![(n("internal"), zone)],
        keys: KEYS.iter().filter(|(name, _)| *name != "other").map(|(name, secret)| key(name, secret)).collect(),
        notify: Vec::new(),
    };
    Authority::start_with(config, limits).await.unwrap()
}

/// `-y` for a key of [`KEYS`].
fn y(name: &str) -> String {
    let secret = KEYS.iter().find(|(id, _)| *id == name).unwrap().1;
    format!("hmac-sha256:{name}:{secret}")
}

/// Runs a tool; everything that it printed, and its exit code.
fn run(program: &Program, args: &[&str], input: &str) -> (String, i32) {
    let mut child = program
        .command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (text, output.status.code().unwrap_or(-1))
}

/// `dig` or `kdig` at this address.
fn ask(program: &Program, addr: SocketAddr, args: &str) -> String {
    let port = addr.port().to_string();
    let mut all = vec!["@127.0.0.1", "-p", &port];
    all.extend(args.split_whitespace());
    run(program, &all, "").0
}

/// What stands behind `word` up to one of the ends, in lower case.
fn after(text: &str, word: &str) -> String {
    let text = text.to_lowercase();
    let found = text.split(word).nth(1).unwrap_or_default();
    found.split([';', ',', '\n']).next().unwrap_or_default().trim().to_owned()
}

/// The records that the tool shows, with one blank between the fields; those of TSIG aside.
fn records(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with(';') && !line.trim().is_empty() && !line.contains("\tTSIG\t"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// The records of one section.
fn section(text: &str, name: &str) -> Vec<String> {
    let title = format!(";; {name} SECTION:\n");
    records(text.split(&title).nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default())
}

/// Question, status, flags, answer section, authority section.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const SOA: &str = "internal. 60 IN SOA ns0.internal. host.internal. 10 3600 600 86400 60";

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_every_kind() {
    let authority = start().await;
    let all: [Case; 20] = [
        ("web.internal A", "noerror", "qr aa rd", &["web.internal. 300 IN A 10.0.0.2"], &[]),
        ("WEB.Internal A", "noerror", "qr aa rd", &["web.internal. 300 IN A 10.0.0.2"], &[]),
        ("nothing.internal A", "nxdomain", "qr aa rd", &[], &[SOA]),
        ("web.internal MX", "noerror", "qr aa rd", &[], &[SOA]),
        // An empty non-terminal exists.
        ("deep.internal A", "noerror", "qr aa rd", &[], &[SOA]),
        ("c.deep.internal A", "nxdomain", "qr aa rd", &[], &[SOA]),
        ("any.apps.internal A", "noerror", "qr aa rd", &["any.apps.internal. 300 IN A 10.0.0.4"], &[]),
        ("p.q.apps.internal A", "noerror", "qr aa rd", &["p.q.apps.internal. 300 IN A 10.0.0.4"], &[]),
        ("any.apps.internal MX", "noerror", "qr aa rd", &[], &[SOA]),
        // A name that exists hides the wildcard, from itself and from what is below it.
        ("held.apps.internal A", "noerror", "qr aa rd", &[], &[SOA]),
        ("x.held.apps.internal A", "nxdomain", "qr aa rd", &[], &[SOA]),
        (
            "www.internal A",
            "noerror",
            "qr aa rd",
            &["www.internal. 300 IN CNAME web.internal.", "web.internal. 300 IN A 10.0.0.2"],
            &[],
        ),
        ("www.internal CNAME", "noerror", "qr aa rd", &["www.internal. 300 IN CNAME web.internal."], &[]),
        ("out.internal A", "noerror", "qr aa rd", &["out.internal. 300 IN CNAME www.example.org."], &[]),
        ("gone.internal A", "nxdomain", "qr aa rd", &["gone.internal. 300 IN CNAME nowhere.internal."], &[SOA]),
        (
            "loop1.internal A",
            "noerror",
            "qr aa rd",
            &["loop1.internal. 300 IN CNAME loop2.internal.", "loop2.internal. 300 IN CNAME loop1.internal."],
            &[],
        ),
        (
            "h.old.internal A",
            "noerror",
            "qr aa rd",
            &[
                "old.internal. 300 IN DNAME new.internal.",
                "h.old.internal. 300 IN CNAME h.new.internal.",
                "h.new.internal. 300 IN A 10.0.0.6",
            ],
            &[],
        ),
        // A referral is no authoritative answer.
        ("x.sub.internal A", "noerror", "qr rd", &[], &["sub.internal. 300 IN NS ns.sub.internal."]),
        (
            "text.internal TXT",
            "noerror",
            "qr aa rd",
            &[r#"text.internal. 300 IN TXT "two" "strings; and \"quotes\"""#],
            &[],
        ),
        ("web.example.org A", "refused", "qr rd", &[], &[]),
    ];
    for tool in ["dig", "kdig"] {
        let Some(program) = parts::need(tool) else { continue };
        for (question, status, flags, answer, authorities) in all {
            for transport in ["+notcp", "+tcp"] {
                let text = ask(&program, authority.addr(), &format!("{question} {transport}"));
                assert_eq!(after(&text, "status: "), status, "{tool} {question} {transport}: {text}");
                assert_eq!(after(&text, ";; flags: "), flags, "{tool} {question} {transport}: {text}");
                let shown: Vec<String> =
                    section(&text, "ANSWER").iter().map(|line| line.replace("WEB.Internal", "web.internal")).collect();
                assert_eq!(shown, answer, "{tool} {question} {transport}: {text}");
                assert_eq!(section(&text, "AUTHORITY"), authorities, "{tool} {question} {transport}: {text}");
            }
        }
        let mx = ask(&program, authority.addr(), "mail.internal MX");
        assert_eq!(section(&mx, "ADDITIONAL"), ["web.internal. 300 IN A 10.0.0.2"], "{mx}");
        let referral = ask(&program, authority.addr(), "x.sub.internal A");
        assert_eq!(section(&referral, "ADDITIONAL"), ["ns.sub.internal. 300 IN A 10.0.0.5"], "{referral}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_asked_for_over_tcp() {
    let authority = start().await;
    for tool in ["dig", "kdig"] {
        let Some(program) = parts::need(tool) else { continue };
        // Name, arguments, whether it fits into the datagram, and how many records there are.
        for (question, fits, count) in [
            ("web.internal A +noedns", true, 1),
            ("big.internal A +noedns", false, 40),
            ("big.internal A +edns +bufsize=1232", true, 40),
            ("big.internal A +edns +bufsize=600", false, 40),
            ("huge.internal A +edns +bufsize=1232", false, 200),
            // We send no larger datagrams, whatever the client can take (RFC 9715).
            ("huge.internal A +edns +bufsize=4096", false, 200),
        ] {
            let plain = ask(&program, authority.addr(), &format!("{question} +ignore"));
            let truncated = after(&plain, ";; flags: ").contains("tc");
            assert_eq!(truncated, !fits, "{tool} {question}: {plain}");
            assert!(plain.contains("(UDP)"), "{plain}");
            let whole = ask(&program, authority.addr(), question);
            assert_eq!(section(&whole, "ANSWER").len(), count, "{tool} {question}: {whole}");
            assert_eq!(whole.contains("(TCP)"), !fits, "{tool} {question}: {whole}");
            assert!(!after(&whole, ";; flags: ").contains("tc"), "{whole}");
        }
        // OPT is answered with OPT, and only then; a version that nobody knows with BADVERS (RFC 6891 §6.1.3).
        let with = ask(&program, authority.addr(), "web.internal A +edns");
        assert_eq!(after(&with, "version: "), "0", "{with}");
        assert!(with.to_lowercase().contains("edns pseudosection") || with.contains("OPT PSEUDOSECTION"), "{with}");
        let without = ask(&program, authority.addr(), "web.internal A +noedns");
        assert!(!without.contains("PSEUDOSECTION"), "{without}");
        let negotiate = if tool == "dig" { "+noednsnegotiation" } else { "" };
        let newer = ask(&program, authority.addr(), &format!("web.internal A +edns=1 {negotiate}"));
        assert_eq!(after(&newer, "status: "), "badvers", "{newer}");
        assert!(section(&newer, "ANSWER").is_empty(), "{newer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_right_and_keys_that_are_not() {
    let authority = start().await;
    let (right, secret) = (y("operator"), KEYS[0].1);
    let wrong_name = format!("hmac-sha256:nobody:{secret}");
    let wrong_secret = format!("hmac-sha256:operator:{}", KEYS[1].1);
    let wrong_algorithm = format!("hmac-sha512:operator:{secret}");
    for tool in ["dig", "kdig"] {
        let Some(program) = parts::need(tool) else { continue };
        // What each says of an answer whose signature does not hold.
        let doubt = if tool == "dig" { "Couldn't verify signature" } else { "failed to verify TSIG" };
        for transport in ["+notcp", "+tcp"] {
            let text = ask(&program, authority.addr(), &format!("-y {right} {transport} web.internal A"));
            assert_eq!(section(&text, "ANSWER"), ["web.internal. 300 IN A 10.0.0.2"], "{text}");
            assert!(text.contains("TSIG PSEUDOSECTION") && !text.contains(doubt), "{tool}: {text}");
            for (bad, error) in [(&wrong_name, "BADKEY"), (&wrong_secret, "BADSIG"), (&wrong_algorithm, "BADKEY")] {
                let text = ask(&program, authority.addr(), &format!("-y {bad} {transport} web.internal A"));
                assert!(text.contains(doubt), "{tool} {bad}: {text}");
                // The header says NOTAUTH, the TSIG record what is wrong; kdig shows the latter in place of the former.
                let status = if tool == "dig" { "notauth".to_owned() } else { error.to_lowercase() };
                assert_eq!(after(&text, "status: "), status, "{tool} {bad}: {text}");
                let tsig = text.lines().find(|line| line.contains("\tTSIG\t")).unwrap_or_default();
                assert!(tsig.contains(error), "{tool} {bad}: {text}");
                assert!(section(&text, "ANSWER").is_empty(), "{tool} {bad}: {text}");
            }
        }
        for (bad, error) in [(&wrong_name, "BADKEY"), (&wrong_secret, "BADSIG"), (&wrong_algorithm, "BADKEY")] {
            let text = ask(&program, authority.addr(), &format!("-y {bad} internal AXFR"));
            assert!(text.contains(error) && records(&text).is_empty(), "{tool} {bad}: {text}");
        }
        // The server's clock is an hour off: its answer is signed with its own time, and says BADTIME.
        authority.faults().set(Fault::Skew(3600), Times::Always);
        let text = ask(&program, authority.addr(), &format!("-y {right} web.internal A"));
        authority.faults().clear();
        assert!(text.contains("BADTIME") && section(&text, "ANSWER").is_empty(), "{tool}: {text}");
        // No key at all, and a key that may not: no transfer, and nothing of the zone is shown.
        for args in ["internal AXFR".to_owned(), format!("-y {} internal AXFR", y("kea-ddns"))] {
            let text = ask(&program, authority.addr(), &args);
            let said = if tool == "dig" { "Transfer failed" } else { "server replied with error" };
            assert!(text.contains(said) && records(&text).is_empty(), "{tool} {args}: {text}");
        }
    }
    // The tools for updates say it with their exit codes too.
    let before = authority.serial(&n("internal"));
    for tool in ["nsupdate", "knsupdate"] {
        let Some(program) = parts::need(tool) else { continue };
        for (bad, error) in [(&wrong_name, "BADKEY"), (&wrong_secret, "BADSIG"), (&wrong_algorithm, "BADKEY")] {
            let (text, code) = send(&program, &authority, bad, "update add new.internal. 60 A 10.9.9.9");
            assert!(code != 0 && text.contains(error), "{tool} {bad} ({code}): {text}");
        }
        // Without a key there is no right.
        let port = authority.addr().port();
        let script = format!("server 127.0.0.1 {port}\nzone internal.\nupdate add new.internal. 60 A 10.9.9.9\nsend\n");
        let (text, code) = run(&program, &[], &script);
        assert!(code != 0 && text.contains("NOTAUTH"), "{tool} ({code}): {text}");
    }
    assert_eq!(authority.serial(&n("internal")), before, "nothing was changed");
}

/// One message through `nsupdate` or `knsupdate`: what it printed, and its exit code.
fn send(program: &Program, authority: &Handle, key: &str, lines: &str) -> (String, i32) {
    let script = format!("server 127.0.0.1 {}\nzone internal.\n{lines}\nsend\n", authority.addr().port());
    run(program, &["-y", key], &script)
}

/// The addresses of a name, by the authority's own word.
fn addresses(authority: &Handle, name: &str) -> usize {
    let view = authority.view(&n("internal")).unwrap();
    view.get(&n(name), RrType::A).map_or(0, |set| set.values.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_whole_and_by_changes() {
    let authority = start().await;
    let key = y("operator");
    let zone = n("internal");
    let a = |last: u8| vec![Edit::Add(n("new.internal"), RrType::A, 60, [10, 0, 1, last].into())];
    let soa = |serial: u32| format!("internal. 3600 IN SOA ns0.internal. host.internal. {serial} 3600 600 86400 60");
    // Serials 11 to 14: add, add, remove and add at once, another TTL.
    authority.edit(&zone, &[], &a(1)).unwrap();
    authority.edit(&zone, &[], &a(2)).unwrap();
    let swap = [vec![Edit::Remove(n("new.internal"), RrType::A, [10, 0, 1, 1].into())], a(3)].concat();
    authority.edit(&zone, &[], &swap).unwrap();
    authority.edit(&zone, &[], &[Edit::Remove(n("web.internal"), RrType::A, [10, 0, 0, 2].into())]).unwrap();
    let host = |last: u8| format!("new.internal. 60 IN A 10.0.1.{last}");
    let expected_all = authority.view(&zone).unwrap().sets().map(|(_, _, set)| set.values.len()).sum::<usize>();
    for tool in ["dig", "kdig"] {
        let Some(program) = parts::need(tool) else { continue };
        let transfer =
            |question: &str| records(&ask(&program, authority.addr(), &format!("-y {key} +tcp internal {question}")));
        let whole = transfer("AXFR");
        assert_eq!((whole.first(), whole.last()), (Some(&soa(14)), Some(&soa(14))), "{whole:?}");
        assert_eq!(whole.len(), expected_all + 1, "the SOA comes twice");
        assert!(whole.contains(&host(2)) && whole.contains(&host(3)) && !whole.contains(&host(1)), "{whole:?}");
        assert!(whole.contains(&r#"text.internal. 300 IN TXT "two" "strings; and \"quotes\"""#.to_owned()));

        // Each change by itself: the old SOA, what went, the new SOA, what came (RFC 1995 §4).
        let changes = transfer("IXFR=11");
        let expected = [
            vec![soa(14)],
            vec![soa(11), soa(12), host(2)],
            vec![soa(12), host(1), soa(13), host(3)],
            vec![soa(13), "web.internal. 300 IN A 10.0.0.2".to_owned(), soa(14)],
            vec![soa(14)],
        ];
        assert_eq!(changes, expected.concat());
        assert_eq!(transfer("IXFR=13"), [vec![soa(14)], expected[3].clone(), vec![soa(14)]].concat());
        // Nothing newer: the SOA alone; so also for a client that is ahead.
        assert_eq!(transfer("IXFR=14"), [soa(14)]);
        assert_eq!(transfer("IXFR=99"), [soa(14)]);
        // Older than the journal: the whole zone, as AXFR gives it.
        assert_eq!(transfer("IXFR=10"), whole);
        assert_eq!(transfer("IXFR=4"), whole);
        // Without history.
        authority.faults().set(Fault::NoHistory, Times::Always);
        assert_eq!(transfer("IXFR=13"), whole);
        authority.faults().clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_with_every_prerequisite() {
    let authority = start().await;
    let key = y("operator");
    for tool in ["nsupdate", "knsupdate"] {
        let Some(program) = parts::need(tool) else { continue };
        let add = "update add new.internal. 60 A 10.0.1.1\nupdate add more.internal. 60 A 10.0.1.2";
        // The prerequisite, and the code when it does not hold.
        for (prerequisite, refused) in [
            ("prereq nxdomain fresh.internal.", None),
            ("prereq nxdomain web.internal.", Some("YXDOMAIN")),
            ("prereq yxdomain web.internal.", None),
            ("prereq yxdomain fresh.internal.", Some("NXDOMAIN")),
            ("prereq nxrrset web.internal. AAAA", None),
            ("prereq nxrrset web.internal. A", Some("YXRRSET")),
            ("prereq yxrrset web.internal. A", None),
            ("prereq yxrrset web.internal. AAAA", Some("NXRRSET")),
            ("prereq yxrrset web.internal. A 10.0.0.2", None),
            ("prereq yxrrset web.internal. A 10.0.0.3", Some("NXRRSET")),
            // The whole set counts: a part of it is another set.
            ("prereq yxrrset ns0.internal. A 10.0.0.1\nprereq yxrrset ns0.internal. A 10.0.0.9", Some("NXRRSET")),
            // Of several, each must hold.
            ("prereq yxdomain web.internal.\nprereq nxdomain web.internal.", Some("YXDOMAIN")),
            ("prereq yxdomain outside.example.", Some("NOTZONE")),
        ] {
            let before = authority.serial(&n("internal")).unwrap();
            let (text, code) = send(&program, &authority, &key, &format!("{prerequisite}\n{add}"));
            match refused {
                None => {
                    assert_eq!(code, 0, "{tool} {prerequisite}: {text}");
                    assert_eq!((addresses(&authority, "new.internal"), addresses(&authority, "more.internal")), (1, 1));
                    assert_eq!(authority.serial(&n("internal")), Some(before + 1), "one commit for one message");
                    let undo = "update delete new.internal. A\nupdate delete more.internal.";
                    assert_eq!(send(&program, &authority, &key, undo).1, 0);
                }
                Some(word) => {
                    assert!(code != 0 && text.contains(word), "{tool} {prerequisite} ({code}): {text}");
                    assert_eq!(authority.serial(&n("internal")), Some(before), "{tool} {prerequisite}");
                }
            }
            assert_eq!((addresses(&authority, "new.internal"), addresses(&authority, "more.internal")), (0, 0));
        }
        // One record that cannot be takes the whole message with it.
        let before = authority.serial(&n("internal"));
        let (text, code) = send(&program, &authority, &key, &format!("{add}\nupdate add x.example.org. 60 A 10.0.1.3"));
        assert!(code != 0 && text.contains("NOTZONE"), "{tool} ({code}): {text}");
        assert_eq!((authority.serial(&n("internal")), addresses(&authority, "new.internal")), (before, 0));
        // Every kind of removal (RFC 2136 §2.5): a value, a set, a name.
        for (removal, left) in [
            ("update delete new.internal. A 10.0.1.1", (1, true)),
            ("update delete new.internal. A", (0, true)),
            ("update delete new.internal.", (0, false)),
        ] {
            let three = "update add new.internal. 60 A 10.0.1.1\nupdate add new.internal. 60 A 10.0.1.2\nupdate add new.internal. 60 TXT here";
            assert_eq!(send(&program, &authority, &key, three).1, 0);
            assert_eq!(send(&program, &authority, &key, removal).1, 0);
            let text = authority.view(&n("internal")).unwrap().get(&n("new.internal"), RrType::TXT).is_some();
            assert_eq!((addresses(&authority, "new.internal"), text), left, "{tool} {removal}");
            assert_eq!(send(&program, &authority, &key, "update delete new.internal.").1, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_grant_does_not_cover_is_refused_whole() {
    let authority = start().await;
    let key = y("kea-ddns");
    for tool in ["nsupdate", "knsupdate"] {
        let Some(program) = parts::need(tool) else { continue };
        for (lines, allowed) in [
            ("update add a.dhcp.internal. 60 A 10.0.1.1", true),
            ("update delete a.dhcp.internal. A", true),
            // Prerequisites are not looked at (RFC 2136 §3.3, `knot.md`).
            ("prereq yxdomain web.internal.\nupdate add a.dhcp.internal. 60 A 10.0.1.1", true),
            ("update add a.dhcp.internal. 60 TXT no", false),
            ("update add a.internal. 60 A 10.0.1.1", false),
            ("update add xdhcp.internal. 60 A 10.0.1.1", false),
            ("update delete a.dhcp.internal.", false),
            ("update add b.dhcp.internal. 60 A 10.0.1.1\nupdate add b.internal. 60 A 10.0.1.1", false),
        ] {
            let before = authority.serial(&n("internal")).unwrap();
            let (text, code) = send(&program, &authority, &key, lines);
            let after = authority.serial(&n("internal")).unwrap();
            assert_eq!((code == 0, after != before), (allowed, allowed), "{tool} {lines}: {text}");
            // As Knot 3.2 says it: NOTAUTH with BADKEY.
            assert!(allowed || text.contains("TSIG"), "{tool} {lines}: {text}");
        }
        assert_eq!(send(&program, &authority, &y("operator"), "update delete a.dhcp.internal.").1, 0);
    }
}

/// What the planner may put into a message: each kind of guard and of edit.
fn ours() -> Vec<u8> {
    let host = n("host.internal");
    let marker = n("_knotwork.host.internal");
    let guards = [
        Guard::SetIs(n("home._knotwork.internal"), RrType::TXT, vec![data(RrType::TXT, "\"fence; epoch=1\"")]),
        Guard::SetIs(host.clone(), RrType::A, vec![data(RrType::A, "10.0.0.1"), data(RrType::A, "10.0.0.2")]),
        Guard::SetAbsent(host.clone(), RrType::CNAME),
        Guard::SetExists(host.clone(), RrType::AAAA),
        Guard::NameNotInUse(n("_knotwork.new.internal")),
        Guard::NameInUse(n("in-use.internal")),
    ];
    let edits = [
        Edit::Remove(host.clone(), RrType::A, data(RrType::A, "10.0.0.1")),
        Edit::Remove(marker.clone(), RrType::TXT, data(RrType::TXT, "\"old \\\"mark\\\"\"")),
        Edit::Add(host.clone(), RrType::MX, 300, data(RrType::MX, "10 mail.internal.")),
        Edit::Add(n("*.host.internal"), RrType::SRV, 60, data(RrType::SRV, "1 2 443 host.internal.")),
        Edit::Add(marker, RrType::TXT, 300, data(RrType::TXT, "\"new\" \"mark\"")),
    ];
    update::encode(&n("internal"), 7, &guards, &edits)
}

/// The same in the words of the tools.
const THE_SAME: &str = r#"prereq yxrrset home._knotwork.internal. TXT "fence; epoch=1"
prereq yxrrset host.internal. A 10.0.0.1
prereq yxrrset host.internal. A 10.0.0.2
prereq nxrrset host.internal. CNAME
prereq yxrrset host.internal. AAAA
prereq nxdomain _knotwork.new.internal.
prereq yxdomain in-use.internal.
update delete host.internal. A 10.0.0.1
update delete _knotwork.host.internal. TXT "old \"mark\""
update add host.internal. 300 MX 10 mail.internal.
update add *.host.internal. 60 SRV 1 2 443 host.internal.
update add _knotwork.host.internal. 300 TXT "new" "mark"
show
"#;

/// Answers the next question with this message, as `dig` and `kdig` show whatever they receive.
fn echo(mut message: Vec<u8>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 1500];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            message[..2].copy_from_slice(&question[..2]);
            message[2] |= 0x80;
            let _ = socket.send_to(&message, from);
        }
    });
    addr
}

/// The prerequisites and the updates; `kdig` calls them as in a query.
fn sections(text: &str) -> [Vec<String>; 2] {
    let query = text.contains(";; ANSWER SECTION");
    let names = if query { ["ANSWER", "AUTHORITY"] } else { ["PREREQUISITE", "UPDATE"] };
    names.map(|name| section(text, name))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_updates_are_read_as_the_tools_would_write_them() {
    let addr = echo(ours());
    // Each tool family reads our octets and writes its own message of the same words.
    for (reader, writer) in [("dig", "nsupdate"), ("kdig", "knsupdate")] {
        let (Some(reader), Some(writer)) = (parts::need(reader), parts::need(writer)) else { continue };
        // dig takes no answer with another opcode than its question's.
        let opcode = if reader.argv[0].ends_with("/dig") { "+opcode=UPDATE" } else { "" };
        let read = ask(&reader, addr, &format!("internal SOA +noedns {opcode}"));
        let (written, code) = run(&writer, &[], &format!("server 127.0.0.1 1\nzone internal.\n{THE_SAME}"));
        assert_eq!(code, 0, "{written}");
        assert!(read.contains("opcode: UPDATE"), "{read}");
        let (mut read_sections, mut written_sections) = (sections(&read), sections(&written));
        assert_eq!((written_sections[0].len(), written_sections[1].len()), (7, 5), "{written}");
        for sections in [&mut read_sections, &mut written_sections] {
            for section in sections.iter_mut() {
                // BIND has no presentation form of its own for an A record in class NONE.
                section.iter_mut().for_each(|line| *line = line.replace("\\# 4 0A000001", "10.0.0.1"));
                // Readers gather the records of a set; the order between sets is theirs.
                section.sort();
            }
        }
        assert_eq!(read_sections, written_sections, "{read}\n{written}");
    }
}
