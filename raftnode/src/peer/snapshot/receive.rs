//! Receiving a snapshot.
//!
//! The request's task reads the body; a thread that may block writes it, a few pieces behind.
use std::fmt::Display;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::mpsc;
use varve_proto::raftpb::{Message, MessageType};
use varve_snap::Snapshotter;

use crate::peer::codec::MessageDecoder;
use crate::peer::received::ReceivedBody;

/// Most bytes of the message before the database (etcd 3.6): metadata, and the membership as JSON.
const MAX_ENVELOPE_BYTES: u64 = 64 << 20;
/// Pieces that may wait for the disk.
const PIECES_BEHIND: usize = 8;

/// What was received, the database durable under its index.
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) database_bytes: u64,
}

/// Why nothing was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveFailure {
    /// The message before the database.
    #[error("failed to decode raft message ({reason})")]
    Envelope { reason: String },
    /// Another message.
    #[error("wrong raft message type")]
    WrongType { from: u64 },
    /// The database.
    #[error("failed to save KV snapshot ({reason})")]
    Save { from: u64, reason: String },
}

/// Reads a request's body: message, database. `began` is told of the message before the database comes.
pub(crate) async fn receive<B>(
    mut body: ReceivedBody<B>,
    snapshotter: Snapshotter,
    began: impl FnOnce(&Message, u64),
) -> Result<Received, ReceiveFailure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let (message, rest) = envelope(&mut body).await?;
    let from = message.from;
    let index = match &message.snapshot {
        Some(snapshot) if message.r#type == i32::from(MessageType::MsgSnap) => {
            snapshot.metadata.index
        }
        _ => return Err(ReceiveFailure::WrongType { from }),
    };
    began(&message, index);
    let failed = |reason: String| ReceiveFailure::Save { from, reason };

    let (pieces, received) = mpsc::channel(PIECES_BEHIND);
    let writing = tokio::task::spawn_blocking(move || save(&snapshotter, index, received));
    let forwarded = forward(&mut body, rest, &pieces).await;
    if forwarded.is_ok() {
        // Only this says that all of it came: a sender that goes away leaves nothing behind.
        drop(pieces.send(Piece::End).await);
    }
    drop(pieces);
    let written = writing.await.map_err(|e| failed(e.to_string()))?;
    forwarded.map_err(failed)?;
    let database_bytes = written.map_err(|e| failed(e.to_string()))?;
    Ok(Received {
        message,
        database_bytes,
    })
}

enum Piece {
    Data(Bytes),
    End,
}

/// The message, and what was read beyond it.
async fn envelope<B>(body: &mut ReceivedBody<B>) -> Result<(Message, Vec<Bytes>), ReceiveFailure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let failed = |reason: String| ReceiveFailure::Envelope { reason };
    let mut decoder = MessageDecoder::with_limit(MAX_ENVELOPE_BYTES);
    loop {
        let piece = body.piece().await.map_err(failed)?;
        decoder.push(piece.ok_or_else(|| failed("unexpected EOF".to_owned()))?);
        match decoder.decode_message() {
            Ok(None) => {}
            Ok(Some(message)) => return Ok((message, decoder.into_rest())),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

async fn forward<B>(
    body: &mut ReceivedBody<B>,
    rest: Vec<Bytes>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), String>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    for piece in rest {
        if pieces.send(Piece::Data(piece)).await.is_err() {
            return Ok(());
        }
    }
    while let Some(piece) = body.piece().await? {
        // The writer gave up: its error says why.
        if pieces.send(Piece::Data(piece)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes what comes; the number of bytes once all of it is durable.
fn save(
    snapshotter: &Snapshotter,
    index: u64,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<u64, varve_snap::Error> {
    let mut receiver = snapshotter.receive_db(index)?;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(piece) => receiver.write(&piece)?,
            Piece::End => {
                let len = receiver.len_bytes();
                receiver.commit()?;
                return Ok(len);
            }
        }
    }
    // Broken off; whoever reads the body says why.
    Ok(0)
}
