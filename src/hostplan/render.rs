//! The texts of our own files, without the mark. What a release does not know or would drop is refused, never written.

use crate::split::policy::{Cache, DnsOverTls, Modes, StubListener, parse_server};
use crate::split::wish::{DelegateWish, GlobalWish, LinkWish};
use crate::split::{DnsServer, RoutedDomain, SystemdVersion};

/// A text, or each thing in it that must not be written.
pub type Rendered = Result<String, Vec<String>>;

/// Lines `Key=value`, and what is wrong.
struct Lines {
    version: SystemdVersion,
    text: String,
    wrong: Vec<String>,
}

impl Lines {
    fn new(version: SystemdVersion) -> Lines {
        Lines { version, text: String::new(), wrong: Vec::new() }
    }

    fn section(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&format!("[{name}]\n"));
    }

    fn key(&mut self, key: &str, value: &str) {
        self.text.push_str(&format!("{key}={value}\n"));
    }

    /// A list: emptied first, since lists of all files add up.
    fn list(&mut self, key: &str, values: &[String]) {
        self.key(key, "");
        if !values.is_empty() {
            self.key(key, &values.join(" "));
        }
    }

    fn servers(&mut self, servers: &[DnsServer]) -> Vec<String> {
        let mut texts = Vec::new();
        for server in servers {
            match server_text(server, self.version) {
                Ok(text) => texts.push(text),
                Err(why) => self.wrong.push(why),
            }
        }
        texts
    }

    fn domains(&mut self, domains: &[RoutedDomain]) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for domain in domains {
            match domain_text(domain) {
                Ok(text) if !texts.contains(&text) => texts.push(text),
                Ok(_) => {}
                Err(why) => self.wrong.push(why),
            }
        }
        texts
    }

    fn modes(&mut self, modes: &Modes) {
        if let Some(mode) = modes.dnssec {
            self.key("DNSSEC", mode.word());
        }
        if let Some(mode) = modes.dns_over_tls {
            if mode == DnsOverTls::On && self.version.0 < 243 {
                self.needs("DNSOverTLS=yes", 243);
            }
            self.key("DNSOverTLS", mode.word());
        }
        if let Some(mode) = modes.mdns {
            self.key("MulticastDNS", mode.word());
        }
        if let Some(mode) = modes.llmnr {
            self.key("LLMNR", mode.word());
        }
    }

    fn needs(&mut self, what: &str, first: u16) {
        self.wrong.push(format!("{what} needs systemd {first}, and this is {}", self.version));
    }

    fn done(self) -> Rendered {
        if self.wrong.is_empty() { Ok(self.text) } else { Err(self.wrong) }
    }
}

/// A server as this release reads it.
///
/// # Errors
/// In words, where resolved would drop it or the rest of the line.
pub fn server_text(server: &DnsServer, version: SystemdVersion) -> Result<String, String> {
    let text = server.to_string();
    parse_server(&text)?;
    let DnsServer { address, port, interface, name } = server;
    // Before 246 only an IPv6 link-local address could name its interface.
    let plain = port.is_none() && name.is_none() && (interface.is_none() || address.is_ipv6());
    if version.0 < 246 && !plain {
        return Err(format!(
            "\"{text}\": ports, interfaces and names of servers need systemd 246, and this is {version}"
        ));
    }
    Ok(text)
}

/// A domain as resolved reads it.
///
/// # Errors
/// In words: one that resolved does not take makes it drop the whole file.
pub fn domain_text(domain: &RoutedDomain) -> Result<String, String> {
    let good = |label: &[u8]| label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !domain.name.labels().all(good) {
        return Err(format!("\"{domain}\": a domain of resolved has letters, digits, '-' and '_' in its labels"));
    }
    Ok(domain.to_string())
}

