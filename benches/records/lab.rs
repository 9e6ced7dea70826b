//! The zone of the measurements: `internal` with hosts `h0`, `h1` … on a real Knot, and claims that want them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use knotwork::model::{
    AdoptPolicy, Claim, Claims, DeletionPolicy, FastMap, ObjectId, ObjectState, Rdata, RrSet, RrType,
};
use knotwork::ownership::ZoneRules;
use knotwork::plan::{Edit, PlanOptions, plan_zone, units};
use knotwork::view::View;
use knotwork::zone::{Engine, EngineOptions, Role};

use crate::support::engine::{n, rules as test_rules, server};
use crate::support::knot::{Knot, Setup, minimal_zone};
use crate::support::parts::Program;

/// The runtime of the engines, as the binary has it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime")
}

/// The address of host `index` in its `edition`.
pub fn address(index: usize, edition: u8) -> [u8; 4] {
    [10 + edition, (index >> 16) as u8, (index >> 8) as u8, index as u8]
}

/// `count` claims of one A record each; `edition` tells which address each wants.
pub fn claims(count: usize, edition: impl Fn(usize) -> u8) -> Arc<Claims> {
    let mut claims = Claims::default();
    let mut objects = FastMap::with_capacity_and_hasher(count, Default::default());
    for index in 0..count {
        let object = ObjectId::static_record("dns", &format!("h{index}"));
        objects.insert(object.clone(), ObjectState::Present);
        claims.insert(Claim {
            name: n(&format!("h{index}.internal")),
            rtype: RrType::A,
            set: RrSet::new(RrType::A, 300, [Rdata::from(address(index, edition(index)).as_slice())]),
            object,
            created: None,
            adopt: AdoptPolicy::IfIdentical,
            deletion: DeletionPolicy::Delete,
            share: false,
            reverse: false,
        });
    }
    claims.objects = Arc::new(objects);
    Arc::new(claims)
}

/// The rules of the zone, with a brake that never holds what is measured.
pub fn rules() -> ZoneRules {
    let mut rules = test_rules("here");
    rules.brake.at_least = u32::MAX;
    rules
}

/// The records that these claims put into an empty zone, markers included: name, TTL, type, RDATA.
pub fn records(claims: &Claims) -> Vec<(String, u32, RrType, Box<[u8]>)> {
    let plan = plan_zone(&rules(), claims, &View::new(n("internal"), 1), &PlanOptions::default());
    let all = units(&plan);
    let adds = all.into_iter().flat_map(|unit| unit.edits).filter_map(|edit| match edit {
        Edit::Add(name, rtype, ttl, rdata) => Some((name.to_string(), ttl, rtype, rdata.to_vec().into_boxed_slice())),
        Edit::Remove(..) => None,
    });
    adds.collect()
}

/// A zone file in which these claims have been applied.
pub fn zone_file(claims: &Claims) -> String {
    let mut text = minimal_zone("internal");
    let nonce = "0".repeat(32);
    let _ = writeln!(text, "home._knotwork 60 TXT \"heritage=knotwork,instance=here,epoch=1,nonce={nonce}\"");
    for (name, ttl, rtype, rdata) in records(claims) {
        let _ = write!(text, "{}. {ttl} TYPE{} \\# {} ", name.trim_end_matches('.'), rtype.0, rdata.len());
        for octet in &rdata {
            let _ = write!(text, "{octet:02x}");
        }
        text.push('\n');
    }
    text
}

/// A Knot with the zone, in which the claims are applied (`None`: a minimal zone).
pub fn knot(program: &Program, claims: Option<&Claims>) -> Knot {
    let files = claims.map(|claims| ("internal".to_owned(), zone_file(claims))).into_iter().collect();
    Knot::with(program, &Setup { zones: vec!["internal".into()], files, ..Setup::default() })
}

/// An engine for the zone at `addr`.
pub fn engine(addr: SocketAddr, role: Role) -> Engine {
    Engine::new(server(addr), rules(), EngineOptions { role, ..EngineOptions::default() }).expect("engine")
}

/// One manifest for each of `count` hosts, a thousand in a file, as a person would write them.
pub fn manifests(dir: &std::path::Path, count: usize) {
    let mut files: BTreeMap<usize, String> = BTreeMap::new();
    for index in 0..count {
        let [a, b, c, d] = address(index, 0);
        let _ = write!(
            files.entry(index / 1000).or_default(),
            "---\napiVersion: dns.knotwork.dev/v1alpha1\nkind: StaticDNSRecord\nmetadata:\n  name: h{index}\n  \
             namespace: dns\nspec:\n  name: h{index}.internal\n  a:\n    - {a}.{b}.{c}.{d}\n"
        );
    }
    for (file, text) in files {
        std::fs::write(dir.join(format!("hosts-{file}.yaml")), text).expect("manifests");
    }
}
