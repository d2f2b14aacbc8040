//! What every collective must do; each implementation runs the whole suite.

mod oracle;

use oracle::random;
use runtime::collective::{Collective, Solo, threads};

/// Lengths with nothing, one value, an odd number, and shrinking after growing.
const LENGTHS: [usize; 4] = [1, 1000, 37, 0];

/// What `rank` brings to the exchange number `call`.
fn brought(rank: usize, call: usize, len: usize) -> Vec<f32> {
    random(len, (rank * 1000 + call) as u64)
}

/// The suite, run by every rank of a group at once.
fn conforms(comm: &dyn Collective) {
    let (rank, world) = (comm.rank(), comm.world());
    assert!(rank < world);
    for (call, len) in LENGTHS.into_iter().enumerate() {
        let all: Vec<Vec<f32>> = (0..world).map(|rank| brought(rank, call, len)).collect();
        let fold = |combine: fn(f32, f32) -> f32| -> Vec<f32> {
            let value = |i: usize| all.iter().map(|x| x[i]).reduce(combine).expect("a rank");
            (0..len).map(value).collect()
        };
        let mut x = all[rank].clone();
        comm.all_reduce_sum((&mut x[..]).into());
        assert_eq!(x, fold(|a, b| a + b), "sums run in rank order");
        x.copy_from_slice(&all[rank]);
        comm.all_reduce_max((&mut x[..]).into());
        assert_eq!(x, fold(f32::max));

        let mut gathered = vec![f32::NAN; world * len];
        comm.all_gather(all[rank][..].into(), (&mut gathered[..]).into());
        assert_eq!(gathered, all.concat());

        let whole = |rank| brought(rank, call, world * len);
        let mut mine = vec![f32::NAN; len];
        comm.reduce_scatter_sum(whole(rank)[..].into(), (&mut mine[..]).into());
        let sum = (1..world)
            .fold(whole(0), |sum, rank| sum.iter().zip(whole(rank)).map(|(a, b)| a + b).collect());
        assert_eq!(mine, sum[rank * len..(rank + 1) * len]);

        for root in 0..world {
            x.copy_from_slice(&all[rank]);
            comm.broadcast((&mut x[..]).into(), root);
            assert_eq!(x, all[root]);
        }
        comm.barrier();
    }
}

#[test]
fn a_group_of_one_conforms() {
    conforms(&Solo);
}

#[test]
fn threads_conform() {
    for world in [1, 2, 3, 4] {
        std::thread::scope(|scope| {
            for rank in threads::group(world) {
                scope.spawn(move || conforms(&rank));
            }
        });
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
