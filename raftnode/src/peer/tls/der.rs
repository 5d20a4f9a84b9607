//! The few fields of certificates and revocation lists that rustls does not give out.
//!
//! Layout: RFC 5280, sections 4.1 and 5.1. Bytes that are something else give `None`.
#![deny(clippy::indexing_slicing, clippy::as_conversions)]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version of a certificate, and its extensions.
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
/// Kinds of alternative names.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// 2.5.4.3 and 2.5.29.17.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Who a certificate is of.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Without leading zeros.
    pub(super) serial: Vec<u8>,
    pub(super) common_name: Option<String>,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Identity {
    /// Whether it is for this host: by address, by name, or by a name whose first label is `*`.
    pub(super) fn is_valid_for(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let host = host.trim_end_matches('.');
        self.names.iter().any(|name| {
            let rest = name.strip_prefix("*.");
            let host_rest = host.split_once('.').map(|(_, rest)| rest);
            match (rest, host_rest) {
                (Some(rest), Some(host_rest)) => rest.eq_ignore_ascii_case(host_rest),
                _ => name.eq_ignore_ascii_case(host),
            }
        })
    }
}

/// Elements one after the other.
#[derive(Clone, Copy)]
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn next(&mut self) -> Option<(u8, &'d [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 {
                return None;
            }
            let (digits, after) = rest.split_at_checked(bytes)?;
            len = digits.iter().fold(0, |len, &d| len << 8 | usize::from(d));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(len)?;
        self.0 = after;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// Takes the next element if it is one of these.
    fn skip_if(&mut self, tags: &[u8]) {
        let mut ahead = *self;
        if ahead.next().is_some_and(|(tag, _)| tags.contains(&tag)) {
            *self = ahead;
        }
    }
}

/// What a certificate says of its owner.
pub(super) fn identity(certificate: &[u8]) -> Option<Identity> {
    let certificate = Reader(certificate).expect(SEQUENCE)?;
    let mut tbs = Reader(Reader(certificate).expect(SEQUENCE)?);
    tbs.skip_if(&[CONTEXT_0]);
    let mut identity = Identity {
        serial: serial(tbs.expect(INTEGER)?),
        ..Identity::default()
    };
    let _algorithm = tbs.expect(SEQUENCE)?;
    let _issuer = tbs.expect(SEQUENCE)?;
    let _validity = tbs.expect(SEQUENCE)?;
    identity.common_name = common_name(tbs.expect(SEQUENCE)?);
    let _key = tbs.expect(SEQUENCE)?;
    while let Some((tag, content)) = tbs.next() {
        if tag == CONTEXT_3 {
            alternative_names(content, &mut identity)?;
        }
    }
    Some(identity)
}

/// Serial numbers on a revocation list.
pub(super) fn revoked(list: &[u8]) -> Option<Vec<Vec<u8>>> {
    let list = Reader(list).expect(SEQUENCE)?;
    let mut tbs = Reader(Reader(list).expect(SEQUENCE)?);
    tbs.skip_if(&[INTEGER]);
    let _algorithm = tbs.expect(SEQUENCE)?;
    let _issuer = tbs.expect(SEQUENCE)?;
    // This update, and perhaps the next.
    tbs.skip_if(&[UTC_TIME, GENERALIZED_TIME]);
    tbs.skip_if(&[UTC_TIME, GENERALIZED_TIME]);
    let mut serials = Vec::new();
    // Left out when none is revoked.
    let Some(entries) = tbs.expect(SEQUENCE) else {
        return Some(serials);
    };
    let mut entries = Reader(entries);
    while let Some((_, entry)) = entries.next() {
        serials.push(serial(Reader(entry).expect(INTEGER)?));
    }
    Some(serials)
}

fn serial(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|&b| b == 0).collect()
}

/// The last common name, as Go takes it.
fn common_name(subject: &[u8]) -> Option<String> {
    let mut found = None;
    let mut sets = Reader(subject);
    while let Some(set) = sets.expect(SET) {
        let mut attributes = Reader(set);
        while let Some(attribute) = attributes.expect(SEQUENCE) {
            let mut attribute = Reader(attribute);
            if attribute.expect(OBJECT)? == COMMON_NAME {
                let (_, text) = attribute.next()?;
                found = String::from_utf8(text.to_vec()).ok();
            }
        }
    }
    found
}

fn alternative_names(extensions: &[u8], identity: &mut Identity) -> Option<()> {
    let mut extensions = Reader(Reader(extensions).expect(SEQUENCE)?);
    while let Some(extension) = extensions.expect(SEQUENCE) {
        let mut extension = Reader(extension);
        if extension.expect(OBJECT)? != SUBJECT_ALT_NAME {
            continue;
        }
        // Whether it is critical may stand in between.
        let mut value = extension.next()?;
        if value.0 != OCTET_STRING {
            value = extension.next()?;
        }
        let mut names = Reader(Reader(value.1).expect(SEQUENCE)?);
        while let Some((tag, name)) = names.next() {
            match tag {
                DNS_NAME => identity
                    .names
                    .push(String::from_utf8_lossy(name).into_owned()),
                IP_ADDRESS => identity.addresses.push(address(name)?),
                _ => {}
            }
        }
    }
    Some(())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|b| IpAddr::V4(Ipv4Addr::from(b)));
    let v6 = || <[u8; 16]>::try_from(bytes).map(|b| IpAddr::V6(Ipv6Addr::from(b)));
    v4.or_else(|_| v6()).ok()
}
