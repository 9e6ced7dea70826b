//! What carries a link's settings: chosen by what was found on the host, never by the name of a distribution.

use super::merge::interfaces;
use super::nm_target::{Target, target};
use super::preflight::Refuse;
use super::{Chosen, Mechanism, Record, Refusal, Seen, paths, preflight, profiles};
use crate::split::HostFacts;
use crate::split::facts::{DefaultRoute, FileKind, Link, Manager};
use crate::split::policy::{Modes, Multicast, Writer};
use crate::split::wish::{LinkWish, Wish};

/// A link of the wish and what carries it.
#[derive(Debug, Clone)]
pub struct Choice<'a> {
    /// What shall be.
    pub wish: &'a LinkWish,
    /// What carries it.
    pub mechanism: Mechanism,
    /// Why this one.
    pub why: String,
    /// What a profile of NetworkManager must say for it.
    pub profile: Option<Target>,
}

impl Choice<'_> {
    /// For people.
    pub fn chosen(&self) -> Chosen {
        Chosen { link: Some(self.wish.name.clone()), mechanism: self.mechanism, why: self.why.clone() }
    }

    /// Whether resolve1 is told as well: a file that is read only when the link comes up says nothing until then.
    pub fn over_bus(&self) -> bool {
        matches!(self.mechanism, Mechanism::Bus | Mechanism::Ifupdown)
    }
}

/// For every link of the wish; what cannot be had is refused with a way out. `own` is the host without us.
pub fn choose<'a>(
    wish: &'a Wish,
    (facts, own): (&HostFacts, &HostFacts),
    seen: &Seen,
    record: &Record,
) -> (Vec<Choice<'a>>, Vec<Refusal>) {
    let mut refusals = Vec::new();
    let choices = wish
        .links
        .iter()
        .map(|link_wish| {
            let (link, mut profile) = (facts.link(&link_wish.name), None);
            let (mechanism, why) = match link.map_or(Manager::Unknown, |link| link.managed_by) {
                Manager::Networkd => networkd(wish, link_wish, facts),
                Manager::NetworkManager if profiles::is_down(link_wish, facts, record) => {
                    let why =
                        "NetworkManager has the link, and no profile is in force there now; what was set in one stays";
                    (Mechanism::NetworkManager, why.to_owned())
                }
                Manager::NetworkManager => match network_manager(wish, link_wish, facts, own) {
                    Ok((chosen, target)) => {
                        profile = target;
                        chosen
                    }
                    Err(refusal) => {
                        refusals.push(refusal);
                        (Mechanism::NetworkManager, "NetworkManager sets this link's DNS from its profile".to_owned())
                    }
                },
                Manager::Ifupdown => ifupdown(link_wish, facts, seen),
                Manager::Ifupdown2 => bus("ifupdown2 has no settings for DNS"),
                Manager::None | Manager::Unknown if profiles::is_away(link_wish, facts, record) => {
                    let why = "NetworkManager does not run; when it starts, it sets the link from its profile";
                    (Mechanism::NetworkManager, why.to_owned())
                }
                Manager::None => bus("nothing on this host configures the link's DNS"),
                Manager::Unknown => {
                    if profiles::is_silent(link, facts) {
                        refusals.push(silent(link_wish));
                    }
                    bus("who configures the link could not be found out")
                }
            };
            Choice { wish: link_wish, mechanism, why, profile }
        })
        .collect();
    (choices, refusals)
}

fn silent(own: &LinkWish) -> Refusal {
    let refuse = Refuse {
        reason: preflight::NOT_READ,
        at: &own.name,
        message: "NetworkManager runs and does not answer: whether the link is its own could not be found out"
            .to_owned(),
        way_out: "see that it answers (nmcli general), or systemctl restart NetworkManager, then try again".to_owned(),
    };
    refuse.into()
}

fn bus(why: &str) -> (Mechanism, String) {
    (Mechanism::Bus, format!("{why}: set over D-Bus, and again whenever it is lost"))
}

fn networkd(wish: &Wish, own: &LinkWish, facts: &HostFacts) -> (Mechanism, String) {
    let file = facts.link(&own.name).and_then(|link| link.network_file.as_deref());
    let Some(file) = file.filter(|file| paths::network(file).is_some()) else {
        return bus("networkd has the link, and which file of its own that is could not be found out");
    };
    // A drop-in is for all links that the file fits.
    let mut others = facts.links.iter().flatten().filter(|link| {
        link.name != own.name && link.network_file.as_deref().and_then(paths::network) == paths::network(file)
    });
    let like = |other: &Link| {
        let wished = wish.links.iter().find(|wish| wish.name == other.name);
        wished.is_some_and(|wish| is_alike(wish, own))
    };
    match others.find(|other| !like(other)) {
        Some(other) => bus(&format!("{file} is also for {}, which must not get the same settings", other.name)),
        None => (Mechanism::Networkd, format!("networkd has the link; a drop-in of {file} lasts")),
    }
}

