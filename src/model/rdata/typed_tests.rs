#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::rdata::{check, to_text};

fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Asserts the text of a value, that it is well-formed, and that the text reads back.
fn is(rtype: RrType, value: Result<Rdata, RdataError>, text: &str) {
    let value = value.unwrap();
    check(rtype, &value).unwrap();
    assert_eq!(to_text(rtype, &value), text);
    assert_eq!(from_text(rtype, text, None).unwrap(), value);
}

fn fails(value: Result<Rdata, RdataError>, parts: &[&str]) {
    let error = value.unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "\"{error}\" should hold \"{part}\"");
    }
}

#[test]
fn addresses_and_targets() {
    is(RrType::A, Ok(a(Ipv4Addr::new(10, 0, 0, 1))), "10.0.0.1");
    is(RrType::AAAA, Ok(aaaa("2001:DB8:0::1".parse().unwrap())), "2001:db8::1");
    is(RrType::CNAME, Ok(target(&n("WWW.example"))), "www.example.");
    is(RrType::MX, Ok(mx(10, &n("mail.example"))), "10 mail.example.");
    is(RrType::MX, Ok(mx(0, &Name::root())), "0 .");
    is(RrType::SRV, Ok(srv(1, 2, 443, &n("a.example"))), "1 2 443 a.example.");
}

