//! A request's body, read with patience for each piece.
//!
//! The connection itself has no read deadline: the request of a stream says nothing more for as long as
//! the stream lasts, and that of a snapshot while its database is synced.
use std::fmt::Display;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// A body, and how long one piece of it may be waited for.
pub(crate) struct ReceivedBody<B> {
    body: B,
    patience: Duration,
}

impl<B> ReceivedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    pub(crate) fn new(body: B, patience: Duration) -> Self {
        Self { body, patience }
    }

    /// The next piece, `None` at the end; or why there is none.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        let frame = tokio::time::timeout(self.patience, self.body.frame()).await;
        match frame {
            Err(_) => Err(format!("nothing came for {:?}", self.patience)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        }
    }

    /// All of it, if that is at most `limit` bytes.
    pub(crate) async fn whole(mut self, limit: u64) -> Result<Bytes, String> {
        let first = self.piece().await?.unwrap_or_default();
        let Some(second) = self.piece().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > limit {
                return Err(format!("there are more than {limit} bytes"));
            }
        }
        Ok(whole.freeze())
    }
}
