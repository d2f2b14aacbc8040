//! The dev chain: the conformance suite in both block modes, and many users of one file at once.

mod conformance;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Barrier};

use chain::{
    Blocks, COMMITMENTS_MAX, Chain, ChainError, Clock, DevChain, DevChainOptions, ManualClock,
    SystemClock,
};
use conformance::{SEATS_MAX, Subject};
use wire::{BlockNumber, Keypair, Netuid};

const NETUID: Netuid = Netuid(1);
const START_MS: u64 = 1_700_000_000_000;

struct Local {
    chain: DevChain,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

impl Local {
    fn new(blocks: Blocks) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(START_MS));
        let options = DevChainOptions { blocks, seats_max: SEATS_MAX, ..Default::default() };
        let file = folder.path().join("chain.sqlite");
        let chain = DevChain::create(&file, options, clock.clone()).unwrap();
        Self { chain, clock, _folder: folder }
    }
}

impl Subject for Local {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn advance(&self, blocks: u64) {
        match self.chain.options().blocks {
            Blocks::OnDemand => drop(self.chain.advance(blocks).unwrap()),
            Blocks::EveryMs(block_ms) => self.clock.advance_ms(blocks * block_ms),
        }
    }

    fn stake(&self, hotkey: &Keypair) {
        let more_rao = self.chain.head().unwrap().number.0;
        self.chain.set_stake(hotkey.hotkey(), 20_000_000_000_000 + more_rao).unwrap();
    }
}

fn options(blocks: Blocks) -> DevChainOptions {
    DevChainOptions { blocks, ..Default::default() }
}

fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

#[test]
fn every_rule_holds_with_blocks_on_demand() {
    conformance::every_rule_holds(|| Local::new(Blocks::OnDemand));
}

#[test]
fn every_rule_holds_with_blocks_by_the_clock() {
    conformance::every_rule_holds(|| Local::new(Blocks::EveryMs(12_000)));
}

#[test]
fn a_chain_in_memory_works_too() {
    let clock = Arc::new(ManualClock::new(START_MS));
    let chain = DevChain::in_memory(DevChainOptions::default(), clock).unwrap();
    chain.register(NETUID, &Keypair::from_seed([1; 32])).unwrap();
    assert_eq!(chain.advance(4).unwrap().number, BlockNumber(5));
}

#[test]
fn all_processes_see_the_same_blocks_and_the_first_ones_options() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.sqlite");
    let clock = Arc::new(ManualClock::new(START_MS));
    let one = DevChain::create(&file, options(Blocks::EveryMs(250)), clock.clone()).unwrap();
    clock.advance_ms(10_000);
    let two = DevChain::create(&file, options(Blocks::OnDemand), clock.clone()).unwrap();
    let three = DevChain::open(&file, clock).unwrap();
    assert_eq!(two.options(), one.options());
    assert_eq!(one.head().unwrap().number, BlockNumber(41));
    assert_eq!(two.head().unwrap(), one.head().unwrap());
    assert_eq!(three.head().unwrap(), one.head().unwrap());
    assert!(matches!(two.advance(1), Err(ChainError::BlocksByClock { block_ms: 250 })));
}

#[test]
fn waiting_sleeps_until_the_block_is_due_and_no_longer() {
    let local = Local::new(Blocks::EveryMs(12_000));
    let minute = std::time::Duration::from_secs(60);
    let head = local.chain.wait_for_block(BlockNumber(3), minute).unwrap();
    assert_eq!(head.number, BlockNumber(3));
    assert_eq!(local.clock.now_ms(), START_MS + 24_000);
    assert_eq!(head.timestamp_ms, START_MS + 24_000);
}

#[test]
fn a_clock_before_the_first_block_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.sqlite");
    let at = |now_ms| Arc::new(ManualClock::new(now_ms));
    DevChain::create(&file, options(Blocks::EveryMs(250)), at(START_MS)).unwrap();
    let early = DevChain::open(&file, at(START_MS - 5)).unwrap();
    assert!(matches!(early.head(), Err(ChainError::ClockBehind { behind_ms: 5 })));
}

