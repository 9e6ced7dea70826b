//! A real program with a guard beside it: when the test process is gone, in whatever way, the program is killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::wait;

/// Starts `"$@"`, writes its process id, and kills it once the pipe on its standard input is closed.
const GUARD: &str =
    r#""$@" < /dev/null & child=$!; echo $child > "$0.new" && mv "$0.new" "$0"; cat > /dev/null; kill -9 $child"#;

/// A running program, killed on drop.
pub struct Guarded {
    name: String,
    argv: Vec<std::ffi::OsString>,
    dir: PathBuf,
    guard: Option<Child>,
    pid: u32,
}

impl Guarded {
    /// Starts a program whose log and process id go to `dir`.
    pub fn start(dir: &Path, name: &str, command: &Command) -> Guarded {
        let argv = std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect();
        let mut guarded = Guarded { name: name.to_owned(), argv, dir: dir.to_owned(), guard: None, pid: 0 };
        guarded.resume();
        guarded
    }

    /// Starts a program on two free loopback ports and waits until it listens at the first, which is given too. Other ports
    /// are tried when it ends at once: somebody else may have taken one meanwhile.
    pub fn on_ports(dir: &Path, name: &str, command: impl Fn([u16; 2]) -> Command) -> (Guarded, u16) {
        for _ in 0..5 {
            let ports = [port(), port()];
            let guarded = Guarded::start(dir, name, &command(ports));
            let addr = std::net::SocketAddr::from(([127, 0, 0, 1], ports[0]));
            let listens = wait::until(&format!("{name} to listen or to end"), || {
                if !guarded.alive() {
                    return Some(false);
                }
                std::net::TcpStream::connect(addr).ok().map(|_| true)
            });
            if listens && guarded.alive() {
                return (guarded, ports[0]);
            }
            assert!(guarded.log_end().contains("address already in use"), "{name} ended:\n{}", guarded.log_end());
        }
        panic!(
            "{name} found no free port five times:\n{}",
            std::fs::read_to_string(dir.join(format!("{name}.log"))).unwrap()
        );
    }

    /// Starts the program again after [`Guarded::kill`], with the same arguments.
    pub fn resume(&mut self) {
        use std::os::unix::process::CommandExt as _;
        let pid_file = self.dir.join(format!("{}.pid", self.name));
        let _ = std::fs::remove_file(&pid_file);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let child = Command::new("sh")
            .args(["-c", GUARD])
            .arg(&pid_file)
            .args(&self.argv)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.guard = Some(child);
        self.pid = wait::until("the guard to have started its program", || {
            std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
        });
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", guard.id())]).status();
            let _ = guard.wait();
            // Its parent is gone, so init reaps it; the ports are free once it has left.
            wait::until("the program to be gone", || (!running(self.pid)).then_some(()));
        }
    }

    /// Sends a signal to the program.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status().unwrap();
        assert!(sent.success(), "SIG{name} to {}", self.name);
    }

    /// Whether it runs.
    pub fn alive(&self) -> bool {
        self.guard.is_some() && running(self.pid)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All that it said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The end of what it said.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process is there and not a zombie.
pub fn running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A free loopback port below those that the kernel gives to connections, so that nobody has it while a server is restarted.
pub fn port() -> u16 {
    loop {
        let port = 12_000 + getrandom::u32().unwrap() as u16 % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
