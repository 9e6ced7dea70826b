//! What a run says when the server's ACL lets it do only a part, and how it ends: real Knot, and BIND beside it.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::bind::Bind;
use support::knot::{Knot, Setup};
use support::parts;
use support::site::{self, Ran, Site};

/// A server whose only acl is for the key `operator`, with these lines.
fn limited(program: &parts::Program, acl: &str) -> Knot {
    let acl =
        acl.split("; ").fold("  - id: op\n    key: operator\n".to_owned(), |all, line| all + "    " + line + "\n");
    Knot::with(program, &Setup { acl: Some(("op".into(), acl)), ..Setup::default() })
}

fn said(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

/// Nothing may doubt the key once the server has answered with it.
fn doubts_no_key(text: &str) {
    for doubt in ["does not know", "does not accept", "BADKEY"] {
        assert!(!text.contains(doubt), "\"{doubt}\" in: {text}");
    }
}

#[test]
fn without_the_right_to_update_the_line_to_change_is_said_once() {
    let knots = ["knot", "knot-next"].map(parts::need);
    for program in knots.into_iter().flatten() {
        let knot = limited(&program, "action: transfer");
        let site = Site::new(knot.addr);
        site.put("a", "name: a.internal, a: [10.0.0.1]");
        let ran = site.apply(&[], 1);
        let text = said(&ran);
        assert_eq!(
            text.matches("add `update` to the action list of the acl with `key: operator`").count(),
            1,
            "{text}"
        );
        assert_eq!(text.matches("knows key operator").count(), 1, "{text}");
        assert!(
            text.contains("a.internal. A refused (UpdateRefused)") && text.contains("it refuses every update"),
            "{text}"
        );
        doubts_no_key(&text);
        let doctor = site.run(&["doctor"]);
        assert_eq!(doctor.code, 1);
        assert!(doctor.out.contains("FAIL zone internal: update: (UpdateRefused)"), "{}", doctor.out);
        assert_eq!(doctor.out.matches("add `update` to the action list").count(), 1, "{}", doctor.out);
        doubts_no_key(&doctor.out);
        // Of thousands a few are tried: where not even the fence can be written, nothing can.
        site.file("many.yaml", &site::many("many", 3000, 20));
        let ran = site.apply(&["-o", "json"], 1);
        assert_eq!(ran.out.matches("\"outcome\": \"refused\"").count(), 6, "{}", ran.err);
        assert_eq!(ran.out.matches("\"outcome\": \"waiting\"").count(), 2995, "{}", ran.err);
        let ran = site.apply(&[], 1);
        assert!(ran.out.matches("(UpdateRefused)").count() < 20, "{}", ran.out.matches("refused").count());
    }
}

#[test]
fn without_the_right_to_transfer_the_line_to_change_is_said() {
    let knots = ["knot", "knot-next"].map(parts::need);
    for program in knots.into_iter().flatten() {
        let knot = limited(&program, "action: update");
        let site = Site::new(knot.addr);
        site.put("a", "name: a.internal, a: [10.0.0.1]");
        // A zone that cannot be read is an error, for whatever reason.
        for ran in [site.apply(&[], 1), site.records_run(&["plan"]), site.run(&["doctor"])] {
            let text = said(&ran);
            assert_eq!(ran.code, 1, "{text}");
            assert!(text.contains("TransferRefused"), "{text}");
            assert_eq!(
                text.matches("add `transfer` to the action list of the acl with `key: operator`").count(),
                1,
                "{text}"
            );
            doubts_no_key(&text);
        }
    }
}

#[test]
fn a_wrong_key_is_still_told_from_a_missing_right() {
    let Some(program) = parts::need("knot") else { return };
    let knot = limited(&program, "action: [ update, transfer ]");
    // `other` has no acl; a key that the server has never heard of has not even a name there.
    let site = Site::new(knot.addr);
    site.config(&site.config_text().replace("name: operator", "name: nobody"));
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let text = said(&site.apply(&[], 1));
    assert!(text.contains("does not") && !text.contains("knows key"), "{text}");
}

#[test]
fn what_an_acl_by_type_or_name_refuses_is_named() {
    let knots = ["knot", "knot-next"].map(parts::need);
    for program in knots.into_iter().flatten() {
        let both = "action: [ update, transfer ]; ";
        let by_name = "update-owner: name; update-owner-match: equal; update-owner-name: ";
        for (rest, refused) in [
            ("update-type: [ A ]".to_owned(), "; it refuses TXT at _knotwork.a.internal"),
            ("update-type: [ TXT ]".to_owned(), "; it refuses A at a.internal"),
            ("update-type: [ MX ]".to_owned(), "; it refuses the set and its marker alike"),
            (format!("{by_name}[ a, _knotwork.a ]"), "; it refuses the fence, TXT at home._knotwork.internal"),
            (format!("{by_name}[ a, home._knotwork ]"), "; it refuses TXT at _knotwork.a.internal"),
        ] {
            let knot = limited(&program, &format!("{both}{rest}"));
            let site = Site::new(knot.addr);
            site.put("a", "name: a.internal, a: [10.0.0.1]");
            let before = site::zone(knot.addr, "internal");
            // Without the fence nothing at all can be written.
            let text = said(&site.apply(&[], if refused.contains("fence") { 1 } else { 3 }));
            assert!(text.contains(refused), "{rest}: {text}");
            assert_eq!(text.matches("; it refuses ").count(), 1, "{rest}: {text}");
            assert!(text.contains("add them to `update-type`") && !text.contains("action list"), "{rest}: {text}");
            doubts_no_key(&text);
            assert_eq!(site::zone(knot.addr, "internal"), before, "asking wrote something");
        }
    }
}

#[test]
fn one_refused_record_among_thousands_does_not_say_that_nothing_was_applied() {
    let many = |site: &Site| {
        site.file("many.yaml", &site::many("many", 5000, 20));
        site.put("mx", "name: mail.internal, mx: [{preference: 10, exchange: a.internal}]");
    };
    let judge = |ran: &Ran| {
        let text = said(ran);
        assert!(text.contains("5000 created, 1 not done"), "{}", ran.err);
        let line = text.lines().find(|line| line.contains("refused (UpdateRefused)")).expect("the refusal");
        assert!(
            line.contains("! mail.internal. MX refused") && line.contains("it refuses MX at mail.internal"),
            "{line}"
        );
        assert!(!text.to_lowercase().contains("nothing was applied"), "{line}");
    };
    if let Some(program) = parts::need("knot") {
        let knot = limited(&program, "action: [ update, transfer ]; update-type: [ A, TXT ]");
        let site = Site::new(knot.addr);
        many(&site);
        judge(&site.apply(&[], 3));
        assert_eq!(site::zone(knot.addr, "internal").iter().filter(|line| line.starts_with("many")).count(), 5000);
    }
    if let Some(program) = parts::need("bind") {
        let bind = Bind::with(&program, "update-policy { grant operator zonesub A TXT; };");
        let site = Site::new(bind.addr);
        many(&site);
        judge(&site.apply(&[], 3));
    }
}

/// BIND answers with its rights before it looks at prerequisites, as Knot does: so the halves of a unit can be asked about
/// without writing anything. (A server of the other order seems to allow everything; then nothing is named.)
#[test]
fn what_bind_refuses_is_named() {
    let Some(program) = parts::need("bind") else { return };
    for (policy, refused) in [
        ("grant operator zonesub A;", "; it refuses TXT at _knotwork.a.internal"),
        ("grant operator zonesub TXT;", "; it refuses A at a.internal"),
        ("grant operator zonesub MX;", "; it refuses the set and its marker alike"),
        ("grant operator name a.internal ANY; grant operator name _knotwork.a.internal ANY;", "; it refuses the fence"),
        ("grant other zonesub ANY;", "; it refuses"),
    ] {
        let bind = Bind::with(&program, &format!("update-policy {{ {policy} }};"));
        let site = Site::new(bind.addr);
        site.put("a", "name: a.internal, a: [10.0.0.1]");
        let before = site::zone(bind.addr, "internal");
        // It takes an empty update from anybody, so of the last one it cannot be told whether it would take other names.
        let ran = site.apply(&[], if refused.contains("fence") { 1 } else { 3 });
        let text = said(&ran);
        let doctor = site.run(&["doctor"]).out;
        assert_eq!(doctor.contains("update allowed for TXT\n"), policy == "grant operator zonesub TXT;", "{doctor}");
        assert!(doctor.contains("update not allowed for "), "{doctor}");
        assert!(text.contains(refused), "{policy}: {text}");
        assert_eq!(site::zone(bind.addr, "internal"), before, "asking wrote something");
    }
}

/// Rules by name: however many sets are refused, and wherever they stand, the others of the same type are published, by one
/// run, and without a message after the other for each that is not.
#[test]
fn refused_sets_stop_no_good_set_of_their_type() {
    let set = |label: &str, net: u8, n: usize| {
        let spec = format!("name: {label}{n}.internal, a: [10.{net}.{}.{}]", n / 250, n % 250);
        site::manifest(&format!("{label}{n}").replace('.', "-"), &spec)
    };
    for program in ["knot", "knot-next"].map(parts::need).into_iter().flatten() {
        let by_name = "action: [ update, transfer ]; update-owner: name; update-owner-match: sub-or-equal; \
                       update-owner-name: [ _knotwork, mid ]";
        // Names sort by their last label first: these stand before and behind those in `mid`.
        for (front, back, good) in [(5, 0, 40), (6, 0, 40), (60, 60, 40), (0, 7, 1), (2500, 2500, 1), (300, 0, 5000)] {
            let knot = limited(&program, by_name);
            let site = Site::new(knot.addr);
            let refused = (0..front).map(|n| set("aa", 21, n)).chain((0..back).map(|n| set("zz", 22, n)));
            let good_ones: String = (0..good)
                .map(|n| {
                    let spec = format!("name: x{n}.mid.internal, a: [10.23.{}.{}]", n / 250, n % 250);
                    site::manifest(&format!("x{n}"), &spec)
                })
                .collect();
            site.file("all.yaml", &(refused.collect::<String>() + &good_ones));
            let since = std::time::Instant::now();
            let ran = site.apply(&[], 3);
            let took = since.elapsed();
            println!("{front} and {back} refused around {good}: {took:?}");
            let published = site::zone(knot.addr, "internal").iter().filter(|line| line.contains(" A 10.23.")).count();
            assert_eq!(published, good, "{front} and {back} refused: {}", ran.err);
            assert!(said(&ran).contains(&format!("{good} created, {} not done", front + back)), "{}", ran.err);
            assert!(ran.out.lines().filter(|line| line.contains("(UpdateRefused)")).count() < 20, "{}", ran.out);
            // What many share is said once; which ones they are, each says itself, and not that it was created.
            if front == 2500 {
                let refused = |line: &&str| line.starts_with("  + ") && line.ends_with(" [refused]");
                assert!(ran.out.lines().filter(refused).count() > 50, "{}", ran.out);
                assert!(ran.out.contains(" of these (A): refused"), "{}", ran.out);
            }
            assert!(took < std::time::Duration::from_secs(60), "{took:?}");
        }
    }
}

/// A type that the server does not take holds up no other type at the name, neither of the same object nor of another.
#[test]
fn a_refused_type_holds_up_nothing_else_at_its_name() {
    let judge = |site: &Site, addr| {
        site.put("a", "name: shared.internal, a: [10.0.0.1], mx: [{preference: 10, exchange: a.internal}]");
        site.put("b", "name: shared.internal, aaaa: [\"fd00::1\"], txt: [hello]");
        site.put("c", "name: internal, caa: [{flags: 0, tag: issue, value: ca.example}], txt: [apex]");
        let ran = site.apply(&[], 3);
        let text = said(&ran);
        let zone = site::zone(addr, "internal").join("\n");
        for there in ["10.0.0.1", "hello", "apex"] {
            assert!(zone.contains(there), "{there}: {text}{zone}");
        }
        for refused in ["MX at shared", "AAAA at shared", "CAA at internal"] {
            assert!(text.contains(&format!("it refuses {refused}")), "{refused}: {text}");
        }
        assert!(text.contains("3 created, 3 not done"), "{text}");
        assert_eq!(zone.matches("resource=staticdnsrecord").count(), 3, "a marker without its set: {zone}");
        // Again: the refused ones are refused again, and nothing else happens.
        let ran = site.apply(&[], 3);
        assert!(said(&ran).contains("3 not done"), "{}", said(&ran));
        assert_eq!(site::zone(addr, "internal").join("\n"), zone);
    };
    for program in ["knot", "knot-next"].map(parts::need).into_iter().flatten() {
        let knot = limited(&program, "action: [ update, transfer ]; update-type: [ A, TXT ]");
        judge(&Site::new(knot.addr), knot.addr);
        // Of thousands of names with both, a few messages tell.
        let site = Site::new(knot.addr);
        let both: String = (0..3000)
            .map(|n| {
                site::manifest(
                    &format!("both{n}"),
                    &format!("name: both{n}.internal, a: [10.1.2.3], aaaa: [\"fd00::2\"]"),
                )
            })
            .collect();
        site.file("both.yaml", &both);
        let ran = site.apply(&["-o", "json"], 3);
        assert_eq!(ran.out.matches("\"outcome\": \"refused\"").count(), 3000, "{}", ran.err);
        assert_eq!(site::zone(knot.addr, "internal").iter().filter(|line| line.starts_with("both")).count(), 3000);
    }
    if let Some(program) = parts::need("bind") {
        let bind = Bind::with(&program, "update-policy { grant operator zonesub A TXT; };");
        judge(&Site::new(bind.addr), bind.addr);
    }
}
