//! Names, sizes, reverse names, sharing, adoption and neighbours.

use super::world::World;

/// Apex, long names, IDN, letter case, zones inside zones.
pub fn names(world: &mut World) {
    world
        .put("apex", "name: internal\nmx: [{preference: 10, exchange: mail.internal}]\ntxt: [\"v=spf1 mx -all\"]")
        .step("apex MX and TXT", &["internal. 300 MX 10 mail.internal.", "internal. 300 TXT \"v=spf1 mx -all\""]);
    world
        .put("apex", "name: \"@\"\nzone: internal\nmx: [{preference: 20, exchange: mail.internal}]")
        .step("apex by @", &["internal. 300 MX 20 mail.internal.", "! internal. 300 TXT"]);
    world.cut("apex");
    world.step("apex deleted, SOA and NS stay", &["! internal. 300 MX"]);
    // BIND takes no apex NS whose name in the zone has no address.
    world.put("ns1a", "name: ns1.internal\na: [10.2.9.1]").put("ns2a", "name: ns2.internal\na: [10.2.9.2]");
    world.step("addresses of name servers", &["ns1.internal. 300 A 10.2.9.1", "ns2.internal. 300 A 10.2.9.2"]);
    world
        .put("apexns", "name: internal\nadopt: Takeover\nns: [ns0.internal, ns1.internal]")
        .step("apex NS claimed, one added", &["internal. 300 NS ns0.internal.", "internal. 300 NS ns1.internal."]);
    world
        .put("apexns", "name: internal\nns: [ns2.internal, ns1.internal]")
        .step("apex NS, one swapped", &["internal. 300 NS ns2.internal.", "internal. 300 NS ns1.internal."]);
    world
        .put("apexns", "name: internal\nns: [ns0.internal]")
        .step("apex NS, all swapped", &["internal. 300 NS ns0.internal."]);
    // The last apex NS can never go: what remains of the claim is its marker, which is removed.
    world
        .put("apexns", "name: internal\nns: [ns0.internal]\ndeletionPolicy: Retain")
        .step("apex NS retained", &["internal. 300 NS ns0.internal."]);
    world.cut("apexns").cut("ns1a").cut("ns2a");
    world.step("apex NS let go", &["internal. 300 NS ns0.internal."]);

    let label = "x".repeat(63);
    let long = format!("{label}.internal");
    world
        .put("l", &format!("name: {long}\na: [10.2.0.1]"))
        .step("63-byte label", &[&format!("{long}. 300 A 10.2.0.1")]);
    // 245 octets in wire form: 3 × 64 + 43 + 9 + 1.
    let name = format!("{label}.{label}.{label}.{}.internal", "y".repeat(42));
    world
        .put("l", &format!("name: {name}\na: [10.2.0.2]"))
        .step("name of 245 octets", &[&format!("{name}. 300 A 10.2.0.2"), &format!("! {long}. ")]);
    world.put("m", &format!("name: {label}.{label}.{label}.{}.internal\na: [10.2.0.3]", "y".repeat(43)));
    let said = world.step_code("name of 246 octets is refused", 3, &[&format!("{name}. 300 A 10.2.0.2")]);
    assert!(said.contains("245"), "the limit is named: {said}");
    world.cut("l").cut("m");
    world.step("long names deleted", &[&format!("! {name}. ")]);

    world.put("idn", "name: b\u{fc}cher.internal\na: [10.2.0.4]\ntxt: [\"gr\u{fc}\u{df}e\"]").step(
        "IDN",
        &["xn--bcher-kva.internal. 300 A 10.2.0.4", "xn--bcher-kva.internal. 300 TXT \"gr\\195\\188\\195\\159e\""],
    );
    world.put("idn", "name: XN--BCHER-KVA.Internal.\na: [10.2.0.4]").step(
        "the same as A-label, other case",
        &["xn--bcher-kva.internal. 300 A 10.2.0.4", "! xn--bcher-kva.internal. 300 TXT"],
    );
    world.cut("idn");
    world
        .put("us", "name: _dmarc.internal\ntxt: [\"v=DMARC1; p=none\"]")
        .step("underscore", &["_dmarc.internal. 300 TXT \"v=DMARC1; p=none\"", "! xn--bcher-kva.internal. "]);
    world.cut("us");
    world
        .put("star", "name: \"*.internal\"\na: [10.2.0.5]")
        .step("wildcard right below the apex", &["*.internal. 300 A 10.2.0.5"]);
    world.cut("star");
    world
        .put("inner", "name: bucket.s3.garage.internal\na: [10.2.0.6]")
        .step("longest zone wins", &["bucket.s3.garage.internal. 300 A 10.2.0.6"]);
    world
        .put("inner", "name: bucket2.garage.internal\na: [10.2.0.6]")
        .step("beside the inner zone", &["bucket2.garage.internal. 300 A 10.2.0.6", "! bucket.s3.garage.internal. "]);
    world.cut("inner");
    world
        .put("ent", "name: a.b.c.d.internal\na: [10.2.0.7]")
        .step("empty non-terminals", &["a.b.c.d.internal. 300 A 10.2.0.7"]);
    world
        .put("ent2", "name: b.c.d.internal\na: [10.2.0.8]")
        .step("an empty non-terminal filled", &["b.c.d.internal. 300 A 10.2.0.8", "a.b.c.d.internal. 300 A 10.2.0.7"]);
    world.cut("ent").cut("ent2");
    world.step("all gone", &["! a.b.c.d.internal. ", "! b.c.d.internal. "]);
}

