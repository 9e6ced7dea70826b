//! What a webhook keeps up beyond single requests, on a real Knot: PTRs, sealed marks, former owners, its configuration and
//! the memory of its brake.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::wait;
use support::webhook::{OWN, Rig, http, mark, mark_of, record};

const REVERSE: &str = "10.in-addr.arpa";

/// With the property that asks for PTRs.
fn pointed(mut record: Value, value: &str) -> Value {
    record["providerSpecific"] = json!([{"name": "webhook/ptr", "value": value}]);
    record
}

#[test]
fn ptrs_follow_their_addresses_and_nobody_elses_go() {
    let Some(mut rig) = Rig::with_zones("owner: me", &[REVERSE], &[]) else { return };
    rig.nsupdate(REVERSE, &["add 9.0.0.10.in-addr.arpa 300 PTR person.internal."]);
    let www = pointed(record("www.internal", "A", &["10.0.0.1", "10.0.0.9", "192.0.2.1"]), "true");
    // The wish stays with the endpoint, so that ExternalDNS sees no difference.
    let adjusted = rig.adjust(&json!([www, record("plain.internal", "A", &["10.0.0.2"])]));
    assert_eq!(adjusted[0]["providerSpecific"], json!([{"name": "webhook/ptr", "value": "true"}]));
    assert_eq!(adjusted[1]["providerSpecific"], Value::Null);
    let plain = record("plain.internal", "A", &["10.0.0.2"]);
    let create = json!({"create": [www, mark("www.internal", "A"), plain, mark("plain.internal", "A")]});
    assert_eq!(rig.apply(&create), (204, String::new()));
    rig.until("1.0.0.10.in-addr.arpa", "PTR", &["www.internal."]);
    let shown = rig.list().into_iter().find(|one| one["dnsName"] == "www.internal").unwrap();
    assert_eq!(shown["providerSpecific"], adjusted[0]["providerSpecific"], "{shown}");
    wait::until("the conflict to be counted", || {
        rig.metrics().contains(r#"knotwork_webhook_ptrs{zone="10.in-addr.arpa",state="conflict"} 1"#).then_some(())
    });
    assert_eq!(rig.dig("9.0.0.10.in-addr.arpa", "PTR"), ["person.internal."]);
    assert!(rig.dig("2.0.0.10.in-addr.arpa", "PTR").is_empty(), "nobody asked for it");
    let marker = rig.dig("_knotwork.1.0.0.10.in-addr.arpa", "TXT").join("");
    assert!(marker.contains("owner=me-ptr") && marker.contains("externaldns/me/www.internal"), "{marker}");
    // An update moves it.
    let moved = pointed(record("www.internal", "A", &["10.0.0.3"]), "true");
    let update =
        json!({"updateOld": [www, mark("www.internal", "A")], "updateNew": [moved, mark("www.internal", "A")]});
    assert_eq!(rig.apply(&update).0, 204);
    rig.until("3.0.0.10.in-addr.arpa", "PTR", &["www.internal."]);
    rig.until("1.0.0.10.in-addr.arpa", "PTR", &[]);
    // A new process knows all that from the zones; what somebody else takes out of the forward zone goes as well.
    rig.serve(&[]);
    rig.nsupdate("internal", &["delete www.internal A"]);
    rig.until("3.0.0.10.in-addr.arpa", "PTR", &[]);
    assert_eq!(rig.dig("9.0.0.10.in-addr.arpa", "PTR"), ["person.internal."]);
}

#[test]
fn ptrs_by_default_where_the_endpoint_does_not_say_no() {
    let Some(rig) = Rig::with_zones("owner: me, ptr: true", &[REVERSE], &[]) else { return };
    let no = pointed(record("no.internal", "A", &["10.0.0.2"]), "false");
    let adjusted = rig.adjust(&json!([record("yes.internal", "A", &["10.0.0.1"]), no]));
    assert_eq!(adjusted[0]["providerSpecific"][0]["value"], "true");
    assert_eq!(adjusted[1]["providerSpecific"], Value::Null);
    let mut all: Vec<Value> = adjusted;
    all.extend([mark("yes.internal", "A"), mark("no.internal", "A")]);
    assert_eq!(rig.apply(&json!({"create": all})).0, 204);
    rig.until("1.0.0.10.in-addr.arpa", "PTR", &["yes.internal."]);
    assert!(rig.dig("2.0.0.10.in-addr.arpa", "PTR").is_empty());
    let delete = json!({"delete": [record("yes.internal", "A", &["10.0.0.1"]), mark("yes.internal", "A")]});
    assert_eq!(rig.apply(&delete).0, 204);
    rig.until("1.0.0.10.in-addr.arpa", "PTR", &[]);
}

const KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// An ownership TXT as ExternalDNS encrypts it.
fn sealed(name: &str, owner: &str, nonce: u8) -> Value {
    use base64::Engine as _;
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let text = format!("heritage=external-dns,external-dns/owner={owner},external-dns/resource=service/default/www");
    packer.write_all(text.as_bytes()).unwrap();
    let mut packed = packer.finish().unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, KEY).unwrap());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([nonce; 12]), Aad::empty(), &mut packed).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode([&[nonce; 12][..], &packed].concat());
    json!({"dnsName": format!("edns-a-{name}"), "recordType": "TXT", "targets": [format!("\"{text}\"")],
        "labels": {"ownedRecord": name}})
}

