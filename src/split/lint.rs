//! What is wrong or doubtful about policies on one host. Errors refuse; each finding says why and how it is put right.
//!
//! What can be judged by who is asked, is: each declared domain is routed on the host as it would be, and once more with each
//! link gone. Only what routing does not show is told from the settings.

use std::cell::OnceCell;

use super::DnsServer;
use super::facts::{Content, HostFacts, Link};
use super::lint_names as names;
pub use super::lint_rules::{RULES, Rule, Severity, rule, unknown_rule};
use super::lower::{addresses, domain_limit, server_limit};
use super::lower_merge::{From, Merged};
use super::modes::limited;
use super::policy::{DnsOverTls, Modes, Origin, ResolvConf, Route, StubListener, is_same_place};
use super::wish::{Form, Wish};
use crate::model::Name;

use super::lint_route::{Asked, Asks};

/// One thing that lint found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// By which rule.
    pub rule: &'static Rule,
    /// In which policy.
    pub policy: Origin,
    /// Where there: `spec.routes[0]`.
    pub field: String,
    /// What, in words.
    pub message: String,
    /// How it is put right: part of a `spec`.
    pub fix: String,
    /// The policy lives with it (`lint.allow`).
    pub allowed: bool,
}

impl Finding {
    /// Whether it refuses the policy.
    pub fn is_refusal(&self) -> bool {
        self.rule.severity == Severity::Error && !self.allowed
    }
}

/// Everything that lint finds, errors first. `facts` are those of before; `wish` is what `merged` came to on them.
pub fn lint(merged: &Merged, facts: &HostFacts, wish: &Wish) -> Vec<Finding> {
    let under = wish.under(facts);
    let (before, after) = (Asks::new(facts, wish.systemd), Asks::new(&under, wish.systemd));
    let mut lint = Lint { merged, facts, wish, under, before, after, without: OnceCell::new(), found: Vec::new() };
    lint.reported();
    lint.limits();
    lint.routes();
    lint.links();
    lint.global();
    lint.rest();
    lint.modes();
    let mut found = lint.found;
    found.sort_by_key(|finding| (finding.allowed, finding.rule.severity));
    found.dedup();
    found
}

struct Lint<'a> {
    merged: &'a Merged,
    facts: &'a HostFacts,
    wish: &'a Wish,
    under: HostFacts,
    before: Asks,
    after: Asks,
    without: OnceCell<Vec<(String, Asks)>>,
    found: Vec<Finding>,
}

