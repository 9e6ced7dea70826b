//! What a resident run tells its endpoints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::metrics::{Health, Snapshot};
use crate::model::Name;
use crate::zone::ZoneStatus;

/// The numbers that the endpoints and the text file give.
#[derive(Default)]
pub(super) struct Board {
    pub statuses: Mutex<BTreeMap<Name, watch::Receiver<Arc<ZoneStatus>>>>,
    /// Objects refused and documents that cannot be read.
    pub source: Mutex<(usize, usize)>,
}

impl Board {
    pub fn snapshot(&self) -> Snapshot {
        let statuses: Vec<Arc<ZoneStatus>> = match self.statuses.lock() {
            Ok(all) => all.values().map(|status| Arc::clone(&status.borrow())).collect(),
            Err(_) => Vec::new(),
        };
        let mut snapshot = Snapshot::of_status(statuses.iter().map(Arc::as_ref));
        if let Ok(source) = self.source.lock() {
            (snapshot.refused_objects, snapshot.broken_documents) = *source;
        }
        snapshot
    }
}

impl Health for Board {
    fn text(&self) -> String {
        self.snapshot().text()
    }

    fn not_ready(&self) -> Vec<String> {
        let Ok(all) = self.statuses.lock() else { return vec!["all".to_owned()] };
        all.values()
            .filter(|status| status.borrow().last_view_at.is_none())
            .map(|status| status.borrow().zone.to_relaxed())
            .collect()
    }
}
