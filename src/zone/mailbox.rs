//! How a source that tells of changes feeds a worker: letters that were not fetched yet become one.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::ClaimsEdit;

/// What waits for a worker. Its size is bounded by what there is to say: later news of a name replaces earlier.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// What changed of what is declared.
    pub edit: Option<ClaimsEdit>,
    /// Hashes of held operations that a person released.
    pub release: Vec<String>,
}

#[derive(Debug, Default)]
struct Inner {
    letters: Mutex<Letters>,
    came: Notify,
}

/// A mailbox with one reader. Clones are the same box.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Inner>);

impl Mailbox {
    /// Tells of a change of what is declared.
    pub fn edit(&self, edit: ClaimsEdit) {
        self.put(|letters| match &mut letters.edit {
            Some(before) => before.merge(edit),
            none => *none = Some(edit),
        });
    }

    /// Releases the held operations of this hash, in one plan.
    pub fn release(&self, hash: String) {
        self.put(|letters| letters.release.push(hash));
    }

    fn put(&self, write: impl FnOnce(&mut Letters)) {
        // Nothing in here panics half-way, so what a poisoned lock guards is whole.
        write(&mut self.0.letters.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.came.notify_one();
    }

    /// Waits until something is there. It may be fetched by then.
    pub(super) async fn came(&self) {
        self.0.came.notified().await;
    }

    /// Fetches all.
    pub(super) fn fetch(&self) -> Letters {
        std::mem::take(&mut self.0.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