fn is_alike(one: &LinkWish, other: &LinkWish) -> bool {
    one.servers == other.servers
        && one.domains == other.domains
        && one.default_route == other.default_route
        && one.modes == other.modes
}

/// Whether NetworkManager is kept off resolved altogether: asked for, and none of its links would lose its servers by it.
pub fn hands_off(wish: &Wish, facts: &HostFacts) -> bool {
    let own_servers = |link: &Link| {
        let wished = wish.links.iter().find(|wish| wish.name == link.name);
        wished.is_some_and(|wish| wish.servers.is_some())
    };
    wish.protect.get(&Writer::NetworkManager) == Some(&true)
        && facts.links.as_ref().is_some_and(|links| {
            let mut all = links.iter().filter(|link| link.managed_by == Manager::NetworkManager);
            all.all(|link| own_servers(link) || link.servers.as_ref().is_some_and(Vec::is_empty))
        })
}

/// What carries a link of NetworkManager's: resolve1 where that is kept off it, else the profile.
fn network_manager(
    wish: &Wish,
    own: &LinkWish,
    facts: &HostFacts,
    base: &HostFacts,
) -> Result<((Mechanism, String), Option<Target>), Refusal> {
    if hands_off(wish, base) {
        return Ok((bus("NetworkManager has the link and is kept off its DNS (protect.networkManager)"), None));
    }
    match target(own, facts) {
        Ok(target) => {
            let why = format!("NetworkManager has the link; its profile {} lasts", target.id);
            Ok(((Mechanism::NetworkManager, why), Some(target)))
        }
        Err(_) if profiles::is_so_already(own, base) => {
            let why = "NetworkManager's profile sets the link just so already".to_owned();
            Ok(((Mechanism::NetworkManager, why), None))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The file in which a link's stanza stands, by what was found of it.
pub fn stanza_file<'a>(facts: &'a HostFacts, link: &str) -> &'a str {
    let link = facts.link(link).filter(|link| link.managed_by == Manager::Ifupdown);
    link.and_then(|link| link.network_file.as_deref()).unwrap_or(paths::INTERFACES)
}

fn ifupdown(own: &LinkWish, facts: &HostFacts, seen: &Seen) -> (Mechanism, String) {
    let by_hook = |why: &str| {
        let text = format!("{why}: set over D-Bus, and again at each ifup and boot");
        (Mechanism::Bus, text)
    };
    if own.servers.as_ref().is_none_or(Vec::is_empty) {
        return by_hook("ifupdown's hook hands on domains only together with servers, and none are wished");
    }
    let Modes { dnssec, dns_over_tls, mdns, llmnr } = own.modes;
    let differs = mdns.is_some_and(|mode| mode != Multicast::Off) || llmnr.is_some_and(|mode| mode != Multicast::On);
    if dnssec.is_some() || dns_over_tls.is_some() || differs {
        return by_hook("ifupdown's hook sets LLMNR on, multicast DNS off and no other modes, and others are wished");
    }
    match seen.files.get(paths::IFUPDOWN_HOOK).filter(|hook| hook.kind == FileKind::File).map(|hook| &hook.content) {
        None | Some(None) => return by_hook("ifupdown has the link, but its hook for resolved is not there"),
        // 0.8.41 of Debian 12 writes `"DNS"="…"`, which sh takes for a command, and then reverts the link.
        Some(Some(hook)) if contains(hook, b"\"$DNS\"=\"$NEW_DNS\"") => {
            return by_hook("ifupdown has the link, but its hook for resolved cannot read back what it writes");
        }
        Some(Some(_)) => {}
    }
    let path = stanza_file(facts, &own.name);
    let interfaces = seen.files.get(path).and_then(|file| file.content.as_deref()).unwrap_or_default();
    if let Some(by) = generator(path, interfaces) {
        return by_hook(&format!("ifupdown has the link, and {by} makes {path}, where its stanza stands"));
    }
    match interfaces::stanza(interfaces, &own.name) {
        Ok(Some(interfaces::Stanza { dns_line: Some(line), .. })) => {
            by_hook(&format!("the stanza of the link has dns- lines of its own ({path} line {line})"))
        }
        Ok(Some(_)) => (
            Mechanism::Ifupdown,
            format!("ifupdown has the link; dns- lines in {path} last, and D-Bus serves until the next ifup"),
        ),
        Ok(None) => by_hook(&format!("ifupdown has the link, but no stanza in {path}")),
        // The file is refused where it is to be changed.
        Err(_) => (Mechanism::Ifupdown, format!("ifupdown has the link; dns- lines in {path} last")),
    }
}

/// Who makes a file of interfaces(5) anew, by its name or the comment that it begins with.
fn generator(path: &str, text: &[u8]) -> Option<&'static str> {
    let comments = text.split(|byte| *byte == b'\n').take_while(|line| line.is_empty() || line.starts_with(b"#"));
    let is_said = comments.into_iter().any(|line| contains(line, b"cloud-init") || contains(line, b"/etc/cloud/"));
    (is_said || paths::split(path).1.contains("cloud-init")).then_some("cloud-init")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The lines of a stanza.
pub fn stanza_lines(own: &LinkWish) -> Vec<String> {
    let join = |words: Vec<String>| words.join(" ");
    let mut lines = Vec::new();
    if let Some(servers) = &own.servers {
        lines.push(format!("dns-nameservers {}", join(servers.iter().map(ToString::to_string).collect())));
    }
    if !own.domains.is_empty() {
        lines.push(format!("dns-search {}", join(own.domains.iter().map(ToString::to_string).collect())));
    }
    lines.push(format!("dns-default-route {}", if own.default_route { "yes" } else { "no" }));
    // The hook acts only where its memory changes, which knows a link by its name: a link made anew would get nothing. And
    // it adds what DHCP clients left there.
    lines.push(
        "up rm -f \"/run/network/ifupdown-$ADDRFAM-$IFACE\" \"/run/network/isc-dhcp-v4-$IFACE\" \
         \"/run/network/isc-dhcp-v6-$IFACE\""
            .to_owned(),
    );
    lines
}

/// What the hook remembers of such lines, for one family of addresses.
pub fn stanza_memory(own: &LinkWish, six: bool) -> String {
    let (join, six) = (|words: Vec<String>| words.join(" "), if six { "6" } else { "" });
    let servers = join(own.servers.iter().flatten().map(ToString::to_string).collect());
    let mut text = format!("DNS{six}=\"{servers}\"\n");
    if !own.domains.is_empty() {
        let domains = join(own.domains.iter().map(ToString::to_string).collect());
        text.push_str(&format!("DOMAINS{six}=\"{domains}\"\n"));
    }
    text.push_str(&format!("DEFAULT_ROUTE=\"{}\"\n", if own.default_route { "yes" } else { "no" }));
    text
}

/// What of a link is not as wished, in words. What could not be read is taken to differ.
pub fn differs(own: &LinkWish, link: &Link) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |differs: bool, word: &str| {
        if differs {
            words.push(word.to_owned());
        }
    };
    say(own.servers.as_ref().is_some_and(|servers| link.servers.as_ref() != Some(servers)), "servers");
    // Routing domains are a set, and versions list them in different orders; search domains are a list.
    let parts = |domains: &[crate::split::RoutedDomain]| {
        let search: Vec<String> = domains.iter().filter(|d| d.is_search()).map(ToString::to_string).collect();
        let mut route: Vec<String> = domains.iter().filter(|d| !d.is_search()).map(|d| d.name.to_relaxed()).collect();
        route.sort_unstable();
        route.dedup();
        (search, route)
    };
    say(link.domains.as_deref().is_none_or(|domains| parts(domains) != parts(&own.domains)), "domains");
    let is_default = match link.default_route {
        DefaultRoute::Yes => Some(true),
        DefaultRoute::No => Some(false),
        DefaultRoute::Automatic | DefaultRoute::Unknown => link.default_route_effective,
    };
    say(is_default != Some(own.default_route), "default route");
    let modes = [
        ("dnssec", own.modes.dnssec.map(|mode| mode.word()), &link.modes.dnssec),
        ("DNS over TLS", own.modes.dns_over_tls.map(|mode| mode.word()), &link.modes.dns_over_tls),
        ("multicast DNS", own.modes.mdns.map(|mode| mode.word()), &link.modes.mdns),
        ("LLMNR", own.modes.llmnr.map(|mode| mode.word()), &link.modes.llmnr),
    ];
    for (word, wanted, is) in modes {
        say(wanted.is_some_and(|wanted| is.as_deref() != Some(wanted)), word);
    }
    words
}

