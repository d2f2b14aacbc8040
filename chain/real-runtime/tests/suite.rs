//! The suite that every chain passes, over a real runtime. It skips where `SUBTENSOR_SPEC` names no
//! file of a chain.

#[path = "../../client/tests/conformance/mod.rs"]
mod conformance;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chain::subtensor::{Refusal, Rpc, RpcFault, Subtensor, SubtensorOptions};
use chain::{Chain, ChainError, SystemClock};
use conformance::{SEATS_MAX, Subject};
use real_runtime::{Genesis, Node, Store};
use subxt::dynamic::Value;
use subxt::ext::codec::Encode;
use wire::{Hotkey, Keypair, Netuid, Uid};

const NETUID: Netuid = Netuid(3);
const SUBNETS: [u16; 2] = [3, 4];
const WEIGHTS_EVERY: u64 = 100;
const PRICE_RAO: u64 = 1_000_000;
const STAKE_RAO: u64 = 5_000_000_000;

/// The chain of the file, if there is one; its state is made once for all tests.
fn genesis() -> Option<Genesis> {
    static GENESIS: OnceLock<Option<Genesis>> = OnceLock::new();
    let read = || {
        let path = std::env::var_os("SUBTENSOR_SPEC").map(PathBuf::from);
        if path.is_none() {
            eprintln!("skipped: SUBTENSOR_SPEC names no file of a chain");
        }
        path.map(|path| Genesis::read(&path).expect("the chain's file"))
    };
    GENESIS.get_or_init(read).clone()
}

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}

struct Real {
    chain: Subtensor,
    node: Arc<Node>,
}

impl Real {
    fn new() -> Option<Self> {
        let node = Arc::new(Node::new(genesis()?).expect("a chain"));
        node.change(|store| found(&node, store)).expect("a block");
        node.advance(1).expect("a block");
        let chain = client(&node, Duration::ZERO);
        Some(Self { chain, node })
    }

    /// A client that does not see what happens from now on, until it sent something.
    fn outdated(&self) -> Subtensor {
        let client = client(&self.node, Duration::from_secs(3_600));
        client.head().expect("a head");
        client
    }

    /// Sets what a subnet stores under `name`.
    fn set(&self, name: &str, value: Vec<u8>) {
        let key = self.node.key("SubtensorModule", name, vec![number(NETUID.0)]);
        self.node.change(|store| drop(store.insert(key, value.into()))).expect("a block");
        self.advance(1);
    }
}

/// A client whose coldkey buys seats; it looks for a new block each `look`.
fn client(node: &Arc<Node>, look: Duration) -> Subtensor {
    let options = SubtensorOptions {
        netuid: NETUID,
        look,
        patience: Duration::from_secs(60),
        payer: Some((key(200), u64::MAX)),
    };
    Subtensor::new(Arc::clone(node) as Arc<dyn Rpc>, options, Arc::new(SystemClock))
}

/// Founds two subnets, and gives the coldkey what seats cost.
fn found(node: &Node, store: &mut Store) {
    let mut set = |name: &str, netuid: u16, value: Vec<u8>| {
        store.insert(node.key("SubtensorModule", name, vec![number(netuid)]), value.into());
    };
    for netuid in SUBNETS {
        set("NetworksAdded", netuid, true.encode());
        set("NetworkRegistrationAllowed", netuid, true.encode());
        set("CommitRevealWeightsEnabled", netuid, false.encode());
        set("SubtokenEnabled", netuid, true.encode());
        set("MaxAllowedUids", netuid, SEATS_MAX.encode());
        set("WeightsSetRateLimit", netuid, WEIGHTS_EVERY.encode());
        set("Burn", netuid, PRICE_RAO.encode());
        set("MinAllowedWeights", netuid, 1u16.encode());
        set("MaxWeightsLimit", netuid, u16::MAX.encode());
        set("MaxRegistrationsPerBlock", netuid, 100u16.encode());
        set("TargetRegistrationsPerInterval", netuid, 100u16.encode());
        // No epoch takes a permit back while a test runs.
        set("Tempo", netuid, u16::MAX.encode());
    }
    let (counts, coins) = ((0u32, 0u32, 1u32, 0u32), (10u64.pow(15), 0u64, 0u64, 0u128));
    let account = node.key("System", "Account", vec![Value::from_bytes(key(200).hotkey().0)]);
    store.insert(account, (counts, coins).encode().into());
}

/// Stake, and the permit that the next epoch would give for it.
fn stake(node: &Node, store: &mut Store, Hotkey(hotkey): Hotkey, uids: &[(u16, Uid)]) {
    for &(netuid, Uid(uid)) in uids {
        let alpha = vec![Value::from_bytes(hotkey), number(netuid)];
        let alpha = node.key("SubtensorModule", "TotalHotkeyAlpha", alpha);
        store.insert(alpha, STAKE_RAO.encode().into());
        let permits = node.key("SubtensorModule", "ValidatorPermit", vec![number(netuid)]);
        let mut given = store[&permits].to_vec();
        // A length below 64 is one byte.
        given[1 + usize::from(uid)] = 1;
        store.insert(permits, given.into());
    }
}

