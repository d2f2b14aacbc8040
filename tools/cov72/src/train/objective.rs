//! What a run trains towards, and whether its data can say what that is.

use runtime::dataset::{BatchRules, Dataset, SAMPLE_TOKENS, Targets};
use wire::{Objective, RunDescription};

use crate::config::Config;
use crate::failure::Failure;

/// How samples of `dataset` become what `run` trains on, and is judged by.
pub(crate) fn rules(run: &RunDescription, dataset: &Dataset) -> BatchRules {
    let eos = dataset.description().and_then(|description| description.eos);
    let eos = eos.filter(|_| !run.documents.train_eos);
    let targets = match run.objective {
        Objective::Pretrain => Targets::Text { eos },
        Objective::Sft => Targets::Answers,
    };
    BatchRules {
        seq_len: run.model.seq_len,
        vocab: run.model.vocab as u32,
        targets,
        document_masks: run.documents.masks,
    }
}

/// Refuses data in which nothing says what an answer is, or in which the model's sequences would
/// cut conversations in two, if answers are what is trained on.
pub(super) fn check_data(config: &Config, dataset: &Dataset) -> Result<(), Failure> {
    let (dir, seq_len) = (dataset.dir().display(), config.model.seq_len);
    if config.objective != Objective::Sft {
        return Ok(());
    }
    if !dataset.has_mask() {
        return Err(Failure::precondition(format!(
            "{dir} has no loss mask, so nothing says which tokens are answers; make shards of \
             conversations with: cov72 data chat --jsonl FILE --seq-len {seq_len} --out DIR"
        )));
    }
    let about = dataset.description().and_then(|about| about.conversations.as_ref());
    let row = about.map_or(SAMPLE_TOKENS, |conversations| conversations.row_tokens as usize);
    if row == 0 || !seq_len.is_multiple_of(row) {
        return Err(Failure::precondition(format!(
            "{dir} has conversations in rows of {row} tokens, which sequences of {seq_len} would \
             cut; make them anew with: cov72 data chat --seq-len {seq_len}, or set model.seq_len = \
             {row}"
        )));
    }
    Ok(())
}

/// Refuses to pre-train on conversations, prompts and all, unless that was asked for.
pub(crate) fn refuse_unasked(
    config: &Config,
    asked: Option<Objective>,
    dataset: &Dataset,
) -> Result<(), Failure> {
    if config.objective != Objective::Pretrain || asked.is_some() || !dataset.has_mask() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} holds conversations with a loss mask; learn their answers by --objective sft, or say \
         --objective pretrain to learn every token of them",
        dataset.dir().display()
    )))
}
