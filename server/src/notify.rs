//! Tells systemd that the member serves: `READY=1` to the socket named in `NOTIFY_SOCKET`.
//!
//! Called once by the start-up code. The protocol is a datagram on a unix socket (sd_notify(3));
//! a leading `@` names a socket in the abstract namespace.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `state` to the service manager, if there is one.
///
/// # Errors
/// The socket is named but cannot be reached; the member serves nevertheless.
pub fn notify(socket: Option<&OsStr>, state: &str) -> io::Result<bool> {
    let Some(name) = socket.filter(|name| !name.is_empty()) else {
        return Ok(false);
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn the_state_reaches_a_socket_with_a_path_and_one_without() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        assert!(notify(Some(path.as_os_str()), "READY=1").unwrap());
        assert_eq!(received(&socket), "READY=1");

        let name = format!("varve-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        assert!(notify(Some(OsStr::new(&format!("@{name}"))), "STOPPING=1").unwrap());
        assert_eq!(received(&socket), "STOPPING=1");
    }

    #[test]
    fn without_a_service_manager_nothing_is_sent_and_a_missing_socket_is_an_error() {
        assert!(!notify(None, "READY=1").unwrap());
        assert!(!notify(Some(OsStr::new("")), "READY=1").unwrap());
        assert!(notify(Some(OsStr::new("/nonexistent/notify")), "READY=1").is_err());
    }
}
