//! What every collective must do; each implementation runs the whole suite.

mod oracle;

use oracle::{device, random};
use runtime::collective::{Collective, Solo, one_gpu, threads};
use runtime::{Buffer, Device};

/// Lengths of one value, an odd number, shrinking after growing, and nothing.
const LENGTHS: [usize; 4] = [1, 1000, 37, 0];

/// What `rank` brings to the exchange number `call`.
fn brought(rank: usize, call: usize, len: usize) -> Vec<f32> {
    random(len, (rank * 1000 + call) as u64)
}

fn held(dev: &Device, values: &[f32]) -> Buffer<f32> {
    let mut buffer = dev.alloc(values.len());
    buffer.write(values);
    buffer
}

fn values(buffer: &Buffer<f32>) -> Vec<f32> {
    let mut values = vec![f32::NAN; buffer.len()];
    buffer.read(&mut values);
    values
}

/// The suite, run by every rank of a group at once.
fn conforms(comm: &dyn Collective, dev: &Device, lengths: &[usize]) {
    let (rank, world) = (comm.rank(), comm.world());
    assert!(rank < world);
    for (call, &len) in lengths.iter().enumerate() {
        let all: Vec<Vec<f32>> = (0..world).map(|rank| brought(rank, call, len)).collect();
        let fold = |combine: fn(f32, f32) -> f32| -> Vec<f32> {
            let value = |i: usize| all.iter().map(|x| x[i]).reduce(combine).expect("a rank");
            (0..len).map(value).collect()
        };
        let mut x = held(dev, &all[rank]);
        comm.all_reduce_sum(x.view_mut());
        assert_eq!(values(&x), fold(|a, b| a + b), "sums run in rank order");
        x.write(&all[rank]);
        comm.all_reduce_max(x.view_mut());
        assert_eq!(values(&x), fold(f32::max));

        let mut gathered = held(dev, &vec![f32::NAN; world * len]);
        x.write(&all[rank]);
        comm.all_gather(x.view(), gathered.view_mut());
        assert_eq!(values(&gathered), all.concat());

        let whole = |rank| brought(rank, call, world * len);
        let (rows, mut mine) = (held(dev, &whole(rank)), held(dev, &vec![f32::NAN; len]));
        comm.reduce_scatter_sum(rows.view(), mine.view_mut());
        let sum = (1..world)
            .fold(whole(0), |sum, rank| sum.iter().zip(whole(rank)).map(|(a, b)| a + b).collect());
        assert_eq!(values(&mine), sum[rank * len..(rank + 1) * len]);
        assert_eq!(values(&rows), whole(rank), "what is only read stays as it is");

        for root in 0..world {
            x.write(&all[rank]);
            comm.broadcast(x.view_mut(), root);
            assert_eq!(values(&x), all[root]);
        }
        comm.barrier();
    }
}

#[test]
fn a_group_of_one_conforms() {
    conforms(&Solo, &device(), &LENGTHS);
}

#[test]
fn threads_conform() {
    for world in [1, 2, 3, 4] {
        std::thread::scope(|scope| {
            for rank in threads::group(world) {
                scope.spawn(move || conforms(&rank, &device(), &LENGTHS));
            }
        });
    }
}

#[test]
fn ranks_of_one_gpu_conform() {
    for world in [1, 2, 3] {
        let gpu = Device::emulated().expect("threads");
        std::thread::scope(|scope| {
            for rank in one_gpu::group(&gpu, world) {
                let gpu = &gpu;
                // No GPU has memory of no bytes.
                scope.spawn(move || conforms(&rank, gpu, &LENGTHS[..3]));
            }
        });
        gpu.synchronise().expect("nothing failed");
    }
}

/// Two ranks wait in a barrier; the third runs `leave` with its rank and never comes.
fn waiting_ranks_panic_after(leave: impl FnOnce(threads::ThreadRank) + Send + 'static) {
    let mut ranks = threads::group(3);
    let leaving = ranks.pop().expect("three ranks");
    let waiting: Vec<_> =
        ranks.into_iter().map(|rank| std::thread::spawn(move || rank.barrier())).collect();
    // A panic of this thread is part of the scenario.
    std::thread::spawn(move || leave(leaving)).join().ok();
    for rank in waiting {
        assert!(rank.join().is_err(), "a waiting rank must not return");
    }
}

#[test]
fn a_rank_that_panics_takes_the_waiting_ranks_with_it() {
    waiting_ranks_panic_after(|_rank| panic!("this rank fails on purpose"));
}

#[test]
fn a_rank_that_leaves_early_takes_the_waiting_ranks_with_it() {
    waiting_ranks_panic_after(drop);
}
