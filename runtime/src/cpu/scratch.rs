//! Working memory of one worker thread, kept between calls: it grows on first use only.

use std::cell::RefCell;

/// Which of a thread's working areas; two that are in use at once must differ.
#[derive(Clone, Copy)]
pub(crate) enum Area {
    /// Packed panels of a matrix product.
    Panels = 0,
    /// Scores and their gradients of one attention tile.
    Scores = 1,
}

thread_local! {
    static AREAS: [RefCell<Vec<f32>>; 2] = const { [const { RefCell::new(Vec::new()) }; 2] };
}

/// Lends `len` values of the thread's `area`, with whatever they held before. `work` must not start
/// parallel work: the thread could pick up another tile that wants the same area.
pub(crate) fn with_scratch<R>(area: Area, len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    AREAS.with(|areas| {
        let mut values = areas[area as usize].borrow_mut();
        if values.len() < len {
            *values = vec![0.0; len];
        }
        work(&mut values[..len])
    })
}
