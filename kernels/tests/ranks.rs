//! Values of several ranks folded into one, exactly: in the order of the ranks, in f32, rounded
//! once.

mod oracle;

use kernels::ranks::*;
use kernels::simt::{Bf16, Buffer, Element, Launch};
use oracle::{bits, emulations, from_bf16, random, run, to_bf16};

fn launch(len: usize) -> Launch {
    Launch::new(len.div_ceil(THREADS as usize) as u32, THREADS, 0)
}

/// What each of the ranks is left with.
macro_rules! folded {
    ($kernel:ident, $values:expr, $emulation:expr) => {{
        let buffers: Vec<_> = $values.iter().map(|values| Buffer::from(values)).collect();
        let x = |rank: usize| buffers[if rank < buffers.len() { rank } else { 0 }].arg();
        let len = buffers[0].len();
        let kernel = $kernel {
            x0: x(0),
            x1: x(1),
            x2: x(2),
            x3: x(3),
            x4: x(4),
            x5: x(5),
            x6: x(6),
            x7: x(7),
            ranks: buffers.len() as u32,
            len: len as u64,
        };
        run(launch(len), &kernel, $emulation);
        buffers.iter().map(Buffer::to_vec).collect::<Vec<_>>()
    }};
}

fn values<T: Element>(ranks: u64, len: usize, of: impl Fn(&[f32]) -> Vec<T>) -> Vec<Vec<T>> {
    (0..ranks).map(|rank| of(&random(len, rank + 1))).collect()
}

fn fold(values: &[Vec<f32>], combine: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let at = |i: usize| values.iter().map(|values| values[i]).reduce(&combine).unwrap();
    (0..values[0].len()).map(at).collect()
}

#[test]
fn every_rank_gets_the_sum_in_rank_order_and_the_largest_to_the_bit() {
    for (ranks, len) in [(1, 5), (2, 256), (3, 1000), (8, 257)] {
        let exact = values(ranks, len, <[f32]>::to_vec);
        let rounded = values(ranks, len, to_bf16);
        let widened: Vec<_> = rounded.iter().map(|values| from_bf16(values)).collect();
        for emulation in emulations() {
            let sum = bits(&fold(&exact, |a, b| a + b));
            let found = folded!(ranks_sum_f32, exact, &emulation);
            assert!(found.iter().all(|values| bits(values) == sum), "{ranks} ranks");
            let max = bits(&fold(&exact, f32::max));
            let found = folded!(ranks_max_f32, exact, &emulation);
            assert!(found.iter().all(|values| bits(values) == max), "{ranks} ranks");
            let sum: Vec<Bf16> = to_bf16(&fold(&widened, |a, b| a + b));
            let found = folded!(ranks_sum_bf16, rounded, &emulation);
            assert!(found.iter().all(|values| *values == sum), "{ranks} ranks");
        }
    }
}
