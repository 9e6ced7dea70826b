//! Every fault of the embedded authority's switchboard against the engine: no part of a broken transfer is ever used, no
//! outcome is ever said wrongly, nothing foreign is touched, and all is well once the fault is gone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use knotwork::authority::{Asked, Authority, AuthorityConfig, Fault, Handle, Limits, Times};
use knotwork::dns::Rcode;
use knotwork::knot::{Server, ServerConfig, Timeouts};
use knotwork::model::{AdoptPolicy, Claim, Claims, DeletionPolicy, Name, ObjectId, ObjectState, RrSet, RrType, rdata};
use knotwork::plan::{Action, Edit};
use knotwork::view::View;
use knotwork::zone::{Engine, EngineOptions, Outcome, Refreshed};
use support::engine::{key, n, rules};
use support::knot::KEYS;

/// Records of other writers; some names of ours lie between them.
fn zone_text() -> String {
    let mut text = "$TTL 300\n@ SOA ns0 host 100 3600 600 86400 60\n@ NS ns0\nns0 A 10.0.0.1\n".to_owned();
    for i in 0..200 {
        text.push_str(&format!("f{i} A 10.7.0.{i}\nf{i} TXT \"somebody else's\"\n"));
    }
    text.push_str("lease A 10.8.0.1\nlease DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=\n");
    text.push_str("app A 10.8.0.2\nk8s.app TXT \"heritage=external-dns,external-dns/owner=k\"\n");
    text
}

async fn authority() -> Handle {
    let keys = vec![key(KEYS[0].0, KEYS[0].1)];
    let zones = vec![(n("internal"), zone_text())];
    let config = AuthorityConfig { listen: ([127, 0, 0, 1], 0).into(), zones, keys, notify: vec![] };
    Authority::start_with(config, Limits { message_size: 2000, ..Limits::default() }).await.unwrap()
}

fn engine(server: &Handle) -> Engine {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        query: Duration::from_millis(500),
        update: Duration::from_secs(2),
        transfer: Duration::from_secs(20),
        progress: Duration::from_secs(3),
    };
    let (addresses, key) = (vec![server.addr()], Some(key(KEYS[0].0, KEYS[0].1)));
    let config = ServerConfig { name: "test".into(), addresses, source: None, key, timeouts };
    let mut rules = rules("one");
    rules.brake.at_least = 100_000;
    Engine::new(Arc::new(Server::new(config)), rules, EngineOptions::default()).unwrap()
}

