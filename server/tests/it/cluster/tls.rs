//! Members that speak TLS to each other, of both kinds.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use super::group::{Group, etcd, varve, wait_for};
use crate::harness::skipped;

/// Makes an authority and a certificate for these addresses in `dir`; the flags that name them.
fn certificates(dir: &Path, addresses: &[IpAddr]) -> Vec<String> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ca = write("ca.pem", authority.pem());
    let cert = write("peer.pem", certificate.pem());
    let key = write("peer-key.pem", key.serialize_pem());
    vec![
        format!("--peer-trusted-ca-file={ca}"),
        format!("--peer-cert-file={cert}"),
        format!("--peer-key-file={key}"),
        "--peer-client-cert-auth=true".to_owned(),
    ]
}

#[test]
fn members_of_both_kinds_reach_each_other_over_tls_and_others_do_not() {
    let group = etcd().and_then(|etcd| Group::new(vec![varve("3.5"), etcd, varve("3.5")]));
    let mut group = match group {
        Ok(group) => group,
        Err(reason) => return skipped("members_of_both_kinds_reach_each_other_over_tls", &reason),
    };
    let mut addresses: Vec<IpAddr> = group.seats.iter().map(|s| s.address.into()).collect();
    // Where all of them connect from, which a certificate must be good for.
    addresses.push(Ipv4Addr::LOCALHOST.into());
    group.flags = certificates(group.dir.path(), &addresses);
    for seat in &mut group.seats {
        seat.secure = true;
    }
    group.start_all();
    for seat in 0..3 {
        assert_eq!(
            group.ctl(&[seat], &["put", &format!("k{seat}"), "v"]),
            "OK\n"
        );
    }
    group.equal_hashes();

    // One with a certificate of another authority, and one with none, are not listened to.
    let url = group.seats[0].peer_url();
    let stranger = group.add_seat(varve("3.5"));
    group.seats[stranger].secure = true;
    let elsewhere = group.dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    group.flags = certificates(&elsewhere, &addresses);
    let own = group.initial_cluster(&[stranger]);
    group.start_with(stranger, &format!("{own},m0={url}"), "existing");
    assert!(!group.seats[stranger].wait_end().success());
    wait_for("a rejection", || {
        let output = group.seats[0].output();
        output
            .contains("rejected connection on peer endpoint")
            .then_some(())
    });
    assert_eq!(group.ctl(&[0, 1, 2], &["put", "still", "there"]), "OK\n");
    group.assert_no_damage();
}
