//! What an agent has to tell: how the host stands, what was done, and the policy itself, as numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::fields;
use super::guard::Mended;
use super::page::{Lines, Page, flag, line};
use super::resolver::Resolver;
use crate::host::store::{Generation, Restarts};
use crate::host::{Probed, ProbedBy};

/// A probe: its labels, whether it passed, how long it took.
type Tried<'a> = (Vec<(&'a str, &'a str)>, bool, Duration);

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
    /// Changes that were undone, by whether everything is as before: `restored`, `partly`.
    pub rollbacks: BTreeMap<&'static str, u64>,
    /// Differences from what is declared that came up, by what differed: `file`, `link`.
    pub drift: BTreeMap<&'static str, u64>,
    /// What differed at the last look.
    pub(super) differing: BTreeSet<String>,
    /// Lookups of the policies through the bus, as they ended last.
    pub probes: Vec<Probed>,
    /// The same lookups by other ways.
    pub by_paths: Vec<ProbedBy>,
    /// What lint says of the policies: how many findings by policy, rule and severity.
    pub lint: BTreeMap<(String, &'static str, &'static str), u64>,
    /// Which policies count, and whether the files say the same; `None` where they cannot be read.
    pub generation: (Generation, Option<Generation>),
    /// What resolved was told, counted over all programs of ours on this host.
    pub restarts: Restarts,
    /// What resolved shows.
    pub(super) resolver: Resolver,
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
        *self.repairs.entry("file").or_default() += 1;
        *self.drift.entry("file").or_default() += 1;
    }

    /// What differs from what is declared now: what did not at the last look is counted.
    pub fn differs(&mut self, now: BTreeSet<String>) {
        for at in now.difference(&self.differing) {
            let what = if at.starts_with("link ") { "link" } else { "file" };
            *self.drift.entry(what).or_default() += 1;
        }
        self.differing = now;
    }

    /// Whether the host is as declared and finds its names.
    pub fn is_good(&self) -> bool {
        self.problems.iter().all(Problem::is_note)
    }

    /// Prometheus text format.
    pub fn text(&self) -> String {
        let mut page = Page::default();
        self.tell_state(&mut page);
        self.tell_work(&mut page);
        self.tell_probes(&mut page);
        self.resolver.tell(&mut page);
        self.tell_policies(&mut page);
        page.text()
    }

    fn tell_state(&self, page: &mut Page) {
        let at = |time: Option<Duration>| time.map(|time| format!("{:.3}", time.as_secs_f64()));
        let version = vec![line(&[("version", env!("CARGO_PKG_VERSION"))], 1)];
        page.family("knotwork_build_info", "gauge", "The running version.", version);
        let good = Some(flag(self.is_good()).to_owned());
        page.one("knotwork_host_good", "gauge", "Whether the host is as declared and all probes pass.", good);
        let bus = Some(flag(self.bus).to_owned());
        page.one("knotwork_host_bus_up", "gauge", "Whether the system bus answers.", bus);
        // Two of one reason at one place differ in words that are no label.
        let problems: BTreeSet<(&str, &str)> = self.problems.iter().map(|p| (p.reason, p.at.as_str())).collect();
        page.family(
            "knotwork_host_problem",
            "gauge",
            "What is not as it should be, by a stable word.",
            problems.into_iter().map(|(reason, at)| line(&[("reason", reason), ("at", at)], 1)).collect(),
        );
        let last = "knotwork_host_last_pass_timestamp_seconds";
        page.one(last, "gauge", "When the host was looked at last.", at(self.last_pass));
        let good = "knotwork_host_last_good_timestamp_seconds";
        page.one(good, "gauge", "When the host was as declared last.", at(self.last_good));
        page.one("knotwork_host_passes_total", "counter", "Looks at the host.", Some(self.passes.to_string()));
        page.one(
            "knotwork_host_last_pass_duration_seconds",
            "gauge",
            "How long the last look and what it led to took.",
            Some(self.pass_took.as_secs_f64().to_string()),
        );
    }

    fn tell_work(&self, page: &mut Page) {
        let counts = |key: &str, map: &BTreeMap<&'static str, u64>| -> Lines {
            map.iter().map(|(word, count)| line(&[(key, word)], count)).collect()
        };
        page.family(
            "knotwork_host_drift_total",
            "counter",
            "Differences from what is declared that came up.",
            counts("what", &self.drift),
        );
        page.family(
            "knotwork_host_repairs_total",
            "counter",
            "What was brought back to what is declared.",
            counts("what", &self.repairs),
        );
        let name = "knotwork_host_resolv_conf_repair_seconds";
        let help = "From the kernel's word that somebody changed resolv.conf until it was back.";
        let (buckets, sum, all) = &self.mended;
        page.histogram(name, help, &BOUNDS, (buckets, *sum, *all));
        let contested = self.contested.iter().map(|(at, times)| line(&[("at", at)], times));
        page.family(
            "knotwork_host_contested_repairs",
            "gauge",
            "What somebody keeps overwriting: repairs in the last ten minutes.",
            contested.collect(),
        );
        let changes = counts("outcome", &self.changes);
        page.family("knotwork_host_changes_total", "counter", "Changes of policy.", changes);
        page.family(
            "knotwork_host_rollbacks_total",
            "counter",
            "Changes that were undone, by whether everything is as before.",
            counts("outcome", &self.rollbacks),
        );
        let Restarts { count, reloads, put_off, .. } = self.restarts;
        let text = |count: u64| Some(count.to_string());
        page.one("knotwork_host_restarts_total", "counter", "Restarts of resolved by knotwork.", text(count));
        page.one("knotwork_host_reloads_total", "counter", "Reloads of resolved by knotwork.", text(reloads));
        page.one(
            "knotwork_host_restarts_suppressed_total",
            "counter",
            "Restarts that had to wait, as systemd gives up what starts too often.",
            text(put_off),
        );
    }

    fn tell_probes(&self, page: &mut Page) {
        let mut all: Vec<Tried<'_>> = Vec::new();
        for probe in &self.probes {
            all.push((vec![("probe", probe.name.as_str()), ("path", "bus")], probe.wrong.is_none(), probe.took));
        }
        let servers: Vec<String> =
            self.by_paths.iter().map(|by| by.server.as_ref().map(ToString::to_string).unwrap_or_default()).collect();
        for (by, server) in self.by_paths.iter().zip(&servers) {
            let mut labels = vec![("probe", by.name.as_str()), ("path", by.path)];
            labels.extend((!server.is_empty()).then_some(("server", server.as_str())));
            all.push((labels, by.wrong.is_none(), by.took));
        }
        page.family(
            "knotwork_host_probe_success",
            "gauge",
            "Whether a lookup of the policies came to what it should, by the way that it took.",
            all.iter().map(|(labels, passed, _)| line(labels, flag(*passed))).collect(),
        );
        page.family(
            "knotwork_host_probe_duration_seconds",
            "gauge",
            "How long it took.",
            all.iter().map(|(labels, _, took)| line(labels, took.as_secs_f64())).collect(),
        );
    }

    fn tell_policies(&self, page: &mut Page) {
        let (applied, declared) = &self.generation;
        let mut generations = Vec::new();
        if applied.number > 0 {
            generations.push(line(&[("state", "applied")], applied.number));
        }
        generations.extend(declared.as_ref().map(|declared| line(&[("state", "declared")], declared.number)));
        page.family(
            "knotwork_host_policy_generation",
            "gauge",
            "Which policies count on this host, and which the files declare.",
            generations,
        );
        let findings = self.lint.iter().map(|((policy, rule, severity), count)| {
            line(&[("policy", policy), ("rule", rule), ("severity", severity)], count)
        });
        page.family("knotwork_host_lint_findings", "gauge", "What lint finds in the policies.", findings.collect());
        fields::tell(page, &self.specs);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        // A file is put back like anything else.
        for line in ["knotwork_host_repairs_total{what=\"file\"} 3", "knotwork_host_drift_total{what=\"file\"} 3"] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_goes_on_differing_came_up_once() {
        let mut numbers = Numbers::default();
        let set = |all: &[&str]| all.iter().map(|at| (*at).to_owned()).collect::<BTreeSet<_>>();
        for now in [set(&["/etc/hosts"]), set(&["/etc/hosts", "link eth0"]), set(&[]), set(&["link eth0"])] {
            numbers.differs(now);
        }
        assert_eq!(numbers.drift, BTreeMap::from([("file", 1), ("link", 2)]));
    }

    #[test]
    fn no_label_holds_what_an_error_says() {
        let words = "connection refused: \"who\\\nknows\"".to_owned();
        let probed = Probed { name: "lab".into(), wrong: Some(words.clone()), took: Duration::ZERO };
        let by = ProbedBy {
            name: "lab".into(),
            path: "server",
            server: "192.0.2.1".parse().ok(),
            wrong: Some(words.clone()),
            took: Duration::ZERO,
        };
        let problem = |message: &str| Problem { reason: "NoBus", at: "host".into(), message: message.into() };
        let numbers = Numbers {
            problems: vec![problem(&words), problem("another one"), Problem::host("x", "y".repeat(5000))],
            probes: vec![probed],
            by_paths: vec![by],
            contested: vec![("z".repeat(5000), 1)],
            ..Numbers::default()
        };
        let text = numbers.text();
        assert!(!text.contains("refused") && !text.contains("yyy"), "{text}");
        assert_eq!(text.matches("reason=\"NoBus\"").count(), 1, "one series: {text}");
        assert!(text.contains("probe_success{probe=\"lab\",path=\"bus\"} 0"), "{text}");
        assert!(text.contains("probe_success{probe=\"lab\",path=\"server\",server=\"192.0.2.1\"} 0"), "{text}");
        assert!(text.lines().all(|line| line.len() < 400), "{text}");
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
