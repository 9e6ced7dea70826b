//! Corners of the engine, on the embedded authority: PTRs and DHCIDs of two zones, halves of a DNAME, and what precisely
//! a server refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use knotwork::authority::{Authority, AuthorityConfig, Grant, Handle, Limits};
use knotwork::model::{AdoptPolicy, Claim, Claims, DeletionPolicy, Name, ObjectId, ObjectState, RrSet, RrType};
use knotwork::ownership::ZoneRules;
use knotwork::plan::Edit;
use knotwork::zone::worker::{self, WorkerOptions};
use knotwork::zone::{DhcidBoard, Engine, EngineOptions, Outcome, Role, ZoneStatus};
use support::engine::{key, n, rules, server};
use support::knot::KEYS;
use support::wait;
use support::writer::data;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ZONE: &str = "$TTL 300\n@ SOA ns0 host 10 3600 600 86400 60\n@ NS ns0.internal.\n";

async fn serve(zones: &[(&str, &str)], grants: Vec<Grant>) -> Handle {
    let config = AuthorityConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        zones: zones.iter().map(|(zone, more)| (n(zone), format!("{ZONE}{more}"))).collect(),
        keys: vec![key(KEYS[0].0, KEYS[0].1)],
        notify: vec![],
    };
    Authority::start_with(config, Limits { grants, ..Limits::default() }).await.unwrap()
}

fn claim(name: &str, rtype: RrType, ttl: u32, value: &str) -> Claim {
    Claim {
        name: n(name),
        rtype,
        set: RrSet::new(rtype, ttl, [data(rtype, value)]),
        object: ObjectId::static_record("dns", name.split('.').next().unwrap()),
        created: None,
        adopt: AdoptPolicy::IfIdentical,
        deletion: DeletionPolicy::Delete,
        share: false,
        reverse: false,
    }
}

fn claims(all: Vec<Claim>) -> Arc<Claims> {
    let mut claims = Claims::default();
    let objects: knotwork::model::FastMap<_, _> =
        all.iter().map(|claim| (claim.object.clone(), ObjectState::Present)).collect();
    all.into_iter().for_each(|claim| claims.insert(claim));
    claims.objects = Arc::new(objects);
    Arc::new(claims)
}

/// A DNAME whose TTL changes goes and comes back in two messages; the first is no failure for what the second brought.
#[tokio::test(flavor = "multi_thread")]
async fn another_ttl_of_a_dname_is_confirmed_whole() {
    let authority = serve(&[("internal", "")], vec![]).await;
    let mut engine = Engine::new(server(authority.addr()), rules("one"), EngineOptions::default()).unwrap();
    engine.refresh().await.unwrap();
    for (ttl, messages) in [(300, 1), (600, 2), (60, 2)] {
        engine.set_claims(claims(vec![claim("old.internal", RrType::DNAME, ttl, "new.internal.")]));
        let plan = engine.plan().unwrap();
        assert_eq!(plan.changes.len(), messages);
        let report = engine.apply(&plan, &|_| false).await;
        assert!(report.all_done(), "TTL {ttl}: {:?}", report.outcomes);
        assert!(engine.plan().unwrap().is_settled());
        let live = authority.view(&n("internal")).unwrap().get(&n("old.internal"), RrType::DNAME).unwrap();
        assert_eq!(live.ttl, ttl);
    }
}

struct Worker {
    status: watch::Receiver<Arc<ZoneStatus>>,
    cancel: CancellationToken,
    _claims: watch::Sender<Arc<Claims>>,
}

impl Worker {
    fn engine(authority: &Handle, board: &Arc<DhcidBoard>, zone: &str) -> Engine {
        let options = EngineOptions { role: Role::Resident, ..EngineOptions::default() };
        let rules = ZoneRules { zone: n(zone), ..rules("one") };
        let mut engine = Engine::new(server(authority.addr()), rules, options).unwrap();
        engine.join(board);
        engine
    }

    fn start(engine: Engine, claims: Arc<Claims>) -> Worker {
        let (feed, first) = watch::channel(claims);
        let (tell, status) = watch::channel(Arc::new(ZoneStatus::new(&engine)));
        let cancel = CancellationToken::new();
        tokio::spawn(worker::run(engine, first, tell, cancel.clone(), WorkerOptions::default()));
        Worker { status, cancel, _claims: feed }
    }

    async fn until(&self, what: &str, reached: impl FnMut(&Arc<ZoneStatus>) -> bool) {
        let mut status = self.status.clone();
        if tokio::time::timeout(wait::PATIENCE, status.wait_for(reached)).await.is_err() {
            panic!("never {what}: {:#?}", self.status.borrow());
        }
    }

    fn class(class: &'static str, count: usize) -> impl Fn(&Arc<ZoneStatus>) -> bool {
        move |status| status.sets.get(class).copied().unwrap_or(0) == count && status.last_view_at.is_some()
    }
}

