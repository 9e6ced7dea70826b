//! The embedded authority beside a real Knot: the same messages get the same answers and leave the same zone.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "authority/script.rs"]
mod script;
#[path = "authority/wire.rs"]
mod wire;

use std::net::SocketAddr;

use knotwork::authority::{Authority, AuthorityConfig, Handle};
use knotwork::dns::xfr::Transfer;
use knotwork::dns::{Class, Message, Opcode, Question, Rcode, Record};
use knotwork::model::{Name, RrType, rdata};
use knotwork::view::View;
use support::engine::{key, n};
use support::knot::{KEYS, Knot, Setup};
use support::parts::{self, Program};
use wire::{Answer, ask, transfer, udp, update};

/// Both servers with the zone of the script.
async fn pair(program: &Program) -> (Knot, Handle) {
    let files = vec![("internal".to_owned(), script::ZONE.to_owned())];
    let zones = vec!["internal".to_owned()];
    let knot = Knot::with(program, &Setup { zones, files, ..Setup::default() });
    let keys = KEYS.iter().map(|(name, secret)| key(name, secret)).collect();
    let config = AuthorityConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        zones: vec![(n("internal"), script::ZONE.to_owned())],
        keys,
        notify: Vec::new(),
    };
    (knot, Authority::start(config).await.unwrap())
}

fn whole(addr: SocketAddr) -> View {
    match transfer(addr, None).unwrap() {
        Transfer::Full(view) => view,
        other => panic!("{other:?}"),
    }
}

