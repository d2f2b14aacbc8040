//! `cov72 wallet`: hotkeys where Bittensor's tools keep them. The coldkey is no business of a node.

use std::io::Read;
use std::path::{Path, PathBuf};

use chain::wallet::{hotkey_path, read_hotkey, ss58, write_hotkey};
use clap::{Args, Subcommand};
use wire::{Digest, Hotkey};

use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 wallet create --wallet main --hotkey alice     a new key, in ~/.bittensor/wallets
  cov72 wallet import --hotkey bob < seed.txt          the key of a seed of 64 hex digits
  cov72 wallet list";

/// Make hotkeys, and look at them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WalletArgs {
    #[command(subcommand)]
    command: WalletCommand,
}

#[derive(Debug, Subcommand)]
enum WalletCommand {
    /// Draw a new hotkey
    Create(KeyName),
    /// Take the hotkey whose seed (64 hex digits) comes on stdin
    Import(KeyName),
    /// Show a hotkey's public half
    Show(KeyName),
    /// List all hotkeys
    List(Folder),
}

#[derive(Args, Debug)]
struct Folder {
    /// Folder of all wallets [default: ~/.bittensor/wallets]
    #[arg(long, value_name = "DIR")]
    wallets: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct KeyName {
    #[command(flatten)]
    folder: Folder,
    /// The wallet
    #[arg(long, value_name = "NAME", default_value = "default")]
    wallet: String,
    /// The hotkey in it
    #[arg(long, value_name = "NAME", default_value = "default")]
    hotkey: String,
}

impl Folder {
    fn path(&self) -> Result<PathBuf, Failure> {
        let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".bittensor/wallets"));
        let path = self.wallets.clone().or_else(home);
        path.ok_or_else(|| Failure::usage("there is no home folder; give --wallets DIR"))
    }
}

impl KeyName {
    fn path(&self) -> Result<PathBuf, Failure> {
        Ok(hotkey_path(&self.folder.path()?, &self.wallet, &self.hotkey)?)
    }
}

/// Runs the command.
pub(crate) fn run(args: &WalletArgs) -> Result<(), Failure> {
    match &args.command {
        WalletCommand::Create(name) => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed)
                .map_err(|error| Failure::ours(format!("cannot draw a key: {error}")))?;
            write(&name.path()?, seed)
        }
        WalletCommand::Import(name) => write(&name.path()?, seed_of(std::io::stdin().lock())?),
        WalletCommand::Show(name) => show(read_hotkey(&name.path()?)?.hotkey()),
        WalletCommand::List(folder) => list(&folder.path()?),
    }
}

fn write(path: &Path, seed: [u8; 32]) -> Result<(), Failure> {
    let hotkey = write_hotkey(path, seed)?;
    eprintln!("{} holds the only copy of this key; keep one elsewhere", path.display());
    show(hotkey)
}

fn show(hotkey: Hotkey) -> Result<(), Failure> {
    stdout::print(|out| writeln!(out, "{}  {hotkey}", ss58(hotkey)))
}

/// The seed on stdin. No message repeats what was there.
fn seed_of(from: impl Read) -> Result<[u8; 32], Failure> {
    let mut text = String::new();
    let read = from.take(256).read_to_string(&mut text);
    let digits = text.trim();
    let seed = digits.strip_prefix("0x").unwrap_or(digits).parse::<Digest>().ok();
    let seed = read.ok().and(seed).map(|Digest(seed)| seed);
    seed.ok_or_else(|| Failure::usage("stdin holds no seed; give one line of 64 hex digits"))
}

/// Every hotkey, by wallet and name. Files that do not open are listed with the reason.
fn list(wallets: &Path) -> Result<(), Failure> {
    let names = |dir: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    stdout::print(|out| {
        for wallet in names(wallets) {
            for hotkey in names(&wallets.join(&wallet).join("hotkeys")) {
                if hotkey.ends_with("pub.txt") || hotkey.starts_with('.') {
                    continue;
                }
                let path = wallets.join(&wallet).join("hotkeys").join(&hotkey);
                match read_hotkey(&path) {
                    Ok(key) => writeln!(out, "{wallet}/{hotkey}  {}", ss58(key.hotkey()))?,
                    Err(error) => writeln!(out, "{wallet}/{hotkey}  {error}")?,
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reads_with_and_without_prefix_and_is_never_repeated() {
        let seed = "ab".repeat(32);
        assert_eq!(seed_of(seed.as_bytes()).unwrap(), [0xab; 32]);
        assert_eq!(seed_of(format!("0x{seed}\n").as_bytes()).unwrap(), [0xab; 32]);
        let refused = seed_of(format!("{seed}zz").as_bytes()).unwrap_err();
        assert_eq!(refused.exit, 2);
        assert!(!refused.message.contains("abab"), "{}", refused.message);
    }
}
