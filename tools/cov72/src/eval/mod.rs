//! `cov72 eval`: benchmarks of a model, scored as lm-evaluation-harness scores them.

mod files;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use model::eval::{
    ANSWER_TOKENS_MAX, Asked, Judge, JudgeError, Perplexity, Problem, STOPS, Shots, Task, task,
    task_names,
};
use runtime::dataset::rows;

use crate::failure::Failure;
use crate::generate::source::{Source, SourceArgs};
use report::{Report, Scores};

/// The task that is no questions but a text.
const PERPLEXITY: &str = "perplexity";

const EXAMPLES: &str = "\
Examples:
  cov72 eval --model runs/nano --tasks perplexity --data book.txt
  cov72 eval --model ~/models/SmolLM2-360M --tasks arc_easy,piqa --data ~/datasets
  cov72 eval --model models/smol --tasks mmlu --num-fewshot 5 --data ~/datasets --json
  cov72 eval --model models/smol --tasks gsm8k --data ~/datasets --limit 200
Tasks: arc_challenge, arc_easy, gsm8k, hellaswag, mmlu, openbookqa, piqa, winogrande, perplexity.
--data holds datasets as the hub lays them out, e.g. allenai/ai2_arc/ARC-Easy/test-*.parquet.";

/// Ask a model what it knows: multiple choice, problems to solve, or the perplexity of a text.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Names of tasks, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    tasks: Vec<String>,
    /// Folder of datasets; for perplexity also a text, or a file of rows
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Examples before each question [default: 5 for gsm8k, 0 for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=100))]
    num_fewshot: Option<u16>,
    /// Column of the text in a file of rows, for perplexity
    #[arg(long, value_name = "NAME", default_value = "text")]
    column: String,
    /// Ask only the first so many rows of each task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Tokens that the model sees at most [default: its sequence length]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    context: Option<u32>,
    /// Answers that are scored side by side
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: u16,
    /// Print results in the harness's shape as one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs) -> Result<(), Failure> {
    let known = || task_names().chain([PERPLEXITY]);
    if let Some(name) = args.tasks.iter().find(|name| !known().any(|known| known == *name)) {
        let known = known().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("there is no task {name}; there are {known}")));
    }
    let started = Instant::now();
    // Files are looked for before a model is read, which may take long.
    let tasks: Vec<Task> = args.tasks.iter().filter_map(|name| task(name)).collect();
    let found = tasks.iter().map(|task| Rows::of(task, args));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let texts = match args.tasks.iter().any(|name| name == PERPLEXITY) {
        true => Some(files::texts(&args.data)?),
        false => None,
    };
    let source = Source::open(&args.source)?;
    let most = args.context.map_or(source.spec.seq_len, |most| most as usize);
    if most > source.spec.seq_len {
        return Err(Failure::usage(format!(
            "--context {most} is more than the {} tokens that the model takes",
            source.spec.seq_len
        )));
    }
    let decoder = source.decoder(usize::from(args.batch), most)?;
    let mut report = Report::new(source.name());
    let mut judge = Judge::new(decoder, Arc::clone(&source.tokenizer), source.begin, source.ends);
    for (task, rows) in tasks.iter().zip(found) {
        let shots = rows.shots;
        report.add_task(task, shots, &ask(task, rows, args.limit, &mut judge)?);
    }
    if let Some(files) = texts {
        report.add_perplexity(PERPLEXITY, surprise(&files, args, &mut judge)?);
    }
    report.print(started.elapsed().as_secs_f64(), args.json)
}

fn bar(name: &str, style: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(style).expect("the template is well formed");
    ProgressBar::new(length).with_style(style).with_message(name.to_string())
}

/// Where the rows of a task lie.
struct Rows {
    asked: Vec<PathBuf>,
    /// Examples before each question, and the files that they come from.
    shots: usize,
    examples: Vec<PathBuf>,
}

