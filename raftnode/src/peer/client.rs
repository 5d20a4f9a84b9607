//! Requests to other members.
//!
//! Used by the pipeline, the prober and the stream readers of this module, each with a connection of its
//! own, and by the server for the small endpoints of the peer URL. Runs on tokio tasks.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::config::PeerTimings;
use super::deadline::DeadlineIo;
use super::dial::{Io, dial};
use super::error::PeerError;
use super::handler::{PeerBody, full};
use super::tls::PeerTls;
use super::url::PeerUrl;

/// Most bytes of an answer; the longest are lists of members.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How long each piece of a refusal's text is waited for.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(500);

/// A connection that hyper drives.
pub(crate) type Driver = Connection<TokioIo<DeadlineIo<Box<dyn Io>>>, PeerBody>;

/// Sends single requests to members.
#[derive(Clone, Debug)]
pub struct PeerClient {
    tls: Option<PeerTls>,
    timings: PeerTimings,
}

impl PeerClient {
    /// A client that uses `tls` for https URLs.
    pub fn new(tls: Option<PeerTls>, timings: PeerTimings) -> Self {
        Self { tls, timings }
    }

    pub(crate) fn timings(&self) -> &PeerTimings {
        &self.timings
    }

    /// Sends a request to the first of `urls` that answers at all, and gives that answer, whatever its
    /// status. `request` has the path alone as its URI; Host is filled in. `timeout` is for each URL.
    ///
    /// Errors: the last URL's, when none answers.
    pub async fn request(
        &self,
        urls: &[String],
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, PeerError> {
        let mut last = PeerError::NoUrls;
        for url in urls {
            let url = match PeerUrl::parse(url) {
                Ok(url) => url,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let attempt = self.request_one(&url, request.clone().map(full));
            match tokio::time::timeout(timeout, attempt).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => last = error,
                Err(_) => last = timed_out(&url, timeout),
            }
        }
        Err(last)
    }

    async fn request_one(
        &self,
        url: &PeerUrl,
        request: Request<PeerBody>,
    ) -> Result<Response<Bytes>, PeerError> {
        let mut link = self.open(url).await?;
        link.exchange(request).await
    }

    /// Connects, for streams: reads and writes are limited.
    pub(crate) async fn open_stream(
        &self,
        url: &PeerUrl,
    ) -> Result<(SendRequest<PeerBody>, Driver), PeerError> {
        let io = dial(url, self.tls.as_ref(), self.timings.dial).await?;
        let io = DeadlineIo::new(io, Some(self.timings.read), Some(self.timings.write));
        handshake(url, io).await
    }

    /// Connects, for requests one after the other: an answer is waited for as long as a read may take,
    /// counted from the request's last byte.
    pub(crate) async fn open(&self, url: &PeerUrl) -> Result<Link, PeerError> {
        self.open_with(url, self.timings.read).await
    }

    /// The same with a time of its own for answers.
    pub(crate) async fn open_with(
        &self,
        url: &PeerUrl,
        answer: Duration,
    ) -> Result<Link, PeerError> {
        let io = dial(url, self.tls.as_ref(), self.timings.dial).await?;
        let io = DeadlineIo::new(io, Some(answer), Some(self.timings.write)).while_writing();
        let (sender, driver) = handshake(url, io).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a peer ended");
            }
        });
        Ok(Link {
            url: url.clone(),
            sender,
            driver,
            last_used: Instant::now(),
        })
    }
}

async fn handshake(
    url: &PeerUrl,
    io: DeadlineIo<Box<dyn Io>>,
) -> Result<(SendRequest<PeerBody>, Driver), PeerError> {
    http1::handshake(TokioIo::new(io))
        .await
        .map_err(|source| failed(url, source))
}

pub(crate) fn failed(url: &PeerUrl, source: hyper::Error) -> PeerError {
    PeerError::Http {
        url: url.to_string(),
        source,
    }
}

fn timed_out(url: &PeerUrl, timeout: Duration) -> PeerError {
    PeerError::Timeout {
        url: url.to_string(),
        seconds: timeout.as_secs(),
    }
}

/// Fills in the Host header, and the path where there is none.
pub(crate) fn address<B>(url: &PeerUrl, request: &mut Request<B>) {
    if request.uri().path().is_empty() {
        *request.uri_mut() = Uri::from_static("/");
    }
    if let Ok(host) = header::HeaderValue::from_str(url.authority()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// A connection for requests one after the other.
#[derive(Debug)]
pub(crate) struct Link {
    url: PeerUrl,
    sender: SendRequest<PeerBody>,
    driver: JoinHandle<()>,
    last_used: Instant,
}

impl Link {
    /// Whether another request may go this way: the peer has not closed it, and will not just now.
    pub(crate) fn is_fresh(&self, url: &PeerUrl, timings: &PeerTimings) -> bool {
        self.url == *url
            && !self.sender.is_closed()
            && self.sender.is_ready()
            && self.last_used.elapsed() < timings.reuse()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn exchange(
        &mut self,
        mut request: Request<PeerBody>,
    ) -> Result<Response<Bytes>, PeerError> {
        address(&self.url, &mut request);
        let url = self.url.clone();
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(|source| failed(&url, source))?;
        let response = read_answer(&url, response).await?;
        self.last_used = Instant::now();
        Ok(response)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Reads an answer's body. Of a refusal, as much as comes soon: etcd 3.6 leaves the connection hanging
/// after some of them.
pub(crate) async fn read_answer(
    url: &PeerUrl,
    response: Response<Incoming>,
) -> Result<Response<Bytes>, PeerError> {
    let (parts, mut incoming) = response.into_parts();
    let refused = !parts.status.is_success();
    let mut body = BytesMut::new();
    loop {
        let frame = if refused {
            let soon = tokio::time::timeout(REFUSAL_PATIENCE, incoming.frame()).await;
            soon.unwrap_or(None)
        } else {
            incoming.frame().await
        };
        match frame {
            None => break,
            Some(Ok(frame)) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(_)) if refused => break,
            Some(Err(source)) => return Err(failed(url, source)),
        }
        if body.len() > MAX_ANSWER_BYTES {
            return Err(PeerError::Status {
                url: url.to_string(),
                status: parts.status,
                body: format!("more than {MAX_ANSWER_BYTES} bytes"),
            });
        }
    }
    Ok(Response::from_parts(parts, body.freeze()))
}
