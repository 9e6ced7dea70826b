//! A real systemd-resolved in namespaces, with real upstream servers whose log says who was asked.
//!
//! The daemons are those of Debian releases, unpacked by `tests/parts/install` and never installed. Everything runs in
//! mount, network, pid and UTS namespaces that the kernel tears down with the test.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::parts;

/// The daemons, by systemd's version.
pub const VERSIONS: [u16; 3] = [252, 257, 262];

/// A host with one running daemon.
pub struct Lab {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    work: tempfile::TempDir,
    /// systemd's version.
    pub version: u16,
    seen: usize,
    marks: usize,
}

/// What was asked: server and name, with the type in systemd's words.
pub type Log = BTreeSet<(IpAddr, String, u16)>;

fn root(version: u16) -> PathBuf {
    parts::cache().join(format!("parts/resolved-{version}/root"))
}

impl Lab {
    /// A host with this version, or `None` where the part is missing (said loudly).
    pub fn start(version: u16) -> Option<Lab> {
        let part = format!("resolved-{version}");
        parts::need(&part)?;
        let work = tempfile::tempdir().unwrap();
        std::fs::create_dir(work.path().join("mnt")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/resolved_lab.sh");
        let mut child = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "bash"])
            .arg(script)
            .args([root(version).as_path(), work.path(), std::env::current_exe().unwrap().as_path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let errors = std::fs::read_to_string(work.path().join("stderr")).unwrap_or_default();
        assert_eq!(first.trim(), "READY", "the lab of systemd {version} did not start: {errors}");
        Some(Lab { child, input, output, work, version, seen: 0, marks: 0 })
    }

    /// Runs a line of shell inside; gives what it wrote.
    pub fn try_run(&mut self, line: &str) -> (i32, String) {
        writeln!(self.input, "{line}").unwrap();
        let mut all = String::new();
        loop {
            let mut text = String::new();
            let read = self.output.read_line(&mut text).unwrap();
            assert_ne!(read, 0, "the lab died at {line}:\n{all}{}", self.errors());
            match text.split_once('\u{1}') {
                Some((before, code)) => {
                    all.push_str(before);
                    return (code.trim().parse().unwrap(), all);
                }
                None => all.push_str(&text),
            }
        }
    }

    /// As [`Lab::try_run`], of a line that must succeed.
    pub fn run(&mut self, line: &str) -> String {
        let (code, text) = self.try_run(line);
        assert_eq!(code, 0, "{line}\n{text}\n{}", self.errors());
        text
    }

    fn errors(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.work.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stderr"), read("resolved.out"))
    }

    /// Writes a file of the host.
    pub fn write(&mut self, path: &str, text: &str) {
        // Inside the lab's mounts alone.
        let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\'', "'\\''");
        self.run(&format!("printf '%b' '{text}' > $R{path}"));
    }

    /// What `/etc/systemd/resolved.conf.d` says beside what every test says; takes a fresh daemon.
    pub fn global(&mut self, text: &str) {
        let all =
            format!("[Resolve]\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\nCache=no\nDNS=\nFallbackDNS=\nDomains=\n{text}");
        self.write("/etc/systemd/resolved.conf.d/90-lab.conf", &all);
        self.run("fresh");
    }

    /// The lines that the upstream servers wrote since the last call.
    pub fn asked(&mut self) -> Log {
        let text = std::fs::read_to_string(self.work.path().join("log")).unwrap_or_default();
        let new = parse_log(text.lines().skip(self.seen));
        self.seen = text.lines().count();
        new
    }

    /// As [`Lab::asked`], after these servers have handled all that was on its way to them.
    ///
    /// A reply may come from the fastest server while a slower one has not logged its question yet; each server handles
    /// messages in their order, so a mark sent now is logged after them.
    pub fn asked_of(&mut self, servers: &[String]) -> Log {
        self.marks += 1;
        let mark = format!("mark{}", self.marks);
        let sends: Vec<String> = servers.iter().map(|server| format!("printf {mark} > /dev/udp/{server}/53")).collect();
        if !sends.is_empty() {
            self.run(&sends.join("; "));
        }
        let log = self.work.path().join("log");
        super::wait::until("the servers to log their marks", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let all = servers.iter().all(|server| text.lines().any(|line| line == format!("{server} {mark} 0")));
            all.then_some(())
        });
        self.asked()
    }

    /// How a server answers from now on: `ok`, `nx`, `servfail` or `drop`.
    pub fn mode(&mut self, server: &str, mode: &str) {
        std::fs::write(self.work.path().join(format!("mode-{server}")), mode).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // unshare's --kill-child takes pid 1 of the namespace, and that everything else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log that lines of the servers' file say, without the labs' own marks.
pub fn parse_log<'a>(lines: impl Iterator<Item = &'a str>) -> Log {
    lines
        .filter(|line| !line.contains(" mark"))
        .map(|line| {
            let mut words = line.split(' ');
            let mut next = || words.next().unwrap();
            (next().parse().unwrap(), next().to_owned(), next().parse().unwrap())
        })
        .collect()
}