impl Rows {
    fn of(task: &Task, args: &EvalArgs) -> Result<Self, Failure> {
        let shots = args.num_fewshot.map_or(task.shots, usize::from);
        let examples = match shots {
            0 => Vec::new(),
            _ => files::of_task(task, task.examples, &args.data)?,
        };
        Ok(Self { asked: files::of_task(task, task.split, &args.data)?, shots, examples })
    }

    /// All rows that examples may be.
    fn shots(&self, task: &Task) -> Result<Shots, Failure> {
        let mut all = Vec::new();
        for file in &self.examples {
            for row in rows::open(file)? {
                all.push(row?);
            }
        }
        Ok(Shots::new(*task, all, self.shots))
    }
}

/// Asks about each row of a task.
fn ask(task: &Task, found: Rows, limit: Option<u64>, judge: &mut Judge) -> Result<Scores, Failure> {
    let mut shots = found.shots(task)?;
    let files = found.asked;
    eprintln!("{}: {}", task.name, files::named(&files));
    let bytes = files.iter().map(|file| file.metadata().map_or(0, |about| about.len())).sum();
    let progress = bar(task.name, "{msg} {bar:30} {percent} % {eta} left", bytes);
    let (mut scores, mut passed, mut asked) = (Scores::default(), 0, 0);
    let mut problems = Vec::new();
    for file in &files {
        let mut rows = rows::open(file)?;
        while let Some(row) = rows.next().transpose()? {
            if limit.is_some_and(|limit| asked >= limit) {
                break;
            }
            asked += 1;
            match shots.question(&row).map_err(|why| rows.error(why))? {
                Asked::Choice(question) => {
                    let found = judge.likelihoods(&question.requests);
                    let found = found.map_err(|error| rows.error(error))?;
                    scores.add(question.answered(&found));
                }
                Asked::Written(problem) => problems.push(problem),
            }
            if problems.len() == judge.slots() {
                solve(&mut problems, judge, &mut scores).map_err(|error| rows.error(error))?;
            }
            progress.set_position(passed + rows.read_bytes());
        }
        solve(&mut problems, judge, &mut scores).map_err(|error| rows.error(error))?;
        passed += rows.read_bytes();
    }
    progress.finish_and_clear();
    match scores.rows {
        0 => Err(Failure::precondition(format!(
            "{} holds no row to ask about; fetch the dataset anew",
            files::named(&files)
        ))),
        _ => Ok(scores),
    }
}

/// Has the model write solutions, as many side by side as it has sequences.
fn solve(
    problems: &mut Vec<Problem>,
    judge: &mut Judge,
    scores: &mut Scores,
) -> Result<(), JudgeError> {
    let prompts: Vec<String> = problems.iter().map(|problem| problem.prompt.clone()).collect();
    let texts = judge.written(&prompts, &STOPS, ANSWER_TOKENS_MAX)?;
    for (problem, text) in problems.drain(..).zip(&texts) {
        scores.add_solved(&problem.solved(text));
    }
    Ok(())
}

/// Scores texts, one after another.
fn surprise(
    files: &[PathBuf],
    args: &EvalArgs,
    judge: &mut Judge,
) -> Result<(Perplexity, u64), Failure> {
    let (mut sum, mut documents) = (Perplexity::default(), 0);
    for file in files {
        eprintln!("{PERPLEXITY}: {}", file.display());
        for text in files::documents(file, &args.column)? {
            if args.limit.is_some_and(|limit| documents >= limit) {
                return Ok((sum, documents));
            }
            let text = text?;
            if text.is_empty() {
                continue;
            }
            let progress = bar(PERPLEXITY, "{msg} {bar:30} {pos}/{len} tokens, {eta} left", 0);
            let nats = judge.rolling(&text, |done, of| {
                progress.set_length(of as u64);
                progress.set_position(done as u64);
            });
            progress.finish_and_clear();
            let nats = nats
                .map_err(|error| Failure::precondition(format!("{}: {error}", file.display())))?;
            sum = sum.and(Perplexity::of(&text, nats));
            documents += 1;
        }
    }
    match documents {
        0 => Err(Failure::precondition(format!("{} holds no text", files::named(files)))),
        _ => Ok((sum, documents)),
    }
}
