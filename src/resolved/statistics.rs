//! What resolved counts, and what it has learnt of its servers: for whoever watches a host, never for a decision.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::bus::{Bus, DEADLINE, Properties};
use super::error::BusError;
use super::resolve1::MANAGER;

/// Where Varlink answers about the servers (from 255), below the root of the host.
const MONITOR: &str = "run/systemd/resolve/io.systemd.Resolve.Monitor";

/// More than any host has servers; whoever sends more is not resolved.
const LONGEST: usize = 1 << 20;

/// Counters of the daemon, from its start or from the last `resolvectl reset-statistics` on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Transactions under way, and all so far.
    pub transactions: Option<(u64, u64)>,
    /// Entries in the caches, and lookups that found one or did not.
    pub cache: Option<(u64, u64, u64)>,
    /// Verdicts: secure, insecure, bogus, indeterminate.
    pub dnssec: Option<(u64, u64, u64, u64)>,
}

/// Reads the counters; one that this release does not show is `None`.
///
/// # Errors
/// Any [`BusError`], as where resolved does not run.
pub async fn statistics(bus: &Bus) -> Result<Statistics, BusError> {
    let mut all = Properties::default();
    bus.complete(MANAGER, &mut all, &["TransactionStatistics", "CacheStatistics", "DNSSECStatistics"]).await?;
    Ok(Statistics {
        transactions: all.get("TransactionStatistics"),
        cache: all.get("CacheStatistics"),
        dnssec: all.get("DNSSECStatistics"),
    })
}

/// What resolved has learnt of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// `global`, `fallback`, or the name of the link or delegate.
    pub of: String,
    /// As resolved writes it.
    pub server: String,
    /// The best way of asking that has worked: `TCP`, `UDP`, `UDP+EDNS0`, `TLS+EDNS0`, `UDP+EDNS0+DO`, `TLS+EDNS0+DO`.
    pub verified: Option<String>,
    /// The best way that is still tried.
    pub possible: Option<String>,
}

/// The ways of asking that resolved knows; another word is not passed on.
const LEVELS: [&str; 6] = ["TCP", "UDP", "UDP+EDNS0", "TLS+EDNS0", "UDP+EDNS0+DO", "TLS+EDNS0+DO"];

/// Reads what resolved has learnt of its servers, from 255 on. `None` where nobody answers there: an older release, or one
/// that keeps it from a root without capabilities.
pub async fn server_states(root: &Path) -> Option<Vec<ServerState>> {
    let socket = root.join(MONITOR);
    let asked = ask(&socket, "io.systemd.Resolve.Monitor.DumpServerState");
    let answer = tokio::time::timeout(DEADLINE, asked).await.ok()??;
    states(&answer)
}

async fn ask(socket: &Path, method: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let mut call = json!({"method": method, "parameters": {}}).to_string().into_bytes();
    call.push(0);
    stream.write_all(&call).await.ok()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while !answer.contains(&0) {
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        answer.extend_from_slice(&piece[..read]);
        if answer.len() > LONGEST {
            return None;
        }
    }
    let end = answer.iter().position(|octet| *octet == 0)?;
    serde_json::from_slice(&answer[..end]).ok()
}

fn states(answer: &Value) -> Option<Vec<ServerState>> {
    let all = answer.get("parameters")?.get("dump")?.as_array()?;
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    let level = |one: &Value, key: &str| text(one, key).filter(|word| LEVELS.contains(&word.as_str()));
    let state = |one: &Value| {
        let of = match text(one, "Type")?.as_str() {
            "system" => "global".to_owned(),
            "fallback" => "fallback".to_owned(),
            "link" => format!("link:{}", text(one, "Interface")?),
            "delegate" => format!("delegate:{}", text(one, "Delegate").unwrap_or_default()),
            _ => return None,
        };
        let server = text(one, "Server")?;
        // Only what is an address goes on: it becomes the label of a number.
        server.parse::<crate::split::DnsServer>().ok()?;
        let verified = level(one, "VerifiedFeatureLevel");
        Some(ServerState { of, server, verified, possible: level(one, "PossibleFeatureLevel") })
    };
    Some(all.iter().filter_map(state).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn states_of_servers_are_read_and_foreign_words_are_not() {
        // As 257 answers.
        let answer = json!({"parameters": {"dump": [
            {"Server": "192.168.4.53", "Type": "system", "VerifiedFeatureLevel": "UDP+EDNS0", "PossibleFeatureLevel": "UDP+EDNS0",
             "DNSSECMode": "no", "ReceivedUDPFragmentMax": 65, "PacketTruncated": false},
            {"Server": "10.11.0.53", "Type": "link", "Interface": "eth0", "InterfaceIndex": 2, "VerifiedFeatureLevel": "n/a",
             "PossibleFeatureLevel": "TLS+EDNS0+DO"},
            {"Server": "anything at all", "Type": "link", "Interface": "eth0"},
        ]}});
        let state = |of: &str, server: &str, verified: Option<&str>, possible: &str| ServerState {
            of: of.into(),
            server: server.into(),
            verified: verified.map(str::to_owned),
            possible: Some(possible.into()),
        };
        assert_eq!(
            states(&answer).unwrap(),
            [
                state("global", "192.168.4.53", Some("UDP+EDNS0"), "UDP+EDNS0"),
                state("link:eth0", "10.11.0.53", None, "TLS+EDNS0+DO"),
            ]
        );
        assert_eq!(states(&json!({"error": "org.varlink.service.MethodNotFound", "parameters": {}})), None);
    }
}