/// Big sets and long texts.
pub fn sizes(world: &mut World) {
    let addresses =
        |from: usize, to: usize| (from..to).map(|i| format!("10.5.{}.{}", i / 250, i % 250)).collect::<Vec<_>>();
    let lines = |list: &[String]| list.iter().map(|ip| format!("big.internal. 300 A {ip}")).collect::<Vec<_>>();
    for (title, from, to) in [("500 addresses", 0, 500), ("half of them others", 250, 750), ("down to 100", 700, 800)] {
        let list = addresses(from, to);
        world.put("big", &format!("name: big.internal\na: [{}]", list.join(", ")));
        let expect = lines(&list);
        world.step(title, &expect.iter().map(String::as_str).collect::<Vec<_>>());
    }
    world.cut("big");
    let text = "t".repeat(700);
    world.put("txt", &format!("name: long.internal\ntxt: [{text}]")).step(
        "TXT of 700 bytes in three strings",
        &[&format!("long.internal. 300 TXT \"{}\" \"{}\" \"{}\"", "t".repeat(255), "t".repeat(255), "t".repeat(190))],
    );
    world
        .put("txt", "name: long.internal\nother: [{type: TXT, rdata: ['\"ab\" \"cd\"']}]")
        .step("TXT with a fixed split", &["long.internal. 300 TXT \"ab\" \"cd\""]);
    world.cut("txt");
    // A set whose replacement (values as seen, values out, values in) fills a message nearly to 65,535 octets.
    let values = |letter: char, n: usize| {
        (0..n).map(|i| format!("\"{i:02}{}\"", letter.to_string().repeat(490))).collect::<Vec<_>>().join(", ")
    };
    world
        .put("huge", &format!("name: huge.internal\ntxt: [{}]", values('a', 41)))
        .step("a set whose replacement needs nearly a whole message", &[]);
    world.put("huge", &format!("name: huge.internal\ntxt: [{}]", values('b', 41))).step("replaced in one message", &[]);
    world.put("huge", &format!("name: huge.internal\ntxt: [{}]", values('b', 42)));
    let said = world.step_code("one value more could never be replaced again", 3, &[]);
    assert!(said.contains("Incompatible"), "{said}");
    world.cut("huge");
    world.step("deleted", &["! huge.internal. "]);
}

