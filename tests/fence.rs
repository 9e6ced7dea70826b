//! The fence: whoever does not hold it writes nothing, whatever it believed a moment ago.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::process::{Child, Command, Stdio};

use support::knot::Knot;
use support::site::{self, Site};
use support::writer::{Writer, add, remove};
use support::{parts, wait};

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().expect("kill runs");
    assert!(done.success());
}

fn has(knot: &Knot, line: &str) -> bool {
    site::zone(knot.addr, "internal").iter().any(|have| have.starts_with(line))
}

fn fence(knot: &Knot, owner: &str) -> Option<String> {
    let owner = format!("{owner}._knotwork.internal. ");
    site::zone(knot.addr, "internal").into_iter().find(|line| line.starts_with(&owner))
}

#[test]
fn a_second_installation_with_our_owner_id_writes_nothing_until_it_takes_over() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let first = Site::new(knot.addr);
    first.put("a", "name: a.internal, a: [10.0.0.1]");
    first.apply(&[], 0);
    let second = Site::of("home", "elsewhere", "operator", knot.addr, "");
    second.put("b", "name: b.internal, a: [10.0.0.2]");
    let ran = second.apply(&["--prune"], 1);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("OtherInstance") && said.contains("here"), "{said}");
    assert!(said.contains("takeover internal --from here"), "the way out: {said}");
    // What is not written can be looked at.
    let told = second.records_run(&["explain", "a.internal"]);
    assert_eq!(told.code, 1, "{told:#?}");
    assert!(told.out.contains("live: 300 A 10.0.0.1; held by ours") && told.err.contains("OtherInstance"), "{told:#?}");
    let told = second.records_run(&["explain", "b.internal"]);
    assert!(told.out.contains("declared: 300 A 10.0.0.2 by"), "{told:#?}");
    assert!(has(&knot, "a.internal. 300 A 10.0.0.1") && !has(&knot, "b.internal."));
    // The wrong instance is refused, the right one taken over.
    for (from, words) in [
        (&[][..], "it is held by the instance \"here\"; if that one is meant, say `--from here`; nothing was changed"),
        (&["--from", "nobody"], "it is held by the instance \"here\", not by \"nobody\"; if that one is meant, say"),
    ] {
        let ran = second.run(&[&["zone", "takeover", "internal"], from].concat());
        assert!(ran.code == 1 && ran.err.contains(words) && !ran.err.contains("\"\""), "{ran:#?}");
    }
    let ran = second.run(&["zone", "takeover", "internal", "--from", "here"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "zone internal: taken over from \"here\" by \"elsewhere\", epoch 2"));
    let ran = second.run(&["zone", "takeover", "internal"]);
    assert_eq!(ran.out.trim(), "zone internal: held by this instance \"elsewhere\" already, now at epoch 3");
    let ran = second.run(&["zone", "takeover"]);
    assert!(ran.err.contains("<ZONE> [--from <INSTANCE>]"), "{ran:#?}");
    second.apply(&[], 0);
    assert!(has(&knot, "b.internal. 300 A 10.0.0.2") && has(&knot, "a.internal. 300 A 10.0.0.1"));
    first.put("c", "name: c.internal, a: [10.0.0.3]");
    let ran = first.apply(&[], 1);
    assert!(format!("{}{}", ran.out, ran.err).contains("OtherInstance"), "{ran:#?}");
    assert!(!has(&knot, "c.internal."));
}

/// Starts an apply that stops itself at `point`; returns it when it has got there.
fn paused(site: &Site, point: &str, fence_off: bool) -> Child {
    paused_with(site, point, fence_off, &[])
}

