//! DNS over TCP: connecting, and the two-octet frames (RFC 1035 §4.2.2, RFC 7766).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// Opens a connection within `limit`, from `source` when one is configured for the same address family.
pub(crate) async fn connect(
    server: SocketAddr,
    source: Option<std::net::IpAddr>,
    limit: Duration,
) -> io::Result<TcpStream> {
    let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source.filter(|source| source.is_ipv4() == server.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = tokio::time::timeout(limit, socket.connect(server)).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {:.1} s", limit.as_secs_f64()))
    })??;
    // Small messages must not wait for the answer to the one before (Nagle).
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Appends `message` with its length prefix to `out`. A message over 65,535 octets fits
/// no frame and gives `false`.
#[must_use]
pub(crate) fn frame(message: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(message.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    true
}

/// Collects bytes of a stream and cuts them into messages.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    buffer: Vec<u8>,
    start: usize,
}

impl Deframer {
    /// Room to read into: at least `want` octets are reserved.
    pub(crate) fn buffer(&mut self, want: usize) -> &mut Vec<u8> {
        if self.start > 0 && (self.start == self.buffer.len() || self.start > 1 << 20) {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(want);
        &mut self.buffer
    }

    /// The next complete message.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.get(self.start..)?;
        let (head, body) = rest.split_first_chunk::<2>()?;
        let message = body.get(..usize::from(u16::from_be_bytes(*head)))?.to_vec();
        self.start += 2 + message.len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whatever_the_cuts() {
        let mut wire = Vec::new();
        assert!(frame(b"abc", &mut wire) && frame(b"", &mut wire) && frame(&[7; 65_535], &mut wire));
        assert!(!frame(&[0; 65_536], &mut Vec::new()));
        for step in [1, 2, 3, 4096] {
            let mut deframer = Deframer::default();
            let mut seen = Vec::new();
            for piece in wire.chunks(step) {
                deframer.buffer(step).extend_from_slice(piece);
                while let Some(message) = deframer.next() {
                    seen.push(message.len());
                }
            }
            assert_eq!(seen, [3, 0, 65_535]);
            assert!(deframer.next().is_none());
        }
    }
}
