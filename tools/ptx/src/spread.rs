//! How far a value is the same in neighbouring threads, found without running anything.
//!
//! A *group* of order n is 2^n threads in a row, the first a multiple of 2^n: a warp is of order 5,
//! a warpgroup of order 7. From `tid >> 7` or `tid < 256` it follows that all threads of a group
//! agree, which is what lets a warp-specialised kernel branch on its role.

use crate::flow::Step;
use crate::statement::Instruction;

/// Order of a warp.
pub(crate) const WARP: u8 = 5;
/// Order of a warpgroup.
pub(crate) const WARPGROUP: u8 = 7;
/// Order of the block, whatever its size.
pub(crate) const BLOCK: u8 = u8::MAX;
/// A register of this name holds what all threads of a block agree on, on its author's word: in
/// the vocabulary, `uniform(x)` copies through one, and the emulator checks the word.
const PROMISED: &str = "uniform";

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Not written yet.
    Unwritten,
    /// Equal within each group of this order.
    Same(u8),
    /// `(tid.x << shift) + u`, where u is a multiple of `2^(order + shift)` and equal within each
    /// group of that order.
    Thread { shift: u8, order: u8 },
}

/// What is known of an operand.
#[derive(Clone, Copy)]
enum Operand {
    Number(i64),
    Value(Spread),
}

impl Spread {
    /// What holds whichever of the two was written.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unwritten, known) | (known, Self::Unwritten) => known,
            (Self::Thread { shift, order: a }, Self::Thread { shift: other, order: b })
                if shift == other =>
            {
                Self::Thread { shift, order: a.min(b) }
            }
            _ => Self::Same(self.order().min(other.order())),
        }
    }

    /// What holds of it once threads meet again that only ran the write where groups of `order`
    /// agreed to.
    pub(crate) fn written_by_groups_of(self, order: u8) -> Self {
        match self {
            Self::Unwritten => Self::Unwritten,
            Self::Same(own) => Self::Same(own.min(order)),
            Self::Thread { shift, order: own } => Self::Thread { shift, order: own.min(order) },
        }
    }

    /// Order of the largest group that is sure to agree.
    pub(crate) fn order(self) -> u8 {
        match self {
            Self::Unwritten => BLOCK,
            Self::Same(order) => order,
            Self::Thread { .. } => 0,
        }
    }

    /// Order of the groups that agree on `self >> bits`.
    fn order_above(self, bits: u32) -> u8 {
        match self {
            Self::Thread { shift, order } => {
                u8::try_from(bits).unwrap_or(BLOCK).saturating_sub(shift).min(order)
            }
            _ => self.order(),
        }
    }
}

/// The registers that a step writes.
pub(crate) fn written<'s>(step: &'s Step<'_>) -> &'s [String] {
    let has_result = !is_without_result(step.instruction);
    if has_result { step.names.first().map_or(&[], Vec::as_slice) } else { &[] }
}

/// Whether a step writes what its author promises to be the same in the whole block.
pub(crate) fn is_promised(step: &Step<'_>) -> bool {
    written(step).iter().any(|name| name.split('#').next() == Some(PROMISED))
}

/// What a step makes of what it reads; `known` tells what is known of a register.
pub(crate) fn result(step: &Step<'_>, known: impl Fn(&str) -> Spread) -> Spread {
    let instruction = step.instruction;
    if is_promised(step) {
        return Spread::Same(BLOCK);
    }
    let sources = step.names.iter().zip(&instruction.operands).skip(1);
    let sources: Vec<Operand> = sources
        .map(|(names, text)| match number(text) {
            Some(number) => Operand::Number(number),
            None => {
                let spreads = names.iter().map(|name| special(name).unwrap_or_else(|| known(name)));
                let spread = spreads.reduce(Spread::or).unwrap_or(Spread::Same(BLOCK));
                // A vector or an address is made of its registers, and none of them.
                let is_register = names.len() == 1 && !text.contains(['[', '{']);
                let is_known = is_register || spread == Spread::Unwritten;
                Operand::Value(if is_known { spread } else { Spread::Same(spread.order()) })
            }
        })
        .collect();
    // Nothing is said of what depends on a register before that is written: the caller comes back.
    if sources.iter().any(|source| matches!(source, Operand::Value(Spread::Unwritten))) {
        return Spread::Unwritten;
    }
    across_threads(instruction, &sources).unwrap_or_else(|| arithmetic(instruction, &sources))
}

/// Operations whose result is not made of the thread's own operands alone.
fn across_threads(instruction: &Instruction, sources: &[Operand]) -> Option<Spread> {
    let order = plain(sources);
    let last_is_all = matches!(sources.last(), Some(Operand::Number(-1 | 0xffff_ffff)));
    let warp_wide = Some(Spread::Same(if last_is_all { order.max(WARP) } else { 0 }));
    match instruction.stem() {
        "vote" | "redux" => warp_wide,
        "match" if instruction.has("all") => warp_wide,
        "shfl" => Some(Spread::Same(shuffled(instruction, sources, last_is_all))),
        "bar" | "barrier" => Some(Spread::Same(if sources.len() == 2 { BLOCK } else { WARP })),
        "ld" => ["volatile", "acquire", "relaxed", "mmio"]
            .iter()
            .any(|word| instruction.has(word))
            .then_some(Spread::Same(0)),
        "atom" | "match" | "elect" | "activemask" | "mbarrier" | "mma" | "wmma" | "ldmatrix"
        | "movmatrix" | "wgmma" | "tcgen05" => Some(Spread::Same(0)),
        _ => None,
    }
}