fn paused_with(site: &Site, point: &str, fence_off: bool, args: &[&str]) -> Child {
    let file = site.dir().join("paused");
    let _ = std::fs::remove_file(&file);
    let mut command = site.command(&[&["apply"], args].concat());
    command.arg("-f").arg(site.records()).env("KNOTWORK_TEST_PAUSE", point).env("KNOTWORK_TEST_PAUSE_FILE", &file);
    if fence_off {
        command.env("KNOTWORK_TEST_NO_FENCE", "1").env("KNOTWORK_TEST_NO_GUARDS", "1");
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("knotwork starts");
    wait::until("apply to reach its pause", || file.exists().then_some(()));
    signal(&child, "STOP");
    // A thread of it that is at work on another core stops a moment after the signal.
    let stat = format!("/proc/{}/stat", child.id());
    wait::until("apply to be frozen", || {
        std::fs::read_to_string(&stat).ok()?.rsplit_once(") ")?.1.starts_with('T').then_some(())
    });
    std::fs::remove_file(&file).expect("release the pause");
    child
}

/// A run is frozen in mid-apply; meanwhile the same installation creates and deletes the record. Whether it is back.
fn frozen_run_brings_it_back(knot: &Knot, point: &str, fence_off: bool) -> bool {
    let before = Site::new(knot.addr);
    before.put("before", "name: before.internal, a: [10.0.0.6]");
    before.apply(&[], 0);
    let site = Site::new(knot.addr);
    // Enough for several messages, so that "after the first" leaves some to send.
    site.file("many.yaml", &site::many("many", 2500, 50));
    site.put("zz", "name: zz-last.internal, a: [10.0.0.9]");
    let child = paused(&site, point, fence_off);
    let other = Site::new(knot.addr);
    other.put("zz", "name: zz-last.internal, a: [10.0.0.9]");
    other.apply(&[], 0);
    assert!(has(knot, "zz-last.internal."));
    other.cut("zz");
    other.put("other", "name: other.internal, a: [10.0.0.8]");
    other.apply(&["--prune", "--release", &held_hash(&other)], 0);
    assert!(!has(knot, "zz-last.internal."), "deleted while the first run sleeps");
    signal(&child, "CONT");
    let ran: site::Ran = child.wait_with_output().expect("ends").into();
    let said = ran.out.lines().filter(|line| !line.contains("many")).collect::<Vec<_>>().join("\n");
    eprintln!("{point}: the frozen run ended with {}: {said}\n{}", ran.code, ran.err);
    has(knot, "zz-last.internal.")
}

/// The hash that a prune of everything needs; `none` when the brake does not hold it.
fn held_hash(site: &Site) -> String {
    let ran = site.records_run(&["plan", "--prune", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    json["zones"][0]["held"]["hash"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_frozen_one_shot_run_does_not_bring_a_record_back() {
    let Some(program) = parts::need("knot") else { return };
    for point in ["before-first", "after-first"] {
        let knot = Knot::start(&program);
        assert!(!frozen_run_brings_it_back(&knot, point, false), "{point}");
    }
}

#[test]
fn without_the_fence_it_would() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    assert!(frozen_run_brings_it_back(&knot, "before-first", true), "the test above proves nothing");
}

#[test]
fn a_frozen_resident_writer_does_not_bring_a_record_back() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let site = Site::new(knot.addr);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let mut resident = site
        .command(&["apply", "--watch"])
        .arg("-f")
        .arg(site.records())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("knotwork starts");
    wait::until("the resident writer's record", || has(&knot, "a.internal. 300 A 10.0.0.1").then_some(()));
    signal(&resident, "STOP");
    let before = fence(&knot, "home").expect("a fence");
    let other = Site::new(knot.addr);
    other.put("keep", "name: keep.internal, a: [10.0.0.7]");
    other.apply(&["--prune"], 0);
    assert!(!has(&knot, "a.internal."));
    assert_ne!(fence(&knot, "home").expect("a fence"), before, "the epoch was raised");
    signal(&resident, "CONT");
    // It may write again once it has seen the other's epoch and five quiet seconds: then by its own wish, knowingly, as
    // the holder of a newer epoch. What it must not do is write with the old one, so the epoch rises before the record.
    let raised = fence(&knot, "home").expect("a fence");
    let back = wait::until("the resident writer to take its turn again", || {
        let lines = site::zone(knot.addr, "internal");
        let back = lines.iter().any(|line| line.starts_with("a.internal."));
        let now = lines.iter().find(|line| line.starts_with("home._knotwork.internal. ")).cloned();
        assert!(!back || now.as_deref() != Some(raised.as_str()), "it wrote under an old epoch");
        back.then_some(true)
    });
    assert!(back);
    signal(&resident, "TERM");
    let _ = resident.wait();
}

#[test]
fn a_fence_that_was_removed_stops_everybody_until_a_person_decides() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let site = Site::new(knot.addr);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.apply(&[], 0);
    let line = fence(&knot, "home").expect("a fence");
    let text = line.splitn(4, ' ').nth(3).expect("value").to_owned();
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    let owner = "home._knotwork.internal";
    writer.update(vec![], vec![remove(owner, knotwork::model::RrType::TXT, &text)]);
    assert!(fence(&knot, "home").is_none());
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    let ran = site.apply(&[], 1);
    assert!(format!("{}{}", ran.out, ran.err).contains("FenceLost"), "{ran:#?}");
    assert!(!has(&knot, "b.internal."));
    let ran = site.run(&["zone", "takeover", "internal", "--from", "here"]);
    assert!(ran.code == 1 && ran.err.contains("there is no fence, so nobody holds it, \"here\" neither"), "{ran:#?}");
    let ran = site.run(&["zone", "takeover", "internal"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "zone internal: taken by \"here\", epoch 1; nobody held it"));
    site.apply(&[], 0);
    assert!(has(&knot, "b.internal. 300 A 10.0.0.2"));
}

#[test]
fn a_fence_that_cannot_be_read_is_shown_with_the_way_out() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let site = Site::new(knot.addr);
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    let owner = "home._knotwork.internal";
    writer.update(vec![], vec![add(owner, 60, knotwork::model::RrType::TXT, "\"heritage=knotwork,v=9,else\"")]);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let plan = site.records_run(&["plan"]);
    assert!(plan.code == 1 && plan.err.contains("FenceUnreadable"), "a plan says what an apply will meet: {plan:#?}");
    let ran = site.apply(&[], 1);
    assert!(format!("{}{}", ran.out, ran.err).contains("FenceUnreadable"), "{ran:#?}");
    assert!(!has(&knot, "a.internal."));
    let doctor = site.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:#?}");
    for words in [
        "at home._knotwork.internal stands \"heritage=knotwork,v=9,else\"",
        "`knotwork zone takeover internal` replaces it",
    ] {
        assert!(doctor.out.contains(words), "{words}: {}", doctor.out);
    }
    assert!(!doctor.out.contains("no fence;") && !doctor.out.contains("nothing of ours yet"), "{}", doctor.out);
    assert_eq!(site.run(&["zone", "takeover", "internal"]).code, 0);
    site.apply(&[], 0);
    assert!(has(&knot, "a.internal. 300 A 10.0.0.1"));
}

/// A record of somebody else where the fence belongs: not replaced, not even by a takeover.
#[test]
fn a_strangers_record_at_the_fences_place_is_left_alone() {
    let Some(program) = parts::need("knot") else { return };
    let knot = Knot::start(&program);
    let site = Site::new(knot.addr);
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    let owner = "home._knotwork.internal";
    writer.update(vec![], vec![add(owner, 60, knotwork::model::RrType::TXT, "\"v=spf1 -all\"")]);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let records = site.records();
    for args in [
        &["plan", "-f", records.to_str().unwrap()][..],
        &["apply", "-f", records.to_str().unwrap()],
        &["doctor"],
        &["zone", "takeover", "internal"],
    ] {
        let ran = site.run(args);
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, 1, "{args:?}: {said}");
        for words in ["FencePlaceTaken", "stands \"v=spf1 -all\"", "another `owner:`"] {
            assert!(said.contains(words), "{args:?} without {words}: {said}");
        }
    }
    assert!(has(&knot, "home._knotwork.internal. 60 TXT \"v=spf1 -all\"") && !has(&knot, "a.internal."));
    // The way out, as it is told.
    site.config(&site.config_text().replace("owner: home", "owner: house"));
    site.apply(&[], 0);
    assert!(has(&knot, "home._knotwork.internal. 60 TXT \"v=spf1 -all\"") && has(&knot, "a.internal. 300 A 10.0.0.1"));
}

