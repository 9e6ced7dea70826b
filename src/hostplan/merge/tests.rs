#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::interfaces::Lines;
use super::{block, dhcpcd, hosts, interfaces, nsswitch};
use crate::split::policy::{HostLine, Origin};

fn origins() -> Vec<Origin> {
    vec!["homelab".into()]
}

fn entry(address: &str, names: &[&str]) -> HostLine {
    HostLine { address: address.parse().unwrap(), names: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn with_hosts(text: &[u8], entries: &[HostLine]) -> Vec<u8> {
    hosts::merge(text, &entries.iter().collect::<Vec<_>>(), &origins()).unwrap()
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn f36_the_block_stands_at_the_end_and_everything_else_as_it_was() {
    let old = b"127.0.0.1 localhost\n192.168.4.2 chief-horse.maas chief-horse\n# mine\n";
    let new = with_hosts(old, &[entry("192.168.4.1", &["gw", "gw.maas"])]);
    assert!(new.starts_with(old));
    let block = str(&new[old.len()..]);
    assert!(block.starts_with("# BEGIN knotwork, policy homelab. Changes here are lost; sha256="), "{block}");
    assert!(block.ends_with("\n192.168.4.1\tgw gw.maas\n# END knotwork\n"), "{block}");
    assert_eq!(with_hosts(&new, &[]), old);
}

#[test]
fn f36_crlf_is_kept() {
    let old = b"127.0.0.1 localhost\r\n";
    let new = with_hosts(old, &[entry("192.168.4.1", &["gw"])]);
    assert!(str(&new).lines().count() == 4 && str(&new).matches("\r\n").count() == 4 && !str(&new).contains("\n\n"));
    assert_eq!(with_hosts(&new, &[entry("192.168.4.1", &["gw"])]), new);
    assert_eq!(with_hosts(&new, &[]), old);
}

#[test]
fn f36_a_last_line_without_an_end_keeps_having_none() {
    let new = with_hosts(b"127.0.0.1 localhost", &[entry("::1", &["six"])]);
    assert!(str(&new).starts_with("127.0.0.1 localhost\n# BEGIN") && str(&new).ends_with("\n# END knotwork"));
    assert_eq!(with_hosts(&new, &[]), b"127.0.0.1 localhost");
    // Somebody writes below it: the line before us has an end from then on.
    let more = [&new[..], b"\n10.0.0.1 later\n"].concat();
    assert_eq!(with_hosts(&more, &[]), b"127.0.0.1 localhost\n10.0.0.1 later\n");
}

#[test]
fn f36_marks_that_do_not_fit_are_told_with_their_line() {
    let trouble = |text: &str| hosts::merge(text.as_bytes(), &[], &[]).unwrap_err();
    let open = trouble("a\n# BEGIN knotwork\nb\n");
    assert_eq!((open.reason, open.line), ("BrokenBlock", 2));
    let end = trouble("a\nb\n# END knotwork\n");
    assert_eq!((end.reason, end.line), ("BrokenBlock", 3));
    let nested = trouble("# BEGIN knotwork\n# BEGIN knotwork\n# END knotwork\n");
    assert_eq!((nested.reason, nested.line), ("BrokenBlock", 1));
    let twice = trouble("# BEGIN knotwork\n# END knotwork\n\n# BEGIN knotwork\n# END knotwork\n");
    assert_eq!((twice.reason, twice.line), ("DuplicateBlock", 4));
    assert!(twice.message.contains("line 1"), "{}", twice.message);
    // Others have marks too.
    let foreign = b"# BEGIN knotwork-ng\n# BEGIN knotworks\n# END knotwork2\n";
    assert_eq!(with_hosts(foreign, &[]), foreign);
}

#[test]
fn f36_a_block_is_renewed_where_it_stands_and_an_edit_is_seen() {
    let old = with_hosts(b"a\n", &[entry("192.168.4.1", &["gw"])]);
    let moved = [&old[..], b"b\n"].concat();
    let new = with_hosts(&moved, &[entry("192.168.4.9", &["gw"])]);
    assert!(str(&new).starts_with("a\n# BEGIN") && str(&new).ends_with("192.168.4.9\tgw\n# END knotwork\nb\n"));
    assert!(block::find(&new).unwrap()[0].intact);
    let edited = str(&new).replace("192.168.4.9", "192.168.4.8");
    assert!(!block::find(edited.as_bytes()).unwrap()[0].intact);
    // Other ends of lines are no edit.
    assert!(block::find(str(&new).replace('\n', "\r\n").as_bytes()).unwrap()[0].intact);
}

fn nss(line: &str) -> String {
    let text = format!("passwd: files\n{line}\nshadow: files\n");
    let new = nsswitch::merge(text.as_bytes()).unwrap();
    let rest = str(&new).strip_prefix("passwd: files\n").unwrap().strip_suffix("\nshadow: files\n").unwrap();
    rest.to_owned()
}

#[test]
fn f35_resolve_stands_before_dns_and_everything_else_where_it_was() {
    for (old, new) in [
        ("hosts:          files dns", "hosts:          files resolve [!UNAVAIL=return] dns"),
        (
            "hosts: files mdns4_minimal [NOTFOUND=return] dns myhostname # lan",
            "hosts: files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns myhostname # lan",
        ),
        ("hosts:files", "hosts:files resolve [!UNAVAIL=return] dns"),
        ("hosts:", "hosts: resolve [!UNAVAIL=return] dns"),
        ("hosts: # none", "hosts: resolve [!UNAVAIL=return] dns # none"),
        ("hosts: files resolve dns", "hosts: files resolve [!UNAVAIL=return] dns"),
        ("hosts: files resolve [NOTFOUND=return] dns", "hosts: files resolve [!UNAVAIL=return] dns"),
        // The role of the seed: without dns nothing resolves while resolved is down.
        (
            "hosts: files mymachines resolve [!UNAVAIL=return] myhostname",
            "hosts: files mymachines resolve [!UNAVAIL=return] myhostname dns",
        ),
        (
            "hosts: files dns [NOTFOUND=return] resolve [!UNAVAIL=return] wins",
            "hosts: files resolve [!UNAVAIL=return] dns [NOTFOUND=return] wins",
        ),
        (" hosts : files dns", " hosts : files resolve [!UNAVAIL=return] dns"),
        ("hosts: files\tdns # resolve", "hosts: files\tresolve [!UNAVAIL=return] dns # resolve"),
    ] {
        assert_eq!(nss(old), new);
        assert_eq!(nss(new), new, "settled");
    }
    for right in [
        "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns",
        "hosts: files resolve [ !unavail=return ] dns",
        "hosts: files resolve [!UNAVAIL=return SUCCESS=return] dns#x",
    ] {
        assert_eq!(nss(right), right);
        assert!(nsswitch::is_right(right.strip_prefix("hosts:").unwrap()));
    }
    assert!(!nsswitch::is_right(" files dns"));
}

#[test]
fn f35_no_line_gets_one_and_two_lines_are_refused() {
    assert_eq!(nsswitch::merge(b"").unwrap(), b"hosts: files resolve [!UNAVAIL=return] dns\n");
    assert_eq!(
        nsswitch::merge(b"#hosts: dns\n").unwrap(),
        b"#hosts: dns\nhosts: files resolve [!UNAVAIL=return] dns\n"
    );
    let trouble = nsswitch::merge(b"hosts: files\n\nhosts: dns\n").unwrap_err();
    assert_eq!((trouble.reason, trouble.line), ("AmbiguousNsswitch", 3));
}

#[test]
fn f35_the_old_line_comes_back_whatever_else_was_changed() {
    let old = b"passwd: files\nhosts: files dns # lan\n";
    let left = nsswitch::merge(old).unwrap();
    let now = str(&left).replace("passwd: files", "passwd: files sss");
    let back = nsswitch::take_out(now.as_bytes(), old, &left).unwrap();
    assert_eq!(str(&back), "passwd: files sss\nhosts: files dns # lan\n");
    let theirs = str(&left).replace("# lan", "# wan");
    assert_eq!(nsswitch::take_out(theirs.as_bytes(), old, &left), None);
}

const INTERFACES: &str = "\
# The loopback
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp
\t# a comment
\tup ip route add 10.0.0.0/8 \\
\t   via 192.168.4.1
iface eth0 inet6 auto
auto eth1
iface eth1 \\
  inet static
  address 192.168.5.2/24
  dns-nameservers 192.168.5.1
source /etc/network/interfaces.d/*";

fn want(link: &str) -> Lines {
    Lines {
        link: link.into(),
        lines: vec!["dns-nameservers 192.168.4.53".into(), "dns-search ~maas".into(), "dns-default-route no".into()],
        policies: origins(),
    }
}

#[test]
fn a_stanza_gets_its_lines_right_after_its_first() {
    let new = interfaces::merge(INTERFACES.as_bytes(), &[want("eth0")]).unwrap();
    let text = str(&new);
    let (_, after) = text.split_once("iface eth0 inet dhcp\n").unwrap();
    assert!(after.starts_with("\t# BEGIN knotwork, policy homelab."), "{after}");
    let rest = after.split_once("\n").unwrap().1;
    assert!(rest.starts_with(
        "\tdns-nameservers 192.168.4.53\n\tdns-search ~maas\n\tdns-default-route no\n\t# END knotwork\n\t# a comment\n"
    ));
    assert_eq!(interfaces::merge(&new, &[want("eth0")]).unwrap(), new);
    assert_eq!(str(&interfaces::merge(&new, &[]).unwrap()), INTERFACES);
    assert_eq!(interfaces::stanza(&new, "eth0").unwrap().unwrap().dns_line, None, "our own lines are not theirs");
}

#[test]
fn a_stanza_over_two_lines_and_lines_of_others_are_seen() {
    let stanza = interfaces::stanza(INTERFACES.as_bytes(), "eth1").unwrap().unwrap();
    assert_eq!((stanza.indent.as_str(), stanza.dns_line, stanza.dhcp), ("  ", Some(15), false));
    assert!(interfaces::stanza(INTERFACES.as_bytes(), "eth0").unwrap().unwrap().dhcp);
    assert!(INTERFACES[stanza.after..].starts_with("  address"));
    assert_eq!(interfaces::stanza(INTERFACES.as_bytes(), "eth2").unwrap(), None);
    assert_eq!(interfaces::stanza(INTERFACES.as_bytes(), "lo").unwrap().unwrap().dns_line, None);
    let trouble = interfaces::merge(INTERFACES.as_bytes(), &[want("eth2")]).unwrap_err();
    assert_eq!(trouble.reason, "NoStanza");
}

#[test]
fn dhcpcds_hook_begins_with_ours() {
    let lines = vec!["case \"$interface\" in".to_owned(), "esac".to_owned()];
    for (old, before) in [("", ""), ("exit 0\n", ""), ("#!/bin/sh\necho $reason", "#!/bin/sh\n")] {
        let new = dhcpcd::merge(old.as_bytes(), &lines, &origins()).unwrap();
        let ours = str(&new).strip_prefix(before).unwrap();
        assert!(
            ours.starts_with("# BEGIN knotwork, policy homelab.") && ours.contains("\nesac\n# END knotwork"),
            "{ours}"
        );
        assert_eq!(dhcpcd::merge(&new, &lines, &origins()).unwrap(), new);
        assert_eq!(str(&dhcpcd::merge(&new, &[], &[]).unwrap()), old);
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\r"[..]),
        Just(&b"127.0.0.1 localhost"[..]),
        Just(&b"# END"[..]),
        Just(&b"# a comment \\"[..]),
        Just(&b"\xff\x00"[..]),
        Just(&b"  indented"[..]),
        Just(&b"interface eth0"[..]),
        Just(&b"nohook x"[..]),
        Just(&b"hosts: files dns # y"[..]),
        Just(&b"hosts: resolve [!UNAVAIL=return] dns"[..]),
        Just(&b"iface eth0 inet dhcp"[..]),
        Just(&b"iface eth1 inet6 auto \\"[..]),
        Just(&b"auto eth0"[..]),
        Just(&b"\tup true"[..]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn entries() -> impl Strategy<Value = Vec<HostLine>> {
    prop::collection::vec((any::<[u8; 4]>(), "[a-z]{1,8}"), 1..4)
        .prop_map(|all| all.into_iter().map(|(ip, name)| HostLine { address: ip.into(), names: vec![name] }).collect())
}

proptest! {
    #[test]
    fn hosts_merged_twice_is_merged_once_and_taken_out_is_as_before(old in text(), one in entries(), two in entries()) {
        let new = with_hosts(&old, &one);
        prop_assert_eq!(&with_hosts(&new, &one), &new);
        prop_assert_eq!(with_hosts(&new, &two), with_hosts(&old, &two));
        prop_assert_eq!(with_hosts(&new, &[]), old);
    }

    #[test]
    fn dhcpcd_merged_twice_is_merged_once_and_taken_out_is_as_before(old in text()) {
        let new = dhcpcd::merge(&old, &["a".to_owned(), "b".to_owned()], &origins()).unwrap();
        prop_assert_eq!(&dhcpcd::merge(&new, &["a".to_owned(), "b".to_owned()], &origins()).unwrap(), &new);
        prop_assert_eq!(dhcpcd::merge(&new, &[], &[]).unwrap(), old);
    }

    #[test]
    fn interfaces_merged_twice_is_merged_once_and_taken_out_is_as_before(old in text()) {
        let has = |link: &str| interfaces::stanza(&old, link).unwrap().is_some();
        let wanted: Vec<Lines> = ["eth0", "eth1"].into_iter().filter(|link| has(link)).map(want).collect();
        let new = interfaces::merge(&old, &wanted).unwrap();
        prop_assert_eq!(&interfaces::merge(&new, &wanted).unwrap(), &new);
        prop_assert_eq!(interfaces::merge(&new, &[]).unwrap(), old);
    }

    #[test]
    fn nsswitch_merged_twice_is_merged_once_and_taken_out_is_as_before(old in text(), more in text()) {
        let Ok(new) = nsswitch::merge(&old) else { return Ok(()) };
        prop_assert_eq!(&nsswitch::merge(&new).unwrap(), &new);
        prop_assert_eq!(nsswitch::take_out(&new, &old, &new), Some(old.clone()));
        // Lines of others in front of it do not matter.
        let front = [&more[..], b"\n"].concat();
        if !more.windows(5).any(|part| part == b"hosts") {
            let now = [&front[..], &new].concat();
            let back = nsswitch::take_out(&now, &old, &new);
            prop_assert_eq!(back, Some([&front[..], &old].concat()));
        }
    }
}
