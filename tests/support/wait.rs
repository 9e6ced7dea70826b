//! Waiting for a state with a generous deadline, never for a time.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How long a state may take on a noisy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Polls `check` until it gives `Some`; panics with `what` after [`PATIENCE`].
pub fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A loopback port that is free for both TCP and UDP right now.
pub fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = tcp.local_addr().expect("bound").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until something accepts TCP at `addr`.
pub fn listening(addr: SocketAddr) {
    until(&format!("a server at {addr}"), || {
        TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok().map(|_| ())
    });
}
