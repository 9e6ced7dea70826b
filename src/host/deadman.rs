//! Who undoes a change when we cannot: a timer of systemd that runs a copy of this program.
//!
//! The copy lies on the host, named by its hash: systemd starts it there, also when we run in a container or were replaced
//! meanwhile (DESIGN §7).

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::store::Store;
use crate::resolved::Bus;
use crate::resolved::fault::step;
use crate::resolved::systemd1::{Systemd1, TransientTimer};

/// How the timers of a transaction are called: that of the whole, and that of the wait for a person.
fn names(id: &str) -> [String; 2] {
    [format!("knotwork-deadman-{id}"), format!("knotwork-deadman-{id}-confirm")]
}

/// How long after the time of a confirmation the dead man comes: whoever lives undoes the change himself by then, or is at
/// it and holds the lock, for which the dead man waits.
const GRACE: Duration = Duration::from_secs(10);

/// Starts the timer; `Timer`, or `NextStart` where none can be had, with the reason.
pub(super) async fn arm(bus: &Bus, store: &Store, id: &str, after: Duration, root: &str) -> (String, Option<String>) {
    let [name, _] = names(id);
    start(bus, store, (id, name), after, root).await
}

/// Has the dead man come sooner than for the whole of the change: everything is in place, and only a person is awaited. Where
/// no second timer can be had, the first one still comes.
pub(super) async fn at_confirmation(bus: &Bus, store: &Store, id: &str, within: Duration, root: &str) {
    let [_, name] = names(id);
    if let (_, Some(why)) = start(bus, store, (id, name), within + GRACE, root).await {
        tracing::warn!(why, id, "no timer for the end of the wait: should we die, the change is undone later");
    }
}

async fn start(
    bus: &Bus,
    store: &Store,
    (id, name): (&str, String),
    after: Duration,
    root: &str,
) -> (String, Option<String>) {
    let program = match copy(store) {
        Ok(program) => program,
        Err(error) => return ("NextStart".into(), Some(format!("this program cannot be copied: {error}"))),
    };
    let mut command = vec![program.display().to_string(), "host".into(), "rollback".into()];
    let state = store.dir().display().to_string();
    command.extend([
        "--transaction".into(),
        id.into(),
        "--if-unfinished".into(),
        "--state".into(),
        state,
        "--root".into(),
        root.into(),
    ]);
    let description = format!("Undo the DNS change {id} of knotwork, which nobody finished");
    let timer = TransientTimer { name, description, after, command };
    step("the dead man's program lies ready");
    match Systemd1(bus).start_timer(&timer).await {
        Ok(()) => {
            step("the dead man is armed");
            ("Timer".into(), None)
        }
        Err(error) => ("NextStart".into(), Some(error.to_string())),
    }
}

/// Stops the timers.
pub(super) async fn disarm(bus: &Bus, id: &str) {
    for name in names(id) {
        if let Err(error) = Systemd1(bus).stop(&format!("{name}.timer")).await {
            // It finds nothing to do for a transaction that is over.
            tracing::warn!(%error, id, "the dead man's timer could not be stopped");
        }
    }
    step("the dead man is dismissed");
}

/// Copies this program to where the host keeps it, once, and makes it the one that the boot unit runs.
pub(super) fn copy(store: &Store) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let hash = hash(&own)?;
    let dir = store.bin();
    fs::create_dir_all(&dir)?;
    let place = dir.join(&hash);
    if !place.exists() {
        let temporary = dir.join(format!(".{hash}.tmp"));
        fs::copy(&own, &temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&temporary)?.sync_all()?;
        fs::rename(&temporary, &place)?;
    }
    let (link, temporary) = (dir.join("knotwork"), dir.join(".knotwork.tmp"));
    if fs::read_link(&link).ok().as_deref() != Some(Path::new(&hash)) {
        let _ = fs::remove_file(&temporary);
        symlink(&hash, &temporary)?;
        fs::rename(&temporary, &link)?;
    }
    fs::File::open(&dir)?.sync_all()?;
    Ok(place)
}

fn hash(file: &Path) -> std::io::Result<String> {
    let (mut file, mut sha, mut buffer) = (fs::File::open(file)?, Sha256::new(), vec![0u8; 1 << 20]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sha.update(&buffer[..count]);
    }
}
