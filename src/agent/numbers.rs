//! What an agent has to tell: how the host stands, what was done, and the policy itself, as numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::guard::Mended;
use crate::host::Probed;
use crate::metrics::label;

/// Something about the host that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// A stable word.
    pub reason: &'static str,
    /// The file, link, policy or probe that it is about; `host` for all of it.
    pub at: String,
    /// What is the matter, and what to do.
    pub message: String,
}

impl Problem {
    /// About the whole host.
    pub fn host(reason: &'static str, message: impl ToString) -> Problem {
        Problem { reason, at: "host".to_owned(), message: message.to_string() }
    }

    /// Whether it is only worth knowing: a part of a policy that waits for an interface.
    pub fn is_note(&self) -> bool {
        self.reason == "Waiting"
    }
}

/// Bounds of the time from the kernel's word to a repaired file, seconds.
const BOUNDS: [f64; 7] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Everything that is counted.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// What is not as it should be.
    pub problems: Vec<Problem>,
    /// Looks at the host.
    pub passes: u64,
    /// How long the last one took.
    pub pass_took: Duration,
    /// When it ended, since 1970.
    pub last_pass: Option<Duration>,
    /// When the host was as declared last, since 1970.
    pub last_good: Option<Duration>,
    /// Repairs by what was repaired: `file`, `link`, `service`.
    pub repairs: BTreeMap<&'static str, u64>,
    /// resolv.conf put back at once, by the time that it took: counts by [`BOUNDS`], sum, count.
    mended: ([u64; BOUNDS.len()], f64, u64),
    /// Changes of policy by how they ended: `committed`, or the reason.
    pub changes: BTreeMap<&'static str, u64>,
    /// Lookups of the policies, as they ended last.
    pub probes: Vec<Probed>,
    /// What somebody keeps overwriting, and how often it was put back in ten minutes.
    pub contested: Vec<(String, usize)>,
    /// `spec` of each policy that counts.
    pub specs: Vec<(String, Value)>,
    /// Whether a bus answers.
    pub bus: bool,
}

/// Seconds since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Numbers {
    /// A file was put back at once.
    pub fn mended(&mut self, mended: &Mended) {
        let took = mended.took.as_secs_f64();
        for (count, bound) in self.mended.0.iter_mut().zip(BOUNDS) {
            *count += u64::from(took <= bound);
        }
        self.mended.1 += took;
        self.mended.2 += 1;
    }

    /// Whether the host is as declared and finds its names.
    pub fn is_good(&self) -> bool {
        self.problems.iter().all(Problem::is_note)
    }

    /// Prometheus text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, String)>| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let flag = |is: bool| u8::from(is).to_string();
        let at = |time: Option<Duration>| time.map(|time| (String::new(), format!("{:.3}", time.as_secs_f64())));
        family(
            "knotwork_build_info",
            "gauge",
            "The running version.",
            vec![(label(&[("version", env!("CARGO_PKG_VERSION"))]), "1".into())],
        );
        family(
            "knotwork_host_good",
            "gauge",
            "Whether the host is as declared and all probes pass.",
            one(flag(self.is_good())),
        );
        family("knotwork_host_bus_up", "gauge", "Whether the system bus answers.", one(flag(self.bus)));
        family(
            "knotwork_host_problem",
            "gauge",
            "What is not as it should be, by a stable word.",
            self.problems.iter().map(|p| (label(&[("reason", p.reason), ("at", &p.at)]), "1".into())).collect(),
        );
        family(
            "knotwork_host_last_pass_timestamp_seconds",
            "gauge",
            "When the host was looked at last.",
            at(self.last_pass).into_iter().collect(),
        );
        family(
            "knotwork_host_last_good_timestamp_seconds",
            "gauge",
            "When the host was as declared last.",
            at(self.last_good).into_iter().collect(),
        );
        family("knotwork_host_passes_total", "counter", "Looks at the host.", one(self.passes.to_string()));
        family(
            "knotwork_host_last_pass_duration_seconds",
            "gauge",
            "How long the last look and what it led to took.",
            one(self.pass_took.as_secs_f64().to_string()),
        );
        let counts = |key: &str, map: &BTreeMap<&'static str, u64>| {
            map.iter().map(|(word, n)| (label(&[(key, word)]), n.to_string())).collect::<Vec<_>>()
        };
        family(
            "knotwork_host_repairs_total",
            "counter",
            "What was brought back to what is declared.",
            counts("what", &self.repairs),
        );
        family("knotwork_host_changes_total", "counter", "Changes of policy.", counts("outcome", &self.changes));
        let contested = self.contested.iter().map(|(at, n)| (label(&[("at", at)]), n.to_string()));
        family(
            "knotwork_host_contested_repairs",
            "gauge",
            "What somebody keeps overwriting: repairs in the last ten minutes.",
            contested.collect(),
        );
        let probe = |value: &dyn Fn(&Probed) -> String| {
            self.probes.iter().map(|p| (label(&[("probe", &p.name)]), value(p))).collect::<Vec<_>>()
        };
        family(
            "knotwork_host_probe_success",
            "gauge",
            "Whether a lookup of the policies came to what it should.",
            probe(&|probe| flag(probe.wrong.is_none())),
        );
        family(
            "knotwork_host_probe_duration_seconds",
            "gauge",
            "How long it took.",
            probe(&|probe| probe.took.as_secs_f64().to_string()),
        );
        let (mut switches, mut items, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (policy, spec) in &self.specs {
            flatten("", spec, &mut |field, value| match value {
                Field::Switch(is) => switches.push((label(&[("policy", policy), ("field", field)]), flag(is))),
                Field::Item(item) => {
                    items.push((label(&[("policy", policy), ("field", field), ("item", item)]), "1".into()));
                }
                Field::Text(text) => {
                    texts.push((label(&[("policy", policy), ("field", field), ("value", text)]), "1".into()));
                }
            });
        }
        family("knotwork_host_policy_enabled", "gauge", "Switches of the policies, by field.", switches);
        family("knotwork_host_policy_item", "gauge", "Entries of the lists of the policies, by field.", items);
        family("knotwork_host_policy_value", "gauge", "All else that the policies say, by field.", texts);
        let name = "knotwork_host_resolv_conf_repair_seconds";
        let _ = writeln!(
            out,
            "# HELP {name} From the kernel's word that somebody changed resolv.conf until it was back.\n# TYPE {name} histogram"
        );
        let (counts, sum, all) = &self.mended;
        for (count, bound) in counts.iter().zip(BOUNDS) {
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {sum}\n{name}_count {all}");
        out
    }
}

