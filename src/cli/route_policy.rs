//! `route -f`: the host as it would be under the policies of the files, and what lint says of them.

use serde_json::{Value, json};

use super::printer::{Printer, Tone};
pub(super) use crate::host::Under;
use crate::host::under_policies;
use crate::split::lint::Finding;
use crate::split::lint_rules::Severity;
use crate::split::{HostFacts, SystemdVersion};

/// [`under_policies`], with what is worth saying said.
///
/// # Errors
/// Everything that is wrong with the files, in words.
pub(super) fn under(
    files: &[String],
    facts: &HostFacts,
    version: SystemdVersion,
    printer: &mut Printer,
) -> Result<Under, String> {
    let under = under_policies(files, facts, version).map_err(|error| error.to_string())?;
    under.notes.iter().for_each(|note| printer.warn(note));
    Ok(under)
}

impl Under {
    /// Says what lint found.
    pub(crate) fn tell(&self, printer: &mut Printer) {
        printer.line(&printer.paint(Tone::Bold, &format!("form: {} ({})", self.wish.form.word(), self.wish.why)));
        for (one, place) in &self.refused {
            printer.line(&format!("! {place}: policy {} is refused: {}: {}", one.policy, one.field, one.message));
        }
        for (finding, place) in &self.findings {
            let Finding { rule, policy, field, message, .. } = finding;
            let word = if finding.allowed { "allowed" } else { rule.severity.word() };
            let mark = if finding.is_refusal() { "!" } else { "?" };
            printer.line(&format!("{mark} {place}: {word} {}: policy {policy}, {field}: {message}", rule.id));
            if !finding.allowed {
                printer.line(&format!("    why: {}", rule.reason));
                if rule.severity == Severity::Error {
                    printer.line("    as it would be right:");
                    finding.fix.lines().for_each(|line| printer.line(&format!("      {line}")));
                }
            }
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let findings = self.findings.iter().map(|(finding, place)| {
            json!({
                "rule": finding.rule.id, "severity": finding.rule.severity.word(), "policy": &*finding.policy,
                "field": finding.field, "place": place, "message": finding.message, "reason": finding.rule.reason,
                "fix": finding.fix, "allowed": finding.allowed,
            })
        });
        let refused = self.refused.iter().map(|(one, place)| {
            json!({"policy": &*one.policy, "with": &*one.with, "field": one.field, "place": place, "message": one.message})
        });
        json!({
            "form": self.wish.form.word(), "why": self.wish.why,
            "findings": findings.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>(),
        })
    }
}

/// Of nobody's facts: a host without links of its own.
pub(super) fn bare(version: Option<SystemdVersion>) -> HostFacts {
    HostFacts::bare(version.unwrap_or(SystemdVersion::NEWEST))
}
