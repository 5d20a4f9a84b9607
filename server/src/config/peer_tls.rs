//! The `--peer-*` flags about certificates.

use std::path::PathBuf;

use varve_raftnode::TlsFiles;

use super::error::ConfigError;
use super::flags::Flags;
use super::url::{Scheme, Url};

/// Reads the flags. `None` when no certificate is named.
pub(super) fn read(flags: &Flags) -> Result<Option<TlsFiles>, ConfigError> {
    let path = |flag: &Option<String>| {
        flag.as_deref()
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let (cert, key) = match (path(&flags.peer_cert_file), path(&flags.peer_key_file)) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return Ok(None),
        (cert, key) => {
            return Err(invalid(format!(
                "KeyFile and CertFile must both be present[key: {}, cert: {}]",
                key.unwrap_or_default().display(),
                cert.unwrap_or_default().display()
            )));
        }
    };
    let client = match (
        path(&flags.peer_client_cert_file),
        path(&flags.peer_client_key_file),
    ) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((cert, key)),
        _ => {
            return Err(invalid(
                "--peer-client-cert-file and --peer-client-key-file must both be present"
                    .to_owned(),
            ));
        }
    };
    let allowed_cns = names(flags.peer_cert_allowed_cn.as_deref());
    let allowed_hostnames = names(flags.peer_cert_allowed_hostname.as_deref());
    if !allowed_cns.is_empty() && !allowed_hostnames.is_empty() {
        return Err(invalid(format!(
            "AllowedCN and AllowedHostname are mutually exclusive (cn={}, hostname={})",
            allowed_cns.join(","),
            allowed_hostnames.join(",")
        )));
    }
    Ok(Some(TlsFiles {
        cert,
        key,
        client,
        trusted_ca: path(&flags.peer_trusted_ca_file),
        client_cert_auth: flags.peer_client_cert_auth.unwrap_or(false),
        crl: path(&flags.peer_crl_file),
        allowed_cns,
        allowed_hostnames,
        skip_client_san_verification: flags.peer_skip_client_san_verification.unwrap_or(false),
        skip_server_verification: false,
    }))
}

/// A listener with https needs a certificate.
pub(super) fn check(listen: &[Url], tls: Option<&TlsFiles>) -> Result<(), ConfigError> {
    match listen.iter().find(|url| url.scheme() == Scheme::Https) {
        Some(url) if tls.is_none() => Err(invalid(format!(
            "cannot listen on TLS for {url}: KeyFile and CertFile are not presented"
        ))),
        _ => Ok(()),
    }
}

fn names(list: Option<&str>) -> Vec<String> {
    list.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn invalid(text: String) -> ConfigError {
    ConfigError::Invalid(text)
}