/// Servers in words.
fn words(servers: &[DnsServer]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn domain_words(domains: &[Name]) -> String {
    let mut all: Vec<String> = domains.iter().take(3).map(Name::to_relaxed).collect();
    if domains.len() > 3 {
        all.push(format!("{} more", domains.len() - 3));
    }
    all.join(", ")
}

/// The servers that are asked and are none of these.
fn strangers(asked: &[Asked], own: &[DnsServer]) -> Vec<DnsServer> {
    let all = asked.iter().flat_map(|one| one.servers.iter());
    all.filter(|server| !own.iter().any(|own| is_same_place(own, server))).cloned().collect()
}

impl Lint<'_> {
    fn find(&mut self, id: &'static str, policy: &Origin, field: &str, message: String) {
        // Ids are written here and in the table; a test names every one.
        let Some(rule) = rule(id) else { return };
        let allowed = rule.allowable && self.merged.allow.get(policy).is_some_and(|allow| allow.contains(id));
        let (policy, field, fix) = (policy.clone(), field.to_owned(), rule.example.to_owned());
        self.found.push(Finding { rule, policy, field, message, fix, allowed });
    }

    fn setter(&self, key: &str) -> Origin {
        self.merged.setters.get(key).or(self.merged.policies.first()).cloned().unwrap_or_default()
    }

    /// What merging and lowering could not do.
    fn reported(&mut self) {
        for From { policy, field, value } in &self.wish.unplaced {
            self.find("no-form", policy, field, value.clone());
        }
        for From { policy, field, value } in &self.wish.contested {
            self.find("link-contradiction", policy, field, value.clone());
        }
        for From { policy, field, value } in &self.wish.waiting {
            self.find(
                "link-waits",
                policy,
                field,
                format!("no interface of this host is {value}; this part waits for one"),
            );
        }
        for From { policy, field, value } in &self.merged.shadowed {
            self.find("shadowed", policy, field, value.clone());
        }
    }

    fn limits(&mut self) {
        let (version, most) = (self.wish.systemd, domain_limit(self.wish.systemd));
        let mut scopes: Vec<(String, Origin, usize, usize)> = Vec::new();
        for delegate in &self.wish.delegates {
            scopes.push((
                format!("the delegate {}", delegate.id),
                delegate.policy.clone(),
                delegate.domains.len(),
                delegate.servers.len(),
            ));
        }
        for link in &self.wish.links {
            let servers = link.servers.as_ref().map_or(0, Vec::len);
            let policy = link.policies.first().cloned().unwrap_or_default();
            scopes.push((format!("the link {}", link.name), policy, link.domains.len(), servers));
        }
        let global = &self.wish.global;
        let policy = self.merged.routes.first().map_or_else(|| self.setter("domains"), |route| route.policy.clone());
        let (domains, servers) =
            (global.domains.as_ref().map_or(0, Vec::len), global.servers.as_ref().map_or(0, Vec::len));
        scopes.push(("the global scope".to_owned(), policy, domains, servers));
        for (scope, policy, domains, servers) in scopes {
            if domains > most {
                let message = format!(
                    "{scope} would have {domains} domains; systemd {version} takes {most}. Address ranges that end at an octet (/8, /16, /24) need one each, others up to 128"
                );
                self.find("too-many-domains", &policy, "spec.routes", message);
            }
            if servers > server_limit(version) {
                let message = format!("{scope} would have {servers} servers; systemd takes {}", server_limit(version));
                self.find("too-many-domains", &policy, "spec.routes", message);
            }
        }
    }

    fn routes(&mut self) {
        for route in &self.merged.routes {
            let From { policy, field, value } = route;
            if !self.wish.unplaced.iter().any(|other| other.policy == *policy && other.field == *field) {
                self.is_as_declared(policy, field, value);
            }
            self.names_of(policy, field, &value.domains, &value.servers);
            if value.fail_closed {
                self.cluster_names(policy, field, value);
            }
        }
    }

    /// Every domain goes to its servers and nowhere else, also when links go.
    fn is_as_declared(&mut self, policy: &Origin, field: &str, route: &Route) {
        let mut differing: Vec<(Name, Vec<DnsServer>)> = Vec::new();
        let mut nobody: Vec<Name> = Vec::new();
        let probes: Vec<(Name, Name)> = route
            .domains
            .iter()
            .filter(|domain| !names::is_never_asked(domain, self.wish.systemd))
            .map(|domain| (domain.clone(), names::below(domain)))
            .collect();
        for (domain, name) in &probes {
            let asked = self.after.ask(name);
            let strangers = strangers(&asked, &route.servers);
            if !strangers.is_empty() {
                differing.push((domain.clone(), strangers));
            } else if asked.is_empty() {
                nobody.push(domain.clone());
            }
        }
        let id = if route.fail_closed { "fail-closed-leak" } else { "route-differs" };
        if let Some((_, strangers)) = differing.first() {
            let domains: Vec<Name> = differing.iter().map(|(domain, _)| domain.clone()).collect();
            let message = format!(
                "names below {} would be asked of {}, but the route says {}",
                domain_words(&domains),
                words(strangers),
                words(&route.servers)
            );
            return self.find(id, policy, field, message);
        }
        if !nobody.is_empty() {
            let message = format!("names below {} would be asked of nobody", domain_words(&nobody));
            return self.find("route-differs", policy, field, message);
        }
        for (which, without) in self.without() {
            for (domain, name) in &probes {
                let strangers = strangers(&without.ask(name), &route.servers);
                if strangers.is_empty() {
                    continue;
                }
                let message = format!(
                    "while {which} gone, names below {} are asked of {}",
                    domain.to_relaxed(),
                    words(&strangers)
                );
                let id = if route.fail_closed { "fail-closed-leak" } else { "leaks-without-link" };
                return self.find(id, policy, field, message);
            }
        }
    }

    /// The host with each link gone, and with all of them, and words for that; made once for all routes.
    fn without(&self) -> &[(String, Asks)] {
        self.without.get_or_init(|| {
            let links = self.under.links.as_deref().unwrap_or_default();
            let used: Vec<&Link> =
                links.iter().filter(|link| link.servers.as_ref().is_none_or(|own| !own.is_empty())).collect();
            let asks = |gone: &[&Link]| {
                let mut host = HostFacts { links: None, ..self.under.clone() };
                let left = links.iter().filter(|link| !gone.iter().any(|one| one.name == link.name));
                host.links = Some(left.cloned().collect());
                Asks::new(&host, self.wish.systemd)
            };
            let mut all: Vec<(String, Asks)> =
                used.iter().map(|link| (format!("the link {} is", link.name), asks(&[link]))).collect();
            if used.len() > 1 {
                // All of them: those without servers have no scope either way.
                all.push(("all links are".to_owned(), asks(&links.iter().collect::<Vec<_>>())));
            }
            all
        })
    }

    /// What domains and servers say by themselves.
    fn names_of(&mut self, policy: &Origin, field: &str, domains: &[Name], servers: &[DnsServer]) {
        let private = servers.iter().filter(|server| names::is_private_address(server.address)).count();
        let private_names: Vec<Name> = domains.iter().filter(|domain| names::is_private(domain)).cloned().collect();
        if private > 0 && private < servers.len() {
            let public: Vec<DnsServer> =
                servers.iter().filter(|server| !names::is_private_address(server.address)).cloned().collect();
            let message = format!(
                "servers are alternatives of each other: {} would be asked for {} too",
                words(&public),
                domain_words(domains)
            );
            self.find("mixed-servers", policy, field, message);
        } else if private == 0 && !servers.is_empty() && !private_names.is_empty() {
            let message = format!("{} would be told to {}", domain_words(&private_names), words(servers));
            self.find("public-server-for-private-name", policy, field, message);
        }
        if let Some(local) = domains.iter().find(|domain| names::is_local(domain)) {
            let message = format!("{} belongs to multicast DNS", local.to_relaxed());
            self.find("local-domain", policy, field, message);
        }
        if let Some(own) = domains.iter().find(|domain| names::is_never_asked(domain, self.wish.systemd)) {
            let message = format!("resolved answers {} itself: nobody is ever asked", own.to_relaxed());
            self.find("never-asked", policy, field, message);
        }
    }

    fn cluster_names(&mut self, policy: &Origin, field: &str, route: &Route) {
        let Some(kubelet) = &self.facts.kubelet else { return };
        let own = kubelet.needs.iter().flatten().map(String::as_str);
        let needed: Vec<String> = own
            .chain(names::REGISTRIES.iter().copied())
            .filter(|text| {
                Name::parse(text).is_ok_and(|name| route.domains.iter().any(|domain| name.is_at_or_below(domain)))
            })
            .map(str::to_owned)
            .collect();
        if !needed.is_empty() {
            let message = format!("this node needs {}, which the route closes", needed.join(", "));
            self.find("cluster-names-closed", policy, field, message);
        }
    }

    fn links(&mut self) {
        for From { policy, field, value: link } in &self.merged.links {
            let servers = link.servers.clone().unwrap_or_default();
            self.names_of(policy, field, &link.domains, &servers);
            if link.search
                && let Some(both) = link
                    .domains
                    .iter()
                    .find(|name| self.merged.routes.iter().any(|route| route.value.domains.contains(name)))
            {
                let message = format!("{} is a search domain here and a routing domain of a route", both.to_relaxed());
                self.find("search-and-route", policy, field, message);
            }
        }
        for wish in &self.wish.links {
            let policy = wish.policies.first().cloned().unwrap_or_default();
            let place = self.merged.links.iter().find(|link| link.policy == policy);
            let field = place.map_or("spec.links".to_owned(), |link| link.field.clone());
            let facts = self.under.link(&wish.name).cloned();
            let servers = facts.and_then(|facts| facts.servers);
            let named: Vec<Name> =
                wish.domains.iter().filter(|domain| !domain.name.is_root()).map(|domain| domain.name.clone()).collect();
            match servers {
                Some(servers) if servers.is_empty() && !named.is_empty() => {
                    let message = format!("{} would have {} and no server", wish.name, domain_words(&named));
                    self.find("domains-without-servers", &policy, &field, message);
                }
                Some(servers) if !servers.is_empty() => {
                    // Its own domains go to it, unless a route has them.
                    let own = named.iter().filter(|name| self.merged.route_of(name).is_none());
                    let mut wrong = own.map(|name| (name, strangers(&self.after.ask(&names::below(name)), &servers)));
                    let wrong = wrong.find(|(_, strangers)| !strangers.is_empty());
                    if let Some((name, strangers)) = wrong {
                        let message = format!(
                            "names below {} would be asked of {} too, not of {} alone",
                            name.to_relaxed(),
                            words(&strangers),
                            wish.name
                        );
                        self.find("route-differs", &policy, &field, message);
                    }
                }
                _ => {}
            }
        }
    }

    fn global(&mut self) {
        let declared = &self.merged.global;
        let servers = declared.servers.clone().or_else(|| self.facts.global.servers.clone());
        let domains: Vec<Name> = declared.domains.iter().flatten().filter(|name| !name.is_root()).cloned().collect();
        let policy = self.setter("domains");
        match &servers {
            Some(servers) if !domains.is_empty() && !servers.is_empty() => {
                let others: Vec<DnsServer> =
                    servers.iter().filter(|server| !names::is_private_address(server.address)).cloned().collect();
                let danger = match others.is_empty() || others.len() == servers.len() {
                    true => format!("{} would be asked for every other name too", words(servers)),
                    false => {
                        format!("{} would be told of private names as soon as another one is slow", words(&others))
                    }
                };
                let message = format!(
                    "global.domains ({}) keeps no name from {}: {danger}. Declare a route",
                    domain_words(&domains),
                    words(servers)
                );
                self.find("global-domains", &policy, "spec.global.domains", message);
                let fix = super::lint_propose::split_of_global(self.wish.systemd, self.facts, &domains, servers);
                if let Some(finding) = self.found.last_mut() {
                    finding.fix = fix;
                }
            }
            Some(_) if !domains.is_empty() => {
                let message =
                    format!("global.domains has {} and no server: they route nothing", domain_words(&domains));
                self.find("domains-without-servers", &policy, "spec.global.domains", message);
            }
            Some(servers) if declared.servers.is_some() => {
                let policy = self.setter("servers");
                let servers = servers.clone();
                self.names_of(&policy, "spec.global.servers", &[Name::root()], &servers);
            }
            _ => {}
        }
    }

    /// Names that no domain covers.
    fn rest(&mut self) {
        let name = names::below(&names::elsewhere());
        if self.merged.route_of(&name).is_some() {
            return;
        }
        let (before, after) = (self.before.ask(&name), self.after.ask(&name));
        let policy = self.merged.policies.first().cloned().unwrap_or_default();
        let has_links = self.facts.links.as_ref().is_some_and(|links| !links.is_empty());
        if after.is_empty() {
            if !before.is_empty() {
                let servers: Vec<DnsServer> = before.iter().flat_map(|asked| asked.servers.clone()).collect();
                let message = format!("such names are asked of {} now; nobody would be left for them", words(&servers));
                self.find("loses-default-route", &policy, "spec", message);
            } else if has_links {
                let message = "nobody is asked for names that no domain covers, now or then".to_owned();
                self.find("no-default-route", &policy, "spec", message);
            }
        }
        // Only in the global form can a route's servers be asked for the rest.
        if self.wish.form == Form::Global {
            let own = self.wish.global.servers.clone().unwrap_or_default();
            let to_route = after.iter().any(|asked| asked.is_global);
            let route =
                self.merged.routes.iter().find(|route| super::lower_merge::same_servers(&route.value.servers, &own));
            if let Some(From { policy, field, .. }) = route.cloned().filter(|_| to_route) {
                let others = strangers(&before, &own);
                if others.is_empty() {
                    let message =
                        format!("{} would be asked for every other name too: no link has other servers", words(&own));
                    self.find("rest-to-route", &policy, &field, message);
                } else {
                    let message = format!(
                        "every other name is asked of {} now, and would be of {}; give those servers to the uplink",
                        words(&others),
                        words(&own)
                    );
                    self.find("moves-default-route", &policy, &field, message);
                }
            }
        }
        let touched = self.merged.global.servers.as_ref().is_some_and(|servers| !servers.is_empty())
            || self.wish.links.iter().any(|link| link.default_route);
        let globals: Vec<DnsServer> =
            after.iter().filter(|asked| asked.is_global).flat_map(|asked| asked.servers.clone()).collect();
        let others: Vec<&Asked> = after.iter().filter(|asked| !asked.is_global).collect();
        if touched && !globals.is_empty() && !strangers(&after, &globals).is_empty() {
            let scopes: Vec<&str> = others.iter().map(|asked| asked.scope.as_str()).collect();
            let message = format!(
                "names that no domain covers would go to the global servers ({}) and to {} at once",
                words(&globals),
                scopes.join(", ")
            );
            let policy = self.setter("servers");
            self.find("global-beside-default-route", &policy, "spec.global.servers", message);
        }
        let fallback = self.merged.global.fallback_servers.clone().unwrap_or_default();
        if !fallback.is_empty()
            && !after.iter().any(|asked| asked.servers.iter().any(|server| fallback.contains(server)))
        {
            let message = format!(
                "{} would never be asked: fallback servers serve only hosts without any other server",
                words(&fallback)
            );
            let policy = self.setter("fallbackServers");
            self.find("dead-fallback", &policy, "spec.global.fallbackServers", message);
        }
    }

    fn modes(&mut self) {
        let is_past_us = match self.wish.resolv_conf {
            ResolvConf::Uplink => true,
            ResolvConf::Stub => false,
            // Whatever it leads to: where the stub is off, nothing in it can lead to resolved.
            ResolvConf::Unmanaged => {
                let leads = self.facts.resolv_conf.as_ref().map(|known| known.content);
                self.wish.global.stub_listener == Some(StubListener::Off) || leads == Some(Content::Uplink)
            }
        };
        if is_past_us && !self.merged.routes.is_empty() {
            let policy = self.setter("resolvConf");
            let message = "programs that read /etc/resolv.conf themselves would not see the routes".to_owned();
            self.find("uplink-without-split", &policy, "spec.resolvConf", message);
        }
        let global = self.under.global.modes.clone();
        for (policy, field, message) in limited(&self.merged.links, Modes::read(&global)) {
            self.find("limited-by-host", &policy, &field, message);
        }
        let on = |mode: &Option<String>| mode.as_deref().is_some_and(|mode| mode == "yes" || mode == "allow-downgrade");
        // Delegates and the global scope have the global mode.
        if on(&global.dnssec) && self.wish.form != Form::Links {
            let routes = self.merged.routes.clone();
            for From { policy, field, value } in routes {
                if let Some(private) = value.domains.iter().find(|domain| names::is_private(domain)) {
                    let message = format!(
                        "DNSSEC={} would be in force for {}",
                        global.dnssec.as_deref().unwrap_or_default(),
                        private.to_relaxed()
                    );
                    self.find("dnssec-for-private-name", &policy, &field, message);
                }
            }
        }
        let mut scopes: Vec<(Origin, String, Modes, Vec<DnsServer>)> = Vec::new();
        let mut servers = self.wish.global.servers.clone().unwrap_or_default();
        servers.extend(self.wish.delegates.iter().flat_map(|delegate| delegate.servers.clone()));
        // Links without a mode of their own have the host's, whoever gives them their servers.
        let own_mode = |name: &str| {
            let mut named = self.wish.links.iter().filter(|wish| wish.name == name);
            named.any(|wish| wish.modes.dns_over_tls.is_some())
        };
        let follows = self.under.links.iter().flatten().filter(|link| {
            link.state.loopback != Some(true)
                && !own_mode(&link.name)
                && !link.told.iter().flatten().any(|word| word == "dnsOverTls")
        });
        for server in follows.flat_map(|link| link.servers.iter().flatten()) {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        scopes.push((self.setter("dnsOverTLS"), "spec.global.dnsOverTLS".into(), self.merged.global.modes, servers));
        for From { policy, field, value } in &self.merged.links {
            // Those that come with its lease are asked no otherwise than those of a policy.
            let met =
                self.facts.links.iter().flatten().filter(|link| value.matches.is_met(&link.name, &addresses(link)));
            let leased = || met.filter_map(|link| link.servers.clone()).flatten().collect();
            let servers = value.servers.clone().unwrap_or_else(leased);
            scopes.push((policy.clone(), format!("{field}.dnsOverTLS"), value.modes, servers));
        }
        for (policy, field, modes, servers) in scopes {
            let bare: Vec<DnsServer> = servers.into_iter().filter(|server| server.name.is_none()).collect();
            match modes.dns_over_tls {
                Some(DnsOverTls::On) if !bare.is_empty() => {
                    let message = format!("the certificate of {} would have to carry the address", words(&bare));
                    self.find("tls-without-name", &policy, &field, message);
                }
                Some(DnsOverTls::Opportunistic) => {
                    let message = "lookups stall where port 853 is dropped".to_owned();
                    self.find("opportunistic-tls", &policy, &field, message);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