/// Round 0 declares hosts and aliases; round 1 changes, removes and adds some.
fn claims(round: usize) -> Arc<Claims> {
    let mut claims = Claims { prune: true, ..Claims::default() };
    let mut objects = knotwork::model::FastMap::default();
    for i in (round * 40)..(300 + round * 40) {
        let (rtype, value) = match i % 10 {
            0 => (RrType::CNAME, "ns0.internal.".to_owned()),
            1 => (RrType::TXT, format!("\"text {}\"", i * round)),
            _ => (RrType::A, format!("10.{}.0.{}", if i % 3 == 0 { round } else { 9 }, i % 256)),
        };
        let object = ObjectId::static_record("dns", &format!("o{i}"));
        objects.insert(object.clone(), ObjectState::Present);
        claims.insert(Claim {
            name: n(&format!("o{i}.internal")),
            rtype,
            set: RrSet::new(rtype, 300, [rdata::from_text(rtype, &value, None).unwrap()]),
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

/// All sets that were not made by us.
fn foreign(view: &View) -> Vec<String> {
    let ours = |name: &Name| name.to_string().contains("_knotwork") || name.to_string().starts_with('o');
    let sets = view.sets().filter(|(name, rtype, _)| !ours(name) && *rtype != RrType::SOA);
    sets.map(|(name, rtype, set)| format!("{name} {rtype} {set:?}")).collect()
}

fn live(server: &Handle) -> View {
    server.view(&n("internal")).unwrap()
}

fn same(a: &View, b: &View) -> bool {
    a.serial() == b.serial() && a.same_content(b)
}

/// A run with a new engine: the server must be as declared afterwards.
async fn converges(server: &Handle, claims: &Arc<Claims>, context: &str) {
    let mut engine = engine(server);
    engine.set_claims(Arc::clone(claims));
    engine.refresh().await.unwrap_or_else(|error| panic!("{context}: {error}"));
    let plan = engine.plan().unwrap();
    if !plan.changes.is_empty() {
        let done = engine.converge(&plan).await;
        assert!(done.stopped.is_none(), "{context}: {:?}", done.stopped);
    }
    let mut fresh = self::engine(server);
    fresh.set_claims(Arc::clone(claims));
    fresh.refresh().await.unwrap();
    let again = fresh.plan().unwrap();
    assert!(
        again.changes.is_empty() && again.orphans.is_empty() && again.conflicts.is_empty(),
        "{context}: {again:#?}"
    );
    for (name, sets) in &claims.sets {
        for (rtype, claims) in sets {
            assert!(live(server).get(name, *rtype).unwrap().same(&claims[0].set, *rtype), "{context}: {name}");
        }
    }
}

/// Somebody else's record.
fn write(server: &Handle, name: &str, last: u8) {
    server.edit(&n("internal"), &[], &[Edit::Add(n(name), RrType::A, 60, [10, 6, 0, last].into())]).unwrap();
}

fn reading() -> Vec<(Option<Asked>, Fault)> {
    let mut all: Vec<(Option<Asked>, Fault)> = [
        Fault::TransferCut(0),
        Fault::TransferCut(1),
        Fault::TransferCut(4),
        Fault::TransferStalled(0),
        Fault::TransferStalled(2),
        Fault::TransferReordered,
        Fault::TransferGap(0),
        Fault::TransferGap(1),
        Fault::TransferForged(0),
        Fault::TransferForged(3),
        Fault::TransferNoEnd,
        Fault::TransferOtherEnd,
        Fault::TransferRcode(Rcode::SERVFAIL),
        Fault::TransferRcode(Rcode::REFUSED),
        Fault::TransferRcode(Rcode::NOTAUTH),
        Fault::NoHistory,
        Fault::QueryRcode(Rcode::SERVFAIL),
        Fault::QueryRcode(Rcode::REFUSED),
        Fault::QueryRcode(Rcode::NXDOMAIN),
        Fault::Skew(3600),
        Fault::Skew(-3600),
        Fault::Delay(Duration::from_millis(100)),
    ]
    .map(|fault| (None, fault))
    .into();
    for asked in [Asked::Query, Asked::Transfer] {
        all.extend([Fault::WrongId, Fault::Unsigned, Fault::Forged].map(|fault| (Some(asked), fault)));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_read_leaves_the_view_as_it_was() {
    let server = authority().await;
    for (count, (only, fault)) in reading().into_iter().enumerate() {
        let context = format!("{fault:?} {only:?}");
        let mut old = engine(&server);
        old.refresh().await.unwrap();
        let before = old.view().unwrap().clone();
        // Enough changes for a transfer of several messages.
        for last in 0..60 {
            write(&server, &format!("r{count}.internal"), last);
        }
        for mut engine in [old, engine(&server)] {
            let had = engine.view().cloned();
            match only {
                Some(asked) => server.faults().set_on(asked, fault.clone(), Times::Always),
                None => server.faults().set(fault.clone(), Times::Always),
            }
            let struck = server.faults().struck();
            let found = engine.refresh().await;
            assert!(server.faults().struck() > struck, "{context}: never struck");
            match (&found, engine.view()) {
                (Ok(_), Some(view)) => assert!(same(view, &live(&server)), "{context}: a wrong view"),
                (Ok(_), None) => panic!("{context}: no view"),
                (Err(_), None) => assert!(had.is_none(), "{context}"),
                (Err(_), Some(view)) => assert!(same(view, &before) && had.is_some(), "{context}: half a view"),
            }
            let harmless = matches!(fault, Fault::NoHistory | Fault::Delay(_));
            // A gap or a cut behind the end of a short transfer is none.
            let may_pass = matches!(fault, Fault::TransferCut(4) | Fault::TransferForged(3));
            assert!(may_pass || found.is_ok() == harmless, "{context}: {found:?}");
            server.faults().clear();
            engine.refresh().await.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(same(engine.view().unwrap(), &live(&server)), "{context}");
        }
    }
}

const LATE: Duration = Duration::from_secs(4);

fn writing() -> Vec<Fault> {
    let mut all = vec![
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::SilentBefore,
        Fault::SilentAfter,
        Fault::AnswerCut,
        Fault::WrongId,
        Fault::Unsigned,
        Fault::Forged,
        Fault::Delay(Duration::from_millis(300)),
        Fault::Late(LATE),
        Fault::RefuseName(n("o153.internal")),
        Fault::RefuseName(n("o10.internal")),
    ];
    let codes = [
        Rcode::FORMERR,
        Rcode::SERVFAIL,
        Rcode::NXDOMAIN,
        Rcode::NOTIMP,
        Rcode::REFUSED,
        Rcode::YXDOMAIN,
        Rcode::YXRRSET,
        Rcode::NXRRSET,
        Rcode::NOTAUTH,
        Rcode::NOTZONE,
    ];
    all.extend(codes.map(Fault::UpdateRcode));
    all
}

/// Runs round 1 while the fault strikes; what is said of each set must be true.
async fn run(server: &Handle, arm: impl Fn() + Send, context: &str) {
    converges(server, &claims(0), context).await;
    let untouched = foreign(&live(server));
    let mut engine = engine(server);
    engine.set_claims(claims(1));
    engine.refresh().await.unwrap();
    let plan = engine.plan().unwrap();
    assert!(plan.changes.len() > 100 && plan.conflicts.is_empty());
    let before = live(server);
    let (began, struck) = (Instant::now(), server.faults().struck());
    arm();
    let done = engine.converge(&plan).await;
    assert!(server.faults().struck() > struck, "{context}: never struck");
    server.faults().clear();
    if context.contains("Late") {
        // The late one comes when it comes; what is waited for is the moment when it must have.
        tokio::time::sleep_until((began + LATE * 2).into()).await;
    }
    let after = live(server);
    assert_eq!(foreign(&after), untouched, "{context}");
    let wish = claims(1);
    for one in done.outcomes() {
        let now = after.get(&one.name, one.rtype);
        let wished = wish.sets.get(&one.name).and_then(|sets| sets.get(&one.rtype)).map(|claims| &claims[0].set);
        let matches = |a: Option<&RrSet>, b: Option<&RrSet>| match (a, b) {
            (Some(a), Some(b)) => a.same(b, one.rtype),
            (None, None) => true,
            _ => false,
        };
        let true_word = match one.outcome {
            Outcome::Done if one.action == Action::Delete => now.is_none(),
            Outcome::Done => matches(now.as_ref(), wished),
            Outcome::Conflict | Outcome::Refused | Outcome::Held | Outcome::Waiting => {
                matches(now.as_ref(), before.get(&one.name, one.rtype).as_ref())
            }
            Outcome::Lost | Outcome::Unconfirmed => true,
        };
        assert!(true_word, "{context}: said {one:?}, but it is {now:?}");
    }
    converges(server, &wish, context).await;
    assert_eq!(foreign(&live(server)), untouched, "{context}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_write_is_told_as_it_is() {
    // Most of the time is waiting for answers that do not come; a few at a time wait together.
    let faults = writing();
    for some in faults.chunks(4) {
        let mut tasks = tokio::task::JoinSet::new();
        for fault in some.iter().cloned() {
            tasks.spawn(write_fault(fault));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
}

async fn write_fault(fault: Fault) {
    let server = authority().await;
    for skip in [0, 1] {
        let context = format!("{fault:?} after {skip}");
        let arm = || match (&fault, skip) {
            // Of all requests only UPDATEs shall be hit.
            (Fault::WrongId | Fault::Unsigned | Fault::Forged | Fault::Delay(_), _) => {
                server.faults().set_on(Asked::Update, fault.clone(), Times::Count(skip + 1));
            }
            (Fault::RefuseName(_), _) => server.faults().set(fault.clone(), Times::Always),
            _ => server.faults().set_after(skip, fault.clone()),
        };
        run(&server, arm, &context).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_on_failing_is_reported_and_nothing_is_claimed() {
    for fault in [
        Fault::UpdateRcode(Rcode::SERVFAIL),
        Fault::UpdateRcode(Rcode::NOTAUTH),
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Skew(3600),
    ] {
        let server = authority().await;
        let arm = || server.faults().set(fault.clone(), Times::Always);
        run(&server, arm, &format!("always {fault:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_data_is_noticed() {
    let server = authority().await;
    converges(&server, &claims(0), "first").await;
    let backup = server.snapshot(&n("internal")).unwrap();
    let mut engine = engine(&server);
    engine.set_claims(claims(1));
    engine.refresh().await.unwrap();
    let plan = engine.plan().unwrap();
    assert!(engine.converge(&plan).await.stopped.is_none());
    server.restore(backup.clone());
    assert_eq!(engine.refresh().await.unwrap(), Refreshed::New { reset: true });
    assert!(same(engine.view().unwrap(), &live(&server)));
    let again = engine.plan().unwrap();
    assert!(again.changes.len() > 100, "what was lost is planned again");

    // Walked to the serial of our view by somebody else: what we believe is wrong, and guards keep us from harm.
    converges(&server, &claims(1), "again").await;
    engine.refresh().await.unwrap();
    let serial = live(&server).serial();
    server.restore(backup);
    let mut step = 0;
    while live(&server).serial() != serial {
        write(&server, "o339.internal", step);
        write(&server, &format!("walk{step}.internal"), 1);
        step += 1;
        if serial.wrapping_sub(live(&server).serial()) == 1 {
            write(&server, "last.internal", 1);
        }
    }
    let theirs = live(&server).get(&n("o339.internal"), RrType::A).unwrap();
    let mut wish = (*claims(1)).clone();
    wish.retain(|claim| claim.name != n("o100.internal"));
    engine.set_claims(Arc::new(wish));
    assert_eq!(engine.refresh().await.unwrap(), Refreshed::Current);
    let plan = engine.plan().unwrap();
    assert!(!plan.changes.is_empty());
    let done = engine.converge(&plan).await;
    let now = live(&server);
    assert!(now.get(&n("o339.internal"), RrType::A).unwrap().same(&theirs, RrType::A), "{:?}", done.stopped);
    for step in 0..step {
        assert!(now.in_use(&n(&format!("walk{step}.internal"))));
    }
}