impl Subject for Real {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn advance(&self, blocks: u64) {
        self.node.advance(blocks).expect("blocks");
    }

    fn stake(&self, hotkey: &Keypair) {
        let hotkey = hotkey.hotkey();
        let seat = |netuid| Some((netuid, self.chain.uid_of(Netuid(netuid), hotkey).unwrap()?));
        let seats: Vec<_> = SUBNETS.into_iter().filter_map(seat).collect();
        self.node.change(|store| stake(&self.node, store, hotkey, &seats)).expect("a block");
    }

    fn keeps_version_keys(&self) -> bool {
        false
    }

    fn counts_a_seat_as_a_vote(&self) -> bool {
        true
    }

    fn gives_seats_away(&self) -> bool {
        true
    }
}

#[test]
fn every_rule_holds_over_a_real_runtime() {
    if genesis().is_some() {
        conformance::every_rule_holds(|| Real::new().unwrap());
    }
}

fn refusal(done: Result<(), ChainError>) -> Refusal {
    match done {
        Err(ChainError::Refused { refusal }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_client_would_not_send_is_refused_by_the_runtime_for_the_same_reason() {
    let Some(real) = Real::new() else { return };
    let (chain, votes) = (&real.chain, [(Uid(0), 5)]);
    let (outdated, paid) = (real.outdated(), chain.balance_rao(key(200).hotkey()).unwrap());
    assert_eq!(chain.register(NETUID, &key(1)).unwrap(), Uid(0));
    assert_eq!(outdated.register(NETUID, &key(1)).unwrap(), Uid(0), "who has a seat keeps it");
    let once = paid - chain.balance_rao(key(200).hotkey()).unwrap();
    assert!((PRICE_RAO..2 * PRICE_RAO).contains(&once), "{once} RAO for one seat");
    real.stake(&key(1));
    real.advance(WEIGHTS_EVERY);
    let outdated = real.outdated();
    chain.set_weights(NETUID, &key(1), &votes, 0).unwrap();
    let scaled = chain.weights(NETUID, Uid(0)).unwrap().unwrap().shares;
    assert_eq!(scaled, [(Uid(0), u16::MAX)], "the greatest is always this");
    let before = chain.head().unwrap().number;
    assert_eq!(refusal(outdated.set_weights(NETUID, &key(1), &votes, 0)), Refusal::TooSoon);
    let passed = chain.head().unwrap().number > before;
    assert!(passed || real.node.spec_version() != 293, "of 293 it is a block that says so");
    real.advance(WEIGHTS_EVERY);
    let outdated = real.outdated();
    real.set("CommitRevealWeightsEnabled", true.encode());
    assert_eq!(refusal(outdated.set_weights(NETUID, &key(1), &votes, 0)), Refusal::CommitReveal);
    assert_eq!(refusal(chain.set_weights(NETUID, &key(1), &votes, 0)), Refusal::CommitReveal);
    let outdated = real.outdated();
    let seat = vec![number(NETUID.0), Value::from_bytes(key(1).hotkey().0)];
    let seat = real.node.key("SubtensorModule", "Uids", seat);
    real.node.change(|store| drop(store.remove(&seat))).unwrap();
    real.advance(1);
    let refused = outdated.commit(NETUID, &key(1), b"note");
    assert!(matches!(refused, Err(ChainError::NotRegistered { .. })), "{refused:?}");
}

#[test]
fn a_signature_counts_once_and_for_its_own_bytes_only() {
    let Some(real) = Real::new() else { return };
    real.chain.register(NETUID, &key(1)).unwrap();
    real.chain.commit(NETUID, &key(1), b"note").unwrap();
    let ask = |method: &str, params| real.node.request(method, params).unwrap();
    let head = ask("chain_getFinalizedHead", vec![]);
    let block = ask("chain_getBlock", vec![head]);
    let sent = block["block"]["extrinsics"][1].as_str().unwrap().to_string();
    let refused = |transaction: &str| {
        let answer = real.node.request("author_submitExtrinsic", vec![transaction.into()]);
        let Err(RpcFault::Refused { code, text }) = answer else { panic!("{answer:?}") };
        Refusal::of_pool(code, &text)
    };
    assert_eq!(refused(&sent), Refusal::Outdated, "its nonce is spent");
    let (rest, last) = sent.split_at(sent.len() - 1);
    let forged = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    assert_eq!(refused(&forged), Refusal::Outdated);
    assert_eq!(real.chain.commitment(NETUID, key(1).hotkey()).unwrap().unwrap().bytes, b"note");
}

#[test]
fn the_runtime_has_every_name_that_the_client_speaks() {
    let Some(real) = Real::new() else { return };
    assert_eq!(real.chain.spec_version().unwrap(), real.node.spec_version());
    assert_eq!(chain::subtensor::missing_names(real.node.metadata()), [""; 0]);
    assert_eq!(real.chain.seat_price_rao(NETUID).unwrap(), PRICE_RAO);
    match real.chain.seat_price_rao(Netuid(77)) {
        Err(ChainError::Refused { refusal: Refusal::NoSubnet }) => {}
        other => panic!("{other:?}"),
    }
}
