//! TLS between members: with certificates of one authority, and what is refused.
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use tempfile::TempDir;
use varve_proto::raftpb::MessageType;
use varve_raftnode::{TlsFiles, Transport as _};

use super::member::{Member, Options, Report, eventually, message, within};

const A: u64 = 0xa1;
const B: u64 = 0xb2;

/// An authority, and the files it hands out.
struct Authority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate says.
struct Subject {
    name: &'static str,
    sans: Vec<&'static str>,
    serial: u64,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // As strong as what etcd makes for itself.
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn issue(&self, file: &str, subject: &Subject) -> TlsFiles {
        let sans: Vec<String> = subject.sans.iter().map(|&s| s.to_owned()).collect();
        let mut params = CertificateParams::new(sans).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, subject.name);
        params.serial_number = Some(SerialNumber::from(subject.serial));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, key_file) = (
            self.path(&format!("{file}.crt")),
            self.path(&format!("{file}.key")),
        );
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        TlsFiles {
            cert,
            key: key_file,
            trusted_ca: Some(self.path("ca.pem")),
            client_cert_auth: true,
            ..TlsFiles::default()
        }
    }

    fn revoke(&self, serial: u64, der: bool) -> PathBuf {
        let now = rcgen::date_time_ymd(2026, 1, 1);
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: now,
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap();
        let path = self.path("revoked");
        if der {
            std::fs::write(&path, list.der()).unwrap();
        } else {
            std::fs::write(&path, list.pem().unwrap()).unwrap();
        }
        path
    }
}

fn local(name: &'static str, serial: u64) -> Subject {
    Subject {
        name,
        sans: vec!["127.0.0.1"],
        serial,
    }
}

async fn member(id: u64, files: TlsFiles) -> Member {
    Member::with(Options {
        tls: Some(files),
        ..Options::new(id)
    })
    .await
}

