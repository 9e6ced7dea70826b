//! What resolved shows of itself, as numbers: scopes, servers in use, what it counts, whose words resolv.conf holds.

use std::collections::BTreeMap;

use super::page::{Page, line};
use crate::resolved::statistics::{ServerState, Statistics};
use crate::split::HostFacts;
use crate::split::facts::{Content, ResolvConfMode};

/// As the last look saw it; nothing of a resolver that did not answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Resolver {
    /// `ScopesMask` of each link.
    scopes: Vec<(String, u64)>,
    /// The server in use, by scope.
    current: BTreeMap<String, String>,
    /// How often another one was in use than at the look before, by scope.
    switches: BTreeMap<String, u64>,
    resolv_conf: Option<(Option<ResolvConfMode>, Content)>,
    /// What it counts.
    pub statistics: Statistics,
    /// What it has learnt of servers; `None` where it does not tell.
    pub states: Option<Vec<ServerState>>,
}

impl Resolver {
    /// Takes in what a look saw.
    pub fn see(&mut self, facts: &HostFacts) {
        let links = facts.links.as_deref().unwrap_or_default();
        self.scopes = links.iter().filter_map(|link| Some((link.name.clone(), link.scopes_mask?))).collect();
        self.resolv_conf = facts.resolv_conf.as_ref().map(|conf| (conf.mode, conf.content));
        let delegates = facts.delegates.as_deref().unwrap_or_default();
        let all = std::iter::once(("global".to_owned(), &facts.global.current))
            .chain(links.iter().map(|link| (format!("link:{}", link.name), &link.current)))
            .chain(delegates.iter().map(|delegate| (format!("delegate:{}", delegate.id), &delegate.current)));
        for (scope, server) in all {
            let Some(server) = server.as_ref().map(ToString::to_string) else {
                // None is chosen until somebody asks, or resolved does not answer: the next one is compared with the last.
                continue;
            };
            let count = self.switches.entry(scope.clone()).or_default();
            if self.current.get(&scope).is_some_and(|known| *known != server) {
                *count += 1;
            }
            self.current.insert(scope, server);
        }
        let is_there = |scope: &String| match scope.split_once(':') {
            Some(("link", name)) => links.iter().any(|link| link.name == name),
            Some(("delegate", id)) => delegates.iter().any(|delegate| delegate.id == id),
            _ => true,
        };
        self.current.retain(|scope, _| is_there(scope));
        self.switches.retain(|scope, _| is_there(scope));
    }

