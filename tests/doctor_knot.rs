//! What `doctor` finds out about real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Command;

use support::knot::{Knot, Setup};
use support::parts::{self, Program};
use support::site::Site;

/// A server of this part whose clock is wrong by so many seconds: `time(2)`, which signatures are made with, lies.
fn wrong_clock(program: &Program, dir: &std::path::Path, seconds: i64) -> Program {
    let source = dir.join("clock.c");
    let library = dir.join(format!("clock{seconds}.so"));
    let text = "#include <time.h>\ntime_t time(time_t *t) { struct timespec s; clock_gettime(CLOCK_REALTIME, &s); \
                time_t now = s.tv_sec + (OFFSET); if (t) *t = now; return now; }\n";
    std::fs::write(&source, text).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", &format!("-DOFFSET={seconds}"), "-o"])
        .args([&library, &source])
        .status()
        .expect("cc, with which Rust links, runs");
    assert!(built.success());
    let mut argv = vec!["env".to_owned(), format!("LD_PRELOAD={}", library.display())];
    argv.extend(program.argv.clone());
    Program { argv }
}

#[test]
fn the_difference_of_the_clocks_is_told_in_seconds() {
    let Some(program) = parts::need("knot") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (seconds, mark, side) in
        [(0, "ok  ", ""), (20, "ok  ", "ahead of"), (200, "look", "ahead of"), (-90, "look", "behind")]
    {
        let program = if seconds == 0 { program.clone() } else { wrong_clock(&program, dir.path(), seconds) };
        let knot = Knot::start(&program);
        let doctor = Site::new(knot.addr).run(&["doctor"]);
        assert_eq!(doctor.code, 0, "{doctor:#?}");
        let line = doctor.out.lines().find(|line| line.contains("the key is good")).expect("a line on the clock");
        assert!(line.trim_start().starts_with(mark), "{seconds}: {line}");
        if seconds == 0 {
            assert!(line.ends_with("its clock agrees with ours"), "{line}");
            continue;
        }
        // A second may pass between their look at the clock and ours.
        let told = |off: i64| line.contains(&format!("its clock is {} s {side} ours", off.abs()));
        assert!(told(seconds) || told(seconds - 1), "{seconds}: {line}");
        assert_eq!(line.contains("beyond 300 s nothing signed is accepted"), mark == "look", "{line}");
    }
    // Beyond the fudge the server refuses, and says its time.
    let knot = Knot::start(&wrong_clock(&program, dir.path(), 1000));
    let doctor = Site::new(knot.addr).run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{doctor:#?}");
    let told = |off: i64| doctor.out.contains(&format!("our clock is {off} s behind the server's"));
    assert!(doctor.out.contains("(ClockSkew)") && (told(1000) || told(1001)), "{doctor:#?}");
}

/// Every type that `doctor` asks about, allowed and not, on an ACL that tells them apart.
#[test]
fn each_type_is_asked_about() {
    let all = ["TXT", "A", "AAAA", "CNAME", "MX", "SRV", "PTR", "NS", "CAA", "SSHFP", "TLSA", "SVCB", "HTTPS"];
    for part in ["knot", "knot-next"] {
        let Some(program) = parts::need(part) else { continue };
        for allowed in
            [&["TXT", "NS", "CAA", "SSHFP", "TLSA", "SVCB", "HTTPS"][..], &["TXT", "A"], &["A", "HTTPS", "SSHFP"], &all]
        {
            let acl = format!(
                "  - id: op\n    key: operator\n    action: [ update, transfer ]\n    update-type: [ {} ]\n",
                allowed.join(", ")
            );
            let knot = Knot::with(&program, &Setup { acl: Some(("op".into(), acl)), ..Setup::default() });
            let before = support::site::zone(knot.addr, "internal");
            let doctor = Site::new(knot.addr).run(&["doctor"]);
            let listed = |head: &str| -> Vec<&str> {
                let line = doctor.out.lines().find_map(|line| line.split_once(head));
                let list = line.map_or("", |(_, rest)| rest.split(':').next().unwrap_or_default());
                list.split(", ").filter(|word| !word.is_empty()).collect()
            };
            let in_order =
                |keep: &dyn Fn(&&str) -> bool| all.iter().copied().filter(|word| keep(word)).collect::<Vec<_>>();
            assert_eq!(listed("zone internal: update allowed for "), in_order(&|t| allowed.contains(t)), "{doctor:#?}");
            assert_eq!(
                listed("zone internal: update not allowed for "),
                in_order(&|t| !allowed.contains(t)),
                "{doctor:#?}"
            );
            // Without TXT no marker can be written, which is no matter of taste.
            assert_eq!(doctor.code, i32::from(!allowed.contains(&"TXT")), "{doctor:#?}");
            assert!(doctor.out.contains("`update-type`") == (allowed.len() < all.len()), "{doctor:#?}");
            assert_eq!(support::site::zone(knot.addr, "internal"), before, "doctor wrote something");
        }
    }
}
