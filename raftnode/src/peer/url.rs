//! The URLs of members, and which of them is tried next.
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::PeerError;

/// How a member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// A Unix socket.
    Unix,
    /// TLS over a Unix socket.
    Unixs,
}

/// A member's URL: scheme and address, never a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl {
    scheme: Scheme,
    /// Host and port; the socket's path for Unix sockets.
    authority: String,
    text: String,
}

impl PeerUrl {
    /// Reads one URL by the rules of etcd's `types.NewURLs`.
    pub fn parse(text: &str) -> Result<Self, PeerError> {
        let text = text.trim();
        let error = |what| PeerError::Url {
            url: text.to_owned(),
            what,
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| error("it has no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return Err(error("the scheme must be http, https, unix, or unixs")),
        };
        if matches!(scheme, Scheme::Http | Scheme::Https) {
            if rest.contains(['/', '?', '#', '@']) {
                return Err(error("it must not contain a path, query or user"));
            }
            split_host_port(rest).ok_or_else(|| error("the address must be host:port"))?;
        } else if rest.is_empty() {
            return Err(error("it names no socket"));
        }
        // What goes into a header must be able to.
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(error("it contains what a URL cannot"));
        }
        Ok(Self {
            scheme,
            authority: rest.to_owned(),
            text: text.to_owned(),
        })
    }

    /// Reads several, of which there must be one.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, PeerError> {
        if texts.is_empty() {
            return Err(PeerError::NoUrls);
        }
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// How the member is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether there is TLS on the way.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Unixs)
    }

    /// What stands in the Host header: host and port, or a socket's path.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without brackets, and the port.
    pub(crate) fn host_port(&self) -> Option<(&str, u16)> {
        split_host_port(&self.authority)
    }

    /// The socket of a Unix URL.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        matches!(self.scheme, Scheme::Unix | Scheme::Unixs).then(|| PathBuf::from(&self.authority))
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Takes `host:port` and `[host]:port` apart.
fn split_host_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if host.is_empty() || !digits {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// The URLs of one member, shared by everything that dials it: who fails moves all on to the next.
#[derive(Clone, Debug)]
pub(crate) struct UrlPicker {
    urls: Arc<Mutex<Picked>>,
}

#[derive(Debug)]
struct Picked {
    /// Not empty.
    urls: Vec<PeerUrl>,
    at: usize,
}

impl UrlPicker {
    /// Picks from `urls`; `None` when there are none.
    pub(crate) fn new(urls: Vec<PeerUrl>) -> Option<Self> {
        (!urls.is_empty()).then(|| Self {
            urls: Arc::new(Mutex::new(Picked { urls, at: 0 })),
        })
    }

    /// Other URLs from now on.
    pub(crate) fn update(&self, urls: Vec<PeerUrl>) {
        if !urls.is_empty() {
            *self.urls.lock() = Picked { urls, at: 0 };
        }
    }

    /// The URL to try.
    pub(crate) fn pick(&self) -> PeerUrl {
        let picked = self.urls.lock();
        picked.urls[picked.at].clone()
    }

    /// Moves on from `url`, unless somebody else has.
    pub(crate) fn unreachable(&self, url: &PeerUrl) {
        let mut picked = self.urls.lock();
        if picked.urls[picked.at] == *url {
            picked.at = (picked.at + 1) % picked.urls.len();
        }
    }
}

#[cfg(test)]
mod tests;
