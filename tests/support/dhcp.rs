//! A DHCP server for one client of one network (RFC 2131), as the labs' far sides run it.
//!
//! It always leases the same address, and says what the file `dhcp` of its directory says at that moment, so that a test
//! can change what the next lease or renewal brings.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;

/// What a server offers beside the address.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The server's own address, also the router where `routes` is set.
    pub server: Ipv4Addr,
    /// Whether the server offers itself as the default route.
    pub routes: bool,
    /// Name servers, in order.
    pub dns: Vec<Ipv4Addr>,
    /// The domain name (option 15).
    pub domain: String,
    /// Seconds until the client renews (T1, option 58); the lease itself is for an hour.
    pub renew: u32,
}

impl Offer {
    /// As a line of the file.
    pub fn line(&self) -> String {
        let dns: Vec<String> = self.dns.iter().map(ToString::to_string).collect();
        format!("{} {} {} {} {}", self.server, self.routes, self.renew, self.domain, dns.join(","))
    }

    fn parse(line: &str) -> Offer {
        let words: Vec<&str> = line.split_whitespace().collect();
        Offer {
            server: words[0].parse().unwrap(),
            routes: words[1].parse().unwrap(),
            renew: words[2].parse().unwrap(),
            domain: words[3].to_owned(),
            dns: words[4].split(',').map(|word| word.parse().unwrap()).collect(),
        }
    }
}

/// Writes the offer in one step, so that the server never reads half of it.
pub fn offer(dir: &Path, offer: &Offer) {
    std::fs::write(dir.join("dhcp.new"), offer.line()).unwrap();
    std::fs::rename(dir.join("dhcp.new"), dir.join("dhcp")).unwrap();
}

/// Serves the network of its namespace for ever: leases `client`, logs `DISCOVER`, `REQUEST` or `RENEW` a line.
pub fn serve(dir: &Path, client: Ipv4Addr) {
    let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
    socket.set_broadcast(true).unwrap();
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("dhcp.log")).unwrap();
    let mut message = [0u8; 2048];
    loop {
        let (len, _) = socket.recv_from(&mut message).unwrap();
        let message = &message[..len];
        // BOOTREQUEST with the magic cookie.
        if len < 241 || message[0] != 1 || message[236..240] != [99, 130, 83, 99] {
            continue;
        }
        let offer = Offer::parse(&std::fs::read_to_string(dir.join("dhcp")).unwrap());
        let has = |bytes: &[u8]| -> Option<Ipv4Addr> { Some(<[u8; 4]>::try_from(bytes).ok()?.into()) };
        let renewing = message[12..16] != [0; 4];
        let (reply, said) = match option(message, 53) {
            Some([DISCOVER]) => (2, "DISCOVER"),
            Some([REQUEST]) => {
                if option(message, 54).and_then(has).is_some_and(|server| server != offer.server) {
                    continue;
                }
                let wants = option(message, 50).and_then(has).or_else(|| has(&message[12..16]));
                let ack = if wants == Some(client) { 5 } else { 6 };
                (ack, if renewing { "RENEW" } else { "REQUEST" })
            }
            _ => continue,
        };
        log.write_all(format!("{said}\n").as_bytes()).unwrap();
        let to = if renewing { client } else { Ipv4Addr::BROADCAST };
        let _ = socket.send_to(&answer(message, reply, client, &offer), SocketAddrV4::new(to, 68));
    }
}

fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut at = 240;
    loop {
        match *message.get(at)? {
            0 => at += 1,
            255 => return None,
            code => {
                let len = usize::from(*message.get(at + 1)?);
                if code == wanted {
                    return message.get(at + 2..at + 2 + len);
                }
                at += 2 + len;
            }
        }
    }
}

fn answer(request: &[u8], kind: u8, client: Ipv4Addr, offer: &Offer) -> Vec<u8> {
    let mut out = request[..240].to_vec();
    out[0] = 2;
    if kind != 6 {
        out[16..20].copy_from_slice(&client.octets());
    }
    let mut put = |code: u8, bytes: &[u8]| {
        out.extend([code, u8::try_from(bytes.len()).unwrap()]);
        out.extend(bytes);
    };
    put(53, &[kind]);
    put(54, &offer.server.octets());
    if kind != 6 {
        put(51, &3600u32.to_be_bytes());
        put(58, &offer.renew.to_be_bytes());
        put(1, &[255, 255, 255, 0]);
        if offer.routes {
            put(3, &offer.server.octets());
        }
        put(6, &offer.dns.iter().flat_map(|server| server.octets()).collect::<Vec<u8>>());
        put(15, offer.domain.as_bytes());
    }
    out.push(255);
    out
}