/// What one displaced run says is said once, whatever became of its records.
#[test]
fn a_displaced_run_says_so_once() {
    let Some(program) = parts::need("knot") else { return };
    for (point, json) in [("after-first", false), ("after-first", true), ("before-first", false)] {
        let knot = Knot::start(&program);
        let site = Site::new(knot.addr);
        site.file("many.yaml", &site::many("many", 10_000, 50));
        let child = paused_with(&site, point, false, if json { &["-o", "json"] } else { &[] });
        // The same installation, which wants none of it.
        let other = Site::new(knot.addr);
        other.put("other", "name: other.internal, a: [10.0.0.8]");
        other.apply(&["--prune", "--release", &held_hash(&other)], 0);
        signal(&child, "CONT");
        let ran: site::Ran = child.wait_with_output().expect("ends").into();
        if json {
            let json: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
            let zone = &json["zones"][0];
            assert_eq!(zone["error"]["reason"], "Displaced");
            let changes = zone["changes"].as_array().expect("changes");
            assert_eq!(changes.len(), 10_000);
            assert!(changes.iter().all(|change| change["reason"] == "Displaced"), "{}", changes[0]);
            let taken = changes.iter().filter(|change| change["outcome"] == "unconfirmed").count();
            assert!(0 < taken && taken < 10_000, "{taken} were accepted before it slept");
            continue;
        }
        let lines: Vec<&str> = ran.out.lines().filter(|line| line.contains("  ! ")).collect();
        assert!(!ran.out.contains("NotEffective"), "{lines:#?}");
        assert!(
            lines.iter().all(|line| line.contains("changes of these (")
                && line.contains("): not")
                && line.contains("(Displaced)")),
            "{lines:#?}"
        );
        let number = |word: &str| -> usize {
            let line = lines.iter().find(|line| line.contains(word)).map_or("  ! 0", |line| *line);
            line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
        };
        assert_eq!(number("not sent") + number("not confirmed"), 10_000, "{lines:#?}");
        assert_eq!(number("not confirmed") > 0, point == "after-first", "{lines:#?}");
        assert_eq!(ran.err.matches("another run of this installation wrote meanwhile").count(), 1, "{}", ran.err);
    }
}

