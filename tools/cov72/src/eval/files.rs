//! Where the rows of a task lie: datasets in local files, named as the hub names them.

use std::path::{Path, PathBuf};

use model::eval::Task;
use runtime::dataset::rows::{self, Format};

use crate::failure::Failure;

/// Largest plain text that is scored at once.
const TEXT_BYTES_MAX: u64 = 1 << 30;

/// The files of a split of a task's dataset under `data`, in the order of their names.
pub(super) fn of_task(task: &Task, split: &str, data: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (dataset, config) = task.dataset;
    let name = dataset.rsplit('/').next().unwrap_or(dataset);
    let mut folders: Vec<PathBuf> = [dataset, name]
        .iter()
        .flat_map(|dataset| [data.join(dataset).join(config), data.join(dataset)])
        .collect();
    folders.push(data.join(task.name));
    for folder in &folders {
        for folder in [folder.clone(), folder.join("data")] {
            let files = rows_in(&folder, split)?;
            if !files.is_empty() {
                return Ok(files);
            }
        }
    }
    let looked = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
    Err(Failure::precondition(format!(
        "no rows for {}: there is no {split}*.parquet or .jsonl in {}; get the dataset {dataset} \
         from the hub, configuration {config}, and name the folder that holds it by --data",
        task.name,
        looked.join(", ")
    )))
}

/// Files of rows in `folder` whose names begin with `split`.
fn rows_in(folder: &Path, split: &str) -> Result<Vec<PathBuf>, Failure> {
    let of_split = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let rest = name.and_then(|name| name.strip_prefix(split));
        rest.is_some_and(|rest| rest.starts_with(['.', '-', '_'])) && Format::of(path).is_some()
    };
    listed(folder, &of_split)
}

fn listed(folder: &Path, is_wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |error| Failure::io("read", folder, &error);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.retain(|path| is_wanted(path));
    paths.sort();
    Ok(paths)
}

/// Texts to be surprised by: a file, or all `.txt` of a folder.
pub(super) fn texts(data: &Path) -> Result<Vec<PathBuf>, Failure> {
    if data.is_file() {
        return Ok(vec![data.to_path_buf()]);
    }
    let is_text = |path: &Path| path.extension().is_some_and(|extension| extension == "txt");
    let files = listed(data, &is_text)?;
    match files.is_empty() {
        false => Ok(files),
        true => Err(Failure::precondition(format!(
            "no text for perplexity: {} is no file and holds no .txt; name a text, or a file of \
             rows, by --data",
            data.display()
        ))),
    }
}

/// The documents of a file: the whole of a text, or a column of each row.
pub(super) fn documents(
    file: &Path,
    column: &str,
) -> Result<Box<dyn Iterator<Item = Result<String, Failure>>>, Failure> {
    if Format::of(file).is_none() {
        return Ok(Box::new(std::iter::once(whole(file))));
    }
    let (mut rows, column) = (rows::open(file)?, column.to_string());
    Ok(Box::new(std::iter::from_fn(move || {
        let row = rows.next()?;
        let text = row.and_then(|row| match row.get(&column).and_then(|text| text.as_str()) {
            Some(text) => Ok(text.to_string()),
            None => {
                let present = row.keys().take(20).cloned().collect::<Vec<_>>().join(", ");
                Err(rows
                    .error(format!("it has no text in {column}, but [{present}]; use --column")))
            }
        });
        Some(text.map_err(Failure::from))
    })))
}

fn whole(file: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::io("read", file, &error);
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    if bytes > TEXT_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{} has {bytes} bytes, and a text at most {TEXT_BYTES_MAX}; split it",
            file.display()
        )));
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// Names of files for people.
pub(super) fn named(files: &[PathBuf]) -> String {
    match files {
        [] => "nothing".to_string(),
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
    }
}