/// `resolved.conf.d/50-knotwork.conf`; `None` where the wish sets nothing global.
pub fn resolved_conf(wish: &GlobalWish, version: SystemdVersion) -> Option<Rendered> {
    if *wish == GlobalWish::default() {
        return None;
    }
    let mut lines = Lines::new(version);
    lines.section("Resolve");
    if let Some(servers) = &wish.servers {
        let servers = lines.servers(servers);
        lines.list("DNS", &servers);
    }
    if let Some(domains) = &wish.domains {
        let domains = lines.domains(domains);
        lines.list("Domains", &domains);
    }
    if let Some(fallback) = &wish.fallback {
        let fallback = lines.servers(fallback);
        lines.list("FallbackDNS", &fallback);
    }
    lines.modes(&wish.modes);
    if let Some(cache) = wish.cache {
        if cache == Cache::NoNegative && version.0 < 243 {
            lines.needs("Cache=no-negative", 243);
        }
        lines.key(
            "Cache",
            match cache {
                Cache::On => "yes",
                Cache::Off => "no",
                Cache::NoNegative => "no-negative",
            },
        );
    }
    if let Some(listener) = wish.stub_listener {
        lines.key(
            "DNSStubListener",
            match listener {
                StubListener::On => "yes",
                StubListener::Off => "no",
                StubListener::Udp => "udp",
                StubListener::Tcp => "tcp",
            },
        );
    }
    if let Some(extra) = &wish.extra_listeners {
        for listener in extra {
            if listener.is_empty() || !listener.bytes().all(|b| b.is_ascii_alphanumeric() || b"[]:.%".contains(&b)) {
                lines.wrong.push(format!("\"{listener}\" is no listener: [udp:|tcp:]address[:port]"));
            }
        }
        match version.0 >= 247 {
            true => {
                lines.key("DNSStubListenerExtra", "");
                extra.iter().for_each(|listener| lines.key("DNSStubListenerExtra", listener));
            }
            false if extra.is_empty() => {}
            false => lines.needs("DNSStubListenerExtra=", 247),
        }
    }
    Some(lines.done())
}

/// A `dns-delegate`. One that resolved would drop, in whole or in part, is refused: its names would go elsewhere.
pub fn delegate(wish: &DelegateWish, version: SystemdVersion) -> Rendered {
    let mut lines = Lines::new(version);
    lines.section("Delegate");
    let servers = lines.servers(&wish.servers);
    let domains = lines.domains(&wish.domains);
    if wish.servers.is_empty() || wish.domains.is_empty() {
        lines.wrong.push("a delegate without servers or without domains is none".to_owned());
    }
    for (i, server) in wish.servers.iter().enumerate() {
        if version.0 < 262 && wish.servers[..i].iter().any(|other| other.address == server.address) {
            let address = server.address;
            lines.wrong.push(format!("{address} stands there twice, and systemd {version} drops what follows"));
        }
    }
    let limit = crate::split::lower::domain_limit(version);
    if domains.len() > limit {
        lines.wrong.push(format!("{} domains; a scope of systemd {version} takes {limit}", domains.len()));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !wish.id.starts_with(super::PREFIX) || !wish.id.bytes().all(plain) {
        lines.wrong.push(format!("\"{}\" is no name for a file of ours", wish.id));
    }
    lines.key("DNS", &servers.join(" "));
    lines.key("Domains", &domains.join(" "));
    lines.key("DefaultRoute", "no");
    lines.done()
}

/// A drop-in of a `.network` file.
pub fn network(wish: &LinkWish, version: SystemdVersion) -> Rendered {
    let mut lines = Lines::new(version);
    lines.section("Network");
    if let Some(servers) = &wish.servers {
        let servers = lines.servers(servers);
        lines.list("DNS", &servers);
    }
    let domains = lines.domains(&wish.domains);
    lines.list("Domains", &domains);
    lines.key("DNSDefaultRoute", if wish.default_route { "yes" } else { "no" });
    lines.modes(&wish.modes);
    // The wish holds all domains, the announced ones among them where they stay; another lease must not add to them.
    let dhcp: &[&str] = if version.0 < 243 { &["DHCP"] } else { &["DHCPv4", "DHCPv6"] };
    for section in dhcp.iter().chain(&["IPv6AcceptRA"]) {
        lines.section(section);
        if wish.servers.is_some() {
            lines.key("UseDNS", "no");
        }
        lines.key("UseDomains", "no");
    }
    lines.done()
}

/// A drop-in of NetworkManager.conf: off resolv.conf, and where `hands_off` off the links in resolved too.
pub fn network_manager(hands_off: bool) -> String {
    match hands_off {
        true => "[main]\ndns=none\nrc-manager=unmanaged\nsystemd-resolved=false\n".to_owned(),
        false => "[main]\nrc-manager=unmanaged\n".to_owned(),
    }
}

/// The unit that sets at boot what lives only in resolved's memory. A lease or a probe may come later than the unit: it is
/// tried again, where such a unit may be (244).
pub fn boot_unit(version: SystemdVersion) -> String {
    let again = if version.0 >= 244 { "Restart=on-failure\nRestartSec=3\n" } else { "" };
    format!(
        "[Unit]\n\
         Description=DNS settings of links that systemd-resolved does not keep over a boot (knotwork)\n\
         ConditionFileIsExecutable={program}\n\
         Wants=systemd-resolved.service\n\
         After=dbus.service systemd-resolved.service network.target\n\
         StartLimitIntervalSec=300\n\
         StartLimitBurst=30\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={program} host apply --accepted\n\
         TimeoutStartSec=120\n\
         {again}\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        program = super::paths::BOOT_PROGRAM
    )
}