    /// Its families.
    pub fn tell(&self, page: &mut Page) {
        page.family(
            "knotwork_host_link_scopes_mask",
            "gauge",
            "ScopesMask of a link in resolved; bit 0 says that it has a unicast DNS scope.",
            self.scopes.iter().map(|(link, mask)| line(&[("link", link)], mask)).collect(),
        );
        page.family(
            "knotwork_host_current_server",
            "gauge",
            "The server of a scope that was in use last.",
            self.current.iter().map(|(scope, server)| line(&[("scope", scope), ("server", server)], 1)).collect(),
        );
        page.family(
            "knotwork_host_server_switches_total",
            "counter",
            "How often another server of a scope was in use than at the look before.",
            self.switches.iter().map(|(scope, count)| line(&[("scope", scope)], count)).collect(),
        );
        let states = self.states.iter().flatten().flat_map(|state| {
            let kinds = [("verified", &state.verified), ("possible", &state.possible)];
            kinds.into_iter().filter_map(|(kind, level)| {
                let labels = [("scope", state.of.as_str()), ("server", state.server.as_str()), ("kind", kind)];
                Some(line(&[&labels[..], &[("level", level.as_deref()?)]].concat(), 1))
            })
        });
        page.family(
            "knotwork_host_server_feature_level",
            "gauge",
            "How resolved asks a server: the best way that has worked, and the best that it still tries.",
            states.collect(),
        );
        let Statistics { transactions, cache, dnssec } = self.statistics;
        let (now, all) = transactions.unzip();
        let text = |count: Option<u64>| count.map(|count| count.to_string());
        page.one("knotwork_host_transactions", "gauge", "Transactions of resolved that are under way.", text(now));
        page.one("knotwork_host_transactions_total", "counter", "Transactions of resolved since its start.", text(all));
        page.one(
            "knotwork_host_cache_entries",
            "gauge",
            "Entries in the caches of resolved.",
            text(cache.map(|(entries, ..)| entries)),
        );
        let lookups = cache.map(|(_, hits, misses)| [("hit", hits), ("miss", misses)]).into_iter().flatten();
        page.family(
            "knotwork_host_cache_lookups_total",
            "counter",
            "Lookups in the caches of resolved since its start.",
            lookups.map(|(result, count)| line(&[("result", result)], count)).collect(),
        );
        let verdicts = dnssec.map(|(secure, insecure, bogus, indeterminate)| {
            [("secure", secure), ("insecure", insecure), ("bogus", bogus), ("indeterminate", indeterminate)]
        });
        page.family(
            "knotwork_host_dnssec_verdicts_total",
            "counter",
            "Verdicts of DNSSEC in resolved since its start.",
            verdicts.into_iter().flatten().map(|(word, count)| line(&[("verdict", word)], count)).collect(),
        );
        let conf = self.resolv_conf.map(|(mode, content)| {
            let mode = mode.map_or("unknown", |mode| mode.word());
            line(&[("mode", mode), ("content", content.word())], 1)
        });
        page.family(
            "knotwork_host_resolv_conf",
            "gauge",
            "What resolved takes /etc/resolv.conf for, and whose words are in it.",
            conf.into_iter().collect(),
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts(current: &str) -> HostFacts {
        let text = serde_json::json!({
            "version": 1,
            "global": {"current": null},
            "links": [{"ifindex": 2, "name": "eth0", "current": current, "scopesMask": 1}, {"ifindex": 3, "name": "eth1"}],
            "delegates": [{"id": "knotwork-lab", "current": "192.168.4.53"}],
            "resolvConf": {"kind": "symlink", "mode": "stub", "content": "dhclient"},
        });
        HostFacts::from_json(&text.to_string()).unwrap()
    }

    fn text(resolver: &Resolver) -> String {
        let mut page = Page::default();
        resolver.tell(&mut page);
        page.text()
    }

    #[test]
    fn a_switch_is_counted_once_and_not_because_nobody_asked() {
        let mut resolver = Resolver::default();
        for current in ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"] {
            resolver.see(&facts(current));
        }
        // resolved is away for a look, then back with the same server.
        resolver.see(&HostFacts { links: facts("10.0.0.2").links, ..HostFacts::unknown() });
        resolver.see(&facts("10.0.0.2"));
        let text = text(&resolver);
        for line in [
            "knotwork_host_server_switches_total{scope=\"link:eth0\"} 1",
            "knotwork_host_current_server{scope=\"link:eth0\",server=\"10.0.0.2\"} 1",
            "knotwork_host_current_server{scope=\"delegate:knotwork-lab\",server=\"192.168.4.53\"} 1",
            "knotwork_host_link_scopes_mask{link=\"eth0\"} 1",
            "knotwork_host_resolv_conf{mode=\"stub\",content=\"dhclient\"} 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
        assert!(!text.contains("link:eth1") && !text.contains("scope=\"global\""), "{text}");
        // A link that is gone is not told of any more.
        resolver.see(&HostFacts { links: Some(Vec::new()), ..facts("10.0.0.2") });
        assert!(!self::text(&resolver).contains("eth0"));
    }

    #[test]
    fn what_is_not_known_is_absent_and_not_zero() {
        let unknown = text(&Resolver::default());
        assert!(unknown.lines().all(|line| line.starts_with('#')), "{unknown}");
        let statistics = Statistics { transactions: Some((1, 9)), cache: Some((4, 5, 6)), dnssec: Some((0, 7, 0, 0)) };
        let text = text(&Resolver { statistics, ..Resolver::default() });
        for line in [
            "knotwork_host_transactions 1",
            "knotwork_host_transactions_total 9",
            "knotwork_host_cache_entries 4",
            "knotwork_host_cache_lookups_total{result=\"hit\"} 5",
            "knotwork_host_cache_lookups_total{result=\"miss\"} 6",
            "knotwork_host_dnssec_verdicts_total{verdict=\"insecure\"} 7",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }
}