/// Order of what a shuffle brings: one lane's value to all, or else a value that was the same in
/// the warp before.
fn shuffled(instruction: &Instruction, sources: &[Operand], is_whole_warp: bool) -> u8 {
    let order = plain(sources);
    let tells_range = instruction.operands.first().is_some_and(|result| result.contains('|'));
    let from_one_lane = instruction.has("idx")
        && matches!(sources, [_, lane, Operand::Number(31), _]
        if of(*lane) >= WARP);
    match () {
        () if tells_range || !is_whole_warp => 0,
        () if from_one_lane => order.max(WARP),
        () if order >= WARP => order,
        () => 0,
    }
}

fn arithmetic(instruction: &Instruction, sources: &[Operand]) -> Spread {
    use Operand::{Number, Value};
    let same = Spread::Same(plain(sources));
    match (instruction.stem(), sources) {
        ("mov", [Value(value)]) => *value,
        ("cvt", [Value(value)]) if is_integer(instruction) => *value,
        ("add" | "sub", [Value(Spread::Thread { shift, order }), Number(n)])
            if is_integer(instruction) && n.trailing_zeros() >= u32::from(*shift) =>
        {
            let own = u8::try_from(n.trailing_zeros()).unwrap_or(BLOCK) - shift;
            Spread::Thread { shift: *shift, order: own.min(*order) }
        }
        ("shl", [Value(Spread::Thread { shift, order }), Number(bits @ 0..32)]) => {
            Spread::Thread { shift: shift + *bits as u8, order: *order }
        }
        ("mul", [Value(Spread::Thread { shift, order }), Number(n)])
            if *n > 0 && n.count_ones() == 1 && *shift < 32 && !instruction.has("hi") =>
        {
            Spread::Thread { shift: shift + n.trailing_zeros() as u8, order: *order }
        }
        ("shr" | "bfe", [Value(value), Number(bits @ 0..64), ..]) => {
            Spread::Same(value.order_above(*bits as u32))
        }
        ("and", [Value(value), Number(mask)]) => {
            Spread::Same(value.order_above(mask.trailing_zeros()))
        }
        ("setp", [Value(value), Number(n)]) => {
            let bound = match () {
                () if instruction.has("lt") || instruction.has("ge") => Some(*n),
                () if instruction.has("gt") || instruction.has("le") => n.checked_add(1),
                () => None,
            };
            match bound {
                Some(bound) => Spread::Same(value.order_above(bound.trailing_zeros())),
                None => same,
            }
        }
        _ => same,
    }
}

/// Whether each type in the opcode is an integer of at least 32 bits, so that no bits are lost but
/// the highest.
fn is_integer(instruction: &Instruction) -> bool {
    let kinds = instruction.opcode.split('.').skip(1);
    kinds.into_iter().all(|kind| matches!(kind, "u32" | "s32" | "u64" | "s64" | "b32" | "b64"))
}

fn plain(sources: &[Operand]) -> u8 {
    sources.iter().map(|source| of(*source)).min().unwrap_or(BLOCK)
}

fn of(operand: Operand) -> u8 {
    match operand {
        Operand::Number(_) => BLOCK,
        Operand::Value(spread) => spread.order(),
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// What is known of a special register; `None` for any other name.
fn special(name: &str) -> Option<Spread> {
    let register = name.strip_prefix('%')?;
    let root = register.split('.').next().unwrap_or_default();
    match root {
        "tid" if register == "tid.x" => Some(Spread::Thread { shift: 0, order: BLOCK }),
        "warpid" => Some(Spread::Same(WARP)),
        "tid" | "laneid" | "clock" | "clock_hi" | "clock64" | "globaltimer" | "globaltimer_lo" => {
            Some(Spread::Same(0))
        }
        _ if root.starts_with("lanemask") => Some(Spread::Same(0)),
        "ntid"
        | "ctaid"
        | "nctaid"
        | "nwarpid"
        | "smid"
        | "nsmid"
        | "gridid"
        | "clusterid"
        | "nclusterid"
        | "cluster_ctaid"
        | "cluster_nctaid"
        | "cluster_ctarank"
        | "cluster_nctarank"
        | "is_explicit_cluster"
        | "dynamic_smem_size"
        | "total_smem_size" => Some(Spread::Same(BLOCK)),
        _ => None,
    }
}

fn is_without_result(instruction: &Instruction) -> bool {
    match instruction.stem() {
        "st" | "red" | "membar" | "fence" | "cp" | "prefetch" | "prefetchu" | "bra" | "brx"
        | "ret" | "exit" | "trap" | "brkpt" | "stmatrix" | "setmaxnreg" | "griddepcontrol"
        | "nanosleep" | "discard" | "applypriority" | "tensormap" | "pmevent" | "call" => true,
        "bar" | "barrier" => !instruction.has("red"),
        "wgmma" => !instruction.has("mma_async"),
        "mbarrier" => {
            ["init", "inval"].iter().any(|word| instruction.has(word))
                || (instruction.has("expect_tx") && !instruction.has("arrive"))
                || (instruction.has("complete_tx") && !instruction.has("arrive"))
        }
        "tcgen05" => !instruction.has("ld"),
        "multimem" => !instruction.has("ld_reduce"),
        _ => false,
    }
}
