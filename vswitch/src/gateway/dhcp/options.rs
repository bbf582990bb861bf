//! Options of DHCP messages (RFC 2132): reading them strictly, writing them within a limit.

use std::net::Ipv4Addr;

/// Codes (RFC 2132; domain search: RFC 3397).
pub(super) mod code {
    pub(in super::super) const PAD: u8 = 0;
    pub(in super::super) const SUBNET_MASK: u8 = 1;
    pub(in super::super) const ROUTER: u8 = 3;
    pub(in super::super) const NAME_SERVER: u8 = 6;
    pub(in super::super) const HOST_NAME: u8 = 12;
    pub(in super::super) const DOMAIN: u8 = 15;
    pub(in super::super) const MTU: u8 = 26;
    pub(in super::super) const BROADCAST: u8 = 28;
    pub(in super::super) const REQUESTED_ADDRESS: u8 = 50;
    pub(in super::super) const LEASE_TIME: u8 = 51;
    pub(in super::super) const OVERLOAD: u8 = 52;
    pub(in super::super) const KIND: u8 = 53;
    pub(in super::super) const SERVER: u8 = 54;
    pub(in super::super) const RENEWAL_TIME: u8 = 58;
    pub(in super::super) const REBINDING_TIME: u8 = 59;
    pub(in super::super) const CLIENT: u8 = 61;
    pub(in super::super) const SEARCH: u8 = 119;
    pub(in super::super) const END: u8 = 255;
}

/// One option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DhcpOption<'a> {
    pub(super) code: u8,
    pub(super) data: &'a [u8],
}

impl DhcpOption<'_> {
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.data).ok().map(Ipv4Addr::from)
    }

    pub(super) fn u32(&self) -> Option<u32> {
        self.data.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn u8(&self) -> Option<u8> {
        <[u8; 1]>::try_from(self.data).ok().map(|[byte]| byte)
    }
}

/// The options of a field, up to its end. An option that is cut short gives `Err` once.
pub(super) struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    pub(super) fn new(field: &'a [u8]) -> Self {
        Self { rest: field }
    }
}

/// An option says it is longer than its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CutShort;

impl<'a> Iterator for Options<'a> {
    type Item = Result<DhcpOption<'a>, CutShort>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [code::PAD, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let option = match *self.rest {
            [] | [code::END, ..] => return None,
            [code, len, ref rest @ ..] => rest.split_at_checked(usize::from(len)).map(|(data, rest)| {
                self.rest = rest;
                DhcpOption { code, data }
            }),
            [_] => None,
        };
        Some(option.ok_or_else(|| {
            self.rest = &[];
            CutShort
        }))
    }
}

/// Writes options one after the other, each whole or not at all, with room left for the end.
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Writes an option; one without data, too long or without room is left out.
    pub(super) fn put(&mut self, code: u8, data: &[u8]) {
        let Ok(len @ 1..) = u8::try_from(data.len()) else { return };
        let end = self.at + 2 + data.len();
        if end + 1 > self.out.len() {
            return;
        }
        if let Some(option) = self.out.get_mut(self.at..end)
            && let Some((head, body)) = option.split_first_chunk_mut()
        {
            *head = [code, len];
            body.copy_from_slice(data);
            self.at = end;
        }
    }

    /// Ends the options; the bytes used.
    pub(super) fn end(self) -> usize {
        match self.out.get_mut(self.at) {
            Some(end) => {
                *end = code::END;
                self.at + 1
            }
            None => self.at,
        }
    }
}

/// Domains as option 119 has them (RFC 3397, without compression), as many as fit an option; what
/// is no domain name is left out.
pub(super) fn search_list<'a>(domains: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut list = Vec::new();
    for domain in domains {
        let domain = domain.trim_end_matches('.');
        let mut name = Vec::new();
        let whole = domain.split('.').all(|label| {
            let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len));
            name.extend(len);
            name.extend(label.as_bytes());
            len.is_some()
        });
        name.push(0);
        if whole && u8::try_from(list.len() + name.len()).is_ok() {
            list.extend(name);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options_are_read_up_to_the_end() {
        let field = [0, 53, 1, 3, 0, 0, 50, 4, 10, 0, 0, 9, 61, 0, 255, 12, 9];
        let read: Vec<_> = Options::new(&field).map(Result::unwrap).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].u8(), Some(3));
        assert_eq!(read[1].address(), Some(Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!((read[1].u32(), read[0].u32(), read[2].u8()), (Some(0x0a00_0009), None, None));
    }

    #[test]
    fn an_option_cut_short_is_said_once() {
        for field in [&[53, 2, 1][..], &[53], &[50, 255, 0]] {
            assert_eq!(Options::new(field).collect::<Vec<_>>(), [Err(CutShort)]);
        }
        assert_eq!(Options::new(&[0, 0]).count(), 0);
    }

    #[test]
    fn an_option_is_written_whole_or_not_at_all() {
        let mut out = [0xaa; 10];
        let mut writer = Writer::new(&mut out);
        writer.put(1, &[7; 4]);
        writer.put(2, &[]);
        writer.put(3, &[8; 2]);
        writer.put(4, &[9; 1]);
        assert_eq!(writer.end(), 10);
        assert_eq!(out, [1, 4, 7, 7, 7, 7, 4, 1, 9, 255]);
        assert_eq!(Writer::new(&mut []).end(), 0);
    }

    #[test]
    fn a_search_list_is_made_of_labels() {
        assert_eq!(search_list(["a.bc.", "d"]), b"\x01a\x02bc\0\x01d\0");
        assert_eq!(search_list(["", "a..b", &"x".repeat(64), "."]), b"");
        assert_eq!(search_list(std::iter::repeat_n("abcdefgh.test", 40)).len(), 15 * 17);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(options in prop::collection::vec((1u8..255, prop::collection::vec(any::<u8>(), 1..20)), 0..10)) {
            let mut out = [0; 256];
            let mut writer = Writer::new(&mut out);
            for (code, data) in &options {
                writer.put(*code, data);
            }
            let len = writer.end();
            let read: Vec<_> = Options::new(&out[..len]).map(|o| { let o = o.unwrap(); (o.code, o.data.to_vec()) }).collect();
            prop_assert_eq!(read, options);
        }

        #[test]
        fn any_field_ends(field in prop::collection::vec(any::<u8>(), 0..600)) {
            let read: Vec<_> = Options::new(&field).collect();
            prop_assert!(read.len() <= field.len());
            prop_assert!(read.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
