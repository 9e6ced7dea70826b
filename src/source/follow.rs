//! A configuration that is read again when it or a key file changes.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A configuration as it is in force, and how often it was read anew.
pub struct Followed {
    /// As it is now.
    pub config: watch::Receiver<Config>,
    /// How many new versions there were.
    pub versions: watch::Receiver<u64>,
    _reader: AbortOnDropHandle<()>,
}

/// Follows a configuration. A bad version is refused, and the one before stays in force; so is one with another owner id or
/// marker label, which would be another installation. `refused` hears of each.
pub fn follow(config: Config, refused: impl Fn() + Send + 'static) -> Followed {
    let (tell, told) = watch::channel(config.clone());
    let (count, versions) = watch::channel(0u64);
    let task = tokio::spawn(async move {
        let mut current = config;
        let mut print = print(&current.files);
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self::print(&current.files);
            if now == print {
                continue;
            }
            print = now;
            let path: PathBuf = current.path.clone();
            match Config::load(&path) {
                Ok(new) if (&new.owner, &new.label) != (&current.owner, &current.label) => {
                    tracing::error!(path = %path.display(), "another owner id or marker label is another installation: restart to use it. The version before stays in force");
                    refused();
                }
                Ok(new) => {
                    // The new one may be read from other files.
                    print = self::print(&new.files);
                    current = new.clone();
                    tell.send_replace(new);
                    count.send_modify(|number| *number += 1);
                }
                Err(error) => {
                    refused();
                    for diagnostic in &error.0 {
                        tracing::error!("{diagnostic}");
                    }
                    tracing::error!(path = %path.display(), "is refused; the version before stays in force");
                }
            }
        }
    });
    Followed { config: told, versions, _reader: AbortOnDropHandle::new(task) }
}

/// Changes with the content of the files.
fn print(files: &[PathBuf]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(file).ok().hash(&mut hasher);
    }
    hasher.finish()
}
