//! What a server can take at once: asked of it in the way that servers tell their version (RFC 4892).

use super::updates::WIDE;
use super::{Session, random_id};
use crate::dns::{Class, Message, Record};
use crate::model::{Name, RrType};

impl Session {
    /// Widens the window of UPDATEs where the server says that it is Knot, which commits all that is queued at once.
    ///
    /// Nothing waits for the answer, and nothing depends on it but speed: whoever forges one makes us send faster.
    pub fn widen_for_knot(self: &std::sync::Arc<Self>) {
        if self.asked_kind.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let session = std::sync::Arc::clone(self);
        tokio::spawn(async move {
            if session.is_knot().await.unwrap_or(false) {
                tracing::debug!(server = %session.address, window = WIDE, "the server is Knot: more updates may be out at once");
                session.updates().widen();
            }
        });
    }

    async fn is_knot(&self) -> Option<bool> {
        let socket = self.open_udp().await.ok()?;
        let id = random_id();
        let mut query = Message::query(id, Name::parse("version.server").ok()?, RrType::TXT);
        query.questions.iter_mut().for_each(|question| question.class = Class::CH);
        socket.send(&query.encode()).await.ok()?;
        let mut buffer = [0u8; 512];
        let answer = tokio::time::timeout(self.settings.timeouts.query, async {
            loop {
                let length = socket.recv(&mut buffer).await.ok()?;
                match Message::parse(&buffer[..length]) {
                    Ok(answer) if answer.id == id && answer.response => return Some(answer),
                    _ => {}
                }
            }
        });
        let answer = answer.await.ok()??;
        Some(answer.answers.iter().any(says_knot))
    }
}

fn says_knot(record: &Record) -> bool {
    record.rtype == RrType::TXT && record.rdata.get(1..).is_some_and(|text| text.starts_with(b"Knot DNS"))
}
