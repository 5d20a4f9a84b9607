//! What the process finds around it, gathered in one place so that parsing stays a pure function.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Environment variables and the host's own address.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Variables whose name and value are UTF-8.
    pub variables: Vec<(String, String)>,
    /// Address of the interface that the default route uses.
    pub default_host: Option<IpAddr>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            default_host: default_host(),
        }
    }
}

/// The source address the kernel picks for a destination behind the default route.
///
/// Connecting a UDP socket sends nothing; the address is one reserved for documentation.
fn default_host() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    if ip.is_unspecified() || ip.is_loopback() {
        None
    } else {
        Some(ip)
    }
}