fn dhcid(authority: &Handle, host: &str, there: bool) {
    let (zone, name, value): (_, Name, knotwork::model::Rdata) = (n("internal"), n(host), [0, 1, 1, 2, 3].into());
    let edit = match there {
        true => Edit::Add(name, RrType::DHCID, 300, value),
        false => Edit::Remove(name, RrType::DHCID, value),
    };
    authority.edit(&zone, &[], &[edit]).unwrap();
}

/// Under `--watch`: whose a PTR is depends on a DHCID in another zone, which comes and goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_ptr_follows_the_dhcid_of_its_target_in_another_zone() {
    let reverse = "5.0.0 PTR lease.internal.\n6.0.0 PTR host.internal.\n7.0.0 PTR elsewhere.example.\n";
    let forward = "lease A 10.0.0.5\nlease DHCID AAEBAgM=\nhost A 10.0.0.6\n";
    let authority = serve(&[("internal", forward), ("10.in-addr.arpa", reverse)], vec![]).await;
    let board = Arc::new(DhcidBoard::default());
    // It is declared just as it stands: without the DHCID it would be adopted.
    let wish = claims(vec![claim("5.0.0.10.in-addr.arpa", RrType::PTR, 300, "lease.internal.")]);
    let [forth, back] = ["internal", "10.in-addr.arpa"].map(|zone| Worker::engine(&authority, &board, zone));
    let back = Worker::start(back, wish);
    let conflicts = |status: &Arc<ZoneStatus>| status.plan.as_ref().map_or(0, |plan| plan.conflicts.len());
    // As long as nobody has read the forward zone, nothing is taken, however long that lasts.
    back.until("careful before it knows", |status| Worker::class("dhcp", 2)(status) && conflicts(status) == 1).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(
        authority
            .view(&n("10.in-addr.arpa"))
            .unwrap()
            .get(&n("_knotwork.5.0.0.10.in-addr.arpa"), RrType::TXT)
            .is_none()
    );
    let forth = Worker::start(forth, claims(vec![]));
    back.until("told of the DHCID that is there", |status| Worker::class("dhcp", 1)(status) && conflicts(status) == 1)
        .await;
    dhcid(&authority, "host.internal", true);
    back.until("told of a new DHCID", Worker::class("dhcp", 2)).await;
    dhcid(&authority, "host.internal", false);
    back.until("told of a DHCID that went", Worker::class("dhcp", 1)).await;
    // The lease ends: what was declared is adopted now.
    dhcid(&authority, "lease.internal", false);
    back.until("free to adopt", |status| Worker::class("ours", 1)(status) && conflicts(status) == 0).await;
    forth.cancel.cancel();
    back.cancel.cancel();
}

/// What is refused for its marker's sake is said so, and what is refused for its own sake too; nothing is written for
/// finding out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_record_that_the_server_refuses() {
    let grant = |types: &[RrType], names: &[&str]| Grant {
        types: types.to_vec(),
        names: names.iter().map(|name| n(name)).collect(),
        ..Grant::all(Some(n("operator")))
    };
    let fence = "home._knotwork.internal";
    for (grants, refused, allowed) in [
        // A may be written, TXT only for the fence.
        (vec![grant(&[RrType::A], &[]), grant(&[], &[fence])], "TXT at _knotwork.host.internal", "A at host.internal"),
        (
            vec![grant(&[RrType::TXT], &[]), grant(&[], &[fence])],
            "A at host.internal",
            "TXT at _knotwork.host.internal",
        ),
    ] {
        // The fence travels with the first message: it must be there before.
        let authority = serve(&[("internal", "")], vec![Grant::all(Some(n("operator")))]).await;
        let options = EngineOptions { role: Role::Resident, ..EngineOptions::default() };
        let mut engine = Engine::new(server(authority.addr()), rules("one"), options).unwrap();
        engine.refresh().await.unwrap();
        engine.raise_fence().await.unwrap();
        authority.set_grants(grants);
        let before = authority.serial(&n("internal"));
        engine.set_claims(claims(vec![claim("host.internal", RrType::A, 300, "10.0.0.1")]));
        let plan = engine.plan().unwrap();
        let report = engine.apply(&plan, &|_| false).await;
        let outcome = &report.outcomes[0];
        let message = match &report.stopped {
            // Nothing at all was taken: then it is said of the run.
            Some(error) => error.to_string(),
            None => outcome.message.clone(),
        };
        let all = format!("{} {message}", outcome.message);
        assert_eq!(outcome.outcome, Outcome::Refused, "{outcome:?} {:?}", report.stopped);
        assert!(all.contains(&format!("it refuses {refused}")), "{all}");
        assert!(!all.contains(&format!("it refuses {allowed}")), "{all}");
        assert_eq!(authority.serial(&n("internal")), before, "nothing was written");
        assert!(report.updates_sent <= 3, "{}", report.updates_sent);
    }
}
