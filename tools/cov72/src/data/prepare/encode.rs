//! Documents to tokens on several threads, in order whatever their number.
//!
//! One thread reads bundles of pieces and deals them out in turn, as many threads as asked for
//! encode, and the caller takes the bundles back in the same turn. Channels hold two bundles each,
//! so that memory goes with the number of threads and not with the data.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::Tokenizer;

use super::super::documents::{Counts, Cursor, Documents, Piece};
use super::super::inputs::Input;
use crate::failure::Failure;

/// Text in a bundle: enough to make handing it over cheap.
const BUNDLE_BYTES: usize = 1 << 18;
/// Pieces in a bundle: rows may be empty.
const BUNDLE_PIECES: usize = 1 << 12;
/// Bundles that wait before and behind each thread.
const WAITING: usize = 2;

/// A piece as tokens.
pub(super) struct Encoded {
    pub(super) cursor: Cursor,
    /// Its tokens, and the end of the document where it ends one.
    pub(super) tokens: Vec<u32>,
    pub(super) begins: bool,
    pub(super) counts: Counts,
    pub(super) read_bytes: u64,
}

/// Some pieces, and the error that came behind them; neither at the end.
struct Bundle<T> {
    pieces: Vec<T>,
    failed: Option<Failure>,
}

/// Encodes all documents with `threads` threads and gives them to `write` in order.
///
/// # Errors
/// The first error in order, of reading, encoding or writing.
pub(super) fn each_encoded(
    mut documents: Documents,
    inputs: &[Input],
    tokenizer: &Tokenizer,
    threads: usize,
    mut write: impl FnMut(Encoded) -> Result<(), Failure>,
) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let (mut to_encode, mut encoded) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (bundles, from_reader) = sync_channel(WAITING);
            let (done, to_writer) = sync_channel(WAITING);
            scope.spawn(move || encode_all(&from_reader, &done, tokenizer, inputs));
            to_encode.push(bundles);
            encoded.push(to_writer);
        }
        scope.spawn(move || deal(&mut documents, &to_encode));
        // A turn without a bundle is behind the last one.
        for turn in encoded.iter().cycle() {
            let Ok(bundle) = turn.recv() else { break };
            bundle.pieces.into_iter().try_for_each(&mut write)?;
            bundle.failed.map_or(Ok(()), Err)?;
        }
        // Who still sends finds nobody, and ends.
        drop(encoded);
        Ok(())
    })
}

fn deal(documents: &mut Documents, to_encode: &[SyncSender<Bundle<Piece>>]) {
    for turn in to_encode.iter().cycle() {
        let bundle = next_bundle(documents);
        let is_last = bundle.failed.is_some() || bundle.pieces.is_empty();
        if turn.send(bundle).is_err() || is_last {
            return;
        }
    }
}

fn next_bundle(documents: &mut Documents) -> Bundle<Piece> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while bytes < BUNDLE_BYTES && pieces.len() < BUNDLE_PIECES {
        match documents.next() {
            Ok(Some(piece)) => {
                bytes += piece.text.len();
                pieces.push(piece);
            }
            Ok(None) => break,
            Err(failure) => return Bundle { pieces, failed: Some(failure) },
        }
    }
    Bundle { pieces, failed: None }
}

fn encode_all(
    from: &Receiver<Bundle<Piece>>,
    to: &SyncSender<Bundle<Encoded>>,
    tokenizer: &Tokenizer,
    inputs: &[Input],
) {
    for Bundle { pieces, mut failed } in from {
        let mut encoded = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match encode(piece, tokenizer, inputs) {
                Ok(piece) => encoded.push(piece),
                // What stopped reading lies behind this.
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        if to.send(Bundle { pieces: encoded, failed }).is_err() {
            return;
        }
    }
}

fn encode(piece: Piece, tokenizer: &Tokenizer, inputs: &[Input]) -> Result<Encoded, Failure> {
    let Piece { cursor, text, begins, ends, counts, read_bytes, place } = piece;
    let mut tokens = Vec::new();
    tokenizer.encode(&text, &mut tokens).map_err(|error| {
        let path = inputs[cursor.input].path.display();
        Failure::precondition(match place {
            Some(place) => format!("{path}: {place}: {error}"),
            None => format!("{path}: {}", error.offset_by(cursor.offset)),
        })
    })?;
    if ends {
        tokens.push(tokenizer.eos());
    }
    Ok(Encoded { cursor, tokens, begins, counts, read_bytes })
}
