//! Knobs for tests only, read from the environment: stopping a run at a given moment, and turning its protections off, so
//! that a test can show that without them it fails. Nobody sets these by accident.

use std::path::PathBuf;
use std::time::Duration;

/// A moment to stop at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Before the first UPDATE of a run.
    BeforeFirst,
    /// After the answer to it.
    AfterFirst,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Knobs {
    /// `KNOTWORK_TEST_PAUSE=before-first|after-first` with `KNOTWORK_TEST_PAUSE_FILE=PATH`: the file is created there,
    /// and the run waits until it is gone.
    pause: Option<(Pause, PathBuf)>,
    /// `KNOTWORK_TEST_NO_FENCE=1`: neither requires nor writes the fence.
    pub no_fence: bool,
    /// `KNOTWORK_TEST_NO_GUARDS=1`: sends no prerequisites but the fence.
    pub no_guards: bool,
}

impl Knobs {
    pub fn from_env() -> Knobs {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| value == "1");
        let pause = match std::env::var("KNOTWORK_TEST_PAUSE").as_deref() {
            Ok("before-first") => Some(Pause::BeforeFirst),
            Ok("after-first") => Some(Pause::AfterFirst),
            _ => None,
        };
        let file = std::env::var_os("KNOTWORK_TEST_PAUSE_FILE").map(PathBuf::from);
        Knobs {
            pause: pause.zip(file),
            no_fence: set("KNOTWORK_TEST_NO_FENCE"),
            no_guards: set("KNOTWORK_TEST_NO_GUARDS"),
        }
    }

    /// Waits if this is the moment. Once for each run.
    pub async fn pause(&mut self, moment: Pause) {
        let Some((_, file)) = self.pause.take_if(|(at, _)| *at == moment) else { return };
        if tokio::fs::write(&file, b"").await.is_err() {
            return;
        }
        while tokio::fs::try_exists(&file).await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