/// Every line of a zone, sorted, the SOA's serial aside.
fn lines(view: &View) -> Vec<String> {
    let mut all = Vec::new();
    for (name, rtype, set) in view.sets().filter(|(_, rtype, _)| *rtype != RrType::SOA) {
        all.extend(
            set.values.iter().map(|value| format!("{name} {} {rtype} {}", set.ttl, rdata::to_text(rtype, value))),
        );
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_get_the_same_answers_and_leave_the_same_zone() {
    let Some(program) = parts::need("knot") else { return };
    let (knot, ours) = pair(&program).await;
    let mut wrong = Vec::new();
    assert_eq!(lines(&whole(knot.addr)), lines(&whole(ours.addr())));
    for (title, text) in script::updates() {
        let message = script::message(text);
        let before = (whole(knot.addr).serial(), whole(ours.addr()).serial());
        let theirs = update(knot.addr, &message);
        let answer = update(ours.addr(), &message);
        let (a, b) = (whole(knot.addr), whole(ours.addr()));
        if theirs != answer {
            wrong.push(format!("{title}: Knot {theirs:?}, the authority {answer:?}"));
        }
        let moved = (a.serial() != before.0, b.serial() != before.1);
        if moved.0 != moved.1 {
            wrong.push(format!("{title}: the serial moved: Knot {}, the authority {}", moved.0, moved.1));
        }
        let (a, b) = (lines(&a), lines(&b));
        if a != b {
            let only =
                |x: &[String], y: &[String]| x.iter().filter(|line| !y.contains(line)).cloned().collect::<Vec<_>>();
            wrong.push(format!("{title}: only Knot {:?}, only the authority {:?}", only(&a, &b), only(&b, &a)));
            // One difference must not be told again by every later step.
            ours.set_zone(&n("internal"), &script::zone_of(&whole(knot.addr))).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// Rcode, AA, TC, answers and authorities as sorted text; addresses of the additional section for referrals only.
fn gist(answer: &Answer) -> String {
    let Answer::Message(message) = answer else { return format!("{answer:?}") };
    let text = |records: &[Record]| {
        let mut all: Vec<String> = records
            .iter()
            .filter(|record| !record.rtype.is_dnssec() && record.rtype != RrType::OPT)
            .map(|r| format!("{} {} {} {}", r.name, r.ttl, r.rtype, rdata::to_text(r.rtype, &r.rdata)))
            .collect();
        all.sort();
        all.join("; ")
    };
    // How much of an answer that is cut comes along is each server's taste.
    if message.truncated {
        return format!("aa={} tc=true", message.authoritative);
    }
    let referral = !message.authoritative && message.rcode == Rcode::NOERROR;
    let opt = message.additionals.iter().any(|record| record.rtype == RrType::OPT);
    format!(
        "{} aa={} tc={} opt={opt} | {} | {} | {}",
        message.rcode,
        message.authoritative,
        message.truncated,
        text(&message.answers),
        text(&message.authorities),
        if referral { text(&message.additionals) } else { String::new() },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_get_the_same_answers() {
    let Some(program) = parts::need("knot") else { return };
    let (knot, ours) = pair(&program).await;
    let mut wrong = Vec::new();
    let mut compare = |title: String, message: &Message, over_udp: bool| {
        let get = |addr| if over_udp { udp(addr, &message.encode()) } else { ask(addr, &message.encode()) };
        let (theirs, answer) = (gist(&get(knot.addr)), gist(&get(ours.addr())));
        if theirs != answer {
            wrong.push(format!("{title}\n   Knot:      {theirs}\n   authority: {answer}"));
        }
    };
    let opt = |payload: u16, version: u32| Record {
        name: Name::root(),
        rtype: RrType::OPT,
        class: Class(payload),
        ttl: version << 16,
        rdata: Box::default(),
    };
    for (name, rtype) in script::QUERIES {
        let rtype = RrType::parse(rtype).unwrap();
        let query = Message::query(7, n(name), rtype);
        compare(format!("{name} {rtype} over TCP"), &query, false);
        compare(format!("{name} {rtype} over UDP"), &query, true);
        let mut with_opt = query;
        with_opt.additionals.push(opt(1232, 0));
        compare(format!("{name} {rtype} over UDP with EDNS"), &with_opt, true);
    }
    let soa = Message::query(7, n("internal"), RrType::SOA);
    let mut odd = soa.clone();
    odd.additionals.push(opt(1232, 1));
    compare("EDNS version 1".into(), &odd, false);
    odd.additionals = vec![opt(1232, 0), opt(1232, 0)];
    compare("two OPT records".into(), &odd, false);
    odd = soa.clone();
    odd.questions[0].class = Class::CH;
    compare("class CH".into(), &odd, false);
    odd = soa.clone();
    odd.questions[0].class = Class::ANY;
    compare("class ANY".into(), &odd, false);
    odd = soa.clone();
    odd.questions.clear();
    compare("no question".into(), &odd, false);
    odd.questions = vec![soa.questions[0].clone(), soa.questions[0].clone()];
    compare("two questions".into(), &odd, false);
    for opcode in [Opcode::STATUS, Opcode::IQUERY, Opcode(9)] {
        odd = soa.clone();
        odd.opcode = opcode;
        compare(format!("{opcode}"), &odd, false);
    }
    odd = soa.clone();
    (odd.opcode, odd.authoritative) = (Opcode::NOTIFY, true);
    compare("NOTIFY".into(), &odd, false);
    odd = soa.clone();
    odd.response = true;
    compare("an answer as question over UDP".into(), &odd, true);
    for (title, rtype) in [("unsigned AXFR", RrType::AXFR), ("unsigned AXFR over UDP", RrType::AXFR)] {
        compare(title.into(), &Message::query(7, n("internal"), rtype), title.ends_with("UDP"));
    }
    compare("AXFR of no zone".into(), &Message::query(7, n("www.internal"), RrType::AXFR), false);
    compare("unsigned IXFR".into(), &Message::ixfr(7, n("internal"), 1), false);
    let mut message = Message::new(7, Opcode::UPDATE);
    message.questions = vec![Question { name: n("internal"), rtype: RrType::SOA, class: Class::IN }];
    compare("unsigned UPDATE".into(), &message, false);
    for len in [11, 20] {
        let cut = &soa.encode()[..len];
        let (theirs, answer) = (gist(&udp(knot.addr, cut)), gist(&udp(ours.addr(), cut)));
        if theirs != answer {
            wrong.push(format!("{len} octets\n   Knot:      {theirs}\n   authority: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_have_the_same_shape() {
    let Some(program) = parts::need("knot") else { return };
    let (knot, ours) = pair(&program).await;
    let add = |i: u32| script::message(&format!("+ IN 300 t{i} A 10.1.0.{i}\n+ NONE 0 t{} A 10.1.0.{}", i - 1, i - 1));
    let first = (whole(knot.addr), whole(ours.addr()));
    for i in 1..4 {
        for addr in [knot.addr, ours.addr()] {
            assert_eq!(update(addr, &add(i)), (Answer::Rcode(Rcode::NOERROR), true));
        }
    }
    for (addr, first) in [(knot.addr, &first.0), (ours.addr(), &first.1)] {
        let now = whole(addr);
        let Transfer::Delta(steps) = transfer(addr, Some(first.serial())).unwrap() else { panic!("no differences") };
        let mut followed = first.clone();
        followed.apply(&steps).unwrap();
        assert!(followed.same_content(&now) && followed.serial() == now.serial());
        assert_eq!(steps.len(), 3);
        // The SOA is the first of what goes and of what comes.
        let shape: Vec<_> = steps.iter().map(|step| (step.removed.len(), step.added.len())).collect();
        assert_eq!(shape, [(1, 2), (2, 2), (2, 2)]);
        assert!(matches!(transfer(addr, Some(now.serial())).unwrap(), Transfer::UpToDate));
        assert!(matches!(transfer(addr, Some(now.serial() + 9)).unwrap(), Transfer::Behind(_)));
        // Older than the history.
        assert!(matches!(transfer(addr, Some(first.serial() - 1)).unwrap(), Transfer::Full(_)));
        let one = wire::signed_udp(addr, &Message::ixfr(7, n("internal"), first.serial()));
        let Answer::Message(one) = one else { panic!("{one:?}") };
        assert_eq!(one.answers.iter().map(|record| record.rtype).collect::<Vec<_>>(), [RrType::SOA]);
    }
}
