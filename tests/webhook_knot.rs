//! The webhook on a real Knot, by the bodies that ExternalDNS sends: what is made, what is left alone, and what is answered.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::wait;
use support::webhook::{OWN, Rig, http, mark, mark_of, record};

#[test]
fn a_records_whole_life() {
    let Some(rig) = Rig::start() else { return };
    assert_eq!(rig.get(rig.port, "/").2, r#"{"include":["internal","s3.garage.internal"]}"#);
    let create = json!({"create": [record("www.internal", "A", &["10.0.0.1", "10.0.0.2"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&create), (204, String::new()));
    assert_eq!(rig.dig("www.internal", "A"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(rig.dig("edns-a-www.internal", "TXT"), [OWN]);
    // The same again changes nothing: no message, no new serial.
    let serial = rig.serial();
    assert_eq!(rig.apply(&create).0, 204);
    assert_eq!(rig.serial(), serial);
    assert!(rig.get(rig.ops, "/metrics").2.contains(r#"result="suppressed",reason="Fulfilled"} 1"#));
    assert!(rig.metrics().contains(r#"knotwork_webhook_update_answers_total{zone="internal",rcode="NOERROR"}"#));
    // By the keys of versions before 0.17; of what is to be old nothing is right.
    let update = json!({"Create": null, "Delete": null,
        "UpdateOld": [record("www.internal", "A", &["10.9.9.9"]), mark("www.internal", "A")],
        "UpdateNew": [record("www.internal", "A", &["10.0.0.3"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&update).0, 204);
    assert_eq!(rig.dig("www.internal", "A"), ["10.0.0.3"]);
    // A type swap, in one message.
    let swap = json!({"delete": [record("www.internal", "A", &["10.0.0.3"]), mark("www.internal", "A")],
        "create": [record("www.internal", "CNAME", &["lb.example.net"]), mark("www.internal", "CNAME")]});
    assert_eq!(rig.apply(&swap).0, 204);
    assert_eq!(rig.dig("www.internal", "CNAME"), ["lb.example.net."]);
    assert_eq!(rig.dig("edns-cname-www.internal", "TXT"), [OWN]);
    assert!(rig.dig("edns-a-www.internal", "TXT").is_empty());
    let delete =
        json!({"delete": [record("www.internal", "CNAME", &["lb.example.net"]), mark("www.internal", "CNAME")]});
    assert_eq!(rig.apply(&delete).0, 204);
    assert!(rig.dig("www.internal", "CNAME").is_empty() && rig.dig("edns-cname-www.internal", "TXT").is_empty());
    assert_eq!(rig.apply(&delete).0, 204, "what is gone is gone");
}

#[test]
fn what_is_not_its_own_is_left_alone_and_the_rest_is_done() {
    let Some(mut rig) = Rig::start() else { return };
    rig.nsupdate("internal", &[
        "add person.internal 300 A 10.9.0.1",
        "add kea.internal 300 A 10.9.0.2",
        "add kea.internal 300 DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
        "add other.internal 300 A 10.9.0.3",
        "add edns-a-other.internal 300 TXT \"heritage=external-dns,external-dns/owner=other\"",
        "add static.internal 300 A 10.9.0.4",
        "add _knotwork.static.internal 300 TXT \"heritage=knotwork,v=1,owner=home,type=A,set=0123456789abcdef,resource=staticdnsrecord/dns/static\"",
        "add victim.internal 300 A 10.9.0.5",
        "add foo.victim.internal 300 TXT \"heritage=external-dns,external-dns/owner=me\"",
    ]);
    let names = ["person", "kea", "other", "static", "victim"].map(|name| format!("{name}.internal"));
    for (list, verb) in [("create", "taken"), ("delete", "deleted")] {
        let wishes = |extra: Option<&str>| -> Vec<Value> {
            let all = names.iter().map(String::as_str).chain(extra);
            all.flat_map(|name| [record(name, "A", &["6.6.6.6"]), mark(name, "A")]).collect()
        };
        let mut body = json!({list: wishes(None)});
        let good = format!("good-{verb}.internal");
        let create = body.as_object_mut().unwrap().entry("create").or_insert(json!([])).as_array_mut().unwrap();
        create.extend([record(&good, "A", &["10.0.0.1"]), mark(&good, "A")]);
        let (status, words) = rig.apply(&body);
        assert_eq!(status, 500, "{words}");
        for (name, address) in names.iter().zip(["10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5"]) {
            assert!(words.contains(name), "{name} is not named: {words}");
            assert_eq!(rig.dig(name, "A"), [address], "{name} is {verb}");
        }
        assert_eq!(rig.dig(&good, "A"), ["10.0.0.1"], "{words}");
        assert!(rig.dig("edns-a-person.internal", "TXT").is_empty(), "no ownership without its record");
    }
    for name in &names {
        assert!(rig.list().iter().any(|shown| shown["dnsName"] == name.as_str()), "{name} is not shown");
    }
    // Another ExternalDNS that asks here gets nothing of ours.
    let mut stranger = record("good-taken.internal", "A", &["10.0.0.1"]);
    stranger["labels"]["owner"] = json!("other");
    let (status, words) = rig.apply(&json!({"delete": [stranger, mark_of("good-taken.internal", "A", "other")]}));
    assert!(status == 500 && words.contains("OwnerMismatch"), "{words}");
    assert_eq!(rig.dig("good-taken.internal", "A"), ["10.0.0.1"]);
    // By a person's word what is unmarked may be taken, and nothing else.
    rig.serve(&["--adopt-unmarked"]);
    let all = json!({"create": names.iter().flat_map(|name| [record(name, "A", &["6.6.6.6"]), mark(name, "A")]).collect::<Vec<_>>()});
    let (status, words) = rig.apply(&all);
    assert!(status == 500 && !words.contains("person"), "{words}");
    assert_eq!(rig.dig("person.internal", "A"), ["6.6.6.6"]);
    assert_eq!(rig.dig("kea.internal", "A"), ["10.9.0.2"]);
    assert_eq!(rig.dig("other.internal", "A"), ["10.9.0.3"]);
    assert_eq!(rig.dig("static.internal", "A"), ["10.9.0.4"]);
}

/// The apex with a prefix without a dot, a label of 63 octets, a registry that writes no TXT: each is owned, shown as
/// ExternalDNS expects it, and goes without a trace.
#[test]
fn ownership_that_has_no_place_is_kept_all_the_same() {
    let Some(rig) = Rig::start() else { return };
    let long = format!("{}.s3.garage.internal", "x".repeat(63));
    let apex = "s3.garage.internal";
    let create =
        json!({"create": [record(apex, "A", &["10.0.0.1"]), mark(apex, "A"), record(&long, "A", &["10.0.0.2"])]});
    assert_eq!(rig.apply(&create), (204, String::new()));
    let shown = rig.list();
    let of = |name: &str, rtype: &str| {
        shown
            .iter()
            .find(|one| one["dnsName"] == name && one["recordType"] == rtype)
            .unwrap_or_else(|| panic!("{name} {rtype}"))
    };
    assert_eq!(of("edns-a-s3.garage.internal", "TXT")["targets"], json!([OWN.replace('\\', "")]));
    assert_eq!(of(&long, "A")["labels"], json!({"owner": "me", "resource": "service/default/www"}));
    assert!(shown.iter().all(|one| !one["dnsName"].as_str().unwrap().contains("_edns-")));
    let is_its_own =
        |one: &Value| one["recordType"] == "NS" && (one["dnsName"] == apex || one["dnsName"] == "internal");
    assert!(!shown.iter().any(is_its_own), "name servers of the zone would keep ExternalDNS away from its apex");
    let delete =
        json!({"delete": [record(apex, "A", &["10.0.0.1"]), mark(apex, "A"), record(&long, "A", &["10.0.0.2"])]});
    assert_eq!(rig.apply(&delete), (204, String::new()));
    assert!(rig.dig(apex, "A").is_empty() && rig.dig(&long, "A").is_empty());
    assert!(
        rig.dig(&format!("_edns-a.{apex}"), "TXT").is_empty() && rig.dig(&format!("_edns-a.{long}"), "TXT").is_empty()
    );
}

#[test]
fn a_mass_of_deletes_is_held_and_the_rest_goes_on() {
    let Some(rig) = Rig::start() else { return };
    let all: Vec<String> = (0..40).map(|n| format!("n{n}.internal")).collect();
    let of = |names: &[String]| -> Vec<Value> {
        names.iter().flat_map(|name| [record(name, "A", &["10.0.0.1"]), mark(name, "A")]).collect()
    };
    assert_eq!(rig.apply(&json!({"create": of(&all)})).0, 204);
    let new = [record("new.internal", "A", &["10.0.0.9"]), mark("new.internal", "A")];
    let (status, words) = rig.apply(&json!({"delete": of(&all), "create": new}));
    assert!(status == 503 && words.contains("40 deletes are held"), "{status} {words}");
    assert_eq!(rig.dig("n7.internal", "A"), ["10.0.0.1"]);
    assert_eq!(rig.dig("edns-a-n7.internal", "TXT"), [OWN], "a set and its ownership go or stay together");
    assert_eq!(rig.dig("new.internal", "A"), ["10.0.0.9"]);
    assert_eq!(rig.apply(&json!({"delete": of(&all[..3])})).0, 503, "time lets nothing through");
}

/// Never a status at which ExternalDNS ends, but for what is no JSON.
#[test]
fn whatever_comes_the_answer_is_one_that_it_survives() {
    let Some(rig) = Rig::with("owner: me", &["--max-body-size", "100000"]) else { return };
    for (body, status) in [
        ("null", 204),
        ("{}", 204),
        (r#"{"create":[],"unknown":{"x":1}}"#, 204),
        (r#"{"create":[null]}"#, 500),
        (r#"{"create":7}"#, 500),
        (r#"{"create":[{"dnsName":"x.nowhere","recordType":"A","targets":["10.0.0.1"]}]}"#, 500),
        (r#"{"create":[{"dnsName":"x.internal","recordType":"A","targets":["10.0.0.300"]}]}"#, 500),
        (r#"{"create":[{"dnsName":"","recordType":"","targets":null}]}"#, 500),
        ("no json", 400),
        ("", 400),
    ] {
        let (got, _, words) = http(rig.port, "POST", "/records", body);
        assert_eq!(got, status, "{body}: {words}");
    }
    let large = format!("{{\"create\":[],\"pad\":\"{}\"}}", "x".repeat(200_000));
    let (status, _, words) = http(rig.port, "POST", "/records", &large);
    assert!(status == 500 && words.contains("--max-body-size"), "{status} {words}");
    for (method, path) in
        [("GET", "/nowhere"), ("DELETE", "/records"), ("PUT", "/x/y"), ("GET", "/base/records"), ("POST", "/")]
    {
        assert_eq!(http(rig.port, method, path, "").0, 200, "{method} {path}");
    }
    let (status, _, body) = http(rig.port, "POST", "/adjustendpoints", "null");
    assert_eq!((status, body.as_str()), (200, "[]"));
    assert_eq!(rig.get(rig.ops, "/healthz").0, 200);
}

/// While the server is away nothing is listed rather than half of it, and it comes back by itself.
#[test]
fn a_server_that_is_away_is_told_by_503() {
    let Some(mut rig) = Rig::start() else { return };
    let create = json!({"create": [record("www.internal", "A", &["10.0.0.1"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&create).0, 204);
    rig.knot.kill();
    assert_eq!(rig.get(rig.port, "/records").0, 503);
    let other = json!({"create": [record("two.internal", "A", &["10.0.0.2"]), mark("two.internal", "A")]});
    assert_eq!(rig.apply(&other).0, 503);
    assert_eq!(rig.get(rig.port, "/").0, 200, "what it serves it knows from its configuration");
    rig.knot.resume();
    wait::until("the list to come back", || (rig.get(rig.port, "/records").0 == 200).then_some(()));
    assert_eq!(rig.apply(&other).0, 204);
    assert_eq!(rig.dig("two.internal", "A"), ["10.0.0.2"]);
}

/// With a prefix that ends in a dot the ownership TXT stands below its record, where it may: below an alias it may, below a
/// DNAME nothing may. And a DNAME changes in two messages, since old servers die of one.
#[test]
fn ownership_below_a_cname_stays_there_and_below_a_dname_has_no_place() {
    let Some(rig) = Rig::start() else { return };
    let below = |name: &str, rtype: &str| {
        let mut mark = mark(name, rtype);
        mark["dnsName"] = json!(format!("edns-{}.{name}", rtype.to_lowercase()));
        mark
    };
    let body = |list: &str, target: &str| {
        let sets = ["CNAME", "DNAME"].map(|rtype| {
            let name = format!("{}.internal", rtype.to_lowercase());
            [record(&name, rtype, &[target]), below(&name, rtype)]
        });
        json!({list: sets.concat()})
    };
    assert_eq!(rig.apply(&body("create", "one.example.net")), (204, String::new()));
    assert_eq!(rig.dig("edns-cname.cname.internal", "TXT"), [OWN]);
    assert!(rig.dig("_edns-cname.cname.internal", "TXT").is_empty(), "there it would be lost on the way back");
    assert!(rig.dig("_edns-dname-dname.internal", "TXT").contains(&OWN.to_owned()));
    let shown = rig.list();
    for rtype in ["cname", "dname"] {
        let at = format!("edns-{rtype}.{rtype}.internal");
        assert!(shown.iter().any(|one| one["dnsName"] == at.as_str()), "{at} is not shown: {shown:#?}");
    }
    assert_eq!(rig.apply(&body("updateNew", "two.example.net")), (204, String::new()));
    assert_eq!(rig.dig("cname.internal", "CNAME"), ["two.example.net."]);
    assert_eq!(rig.dig("dname.internal", "DNAME"), ["two.example.net."]);
    assert_eq!(rig.apply(&body("delete", "two.example.net")), (204, String::new()));
    for (name, rtype) in [
        ("cname.internal", "CNAME"),
        ("dname.internal", "DNAME"),
        ("edns-cname.cname.internal", "TXT"),
        ("_edns-dname-dname.internal", "TXT"),
    ] {
        assert!(rig.dig(name, rtype).is_empty(), "{name} {rtype} stays behind");
    }
}

/// Versions before 0.18 write a second ownership TXT, without a type: it goes with the last of the sets that it speaks of.
#[test]
fn the_old_form_of_ownership_goes_with_its_last_set() {
    let Some(rig) = Rig::start() else { return };
    let old = |name: &str| {
        let mut old = mark(name, "A");
        old["dnsName"] = json!(format!("edns-{name}"));
        old
    };
    let of = |rtype: &str, target: &str| {
        vec![record("www.internal", rtype, &[target]), old("www.internal"), mark("www.internal", rtype)]
    };
    let [a, mx] = [of("A", "10.0.0.1"), of("MX", "10 mx.example.net")];
    let both = [a.clone(), mx.clone()].concat();
    assert_eq!(rig.apply(&json!({"create": both})), (204, String::new()));
    assert_eq!(rig.dig("edns-www.internal", "TXT"), [OWN]);
    assert_eq!(rig.apply(&json!({"delete": mx})), (204, String::new()));
    assert_eq!(rig.dig("edns-www.internal", "TXT"), [OWN], "the A is there");
    assert_eq!(rig.dig("edns-mx-www.internal", "TXT"), [""; 0]);
    // A newer version says nothing of it when it changes the set.
    let new = json!({"updateNew": [record("www.internal", "A", &["10.0.0.2"]), mark("www.internal", "A")]});
    assert_eq!(rig.apply(&new), (204, String::new()));
    assert_eq!(
        (rig.dig("www.internal", "A"), rig.dig("edns-www.internal", "TXT")),
        (vec!["10.0.0.2".into()], vec![OWN.into()])
    );
    assert_eq!(rig.apply(&json!({"delete": a})), (204, String::new()));
    assert_eq!(rig.dig("edns-www.internal", "TXT"), [""; 0]);
    assert_eq!(rig.dig("edns-a-www.internal", "TXT"), [""; 0]);
}

/// A request is believed in nothing: not that the TXT of one set speaks of another, nor that one may stand where it would speak
/// of what comes there tomorrow, nor that marks of ownership are data.
#[test]
fn nobodys_set_is_had_by_a_borrowed_or_planted_mark() {
    let Some(mut rig) = Rig::start() else { return };
    let own = json!({"create": [record("own.internal", "A", &["10.0.0.1"]), mark("own.internal", "A")]});
    assert_eq!(rig.apply(&own).0, 204);
    rig.nsupdate("internal", &["add person.internal 300 A 10.9.0.1"]);
    let speaking = |at: &str, of: &str| {
        let mut mark = mark(of, "A");
        mark["dnsName"] = json!(at);
        mark
    };
    let refused = |rig: &Rig, changes: Value| {
        let (status, words) = rig.apply(&changes);
        assert!(status == 500 && words.contains("Reserved"), "{status} {words}");
        assert_eq!(rig.dig("person.internal", "A"), ["10.9.0.1"]);
        assert_eq!(rig.dig("edns-a-own.internal", "TXT"), [OWN]);
    };
    let person = || record("person.internal", "A", &["10.9.0.1"]);
    refused(&rig, json!({"delete": [person(), speaking("edns-a-own.internal", "person.internal")]}));
    for at in ["edns-a-person.internal", "a-person.internal", "other.internal"] {
        refused(&rig, json!({"create": [record("ev.internal", "A", &["10.6.6.6"]), speaking(at, "ev.internal")]}));
        assert!(rig.dig(at, "TXT").is_empty() && rig.dig("ev.internal", "A").is_empty(), "{at}");
    }
    for name in ["_knotwork.person.internal", "_edns-a.person.internal", "home._knotwork.internal"] {
        refused(&rig, json!({"create": [record(name, "CNAME", &["lb.example.net"])]}));
    }
    // Whoever lets unmarked sets be taken over means those that are wished.
    rig.serve(&["--adopt-unmarked"]);
    let (status, words) = rig.apply(&json!({"delete": [person()]}));
    assert!(status == 500 && words.contains("Unmarked"), "{status} {words}");
    assert_eq!(rig.dig("person.internal", "A"), ["10.9.0.1"]);
}

/// The command that is advised where another instance holds the fence of the webhook gives it to this one.
#[test]
fn another_instance_is_told_with_the_command_that_helps() {
    let Some(mut rig) = Rig::start() else { return };
    let create = |name: &str| json!({"create": [record(name, "A", &["10.0.0.1"]), mark(name, "A")]});
    assert_eq!(rig.apply(&create("a.internal")).0, 204);
    let path = rig.dir.path().join("knotwork.yaml");
    let config = std::fs::read_to_string(&path).unwrap().replace("instance: here", "instance: there");
    std::fs::write(&path, config).unwrap();
    rig.serve(&[]);
    let (status, words) = rig.apply(&create("b.internal"));
    let command = "knotwork zone takeover internal --owner me-edns --from here";
    assert!(status == 503 && words.contains(command), "{status} {words}");
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_knotwork"))
        .args(command.split(' ').skip(1))
        .arg("-c")
        .arg(&path)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    wait::until("it to write again", || (rig.apply(&create("b.internal")).0 == 204).then_some(()));
}
