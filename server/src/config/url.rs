//! Listen and advertise URLs, with the rules etcd puts on them.
//!
//! A URL keeps the text of its authority: peer URLs are hashed into member ids, so they are never
//! rewritten. Lists are sorted, as etcd sorts them.

use std::fmt;
use std::net::IpAddr;

/// How a URL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Plain text over TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// Plain text over a unix socket.
    Unix,
    /// TLS over a unix socket.
    Unixs,
}

impl Scheme {
    /// The text before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Unix => "unix",
            Self::Unixs => "unixs",
        }
    }
}

/// One URL of a member: scheme, host and port, without a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
}

impl Url {
    /// Reads one URL.
    ///
    /// # Errors
    /// The text etcd's `types.NewURLs` would give.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => {
                return Err(format!(
                    "URL scheme must be http, https, unix, or unixs: {text}"
                ));
            }
        };
        if matches!(scheme, Scheme::Unix | Scheme::Unixs) {
            let authority = rest.to_owned();
            return Ok(Self {
                scheme,
                host: authority.clone(),
                authority,
                port: 0,
            });
        }
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if !path.is_empty() {
            return Err(format!("URL must not contain a path: {text}"));
        }
        let form = || format!("URL address does not have the form \"host:port\": {text}");
        let (host, port) = split_host_port(authority).ok_or_else(form)?;
        let port = port.parse::<u16>().map_err(|_| form())?;
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// Reads a comma-separated list and sorts it; an empty text is an empty list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut urls = text
            .split(',')
            .map(Self::parse)
            .collect::<Result<Vec<_>, _>>()?;
        urls.sort();
        Ok(urls)
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as given, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port (0 for unix sockets).
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same URL with another host, as the default advertise URL gets the host's address.
    #[must_use]
    pub(crate) fn with_host(&self, host: IpAddr) -> Self {
        let authority = match host {
            IpAddr::V4(v4) => format!("{v4}:{}", self.port),
            IpAddr::V6(v6) => format!("[{v6}]:{}", self.port),
        };
        Self {
            scheme: self.scheme,
            authority,
            host: host.to_string(),
            port: self.port,
        }
    }

    /// A URL to listen on must name an address of this machine, never a name to be resolved.
    pub(crate) fn check_bind(&self) -> Result<(), String> {
        let unix = matches!(self.scheme, Scheme::Unix | Scheme::Unixs);
        if unix || self.host == "localhost" || self.host.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        // Go's net.Listen takes an empty host for "every address"; etcd's check does not.
        Err(format!("expected IP in URL for binding ({self})"))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority)
    }
}

/// By text, which is the order etcd sorts a list of URLs in.
impl Ord for Url {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.scheme.as_str(), &self.authority).cmp(&(other.scheme.as_str(), &other.authority))
    }
}

impl PartialOrd for Url {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Splits `host:port` or `[v6]:port`.
pub(crate) fn split_host_port(authority: &str) -> Option<(&str, &str)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return Some((host, tail.strip_prefix(':')?));
    }
    let (host, port) = authority.rsplit_once(':')?;
    if host.contains(':') {
        None
    } else {
        Some((host, port))
    }
}

#[cfg(test)]
mod tests;