#[test]
fn sealed_marks_are_read_with_their_key_and_refused_without() {
    let Some(mut rig) = Rig::start() else { return };
    let create =
        |nonce| json!({"create": [record("www.internal", "A", &["10.0.0.1"]), sealed("www.internal", "me", nonce)]});
    let (status, words) = rig.apply(&create(1));
    assert!(status == 500 && words.contains("txtEncryptKeyFile"), "{status} {words}");
    assert!(rig.dig("www.internal", "A").is_empty(), "nobody could ever tell whose it is");
    std::fs::write(rig.dir.path().join("aes"), KEY).unwrap();
    rig.configure("owner: me, txtEncryptKeyFile: aes", &[]);
    rig.serve(&[]);
    assert_eq!(rig.apply(&create(1)), (204, String::new()));
    let (serial, text) = (rig.serial(), rig.dig("edns-a-www.internal", "TXT"));
    assert!(!text.join("").contains("owner"), "{text:?}");
    // Encrypted anew it says the same: nothing is sent.
    assert_eq!(rig.apply(&create(2)).0, 204);
    assert_eq!((rig.serial(), rig.dig("edns-a-www.internal", "TXT")), (serial, text));
    let (status, words) =
        rig.apply(&json!({"create": [record("b.internal", "A", &["10.0.0.1"]), sealed("b.internal", "other", 3)]}));
    assert!(status == 500 && words.contains("OwnerMismatch"), "{words}");
    assert!(rig.list().iter().any(|one| one["dnsName"] == "edns-a-www.internal"), "its registry finds it");
    let delete = json!({"delete": [record("www.internal", "A", &["10.0.0.1"]), sealed("www.internal", "me", 4)]});
    assert_eq!(rig.apply(&delete), (204, String::new()));
    assert!(rig.dig("www.internal", "A").is_empty() && rig.dig("edns-a-www.internal", "TXT").is_empty());
}

