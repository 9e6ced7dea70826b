//! Every record type through its whole life, at four kinds of places.

use super::world::World;

/// One type: the spec lines for one, two and other values (at TTL 300), and the values as `dig` prints them.
struct Kind {
    rtype: &'static str,
    one: (&'static str, &'static [&'static str]),
    two: (&'static str, &'static [&'static str]),
    other: (&'static str, &'static [&'static str]),
}

const KINDS: &[Kind] = &[
    Kind {
        rtype: "A",
        one: ("a: [10.1.0.1]", &["10.1.0.1"]),
        two: ("a: [10.1.0.1, 10.1.0.2]", &["10.1.0.1", "10.1.0.2"]),
        other: ("a: [10.1.0.3]", &["10.1.0.3"]),
    },
    Kind {
        rtype: "AAAA",
        one: ("aaaa: [\"FD00:0:0::0001\"]", &["fd00::1"]),
        two: ("aaaa: [\"fd00::1\", \"fd00::2\"]", &["fd00::1", "fd00::2"]),
        other: ("aaaa: [\"fd00::3\"]", &["fd00::3"]),
    },
    Kind {
        rtype: "TXT",
        one: ("txt: [\"v=spf1 -all\"]", &["\"v=spf1 -all\""]),
        two: ("txt: [\"v=spf1 -all\", 'semi;colon \"quoted\"']", &["\"v=spf1 -all\"", "\"semi;colon \\\"quoted\\\"\""]),
        other: ("txt: [\"back\\\\slash\"]", &["\"back\\\\slash\""]),
    },
    Kind {
        rtype: "MX",
        one: ("mx: [{preference: 10, exchange: mail.internal}]", &["10 mail.internal."]),
        two: (
            "mx: [{preference: 10, exchange: mail.internal}, {preference: 20, exchange: backup.example.com.}]",
            &["10 mail.internal.", "20 backup.example.com."],
        ),
        other: ("mx: [{preference: 5, exchange: mail.internal}]", &["5 mail.internal."]),
    },
    Kind {
        rtype: "SRV",
        one: ("srv: [{priority: 0, weight: 5, port: 5060, target: sip.internal}]", &["0 5 5060 sip.internal."]),
        two: (
            "srv: [{priority: 0, weight: 5, port: 5060, target: sip.internal}, {priority: 1, weight: 5, port: 5060, target: sip2.internal}]",
            &["0 5 5060 sip.internal.", "1 5 5060 sip2.internal."],
        ),
        other: ("srv: [{priority: 0, weight: 0, port: 443, target: sip.internal}]", &["0 0 443 sip.internal."]),
    },
    Kind {
        rtype: "CAA",
        one: ("caa: [{flags: 0, tag: issue, value: letsencrypt.org}]", &["0 issue \"letsencrypt.org\""]),
        two: (
            "caa: [{flags: 0, tag: issue, value: letsencrypt.org}, {flags: 128, tag: iodef, value: \"mailto:a@example.com\"}]",
            &["0 issue \"letsencrypt.org\"", "128 iodef \"mailto:a@example.com\""],
        ),
        other: ("caa: [{flags: 0, tag: issue, value: \";\"}]", &["0 issue \";\""]),
    },
    Kind {
        rtype: "SSHFP",
        one: (
            "sshfp: [{algorithm: 4, fingerprintType: 2, fingerprint: 0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef}]",
            &["4 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF01234567 89ABCDEF"],
        ),
        two: (
            "sshfp: [{algorithm: 4, fingerprintType: 2, fingerprint: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}, {algorithm: 1, fingerprintType: 1, fingerprint: 0123456789abcdef0123456789abcdef01234567}]",
            &[
                "4 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF01234567 89ABCDEF",
                "1 1 0123456789ABCDEF0123456789ABCDEF01234567",
            ],
        ),
        other: (
            "sshfp: [{algorithm: 1, fingerprintType: 1, fingerprint: 0123456789abcdef0123456789abcdef01234567}]",
            &["1 1 0123456789ABCDEF0123456789ABCDEF01234567"],
        ),
    },
    Kind {
        rtype: "TLSA",
        one: ("tlsa: [{usage: 3, selector: 1, matchingType: 0, data: 0a0b0c}]", &["3 1 0 0A0B0C"]),
        two: (
            "tlsa: [{usage: 3, selector: 1, matchingType: 0, data: 0a0b0c}, {usage: 2, selector: 0, matchingType: 0, data: \"00\"}]",
            &["3 1 0 0A0B0C", "2 0 0 00"],
        ),
        other: ("tlsa: [{usage: 3, selector: 0, matchingType: 0, data: ff}]", &["3 0 0 FF"]),
    },
    Kind {
        rtype: "HTTPS",
        one: (
            "https: [{priority: 1, target: \".\", params: \"alpn=h2,h3 ipv4hint=10.0.0.1\"}]",
            &["1 . alpn=\"h2,h3\" ipv4hint=10.0.0.1"],
        ),
        two: (
            "https: [{priority: 1, target: \".\", params: \"alpn=h2\"}, {priority: 2, target: alt.internal, params: \"port=8443\"}]",
            &["1 . alpn=\"h2\"", "2 alt.internal. port=8443"],
        ),
        other: ("https: [{priority: 0, target: alt.internal}]", &["0 alt.internal."]),
    },
    Kind {
        rtype: "SVCB",
        one: ("svcb: [{priority: 1, target: dns.internal, params: \"alpn=dot\"}]", &["1 dns.internal. alpn=\"dot\""]),
        two: (
            "svcb: [{priority: 1, target: dns.internal, params: \"alpn=dot\"}, {priority: 2, target: dns2.internal, params: \"alpn=dot port=8853\"}]",
            &["1 dns.internal. alpn=\"dot\"", "2 dns2.internal. alpn=\"dot\" port=8853"],
        ),
        other: (
            "svcb: [{priority: 3, target: dns.internal, params: \"ipv6hint=fd00::5\"}]",
            &["3 dns.internal. ipv6hint=fd00::5"],
        ),
    },
    Kind {
        rtype: "NAPTR",
        one: (
            "naptr: [{order: 100, preference: 10, flags: S, service: SIP+D2U, regexp: \"\", replacement: _sip._udp.internal}]",
            &["100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.internal."],
        ),
        two: (
            "naptr: [{order: 100, preference: 10, flags: S, service: SIP+D2U, regexp: \"\", replacement: _sip._udp.internal}, {order: 102, preference: 10, flags: U, service: E2U+sip, regexp: \"!^.*$!sip:info@example.com!\", replacement: \".\"}]",
            &[
                "100 10 \"S\" \"SIP+D2U\" \"\" _sip._udp.internal.",
                "102 10 \"U\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .",
            ],
        ),
        other: (
            "naptr: [{order: 1, preference: 1, flags: \"\", service: \"\", regexp: \"\", replacement: x.internal}]",
            &["1 1 \"\" \"\" \"\" x.internal."],
        ),
    },
    Kind {
        rtype: "URI",
        one: (
            "uri: [{priority: 10, weight: 1, target: \"https://example.com/a\"}]",
            &["10 1 \"https://example.com/a\""],
        ),
        two: (
            "uri: [{priority: 10, weight: 1, target: \"https://example.com/a\"}, {priority: 20, weight: 1, target: \"https://example.com/b\"}]",
            &["10 1 \"https://example.com/a\"", "20 1 \"https://example.com/b\""],
        ),
        other: (
            "uri: [{priority: 10, weight: 2, target: \"https://example.com/a\"}]",
            &["10 2 \"https://example.com/a\""],
        ),
    },
    Kind {
        rtype: "LOC",
        one: (
            "loc: [\"52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\"]",
            &["52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"],
        ),
        two: (
            "loc: [\"52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\", \"1 N 2 W 3m\"]",
            &["52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m", "1 0 0.000 N 2 0 0.000 W 3.00m 1m 10000m 10m"],
        ),
        other: ("loc: [\"1 S 2 W 3m\"]", &["1 0 0.000 S 2 0 0.000 W 3.00m 1m 10000m 10m"]),
    },
    Kind {
        rtype: "TYPE65400",
        one: ("other: [{type: TYPE65400, rdata: [\"\\\\# 3 010203\"]}]", &["\\# 3 010203"]),
        two: ("other: [{type: TYPE65400, rdata: [\"\\\\# 3 010203\", \"\\\\# 1 0A\"]}]", &["\\# 3 010203", "\\# 1 0A"]),
        other: ("other: [{type: TYPE65400, rdata: [\"\\\\# 0\"]}]", &["\\# 0"]),
    },
    Kind {
        rtype: "HINFO",
        one: ("other: [{type: HINFO, rdata: [\"amd64 linux\"]}]", &["\"amd64\" \"linux\""]),
        two: (
            "other: [{type: HINFO, rdata: [\"amd64 linux\", \"arm64 linux\"]}]",
            &["\"amd64\" \"linux\"", "\"arm64\" \"linux\""],
        ),
        other: ("other: [{type: HINFO, rdata: [\"'' ''\"]}]", &["\"''\" \"''\""]),
    },
];

/// Create, add a value, remove it, replace, TTL, delete: six steps for each type at each place.
pub fn life_of_every_type(world: &mut World) {
    for kind in KINDS {
        for place in ["life.internal", "very.deep.below.internal", "*.wild.internal"] {
            let lines = |values: &[&str], ttl: u32| {
                values.iter().map(|value| format!("{place}. {ttl} {} {value}", kind.rtype)).collect::<Vec<_>>()
            };
            let step = |world: &mut World, what: &str, spec: &str, ttl: Option<u32>, values: &[&str]| {
                let ttl_line = ttl.map_or(String::new(), |ttl| format!("ttl: {ttl}\n"));
                world.put("life", &format!("name: \"{place}\"\n{ttl_line}{spec}"));
                let expect = lines(values, ttl.unwrap_or(300));
                let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
                world.step(&format!("{} at {place}: {what}", kind.rtype), &expect);
            };
            step(world, "create", kind.one.0, None, kind.one.1);
            step(world, "add a value", kind.two.0, None, kind.two.1);
            step(world, "ttl of two", kind.two.0, Some(77), kind.two.1);
            step(world, "remove a value", kind.one.0, Some(77), kind.one.1);
            step(world, "replace", kind.other.0, None, kind.other.1);
            world.cut("life");
            world.step(
                &format!("{} at {place}: delete", kind.rtype),
                &[&format!("! {place}. "), &format!("! _knotwork.{place}. ")],
            );
        }
    }
}

/// The types that stand alone at a name or have rules of their own.
pub fn single_types(world: &mut World) {
    world
        .put("c", "name: alias.internal\ncname: life.internal")
        .step("CNAME create", &["alias.internal. 300 CNAME life.internal."]);
    world
        .put("c", "name: alias.internal\ncname: other.example.com.")
        .step("CNAME replace", &["alias.internal. 300 CNAME other.example.com."]);
    world
        .put("c", "name: alias.internal\nttl: 60\ncname: other.example.com.")
        .step("CNAME ttl", &["alias.internal. 60 CNAME other.example.com."]);
    world
        .put("c", "name: alias.internal\na: [10.1.1.1]")
        .step("CNAME to A", &["alias.internal. 300 A 10.1.1.1", "! alias.internal. 60 CNAME"]);
    world
        .put("c", "name: alias.internal\ncname: life.internal")
        .step("A to CNAME", &["alias.internal. 300 CNAME life.internal.", "! alias.internal. 300 A"]);
    world.put("c", "name: alias.internal\na: [10.1.1.1]\naaaa: [\"fd00::9\"]\ntxt: [x]").step(
        "CNAME to three types",
        &["alias.internal. 300 A 10.1.1.1", "alias.internal. 300 AAAA fd00::9", "alias.internal. 300 TXT \"x\""],
    );
    world
        .put("c", "name: alias.internal\ncname: life.internal")
        .step("three types to CNAME", &["alias.internal. 300 CNAME life.internal.", "! alias.internal. 300 TXT"]);
    world
        .put("c", "name: \"*.wild.internal\"\ncname: life.internal")
        .step("CNAME moves to a wildcard", &["*.wild.internal. 300 CNAME life.internal.", "! alias.internal. "]);
    world.cut("c");
    world.step("CNAME delete", &["! *.wild.internal. "]);

    world
        .put("d", "name: tree.internal\ndname: elsewhere.example.com.")
        .step("DNAME create", &["tree.internal. 300 DNAME elsewhere.example.com."]);
    world
        .put("d", "name: tree.internal\ndname: elsewhere2.example.com.")
        .step("DNAME replace", &["tree.internal. 300 DNAME elsewhere2.example.com."]);
    world.put("e", "name: tree2.internal\ndname: elsewhere.example.com.").step(
        "second DNAME beside it",
        &["tree2.internal. 300 DNAME elsewhere.example.com.", "tree.internal. 300 DNAME elsewhere2.example.com."],
    );
    world.cut("d");
    world.step("DNAME delete", &["! tree.internal. ", "tree2.internal. 300 DNAME elsewhere.example.com."]);
    world.cut("e");
    world.step("second DNAME delete", &["! tree2.internal. "]);

    world
        .put("ns", "name: sub.internal\nns: [ns1.sub.internal, ns2.example.com.]")
        .step("delegation", &["sub.internal. 300 NS ns1.sub.internal.", "sub.internal. 300 NS ns2.example.com."]);
    world
        .put("glue", "name: ns1.sub.internal\na: [10.1.1.2]")
        .step("name below a delegation (glue)", &["ns1.sub.internal. 300 A 10.1.1.2"]);
    world
        .put("glue", "name: ns1.sub.internal\na: [10.1.1.3]")
        .step("glue replaced", &["ns1.sub.internal. 300 A 10.1.1.3"]);
    world.put("ds", "name: sub.internal\nds: [{keyTag: 12345, algorithm: 13, digestType: 2, digest: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}]")
        .step("DS beside the delegation", &["sub.internal. 300 DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF01234567 89ABCDEF"]);
    world
        .put("ns", "name: sub.internal\nns: [ns1.sub.internal]")
        .step("delegation replaced", &["sub.internal. 300 NS ns1.sub.internal."]);
    world.cut("glue");
    world.step("glue deleted", &["! ns1.sub.internal. ", "sub.internal. 300 NS ns1.sub.internal."]);
    world.cut("ns").cut("ds");
    world.step("delegation deleted", &["! sub.internal. "]);

    world
        .put("ptr", "name: 9.9.0.10.in-addr.arpa\nptr: [nine.internal]")
        .step("PTR by itself", &["9.9.0.10.in-addr.arpa. 300 PTR nine.internal."]);
    world.put("ptr", "name: 9.9.0.10.in-addr.arpa\nptr: [nine.internal, neun.internal]").step(
        "two PTRs",
        &["9.9.0.10.in-addr.arpa. 300 PTR nine.internal.", "9.9.0.10.in-addr.arpa. 300 PTR neun.internal."],
    );
    world.cut("ptr");
    world.step("PTR delete", &["! 9.9.0.10.in-addr.arpa. "]);
}
