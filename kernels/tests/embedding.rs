//! Embedding rows, exactly, and their gradients: sums in f32 in the order of the tokens, to the
//! bit.

mod oracle;

use kernels::embedding::*;
use kernels::rows;
use kernels::simt::{Bf16, Buffer, Emulation, Launch};
use oracle::{bits, emulations, from_bf16, random, run, to_bf16};

/// (t, d, rows of the table, first of them): one token; all tokens alike; tokens outside the part;
/// more tokens than a block looks at together, and more columns than it adds.
const CASES: [(usize, usize, u32, u32); 4] =
    [(1, 8, 1, 0), (40, 16, 1, 7), (300, 24, 20, 5), (400, 1032, 50, 0)];

fn tokens(t: usize, vocab: u32, start: u32) -> Vec<u32> {
    let spread = if vocab == 1 { 1.0 } else { vocab as f32 + 6.0 };
    let shift = if vocab == 1 { 0 } else { 3 };
    let draw = |x: &f32| ((x + 1.0) / 2.0 * spread) as u32 + start;
    random(t, 9).iter().map(|x| draw(x).saturating_sub(shift)).collect()
}

#[test]
fn a_token_becomes_its_row_and_one_of_another_part_becomes_zero() {
    for (t, d, vocab, start) in CASES {
        let (tokens, table) = (tokens(t, vocab, start), to_bf16(&random(vocab as usize * d, 1)));
        let rows = from_bf16(&table);
        let want: Vec<f32> = tokens
            .iter()
            .flat_map(|token| match token.checked_sub(start).filter(|local| *local < vocab) {
                Some(local) => rows[local as usize * d..][..d].to_vec(),
                None => vec![0.0; d],
            })
            .collect();
        for emulation in emulations() {
            let (tokens, table) = (Buffer::from(&tokens), Buffer::from(&table));
            let out = Buffer::unset(t * d);
            let kernel = embedding_forward_bf16 {
                tokens: tokens.arg(),
                table: table.arg(),
                out: out.arg(),
                vocab_start: start,
                vocab,
                d: d as u32,
            };
            run(rows::launch(t as u32, d as u32), &kernel, &emulation);
            assert_eq!(from_bf16(&out.to_vec()), want);
        }
    }
}

#[test]
fn gradients_of_a_row_are_added_in_the_order_of_its_tokens() {
    for (t, d, vocab, start) in CASES {
        let (tokens, dout) = (tokens(t, vocab, start), to_bf16(&random(t * d, 2)));
        let before = random(vocab as usize * d, 3);
        let mut want = before.clone();
        for (token, row) in tokens.iter().zip(from_bf16(&dout).chunks_exact(d)) {
            let Some(local) = token.checked_sub(start).filter(|local| *local < vocab) else {
                continue;
            };
            let sums = &mut want[local as usize * d..][..d];
            sums.iter_mut().zip(row).for_each(|(sum, more)| *sum += more);
        }
        for emulation in emulations() {
            let got = backward(&tokens, &dout, &before, (vocab, start), &emulation);
            assert_eq!(bits(&got), bits(&want), "{t} tokens of {d}");
        }
    }
}

fn backward(
    tokens: &[u32],
    dout: &[Bf16],
    before: &[f32],
    (vocab, vocab_start): (u32, u32),
    emulation: &Emulation,
) -> Vec<f32> {
    let (t, d) = (tokens.len() as u32, (dout.len() / tokens.len()) as u32);
    let (tokens, dout, dtable) = (Buffer::from(tokens), Buffer::from(dout), Buffer::from(before));
    let kernel = embedding_backward_bf16 {
        tokens: tokens.arg(),
        dout: dout.arg(),
        dtable: dtable.arg(),
        vocab_start,
        vocab,
        t,
        d,
    };
    let grid = [t, d.div_ceil(BACKWARD_COLUMNS), 1];
    run(Launch::grid(grid, BACKWARD_THREADS, BACKWARD_SHARED_BYTES), &kernel, emulation);
    dtable.to_vec()
}

#[test]
fn every_barrier_is_needed() {
    let (tokens, dout) = (Buffer::from(&[3_u32; 300]), Buffer::from(&to_bf16(&[1.0; 300 * 8])));
    let dtable = Buffer::from(&[0.0_f32; 64]);
    let kernel = embedding_backward_bf16 {
        tokens: tokens.arg(),
        dout: dout.arg(),
        dtable: dtable.arg(),
        vocab_start: 0,
        vocab: 8,
        t: 300,
        d: 8,
    };
    let launch = Launch::grid([300, 1, 1], BACKWARD_THREADS, BACKWARD_SHARED_BYTES);
    let sites = run(launch, &kernel, &Emulation::default()).sync_sites;
    assert_eq!(sites.len(), 2, "{sites:?}");
    for site in sites {
        let without = Emulation { without: Some(site), ..Emulation::default() };
        let outcome = kernels::simt::emulate(&launch, &kernel, &without);
        assert!(outcome.is_err(), "nobody noticed that {site} was missing");
    }
}
