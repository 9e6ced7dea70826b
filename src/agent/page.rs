//! Families of numbers in Prometheus' text format.

use std::fmt::Write as _;

use crate::metrics::label;

/// Label values are names, addresses and words; what is longer was made to be long.
const LONGEST: usize = 256;

/// Labels with a value each, as they come.
pub(super) type Lines = Vec<(String, String)>;

/// A page that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// One family with all its lines; also where there is none, so that it is known to exist.
    pub fn family(&mut self, name: &str, kind: &str, help: &str, lines: Lines) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// One that is a single number; absent where that is not known.
    pub fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<String>) {
        self.family(name, kind, help, value.map(|value| (String::new(), value)).into_iter().collect());
    }

    /// A histogram of seconds: counts by bound, sum, count.
    pub fn histogram(&mut self, name: &str, help: &str, bounds: &[f64], (counts, sum, all): (&[u64], f64, u64)) {
        self.family(name, "histogram", help, Vec::new());
        for (count, bound) in counts.iter().zip(bounds) {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {sum}\n{name}_count {all}");
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }
}

/// A line: its labels, its value. A label never holds more than a name, an address or a word could.
pub(super) fn line(labels: &[(&str, &str)], value: impl ToString) -> (String, String) {
    let short = |text: &str| text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    let cut: Vec<(&str, &str)> = labels.iter().map(|(key, text)| (*key, &text[..short(text)])).collect();
    (label(&cut), value.to_string())
}

/// A flag as a number.
pub(super) fn flag(is: bool) -> &'static str {
    if is { "1" } else { "0" }
}