#[test]
fn text_is_split_at_255_octets() {
    is(RrType::TXT, txt_from_value(""), "\"\"");
    is(RrType::TXT, txt_from_value("a \"b\" \\ ; é\t"), r#""a \"b\" \\ ; \195\169\009""#);
    let long = "x".repeat(256);
    let value = txt_from_value(&long).unwrap();
    assert_eq!((value.len(), value[0], value[256]), (258, 255, 1));
    assert_eq!(txt_value(&value).unwrap(), long.as_bytes());
    is(RrType::TXT, txt(&["a", "", "b c"]), r#""a" "" "b c""#);
    fails(txt(&[long.as_str()]), &["TXT text", "at most 255 octets", "256"]);
    fails(txt::<&str>(&[]), &["at least one string"]);
    assert!(txt_from_value(&"x".repeat(65_535 - 257)).is_ok());
    fails(txt_from_value(&"x".repeat(65_535)), &["65535"]);
    is(RrType::TXT, txt_from_text(r#""one" two "" "a\"\059""#), r#""one" "two" "" "a\";""#);
    assert_eq!(txt_from_text(&format!("\"{long}\"")), txt_from_value(&long));
    fails(txt_from_text("\"open"), &["closing quote"]);
    fails(txt_from_text("\\256"), &["escapes"]);
    fails(txt_from_text(" "), &["at least one string"]);
    assert_eq!((txt_value(&[]), txt_value(&[2, 65])), (None, None));
}

#[test]
fn caa_rules() {
    is(
        RrType::CAA,
        caa(0, "Issue", "letsencrypt.org; validationmethods=dns-01"),
        "0 issue \"letsencrypt.org; validationmethods=dns-01\"",
    );
    is(RrType::CAA, caa(128, "issuewild", ";"), "128 issuewild \";\"");
    is(RrType::CAA, caa(0, "iodef", "mailto:a@example.com"), "0 iodef \"mailto:a@example.com\"");
    is(RrType::CAA, caa(0, "tbs", ""), "0 tbs \"\"");
    fails(caa(0, "is-sue", "x"), &["CAA tag \"is-sue\"", "letters and digits"]);
    fails(caa(0, "", "x"), &["tag"]);
    fails(caa(0, "issue", "let's encrypt"), &["CAA value", "domain name"]);
    fails(caa(0, "iodef", "a@example.com"), &["mailto:"]);
}

#[test]
fn digests_have_the_length_of_their_hash() {
    let (sha1, sha256) = ("AB".repeat(20), "01".repeat(32));
    is(RrType::SSHFP, sshfp(4, 2, &sha256), &format!("4 2 {sha256}"));
    is(RrType::SSHFP, sshfp(1, 1, &sha1), &format!("1 1 {}", sha1.to_lowercase()));
    fails(sshfp(4, 2, &sha1), &["SSHFP fingerprint", "64 hexadecimal digits (SHA-256)", "not 40"]);
    fails(sshfp(4, 1, "xyz"), &["40 hexadecimal digits"]);
    fails(sshfp(0, 1, &sha1), &["SSHFP algorithm \"0\"", "Ed25519"]);
    fails(sshfp(4, 0, &sha1), &["fingerprintType"]);
    is(RrType::TLSA, tlsa(3, 1, 1, &sha256), &format!("3 1 1 {sha256}"));
    is(RrType::TLSA, tlsa(3, 0, 0, "30:82 01"), "3 0 0 308201");
    fails(tlsa(3, 1, 2, &sha256), &["128 hexadecimal digits (SHA-512)", "not 64"]);
    fails(tlsa(4, 1, 1, &sha256), &["usage", "DANE-EE"]);
    fails(tlsa(3, 2, 1, &sha256), &["selector"]);
    fails(tlsa(3, 1, 3, &sha256), &["matchingType"]);
    fails(tlsa(3, 1, 0, ""), &["hexadecimal"]);
    is(RrType::DS, ds(60485, 13, 2, &sha256), &format!("60485 13 2 {sha256}"));
    fails(ds(1, 13, 4, &sha256), &["DS digest", "96 hexadecimal digits (SHA-384)"]);
    fails(ds(1, 0, 2, &sha256), &["algorithm"]);
    fails(ds(1, 8, 0, &sha256), &["digestType"]);
}

#[test]
fn naptr_rules() {
    let regexp = "!^.*$!sip:info@example.com!";
    is(
        RrType::NAPTR,
        naptr(100, 10, "U", "E2U+sip", regexp, &Name::root()),
        r#"100 10 "U" "E2U+sip" "!^.*$!sip:info@example.com!" ."#,
    );
    is(
        RrType::NAPTR,
        naptr(1, 2, "s", "SIP+D2T", "", &n("_sip._tcp.example")),
        r#"1 2 "s" "SIP+D2T" "" _sip._tcp.example."#,
    );
    assert!(naptr(1, 2, "u", "x", r"/^\/a$/b\/c/i", &Name::root()).is_ok());
    for bad in ["!a!b", "!a!b!c", "!a!b!!", "1a1b1", r"\a\b\"] {
        fails(naptr(1, 2, "u", "x", bad, &Name::root()), &["NAPTR regexp", "delimiter"]);
    }
    fails(naptr(1, 2, "u", "x", regexp, &n("a.example")), &["not both"]);
    fails(naptr(1, 2, "u", "x", "", &Name::root()), &["replacement"]);
    fails(naptr(1, 2, "u!", "x", regexp, &Name::root()), &["flags"]);
    fails(naptr(1, 2, "u", &"x".repeat(256), regexp, &Name::root()), &["service", "255"]);
}

#[test]
fn uri_loc_and_other() {
    is(RrType::URI, uri(10, 1, "https://example.com/a?b=c"), "10 1 \"https://example.com/a?b=c\"");
    for bad in ["", "example.com/", "http://a b", "https://é", "1:2"] {
        fails(uri(1, 1, bad), &["URI target", "scheme"]);
    }
    let text = "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m";
    is(RrType::LOC, loc(text), text);
    fails(loc("52 22 23.000"), &["latitude"]);
    is(RrType(65400), other(RrType(65400), "\\# 3 01 0203"), "\\# 3 010203");
    is(RrType::A, other(RrType::A, "\\# 4 0a000001"), "10.0.0.1");
    fails(other(RrType::A, "\\# 3 0a0000"), &["A: malformed wire form at the address"]);
    fails(other(RrType::AXFR, "\\# 0"), &["a type that a zone can hold"]);
    fails(other(RrType(65400), "abc"), &["TYPE65400", "no text form", "\\#"]);
    fails(other(RrType(65400), "\\# 3 0102"), &["says 3 octets, but 2"]);
    fails(other(RrType(65400), "\\# x 0102"), &["\"x\" is not a length"]);
    fails(other(RrType(65400), "\\# 1 0"), &["hexadecimal"]);
}

#[test]
fn service_parameters() {
    let https = |priority, params: &str| svcb(RrType::HTTPS, priority, &n("svc.example"), params);
    is(RrType::HTTPS, https(0, ""), "0 svc.example.");
    is(
        RrType::HTTPS,
        https(1, "ipv4hint=10.0.0.1,10.0.0.2 alpn=\"h2,h3\" port=8443 ipv6hint=FD00::1 mandatory=port,alpn"),
        "1 svc.example. mandatory=alpn,port alpn=h2,h3 port=8443 ipv4hint=10.0.0.1,10.0.0.2 ipv6hint=fd00::1",
    );
    is(RrType::HTTPS, https(1, "alpn=h3 no-default-alpn"), "1 svc.example. alpn=h3 no-default-alpn");
    is(RrType::SVCB, svcb(RrType::SVCB, 1, &Name::root(), "alpn=h2 dohpath=/q{?dns}"), "1 . alpn=h2 key7=/q{?dns}");
    is(RrType::HTTPS, https(1, "ohttp ech=AEX+DQ=="), "1 svc.example. ech=AEX+DQ== key8");
    is(RrType::HTTPS, https(1, "tls-supported-groups=29,23"), "1 svc.example. key9=\"\\000\\029\\000\\023\"");
    for (priority, params, parts) in [
        (0, "alpn=h2", &["HTTPS parameter alpn", "alias"][..]),
        (1, "alpn=h2 alpn=h3", &["alpn", "twice"]),
        (1, "alpn=h2 key1=\\002h3", &["key1", "twice"]),
        (1, "port=70000", &["port", "\"70000\"", "65535"]),
        (1, "port=+1", &["port"]),
        (1, "ipv4hint=10.0.0.1,x", &["ipv4hint", "\"x\"", "IPv4"]),
        (1, "ipv4hint=", &["ipv4hint"]),
        (1, "alpn=", &["alpn", "1 to 255"]),
        (1, "alpn=h2,,h3", &["alpn"]),
        (1, "no-default-alpn", &["needs alpn"]),
        (1, "no-default-alpn=1 alpn=h2", &["no value"]),
        (1, "mandatory=port", &["mandatory", "names port"]),
        (1, "mandatory=alpn,alpn alpn=h2", &["each once"]),
        (1, "mandatory=mandatory", &["other keys"]),
        (1, "colour=red", &["colour", "unknown", "keyNNNNN"]),
        (1, "key01=a", &["unknown"]),
        (1, "key65535=a", &["unknown"]),
        (1, "ech=!", &["base64"]),
        (1, "dohpath=q{?dns}", &["dohpath", "/dns-query{?dns}"]),
        (1, "dohpath=/q", &["variable dns"]),
        (1, "\"alpn=h2\"", &["unknown"]),
    ] {
        fails(https(priority, params), parts);
    }
}

#[test]
fn types_in_octets_only_have_their_parts() {
    let made = |rtype: &str, text: &str| other(RrType::parse(rtype).unwrap(), text);
    // The example of RFC 8005 §6, cut to a short key, without and with a rendezvous server.
    for good in ["\\# 10 020200040001 0A0B0C0D", "\\# 15 020200040001 0A0B0C0D 0372767300"] {
        assert!(made("HIP", good).is_ok(), "{good}: {:?}", made("HIP", good));
    }
    assert!(made("WKS", "\\# 6 0A000001 06 40").is_ok() && made("NSAP", "\\# 3 470005").is_ok());
    for (rtype, text, word) in [
        ("HIP", "\\# 3 ABCDEF", "length of the key"),
        ("HIP", "\\# 9 020200040001 0A0B0C", "length of the key"),
        ("HIP", "\\# 8 00020004 0A0B0C0D", "not empty"),
        ("HIP", "\\# 12 020200040001 0A0B0C0D 0372", "rendezvous"),
        ("WKS", "\\# 4 0A000001", "bit map"),
        ("NSAP", "\\# 21 000102030405060708090A0B0C0D0E0F1011121314", "1 to 20"),
    ] {
        fails(made(rtype, text), &[rtype, word]);
    }
    // Their zone-file text is not known here; what to write instead is said.
    for (rtype, text) in [("HIP", "2 20010DB8 AwEA"), ("WKS", "10.0.0.1 TCP smtp"), ("NSAP", "0x47.0005")] {
        fails(made(rtype, text), &[rtype, "\\#"]);
    }
}
