//! Examples from the RFCs.

use knotwork::model::{RrType, rdata};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 9460 appendix D: text, wire form, and our own text of it.
#[test]
fn service_bindings_of_rfc_9460() {
    let foo = "03666f6f076578616d706c6503636f6d00";
    let hints = "20010db8000000000000000000000001 20010db8000000000000000000530001";
    for (text, wire, ours) in [
        ("0 foo.example.com.", format!("0000 {foo}"), "0 foo.example.com."),
        ("1 .", "0001 00".into(), "1 ."),
        ("16 foo.example.com. port=53", format!("0010 {foo} 0003 0002 0035"), "16 foo.example.com. port=53"),
        ("1 foo.example.com. key667=hello", format!("0001 {foo} 029b 0005 68656c6c6f"), "1 foo.example.com. key667=hello"),
        (
            "1 foo.example.com. key667=\"hello\\210qoo\"",
            format!("0001 {foo} 029b 0009 68656c6c6fd2716f6f"),
            "1 foo.example.com. key667=\"hello\\210qoo\"",
        ),
        (
            "1 foo.example.com. (\n ipv6hint=\"2001:db8::1,2001:db8::53:1\"\n )",
            format!("0001 {foo} 0006 0020 {hints}"),
            "1 foo.example.com. ipv6hint=2001:db8::1,2001:db8::53:1",
        ),
        (
            "1 example.com. ipv6hint=\"2001:db8:122:344::192.0.2.33\"",
            "0001 076578616d706c6503636f6d00 0006 0010 20010db8012203440000 0000c0000221".into(),
            "1 example.com. ipv6hint=2001:db8:122:344::c000:221",
        ),
        (
            "16 foo.example.org. (\n alpn=h2,h3-19 mandatory=ipv4hint,alpn\n ipv4hint=192.0.2.1\n )",
            "0010 03666f6f076578616d706c65036f726700 0000 0004 0001 0004 0001 0009 026832 0568332d3139 0004 0004 c0000201"
                .into(),
            "16 foo.example.org. mandatory=alpn,ipv4hint alpn=h2,h3-19 ipv4hint=192.0.2.1",
        ),
        (
            r#"16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#,
            "0010 03666f6f076578616d706c65036f726700 0001 000c 08665c6f6f2c626172 026832".into(),
            r"16 foo.example.org. alpn=f\\\\oo\\,bar,h2",
        ),
        (
            r"16 foo.example.org. alpn=f\\\092oo\092,bar,h2",
            "0010 03666f6f076578616d706c65036f726700 0001 000c 08665c6f6f2c626172 026832".into(),
            r"16 foo.example.org. alpn=f\\\\oo\\,bar,h2",
        ),
    ] {
        let value = rdata::from_text(RrType::SVCB, text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(&*value, hex(&wire), "{text}");
        assert_eq!(rdata::to_text(RrType::SVCB, &value), ours);
    }
    // Appendix D.3: what must be refused. The last two are not self-consistent, which a declaration may not be.
    for bad in [
        "1 foo.example.com. (key123=abc key123=def)",
        "1 foo.example.com. mandatory",
        "1 foo.example.com. alpn",
        "1 foo.example.com. port",
        "1 foo.example.com. ipv4hint",
        "1 foo.example.com. ipv6hint",
        "1 foo.example.com. no-default-alpn=abc",
        "1 foo.example.com. (mandatory=mandatory)",
        "1 foo.example.com. (mandatory=key123,key123 key123=abc)",
    ] {
        assert!(rdata::from_text(RrType::SVCB, bad, None).is_err(), "{bad}");
    }
    let target = knotwork::model::Name::parse("foo.example.com").unwrap();
    assert!(rdata::svcb(RrType::SVCB, 1, &target, "mandatory=key123").is_err());
}

/// DS and DNSKEY (RFC 4034 §5.4, §2.3), NSEC3 (RFC 5155), SSHFP (RFC 4255), DHCID (RFC 4701), NAPTR (RFC 3403), CAA
/// (RFC 8659), TLSA (RFC 6698), URI (RFC 7553): text that must come back as it is.
#[test]
fn texts_that_stay() {
    for (rtype, text) in [
        (RrType::DS, "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118"),
        (RrType::DHCID, "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
        (RrType::SSHFP, "2 1 123456789abcdef67890123456789abcdef67890"),
        (RrType::NAPTR, r#"100 50 "a" "z3950+N2L+N2C" "" cidserver.example.com."#),
        (RrType::NAPTR, r#"100 10 "" "" "/urn:cid:.+@([^\\.]+\\.)(.*)$/\\2/i" ."#),
        (RrType::CAA, r#"0 issue "ca1.example.net; account=230123""#),
        (RrType::URI, r#"10 1 "ftp://ftp1.example.com/public""#),
        (RrType::TLSA, "0 0 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
        (RrType::NSEC3, "1 1 12 aabbccdd 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX DNSKEY NS SOA NSEC3PARAM RRSIG"),
        (RrType::RRSIG, "A 5 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6WNGv+ldvQ3WDG0MQkg5IEhjRip"),
        (RrType::CSYNC, "66 3 A NS AAAA"),
        (RrType::EUI48, "00-00-5e-00-53-2a"),
    ] {
        let value = rdata::from_text(rtype, text, None).unwrap_or_else(|error| panic!("{text}: {error}"));
        let again = rdata::to_text(rtype, &value);
        if rtype == RrType::NSEC3 {
            assert_eq!(again, "1 1 12 aabbccdd 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NS SOA MX RRSIG DNSKEY NSEC3PARAM");
        } else {
            assert_eq!(again, text);
        }
    }
}

/// Zone-file freedoms: lines, comments, relative names, units, spaces in data.
#[test]
fn zone_file_spellings() {
    let origin = knotwork::model::Name::parse("example").unwrap();
    for (rtype, text, ours) in [
        (
            RrType::SOA,
            "ns0 admin\\.x.mail ( 2024010101 ; serial\n 1h ; refresh\n 15M 1w\n 300 )",
            "ns0.example. admin\\.x.mail.example. 2024010101 3600 900 604800 300",
        ),
        (RrType::MX, "10 @", "10 example."),
        (RrType::CNAME, "B\u{fc}cher", "xn--bcher-kva.example."),
        (RrType::CNAME, "abs.", "abs."),
        (RrType::CNAME, r"a\.", r"a\..example."),
        (RrType::TXT, "plain \"two words\" esc\\\"aped", r#""plain" "two words" "esc\"aped""#),
        (RrType::TLSA, "3 1 1 ( ABCD\n ef01 )", "3 1 1 abcdef01"),
        (RrType::AAAA, "2001:0DB8:0:0::1", "2001:db8::1"),
        (RrType::OPENPGPKEY, "AQ ID", "AQID"),
    ] {
        let value = rdata::from_text(rtype, text, Some(&origin)).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(rdata::to_text(rtype, &value), ours);
    }
}

/// Mistakes are answered with what is wrong and what would be right.
#[test]
fn messages() {
    for (rtype, text, parts) in [
        (RrType::A, "fd00::1", &["A address \"fd00::1\"", "IPv6 belongs in AAAA"][..]),
        (RrType::AAAA, "10.0.0.1", &["AAAA address", "IPv4 belongs in A"]),
        (RrType::A, "10.0.0.01", &["expected an IPv4 address"]),
        (RrType::A, "", &["A: the address is missing"]),
        (RrType::A, "10.0.0.1 10.0.0.2", &["A: unexpected \"10.0.0.2\" after the address"]),
        (RrType::MX, "mail.example.", &["MX preference \"mail.example.\"", "0 to 65535"]),
        (RrType::MX, "10", &["MX: the exchange is missing", "preference, exchange"]),
        (RrType::MX, "10 a..b", &["MX exchange \"a..b\"", "empty label"]),
        (RrType::TXT, "\"open", &["closing quote", "character 0"]),
        (RrType::TXT, "\\999", &["TXT text", "escapes"]),
        (RrType::SRV, "0 0 65536 a.", &["SRV port \"65536\""]),
        (RrType::CNAME, "@", &["CNAME target", "@ has no meaning"]),
    ] {
        let error = match rdata::from_text(rtype, text, None) {
            Ok(value) => panic!("{text}: {}", rdata::to_text(rtype, &value)),
            Err(error) => error.to_string(),
        };
        for part in parts {
            assert!(error.contains(part), "{rtype} {text}: \"{error}\" should hold \"{part}\"");
        }
    }
    let long = "x".repeat(256);
    let error = rdata::from_text(RrType::TXT, &long, None).unwrap_err().to_string();
    assert!(error.contains("at most 255") && error.len() < 160, "{error}");
}
