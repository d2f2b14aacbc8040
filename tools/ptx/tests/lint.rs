//! What the lint refuses and what it lets pass, each on a kernel of a few lines; and the barrier
//! that a compiler copied.

use ptx::{Module, lint};

/// What is found in a kernel with this body, without its line.
fn found(body: &str) -> Vec<String> {
    found_in(&format!(".visible .entry kernel(\n\t.param .u32 kernel_param_0\n)\n{{\n{body}\n}}\n"))
}

/// What is found in a module with these items.
fn found_in(items: &str) -> Vec<String> {
    let text = format!(".version 8.0\n.target sm_90a\n.address_size 64\n{items}");
    let findings = lint(&Module::parse(&text).unwrap()).unwrap();
    findings.into_iter().map(|finding| finding.what).collect()
}

fn fixture(text: &str) -> Vec<String> {
    let findings = lint(&Module::parse(text).unwrap()).unwrap();
    findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_barrier_that_the_compiler_copied_into_both_sides_of_a_branch_is_found_twice() {
    let found = fixture(include_str!("fixtures/opening_threaded.ptx"));
    let parted = "opening: `bar.sync 0;` needs all threads of the block together, but the branch \
                  at line 28 may part them";
    assert_eq!(found, [format!("31: {parted}"), format!("37: {parted}")]);
}

#[test]
fn the_same_kernel_with_its_one_barrier_passes() {
    assert_eq!(fixture(include_str!("fixtures/opening.ptx")), [""; 0]);
}

#[test]
fn a_barrier_behind_an_early_return_of_some_threads_is_found() {
    let body = |bound| {
        format!(
            "mov.u32 %r1, {bound};
             ld.param.b32 %r2, [kernel_param_0];
             setp.ge.u32 %p1, %r1, %r2;
             @%p1 ret;
             bar.sync 0;
             ret;"
        )
    };
    assert_eq!(found(&body("%tid.x")).len(), 1);
    assert_eq!(found(&body("%ctaid.x")), [""; 0]);
}

#[test]
fn a_barrier_in_a_loop_that_threads_leave_at_different_times_is_found() {
    let body = |start| {
        format!(
            "mov.u32 %r1, {start};
             $L1:
             bar.sync 0;
             add.s32 %r1, %r1, 128;
             setp.lt.u32 %p1, %r1, 1000;
             @%p1 bra $L1;
             ret;"
        )
    };
    assert_eq!(found(&body("%tid.x")).len(), 1);
    assert_eq!(found(&body("0")), [""; 0]);
}

#[test]
fn a_guard_counts_as_a_branch() {
    let body = "mov.u32 %r1, %tid.x;
                setp.eq.b32 %p1, %r1, 0;
                @%p1 bar.sync 0;
                ret;";
    let parted = "`@%p1 bar.sync 0;` needs all threads of the block together, but its own guard \
                  may part them";
    assert_eq!(found(body), [parted]);
}

#[test]
fn a_value_that_differs_because_threads_came_different_ways_parts_them() {
    let body = |special| {
        format!(
            "mov.u32 %r1, {special};
             setp.eq.b32 %p1, %r1, 7;
             mov.b32 %r2, 0;
             @%p1 bra $L1;
             mov.b32 %r2, 1;
             $L1:
             setp.eq.b32 %p2, %r2, 0;
             @%p2 bra $L2;
             bar.sync 0;
             $L2:
             ret;"
        )
    };
    assert_eq!(found(&body("%tid.x")).len(), 1);
    assert_eq!(found(&body("%nctaid.x")), [""; 0]);
}

/// A kernel in which what stands in `role` is for threads that agree on `order`.
fn role(order: &str, role: &str) -> Vec<String> {
    found(&format!(
        "mov.u32 %r1, %tid.x;
         {order}
         @%p1 bra $L1;
         {role}
         $L1:
         ret;"
    ))
}

const SHUFFLE: &str = "shfl.sync.bfly.b32 %r8, %r1, 1, 31, -1;";
const WGMMA: &str = "wgmma.fence.sync.aligned;";
const SOME: &str = "bar.sync 1, 128;";
const ALL: &str = "bar.sync 0;";

#[test]
fn a_branch_of_one_thread_keeps_no_collective_together() {
    for order in ["setp.ne.b32 %p1, %r1, 0;", "setp.gt.u32 %p1, %r1, 40;"] {
        for collective in [SHUFFLE, WGMMA, SOME, ALL] {
            assert_eq!(role(order, collective).len(), 1, "{order} {collective}");
        }
    }
}

#[test]
fn a_value_that_differs_within_a_warp_parts_it() {
    let lanes = [
        "shfl.sync.up.b32 %r2, %r1, 1, 0, -1; setp.eq.b32 %p1, %r2, 0;",
        "shfl.sync.idx.b32 %r2, %r1, 0, 7199, -1; setp.eq.b32 %p1, %r2, 0;",
        "shfl.sync.idx.b32 %r2, %r1, 0, 31, 65535; setp.eq.b32 %p1, %r2, 0;",
        "shfl.sync.down.b32 %r2|%p1, 3, 1, 31, -1;",
        "mul.hi.u32 %r2, %r1, 134217728; setp.eq.b32 %p1, %r2, 1;",
        "mov.b64 %rd1, {%r1, %r1}; shr.u64 %rd2, %rd1, 5; setp.eq.b64 %p1, %rd2, 1;",
        "or.b32 %r2, %r1, 32; setp.lt.u32 %p1, %r2, 32;",
        "add.s32 %r2, %r1, 16; setp.lt.u32 %p1, %r2, 32;",
        "atom.relaxed.gpu.global.add.u32 %r2, [%rd1], 1; setp.lt.u32 %p1, %r2, 32;",
        "ld.acquire.gpu.global.u32 %r2, [symbol]; setp.lt.u32 %p1, %r2, 32;",
        "mov.u32 %r2, %laneid; setp.lt.u32 %p1, %r2, 32;",
        "elect.sync %r2|%p1, -1;",
    ];
    for order in lanes {
        assert_eq!(role(order, SHUFFLE).len(), 1, "{order}");
    }
}

#[test]
fn a_branch_of_warps_keeps_warps_together_and_no_more() {
    let warps = [
        "setp.gt.u32 %p1, %r1, 31;",
        "setp.lt.u32 %p1, %r1, 96;",
        "shr.u32 %r2, %r1, 5; setp.eq.b32 %p1, %r2, 3;",
        "and.b32 %r2, %r1, 96; setp.eq.b32 %p1, %r2, 32;",
        "bfe.u32 %r2, %r1, 5, 2; setp.eq.b32 %p1, %r2, 1;",
        "add.s32 %r2, %r1, -32; setp.lt.u32 %p1, %r2, 64;",
        "shl.b32 %r2, %r1, 4; shr.u32 %r3, %r2, 9; setp.eq.b32 %p1, %r3, 0;",
        "setp.eq.b32 %p2, %r1, 9; vote.sync.ballot.b32 %r2, %p2, -1; setp.eq.b32 %p1, %r2, 0;",
        "shfl.sync.idx.b32 %r2, %r1, 0, 31, -1; setp.eq.b32 %p1, %r2, 32;",
    ];
    for order in warps {
        for collective in [SHUFFLE, SOME] {
            assert_eq!(role(order, collective), [""; 0], "{order} {collective}");
        }
        for collective in [WGMMA, ALL] {
            assert_eq!(role(order, collective).len(), 1, "{order} {collective}");
        }
    }
}

#[test]
fn a_branch_of_warpgroups_keeps_warpgroups_together_and_no_more() {
    let warpgroups = [
        "setp.gt.u32 %p1, %r1, 127;",
        "shr.u32 %r2, %r1, 7; shfl.sync.idx.b32 %r3, %r2, 0, 31, -1; setp.ne.b32 %p1, %r3, 0;",
    ];
    for order in warpgroups {
        for collective in [SHUFFLE, SOME, WGMMA, "setmaxnreg.dec.sync.aligned.u32 24;"] {
            assert_eq!(role(order, collective), [""; 0], "{order} {collective}");
        }
        assert_eq!(role(order, ALL).len(), 1, "{order}");
    }
}

#[test]
fn a_block_wide_vote_and_a_promise_keep_the_block_together() {
    let block = [
        "setp.ne.b32 %p2, %r1, 5; bar.red.popc.u32 %r2, 0, %p2; setp.eq.b32 %p1, %r2, 0;",
        "{ .reg .b32 uniform; mov.b32 uniform, %r1; mov.b32 %r2, uniform; }
         setp.eq.b32 %p1, %r2, 0;",
    ];
    for order in block {
        assert_eq!(role(order, ALL), [""; 0], "{order}");
    }
}

#[test]
fn names_of_inner_scopes_are_kept_apart() {
    let body = "mov.u32 %r1, %tid.x;
                { .reg .pred p; setp.eq.b32 p, %r1, 0; selp.b32 %r2, 1, 0, p; }
                { .reg .pred p; setp.eq.b32 p, 0, 0; selp.b32 %r3, 1, 0, p; }
                setp.eq.b32 %p1, %r3, 0;
                @%p1 bra $L1;
                bar.sync 0;
                $L1:
                ret;";
    assert_eq!(found(body), [""; 0]);
}

#[test]
fn a_jump_table_is_a_branch() {
    let body = |special| {
        format!(
            "mov.u32 %r1, {special};
             $table: .branchtargets $L1, $L2;
             brx.idx %r1, $table;
             $L1:
             bar.sync 0;
             $L2:
             ret;"
        )
    };
    assert_eq!(found(&body("%tid.x")).len(), 1);
    assert_eq!(found(&body("%ctaid.x")), [""; 0]);
}

#[test]
fn a_call_a_function_and_a_missing_function_are_found() {
    let found = found_in(
        ".extern .func panic\n(\n\t.param .b64 panic_param_0\n)\n.noreturn;
         .visible .func  (.param .b32 out) twice(\n\t.param .b32 twice_param_0\n)\n{ ret; }
         .visible .entry kernel()\n{ call.uni panic, (param0); ret; }",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("nowhere defined"));
    assert!(found[1].contains("a function of its own"));
    assert_eq!(found[2], "calls panic, (param0): a panic path, or a function not inlined");
}

#[test]
fn an_array_in_local_memory_is_found() {
    let found = found(".local .align 16 .b8 __local_depot0[64];\nret;");
    assert_eq!(
        found,
        ["`.local .align 16 .b8 __local_depot0[64]`: an array that is not in registers"]
    );
}

#[test]
fn what_cannot_be_followed_is_an_error_and_not_passed() {
    let text = |body| {
        format!(
            ".version 8.0\n.target sm_90a\n.address_size 64\n.visible .entry k()\n{{\n{body}\n}}"
        )
    };
    let error = |body| lint(&Module::parse(&text(body)).unwrap()).unwrap_err().to_string();
    assert!(error("bra $L9;").starts_with("line 6: no label `$L9`"));
    assert!(error("$L1:\nbra $L1;").contains("no path leads from here to the end of `k`"));
    assert!(Module::parse(&text("mov.u32 %r1, 0")).is_err());
    assert!(Module::parse(".version 8.0\n.target sm_80\n.entry k() {").is_err());
}
