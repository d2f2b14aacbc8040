//! Streams, exactly: each value is one operation of f32, rounded once where it is kept in bf16.
//! Lengths of less than a thread's share, of whole blocks, and of neither.

mod oracle;

use kernels::elementwise::*;
use kernels::simt::{Bf16, Buffer, Launch};
use oracle::{bits, emulations, from_bf16, random, run, to_bf16};

const LENGTHS: [usize; 5] = [1, 7, 8, 2048, 4101];

fn launch(len: usize) -> Launch {
    Launch::new(blocks(len), THREADS, 0)
}

#[test]
fn f32_is_filled_added_and_scaled_to_the_bit() {
    for len in LENGTHS {
        let (x, y) = (random(len, 1), random(len, 2));
        for emulation in emulations() {
            let (from, to) = (Buffer::from(&x), Buffer::from(&y));
            let added = add_f32 { x: from.arg(), y: to.arg(), len: len as u64 };
            run(launch(len), &added, &emulation);
            let want: Vec<f32> = x.iter().zip(&y).map(|(x, y)| y + x).collect();
            assert_eq!(bits(&to.to_vec()), bits(&want));
            let scaled = scale_f32 { y: to.arg(), factor: 0.3, len: len as u64 };
            run(launch(len), &scaled, &emulation);
            let want: Vec<f32> = want.iter().map(|y| y * 0.3).collect();
            assert_eq!(bits(&to.to_vec()), bits(&want));
            let filled = fill_f32 { y: to.arg(), value: -0.7, len: len as u64 };
            run(launch(len), &filled, &emulation);
            assert_eq!(to.to_vec(), vec![-0.7; len]);
        }
    }
}

#[test]
fn bf16_is_rounded_once_where_it_is_kept() {
    for len in LENGTHS {
        let (x, y) = (to_bf16(&random(len, 3)), to_bf16(&random(len, 4)));
        for emulation in emulations() {
            let (from, to) = (Buffer::from(&x), Buffer::from(&y));
            let added = add_bf16 { x: from.arg(), y: to.arg(), len: len as u64 };
            run(launch(len), &added, &emulation);
            let sum = |(x, y): (&Bf16, &Bf16)| Bf16::from_f32(y.to_f32() + x.to_f32());
            let want: Vec<Bf16> = x.iter().zip(&y).map(sum).collect();
            assert_eq!(to.to_vec(), want);
            let scaled = scale_bf16 { y: to.arg(), factor: 0.3, len: len as u64 };
            run(launch(len), &scaled, &emulation);
            let product = |y: &Bf16| Bf16::from_f32(y.to_f32() * 0.3);
            let want: Vec<Bf16> = want.iter().map(product).collect();
            assert_eq!(to.to_vec(), want);
            let filled = fill_bf16 { y: to.arg(), value: 1.5, len: len as u64 };
            run(launch(len), &filled, &emulation);
            assert_eq!(from_bf16(&to.to_vec()), vec![1.5; len]);
        }
    }
}
