//! Ending the program after a given step of a change, so that tests see what the next start makes of it.
//!
//! `KNOTWORK_HOST_STOP_AFTER=N` ends it after its Nth step, `0` only names each step on standard error. It is in the shipped
//! program, because that is the one that must survive it, and it is harmless there: all it can do is end this process, at a
//! moment at which the power may go as well, and whoever sets a process's environment can kill it, too. The dead man's timer
//! is started by systemd, with systemd's environment.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable.
const STOP_AFTER: &str = "KNOTWORK_HOST_STOP_AFTER";

/// One more step is done.
#[allow(clippy::print_stderr)]
pub fn step(what: &str) {
    static STOP: OnceLock<Option<u32>> = OnceLock::new();
    static DONE: AtomicU32 = AtomicU32::new(0);
    let Some(stop) = *STOP.get_or_init(|| std::env::var(STOP_AFTER).ok()?.parse().ok()) else { return };
    let done = DONE.fetch_add(1, Ordering::SeqCst) + 1;
    if stop == 0 {
        eprintln!("step {done}: {what}");
    } else if stop == done {
        eprintln!("stopped after step {done}: {what}");
        std::process::abort();
    }
}
