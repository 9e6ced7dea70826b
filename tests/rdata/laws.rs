//! What holds for all RDATA and all octets.

use knotwork::model::{Name, NameError, RrSet, RrType, rdata};
use proptest::prelude::*;

use crate::wires::{TYPES, Taste, any_of, name};

fn some_type() -> impl Strategy<Value = RrType> {
    prop_oneof![proptest::sample::select(TYPES), any::<u16>().prop_map(RrType), (0u16..70).prop_map(RrType)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(2000), failure_persistence: None, ..ProptestConfig::default() })]

    /// Text of a well-formed value reads back as its canonical form, byte for byte, and so does the generic form.
    #[test]
    fn text_reads_back((rtype, wire) in any_of(TYPES, Taste::Wild)) {
        prop_assert_eq!(rdata::check(rtype, &wire), Ok(()));
        let text = rdata::to_text(rtype, &wire);
        prop_assert!(rtype == RrType(65400) || !text.starts_with("\\# "), "{} {}", rtype, text);
        let canonical = rdata::canonical(rtype, &wire);
        let read = rdata::from_text(rtype, &text, None);
        prop_assert_eq!(read.as_deref(), Ok(&*canonical), "{}", text);
        // An origin must make no difference: every name is absolute.
        let origin = Name::parse("origin.example").unwrap();
        let read = rdata::from_text(rtype, &text, Some(&origin));
        prop_assert_eq!(read.as_deref(), Ok(&*canonical), "{}", text);
        let generic: String = wire.iter().map(|octet| format!("{octet:02X}")).collect();
        let read = rdata::from_text(rtype, &format!("\\# {} {generic}", wire.len()), None);
        prop_assert_eq!(read.as_deref(), Ok(&*wire));
    }

    /// Canonical form is a fixed point, the letter case of names never counts, and sameness says so.
    #[test]
    fn canonical_is_a_fixed_point((rtype, wire) in any_of(TYPES, Taste::Wild)) {
        let once = rdata::canonical(rtype, &wire).into_owned();
        prop_assert_eq!(&*rdata::canonical(rtype, &once), &once[..]);
        prop_assert!(rdata::same(rtype, &wire, &once));
        prop_assert_eq!(rdata::names_in(rtype, &wire), rdata::names_in(rtype, &once));
        prop_assert_eq!(RrSet::new(rtype, 1, [wire.into(), once.into()]).len(), 1);
    }

    /// No octets make anything panic; what passes the check has a text that reads back; what does not is shown as it is.
    #[test]
    fn any_octets_are_survived(rtype in some_type(), wire in proptest::collection::vec(any::<u8>(), 0..80)) {
        let canonical = rdata::canonical(rtype, &wire).into_owned();
        rdata::names_in(rtype, &wire);
        let text = rdata::to_text(rtype, &wire);
        let read = rdata::from_text(rtype, &text, None);
        if rdata::check(rtype, &wire).is_ok() {
            prop_assert!(read.is_ok_and(|read| rdata::same(rtype, &read, &canonical)), "{}", text);
        } else {
            prop_assert!(text.starts_with("\\#"));
            prop_assert!(read.is_err());
        }
    }

    /// Mutated well-formed values get further into the readers than random octets do.
    #[test]
    fn damaged_values_are_survived(
        (rtype, mut wire) in any_of(TYPES, Taste::Wild),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for (at, value) in changes {
            if !wire.is_empty() {
                let at = at.index(wire.len());
                wire[at] = value;
            }
        }
        for wire in [&wire[..], &wire[..cut.index(wire.len() + 1)]] {
            let text = rdata::to_text(rtype, wire);
            if rdata::check(rtype, wire).is_ok() {
                let read = rdata::from_text(rtype, &text, None);
                prop_assert!(read.is_ok_and(|read| rdata::same(rtype, &read, wire)), "{}", text);
            }
        }
    }

    /// Any text is read or refused, and what is read is well-formed.
    #[test]
    fn any_text_is_survived(rtype in some_type(), text in "(\\PC{0,40}|[0-9a-fA-FNSEW.: \"\\\\#=,()-]{0,60})") {
        if let Ok(read) = rdata::from_text(rtype, &text, None) {
            prop_assert_eq!(rdata::check(rtype, &read), Ok(()));
        }
        let _ = rdata::loc(&text);
        let _ = rdata::svcb(RrType::HTTPS, 1, &Name::root(), &text);
    }

    /// A name compressed against an earlier one is read back whole, and random messages end.
    #[test]
    fn decompression_ends(
        first in name(Taste::Wild),
        label in proptest::collection::vec(any::<u8>(), 1..20),
        noise in proptest::collection::vec(any::<u8>(), 0..60),
        rtype in some_type(),
    ) {
        let mut message = vec![0; 12];
        message.extend(&first);
        let start = message.len();
        message.push(label.len() as u8);
        message.extend(&label);
        message.extend([0xc0, 12]);
        let whole = [&[label.len() as u8], label.as_slice(), first.as_slice()].concat();
        let read = rdata::decompress(RrType::CNAME, &message, start..message.len());
        prop_assert_eq!(read.ok(), (whole.len() <= 255).then(|| whole.into_boxed_slice()));
        message.extend(noise);
        for start in 0..message.len() {
            let _ = rdata::decompress(rtype, &message, start..message.len());
        }
    }

    /// Well-formed RDATA without pointers comes out of a message as it went in.
    #[test]
    fn decompression_keeps_what_is_plain((rtype, wire) in any_of(TYPES, Taste::Wild)) {
        let message = [&[7; 12], wire.as_slice(), &[7; 5]].concat();
        let read = rdata::decompress(rtype, &message, 12..12 + wire.len());
        prop_assert_eq!(read.as_deref(), Ok(&*wire));
    }

    /// Names: text and wire form go both ways; order is that of reversed label lists.
    #[test]
    fn names_go_both_ways(a in name(Taste::Wild), b in name(Taste::Wild), text in "\\PC{0,30}") {
        let (a, b) = (Name::from_wire(&a).unwrap(), Name::from_wire(&b).unwrap());
        prop_assert_eq!(&Name::parse(&a.to_string()).unwrap(), &a);
        prop_assert_eq!(&Name::parse(&a.to_relaxed()).unwrap(), &a);
        let reversed = |name: &Name| {
            let mut labels: Vec<Vec<u8>> = name.labels().map(<[u8]>::to_vec).collect();
            labels.reverse();
            labels
        };
        prop_assert_eq!(a.cmp(&b), reversed(&a).cmp(&reversed(&b)));
        match a.under(&b) {
            Ok(joined) => prop_assert!(joined.is_at_or_below(&b) && joined.label_count() == a.label_count() + b.label_count()),
            Err(error) => prop_assert!(matches!(error, NameError::TooLong(len) if len > 255)),
        }
        if let Ok(name) = Name::parse(&text) {
            prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
        }
    }
}
