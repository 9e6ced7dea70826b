//! The real ExternalDNS on the real webhook and a real Knot: what it makes, changes and removes, what it leaves alone, and that
//! it lives through all of it and then has nothing more to say.
//!
//! The newest line in `./test`; `./test full` runs the suite with `KNOTWORK_EXTERNAL_DNS` set to each older one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use support::external::{External, Lab, Webhook, Zone, endpoint, line, owned, places, prefix, same, zone};
use support::site;
use support::wait;

/// A brake that lets a test delete all it made.
const NO_BRAKE: &str = ", brake: {atLeast: 1000}";

fn start(lab: &Lab, webhook: &Webhook) -> External {
    start_with(lab, webhook, &[])
}

fn start_with(lab: &Lab, webhook: &Webhook, more: &[&str]) -> External {
    let flags = ["--txt-owner-id=me", &format!("--txt-prefix={}", prefix())];
    lab.external("me", webhook, &[&flags, more].concat())
}

fn internal(data: &[&str], sets: &[(&str, &str)]) -> Zone {
    zone(data, "me", sets)
}

/// A label of as many octets as there may be.
fn longest() -> String {
    format!("{}.internal", "x".repeat(63))
}

#[test]
fn a_life_with_every_type() {
    let Some(lab) = Lab::start() else { return };
    lab.configure(&format!("prefix: \"{}\"", prefix()), "owner: me", NO_BRAKE);
    let webhook = lab.webhook("webhook", &[]);
    // Before 0.18 it owns a TXT by nothing but the form without a type, which says too little for that.
    let more: &[&str] = if line() < 18 {
        &["--managed-record-types=NS", "--exclude-record-types=TXT"]
    } else {
        &["--managed-record-types=NS"]
    };
    let external = start_with(&lab, &webhook, more);
    external.is_idle(&lab, &webhook);

    // Made. One TTL is left to the zone.
    let long = longest();
    let mut feed = vec![
        endpoint("www.internal", "A", 60, &["10.0.0.2", "10.0.0.1"]),
        endpoint("www.internal", "AAAA", 60, &["2001:db8::1"]),
        endpoint("alias.internal", "CNAME", 60, &["LB.example.net"]),
        endpoint("*.apps.internal", "A", 0, &["10.0.0.3"]),
        endpoint("MiXed.Internal", "A", 60, &["10.0.0.4"]),
        endpoint("bücher.internal", "A", 60, &["10.0.0.5"]),
        endpoint(&long, "A", 60, &["10.0.0.6"]),
        endpoint("mail.internal", "MX", 60, &["10 mx1.example.net", "20 mx2.example.net"]),
        endpoint("_sip._tcp.internal", "SRV", 60, &["0 50 5060 sip.example.net."]),
        endpoint("text.internal", "TXT", 60, &["v=spf1 -all"]),
        endpoint("sub.internal", "NS", 60, &["ns.example.net"]),
        endpoint("4.4.internal", "NAPTR", 60, &["100 50 \"u\" \"sip+E2U\" \"\" sip.example.net."]),
        endpoint("old.internal", "DNAME", 60, &["new.example.net"]),
        endpoint("9.0.0.10.in-addr.arpa", "PTR", 60, &["www.internal"]),
    ];
    let long_line = format!("{long}. 60 A 10.0.0.6");
    let mut data = vec![
        "www.internal. 60 A 10.0.0.1",
        "www.internal. 60 A 10.0.0.2",
        "www.internal. 60 AAAA 2001:db8::1",
        "alias.internal. 60 CNAME lb.example.net.",
        "*.apps.internal. 300 A 10.0.0.3",
        "mixed.internal. 60 A 10.0.0.4",
        "xn--bcher-kva.internal. 60 A 10.0.0.5",
        &long_line,
        "mail.internal. 60 MX 10 mx1.example.net.",
        "mail.internal. 60 MX 20 mx2.example.net.",
        "_sip._tcp.internal. 60 SRV 0 50 5060 sip.example.net.",
        "text.internal. 60 TXT \"v=spf1 -all\"",
        "sub.internal. 60 NS ns.example.net.",
        "4.4.internal. 60 NAPTR 100 50 \"u\" \"sip+E2U\" \"\" sip.example.net.",
        "old.internal. 60 DNAME new.example.net.",
    ];
    let mut sets = vec![
        ("www.internal", "A"),
        ("www.internal", "AAAA"),
        ("alias.internal", "CNAME"),
        ("*.apps.internal", "A"),
        ("mixed.internal", "A"),
        ("xn--bcher-kva.internal", "A"),
        (long.as_str(), "A"),
        ("mail.internal", "MX"),
        ("_sip._tcp.internal", "SRV"),
        ("text.internal", "TXT"),
        ("sub.internal", "NS"),
        ("4.4.internal", "NAPTR"),
        ("old.internal", "DNAME"),
    ];
    let reverse = |host: &str| {
        internal(&[&format!("9.0.0.10.in-addr.arpa. 60 PTR {host}.")], &[("9.0.0.10.in-addr.arpa", "PTR")])
    };
    let wanted = |data: &[&str], sets: &[(&str, &str)], host: &str| {
        BTreeMap::from([("internal", internal(data, sets)), ("10.in-addr.arpa", reverse(host))])
    };
    if line() < 18 {
        feed.retain(|one| one["recordType"] != "TXT");
        data.retain(|line| !line.contains(" TXT "));
        sets.retain(|(_, rtype)| *rtype != "TXT");
    }
    lab.feed(&feed);
    external.settles(&lab, &webhook, &wanted(&data, &sets, "www.internal"));

    // Other targets, in every type; a set that has one more value and one that has one less.
    let mut change = |name: &str, rtype: &str, ttl: u32, targets: &[&str]| {
        let place = feed.iter().position(|one| one["dnsName"] == name && one["recordType"] == rtype).unwrap();
        feed[place] = endpoint(name, rtype, ttl, targets);
        lab.feed(&feed);
    };
    let mut becomes = |before: &[&str], after: &[&'static str]| {
        data.retain(|line| !before.contains(line));
        data.extend(after.iter().filter(|text| line() >= 18 || !text.contains(" TXT ")));
        data.clone()
    };
    change("www.internal", "A", 60, &["10.0.0.2"]);
    change("www.internal", "AAAA", 60, &["2001:db8::1", "2001:db8:0:0::2"]);
    change("alias.internal", "CNAME", 60, &["other.example.net"]);
    change("MiXed.Internal", "A", 60, &["10.0.1.4"]);
    change("bücher.internal", "A", 60, &["10.0.1.5"]);
    change("mail.internal", "MX", 60, &["10 mx3.example.net"]);
    change("_sip._tcp.internal", "SRV", 60, &["0 60 5061 sip.example.net."]);
    if line() >= 18 {
        change("text.internal", "TXT", 60, &["v=spf1 mx -all"]);
    }
    change("4.4.internal", "NAPTR", 60, &["100 60 \"u\" \"sip+E2U\" \"\" sip.example.net."]);
    change("old.internal", "DNAME", 60, &["newer.example.net"]);
    change("9.0.0.10.in-addr.arpa", "PTR", 60, &["alias.internal"]);
    let now = becomes(
        &[
            "www.internal. 60 A 10.0.0.1",
            "alias.internal. 60 CNAME lb.example.net.",
            "mixed.internal. 60 A 10.0.0.4",
            "xn--bcher-kva.internal. 60 A 10.0.0.5",
            "mail.internal. 60 MX 10 mx1.example.net.",
            "mail.internal. 60 MX 20 mx2.example.net.",
            "_sip._tcp.internal. 60 SRV 0 50 5060 sip.example.net.",
            "text.internal. 60 TXT \"v=spf1 -all\"",
            "4.4.internal. 60 NAPTR 100 50 \"u\" \"sip+E2U\" \"\" sip.example.net.",
            "old.internal. 60 DNAME new.example.net.",
        ],
        &[
            "www.internal. 60 AAAA 2001:db8::2",
            "alias.internal. 60 CNAME other.example.net.",
            "mixed.internal. 60 A 10.0.1.4",
            "xn--bcher-kva.internal. 60 A 10.0.1.5",
            "mail.internal. 60 MX 10 mx3.example.net.",
            "_sip._tcp.internal. 60 SRV 0 60 5061 sip.example.net.",
            "text.internal. 60 TXT \"v=spf1 mx -all\"",
            "4.4.internal. 60 NAPTR 100 60 \"u\" \"sip+E2U\" \"\" sip.example.net.",
            "old.internal. 60 DNAME newer.example.net.",
        ],
    );
    external.settles(&lab, &webhook, &wanted(&now, &sets, "alias.internal"));

    // Another TTL; one that was the zone's becomes its own.
    change("www.internal", "A", 90, &["10.0.0.2"]);
    change("mail.internal", "MX", 90, &["10 mx3.example.net"]);
    change("*.apps.internal", "A", 90, &["10.0.0.3"]);
    let now = becomes(
        &["www.internal. 60 A 10.0.0.2", "mail.internal. 60 MX 10 mx3.example.net.", "*.apps.internal. 300 A 10.0.0.3"],
        &["www.internal. 90 A 10.0.0.2", "mail.internal. 90 MX 10 mx3.example.net.", "*.apps.internal. 90 A 10.0.0.3"],
    );
    external.settles(&lab, &webhook, &wanted(&now, &sets, "alias.internal"));

    // An address becomes an alias, and an alias an address.
    let of = |feed: &[Value], name: &str, rtype: &str| {
        feed.iter().position(|one| one["dnsName"] == name && one["recordType"] == rtype).unwrap()
    };
    let place = of(&feed, "MiXed.Internal", "A");
    feed[place] = endpoint("MiXed.Internal", "CNAME", 60, &["lb.example.net"]);
    let place = of(&feed, "alias.internal", "CNAME");
    feed[place] = endpoint("alias.internal", "A", 60, &["10.0.0.9"]);
    lab.feed(&feed);
    let now = becomes(
        &["mixed.internal. 60 A 10.0.1.4", "alias.internal. 60 CNAME other.example.net."],
        &["mixed.internal. 60 CNAME lb.example.net.", "alias.internal. 60 A 10.0.0.9"],
    );
    sets.retain(|(name, _)| !["mixed.internal", "alias.internal"].contains(name));
    sets.extend([("mixed.internal", "CNAME"), ("alias.internal", "A")]);
    external.settles(&lab, &webhook, &wanted(&now, &sets, "alias.internal"));

    // All goes but one.
    lab.feed(&[endpoint("www.internal", "A", 90, &["10.0.0.2"])]);
    let rest = internal(&["www.internal. 90 A 10.0.0.2"], &[("www.internal", "A")]);
    let wanted = BTreeMap::from([("internal", rest), ("10.in-addr.arpa", Zone::default())]);
    external.settles(&lab, &webhook, &wanted);
    assert_eq!(webhook.sum("knotwork_webhook_changes_total", "result=\"refused\""), 0, "{}", webhook.program.log());
}

