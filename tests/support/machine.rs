//! A booted Debian with systemd as PID 1, two networks, real DHCP clients and servers whose log says who was asked.
//!
//! The trees are those of Debian releases, unpacked by `tests/parts/install` and never installed. `machine_lab.sh` starts
//! them in namespaces that the kernel tears down with the test; nothing of the build machine is changed.
//!
//! The machine has `eth0` to the network `isp` (the default route) and `eth1` to `inside`, each with a DHCP server that
//! offers itself as the name server. The public resolvers 1.1.1.1 and 9.9.9.9 are there on both, to see what leaks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::dhcp::{self, Offer};
use super::resolved::{self, Log};
use super::{parts, wait};

/// systemd's versions that boot: Debian 12, 13 and the newest.
pub const VERSIONS: [u16; 3] = [252, 257, 262];

/// The name server that the DHCP server of `eth0` offers.
pub const ISP: &str = "10.11.0.53";
/// The name server that the DHCP server of `eth1` offers.
pub const INSIDE: &str = "192.168.4.53";
/// A second name server on each network, which nobody offers unless a test says so.
pub const SECOND: [&str; 2] = ["10.11.0.54", "192.168.4.54"];
/// Public resolvers, present on both networks.
pub const PUBLIC: [&str; 2] = ["1.1.1.1", "9.9.9.9"];

/// The stub file of resolved, where `/etc/resolv.conf` leads.
pub const STUB: &str = "/run/systemd/resolve/stub-resolv.conf";

/// One booted machine.
pub struct Machine {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    work: tempfile::TempDir,
    /// systemd's version.
    pub version: u16,
    offers: [Offer; 2],
    seen: [usize; 2],
    marks: usize,
}

/// Its two networks: directory of the servers, link of the machine, servers that answer there.
const NETWORKS: [(&str, &str, [&str; 4]); 2] = [
    ("isp", "eth0", [ISP, SECOND[0], PUBLIC[0], PUBLIC[1]]),
    ("inside", "eth1", [INSIDE, SECOND[1], PUBLIC[0], PUBLIC[1]]),
];

fn network(link: &str) -> usize {
    NETWORKS.iter().position(|(_, name, _)| *name == link).expect("eth0 or eth1")
}

impl Machine {
    /// A machine with this version of systemd, booted and with both leases; `None` where the part is missing (said
    /// loudly).
    pub fn boot(version: u16) -> Option<Machine> {
        Machine::boot_with(version, Path::new(env!("CARGO_BIN_EXE_knotwork")))
    }

    /// The same with another build of the program.
    pub fn boot_with(version: u16, program: &Path) -> Option<Machine> {
        Machine::boot_part(&format!("machine-{version}"), version, program)
    }

    /// A machine whose links NetworkManager configures, by profiles that it made itself and keeps in memory.
    pub fn boot_network_manager(version: u16) -> Option<Machine> {
        let program = Path::new(env!("CARGO_BIN_EXE_knotwork"));
        Machine::boot_part(&format!("machine-nm-{version}"), version, program)
    }

    fn boot_part(part: &str, version: u16, program: &Path) -> Option<Machine> {
        parts::need(part)?;
        let work = tempfile::tempdir().unwrap();
        let offers = [
            Offer {
                server: ISP.parse().unwrap(),
                routes: true,
                dns: vec![ISP.parse().unwrap()],
                domain: "isp.test".into(),
                renew: 1800,
            },
            Offer {
                server: INSIDE.parse().unwrap(),
                routes: false,
                dns: vec![INSIDE.parse().unwrap()],
                domain: "maas".into(),
                renew: 1800,
            },
        ];
        std::fs::create_dir(work.path().join("mnt")).unwrap();
        for ((name, _, _), offer) in NETWORKS.iter().zip(&offers) {
            let dir = work.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            dhcp::offer(&dir, offer);
        }
        let root: PathBuf = parts::cache().join(format!("parts/{part}/root"));
        // Without what would reach the build machine itself: its clock, modules, devices, kernel log.
        let mut child = Command::new("setpriv")
            .args([
                "--bounding-set",
                "-sys_time,-sys_module,-sys_rawio,-mknod,-syslog",
                "--inh-caps",
                "-all",
                "unshare",
            ])
            .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "bash"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/machine_lab.sh"))
            .args([root.as_path(), work.path(), std::env::current_exe().unwrap().as_path()])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.ends_with("READY\n") {
            let read = output.read_line(&mut said).unwrap();
            let errors = || std::fs::read_to_string(work.path().join("stderr")).unwrap_or_default();
            assert_ne!(read, 0, "the machine of systemd {version} did not boot: {said}{}", errors());
        }
        Some(Machine { child, input, output, work, version, offers, seen: [0; 2], marks: 0 })
    }