#[test]
fn sets_of_a_former_owner_become_its_own() {
    let Some(rig) = Rig::with("owner: me, migrateFrom: [old]", &[]) else { return };
    for (name, owner) in [("one", "old"), ("two", "old"), ("theirs", "else")] {
        rig.nsupdate("internal", &[
            &format!("add {name}.internal 60 A 10.0.0.1"),
            &format!("add edns-a-{name}.internal 60 TXT \"heritage=external-dns,external-dns/owner={owner},external-dns/resource=service/default/www\""),
        ]);
    }
    let shown = |rig: &Rig, name: &str| {
        let list = rig.list();
        let found = list.iter().find(|one| one["dnsName"] == format!("edns-a-{name}.internal"));
        found.unwrap()["targets"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(&rig, "one"), OWN, "what it took for another's it would leave alone");
    assert!(shown(&rig, "theirs").contains("owner=else"));
    let wishes = json!([record("one.internal", "A", &["10.0.0.1"]), record("theirs.internal", "A", &["10.0.0.1"])]);
    let adjusted = rig.adjust(&wishes);
    let remark = json!([{"name": "webhook/knotwork-remark", "value": "true"}]);
    assert_eq!((&adjusted[0]["providerSpecific"], &adjusted[1]["providerSpecific"]), (&remark, &Value::Null));
    // Which makes an update of it, once.
    let update = json!({"updateOld": [wishes[0], mark("one.internal", "A")], "updateNew": [adjusted[0], mark("one.internal", "A")]});
    assert_eq!(rig.apply(&update), (204, String::new()));
    assert_eq!(rig.dig("edns-a-one.internal", "TXT"), [OWN]);
    assert_eq!(rig.adjust(&wishes)[0]["providerSpecific"], Value::Null);
    // What is not wished any more goes.
    let delete = json!({"delete": [record("two.internal", "A", &["10.0.0.1"]), mark("two.internal", "A")]});
    assert_eq!(rig.apply(&delete), (204, String::new()));
    assert!(rig.dig("two.internal", "A").is_empty() && rig.dig("edns-a-two.internal", "TXT").is_empty());
}

/// The port stays open and answers nothing at which ExternalDNS ends; a bad version changes nothing.
#[test]
fn the_configuration_is_read_again() {
    let Some(rig) = Rig::start() else { return };
    std::fs::write(rig.dir.path().join("knotwork.yaml"), "owner: home\nwebhok: {}\n").unwrap();
    wait::until("the bad version to be refused", || {
        rig.metrics().contains("knotwork_webhook_config_refused_total 1\n").then_some(())
    });
    let theirs = |name: &str, owner: &str| {
        let mut one = record(name, "A", &["10.0.0.1"]);
        one["labels"]["owner"] = json!(owner);
        json!({"create": [one, mark_of(name, "A", owner)]})
    };
    assert_eq!(rig.apply(&theirs("a.internal", "me")).0, 204);
    assert_eq!(rig.apply(&theirs("b.internal", "new")).0, 500);
    rig.configure("owner: new", &[]);
    wait::until("the new version to be in force", || {
        let (status, words) = rig.apply(&theirs("b.internal", "new"));
        assert!([204, 500, 503].contains(&status), "{status} {words}");
        let (status, ..) = rig.get(rig.port, "/records");
        assert!([200, 503].contains(&status), "{status}");
        (rig.dig("b.internal", "A") == ["10.0.0.1"]).then_some(())
    });
    assert_eq!(
        rig.apply(&json!({"delete": [record("a.internal", "A", &["10.0.0.1"]), mark("a.internal", "A")]})).0,
        500
    );
    assert_eq!(rig.dig("a.internal", "A"), ["10.0.0.1"], "that was the old owner's");
}

/// A restart is no way around the brake.
#[test]
fn the_brake_remembers_over_a_restart() {
    let Some(mut rig) = Rig::with("owner: me, stateFile: state.json", &[]) else { return };
    let all: Vec<String> = (0..40).map(|n| format!("n{n}.internal")).collect();
    let of = |names: &[String]| -> Vec<Value> {
        names.iter().flat_map(|name| [record(name, "A", &["10.0.0.1"]), mark(name, "A")]).collect()
    };
    assert_eq!(rig.apply(&json!({"create": of(&all)})).0, 204);
    assert_eq!(rig.apply(&json!({"delete": of(&all[..12])})).0, 204, "30 % of 40");
    rig.serve(&[]);
    let (status, words) = rig.apply(&json!({"delete": of(&all[12..17])}));
    assert!(status == 503 && words.contains("5 deletes are held"), "{status} {words}");
    rig.serve(&[]);
    assert_eq!(rig.apply(&json!({"delete": of(&all[12..17])})).0, 503, "nor are two");
    assert_eq!(rig.dig("n13.internal", "A"), ["10.0.0.1"]);
    let (status, ..) = http(rig.port, "GET", "/records", "");
    assert_eq!(status, 200);
}