/// The apex with an affix that leads out of the zone, wildcards, labels with no room for a prefix, aliases whose ownership would
/// stand at the alias itself: all is made, changed and removed, and nothing of it stays behind.
#[test]
fn every_kind_of_affix_at_every_kind_of_name() {
    let affixes = [
        ("", vec![]),
        ("prefix: edns-", vec!["--txt-prefix=edns-"]),
        ("suffix: -edns", vec!["--txt-suffix=-edns"]),
        (r#"suffix: "-%{record_type}""#, vec!["--txt-suffix=-%{record_type}"]),
        (r#"prefix: "%{record_type}-k8s-""#, vec!["--txt-prefix=%{record_type}-k8s-"]),
        ("prefix: edns-, wildcardReplacement: any", vec!["--txt-prefix=edns-", "--txt-wildcard-replacement=any"]),
    ];
    let Some(lab) = Lab::start() else { return };
    for (index, (affix, flags)) in affixes.iter().enumerate() {
        lab.configure(affix, "owner: me", NO_BRAKE);
        let webhook = lab.webhook(&format!("webhook{index}"), &[]);
        let flags = owned(&[&["--txt-owner-id=me"], &flags[..]].concat());
        let external = lab.external_with(&format!("external{index}"), &[lab.common(), webhook.flags(), flags].concat());
        let long = longest();
        // At an ownership TXT whose name is a single label, as that of a zone of one, 0.14 ends with a suffix.
        let has_apex = line() >= 16 || !affix.starts_with("suffix");
        let feed = |net: u8| {
            let mut feed = vec![
                endpoint("internal", "A", 60, &[&format!("10.0.{net}.1")]),
                endpoint("internal", "AAAA", 60, &[&format!("2001:db8:{net}::1")]),
                endpoint("*.internal", "A", 60, &[&format!("10.0.{net}.2")]),
                endpoint(&long, "A", 60, &[&format!("10.0.{net}.3")]),
                endpoint("www.internal", "CNAME", 60, &[&format!("lb{net}.example.net")]),
                endpoint("s3.garage.internal", "A", 60, &[&format!("10.0.{net}.4")]),
                endpoint("*.s3.garage.internal", "CNAME", 60, &[&format!("lb{net}.example.net")]),
            ];
            feed.retain(|one| has_apex || one["dnsName"] != "internal");
            lab.feed(&feed);
        };
        let data = |net: u8| -> BTreeMap<&str, BTreeSet<String>> {
            BTreeMap::from([
                (
                    "internal",
                    BTreeSet::from([
                        format!("internal. 60 A 10.0.{net}.1"),
                        format!("internal. 60 AAAA 2001:db8:{net}::1"),
                        format!("*.internal. 60 A 10.0.{net}.2"),
                        format!("{long}. 60 A 10.0.{net}.3"),
                        format!("www.internal. 60 CNAME lb{net}.example.net."),
                    ]),
                ),
                (
                    "s3.garage.internal",
                    BTreeSet::from([
                        format!("s3.garage.internal. 60 A 10.0.{net}.4"),
                        format!("*.s3.garage.internal. 60 CNAME lb{net}.example.net."),
                    ]),
                ),
            ])
        };
        let has = |net: u8| -> Result<(), String> {
            data(net).iter().try_for_each(|(name, data)| {
                let mut data = data.clone();
                data.retain(|line| has_apex || !line.starts_with("internal. "));
                same(&format!("{name} with {affix}"), &lab.zone(name).data, &data)
            })
        };
        feed(1);
        external.settles_by(&lab, &webhook, || has(1));
        let owners: BTreeSet<String> = lab.zone("internal").marks.into_values().flatten().collect();
        assert_eq!(owners, BTreeSet::from(["me".to_owned()]), "{affix}");
        feed(2);
        external.settles_by(&lab, &webhook, || has(2));
        lab.feed(&[]);
        let nothing = BTreeMap::from([("internal", Zone::default()), ("s3.garage.internal", Zone::default())]);
        external.settles(&lab, &webhook, &nothing);
    }
}

/// Names of others: those of another ExternalDNS, of a DHCP server, of `knotwork apply`, of a person.
#[test]
fn what_others_wrote_stays_whatever_is_asked() {
    let Some(lab) = Lab::start() else { return };
    lab.nsupdate(
        "kea-ddns",
        "internal",
        &[
            "add laptop.internal 300 A 10.9.0.2",
            "add laptop.internal 300 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
        ],
    );
    lab.nsupdate("other", "internal", &["add person.internal 300 A 10.9.0.1"]);
    lab.nsupdate(
        "other",
        "internal",
        &[
            "add theirs.internal 300 A 10.9.0.3",
            &format!(
                "add {} 300 TXT \"heritage=external-dns,external-dns/owner=they,external-dns/resource=x\"",
                places("theirs.internal", "A")[0]
            ),
        ],
    );
    let records = lab.dir().join("static.yaml");
    std::fs::write(&records, site::manifest("static", "name: static.internal, a: [10.9.0.4]")).unwrap();
    let apply = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_knotwork"));
        command.arg("apply").arg("-c").arg(lab.config()).arg("-f").arg(&records);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    apply();
    let before = lab.zone("internal");
    let with = |name: &str| {
        let mut zone = before.clone();
        zone.data.insert(format!("{name}.internal. 60 A 10.0.0.1"));
        zone.marks.extend(places(&format!("{name}.internal"), "A").into_iter().map(|at| (at, vec!["me".to_owned()])));
        BTreeMap::from([("internal", zone)])
    };

    // ExternalDNS wants them all, and one of its own; then nothing but another one; and a TXT where a name is somebody's.
    let webhook = lab.webhook("webhook", &[]);
    let external = start(&lab, &webhook);
    let names = ["laptop", "person", "theirs", "static"].map(|name| format!("{name}.internal"));
    let mut feed: Vec<Value> = names.iter().map(|name| endpoint(name, "A", 60, &["6.6.6.6"])).collect();
    feed.push(endpoint("own.internal", "A", 60, &["10.0.0.1"]));
    lab.feed(&feed);
    external.settles(&lab, &webhook, &with("own"));
    lab.feed(&[endpoint("own2.internal", "A", 60, &["10.0.0.1"])]);
    external.settles(&lab, &webhook, &with("own2"));
    // The other writers go on meanwhile, and find their own.
    lab.nsupdate("kea-ddns", "internal", &["delete laptop.internal A 10.9.0.2", "add laptop.internal 300 A 10.9.0.22"]);
    apply();
    let mut wanted = with("own2");
    let zone = wanted.get_mut("internal").unwrap();
    zone.data.remove("laptop.internal. 300 A 10.9.0.2");
    zone.data.insert("laptop.internal. 300 A 10.9.0.22".to_owned());
    external.settles(&lab, &webhook, &wanted);
    drop(external);

    // One that keeps no ownership wants everything gone that it does not know, in every loop.
    lab.feed(&[]);
    let noop = lab.external("noop", &webhook, &["--registry=noop"]);
    noop.until("five refusals", || (noop.soft_errors() >= 5).then_some(()));
    let left = &lab.zone("internal");
    for line in before.data.iter().filter(|line| !line.contains("laptop.internal. 300 A")) {
        assert!(left.data.contains(line), "{line} is gone from {left:#?}");
    }
    assert!(left.data.contains("laptop.internal. 300 A 10.9.0.22"), "{left:#?}");
    assert_eq!(left.marks[&places("theirs.internal", "A")[0]], ["they"]);
}

/// Another owner id at the same webhook, which is configured for the first.
#[test]
fn another_owner_changes_nothing() {
    let Some(lab) = Lab::start() else { return };
    let webhook = lab.webhook("webhook", &[]);
    let external = start(&lab, &webhook);
    lab.feed(&[
        endpoint("www.internal", "A", 60, &["10.0.0.1"]),
        endpoint("mail.internal", "MX", 60, &["10 mx.internal"]),
    ]);
    let data = ["www.internal. 60 A 10.0.0.1", "mail.internal. 60 MX 10 mx.internal."];
    let wanted = BTreeMap::from([("internal", internal(&data, &[("www.internal", "A"), ("mail.internal", "MX")]))]);
    external.settles(&lab, &webhook, &wanted);
    drop(external);

    // Other values, another type, and then no wish at all: it posts nothing.
    let flags = ["--txt-owner-id=other", &format!("--txt-prefix={}", prefix())];
    let other = lab.external("other", &webhook, &flags);
    lab.feed(&[
        endpoint("www.internal", "A", 90, &["6.6.6.6"]),
        endpoint("mail.internal", "CNAME", 60, &["evil.example.net"]),
    ]);
    other.settles(&lab, &webhook, &wanted);
    lab.feed(&[]);
    other.settles(&lab, &webhook, &wanted);
    // A name that is free is refused to it all the same, in words, and it lives.
    lab.feed(&[endpoint("new.internal", "A", 60, &["10.0.0.2"])]);
    other.until("three refusals", || (other.soft_errors() >= 3).then_some(()));
    same("internal", &lab.zone("internal"), &wanted["internal"]).unwrap();
    assert!(webhook.program.log().contains("--txt-owner-id"), "{}", webhook.program.log_end());
    lab.feed(&[]);
    other.settles(&lab, &webhook, &wanted);
}

/// `--migrate-from-txt-owner` (since 0.19) with `migrateFrom`: the records become the new owner's when they are written.
#[test]
fn an_owner_becomes_another() {
    let Some(lab) = Lab::start() else { return };
    if line() < 19 {
        return eprintln!("--- this line of ExternalDNS cannot migrate");
    }
    let webhook = lab.webhook("webhook", &[]);
    let external = start(&lab, &webhook);
    let www = |ttl: u32, address: &str| lab.feed(&[endpoint("www.internal", "A", ttl, &[address])]);
    www(60, "10.0.0.1");
    let has = |line: &str, owner: &str| BTreeMap::from([("internal", zone(&[line], owner, &[("www.internal", "A")]))]);
    external.settles(&lab, &webhook, &has("www.internal. 60 A 10.0.0.1", "me"));
    drop((external, webhook));

    lab.configure(&format!("prefix: \"{}\"", prefix()), "owner: new, migrateFrom: [me]", "");
    let webhook = lab.webhook("webhook2", &[]);
    let flags = ["--txt-owner-id=new", &format!("--txt-prefix={}", prefix()), "--migrate-from-txt-owner=me"];
    let external = lab.external("migrating", &webhook, &flags);
    www(60, "10.0.0.2");
    external.settles(&lab, &webhook, &has("www.internal. 60 A 10.0.0.2", "new"));
    drop(external);
    let external = lab.external("new", &webhook, &flags[..2]);
    lab.feed(&[]);
    external.settles(&lab, &webhook, &BTreeMap::from([("internal", Zone::default())]));
}

/// The server goes and comes back, twice, while records are wished: nothing is lost, nothing is made twice, nobody ends.
#[test]
fn a_server_that_goes_and_comes_back() {
    let Some(mut lab) = Lab::start() else { return };
    let webhook = lab.webhook("webhook", &[]);
    let external = start(&lab, &webhook);
    let mut feed = vec![endpoint("first.internal", "A", 60, &["10.0.0.1"])];
    lab.feed(&feed);
    let wanted = |number: usize| {
        let names: Vec<String> =
            ["first", "second", "third"][..number].iter().map(|name| format!("{name}.internal")).collect();
        let data: Vec<String> = names.iter().map(|name| format!("{name}. 60 A 10.0.0.1")).collect();
        let data: Vec<&str> = data.iter().map(String::as_str).collect();
        let sets: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "A")).collect();
        BTreeMap::from([("internal", internal(&data, &sets))])
    };
    external.settles(&lab, &webhook, &wanted(1));
    for (number, name) in [(2, "second.internal"), (3, "third.internal")] {
        lab.knot.terminate();
        feed.push(endpoint(name, "A", 60, &["10.0.0.1"]));
        lab.feed(&feed);
        external.until("three failed loops", || (external.soft_errors() >= 3).then_some(()));
        let failed = webhook.sum("knotwork_webhook_requests_total", "operation=\"list\",status=\"503\"");
        assert!(failed >= 3, "{failed}");
        lab.knot.resume();
        external.settles(&lab, &webhook, &wanted(number));
    }
}

