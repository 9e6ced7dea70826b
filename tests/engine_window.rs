//! How much is out at once, and how full messages are, on servers of each kind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::SocketAddr;

use knotwork::knot::{WIDE, WINDOW};
use knotwork::model::RrType;
use knotwork::plan::{Action, Change, Edit, Guard};
use knotwork::zone::Role;
use support::bind::Bind;
use support::embedded;
use support::engine::{apply, change, engine, n, server};
use support::knot::Knot;
use support::parts;

/// First sets whose long names stand in four places of their message and cost room in one; then texts of which every octet
/// counts: what was learnt from the first messages is wrong for those after them.
fn large(count: usize) -> Vec<Change> {
    let set = |index: usize| {
        if index < count / 2 {
            let name = n(&format!("{index:060}.internal"));
            let guards = [RrType::A, RrType::AAAA, RrType::MX].map(|rtype| Guard::SetAbsent(name.clone(), rtype));
            let edits = vec![Edit::Add(name.clone(), RrType::A, 300, [10, 0, 0, 1].into())];
            return change(Action::Create, &name, RrType::A, guards.to_vec(), edits);
        }
        let name = n(&format!("t{index}.internal"));
        let mut text = vec![250u8];
        text.extend([b'x'; 250]);
        let edits = vec![Edit::Add(name.clone(), RrType::TXT, 300, text.into())];
        change(Action::Create, &name, RrType::TXT, Vec::new(), edits)
    };
    (0..count).map(set).collect()
}

/// Applies more than one window's worth; gives the window in the end.
async fn window_after_much(addr: SocketAddr) -> usize {
    let mut engine = engine(server(addr), "one", Role::OneShot);
    engine.refresh().await.unwrap();
    assert_eq!(engine.session().updates().window(), WINDOW);
    let report = apply(&mut engine, large(16_000)).await;
    assert!(report.all_done(), "{:?} {:?}", report.stopped, report.outcomes.first());
    let each = report.bytes / report.updates_sent;
    assert!((50_000..65_536).contains(&each), "{each} octets in a message of {}", report.updates_sent);
    engine.session().updates().window()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knot_is_given_more_at_once() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    assert_eq!(window_after_much(knot.addr).await, WIDE);
}

#[tokio::test(flavor = "multi_thread")]
async fn little_work_asks_nothing() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let mut engine = engine(server(knot.addr), "one", Role::OneShot);
    engine.refresh().await.unwrap();
    assert!(apply(&mut engine, large(1000)).await.all_done());
    assert_eq!(engine.session().updates().window(), WINDOW);
}

/// BIND drops what is over its `update-quota` of 100 without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_bind_is_not() {
    let Some(program) = parts::need("bind") else { return };
    let bind = Bind::start(&program);
    assert_eq!(window_after_much(bind.addr).await, WINDOW);
}

#[test]
fn nor_is_who_does_not_say_what_it_is() {
    let served = embedded::serve();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(window_after_much(served.server.addr())), WINDOW);
}
