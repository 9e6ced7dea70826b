//! Engines, and plans made by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use knotwork::dns::tsig::{Algorithm, Key};
use knotwork::knot::{Server, ServerConfig, Timeouts};
use knotwork::model::{Claims, Name, RrType};
use knotwork::ownership::{BrakeLimit, ZoneRules};
use knotwork::plan::{Action, Change, Edit, Guard, Plan, PlanOptions, plan_zone};
use knotwork::zone::{Engine, EngineOptions, Report, Role};

use super::knot::KEYS;

/// A name.
pub fn n(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A TSIG key from base64.
pub fn key(name: &str, secret: &str) -> Key {
    let secret = base64::engine::general_purpose::STANDARD.decode(secret).unwrap();
    Key::new(n(name), Algorithm::HmacSha256, &secret).unwrap()
}

/// A server with these addresses and this key.
pub fn server_with(addresses: Vec<SocketAddr>, key: Key) -> Arc<Server> {
    let timeouts = Timeouts { connect: Duration::from_secs(2), ..Timeouts::default() };
    Arc::new(Server::new(ServerConfig { name: "test".into(), addresses, source: None, key: Some(key), timeouts }))
}

/// A server with the operator key.
pub fn server(addr: SocketAddr) -> Arc<Server> {
    server_with(vec![addr], key(KEYS[0].0, KEYS[0].1))
}

/// What a test configuration says of the zone `internal`.
pub fn rules(instance: &str) -> ZoneRules {
    ZoneRules {
        zone: n("internal"),
        owner: "home".into(),
        instance: instance.into(),
        label: "_knotwork".into(),
        external_dns: Vec::new(),
        nix_prefix: "nix.".into(),
        txt_key: None,
        adopt_from: Vec::new(),
        brake: BrakeLimit::default(),
        observe: false,
    }
}

/// An engine for the zone `internal`.
pub fn engine(server: Arc<Server>, instance: &str, role: Role) -> Engine {
    Engine::new(server, rules(instance), EngineOptions { role, ..EngineOptions::default() }).unwrap()
}

/// A plan of these changes.
pub fn plan(engine: &Engine, changes: Vec<Change>) -> Plan {
    let mut plan = plan_zone(engine.rules(), &Claims::default(), engine.view().unwrap(), &PlanOptions::default());
    (plan.changes, plan.owned) = (changes, 0);
    plan
}

/// A change made by hand.
pub fn change(action: Action, name: &Name, rtype: RrType, guards: Vec<Guard>, edits: Vec<Edit>) -> Change {
    Change {
        action,
        name: name.clone(),
        rtype,
        old: None,
        new: None,
        source: None,
        note: None,
        guards,
        edits,
        counted: false,
        held: false,
        after: None,
    }
}

/// A guarded create of one record, without a marker.
pub fn create(name: &str, rtype: RrType, rdata: &[u8]) -> Change {
    let name = n(name);
    let edits = vec![Edit::Add(name.clone(), rtype, 300, rdata.into())];
    change(Action::Create, &name, rtype, vec![Guard::NameNotInUse(name.clone())], edits)
}

/// 10.x.y.z for a number.
pub fn address(index: usize) -> [u8; 4] {
    [10, (index >> 16) as u8, (index >> 8) as u8, index as u8]
}

/// Creates of that many hosts.
pub fn many(count: usize) -> Vec<Change> {
    (0..count).map(|index| create(&format!("h{index}.internal"), RrType::A, &address(index))).collect()
}

/// Applies changes made by hand.
pub async fn apply(engine: &mut Engine, changes: Vec<Change>) -> Report {
    let plan = plan(engine, changes);
    engine.apply(&plan, &|_| false).await
}
