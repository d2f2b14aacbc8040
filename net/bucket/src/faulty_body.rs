//! Bodies that come slowly, end early or are not what was stored.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetResult, GetResultPayload, Result};

use crate::fault_plan::Fault;

/// Pieces in which a slow body comes.
const DRIP_BYTES: usize = 1 << 10;

/// The object with those of `faults` that concern its body.
pub(crate) fn of(object: GetResult, faults: &[Fault]) -> GetResult {
    let concerns = |fault: &Fault| {
        matches!(fault, Fault::SlowDrip { .. } | Fault::TruncatedBody {} | Fault::WrongBytes {})
    };
    if !faults.iter().any(concerns) {
        return object;
    }
    let (meta, range) = (object.meta.clone(), object.range.clone());
    let (attributes, extensions) = (object.attributes.clone(), object.extensions.clone());
    let bytes = (range.end - range.start) as usize;
    let mut body = object.into_stream();
    for fault in faults {
        body = match fault {
            Fault::SlowDrip { bytes_per_s } => drip(body, *bytes_per_s),
            Fault::TruncatedBody {} => cut(body, bytes / 2),
            Fault::WrongBytes {} => turn_a_bit(body, bytes / 3),
            _ => body,
        };
    }
    GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes, extensions }
}

type Body = BoxStream<'static, Result<Bytes>>;

fn drip(body: Body, bytes_per_s: u64) -> Body {
    let pieces = body.flat_map(|piece| {
        futures::stream::iter(match piece {
            Ok(piece) => (0..piece.len())
                .step_by(DRIP_BYTES)
                .map(|at| Ok(piece.slice(at..(at + DRIP_BYTES).min(piece.len()))))
                .collect(),
            Err(error) => vec![Err(error)],
        })
    });
    let slow = pieces.then(move |piece| async move {
        let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
        let pause = Duration::from_millis(bytes * 1_000 / bytes_per_s.max(1));
        tokio::time::sleep(pause).await;
        piece
    });
    slow.boxed()
}

fn cut(body: Body, bytes: usize) -> Body {
    let some = body.scan(bytes, |left, piece| {
        let piece = piece.map(|piece| piece.slice(..piece.len().min(*left)));
        *left -= piece.as_ref().map_or(0, Bytes::len);
        let has_ended = piece.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready((!has_ended).then_some(piece))
    });
    some.boxed()
}

fn turn_a_bit(body: Body, at: usize) -> Body {
    let turned = body.scan(0, move |start, piece| {
        let piece = piece.map(|piece| {
            let inside = at.checked_sub(*start).filter(|inside| *inside < piece.len());
            *start += piece.len();
            let Some(inside) = inside else { return piece };
            let mut wrong = piece.to_vec();
            wrong[inside] ^= 0x10;
            Bytes::from(wrong)
        });
        std::future::ready(Some(piece))
    });
    turned.boxed()
}