/// PTR records made by `reverse: true`.
pub fn reverse(world: &mut World) {
    world.put("r", "name: host.internal\na: [10.3.0.1]\naaaa: [\"fd00::31\"]\nreverse: true").step(
        "PTRs of both families",
        &[
            "host.internal. 300 A 10.3.0.1",
            "1.0.3.10.in-addr.arpa. 300 PTR host.internal.",
            "1.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 300 PTR host.internal.",
        ],
    );
    world.put("r", "name: host.internal\na: [10.3.0.2]\nreverse: true").step(
        "the address moves, its PTR too",
        &["2.0.3.10.in-addr.arpa. 300 PTR host.internal.", "! 1.0.3.10.in-addr.arpa. "],
    );
    world.put("r2", "name: zz.internal\na: [10.3.0.2]\nreverse: true");
    let said = world.step_code(
        "two names on one address: one PTR",
        3,
        &["2.0.3.10.in-addr.arpa. 300 PTR host.internal.", "zz.internal. 300 A 10.3.0.2"],
    );
    assert!(said.contains("NameClaimed"), "{said}");
    world.cut("r");
    world.step("the loser heals", &["2.0.3.10.in-addr.arpa. 300 PTR zz.internal.", "! host.internal. "]);
    world
        .put("r2", "name: zz.internal\na: [10.3.0.2]")
        .step("no reverse any more", &["! 2.0.3.10.in-addr.arpa. ", "zz.internal. 300 A 10.3.0.2"]);
    world.put("r2", "name: zz.internal\na: [192.0.2.1]\nreverse: true");
    world.step("an address without a reverse zone of ours", &["zz.internal. 300 A 192.0.2.1"]);
    world.put("r2", "name: zz.internal\na: [10.0.7.7]\nreverse: true");
    world.step_code(
        "never over a foreign PTR",
        3,
        &["zz.internal. 300 A 10.0.7.7", "7.7.0.10.in-addr.arpa. 600 PTR printer.internal."],
    );
    world.cut("r2");
    world.step("all gone", &["! zz.internal. "]);
}

/// Objects among themselves.
pub fn objects(world: &mut World) {
    world.put("a", "name: same.internal\na: [10.4.0.1]").put("b", "name: same.internal\na: [10.4.0.2]");
    let said = world.step_code("two objects, one name: the first by name", 3, &["same.internal. 300 A 10.4.0.1"]);
    assert!(said.contains("NameClaimed") && said.contains("dns/a"), "the winner is named: {said}");
    world.cut("a");
    world.step("the other heals when it goes", &["same.internal. 300 A 10.4.0.2"]);
    world.put("a", "name: same.internal\na: [10.4.0.1]");
    world.step_code("the marker decides from now on", 3, &["same.internal. 300 A 10.4.0.2"]);
    world.cut("a");
    world.put("c", "name: same.internal\naaaa: [\"fd00::41\"]").step(
        "another type of another object beside it",
        &["same.internal. 300 A 10.4.0.2", "same.internal. 300 AAAA fd00::41"],
    );
    world.cut("b").cut("c");
    world.step("gone", &["! same.internal. "]);

    world
        .put("s1", "name: pool.internal\nshare: true\na: [10.4.1.1, 10.4.1.2]")
        .step("a shared set of one", &["pool.internal. 300 A 10.4.1.1", "pool.internal. 300 A 10.4.1.2"]);
    world.put("s2", "name: pool.internal\nshare: true\na: [10.4.1.2, 10.4.1.3]").step(
        "a second member",
        &["pool.internal. 300 A 10.4.1.1", "pool.internal. 300 A 10.4.1.2", "pool.internal. 300 A 10.4.1.3"],
    );
    world.cut("s1");
    world.step(
        "the first leaves: what only it listed goes",
        &["pool.internal. 300 A 10.4.1.2", "pool.internal. 300 A 10.4.1.3"],
    );
    world
        .put("s2", "name: pool.internal\nshare: true\na: [10.4.1.4]")
        .step("the other changes its mind", &["pool.internal. 300 A 10.4.1.4"]);
    world.cut("s2");
    world.step("the last leaves", &["! pool.internal. "]);

    world
        .put("k", "name: keep.internal\na: [10.4.2.1]\ndeletionPolicy: Retain")
        .step("Retain", &["keep.internal. 300 A 10.4.2.1"]);
    world.cut("k");
    world.step(
        "its object goes, the record stays, the marker goes",
        &["keep.internal. 300 A 10.4.2.1", "! _knotwork.keep.internal. "],
    );
    world
        .put("k", "name: keep.internal\na: [10.4.2.1]")
        .step("taken back as identical", &["keep.internal. 300 A 10.4.2.1"]);
    world.cut("k");
    world.step("and deleted", &["! keep.internal. "]);
    world.put("ren", "name: old.internal\na: [10.4.3.1]").step("before the rename", &["old.internal. 300 A 10.4.3.1"]);
    world
        .put("ren", "name: new.internal\na: [10.4.3.1]")
        .step("rename", &["new.internal. 300 A 10.4.3.1", "! old.internal. "]);
    world
        .put("ren", "name: new.s3.garage.internal\na: [10.4.3.1]")
        .step("into another zone", &["new.s3.garage.internal. 300 A 10.4.3.1", "! new.internal. "]);
    world.cut("ren");
    world.step("gone", &["! new.s3.garage.internal. "]);
}

