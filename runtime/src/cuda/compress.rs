//! SparseLoCo's compression on a GPU: the bits of the CPU. Tensors lie in its memory; what is kept
//! of them, one value in 64, goes to the host, where codebooks are fitted and uploads begin.

use kernels::compress::{
    SHARED_BYTES, compress_select, compress_select_tiles, compress_subtract_sent,
};
use kernels::simt::Launch;
use kernels::tile::THREADS;

use super::chunks::{FirstBad, Sides, is_wide};
use super::{Gpu, Span, Stored, blocks, elementwise, extent};
use crate::ops::{NonFinite, TileGrid};

/// The three tensors that are read.
pub(crate) struct Inputs<'a> {
    pub(crate) shared: Span<'a>,
    pub(crate) local: Span<'a>,
    pub(crate) residual: Span<'a>,
}

/// See [`crate::ops::compress::select_top_k`]. When the device has failed, the first `k` values of
/// each chunk, as zeros, are said to be kept.
pub(crate) fn select(
    gpu: &Gpu,
    grid: TileGrid,
    k: usize,
    inputs: &Inputs<'_>,
    beta: f32,
    m_out: Span<'_>,
    indices: &mut [u16],
    values: &mut [f32],
) -> Result<(), NonFinite> {
    indices.chunks_exact_mut(k).for_each(|chunk| {
        chunk.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
    });
    values.fill(0.0);
    // Parameters come as f32 from where m will be: whoever writes a value has read it before.
    let local = match inputs.local.stored() {
        Stored::Plain => inputs.local,
        _ => {
            elementwise::copy(gpu, inputs.local, m_out);
            m_out
        }
    };
    let kept_indices = gpu.allocate(size_of_val(indices));
    let kept_values = gpu.allocate(size_of_val(values));
    let first_bad = FirstBad::new(gpu);
    let Sides { cols, tile_rows, tile_cols } = Sides::of(grid);
    let kernel = compress_select {
        shared: inputs.shared.plain(gpu),
        local: local.plain(gpu),
        residual: inputs.residual.plain(gpu),
        m: m_out.plain(gpu),
        indices: kept_indices.global(),
        values: kept_values.global(),
        first_bad: first_bad.global(),
        cols,
        tile_rows,
        tile_cols,
        k: extent(k),
        beta,
    };
    let launch = Launch::new(extent(grid.chunks()), THREADS, SHARED_BYTES);
    if is_wide(gpu, grid, &[inputs.shared, local, inputs.residual, m_out]) {
        let compress_select { shared, local, residual, m, .. } = kernel;
        let compress_select { indices, values, first_bad, k, .. } = kernel;
        let kernel = compress_select_tiles {
            shared,
            local,
            residual,
            m,
            indices,
            values,
            first_bad,
            cols,
            k,
            beta,
        };
        gpu.launch(launch, &kernel);
    } else {
        gpu.launch(launch, &kernel);
    }
    first_bad.outcome()?;
    kept_indices.download(indices);
    kept_values.download(values);
    Ok(())
}

/// See [`crate::ops::compress::subtract_sent`].
pub(crate) fn subtract_sent(
    gpu: &Gpu,
    grid: TileGrid,
    k: usize,
    codebook: [f32; 4],
    indices: &[u16],
    codes: &[u8],
    m: Span<'_>,
) {
    let (held_indices, held_codes) = (gpu.hold(indices), gpu.hold(codes));
    let [code0, code1, code2, code3] = codebook;
    let Sides { cols, tile_rows, tile_cols } = Sides::of(grid);
    let kernel = compress_subtract_sent {
        m: m.plain(gpu),
        indices: held_indices.global(),
        codes: held_codes.global(),
        code0,
        code1,
        code2,
        code3,
        cols,
        tile_rows,
        tile_cols,
        k: extent(k),
        kept: extent(indices.len()),
    };
    gpu.launch(Launch::new(blocks(indices.len(), 256), 256, 0), &kernel);
}