    /// Runs a line of shell of the lab's own, outside the machine; gives its exit code and what it wrote.
    fn lab(&mut self, line: &str) -> (i32, String) {
        writeln!(self.input.as_ref().unwrap(), "{line}").unwrap();
        let mut all = String::new();
        loop {
            let mut text = String::new();
            let read = self.output.read_line(&mut text).unwrap();
            let errors = || std::fs::read_to_string(self.work.path().join("stderr")).unwrap_or_default();
            assert_ne!(read, 0, "the lab died at {line}:\n{all}{}", errors());
            match text.split_once('\u{1}') {
                Some((before, code)) => {
                    all.push_str(before);
                    return (code.trim().parse().unwrap(), all);
                }
                None => all.push_str(&text),
            }
        }
    }

    fn lab_must(&mut self, line: &str) {
        let (code, text) = self.lab(line);
        assert_eq!(code, 0, "{line}\n{text}");
    }

    /// Runs shell commands inside as root; gives the exit code, and output and errors together.
    pub fn run(&mut self, command: &str) -> (i32, String) {
        std::fs::write(self.work.path().join("command"), command).unwrap();
        self.lab("m bash -c \"$(cat $work/command)\" 2>&1")
    }

    /// As [`Machine::run`], of commands that must succeed; gives what they wrote.
    pub fn must(&mut self, command: &str) -> String {
        let (code, text) = self.run(command);
        assert_eq!(code, 0, "systemd {}: {command}\n{text}", self.version);
        text
    }

    /// Runs a program of the build machine in the machine's network (dig is not in the tree).
    pub fn net(&mut self, command: &str) -> (i32, String) {
        std::fs::write(self.work.path().join("command"), command).unwrap();
        self.lab("timeout 300 ip netns exec host bash -c \"$(cat $work/command)\" 2>&1 < /dev/null")
    }

    /// Writes a file of the machine in place, as `echo >` does.
    pub fn write(&mut self, path: &str, text: &str) {
        std::fs::write(self.work.path().join("file"), text).unwrap();
        self.lab_must(&format!(
            "m tee '{path}' < /dev/null > /dev/null; nsenter -t $init -m -- tee '{path}' < $work/file > /dev/null"
        ));
    }