/// Other writers at the names that are declared, and drift.
pub fn neighbours(world: &mut World) {
    for (object, name, owner) in [("p", "lease1", "dhcp"), ("p", "web", "k8s"), ("p", "nixhost", "routy")] {
        world.put(object, &format!("name: {name}.internal\na: [10.6.0.1]\nadopt: Takeover"));
        let said = world.step_code(
            &format!("{name} belongs to another writer"),
            3,
            &[&format!("! {name}.internal. 300 A 10.6.0.1")],
        );
        assert!(said.contains("OwnedByOther") && said.to_lowercase().contains(owner), "whose it is: {said}");
        world.put(object, &format!("name: {name}.internal\ntxt: [x]"));
        world.step_code(&format!("nor another type beside {name}"), 3, &[&format!("! {name}.internal. 300 TXT")]);
        world.cut(object);
    }
    world.put("p", "name: printer.internal\na: [10.6.0.1]");
    world.step_code("an unmarked name that differs", 3, &["printer.internal. 600 A 10.0.7.7"]);
    world.cut("p");

    world.nsupdate("internal", "update add drift.internal. 300 A 10.6.1.1\n");
    world.put("d", "name: drift.internal\na: [10.6.1.2]\nadopt: Never");
    world.step_code("unmarked, Never", 3, &["drift.internal. 300 A 10.6.1.1"]);
    world.put("d", "name: drift.internal\na: [10.6.1.1]\nadopt: Never");
    world.step_code("identical, Never", 3, &["drift.internal. 300 A 10.6.1.1", "! _knotwork.drift.internal. "]);
    world.put("d", "name: drift.internal\na: [10.6.1.2]").step_code(
        "different, IfIdentical",
        3,
        &["drift.internal. 300 A 10.6.1.1"],
    );
    world
        .put("d", "name: drift.internal\na: [10.6.1.1]")
        .step("identical, IfIdentical", &["drift.internal. 300 A 10.6.1.1"]);
    world.put("d", "name: drift.internal\na: [10.6.1.2]").step("ours by now", &["drift.internal. 300 A 10.6.1.2"]);
    world.nsupdate("internal", "update delete drift.internal. A\nupdate add drift.internal. 300 A 10.6.1.9\n");
    world.step("a value changed by a person is repaired", &["drift.internal. 300 A 10.6.1.2"]);
    world.nsupdate("internal", "update add drift.internal. 300 A 10.6.1.9\n");
    world.step("a value added is removed", &["drift.internal. 300 A 10.6.1.2"]);
    world.nsupdate("internal", "update delete drift.internal. A\n");
    world.step("a set removed comes back", &["drift.internal. 300 A 10.6.1.2"]);
    world.nsupdate("internal", "update delete drift.internal. A\nupdate add drift.internal. 999 A 10.6.1.2\n");
    world.step("a TTL changed is repaired", &["drift.internal. 300 A 10.6.1.2"]);
    world.nsupdate("internal", "update delete drift.internal. A\nupdate add drift.internal. 300 A 10.6.1.7\n");
    world.cut("d");
    world.step(
        "changed by others when its object goes: only the marker goes",
        &["drift.internal. 300 A 10.6.1.7", "! _knotwork.drift.internal. "],
    );
    world
        .put("d", "name: drift.internal\na: [10.6.1.3]\nadopt: Takeover")
        .step("takeover", &["drift.internal. 300 A 10.6.1.3"]);
    world.cut("d");
    world.step("gone", &["! drift.internal. "]);
}