/// Whether a message that A sends gets to B, or else A finds that it does not.
async fn passes(a: &mut Member, b: &mut Member) -> bool {
    a.peers
        .add_peer(b.id, std::slice::from_ref(&b.url))
        .unwrap();
    while a.reports.try_recv().is_ok() {}
    a.peers
        .send(vec![message(MessageType::MsgVote, a.id, b.id)]);
    let ended = within(async {
        tokio::select! {
            received = b.received.recv() => received.is_some(),
            report = a.reports.recv() => report != Some(Report::Unreachable(b.id)),
        }
    });
    let passed = ended.await;
    a.peers.remove_peer(b.id);
    passed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_certificates_of_one_authority_talk() {
    let authority = Authority::new();
    let a = member(A, authority.issue("a", &local("a", 1))).await;
    let mut b = member(B, authority.issue("b", &local("b", 2))).await;
    a.add(&b);
    b.add(&a);
    a.has_streams_to(B).await;
    b.has_streams_to(A).await;
    let sent = message(MessageType::MsgVote, A, B);
    a.peers.send(vec![sent.clone()]);
    assert_eq!(b.message().await, sent);
    // Whoever dials again takes the certificate that is there then.
    std::fs::write(authority.path("a.crt"), "renewing").unwrap();
    a.peers.remove_peer(B);
    let before = b.requested("GET");
    let renewed = authority.issue("a", &local("a", 3));
    assert_eq!(renewed.cert, authority.path("a.crt"));
    a.add(&b);
    eventually("streams again", || b.requested("GET") > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut b = member(B, authority.issue("b", &local("b", 2))).await;
    let good = authority.issue("a", &local("a", 1));
    assert!(passes(&mut member(A, good.clone()).await, &mut b).await);

    let of_other = TlsFiles {
        trusted_ca: good.trusted_ca.clone(),
        ..other.issue("a", &local("a", 1))
    };
    assert!(
        !passes(&mut member(A, of_other).await, &mut b).await,
        "another authority's certificate"
    );
    let trusts_other = TlsFiles {
        trusted_ca: Some(other.path("ca.pem")),
        ..good.clone()
    };
    assert!(
        !passes(&mut member(A, trusts_other.clone()).await, &mut b).await,
        "a server not trusted"
    );
    let trusts_all = TlsFiles {
        skip_server_verification: true,
        ..trusts_other
    };
    assert!(
        passes(&mut member(A, trusts_all).await, &mut b).await,
        "unless that is not looked at"
    );
    let plain = Member::start(A).await;
    let mut plain = plain;
    assert!(!passes(&mut plain, &mut b).await, "no TLS at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_connect_can_be_narrowed() {
    let authority = Authority::new();
    let good = authority.issue("a", &local("a", 0x0102_0304));
    let server = authority.issue("b", &local("b", 2));
    let elsewhere = authority.issue(
        "e",
        &Subject {
            sans: vec!["127.0.0.1", "e.example"],
            ..local("e", 5)
        },
    );
    let away = authority.issue(
        "w",
        &Subject {
            sans: vec!["192.0.2.1"],
            ..local("w", 6)
        },
    );
    let named = authority.issue(
        "n",
        &Subject {
            sans: vec!["localhost"],
            ..local("n", 7)
        },
    );
    let misnamed = authority.issue(
        "m",
        &Subject {
            sans: vec!["no.invalid"],
            ..local("m", 8)
        },
    );
    let check = async |server: TlsFiles, client: &TlsFiles| {
        let mut b = member(B, server).await;
        passes(&mut member(A, client.clone()).await, &mut b).await
    };
    let names = |cns: &[&str], hosts: &[&str]| TlsFiles {
        allowed_cns: cns.iter().map(|&n| n.to_owned()).collect(),
        allowed_hostnames: hosts.iter().map(|&n| n.to_owned()).collect(),
        ..server.clone()
    };
    assert!(check(names(&["x", "a"], &[]), &good).await);
    assert!(!check(names(&["x"], &[]), &good).await);
    assert!(check(names(&[], &["E.example"]), &elsewhere).await);
    assert!(!check(names(&[], &["e.example"]), &good).await);
    assert!(names(&["a"], &["b"]).server().is_err());

    assert!(
        !check(server.clone(), &away).await,
        "a certificate for another address"
    );
    let lenient = TlsFiles {
        skip_client_san_verification: true,
        ..server.clone()
    };
    assert!(check(lenient, &away).await);
    assert!(
        check(server.clone(), &named).await,
        "a name that resolves to where it comes from"
    );
    assert!(
        !check(server.clone(), &misnamed).await,
        "a name that does not"
    );

    for der in [false, true] {
        let crl = Some(authority.revoke(0x0102_0304, der));
        let revoking = TlsFiles {
            crl,
            ..server.clone()
        };
        assert!(
            !check(revoking.clone(), &good).await,
            "a revoked certificate"
        );
        assert!(check(revoking, &elsewhere).await);
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let authority = Authority::new();
    let good = authority.issue("a", &local("a", 1));
    let other = authority.issue("b", &local("b", 2));
    let names = |files: TlsFiles, path: &Path| {
        for error in [files.client().err(), files.server().err()]
            .into_iter()
            .flatten()
        {
            let text = error.to_string();
            assert!(text.contains(path.to_str().unwrap()), "{text}");
        }
        assert!(files.server().is_err());
    };
    let missing = authority.path("missing");
    names(
        TlsFiles {
            cert: missing.clone(),
            ..good.clone()
        },
        &missing,
    );
    names(
        TlsFiles {
            key: missing.clone(),
            ..good.clone()
        },
        &missing,
    );
    names(
        TlsFiles {
            trusted_ca: Some(missing.clone()),
            ..good.clone()
        },
        &missing,
    );
    let empty = authority.path("empty");
    std::fs::write(&empty, "").unwrap();
    names(
        TlsFiles {
            cert: empty.clone(),
            ..good.clone()
        },
        &empty,
    );
    names(
        TlsFiles {
            key: empty.clone(),
            ..good.clone()
        },
        &empty,
    );
    let of_other = TlsFiles {
        key: other.key.clone(),
        ..good.clone()
    };
    names(of_other, &other.key);
}
