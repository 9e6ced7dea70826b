//! The rows of `route --all` against `route NAME`, over random hosts.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

const DOMAINS: &[&str] =
    &["~.", "~maas", "maas", "~test", "corp.test", "~lab.corp.test", "~1.10.in-addr.arpa", "~local", "home.arpa"];

prop_compose! {
    fn link(ifindex: u32)(
        has_server in prop::bool::weighted(0.8),
        domains in subsequence(DOMAINS, 0..3),
        default_route in select(&["yes", "no", "unknown", "automatic"][..]),
        up in prop::bool::weighted(0.9),
    ) -> Value {
        json!({
            "ifindex": ifindex, "name": format!("eth{ifindex}"), "loopback": false, "up": up, "carrier": up, "operstate": "up",
            "addresses": [{"address": format!("10.{ifindex}.0.1"), "prefix": 24}],
            "servers": if has_server { vec![format!("10.{ifindex}.0.53")] } else { vec![] },
            "domains": domains, "defaultRoute": default_route,
        })
    }
}

prop_compose! {
    fn host()(
        (one, two) in (link(1), link(2)),
        servers in subsequence(vec!["10.9.0.53", "10.9.0.54"], 0..2),
        domains in subsequence(DOMAINS, 0..2),
        fallback in subsequence(vec!["10.9.0.60"], 0..=1),
        delegate in prop::option::of(subsequence(DOMAINS, 1..3)),
        single in any::<bool>(),
        version in select(&[240u16, 246, 252, 257, 258, 262][..]),
    ) -> HostFacts {
        let delegates: Vec<Value> = delegate.filter(|_| version >= 258).into_iter().map(|domains| json!({
            "id": "one", "servers": ["10.9.0.61"], "domains": domains, "defaultRoute": false,
        })).collect();
        HostFacts::from_json(&json!({
            "version": 1, "hostname": "own.example", "systemd": version, "hosts": [], "delegates": delegates,
            "resolveUnicastSingleLabel": single, "links": [one, two],
            "global": {"servers": servers, "domains": domains, "fallback": fallback},
        }).to_string()).unwrap()
    }
}

/// Everything that a row or an answer says but the name itself.
fn said(told: &Told, name: &str) -> Value {
    let mut value = told.json();
    value["name"] = Value::Null;
    let text = value.to_string().replace(&format!("\"fqdn\":\"{name}\""), "\"fqdn\":\"?\"");
    serde_json::from_str(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_says_what_the_names_that_it_stands_for_are_told(facts in host(), by_stub in any::<bool>()) {
        let (router, path) = (Router::new(&facts), if by_stub { Path::Stub } else { Path::Nss });
        let rows = rows(&router);
        prop_assert!(rows.iter().any(|(shown, _)| shown == "*"));
        for (shown, stands_in) in &rows {
            let row = Told::new(&router, stands_in, shown.clone(), RrType::A, path);
            let domain = shown.strip_prefix("*.").unwrap_or("");
            let names = match domain {
                "" => ["www.example.com".to_owned(), "a.b.example.org".to_owned()],
                domain => [format!("www.{domain}"), format!("a.b.{domain}")],
            };
            for text in names {
                let name = Name::parse(&text).unwrap();
                let own = Name::parse(if domain.is_empty() { "." } else { domain }).unwrap();
                let is_others = |other: &&Name| name.is_at_or_below(other) && other.label_count() > own.label_count();
                if router.domains().into_iter().any(|other| is_others(&other)) {
                    continue;
                }
                let told = Told::new(&router, &name, text.clone(), RrType::A, path);
                prop_assert_eq!(said(&row, shown), said(&told, &text), "{} stands for {}", shown, text);
            }
        }
    }
}