/// The webhook goes between two loops, and ExternalDNS does not even notice; and it goes in the middle of one, at which
/// ExternalDNS ends: started again, both go on where they were.
#[test]
fn a_webhook_that_is_started_again() {
    let Some(lab) = Lab::start() else { return };
    let mut webhook = lab.webhook("webhook", &[]);
    let mut external = start(&lab, &webhook);
    lab.feed(&[endpoint("first.internal", "A", 60, &["10.0.0.1"])]);
    let data = ["first.internal. 60 A 10.0.0.1", "second.internal. 60 A 10.0.0.1"];
    let sets = [("first.internal", "A"), ("second.internal", "A")];
    let wanted = |number: usize| BTreeMap::from([("internal", internal(&data[..number], &sets[..number]))]);
    external.settles(&lab, &webhook, &wanted(1));

    // In the middle: the server does not answer, so that the list waits when the webhook is killed.
    let asked = webhook.asked("list");
    freeze(&lab, "STOP");
    lab.feed(&[
        endpoint("first.internal", "A", 60, &["10.0.0.1"]),
        endpoint("second.internal", "A", 60, &["10.0.0.1"]),
    ]);
    webhook.program.kill();
    wait::until("ExternalDNS to end, as it does when a connection breaks", || (!external.alive()).then_some(()));
    assert!(external.log().contains("Failed to do run once") || external.log().contains("level=fatal"), "{asked}");
    freeze(&lab, "CONT");
    webhook.program.resume();
    webhook.wait_ready();
    external.resume();
    external.settles(&lab, &webhook, &wanted(2));
}

