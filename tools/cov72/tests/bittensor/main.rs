//! The commands on Bittensor, against the double of a node that the client is tested with.
//!
//! The double needs a runtime's description of itself, as `SUBTENSOR_METADATA` names it; without it
//! the tests that need it skip.

#[path = "../../../../chain/client/tests/double/mod.rs"]
#[allow(dead_code, reason = "the client's tests use all of it")]
mod double;
mod init;
mod look;
mod network;
#[path = "../../../../chain/client/tests/socket/mod.rs"]
#[allow(dead_code, reason = "the client's tests use all of it")]
mod socket;
mod wallet;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chain::subtensor::{Connection, Subtensor, SubtensorOptions};
use chain::{Chain, SystemClock};
use double::{Double, Fixed, description, fund, stake};
use socket::{Frames, Server};
use wire::{Keypair, Netuid, Uid};

const NETUID: Netuid = Netuid(3);
const FIXED: Fixed = Fixed {
    block_ms: 12_000,
    seats_max: 16,
    weights_every: 100,
    price_rao: 500_000_000,
    sealed: false,
    one_look: true,
};

/// A folder of a test, in which commands run.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cov72"));
        command.current_dir(self.dir.path()).args(arguments).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env_remove("COV72_WALLET_PASSWORD");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// What a command that succeeds writes to stdout.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The last line of a command that fails with `exit`, and writes nothing to stdout.
    fn refusal(&self, arguments: &[&str], exit: i32) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "stdout is for data");
        text.lines().last().unwrap_or_default().to_string()
    }
}

/// A node of Bittensor in this process.
struct Bittensor {
    double: Arc<Double>,
    server: Server,
}

impl Bittensor {
    /// None if no runtime's description is at hand.
    fn start(fixed: Fixed) -> Option<Self> {
        let double = Arc::new(Double::new(description()?, fixed));
        let node = Arc::clone(&double);
        let server =
            Server::start(Frames::Whole, move |method, params| node.answer(method, params));
        Some(Self { double, server })
    }

    /// Buys a seat.
    fn seat(&self, hotkey: &Keypair) -> Uid {
        self.client().register(NETUID, hotkey).unwrap()
    }

    /// A client whose coldkey can pay for a seat.
    fn client(&self) -> Subtensor {
        fund(&self.double, key(200).hotkey(), FIXED.price_rao);
        let connection =
            Connection::new(vec![self.server.url()], None, Duration::from_secs(20)).unwrap();
        let options = SubtensorOptions {
            netuid: NETUID,
            look: Duration::ZERO,
            patience: Duration::from_secs(60),
            payer: Some((key(200), FIXED.price_rao)),
        };
        Subtensor::new(Arc::new(connection), options, Arc::new(SystemClock))
    }
}

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}
