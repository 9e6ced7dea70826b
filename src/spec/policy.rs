//! `SplitDNSPolicy`: which DNS servers a host asks for which names.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::record::Metadata;
use super::scalar::{Flag, Int, Text, items, present};

/// This kind.
pub const POLICY_KIND: &str = "SplitDNSPolicy";

/// A `SplitDNSPolicy` as a manifest has it; it has no namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitDnsPolicy {
    /// `dns.knotwork.dev/v1alpha1`.
    pub api_version: Text,
    /// `SplitDNSPolicy`.
    pub kind: Text,
    /// Its name.
    pub metadata: Metadata,
    /// What is declared.
    pub spec: PolicySpec,
    /// A report of the operator: never read here.
    #[serde(default, skip_serializing)]
    pub status: IgnoredAny,
}

macro_rules! part {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:tt $(<$of:ty>)?),+ $(,)? }) => {
        part!(@ [$(#[$doc])*] $name [] $($(#[$field_doc])* $field: $kind $(<$of>)?,)+);
    };
    (@ [$(#[$doc:meta])*] $name:ident [$($done:tt)*]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name { $($done)* }
    };
    (@ $doc:tt $name:ident [$($done:tt)*] $(#[$field_doc:meta])* $field:ident: Vec<$of:ty>, $($rest:tt)*) => {
        part!(@ $doc $name [$($done)*
            $(#[$field_doc])*
            #[serde(deserialize_with = "items", skip_serializing_if = "Vec::is_empty")]
            pub $field: Vec<$of>,
        ] $($rest)*);
    };
    (@ $doc:tt $name:ident [$($done:tt)*] $(#[$field_doc:meta])* $field:ident: Option<$of:ty>, $($rest:tt)*) => {
        part!(@ $doc $name [$($done)*
            $(#[$field_doc])*
            #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            pub $field: Option<$of>,
        ] $($rest)*);
    };
    (@ $doc:tt $name:ident [$($done:tt)*] $(#[$field_doc:meta])* $field:ident: $kind:tt, $($rest:tt)*) => {
        part!(@ $doc $name [$($done)*
            $(#[$field_doc])*
            pub $field: $kind,
        ] $($rest)*);
    };
}

part!(
    /// What one policy declares.
    PolicySpec {
        /// Where two policies set the same thing, the higher one counts; 0 by default.
        priority: Option<Int>,
        /// Nodes by label; absent: no nodes, `{}`: all.
        node_selector: Option<NodeSelectorSpec>,
        /// Machines outside the cluster, by name; they join those that the selector finds.
        hosts: Vec<Text>,
        /// Which domains go to which servers.
        routes: Vec<RouteSpec>,
        /// Wishes about interfaces.
        links: Vec<LinkSpec>,
        /// The settings of the host as a whole.
        global: Option<GlobalSpec>,
        /// What `/etc/resolv.conf` leads to.
        resolv_conf: Option<ResolvConfSpec>,
        /// Programs to keep from writing `/etc/resolv.conf` and link settings.
        protect: Option<ProtectSpec>,
        /// Lines of our block in `/etc/hosts`.
        hosts_file: Vec<HostLineSpec>,
        /// The `hosts:` line of nsswitch.conf.
        nsswitch: Option<NsswitchSpec>,
        /// What must resolve before a change counts as good.
        probes: Vec<ProbeSpec>,
        /// About lint.
        lint: Option<LintSpec>,
        /// How it goes out to many hosts.
        rollout: Option<RolloutSpec>,
        /// What happens to the hosts when the policy goes.
        on_delete: Option<OnDeleteSpec>,
    }
);
part!(
    /// A label selector of Kubernetes.
    NodeSelectorSpec {
        /// All of these.
        match_labels: Option<BTreeMap<String, Text>>,
        /// All of these hold.
        match_expressions: Vec<ExpressionSpec>,
    }
);
part!(
    /// One condition of a label selector.
    ExpressionSpec {
        /// The label.
        key: Text,
        /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
        operator: Text,
        /// Its values, for `In` and `NotIn`.
        values: Vec<Text>,
    }
);
part!(
    /// Domains and who is asked for them.
    RouteSpec {
        /// Its name, once in a policy.
        name: Text,
        /// The domains, each with all below it; `.` is everything.
        domains: Vec<Text>,
        /// `ip[:port][%ifname][#name-in-its-certificate]`; alternatives of each other.
        servers: Vec<Text>,
        /// Address ranges whose reverse zones go there too.
        reverse_for: Vec<Text>,
        /// Never ask anybody else for these names.
        fail_closed: Option<Flag>,
    }
);
part!(
    /// A wish about interfaces.
    LinkSpec {
        /// Its name, once in a policy.
        name: Text,
        /// Which interfaces.
        r#match: MatchSpec,
        /// What the interface is for.
        kind: Option<LinkKindSpec>,
        /// Its servers; absent: those that it has.
        servers: Option<Vec<Text>>,
        /// Its domains.
        domains: Vec<Text>,
        /// Whether domains that were announced or given as search domains stay such.
        search_domains: Option<SearchDomainsSpec>,
        /// Whether it is asked for names that no domain covers; by default what its kind says.
        default_route: Option<Flag>,
        /// DNSSEC validation.
        dnssec: Option<DnssecSpec>,
        /// DNS over TLS.
        #[serde(rename = "dnsOverTLS")]
        dns_over_tls: Option<DnsOverTlsSpec>,
        /// Multicast DNS.
        #[serde(rename = "multicastDNS")]
        multicast_dns: Option<MulticastSpec>,
        /// Link-local multicast name resolution.
        llmnr: Option<MulticastSpec>,
    }
);
part!(
    /// Which interfaces: exactly one of these.
    MatchSpec {
        /// The one of this name.
        name: Option<Text>,
        /// Those that a shell pattern fits.
        glob: Option<Text>,
        /// Those with an address in this range.
        address: Option<Text>,
    }
);
part!(
    /// The settings of the host as a whole; what is absent stays as it is.
    GlobalSpec {
        /// `DNS=`.
        servers: Option<Vec<Text>>,
        /// `Domains=`, as routing domains.
        domains: Option<Vec<Text>>,
        /// `FallbackDNS=`.
        fallback_servers: Option<Vec<Text>>,
        /// `DNSSEC=`.
        dnssec: Option<DnssecSpec>,
        /// `DNSOverTLS=`.
        #[serde(rename = "dnsOverTLS")]
        dns_over_tls: Option<DnsOverTlsSpec>,
        /// `MulticastDNS=`.
        #[serde(rename = "multicastDNS")]
        multicast_dns: Option<MulticastSpec>,
        /// `LLMNR=`.
        llmnr: Option<MulticastSpec>,
        /// `Cache=`.
        cache: Option<CacheSpec>,
        /// `DNSStubListener=`.
        stub_listener: Option<StubListenerSpec>,
        /// `DNSStubListenerExtra=`.
        extra_listeners: Option<Vec<Text>>,
    }
);
part!(
    /// Programs to keep from writing.
    ProtectSpec {
        /// ISC's DHCP client.
        dhclient: Option<SwitchSpec>,
        /// dhcpcd.
        dhcpcd: Option<SwitchSpec>,
        /// NetworkManager.
        network_manager: Option<SwitchSpec>,
    }
);
part!(
    /// A line of `/etc/hosts`.
    HostLineSpec {
        /// The address.
        address: Text,
        /// Its names, the canonical one first.
        names: Vec<Text>,
    }
);
part!(
    /// A lookup that must succeed.
    ProbeSpec {
        /// Its name, once in a policy.
        name: Text,
        /// The name that is looked up.
        query: Text,
        /// The type; by default addresses of either family.
        r#type: Option<Text>,
        /// What the answer must be.
        expect: ExpectSpec,
    }
);
part!(
    /// What an answer must be: exactly one of these.
    ExpectSpec {
        /// All of these are in it.
        addresses: Vec<Text>,
        /// Anything, as long as it is an answer.
        any: Option<Flag>,
    }
);
part!(
    /// About lint.
    LintSpec {
        /// Rules, by id, that this policy lives with.
        allow: Vec<Text>,
    }
);
part!(
    /// How a policy goes out to many hosts.
    RolloutSpec {
        /// Hosts that go first.
        canaries: Option<Int>,
        /// A number of hosts (`"3"`) or a part of all (`"25%"`).
        max_unavailable: Option<Text>,
    }
);

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident $(= $text:literal)?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$word_doc])* $(#[serde(rename = $text)])? $word),+ }
    };
}

words!(
    /// What an interface is for (systemd's document on resolved and VPNs).
    LinkKindSpec {
        /// Its own domains only.
        Corporate,
        /// Everything goes there.
        Privacy,
        /// An ordinary network.
        Regular,
        /// Asked only for the domains given here.
        Untrusted,
    }
);
words!(
    /// What becomes of search domains.
    SearchDomainsSpec {
        /// They become routing domains: never appended to a name.
        Route,
        /// They stay search domains.
        Keep,
    }
);
words!(
    /// `DNSSEC=`.
    DnssecSpec {
        /// Validate.
        On,
        /// Do not validate.
        Off,
        /// Validate where the server can.
        AllowDowngrade,
    }
);
words!(
    /// `DNSOverTLS=`.
    DnsOverTlsSpec {
        /// Only so.
        On,
        /// Never.
        Off,
        /// Where the server can.
        Opportunistic,
    }
);
words!(
    /// `MulticastDNS=`, `LLMNR=`.
    MulticastSpec {
        /// Ask and answer.
        On,
        /// Neither.
        Off,
        /// Ask only.
        Resolve,
    }
);
words!(
    /// `Cache=`.
    CacheSpec {
        /// Keep answers.
        On,
        /// Keep nothing.
        Off,
        /// Keep positive answers only.
        NoNegative,
    }
);
words!(
    /// `DNSStubListener=`.
    StubListenerSpec {
        /// UDP and TCP.
        On,
        /// Neither.
        Off,
        /// Only UDP.
        Udp = "UDP",
        /// Only TCP.
        Tcp = "TCP",
    }
);
words!(
    /// What `/etc/resolv.conf` leads to.
    ResolvConfSpec {
        /// resolved's stub.
        Stub,
        /// The list of upstream servers.
        Uplink,
        /// Whatever is there.
        Unmanaged,
    }
);
words!(
    /// The `hosts:` line of nsswitch.conf.
    NsswitchSpec {
        /// Keep it right.
        Manage,
        /// Leave it.
        Unmanaged,
    }
);
words!(
    /// What happens to the hosts when the policy goes.
    OnDeleteSpec {
        /// What was there before is put back.
        Restore,
        /// They stay as they are.
        Keep,
    }
);
words!(
    /// On or off.
    SwitchSpec {
        /// On.
        On,
        /// Off.
        Off,
    }
);
