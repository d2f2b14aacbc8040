//! The committed PTX against its sources and against what the host declares of each kernel. Needs
//! no compiler for PTX and no assembler: those are the affair of `ci/ptx`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kernels::adamw::*;
use kernels::aggregate::*;
use kernels::attention::{delta::*, forward::*, gradient_kv::*, gradient_q::*, hopper::*};
use kernels::clip::*;
use kernels::compress::*;
use kernels::cross_entropy::{softmax_gradient_bf16, softmax_rebase, softmax_statistics_bf16};
use kernels::elementwise::*;
use kernels::embedding::{embedding_backward_bf16, embedding_forward_bf16};
use kernels::plain_attention::*;
use kernels::ranks::*;
use kernels::rms_norm::*;
use kernels::rope::rope_bf16;
use kernels::simt::{Bounds, Kernel, Parameter};
use kernels::sum_squares::{sum_of_partials, sum_squares_of_runs};
use kernels::swiglu::{swiglu_backward_bf16, swiglu_forward_bf16};
use ptx::{Function, Module, Numbers, Sources, TARGETS, Target, count, lint};

/// A kernel as the host launches it.
struct Declared {
    name: &'static str,
    parameters: &'static [Parameter],
    bounds: Option<Bounds>,
}

fn declared_as<K: Kernel>() -> Declared {
    Declared { name: K::NAME, parameters: K::PARAMETERS, bounds: K::BOUNDS }
}

macro_rules! kernels {
    ($($kernel:ty)*) => { vec![$(declared_as::<$kernel>()),*] };
}

/// All kernels. One that is missing here is found by its entry in the PTX.
fn declared() -> Vec<Declared> {
    kernels! {
        adamw_split
        adamw_stochastic
        add_bf16
        add_f32
        aggregate
        aggregate_check
        aggregate_tiles
        attention_delta_128
        attention_delta_256
        attention_delta_64
        attention_forward_128
        attention_forward_256
        attention_forward_64
        attention_forward_hopper_128
        attention_forward_hopper_256
        attention_forward_hopper_64
        attention_gradient_kv_128
        attention_gradient_kv_256
        attention_gradient_kv_64
        attention_gradient_q_128
        attention_gradient_q_256
        attention_gradient_q_64
        clip_gradient
        compress_select
        compress_select_tiles
        compress_subtract_sent
        embedding_backward_bf16
        embedding_forward_bf16
        fill_bf16
        fill_f32
        join_f32
        plain_attention_backward_keys
        plain_attention_backward_queries
        plain_attention_forward
        ranks_max_f32
        ranks_sum_bf16
        ranks_sum_f32
        rms_norm_backward_bf16
        rms_norm_backward_f32
        rms_norm_backward_gains
        rms_norm_forward_bf16
        rms_norm_forward_f32
        rms_norm_forward_residual_bf16
        rms_norm_forward_residual_f32
        rope_bf16
        scale_bf16
        scale_f32
        softmax_gradient_bf16
        softmax_rebase
        softmax_statistics_bf16
        split_f32
        sum_of_partials
        sum_squares_of_runs
        swiglu_backward_bf16
        swiglu_forward_bf16
        tally_loss
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn committed(target: &Target, extension: &str) -> PathBuf {
    root().join("kernels/ptx").join(target.name).with_extension(extension)
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn module(target: &Target) -> Module {
    Module::parse(&text_of(&committed(target, "ptx"))).unwrap()
}

#[test]
fn the_ptx_was_made_from_these_sources() {
    let sources = Sources::parse(&text_of(&root().join("kernels/ptx/sources.b3")));
    assert!(sources.files().any(|file| file == "kernels/src/lib.rs"));
    let stale = sources.stale(root());
    assert!(stale.is_empty(), "changed since kernels/ptx was made: {stale:?}; run ci/ptx --write");
}

#[test]
fn every_entry_takes_what_the_host_passes() {
    let declared = declared();
    for target in &TARGETS {
        for entry in module(target).entries() {
            let kernel = declared.iter().find(|kernel| kernel.name == entry.name);
            let kernel = kernel.unwrap_or_else(|| panic!("{} is not declared here", entry.name));
            let shape = |bytes: u32, align: u32| (bytes as usize, align as usize);
            let passed = kernel.parameters.iter().map(|p| shape(p.bytes, p.align));
            let taken = entry.params.iter().map(|param| (param.bytes, param.align));
            let (passed, taken): (Vec<_>, Vec<_>) = (passed.collect(), taken.collect());
            assert_eq!(passed, taken, "bytes and alignment of {} for {}", entry.name, target.name);
            assert_eq!(promised(kernel.bounds), entry.directives, "bounds of {}", entry.name);
        }
    }
}

/// Bounds as they stand at an entry.
fn promised(bounds: Option<Bounds>) -> Vec<String> {
    let lines = bounds.map(|Bounds { threads_max, blocks_min }| {
        [format!(".maxntid {threads_max}, 1, 1"), format!(".minnctapersm {blocks_min}")]
    });
    lines.into_iter().flatten().collect()
}

#[test]
fn hopper_has_every_kernel_and_the_others_a_part() {
    let names = |target: &Target| -> BTreeSet<String> {
        module(target).entries().map(|entry: &Function| entry.name.clone()).collect()
    };
    let [ampere, hopper, blackwell] = &TARGETS;
    let all: BTreeSet<_> = declared().iter().map(|kernel| kernel.name.to_string()).collect();
    assert_eq!(names(hopper), all);
    assert!(names(ampere).is_subset(&names(blackwell)));
    assert!(names(blackwell).is_subset(&all));
}

#[test]
fn the_committed_text_passes_the_lint_and_holds_what_its_table_says() {
    for target in &TARGETS {
        let module = module(target);
        let findings = lint(&module).unwrap();
        assert!(findings.is_empty(), "{}: {findings:#?}", target.name);

        let path = committed(target, "toml");
        let numbers = Numbers::parse(&path, &text_of(&path)).unwrap();
        for entry in module.entries() {
            let mut told = numbers.kernels[&entry.name].clone();
            let registers = told.remove("registers");
            assert!(registers.is_some() && told.remove("barriers").is_some(), "{}", entry.name);
            assert_eq!(told, count(entry), "{} for {}", entry.name, target.name);
        }
        assert_eq!(numbers.kernels.len(), module.entries().count());
    }
}