/// A link as it was, to be set so again.
pub fn as_it_was(before: &Link) -> LinkWish {
    let is_default = match before.default_route {
        DefaultRoute::Yes => true,
        DefaultRoute::No => false,
        DefaultRoute::Automatic | DefaultRoute::Unknown => before.default_route_effective.unwrap_or(true),
    };
    LinkWish {
        name: before.name.clone(),
        ifindex: before.ifindex,
        policies: Vec::new(),
        // Unknown is not none.
        servers: before.servers.clone(),
        domains: before.domains.clone().unwrap_or_default(),
        default_route: is_default,
        modes: Modes::read(&before.modes),
    }
}

/// What we set on a link and the wish no longer mentions is set to what it was: resolved would keep it.
pub fn give_back(wish: &mut LinkWish, left: &LinkWish, before: &Link) {
    let was = as_it_was(before);
    if wish.servers.is_none() && left.servers.is_some() {
        wish.servers = was.servers;
    }
    let (own, ours, had) = (&mut wish.modes, &left.modes, &was.modes);
    own.dnssec = own.dnssec.or(ours.dnssec.and(had.dnssec));
    own.dns_over_tls = own.dns_over_tls.or(ours.dns_over_tls.and(had.dns_over_tls));
    own.mdns = own.mdns.or(ours.mdns.and(had.mdns));
    own.llmnr = own.llmnr.or(ours.llmnr.and(had.llmnr));
}
