//! What came with a request besides its message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::{Method, RpcError, Status};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; none for transports without addresses.
    pub address: Option<SocketAddr>,
    /// Common name of the certificate it showed.
    pub common_name: Option<Arc<str>>,
}

/// A request's metadata, deadline and origin.
///
/// The headers are kept as they came and looked into when asked: most calls never are.
#[derive(Debug, Clone)]
pub struct RequestCtx {
    /// What is called.
    pub method: Method,
    /// All metadata.
    pub headers: HeaderMap,
    /// When the client stops waiting. Enforced by the caller of the handler.
    pub deadline: Option<Instant>,
    /// Who called.
    pub peer: Peer,
}

impl RequestCtx {
    /// The auth token: metadata `token`, else `authorization`, without `Bearer `.
    pub fn token(&self) -> Option<&str> {
        let value = self
            .headers
            .get("token")
            .or_else(|| self.headers.get("authorization"))?;
        // A token that is no text is none that anybody was given; it must fail, not vanish.
        let token = value.to_str().unwrap_or("\u{fffd}");
        Some(token.strip_prefix("Bearer ").unwrap_or(token))
    }

    /// Whether the client wants to be refused while there is no leader.
    pub fn requires_leader(&self) -> bool {
        self.headers
            .get("hasleader")
            .is_some_and(|value| value == "true")
    }

    /// The client library's version, `unknown` when it does not say.
    pub fn client_api_version(&self) -> Result<&str, RpcError> {
        match self.headers.get("client-api-version") {
            None => Ok("unknown"),
            Some(value) => {
                std::str::from_utf8(value.as_bytes()).map_err(|_| RpcError::InvalidClientApiVersion)
            }
        }
    }
}

/// Reads `grpc-timeout`: at most eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    parse_timeout(text)
        .map(Some)
        .map_err(|what| Status::internal(format!("malformed grpc-timeout: {what}")))
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    if text.len() < 2 {
        return Err(format!("transport: timeout string is too short: {text:?}"));
    }
    if text.len() > 9 {
        return Err(format!("transport: timeout string is too long: {text:?}"));
    }
    let (digits, unit) = text.split_at_checked(text.len() - 1).unwrap_or((text, ""));
    let unit: fn(u64) -> Duration = match unit {
        "H" => Duration::from_hours,
        "M" => Duration::from_mins,
        "S" => Duration::from_secs,
        "m" => Duration::from_millis,
        "u" => Duration::from_micros,
        "n" => Duration::from_nanos,
        _ => {
            return Err(format!(
                "transport: timeout unit is not recognized: {text:?}"
            ));
        }
    };
    // Eight digits: no unit overflows.
    if digits.bytes().all(|digit| digit.is_ascii_digit())
        && let Ok(number) = digits.parse()
    {
        return Ok(unit(number));
    }
    Err(format!(
        "strconv.ParseUint: parsing {digits:?}: invalid syntax"
    ))
}

#[cfg(test)]
mod tests;