    /// Polls a command inside until it succeeds; gives what it wrote.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`], with what the command said last.
    pub fn until(&mut self, command: &str) -> String {
        let start = Instant::now();
        loop {
            let (code, text) = self.run(command);
            if code == 0 {
                return text;
            }
            if start.elapsed() >= wait::PATIENCE {
                let more =
                    self.run("cat /run/lab-dhcp; ip -br address; resolvectl; journalctl -b --no-pager | tail -60").1;
                panic!("systemd {}: in vain: {command}\n{text}\n{more}", self.version);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the servers of both networks were asked since the last call, after all that was on its way to them.
    pub fn asked(&mut self) -> Log {
        (0..NETWORKS.len()).flat_map(|network| self.asked_at(network)).collect()
    }

    /// As [`Machine::asked`], of the network behind one link alone: it tells at which of the two a public server stood.
    pub fn asked_behind(&mut self, link: &str) -> Log {
        self.asked_at(network(link))
    }

    fn asked_at(&mut self, network: usize) -> Log {
        let (name, _, servers) = NETWORKS[network];
        self.marks += 1;
        let mark = format!("mark{}", self.marks);
        let sends: Vec<String> = servers.iter().map(|server| format!("printf {mark} > /dev/udp/{server}/53")).collect();
        self.lab_must(&format!("net {name} bash -c '{}'", sends.join("; ")));
        let file = self.work.path().join(name).join("log");
        let text = wait::until("the servers to log their marks", || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let all = servers.iter().all(|server| text.lines().any(|line| line == format!("{server} {mark} 0")));
            all.then_some(text)
        });
        let log = resolved::parse_log(text.lines().skip(self.seen[network]));
        self.seen[network] = text.lines().count();
        log
    }

    /// How a server answers from now on: `ok`, `nx`, `servfail` or `drop`.
    pub fn mode(&mut self, server: &str, mode: &str) {
        for (name, _, servers) in NETWORKS {
            if servers.contains(&server) {
                std::fs::write(self.work.path().join(name).join(format!("mode-{server}")), mode).unwrap();
            }
        }
    }

    /// Changes what the DHCP server behind a link says from its next answer on.
    pub fn offer(&mut self, link: &str, change: impl FnOnce(&mut Offer)) {
        let network = network(link);
        change(&mut self.offers[network]);
        dhcp::offer(&self.work.path().join(NETWORKS[network].0), &self.offers[network]);
    }

    /// What the DHCP server behind a link was asked so far: `DISCOVER`, `REQUEST` or `RENEW` a line.
    pub fn dhcp_log(&self, link: &str) -> String {
        let path = self.work.path().join(NETWORKS[network(link)].0).join("dhcp.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Whether the machine has ISC's dhclient (Debian 13 and before), or dhcpcd.
    pub fn dhclient(&self) -> bool {
        self.version < 258
    }

    /// Lets the DHCP client of a link renew its lease for real, and waits until its hooks have run.
    ///
    /// dhclient cannot be told to renew: it is started anew with a lease whose T1 is a second away, and the renewal then
    /// brings the usual lease. Its hooks run twice, for `REBOOT` and for `RENEW`.
    pub fn renew_dhcp(&mut self, link: &str) {
        self.must(": > /run/lab-dhcp");
        let before = self.dhcp_log(link).matches("RENEW").count();
        if self.dhclient() {
            let usual = self.offers[network(link)].renew;
            self.offer(link, |offer| offer.renew = 1);
            self.must(&format!(
                "pid=/run/dhclient.{link}.pid; kill $(cat $pid); while kill -0 $(cat $pid) 2> /dev/null; do sleep 0.01; done; rm -f $pid
                dhclient -4 -i -pf $pid -lf /var/lib/dhcp/dhclient.{link}.leases -I -df /var/lib/dhcp/dhclient6.{link}.leases {link}"
            ));
            self.offer(link, |offer| offer.renew = usual);
            self.until(&format!("grep -qx 'RENEW {link}' /run/lab-dhcp"));
        } else {
            self.must(&format!("dhcpcd -4 -n {link} || dhcpcd -n {link}"));
            self.until(&format!("grep -Eqx '(RENEW|REBIND|REBOOT|BOUND) {link}' /run/lab-dhcp"));
        }
        let after = self.dhcp_log(link);
        assert!(after.matches("RENEW").count() > before, "no renewal reached the server of {link}: {after}");
    }

    /// Shuts the machine down and boots it again; its links are new ones, as after every boot.
    pub fn reboot(&mut self) {
        self.lab_must("reboot");
    }

    /// Power loss, then a boot: nothing inside gets a word to say.
    pub fn power_cycle(&mut self) {
        self.lab_must("power_cycle");
    }

    /// SIGKILLs resolved and waits until systemd has put a new one on the bus; gives how long that took.
    pub fn kill_resolved(&mut self) -> Duration {
        let old = self.must("systemctl show -P MainPID systemd-resolved");
        let start = Instant::now();
        self.must("systemctl kill -s KILL systemd-resolved");
        self.until(&format!(
            "test $(systemctl show -P MainPID systemd-resolved) -gt 1 && test $(systemctl show -P MainPID systemd-resolved) != {} && {}",
            old.trim(),
            UP
        ));
        start.elapsed()
    }

    /// Waits until resolved owns its name on the bus, without waking it.
    pub fn resolved_up(&mut self) {
        self.until(UP);
    }

    /// Takes a link away and puts a new one of the same name and MAC in its place, up but without address.
    pub fn replace_link(&mut self, link: &str) {
        self.lab_must(&format!("unplug {link} && plug {link}"));
    }

    /// As [`Machine::replace_link`], and lets ifupdown bring the new one up with a lease.
    pub fn recreate_link(&mut self, link: &str) {
        self.must(&format!(
            "if [ -e /run/dhclient.{link}.pid ]; then kill $(cat /run/dhclient.{link}.pid) || true; fi"
        ));
        // Before the link is there: dhcpcd, where it still runs, takes a lease on the new one by itself.
        self.must(": > /run/lab-dhcp");
        self.replace_link(link);
        self.must(&format!("ifup --force {link}"));
        self.until(&format!("grep -Eqx '(BOUND|REBOOT) {link}' /run/lab-dhcp"));
    }

    /// Pulls a link's cable, or plugs it in again.
    pub fn carrier(&mut self, link: &str, is_there: bool) {
        let (far, ..) = NETWORKS[network(link)];
        self.lab_must(&format!("ip -n {far} link set {link} {}", if is_there { "up" } else { "down" }));
    }

    /// A link's index, as the machine has it now.
    pub fn ifindex(&mut self, link: &str) -> u32 {
        self.must(&format!("cat /sys/class/net/{link}/ifindex")).trim().parse().unwrap()
    }
}

const UP: &str = "busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus NameHasOwner s org.freedesktop.resolve1 | grep -q true";

impl Drop for Machine {
    fn drop(&mut self) {
        // At the end of its input the lab ends the machine and sweeps its control groups; it does so too when this whole
        // program is killed.
        drop(self.input.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if self.child.try_wait().is_ok_and(|done| done.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // unshare's --kill-child takes pid 1 of the namespace, and that everything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The far side of one network: its DHCP server and its name servers. Never returns where a lab started it.
pub fn serve() {
    if let Ok(words) = std::env::var("KNOTWORK_LAB_DHCP") {
        let (dir, client) = words.split_once(' ').unwrap();
        let (dir, client) = (PathBuf::from(dir), client.parse().unwrap());
        std::thread::spawn(move || dhcp::serve(&dir, client));
    }
    resolved::serve();
}

/// An address of one of the servers.
pub fn at(server: &str) -> IpAddr {
    server.parse().unwrap()
}
