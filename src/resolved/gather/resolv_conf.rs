//! /etc/resolv.conf: what it is, and whose words are in it.

use super::Work;
use crate::resolved::resolve1::Manager;
use crate::split::HostFacts;
use crate::split::facts::{FileKind, ResolvConf, read_resolv_conf, whose};

const PATH: &str = "/etc/resolv.conf";

pub(super) fn gather(work: &mut Work, facts: &mut HostFacts, manager: Option<&Manager>) {
    let (kind, target) = work.files.kind(PATH);
    let mut found =
        ResolvConf { kind, target, mode: manager.and_then(|manager| manager.resolv_conf), ..ResolvConf::default() };
    match kind {
        FileKind::File | FileKind::Symlink => {
            let read = work.files.text(PATH);
            if let Some(text) = work.file(PATH, read) {
                let (servers, search) = read_resolv_conf(&text);
                found.content = whose(&text);
                (found.servers, found.search) = (Some(servers), Some(search));
            }
        }
        FileKind::Unknown => work.miss(PATH, "cannot be read"),
        // Nothing there: no servers, which the C library takes for 127.0.0.1.
        FileKind::Absent | FileKind::Dangling | FileKind::Directory | FileKind::Other => {}
    }
    facts.resolv_conf = Some(found);
}
