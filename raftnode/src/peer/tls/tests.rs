use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};

use super::der;

fn certificate() -> Vec<u8> {
    let sans = ["a.example", "*.b.example", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(sans.to_vec()).unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "o");
    params
        .distinguished_name
        .push(DnType::CommonName, "the name");
    params.serial_number = Some(SerialNumber::from(0x80_u64));
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn a_certificate_says_whose_it_is() {
    let identity = der::identity(&certificate()).unwrap();
    assert_eq!(identity.serial, [0x80]);
    assert_eq!(identity.common_name.as_deref(), Some("the name"));
    assert_eq!(identity.names, ["a.example", "*.b.example"]);
    let addresses: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    assert_eq!(identity.addresses, addresses);
    for host in ["A.example", "a.example.", "x.b.example", "127.0.0.1", "::1"] {
        assert!(identity.is_valid_for(host), "{host}");
    }
    for host in ["b.example", "x.y.b.example", "x.a.example", "127.0.0.2", ""] {
        assert!(!identity.is_valid_for(host), "{host}");
    }
}

#[test]
fn bytes_that_are_no_certificate_or_list_never_panic() {
    let good = certificate();
    for end in 0..good.len() {
        assert!(der::identity(&good[..end]).is_none());
        drop(der::revoked(&good[..end]));
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        drop(der::identity(&bad));
        drop(der::revoked(&bad));
    }
}
