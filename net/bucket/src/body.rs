//! What a put puts: bytes in memory, or a large object that lies elsewhere and is read in pieces.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use wire::{Joined, ReadAt};

use crate::download::RANGE_BYTES;
use crate::{Spooled, spool};

/// The bytes of an object to put. Clones are the same bytes.
#[derive(Clone)]
pub struct Body(Lies);

#[derive(Clone)]
enum Lies {
    InMemory(Bytes),
    Elsewhere(Arc<dyn ReadAt>),
}

impl Body {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Lies::InMemory(bytes) => bytes.len() as u64,
            Lies::Elsewhere(source) => source.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of the bytes.
    pub(crate) async fn slice(&self, range: Range<u64>) -> io::Result<Bytes> {
        match &self.0 {
            Lies::InMemory(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Lies::Elsewhere(source) => {
                let (source, bytes) = (source.clone(), range.end - range.start);
                let read = move || {
                    let mut piece = vec![0; bytes as usize];
                    source.read_at(range.start, &mut piece).map(|()| piece.into())
                };
                spool::aside(bytes > RANGE_BYTES, read).await
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Lies::InMemory(bytes))
    }
}

impl From<Spooled> for Body {
    fn from(spooled: Spooled) -> Self {
        Self(Lies::Elsewhere(Arc::new(spooled)))
    }
}

impl From<Joined<Spooled>> for Body {
    fn from(joined: Joined<Spooled>) -> Self {
        Self(Lies::Elsewhere(Arc::new(joined)))
    }
}
