//! The tally of losses against f64, to 1e-13, and the clip's arithmetic, exactly. Lengths below and
//! above one block, chunks that do not divide them, and everything that stops an update.

mod oracle;

use kernels::clip::*;
use kernels::cross_entropy::IGNORE;
use kernels::simt::{Buffer, Emulation, Launch};
use oracle::{emulations, random, run};

fn tally(sums: &[f32], targets: &[u32], chunk: u32, before: [f64; 2], how: &Emulation) -> [u64; 2] {
    let (sums, targets) = (Buffer::from(sums), Buffer::from(targets));
    let tally = Buffer::from(&before);
    let kernel = tally_loss {
        sums: sums.arg(),
        targets: targets.arg(),
        tally: tally.arg(),
        tokens: targets.len() as u32,
        chunk_tokens: chunk,
    };
    run(Launch::new(1, THREADS, SHARED_BYTES), &kernel, how);
    let tally = tally.to_vec();
    [tally[0].to_bits(), tally[1].to_bits()]
}

#[test]
fn losses_are_added_up_as_in_f64_whatever_the_chunks() {
    for (tokens, chunk) in [(1, 1), (7, 7), (1000, 64), (2500, 1024), (2048, 4096)] {
        let exponentials: Vec<f32> =
            random(tokens, 1).iter().map(|x| (12.0 * x).exp() + 1.0).collect();
        let logits = random(tokens, 2);
        let counts = |i: usize| i % 3 != 1;
        let targets: Vec<u32> =
            (0..tokens).map(|i| if counts(i) { i as u32 } else { IGNORE }).collect();
        let chunks = exponentials.chunks(chunk).zip(logits.chunks(chunk));
        let sums: Vec<f32> = chunks.flat_map(|(e, l)| [e, l].concat()).collect();
        let (mut want, mut count) = (0.25, 3.0);
        for i in (0..tokens).filter(|i| counts(*i)) {
            want += f64::from(exponentials[i]).ln() - f64::from(logits[i]);
            count += 1.0;
        }
        let found = emulations()
            .map(|emulation| tally(&sums, &targets, chunk as u32, [0.25, 3.0], &emulation));
        let [loss, counted] = found[0].map(f64::from_bits);
        assert!((loss / want - 1.0).abs() < 1e-13, "{tokens} by {chunk}: {loss} for {want}");
        assert_eq!(counted, count);
        assert!(found.iter().all(|tally| *tally == found[0]), "in any order of lanes");
    }
}

#[test]
fn a_sum_that_is_no_number_makes_the_loss_none() {
    for bad in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let [loss, _] = tally(&[bad, 0.0], &[0], 1, [0.0; 2], &Emulation::default());
        assert!(f64::from_bits(loss).is_nan(), "{bad}");
    }
}

/// Control and report after a step of that tally, that sum of squares and that control before.
fn clip(tally: [f64; 2], square: f64, stopped: f32) -> (Vec<f32>, Vec<f64>) {
    let (tally, square) = (Buffer::from(&tally), Buffer::from(&[square]));
    let control = Buffer::from(&[9.0, 9.0, stopped]);
    let report = Buffer::unset(REPORT_LEN);
    let kernel = clip_gradient {
        tally: tally.arg(),
        square: square.arg(),
        control: control.arg(),
        report: report.arg(),
        clip_norm: 2.0,
    };
    run(Launch::new(1, 32, 0), &kernel, &Emulation::default());
    assert_eq!(tally.to_vec(), [0.0; TALLY_LEN], "the next step starts from nothing");
    (control.to_vec(), report.to_vec())
}

#[test]
fn a_gradient_is_made_a_mean_and_no_longer_than_the_clip() {
    let (control, report) = clip([10.0, 4.0], 16.0, 0.0);
    assert_eq!((control, report), (vec![0.25, 0.0, 0.0], vec![10.0, 4.0, 16.0]));
    let norm = 400.0_f64.sqrt() / 4.0;
    let (control, _) = clip([10.0, 4.0], 400.0, 0.0);
    assert_eq!(control[0], (2.0 / (norm + 1e-6) / 4.0) as f32);
}

#[test]
fn nothing_is_updated_by_what_is_not_finite_nor_ever_after() {
    let held = |tally, square, before| {
        let (control, _) = clip(tally, square, before);
        (control[1], control[2])
    };
    assert_eq!(held([0.0, 0.0], 0.0, 0.0), (1.0, 0.0), "no target counts: this step alone");
    assert_eq!(held([f64::NAN, 4.0], 1.0, 0.0), (1.0, 1.0));
    assert_eq!(held([1.0, 4.0], f64::INFINITY, 0.0), (1.0, 1.0));
    assert_eq!(held([1.0, 4.0], f64::NAN, 0.0), (1.0, 1.0));
    assert_eq!(held([1.0, 4.0], 1.0, 1.0), (1.0, 1.0), "stopped before");
}
