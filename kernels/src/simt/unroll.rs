//! Unrolling by text: the loop variable is a constant in every copy, so that an array indexed by it
//! stays in registers. A loop that the compiler chooses not to unroll puts it in local memory.

/// `unroll!(j in 16 { .. })` writes the block 16 times, with `const j: usize` from 0 up. The count
/// is a literal: 1 to 16, 20, 22, 24, 32, 40, 44, 48, 64 or 128.
#[macro_export]
macro_rules! unroll {
    (@ $j:ident from ($at:expr) [$($n:literal)*] $b:block) => { {
        $( {
            #[allow(non_upper_case_globals)]
            const $j: usize = $at + $n;
            $b
        } )*
    } };
    (@ $j:ident from ($at:expr) in 16 $b:block) => {
        $crate::unroll!(@ $j from ($at) [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] $b)
    };
    (@ $j:ident from ($at:expr) in 32 $b:block) => { {
        $crate::unroll!(@ $j from ($at) in 16 $b);
        $crate::unroll!(@ $j from ($at + 16) in 16 $b);
    } };
    (@ $j:ident from ($at:expr) in 64 $b:block) => { {
        $crate::unroll!(@ $j from ($at) in 32 $b);
        $crate::unroll!(@ $j from ($at + 32) in 32 $b);
    } };
    ($j:ident in 1 $b:block) => { $crate::unroll!(@ $j from (0) [0] $b) };
    ($j:ident in 2 $b:block) => { $crate::unroll!(@ $j from (0) [0 1] $b) };
    ($j:ident in 3 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2] $b) };
    ($j:ident in 4 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3] $b) };
    ($j:ident in 5 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4] $b) };
    ($j:ident in 6 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5] $b) };
    ($j:ident in 7 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6] $b) };
    ($j:ident in 8 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7] $b) };
    ($j:ident in 9 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8] $b) };
    ($j:ident in 10 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9] $b) };
    ($j:ident in 11 $b:block) => { $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9 10] $b) };
    ($j:ident in 12 $b:block) => {
        $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9 10 11] $b)
    };
    ($j:ident in 13 $b:block) => {
        $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9 10 11 12] $b)
    };
    ($j:ident in 14 $b:block) => {
        $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9 10 11 12 13] $b)
    };
    ($j:ident in 15 $b:block) => {
        $crate::unroll!(@ $j from (0) [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14] $b)
    };
    ($j:ident in 16 $b:block) => { $crate::unroll!(@ $j from (0) in 16 $b) };
    ($j:ident in 20 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 16 $b);
        $crate::unroll!(@ $j from (16) [0 1 2 3] $b);
    } };
    ($j:ident in 22 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 16 $b);
        $crate::unroll!(@ $j from (16) [0 1 2 3 4 5] $b);
    } };
    ($j:ident in 24 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 16 $b);
        $crate::unroll!(@ $j from (16) [0 1 2 3 4 5 6 7] $b);
    } };
    ($j:ident in 32 $b:block) => { $crate::unroll!(@ $j from (0) in 32 $b) };
    ($j:ident in 40 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 32 $b);
        $crate::unroll!(@ $j from (32) [0 1 2 3 4 5 6 7] $b);
    } };
    ($j:ident in 44 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 32 $b);
        $crate::unroll!(@ $j from (32) [0 1 2 3 4 5 6 7 8 9 10 11] $b);
    } };
    ($j:ident in 48 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 32 $b);
        $crate::unroll!(@ $j from (32) in 16 $b);
    } };
    ($j:ident in 64 $b:block) => { $crate::unroll!(@ $j from (0) in 64 $b) };
    ($j:ident in 128 $b:block) => { {
        $crate::unroll!(@ $j from (0) in 64 $b);
        $crate::unroll!(@ $j from (64) in 64 $b);
    } };
}