enum Field<'a> {
    Switch(bool),
    Item(&'a str),
    Text(&'a str),
}

/// Every switch, list entry and text of a document, with its field.
fn flatten(at: &str, value: &Value, found: &mut dyn FnMut(&str, Field<'_>)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                flatten(&at, value, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::String(text) => found(at, Field::Item(text)),
                    Value::Number(number) => found(at, Field::Item(&number.to_string())),
                    other => {
                        // Parts of a policy have names.
                        let name = other.get("name").and_then(Value::as_str);
                        let at = format!("{at}[{}]", name.map_or_else(|| index.to_string(), str::to_owned));
                        flatten(&at, other, found);
                    }
                }
            }
        }
        Value::Bool(is) => found(at, Field::Switch(*is)),
        Value::String(text) if text == "On" || text == "Off" => found(at, Field::Switch(text == "On")),
        Value::String(text) => found(at, Field::Text(text)),
        Value::Number(number) => found(at, Field::Text(&number.to_string())),
        Value::Null => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_and_list_of_a_policy_is_there() {
        let spec = serde_json::json!({
            "global": {"servers": ["192.0.2.1", "192.0.2.2"], "cache": "On", "dnssec": "Off", "extraListeners": []},
            "routes": [{"name": "lab", "domains": ["maas"], "failClosed": true}],
            "links": [{"match": {"name": "eth\"0"}, "defaultRoute": false, "dnsOverTLS": "Opportunistic"}],
            "priority": 5,
        });
        let numbers = Numbers { specs: vec![("p".into(), spec)], ..Numbers::default() };
        let text = numbers.text();
        for line in [
            "knotwork_host_policy_item{policy=\"p\",field=\"global.servers\",item=\"192.0.2.2\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"global.cache\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"global.dnssec\"} 0",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"routes[lab].failClosed\"} 1",
            "knotwork_host_policy_enabled{policy=\"p\",field=\"links[0].defaultRoute\"} 0",
            "knotwork_host_policy_value{policy=\"p\",field=\"links[0].match.name\",value=\"eth\\\"0\"} 1",
            "knotwork_host_policy_value{policy=\"p\",field=\"links[0].dnsOverTLS\",value=\"Opportunistic\"} 1",
            "knotwork_host_policy_value{policy=\"p\",field=\"priority\",value=\"5\"} 1",
            "knotwork_host_good 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_repair_is_counted_in_every_bucket_that_it_fits() {
        let mut numbers = Numbers::default();
        for took in [2, 70, 5000] {
            numbers.mended(&Mended { path: "/etc/resolv.conf".into(), took: Duration::from_millis(took) });
        }
        let text = numbers.text();
        for (le, count) in [("0.001", 0), ("0.005", 1), ("0.1", 2), ("1", 2), ("+Inf", 3)] {
            let line = format!("knotwork_host_resolv_conf_repair_seconds_bucket{{le=\"{le}\"}} {count}");
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_part_that_waits_is_no_trouble_and_a_probe_that_fails_is() {
        let about = |reason| Problem { reason, at: "x".into(), message: String::new() };
        let mut numbers = Numbers { problems: vec![about("Waiting")], ..Numbers::default() };
        assert!(numbers.is_good());
        numbers.problems.push(about("ProbeFailed"));
        assert!(!numbers.is_good());
    }
}
