//! The real ExternalDNS with its sources `crd` and `service` on a real Kubernetes API server: what an object says is in Knot, and
//! goes with it. Lines as in `tests/external_dns.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use support::external::{Lab, Zone, line, owned, places, prefix, zone};
use support::kube::Cluster;

/// A `DNSEndpoint` with an address, and sets of types that no other source gives.
fn endpoints(address: &str) -> String {
    format!(
        "apiVersion: externaldns.k8s.io/v1alpha1
kind: DNSEndpoint
metadata: {{name: e, namespace: default}}
spec:
  endpoints:
    - {{dnsName: e.internal, recordType: A, recordTTL: 120, targets: [{address}]}}
    - {{dnsName: e.internal, recordType: MX, recordTTL: 120, targets: [10 mx.example.net]}}
    - {{dnsName: 7.0.0.10.in-addr.arpa, recordType: PTR, recordTTL: 120, targets: [e.internal]}}
"
    )
}

/// A Service that waits for its load balancer.
fn service() -> String {
    // Another word since 0.22.
    let prefix = if line() < 22 { "external-dns.alpha.kubernetes.io" } else { "external-dns.kubernetes.io" };
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: s
  namespace: default
  annotations: {{{prefix}/hostname: s.internal, {prefix}/ttl: \"90\"}}
spec:
  type: LoadBalancer
  ports: [{{port: 80}}]
"
    )
}

#[test]
fn objects_of_a_cluster_come_and_go() {
    let Some(lab) = Lab::start() else { return };
    let Some(cluster) = Cluster::start() else { return };
    cluster.install_dnsendpoints();
    let webhook = lab.webhook("webhook", &[]);
    let kubeconfig = format!("--kubeconfig={}", cluster.kubeconfig().display());
    let common: Vec<String> = lab.common().into_iter().filter(|flag| !flag.contains("connector")).collect();
    let txt = format!("--txt-prefix={}", prefix());
    let flags = ["--source=crd", "--source=service", &kubeconfig, "--txt-owner-id=me", &txt];
    let external = lab.external_with("external", &[common, webhook.flags(), owned(&flags)].concat());
    external.is_idle(&lab, &webhook);

    let balancer = |address: &str| {
        let status = format!("{{\"status\":{{\"loadBalancer\":{{\"ingress\":[{{\"ip\":\"{address}\"}}]}}}}}}");
        cluster.must(&["patch", "service", "s", "--subresource=status", "--type=merge", "-p", &status]);
    };
    let wanted = |e: &str, s: &str| {
        let data = [
            &format!("e.internal. 120 A {e}"),
            "e.internal. 120 MX 10 mx.example.net.",
            &format!("s.internal. 90 A {s}"),
        ];
        let sets = [("e.internal", "A"), ("e.internal", "MX"), ("s.internal", "A")];
        let reverse = ["7.0.0.10.in-addr.arpa. 120 PTR e.internal."];
        BTreeMap::from([
            ("internal", zone(&data, "me", &sets)),
            ("10.in-addr.arpa", zone(&reverse, "me", &[("7.0.0.10.in-addr.arpa", "PTR")])),
        ])
    };
    cluster.must_apply(&endpoints("10.0.0.7"));
    cluster.must_apply(&service());
    balancer("10.0.0.50");
    external.settles(&lab, &webhook, &wanted("10.0.0.7", "10.0.0.50"));
    let resource = lab.dig(&places("s.internal", "A")[0], "TXT").concat();
    assert!(resource.contains("external-dns/resource=service/default/s"), "{resource}");

    cluster.must_apply(&endpoints("10.0.0.8"));
    balancer("10.0.0.51");
    external.settles(&lab, &webhook, &wanted("10.0.0.8", "10.0.0.51"));

    cluster.must(&["delete", "dnsendpoint", "e"]);
    cluster.must(&["delete", "service", "s"]);
    external.settles(
        &lab,
        &webhook,
        &BTreeMap::from([("internal", Zone::default()), ("10.in-addr.arpa", Zone::default())]),
    );
}
