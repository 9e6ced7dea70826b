//! Whose files this process can make anew as they were: giving a file to somebody else takes a capability.

use std::sync::OnceLock;

/// Who this process is, as far as owners of files are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Own {
    uid: u32,
    gid: u32,
    /// Whether it may give files away (`CAP_CHOWN`).
    chown: bool,
}

/// Why a file of this owner and group could not be replaced by one that is the same, if so.
pub(super) fn out_of_reach(uid: u32, gid: u32) -> Option<String> {
    static OWN: OnceLock<Option<Own>> = OnceLock::new();
    let own = OWN.get_or_init(|| own(&std::fs::read_to_string("/proc/self/status").ok()?));
    why(*own, uid, gid)
}

fn why(own: Option<Own>, uid: u32, gid: u32) -> Option<String> {
    // What is not known is found out by trying; who is not root at all only looks.
    let own = own.filter(|own| own.uid == 0 && !own.chown && (own.uid, own.gid) != (uid, gid))?;
    Some(format!(
        "it belongs to {uid}:{gid}, and a process of {}:{} without CAP_CHOWN could not make it so again",
        own.uid, own.gid
    ))
}

/// Of `/proc/PID/status`: effective user, effective group, effective capabilities.
fn own(status: &str) -> Option<Own> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective = |name: &str| field(name)?.split_whitespace().nth(1)?.parse().ok();
    let caps = u64::from_str_radix(field("CapEff:")?.trim(), 16).ok()?;
    Some(Own { uid: effective("Uid:")?, gid: effective("Gid:")?, chown: caps & 1 == 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_out_of_reach_without_the_capability() {
        let status = |caps: &str| format!("Name:\tx\nUid:\t1\t0\t0\t0\nGid:\t1\t0\t0\t0\nCapEff:\t{caps}\n");
        let (bare, full) = (own(&status("0000000000000000")), own(&status("000001ffffffffff")));
        assert_eq!(bare, Some(Own { uid: 0, gid: 0, chown: false }));
        assert_eq!(why(bare, 0, 0), None);
        assert!(why(bare, 1000, 0).is_some_and(|why| why.contains("1000:0")));
        assert!(why(bare, 0, 42).is_some());
        assert_eq!(why(full, 1000, 42), None);
        assert_eq!(why(own("CapEff:\tx"), 1000, 42), None);
    }
}
