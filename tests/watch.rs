//! `apply --watch` and its files: what did not change is not read again, and what was said is not said again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs::File;
use std::process::{Child, Command, Stdio};

use knotwork::model::{Name, RrType};
use support::embedded::{Served, serve};
use support::site::{self, Site};
use support::wait;

struct Watcher {
    child: Child,
    site: Site,
    served: Served,
}

impl Watcher {
    fn start(served: Served, site: Site) -> Watcher {
        let log = |name: &str| Stdio::from(File::create(site.dir().join(name)).unwrap());
        let mut command = site.command(&["apply", "--watch", "--prune"]);
        let child = command.arg("-f").arg(site.records()).stdout(log("out")).stderr(log("err")).spawn().unwrap();
        Watcher { child, site, served }
    }

    fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.site.dir().join(name)).unwrap();
        read("err") + &read("out")
    }

    /// Waits until the name has the address 10.0.0.`last`.
    fn wait_for(&self, name: &str, last: u8) {
        let (zone, name) = (Name::parse("internal").unwrap(), Name::parse(name).unwrap());
        wait::until(&format!("{name} at 10.0.0.{last}"), || {
            let set = self.served.server.view(&zone).unwrap().get(&name, RrType::A)?;
            (*set.values[0] == [10, 0, 0, last]).then_some(())
        });
    }

    /// Octets that the process has read so far.
    fn read(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

#[test]
fn files_that_did_not_change_are_not_read_again() {
    let served = serve();
    let site = Site::new(served.server.addr());
    const FILES: u64 = 40;
    const LONG: usize = 100_000;
    for number in 0..FILES {
        let name = format!("h{number}");
        site.put(&name, &format!("name: {name}.internal, a: [10.0.0.1]"));
        let path = site.records().join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}#{}\n", "x".repeat(LONG))).unwrap();
    }
    let watcher = Watcher::start(served, site);
    // Once at the start, and once more when their times can be trusted.
    let all = FILES * LONG as u64;
    wait::until("both readings", || (watcher.read() >= 2 * all).then_some(()));
    let before = watcher.read();
    for edit in 2..5 {
        watcher.site.put("h7", &format!("name: h7.internal, a: [10.0.0.{edit}]"));
        watcher.wait_for("h7.internal", edit);
    }
    let read = watcher.read() - before;
    assert!(read < all / 2, "{read} octets were read for three edits of one small file; all files have {all}");
}

#[test]
fn what_is_wrong_with_files_is_said_once_and_so_is_its_end() {
    let served = serve();
    let site = Site::new(served.server.addr());
    site.put("a", "name: a.internal, a: [10.0.0.1]");
    site.put("bad", "name: bad.internal, a: [10.0.0.999]");
    site.file("broken.yaml", "a: [");
    let watcher = Watcher::start(served, site);
    let times = |word: &str| watcher.said().matches(word).count();
    watcher.wait_for("a.internal", 1);
    for edit in 2..4 {
        watcher.site.put("a", &format!("name: a.internal, a: [10.0.0.{edit}]"));
        watcher.wait_for("a.internal", edit);
    }
    assert_eq!((times("10.0.0.999"), times("broken.yaml")), (2, 1), "{}", watcher.said());
    watcher.site.put("bad", "name: bad.internal, a: [10.0.0.9]");
    watcher.wait_for("bad.internal", 9);
    assert_eq!(times("well again"), 0, "{}", watcher.said());
    std::fs::remove_file(watcher.site.records().join("broken.yaml")).unwrap();
    wait::until("the good news", || (times("the files are well again") == 1).then_some(()));
    watcher.site.file("broken.yaml", "a: [");
    wait::until("the same fault again", || (times("broken.yaml") == 2).then_some(()));
}

#[test]
fn nothing_is_called_an_orphan_before_the_files_were_read() {
    let served = serve();
    let site = Site::new(served.server.addr());
    for name in ["a", "b", "c"] {
        site.put(name, &format!("name: {name}.internal, a: [10.0.0.1]"));
    }
    assert_eq!(site.apply(&[], 0).code, 0);
    let watcher = Watcher::start(served, site);
    watcher.site.put("a", "name: a.internal, a: [10.0.0.2]");
    watcher.wait_for("a.internal", 2);
    assert!(!watcher.said().contains("orphan"), "{}", watcher.said());
    watcher.site.cut("b");
    // Deletes wait for a second look.
    let zone = Name::parse("internal").unwrap();
    let gone = Name::parse("b.internal").unwrap();
    wait::until("b to go", || watcher.served.server.view(&zone).unwrap().get(&gone, RrType::A).is_none().then_some(()));
}

/// Why a delete waits is said once, and it goes when the file is whole.
#[test]
fn a_file_that_may_be_cut_short_deletes_nothing() {
    let served = serve();
    let site = Site::new(served.server.addr());
    let whole = site::many("h", 3, 30);
    site.file("all.yaml", &whole);
    assert_eq!(site.apply(&[], 0).code, 0);
    let watcher = Watcher::start(served, site);
    let (zone, gone) = (Name::parse("internal").unwrap(), Name::parse("h2.internal").unwrap());
    let there = || watcher.served.server.view(&zone).unwrap().get(&gone, RrType::A).is_some();
    wait::until("the start", || watcher.said().contains("watching ").then_some(()));
    let end = whole.rfind("---").unwrap();
    watcher.site.file("all.yaml", whole[..end].trim_end());
    wait::until("the reason", || watcher.said().contains("end the file with a newline").then_some(()));
    // Longer than two looks that agree.
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert!(there(), "{}", watcher.said());
    assert_eq!(watcher.said().matches("may be cut short").count(), 1, "{}", watcher.said());
    watcher.site.file("all.yaml", &whole[..end]);
    wait::until("h2 to go", || (!there()).then_some(()));
}
