//! A plan as JSON (`docs/schema/host-plan.schema.json`), and its words.

use serde_json::{Value, json};

use super::{Effect, FileStep, HostPlan, Mechanism, Stage, Want, diff};
use crate::split::facts::FileKind;

impl Mechanism {
    /// The word for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Mechanism::Delegates => "delegates",
            Mechanism::ResolvedConf => "resolvedConf",
            Mechanism::Networkd => "networkd",
            Mechanism::NetworkManager => "networkManager",
            Mechanism::Ifupdown => "ifupdown",
            Mechanism::Bus => "bus",
        }
    }
}

impl Effect {
    /// The word for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Effect::None => "none",
            Effect::ReloadNetworkd => "reloadNetworkd",
            Effect::ReloadNetworkManager => "reloadNetworkManager",
            Effect::ReloadSystemd => "reloadSystemd",
            Effect::RewriteResolved => "rewriteResolved",
            Effect::ReloadResolved => "reloadResolved",
            Effect::RestartResolved => "restartResolved",
        }
    }
}

impl FileStep {
    /// `create`, `replace`, `remove` or `link`.
    pub fn action(&self) -> &'static str {
        match (&self.to, self.from.kind) {
            (Want::Absent, _) => "remove",
            (Want::Symlink { .. }, _) => "link",
            (Want::File { .. }, FileKind::Absent) => "create",
            (Want::File { .. }, _) => "replace",
        }
    }
}

impl HostPlan {
    /// The whole plan.
    pub fn to_json(&self) -> Value {
        let mut effects = self.effects(Stage::Before);
        for effect in self.effects(Stage::Last) {
            if !effects.contains(&effect) {
                effects.push(effect);
            }
        }
        let files = self.files.iter().map(|step| {
            json!({
                "path": step.path,
                "action": step.action(),
                "why": step.why,
                "policies": step.policies,
                "diff": diff::unified(step),
            })
        });
        let links = self.links.iter().map(|link| {
            json!({
                "name": link.wish.name,
                "ifindex": link.wish.ifindex,
                "differs": link.differs,
                "overBus": link.over_bus,
                "restores": link.restores,
            })
        });
        let profiles = self.profiles.iter().filter(|step| step.is_change()).map(|step| {
            let changes = step.changes().map(|(key, from, to)| json!({"key": key, "from": from, "to": to}));
            json!({
                "uuid": step.uuid,
                "id": step.id,
                "link": step.link,
                "restores": step.restores,
                "why": step.why,
                "policies": step.policies,
                "changes": changes.collect::<Vec<_>>(),
            })
        });
        let refusals = self.refusals.iter().map(|refusal| {
            json!({
                "reason": refusal.reason,
                "at": refusal.at,
                "message": refusal.message,
                "wayOut": refusal.way_out,
            })
        });
        let lacks = self
            .lacks
            .iter()
            .map(|lack| json!({"link": lack.link, "message": lack.message, "trouble": lack.is_trouble}));
        let mechanisms = self
            .chosen
            .iter()
            .map(|chosen| json!({"link": chosen.link, "mechanism": chosen.mechanism.word(), "why": chosen.why}));
        json!({
            "settled": self.is_settled(),
            "mechanisms": mechanisms.collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
            "links": links.collect::<Vec<_>>(),
            "profiles": profiles.collect::<Vec<_>>(),
            "effects": effects.iter().map(|effect| effect.word()).collect::<Vec<_>>(),
            "needs": self.needs.iter().map(|need| need.why.as_str()).collect::<Vec<_>>(),
            "refusals": refusals.collect::<Vec<_>>(),
            "lacks": lacks.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}
