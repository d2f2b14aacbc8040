//! `cov72 wallet`: hotkeys where Bittensor's tools keep them. A node needs no coldkey.

use std::io::Read;
use std::path::{Path, PathBuf};

use chain::wallet::{Root, hotkey_path, read_address, ss58, write_hotkey};
use clap::{Args, Subcommand};
use serde::Serialize;
use wire::Hotkey;

use super::ask_secret;
use crate::failure::Failure;
use crate::stdout;

/// More than any phrase has, in bytes.
const SECRET_BYTES_MAX: u64 = 1_024;

const EXAMPLES: &str = "\
Examples:
  cov72 wallet create --wallet main --hotkey alice    a new key, in ~/.bittensor/wallets
  cov72 wallet import --hotkey bob < phrase.txt       the key of a phrase, or of a seed of 64 digits
  cov72 wallet show --wallet main --hotkey alice
  cov72 wallet list --json";

/// Make hotkeys, and look at them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WalletArgs {
    #[command(subcommand)]
    command: WalletCommand,
}

#[derive(Debug, Subcommand)]
enum WalletCommand {
    /// Draw a new hotkey, and show its phrase once
    Create(KeyName),
    /// Take the hotkey whose phrase or seed comes on stdin, or is typed
    Import(KeyName),
    /// Show a hotkey's public half
    Show(Show),
    /// List all hotkeys
    List(List),
}

#[derive(Args, Debug)]
struct Folder {
    /// Folder of all wallets [default: ~/.bittensor/wallets]
    #[arg(long, value_name = "DIR")]
    wallets: Option<PathBuf>,
}

/// A hotkey by its names.
#[derive(Args, Debug)]
pub(crate) struct KeyName {
    #[command(flatten)]
    folder: Folder,
    /// The wallet [default: default]
    #[arg(long, value_name = "NAME")]
    wallet: Option<String>,
    /// The hotkey in it [default: default]
    #[arg(long, value_name = "NAME")]
    hotkey: Option<String>,
}

#[derive(Args, Debug)]
struct Show {
    #[command(flatten)]
    key: KeyName,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    folder: Folder,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// The contract of `wallet show --json`: other tools rely on these keys.
#[derive(Serialize)]
struct PublicKey {
    address: String,
    public_key: Hotkey,
}

/// The contract of `wallet list --json`.
#[derive(Serialize)]
struct Listing {
    keys: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    wallet: String,
    hotkey: String,
    address: Option<String>,
    /// Why there is no address.
    fault: Option<String>,
}

impl Folder {
    fn path(&self) -> Result<PathBuf, Failure> {
        let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".bittensor/wallets"));
        let path = self.wallets.clone().or_else(home);
        path.ok_or_else(|| Failure::usage("there is no home folder; give --wallets DIR"))
    }
}

impl KeyName {
    /// Whether any part of it is given.
    pub(crate) fn is_given(&self) -> bool {
        self.wallet.is_some() || self.hotkey.is_some()
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Failure> {
        let [wallet, hotkey] =
            [&self.wallet, &self.hotkey].map(|name| name.as_deref().unwrap_or("default"));
        Ok(hotkey_path(&self.folder.path()?, wallet, hotkey)?)
    }
}

/// Runs the command.
pub(crate) fn run(args: &WalletArgs) -> Result<(), Failure> {
    match &args.command {
        WalletCommand::Create(name) => create(&name.path()?),
        WalletCommand::Import(name) => {
            let path = name.path()?;
            let hotkey = write_hotkey(&path, &typed()?)?;
            eprintln!("{} holds this key", path.display());
            show(hotkey, false)
        }
        WalletCommand::Show(args) => show(read_address(&args.key.path()?)?, args.json),
        WalletCommand::List(args) => list(&args.folder.path()?, args.json),
    }
}

fn create(path: &Path) -> Result<(), Failure> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::ours(format!("cannot draw a key: {error}")))?;
    let root = Root::of_bits(bits);
    let hotkey = write_hotkey(path, &root)?;
    eprintln!("{} holds this key, which grows from these words:", path.display());
    eprintln!("\n    {}\n", root.phrase().unwrap_or_default());
    eprintln!("They are shown this once: write them down, for whoever has them has the key.");
    show(hotkey, false)
}

fn show(hotkey: Hotkey, json: bool) -> Result<(), Failure> {
    let address = ss58(hotkey);
    match json {
        true => stdout::print_json(&PublicKey { address, public_key: hotkey }),
        false => stdout::print(|out| writeln!(out, "{address}  0x{hotkey}")),
    }
}

/// The key that somebody types or pipes. No message repeats what was there.
fn typed() -> Result<Root, Failure> {
    let text = ask_secret("phrase or seed: ").or_else(|| {
        let mut text = String::new();
        let stdin = std::io::stdin().lock();
        stdin.take(SECRET_BYTES_MAX).read_to_string(&mut text).ok().map(|_| text)
    });
    text.as_deref().and_then(Root::parse).ok_or_else(|| {
        Failure::usage(
            "this is no key; give the 12 to 24 words of a phrase, or a seed of 64 hex digits",
        )
    })
}

/// Every hotkey, by wallet and name. Files that do not open are listed with the reason.
fn list(wallets: &Path, json: bool) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for wallet in names(wallets) {
        let folder = wallets.join(&wallet).join("hotkeys");
        for hotkey in names(&folder) {
            let read = read_address(&folder.join(&hotkey));
            let (address, fault) = match read {
                Ok(hotkey) => (Some(ss58(hotkey)), None),
                Err(error) => (None, Some(error.to_string())),
            };
            keys.push(Listed { wallet: wallet.clone(), hotkey, address, fault });
        }
    }
    if json {
        return stdout::print_json(&Listing { keys });
    }
    if keys.is_empty() {
        eprintln!("{} holds no hotkey; make one with cov72 wallet create", wallets.display());
    }
    stdout::print(|out| {
        for Listed { wallet, hotkey, address, fault } in &keys {
            let told = address.as_ref().or(fault.as_ref()).map_or("", String::as_str);
            writeln!(out, "{wallet}/{hotkey}  {told}")?;
        }
        Ok(())
    })
}

/// The names in a folder that may be wallets or keys, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_key = |name: &String| !name.ends_with("pub.txt") && !name.starts_with('.');
    let mut names: Vec<_> = names.filter(is_key).collect();
    names.sort();
    names
}