/// Between two loops that are far apart.
#[test]
fn a_webhook_that_is_away_between_two_loops() {
    let Some(lab) = Lab::start() else { return };
    let mut webhook = lab.webhook("webhook", &[]);
    let flags = ["--txt-owner-id=me", &format!("--txt-prefix={}", prefix()), "--interval=20s"];
    let common: Vec<String> = lab.common().into_iter().filter(|flag| !flag.starts_with("--interval")).collect();
    lab.feed(&[endpoint("first.internal", "A", 60, &["10.0.0.1"])]);
    let flags = [common, webhook.flags(), owned(&flags)].concat();
    let external = lab.external_with("external", &flags);
    external.until("the first loop", || {
        (!lab.dig("first.internal", "A").is_empty() && webhook.asked("apply") == 1).then_some(())
    });
    webhook.program.kill();
    lab.feed(&[endpoint("second.internal", "A", 60, &["10.0.0.1"])]);
    webhook.program.resume();
    webhook.wait_ready();
    let wanted = internal(&["second.internal. 60 A 10.0.0.1"], &[("second.internal", "A")]);
    external.until("the next loop", || (lab.zone("internal") == wanted).then_some(()));
    assert_eq!(external.soft_errors(), 0);
}

fn freeze(lab: &Lab, signal: &str) {
    let pid = lab.knot.pid().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
}
