//! Embedding rows: copies are exact, gradients are summed in the order of the tokens.

mod oracle;

use oracle::{bits, device, devices, random};
use runtime::ops::embedding;

#[test]
fn tokens_of_this_part_get_their_row_and_others_zero() {
    let d = 5;
    let table = random(4 * d, 1);
    let tokens = [10, 13, 9, 14, 11, u32::MAX, 0];
    let mut out = vec![f32::NAN; tokens.len() * d];
    let (tokens, to) = (tokens[..].into(), (&mut out[..]).into());
    embedding::forward(&device(), tokens, table[..].into(), 10, to);
    let rows: Vec<&[f32]> = out.chunks_exact(d).collect();
    assert_eq!(rows[0], &table[..d]);
    assert_eq!(rows[1], &table[3 * d..]);
    assert_eq!(rows[4], &table[d..2 * d]);
    for outside in [2, 3, 5, 6] {
        assert_eq!(rows[outside], [0.0; 5]);
    }
}

#[test]
fn gradients_are_added_in_token_order_on_any_number_of_threads() {
    let (t, d, v, start) = (700, 3, 1200_usize, 100);
    let tokens: Vec<u32> = (0..t).map(|i| (i * i % 1500) as u32).collect();
    let dout = random(t * d, 2);
    let mut want = vec![0.5_f32; v * d];
    for (token, from) in tokens.iter().zip(dout.chunks_exact(d)) {
        let Some(row) = (*token as usize).checked_sub(start).filter(|row| *row < v) else {
            continue;
        };
        want[row * d..][..d].iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }
    for dev in devices() {
        let mut dtable = vec![0.5; v * d];
        let to = (&mut dtable[..]).into();
        embedding::backward(&dev, tokens[..].into(), dout[..].into(), start as u32, to);
        assert_eq!(bits(&dtable), bits(&want));
    }
}