#[test]
fn what_is_no_chain_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let open = |path: &Path| DevChain::open(path, system()).map(drop).unwrap_err();
    assert!(matches!(open(&file("none")), ChainError::Missing { .. }));
    std::fs::write(file("text"), "this is not a database, not at all".repeat(40)).unwrap();
    assert!(matches!(open(&file("text")), ChainError::NotAChain { .. }));
    let foreign = rusqlite::Connection::open(file("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(open(&file("foreign")), ChainError::NotAChain { .. }));
    let create = DevChain::create(&file("foreign"), options(Blocks::OnDemand), system());
    assert!(matches!(create.map(drop), Err(ChainError::NotAChain { .. })));
    let zero = DevChain::create(&file("zero"), options(Blocks::EveryMs(0)), system());
    assert!(matches!(zero.map(drop), Err(ChainError::NoBlockTime)));
}

#[test]
fn another_schema_asks_for_its_own_program_and_stays_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.sqlite");
    DevChain::create(&file, options(Blocks::OnDemand), system()).unwrap();
    let raw = rusqlite::Connection::open(&file).unwrap();
    for other in [2, 4] {
        raw.pragma_update(None, "user_version", other).unwrap();
        for attempt in [
            DevChain::open(&file, system()),
            DevChain::create(&file, options(Blocks::OnDemand), system()),
        ] {
            let error = attempt.map(drop).unwrap_err();
            match error {
                ChainError::OtherSchema { found, known: 3, .. } => assert_eq!(found, other),
                _ => panic!("{error}"),
            }
        }
    }
}

#[test]
fn several_notes_of_one_block_are_kept_in_order_up_to_the_bound() {
    let local = Local::new(Blocks::OnDemand);
    let (chain, key) = (&local.chain, Keypair::from_seed([1; 32]));
    chain.register(NETUID, &key).unwrap();
    for note in 0..COMMITMENTS_MAX + 2 {
        chain.commit(NETUID, &key, &note.to_le_bytes()).unwrap();
    }
    let all = BlockNumber(0)..=BlockNumber(u64::MAX);
    let notes = chain.commitments_in(NETUID, key.hotkey(), all).unwrap();
    let expected = (0..COMMITMENTS_MAX).map(|note| note.to_le_bytes().to_vec());
    assert!(notes.into_iter().map(|note| note.bytes).eq(expected));
}

#[test]
fn threads_that_register_at_once_each_get_a_seat_of_their_own() {
    const THREADS: u8 = 8;
    const EACH: u8 = 4;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.sqlite");
    let start = Barrier::new(THREADS.into());
    let register = |thread: u8| {
        start.wait();
        // Creating at once is part of the race.
        let chain = DevChain::create(&file, options(Blocks::OnDemand), system()).unwrap();
        let key = |n| Keypair::from_seed([thread * EACH + n; 32]);
        (0..EACH).map(|n| chain.register(NETUID, &key(n)).unwrap().0).collect::<Vec<_>>()
    };
    let mut uids: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || register(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    uids.sort_unstable();
    assert_eq!(uids, (0..u16::from(THREADS * EACH)).collect::<Vec<_>>());
    let chain = DevChain::open(&file, system()).unwrap();
    assert_eq!(chain.metagraph(NETUID).unwrap().neurons.len(), uids.len());
}

/// Not a test of its own: what the other process of the test below runs.
#[test]
fn register_and_advance_when_told_where() {
    let Ok(file) = std::env::var("COV72_TEST_CHAIN") else { return };
    let seed: u8 = std::env::var("COV72_TEST_SEED").unwrap().parse().unwrap();
    let chain = DevChain::create(file.as_ref(), options(Blocks::OnDemand), system()).unwrap();
    for n in 0..10 {
        chain.register(NETUID, &Keypair::from_seed([seed + n; 32])).unwrap();
        chain.advance(1).unwrap();
    }
}

#[test]
fn processes_share_one_chain_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.sqlite");
    let spawn = |seed: u8| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "register_and_advance_when_told_where"])
            .env("COV72_TEST_CHAIN", &file)
            .env("COV72_TEST_SEED", seed.to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    for mut process in [0, 50, 100].map(spawn) {
        assert!(process.wait().unwrap().success());
    }
    let chain = DevChain::open(&file, system()).unwrap();
    let metagraph = chain.metagraph(NETUID).unwrap();
    assert_eq!(metagraph.neurons.len(), 30);
    assert_eq!(metagraph.block, BlockNumber(31));
}