#[test]
fn a_zone_restored_to_an_older_state_is_seen_and_healed() {
    let Some(program) = parts::need("knot") else { return };
    // Once while it looks on, once all of it between two looks: no answer failed, and the history fits what it knows.
    restored_and_walked(Knot::start(&program), false);
    restored_and_walked(Knot::start(&program), true);
}

fn restored_and_walked(mut knot: Knot, unseen: bool) {
    let site = Site::new(knot.addr);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    let mut resident = site
        .command(&["apply", "--watch"])
        .arg("-f")
        .arg(site.records())
        .arg("--metrics-file")
        .arg(site.dir().join("metrics.prom"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("knotwork starts");
    wait::until("the first record", || has(&knot, "a.internal.").then_some(()));
    if unseen {
        // It must have read back what it wrote; then its looks are a second apart.
        wait::until("its metrics", || {
            let text = std::fs::read_to_string(site.dir().join("metrics.prom")).unwrap_or_default();
            text.lines()
                .any(|line| line.starts_with("knotwork_zone_managed_sets") && line.ends_with(" 1"))
                .then_some(())
        });
        signal(&resident, "STOP");
    }
    // The server loses everything and comes back at its first serial, then walks past ours by other changes.
    restore(&mut knot);
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    for i in 0..40 {
        writer.update(vec![], vec![add(&format!("walk{i}.internal"), 60, knotwork::model::RrType::A, "10.8.8.8")]);
    }
    if unseen {
        assert!(!has(&knot, "a.internal."));
        signal(&resident, "CONT");
    }
    wait::until("our record to be back", || has(&knot, "a.internal. 300 A 10.0.0.1").then_some(()));
    assert!(has(&knot, "walk39.internal."), "what the others did stays");
    signal(&resident, "TERM");
    let _ = resident.wait();
}

/// The server loses everything and comes back with the first state of its zone.
fn restore(knot: &mut Knot) {
    knot.kill();
    let db = knot.dir().join("db");
    std::fs::remove_dir_all(&db).expect("journal removed");
    std::fs::create_dir(&db).expect("db");
    std::fs::write(knot.dir().join("zones/internal.zone"), support::knot::minimal_zone("internal")).expect("zone");
    let _ = Command::new("chown").arg("-R").arg("knot:knot").arg(knot.dir()).status();
    knot.resume();
}

fn serial(knot: &Knot) -> u32 {
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &knot.addr.port().to_string(), "+short", "internal", "SOA"])
        .output()
        .expect("dig runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace().nth(2).and_then(|serial| serial.parse().ok()).expect("a serial")
}

/// Others change the zone until it has this serial.
fn walk(knot: &Knot, to: u32) {
    let mut writer = Writer::connect(knot.addr, "other", "internal");
    while serial(knot) < to {
        let owner = format!("walk{}.internal", serial(knot));
        writer.update(vec![], vec![add(&owner, 60, knotwork::model::RrType::A, "10.8.8.8")]);
    }
    assert_eq!(serial(knot), to, "one serial for each change");
}

/// The serial says that nothing has happened, and yet the zone is another one: whoever believes it must not write by what
/// he remembers, and must find out.
#[test]
fn server_walked_to_our_serial_by_other_changes() {
    let Some(program) = parts::need("knot") else { return };
    let mut knot = Knot::start(&program);
    walk(&knot, 10);
    let site = Site::new(knot.addr);
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.apply(&[], 0);

    // A one-shot that has read the zone and sleeps before its first message.
    site.put("b", "name: b.internal, a: [10.0.0.2]");
    let sleeper = paused(&site, "before-first", false);
    let read_at = serial(&knot);
    restore(&mut knot);
    walk(&knot, read_at);
    signal(&sleeper, "CONT");
    let ran: site::Ran = sleeper.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.err.contains("(Displaced)"), "{ran:#?}");
    assert!(!has(&knot, "b.internal.") && serial(&knot) == read_at, "it wrote into a zone that it has never seen");
    site.apply(&[], 0);
    assert!(has(&knot, "a.internal. 300 A 10.0.0.1") && has(&knot, "b.internal. 300 A 10.0.0.2"));

    // A resident writer that holds the fence and sleeps.
    let mut resident = site
        .command(&["apply", "--watch"])
        .arg("-f")
        .arg(site.records())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("knotwork starts");
    site.put("c", "name: c.internal, a: [10.0.0.3]");
    wait::until("the resident writer's record", || has(&knot, "c.internal.").then_some(()));
    let read_at = wait::until("its zone to rest", || {
        let before = serial(&knot);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        (serial(&knot) == before).then_some(before)
    });
    signal(&resident, "STOP");
    restore(&mut knot);
    walk(&knot, read_at);
    assert!(!has(&knot, "a.internal.") && fence(&knot, "home").is_none());
    signal(&resident, "CONT");
    // Its next message finds out, and all that is declared comes back beside what the others did.
    site.put("d", "name: d.internal, a: [10.0.0.4]");
    wait::until("everything to be back", || {
        ["a", "b", "c", "d"].iter().all(|host| has(&knot, &format!("{host}.internal. 300 A 10.0.0."))).then_some(())
    });
    assert!(
        has(&knot, "walk1.internal.") && has(&knot, &format!("walk{}.internal.", read_at - 1)),
        "the others' stays"
    );
    assert!(fence(&knot, "home").is_some());
    signal(&resident, "TERM");
    let _ = resident.wait();
}
