//! Facts of a whole booted machine, and systemd1's calls on its real systemd: 252, 257 and the newest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use knotwork::resolved::resolve1::Resolve1;
use knotwork::resolved::systemd1::{RESOLVED, Systemd1, TransientTimer};
use knotwork::resolved::{Bus, Reason};
use knotwork::split::facts::{Content, Manager};
use knotwork::split::{HostFacts, SystemdVersion};

use support::machine::{self, Machine, VERSIONS};
use support::resolved::machine_state;

/// The far side of every network: this program again, in the lab's other namespaces.
#[test]
#[ignore = "started by the labs"]
fn upstream() {
    machine::serve();
}

fn facts(machine: &mut Machine) -> HostFacts {
    HostFacts::from_json(&machine.must("knotwork host facts -o json 2> /run/unread")).unwrap()
}

#[test]
fn a_booted_machine_is_told_and_its_units_obey() {
    let before = machine_state();
    for version in VERSIONS {
        let Some(mut machine) = Machine::boot(version) else { continue };
        machine.resolved_up();
        // The DHCP client wrote through the link; reset-failed takes this start off the count.
        machine.must("systemctl restart systemd-resolved; systemctl reset-failed systemd-resolved");
        machine.resolved_up();
        let found = facts(&mut machine);
        let what = format!("systemd {version}: {}", found.to_json());
        assert_eq!(machine.must("cat /run/unread"), "", "{what}");
        assert_eq!((found.services.systemd, found.systemd), (Some(true), Some(SystemdVersion(version))), "{what}");
        assert_eq!(found.services.resolver_owner.as_deref(), Some("systemd-resolved"), "{what}");
        let unit = found.services.resolved.as_ref().unwrap();
        assert_eq!((unit.load.as_str(), unit.active.as_deref()), ("loaded", Some("active")), "{what}");
        assert_eq!(found.services.network_manager.as_ref().unwrap().load, "not-found", "{what}");
        assert_eq!(found.resolv_conf.as_ref().unwrap().content, Content::Stub, "{what}");
        assert_eq!(found.listeners, Some(Vec::new()), "{what}");
        assert_eq!(found.hostname.as_deref(), Some("kwhost"));
        let hook = machine.run("test -e /etc/network/if-up.d/resolved").0 == 0;
        let wanted = if hook { Manager::Ifupdown } else { Manager::None };
        assert_eq!(found.link("eth0").unwrap().managed_by, wanted, "{what}");

        let own = std::env::current_exe().unwrap();
        let (code, text) =
            machine.net(&format!("cp {} /proc/$(pgrep -xo systemd)/root/usr/local/bin/inside", own.display()));
        assert_eq!(code, 0, "{text}");
        let said = machine.must("KNOTWORK_IN_MACHINE=1 inside --exact inside --ignored --nocapture");
        assert!(said.contains("1 passed"), "{said}");
        machine.resolved_up();

        // R16: a masked resolved is told, and asking does not start it.
        machine.must("systemctl mask --now systemd-resolved");
        let masked = facts(&mut machine);
        assert_eq!(masked.services.resolved.as_ref().unwrap().load, "masked");
        assert_eq!(masked.services.resolver_owner.as_deref(), Some(""));
        assert_eq!(masked.global.servers, None);
        assert_ne!(machine.run("pgrep systemd-resolve").0, 0);
        machine.must("systemctl unmask systemd-resolved");
        // R16: stopped, it stays so.
        let stopped = facts(&mut machine);
        assert_eq!(stopped.services.resolved.as_ref().unwrap().active.as_deref(), Some("inactive"));
        assert_ne!(machine.run("pgrep systemd-resolve").0, 0);
    }
    assert_eq!(machine_state(), before, "the build machine changed");
}

/// What is done with the typed calls, inside a machine.
#[tokio::test]
#[ignore = "started in the machines"]
async fn inside() {
    if std::env::var_os("KNOTWORK_IN_MACHINE").is_none() {
        return;
    }
    let bus = Bus::connect(None).await.unwrap();
    let systemd = Systemd1(&bus);
    let version: SystemdVersion = systemd.version().await.unwrap().parse().unwrap();
    let unit = systemd.unit(RESOLVED).await.unwrap();
    assert_eq!((unit.load.as_str(), unit.active.as_str(), unit.sub.as_str()), ("loaded", "active", "running"));
    assert!(!unit.is_masked());
    assert_eq!(systemd.unit("no-such.service").await.unwrap().load, "not-found");
    let pid = bus.pid_of("org.freedesktop.resolve1").await.unwrap();
    assert_eq!(unit.main_pid, Some(pid));
    assert_eq!(systemd.unit_of(pid).await.unwrap(), RESOLVED);

    // R14: reload from 256 on, restart before.
    match systemd.reload(RESOLVED).await {
        Ok(after) => assert!(version.0 >= 256 && after.main_pid == Some(pid)),
        Err(error) => assert!(version.0 < 256 && error.reason == Reason::Unsupported, "{error}"),
    }
    let after = systemd.restart(RESOLVED).await.unwrap();
    assert_ne!(after.main_pid, Some(pid));
    // R15: too many starts, and the way out.
    let mut failed = None;
    for _ in 0..12 {
        if let Err(error) = systemd.restart(RESOLVED).await {
            failed = Some(error);
            break;
        }
    }
    let failed = failed.expect("the start limit");
    assert_eq!(failed.reason, Reason::JobFailed, "{failed}");
    assert!(systemd.unit(RESOLVED).await.unwrap().hit_start_limit(), "{failed}");
    systemd.reset_failed(RESOLVED).await.unwrap();
    assert_eq!(systemd.start(RESOLVED).await.unwrap().active, "active");

    let timer = |name: &str, after, path: &str| TransientTimer {
        name: name.to_owned(),
        description: "a test of knotwork".to_owned(),
        after: Duration::from_secs(after),
        command: vec!["/usr/bin/touch".to_owned(), path.to_owned()],
    };
    systemd.start_timer(&timer("knotwork-soon", 1, "/run/soon")).await.unwrap();
    systemd.start_timer(&timer("knotwork-later", 3600, "/run/later")).await.unwrap();
    assert!(systemd.start_timer(&timer("knotwork-later", 3600, "/run/later")).await.is_err(), "twice one name");
    assert_eq!(systemd.unit("knotwork-later.timer").await.unwrap().sub, "waiting");
    systemd.stop("knotwork-later.timer").await.unwrap();
    assert_ne!(systemd.unit("knotwork-later.timer").await.unwrap().active, "active");
    systemd.stop("knotwork-never.timer").await.unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while !Path::new("/run/soon").exists() {
        assert!(Instant::now() < end, "the timer never fired");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    systemd.daemon_reload().await.unwrap();

    let systemctl = |words: &[&str]| assert!(Command::new("systemctl").args(words).status().unwrap().success());
    systemctl(&["mask", "--runtime", "--now", RESOLVED]);
    assert!(systemd.unit(RESOLVED).await.unwrap().is_masked());
    assert_eq!(systemd.start(RESOLVED).await.unwrap_err().reason, Reason::Masked);
    assert_eq!(Resolve1(&bus).manager().await.unwrap_err().reason, Reason::Gone);
    systemctl(&["unmask", "--runtime", RESOLVED]);
    systemd.start(RESOLVED).await.unwrap();
}
