//! The resident worker against a real Knot.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use knotwork::model::{AdoptPolicy, Claim, Claims, DeletionPolicy, ObjectId, ObjectState, RrSet, RrType};
use knotwork::ownership::{Fence, ZoneRules};
use knotwork::plan::{Action, Edit};
use knotwork::zone::worker::{self, WorkerOptions};
use knotwork::zone::{Engine, EngineOptions, Role, ZoneStatus};
use support::engine::{apply, change, key, n, rules, server, server_with};
use support::knot::{KEYS, Knot};
use support::parts;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn claims(hosts: &[(&str, [u8; 4])]) -> Arc<Claims> {
    let mut claims = Claims { prune: true, ..Claims::default() };
    let mut objects = knotwork::model::FastMap::default();
    for (name, address) in hosts {
        let object = ObjectId::static_record("dns", name.split('.').next().unwrap());
        objects.insert(object.clone(), ObjectState::Present);
        claims.insert(Claim {
            name: n(name),
            rtype: RrType::A,
            set: RrSet::new(RrType::A, 300, [address.as_slice().into()]),
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

struct Running {
    claims: watch::Sender<Arc<Claims>>,
    status: watch::Receiver<Arc<ZoneStatus>>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(addr: SocketAddr, rules: ZoneRules, first: Arc<Claims>) -> Running {
        let options = EngineOptions { role: Role::Resident, ..EngineOptions::default() };
        let engine = Engine::new(server(addr), rules, options).unwrap();
        let (claims, feed) = watch::channel(first);
        let (tell, status) = watch::channel(Arc::new(ZoneStatus::new(&engine)));
        let cancel = CancellationToken::new();
        let options = WorkerOptions::default();
        let task = tokio::spawn(worker::run(engine, feed, tell, cancel.clone(), options));
        Running { claims, status, cancel, task }
    }

    async fn until(&self, what: &str, reached: impl FnMut(&Arc<ZoneStatus>) -> bool) -> Arc<ZoneStatus> {
        let mut status = self.status.clone();
        match tokio::time::timeout(Duration::from_secs(30), status.wait_for(reached)).await {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("never {what}: {:?}", self.status.borrow()),
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.expect("stops in time").unwrap();
    }
}

/// Another writer, without any guard.
async fn vandal(addr: SocketAddr, edits: Vec<Edit>) {
    let server = server_with(vec![addr], key(KEYS[1].0, KEYS[1].1));
    let rules = ZoneRules { owner: "vandal".into(), ..rules("vandal") };
    let mut engine = Engine::new(server, rules, EngineOptions::default()).unwrap();
    engine.refresh().await.unwrap();
    let report = apply(&mut engine, vec![change(Action::Create, &n("internal"), RrType::A, vec![], edits)]).await;
    assert!(report.all_done(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_published_and_drift_is_repaired() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let (a, b) = (("a.internal", [10, 0, 0, 1]), ("b.internal", [10, 0, 0, 2]));
    let running = Running::start(knot.addr, rules("one"), claims(&[a, b]));
    let status = running.until("published", |s| s.settled && s.counters.changes.get("create") == Some(&2)).await;
    assert_eq!((status.sets.get("ours"), status.error.clone()), (Some(&2), None));
    let sent = status.counters.updates;

    vandal(knot.addr, vec![Edit::Remove(n("a.internal"), RrType::A, [10, 0, 0, 1].into())]).await;
    let status = running.until("repaired", |s| s.settled && s.counters.updates > sent).await;
    assert_eq!(status.counters.own_latency.count(), 1, "{:?}", status.counters);

    running.claims.send(claims(&[a])).unwrap();
    let status = running.until("pruned", |s| s.settled && s.counters.changes.contains_key("delete")).await;
    assert_eq!(status.sets.get("ours"), Some(&1));
    let (sent, polls) = (status.counters.updates, status.counters.polls);
    // Nothing to do: it polls and writes nothing.
    let mut patience = tokio::time::interval(Duration::from_millis(20));
    while running.status.borrow().counters.polls < polls + 5 {
        patience.tick().await;
    }
    assert_eq!(running.status.borrow().counters.updates, sent);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resident_writer_takes_the_fence_at_once_and_observers_never() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let watching = ZoneRules { observe: true, ..rules("watcher") };
    let observer = Running::start(knot.addr, watching, claims(&[("a.internal", [10, 0, 0, 1])]));
    let status = observer.until("planned", |s| s.plan.is_some()).await;
    assert_eq!(status.plan.as_ref().unwrap().changes.len(), 1);
    let serial = status.serial;

    let first = Running::start(knot.addr, rules("one"), claims(&[]));
    first.until("raised", |s| s.counters.polls > 0 && s.serial != serial).await;
    // The second installation under the same owner id is told so, and writes nothing.
    let second = Running::start(knot.addr, rules("two"), claims(&[("b.internal", [10, 0, 0, 2])]));
    let status = second.until("stopped", |s| s.error.is_some()).await;
    assert_eq!(status.error.as_ref().unwrap().reason, "OtherInstance");
    assert_eq!((status.counters.updates, observer.status.borrow().counters.updates), (0, 0));
    for one in [observer, first, second] {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_brought_up_to_date() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    let a = ("a.internal", [10, 0, 0, 1]);
    let running = Running::start(knot.addr, rules("one"), claims(&[a]));
    running.until("published", |s| s.settled && s.counters.changes.contains_key("create")).await;
    knot.terminate();
    running.claims.send(claims(&[a, ("b.internal", [10, 0, 0, 2])])).unwrap();
    let status = running.until("failing", |s| s.error.is_some()).await;
    assert_eq!(status.error.as_ref().unwrap().reason, "ServerUnreachable");
    tokio::task::block_in_place(|| knot.resume());
    running.until("published again", |s| s.settled && s.error.is_none() && s.sets.get("ours") == Some(&2)).await;

    // Gone and back with nothing changed: all is well again.
    knot.terminate();
    running.until("failing", |s| s.error.is_some()).await;
    tokio::task::block_in_place(|| knot.resume());
    running.until("well again", |s| s.settled && s.error.is_none()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_puts_a_removed_fence_back_above_its_epoch() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let running = Running::start(knot.addr, rules("one"), claims(&[("a.internal", [10, 0, 0, 1])]));
    running.until("published", |s| s.settled && s.counters.changes.contains_key("create")).await;

    let fence = n("home._knotwork.internal");
    let read = async || {
        let server = server_with(vec![knot.addr], key(KEYS[1].0, KEYS[1].1));
        let mut engine = Engine::new(server, rules("reader"), EngineOptions::default()).unwrap();
        engine.refresh().await.unwrap();
        engine.view().unwrap().get(&fence, RrType::TXT).map(|set| set.values[0].clone())
    };
    let epoch = |rdata: &[u8]| Fence::parse_rdata(rdata).unwrap().epoch;
    let before = read().await.unwrap();
    vandal(knot.addr, vec![Edit::Remove(fence.clone(), RrType::TXT, before.clone())]).await;
    let after = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(after) = read().await {
                return after;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(epoch(&after.await.unwrap()) > epoch(&before));
    // And it goes on writing.
    running.claims.send(claims(&[("a.internal", [10, 0, 0, 1]), ("b.internal", [10, 0, 0, 2])])).unwrap();
    running.until("published", |s| s.settled && s.sets.get("ours") == Some(&2)).await;
    running.stop().await;
}
