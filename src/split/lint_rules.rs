//! The rules of lint: stable ids, what each is for, and how it is put right.

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// It is applied, and said.
    Warning,
}

impl Severity {
    /// The word for people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id, which never changes.
    pub id: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// Whether `lint.allow` may name it. What would break a promise of the policy itself may not be allowed.
    pub allowable: bool,
    /// Why it is one.
    pub reason: &'static str,
    /// How it is put right: part of a `spec`.
    pub example: &'static str,
}

use Severity::{Error, Warning};

macro_rules! rules {
    ($($id:literal $severity:ident $allow:ident $reason:literal $example:literal;)+) => {
        /// All rules, errors first.
        pub const RULES: &[Rule] = &[$(
            Rule { id: $id, severity: $severity, allowable: matches!(stringify!($allow).as_bytes(), b"yes"), reason: $reason, example: $example },
        )+];
    };
}

rules! {
    "route-differs" Error no
        "the host would ask other servers for a declared domain than its route says"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53]}]";
    "fail-closed-leak" Error no
        "a failClosed name would reach other servers, now or when links go"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]";
    "no-form" Error no
        "this release of systemd has no setting that sends the route there and nowhere else"
        "routes: [{name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}]";
    "global-domains" Error no
        "Domains= of the global scope restricts nothing: its servers are alternatives of each other and are asked for everything else too"
        "routes: [{name: lab, domains: [maas, homelab], servers: [192.168.4.53], failClosed: true}]";
    "global-beside-default-route" Error yes
        "names that no domain covers go to the global servers and to the link's at once, and whichever answers first wins"
        "global: {servers: []}";
    "domains-without-servers" Error yes
        "a scope without servers does not exist: its domains route nothing, and the names go elsewhere"
        "links: [{name: office, match: {name: company0}, servers: [192.0.2.1], domains: [corp.example]}]";
    "mixed-servers" Error yes
        "servers of one route are alternatives: as soon as the private one is slow, private names go to the public one, and stay there"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53]}]";
    "too-many-domains" Error no
        "a scope takes 256 domains before systemd 258 and 1024 from then on; more make resolved drop the list, and the names leak"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], reverseFor: [192.168.0.0/16]}]";
    "link-contradiction" Error no
        "two wishes about one link differ, and only one can hold"
        "links: [{name: office, match: {name: company0}, kind: Corporate, domains: [corp.example]}]";
    "loses-default-route" Error yes
        "names that no domain covers are answered now and would be refused: no scope is left for them"
        "links: [{name: uplink, match: {name: eth0}, defaultRoute: true}]";
    "moves-default-route" Error yes
        "names that no domain covers would go to a route's servers instead of those that answer them now"
        "links: [{name: uplink, match: {name: eth0}, servers: [9.9.9.9]}]";
    "cluster-names-closed" Error yes
        "the kubelet and the registries need these names; closed, a node that cannot reach the route's servers can pull and start nothing"
        "lint: {allow: [cluster-names-closed]}";
    "dead-fallback" Warning yes
        "fallback servers are used only where no other server is configured, never when another one fails"
        "global: {fallbackServers: []}";
    "local-domain" Warning yes
        ".local belongs to multicast DNS (RFC 6762): with it on, both are asked, and other programs never ask DNS"
        "routes: [{name: lab, domains: [home.arpa], servers: [192.168.4.53]}]";
    "search-and-route" Warning yes
        "to resolved a name is one domain of a scope: it stays a search domain, which routes as well"
        "links: [{name: office, match: {name: company0}, searchDomains: Route, domains: [corp.example]}]";
    "public-server-for-private-name" Warning yes
        "names that exist only in private networks are told to a server on the Internet"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53]}]";
    "leaks-without-link" Warning yes
        "before systemd 258 a route on a link ends with the link: while it is down the names go to whoever is asked for everything"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53], failClosed: true}]";
    "rest-to-route" Warning yes
        "no other servers are known here, so that the route's servers would be asked for every other name too"
        "links: [{name: uplink, match: {name: eth0}, servers: [9.9.9.9]}]";
    "no-default-route" Warning yes
        "no scope is there for names that no domain covers: they are refused"
        "links: [{name: uplink, match: {name: eth0}, servers: [9.9.9.9], defaultRoute: true}]";
    "never-asked" Warning yes
        "resolved answers these names itself and never asks anybody"
        "routes: [{name: lab, domains: [maas], servers: [192.168.4.53]}]";
    "dnssec-for-private-name" Warning yes
        "private zones have no place in the tree of signatures: validation fails for them in ways that are hard to see"
        "global: {dnssec: \"Off\"}";
    "tls-without-name" Warning yes
        "without a #name the certificate must carry the server's address, which few do: every lookup fails"
        "global: {dnsOverTLS: \"On\", servers: [\"9.9.9.9#dns.quad9.net\"]}";
    "opportunistic-tls" Warning yes
        "where port 853 is dropped, lookups stall for minutes; where it is open, nobody checks the certificate"
        "global: {dnsOverTLS: \"Off\"}";
    "limited-by-host" Warning yes
        "multicast DNS and LLMNR of a link reach no further than those of the host as a whole: the lesser of both counts"
        "global: {multicastDNS: \"On\"}";
    "link-waits" Warning yes
        "no interface fits: this part waits until one does"
        "links: [{name: office, match: {name: company0}, kind: Corporate, domains: [corp.example]}]";
    "shadowed" Warning yes
        "a policy of higher priority has set this otherwise, so that this part does nothing"
        "priority: 10";
    "uplink-without-split" Warning yes
        "resolv.conf as Uplink lists only servers for everything: programs that read it never see the routes"
        "resolvConf: Stub";
}

/// The rule of an id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// What is wrong with an entry of `lint.allow`, if anything.
pub fn unknown_rule(id: &str) -> Option<String> {
    match rule(id) {
        Some(rule) if rule.allowable => None,
        Some(rule) => Some(format!("{id} cannot be allowed: {}", rule.reason)),
        None => {
            let hint = crate::spec::schema::nearest(id, RULES.iter().map(|rule| rule.id));
            Some(format!("no rule has the id \"{id}\"{hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_once_and_errors_first() {
        for (i, rule) in RULES.iter().enumerate() {
            assert!(RULES[..i].iter().all(|other| other.id != rule.id), "{}", rule.id);
            assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert!(i == 0 || RULES[i - 1].severity <= rule.severity, "{}", rule.id);
        }
        assert!(unknown_rule("dead-fallbak").is_some_and(|words| words.contains("did you mean \"dead-fallback\"?")));
        assert!(unknown_rule("fail-closed-leak").is_some_and(|words| words.contains("cannot be allowed")));
        assert_eq!(unknown_rule("dead-fallback"), None);
        assert!(rule("mixed-servers").is_some_and(|rule| rule.allowable));
    }
}
