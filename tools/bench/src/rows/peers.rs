//! C09: five rounds of four peers in this process, from the first parameters to a validation loss:
//! SparseLoCo, through the real byte formats, beside dense DiLoCo on the same tokens.

use model::preset;

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::learning::rounds::{Rounds, Taken};
use crate::row::{Rate, Row};
use crate::timing::Times;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let mut spec = preset("m1").expect("a preset of the bench's own list").model;
    let (windows, inner_steps, sequences, peers) =
        if bench.quick { (2, 2, 1, 2) } else { (5, 30, 8, 4) };
    if bench.quick {
        (spec.layers, spec.seq_len) = (1, 64);
    }
    let params = model::layout_of(&spec)?.params() as f64;
    let tokens =
        (windows * u64::from(inner_steps)) as f64 * (peers * sequences * spec.seq_len) as f64;
    let attention = 6.0 * (spec.layers * spec.d_model * spec.seq_len) as f64;
    let work = Work { flops: (6.0 * params + attention) * tokens, ..Work::default() };
    let shape = format!("{peers} peers, m1, H {inner_steps}, {windows} rounds");
    let threads = bench.device.threads();
    let rounds = Rounds { spec, peers, windows, inner_steps, sequences, threads };
    let [sparse, momentum, mean] = rounds.compare()?;
    let row = |Taken { name, loss, seconds }: Taken| {
        let times = Times::new(vec![seconds]);
        Row::new("C09", name, shape.clone(), &times, Rate::Tokens(tokens))
            .floor(&bench.ceilings, &work)
            .also("loss_nats", loss)
    };
    let over = |dense: &Taken| 100.0 * (sparse.loss / dense.loss - 1.0);
    let (over_momentum, over_mean, peer_s) = (over(&momentum), over(&mean), momentum.seconds);
    let mut first = row(sparse)
        .also("percent_over_dense_nesterov", over_momentum)
        .also("percent_over_dense_mean", over_mean);
    first.peer(1e3 * peer_s);
    Ok(vec![first, row(momentum), row(mean)])
}
