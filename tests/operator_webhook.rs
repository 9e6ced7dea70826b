//! ExternalDNS's webhook in the operator's process, on a real API server and a real Knot: only the leader serves, refusals
//! become events, and a person's mode of a zone counts for it, too.

#![cfg(feature = "operator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use serde_json::json;
use support::guarded::port as free_port;
use support::operator::World;
use support::wait;
use support::webhook::{http, mark_of, record};

fn create(name: &str, address: &str) -> String {
    let mut mark = mark_of(name, "A", "me");
    mark["dnsName"] = json!(format!("k8s.a-{name}"));
    json!({"create": [record(name, "A", &[address]), mark]}).to_string()
}

/// The answer to a body of changes.
fn apply(port: u16, body: &str) -> (u16, String) {
    let (status, _, words) = http(port, "POST", "/records", body);
    (status, words)
}

#[test]
fn the_leader_serves_external_dns_and_the_next_one_after_it() {
    let Some(world) = World::start() else { return };
    world.configure("webhook: {owner: me}\n");
    let (one, two) = (free_port(), free_port());
    let flags = |port: u16| ["--webhook".to_owned(), "--webhook-listen".to_owned(), format!("127.0.0.1:{port}")];
    let start = |name: &str, port: u16| {
        let flags = flags(port);
        let mut all: Vec<&str> = flags.iter().map(String::as_str).collect();
        all.extend(["--lease-duration", "3"]);
        world.operator_with(name, &all)
    };
    let first = start("one", one);
    first.wait_leading();
    world.until("the webhook to be served", |_| http(one, "GET", "/records", "").0 == 200);
    assert!(http(one, "GET", "/", "").2.contains("internal"));
    world.until("the first set to be written", |_| apply(one, &create("www.internal", "10.0.0.1")).0 == 204);
    assert_eq!(world.dig("www.internal", "A"), ["10.0.0.1"]);
    // Objects and ExternalDNS beside each other in one process; each keeps its own.
    world.apply_ready("routy", "{name: routy.internal, a: [10.0.0.2]}");
    let (status, words) = apply(one, &create("routy.internal", "6.6.6.6"));
    assert!(status == 500 && words.contains("staticdnsrecord/default/routy"), "{status} {words}");
    assert_eq!(world.dig("routy.internal", "A"), ["10.0.0.2"]);
    world.until("the refusal to be an event", |world| {
        let events = world.events("internal");
        events.iter().any(|event| {
            event.starts_with("Warning OwnedByOther routy.internal A:") && event.contains("service/default/www")
        })
    });
    // What is refused again is no news.
    assert_eq!(apply(one, &create("routy.internal", "6.6.6.6")).0, 500);
    let refusals =
        |world: &World| world.events("internal").iter().filter(|event| event.contains("OwnedByOther")).count();
    assert_eq!(refusals(&world), 1);
    // A person has the zone only looked at.
    world.order("internal", r#"{"mode":"Observe"}"#);
    world.until("the mode to count", |_| apply(one, &create("later.internal", "10.0.0.3")).0 == 503);
    assert!(world.dig("later.internal", "A").is_empty());
    world.order("internal", r#"{"mode":"Repair"}"#);
    world.until("the mode to count", |_| apply(one, &create("later.internal", "10.0.0.3")).0 == 204);
    // A second replica serves nothing while the first one leads, and says so in a way that ExternalDNS survives.
    let second = start("two", two);
    wait::until("the second to listen", || std::net::TcpStream::connect(("127.0.0.1", two)).ok());
    for (method, path, body) in
        [("GET", "/", ""), ("GET", "/records", ""), ("POST", "/records", "{}"), ("POST", "/adjustendpoints", "[]")]
    {
        assert_eq!(http(two, method, path, body).0, 503, "{method} {path}");
    }
    let numbers = http(first.listen.port(), "GET", "/metrics", "").2;
    assert!(numbers.contains("knotwork_webhook_requests_total") && numbers.contains("knotwork_operator_"), "{numbers}");
    drop(first);
    second.wait_leading();
    world.until("the second to serve", |_| apply(two, &create("after.internal", "10.0.0.4")).0 == 204);
    assert_eq!(world.dig("after.internal", "A"), ["10.0.0.4"]);
}

/// A Service finds the replica that serves by a label of its pod.
#[test]
fn the_leaders_pod_carries_the_label() {
    let Some(world) = World::start() else { return };
    world.configure("webhook: {owner: me}\n");
    let pods: String = ["kw-a", "kw-b"]
        .map(|name| {
            format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default, labels: {{app: kw, dns.knotwork.dev/leader: \"true\"}}}}\nspec: {{automountServiceAccountToken: false, containers: [{{name: x, image: x}}]}}\n")
        })
        .concat();
    // Nobody makes it where there is no controller manager, and a pod needs one.
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: default}\n";
    world.cluster.must_apply(&format!("{account}{pods}"));
    let labelled = |world: &World| {
        world.cluster.must(&[
            "get",
            "pods",
            "-l",
            "dns.knotwork.dev/leader=true",
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ])
    };
    let kubeconfig = world.cluster.kubeconfig_of("admin");
    let start = |name: &str| {
        let listen = format!("127.0.0.1:{}", free_port());
        let flags = ["--webhook", "--webhook-listen", &listen, "--lease-duration", "3"];
        world.operator_in(name, &kubeconfig, &flags, &[("POD_NAME", name)])
    };
    let first = start("kw-a");
    first.wait_leading();
    let second = start("kw-b");
    world.until("only the leader to carry it", |world| labelled(world) == "kw-a");
    // The Service of the document has that label for its selector, and the server takes it.
    let text = include_str!("../docs/external-dns.md");
    let service = text.split_once("```yaml object\n").unwrap().1.split_once("```").unwrap().0;
    assert!(service.contains("dns.knotwork.dev/leader: \"true\""), "{service}");
    world.cluster.must(&["create", "namespace", "knotwork"]);
    world.cluster.must_apply(service);
    drop(first);
    second.wait_leading();
    world.until("the next one to carry it", |world| labelled(world).contains("kw-b"));
}

#[test]
fn a_webhook_that_cannot_serve_ends_the_operator_and_says_why() {
    let Some(world) = World::start() else { return };
    let refused = |more: &str, flags: &[&str]| {
        world.configure(more);
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_knotwork"))
            .args(["operator", "--namespace", "default", "-c"])
            .arg(world.config())
            .arg("--kubeconfig")
            .arg(world.cluster.kubeconfig_of("admin"))
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(1));
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let said = refused("", &["--webhook"]);
    assert!(said.contains("no `webhook:` section"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused("webhook: {owner: me}\n", &["--webhook", "--webhook-listen", &address]);
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}
