//! `route -f`: the host as it would be under the policies of the files, and what lint says of them.

use serde_json::{Value, json};

use super::printer::{Printer, Tone};
use crate::source::{Input, load_policies};
use crate::split::lint::{Finding, lint};
use crate::split::lint_rules::Severity;
use crate::split::lower::lower;
use crate::split::lower_merge::{Contradiction, merge};
use crate::split::wish::Wish;
use crate::split::{HostFacts, SystemdVersion};

/// A host under policies.
pub(super) struct Under {
    /// As it would be.
    pub facts: HostFacts,
    /// What is wished of it.
    pub wish: Wish,
    /// The policies as they were read.
    pub text: String,
    findings: Vec<(Finding, String)>,
    refused: Vec<(Contradiction, String)>,
}

/// Lowers the policies of the files onto the facts.
///
/// # Errors
/// Everything that is wrong with the files, in words.
pub(super) fn under(
    files: &[String],
    facts: &HostFacts,
    version: SystemdVersion,
    printer: &mut Printer,
) -> Result<Under, String> {
    let inputs: Vec<Input> = files.iter().map(|file| Input::parse(file)).collect();
    let loaded = load_policies(&inputs);
    let mut wrong: Vec<String> = loaded.broken.iter().map(ToString::to_string).collect();
    wrong.extend(loaded.refusals.iter().map(|(name, diagnostic)| format!("policy {name}: {diagnostic}")));
    wrong.extend(loaded.empty.iter().map(|input| format!("{input}: no SplitDNSPolicy is in there")));
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    loaded.notes.iter().for_each(|note| printer.warn(note));
    let merged = merge(&loaded.policies);
    let wish = lower(&merged, facts, version);
    let place = |policy: &str, field: &str| loaded.place(policy, field).unwrap_or_default();
    let findings = lint(&merged, facts, &wish);
    let findings = findings.into_iter().map(|found| (found.clone(), place(&found.policy, &found.field))).collect();
    let refused = merged.refused.iter().map(|one| (one.clone(), place(&one.policy, &one.field))).collect();
    let text = loaded.text.clone();
    Ok(Under { facts: wish.under(facts), wish, text, findings, refused })
}

impl Under {
    /// Whether any policy is refused.
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty() || self.findings.iter().any(|(finding, _)| finding.is_refusal())
    }

    /// Says what lint found.
    pub fn tell(&self, printer: &mut Printer) {
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
    pub fn json(&self) -> Value {
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