/// The upstream servers: every address of `KNOTWORK_LAB_UPSTREAM` on port 53. Never returns.
pub fn serve() {
    let Ok(words) = std::env::var("KNOTWORK_LAB_UPSTREAM") else { return };
    let mut words = words.split_whitespace();
    let work = PathBuf::from(words.next().unwrap());
    let mut threads = Vec::new();
    for address in words {
        let socket = UdpSocket::bind((address.parse::<IpAddr>().unwrap(), 53)).unwrap();
        let (work, address) = (work.clone(), address.to_owned());
        threads.push(std::thread::spawn(move || server(&socket, &work, &address)));
    }
    std::fs::write(work.join("ready"), "").unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn server(socket: &UdpSocket, work: &Path, address: &str) {
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(work.join("log")).unwrap();
    let mut query = [0u8; 4096];
    loop {
        let (len, peer) = socket.recv_from(&mut query).unwrap();
        let mode = std::fs::read_to_string(work.join(format!("mode-{address}"))).unwrap_or_default();
        if query.starts_with(b"mark") {
            let mark = String::from_utf8_lossy(&query[..len]).into_owned();
            log.write_all(format!("{address} {mark} 0\n").as_bytes()).unwrap();
            continue;
        }
        let Some((name, rtype, end)) = question(&query[..len]) else { continue };
        // One write for one line: many servers share the log.
        log.write_all(format!("{address} {name} {rtype}\n").as_bytes()).unwrap();
        if mode == "drop" {
            continue;
        }
        let rcode = match mode.as_str() {
            "nx" => 3,
            "servfail" => 2,
            _ => 0,
        };
        let rdata = (rcode == 0).then(|| rdata(rtype, address)).flatten();
        let mut answer = query[..end].to_vec();
        answer[2] = 0x85;
        answer[3] = 0x80 | rcode;
        let has_opt = query[11] > 0;
        answer[6..12].copy_from_slice(&[0, u8::from(rdata.is_some()), 0, 0, 0, u8::from(has_opt)]);
        if let Some(rdata) = rdata {
            answer.extend([0xc0, 12]);
            answer.extend(rtype.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 60]);
            answer.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
            answer.extend(rdata);
        }
        if has_opt {
            answer.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        }
        let _ = socket.send_to(&answer, peer);
    }
}

/// Name in lower case without the final dot, type, and where the question ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let (mut name, mut at) = (String::new(), 12);
    loop {
        let len = usize::from(*query.get(at)?);
        if len == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(query.get(at + 1..at + 1 + len)?).to_ascii_lowercase());
        at += len + 1;
    }
    let rtype = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
    Some((if name.is_empty() { ".".into() } else { name }, rtype, at + 5))
}

/// A value of the type that says which server gave it.
fn rdata(rtype: u16, address: &str) -> Option<Vec<u8>> {
    let last = u8::try_from(address.bytes().map(u32::from).sum::<u32>() % 250).unwrap();
    match rtype {
        1 => Some(match address.parse() {
            Ok(IpAddr::V4(address)) => vec![203, address.octets()[1], 113, address.octets()[3]],
            _ => vec![203, 0, 113, last],
        }),
        28 => Some([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last].to_vec()),
        12 => Some(vec![3, b'p', b't', b'r', 4, b't', b'e', b's', b't', 0]),
        15 => Some(vec![0, 10, 2, b'm', b'x', 4, b't', b'e', b's', b't', 0]),
        16 => Some(vec![2, b'o', b'k']),
        _ => None,
    }
}

/// What must not change on the machine itself: names, kinds, sizes and times of what resolved's files are.
pub fn machine_state() -> Vec<String> {
    let mut state = Vec::new();
    for path in [
        "/etc",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/nsswitch.conf",
        "/etc/systemd/resolved.conf.d",
    ] {
        let meta = std::fs::symlink_metadata(path);
        state.push(match meta {
            Ok(meta) => format!("{path} {:?} {} {:?}", meta.file_type(), meta.len(), meta.modified().ok()),
            Err(error) => format!("{path} {}", error.kind()),
        });
    }
    state.push(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default());
    state
}
