//! A second pass over all ops allocates nothing: scratch grows on first use only.
//! One test per process, because it counts every thread's allocations.

mod oracle;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use oracle::{COMPUTES, device, random};
use runtime::Device;
use runtime::collective::Solo;
use runtime::ops::{
    adamw, attention, cross_entropy, elementwise, embedding, linear, reduce, rms_norm, rope, swiglu,
};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const T: usize = 200;
const D: usize = 48;
const SHAPE: attention::Shape =
    attention::Shape { batch: 2, seq: 100, heads: 4, kv_heads: 2, head_dim: 12 };
const VOCAB: usize = 300;

/// Buffers of one pass.
struct Pass {
    x: Vec<f32>,
    y: Vec<f32>,
    wide: Vec<f32>,
    d_wide: Vec<f32>,
    w: Vec<f32>,
    dw: Vec<f32>,
    rstd: Vec<f32>,
    lse: Vec<f32>,
    norm_scratch: Vec<f32>,
    tokens: Vec<u32>,
    table: rope::Table,
    head: cross_entropy::Scratch,
}

impl Pass {
    fn new(dev: &Device) -> Self {
        Self {
            x: random(T * D, 1),
            y: vec![0.0; T * D],
            wide: vec![0.0; T * 2 * D],
            d_wide: vec![0.0; T * 2 * D],
            w: random(VOCAB * D, 2),
            dw: vec![0.0; VOCAB * D],
            rstd: vec![0.0; T],
            lse: vec![0.0; SHAPE.lse_len()],
            norm_scratch: vec![0.0; rms_norm::scratch_len(D)],
            tokens: (0..T).map(|i| (i * 31 % VOCAB) as u32).collect(),
            table: rope::Table::new(dev, SHAPE.seq, SHAPE.head_dim, 1e4),
            head: cross_entropy::Scratch::new(dev, T, VOCAB),
        }
    }

    fn layer(&mut self, dev: &Device) {
        let gains = &self.w[..D];
        let square = &self.w[..2 * D * D];
        let (y, rstd) = ((&mut self.y[..]).into(), (&mut self.rstd[..]).into());
        rms_norm::forward(dev, self.x[..].into(), gains.into(), 1e-5, y, rstd);
        let wide = (&mut self.wide[..]).into();
        linear::forward(dev, self.y[..].into(), square.into(), wide, T);
        rope::forward(dev, &self.table, (&mut self.wide[..]).into(), T, SHAPE.seq, 6);
        let (out, lse) = ((&mut self.y[..]).into(), (&mut self.lse[..]).into());
        attention::forward(dev, SHAPE, None, self.wide[..].into(), out, lse);
        let (qkv, out, lse) = (self.wide[..].into(), self.y[..].into(), self.lse[..].into());
        let d_qkv = (&mut self.d_wide[..]).into();
        attention::backward(dev, SHAPE, None, qkv, out, self.x[..].into(), lse, d_qkv);
        let dw = (&mut self.dw[..2 * D * D]).into();
        linear::backward_weight(dev, self.d_wide[..].into(), self.x[..].into(), dw, T);
        let dx = (&mut self.y[..]).into();
        linear::backward_input(dev, self.d_wide[..].into(), square.into(), dx, T, false);
        swiglu::forward(dev, self.wide[..].into(), (&mut self.y[..]).into(), T);
        swiglu::backward(dev, (&mut self.wide[..]).into(), self.y[..].into(), T);
        let (dy, x, rstd) = (self.y[..].into(), self.x[..].into(), self.rstd[..].into());
        let (dx, dw) = ((&mut self.d_wide[..T * D]).into(), (&mut self.dw[..D]).into());
        let scratch = (&mut self.norm_scratch[..]).into();
        rms_norm::backward(dev, dy, x, gains.into(), rstd, dx, dw, scratch);
    }

    fn ends(&mut self, dev: &Device) {
        let (tokens, x) = (self.tokens[..].into(), self.x[..].into());
        embedding::forward(dev, tokens, self.w[..].into(), 0, (&mut self.y[..]).into());
        embedding::backward(dev, tokens, x, 0, (&mut self.dw[..]).into());
        let (dx, dw) = ((&mut self.y[..]).into(), (&mut self.dw[..]).into());
        let (w, head) = (self.w[..].into(), &mut self.head);
        cross_entropy::forward_backward(dev, &Solo, x, w, 0, tokens, 1.0, dx, dw, head);
        reduce::sum_squares(dev, self.dw[..].into());
        let (p, g) = ((&mut self.x[..]).into(), self.y[..].into());
        let (m, v) = self.wide.split_at_mut(T * D);
        elementwise::fill(dev, v.into(), 1.0);
        let hyper =
            adamw::Hyper { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
        adamw::step(dev, p, g, m.into(), v.into(), &hyper, 1, 1.0);
    }
}

#[test]
fn the_steady_state_allocates_nothing() {
    /// Passes in a row without an allocation.
    const STEADY: usize = 20;
    for compute in COMPUTES {
        let dev = device().with_compute(compute);
        let mut pass = Pass::new(&dev);
        let reached = dev.install(|| {
            // Which thread computes which tile varies: each grows its scratch when it first has to.
            let mut quiet = 0;
            for _ in 0..1000 {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                pass.layer(&dev);
                pass.ends(&dev);
                quiet = if ALLOCATIONS.load(Ordering::Relaxed) == before { quiet + 1 } else { 0 };
                if quiet == STEADY {
                    return true;
                }
            }
            false
        });
        assert!(reached, "{compute:?}: no {STEADY} passes in a row without an allocation");
    }
}
