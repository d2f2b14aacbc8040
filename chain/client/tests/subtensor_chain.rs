//! Bittensor behind trait `Chain`: the conformance suite over a real socket to a double of a node,
//! and what only this chain has: sealed votes, a price, upgrades, and a bad line.
//!
//! The double needs a runtime's description of itself, as `SUBTENSOR_METADATA` names it; without it
//! these tests skip.

mod conformance;
mod double;
mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chain::subtensor::{Call, Connection, Refusal, Subtensor, SubtensorOptions};
use chain::{Chain, ChainError, SystemClock};
use conformance::{SEATS_MAX, Subject};
use double::{Double, Fixed, description, fund, stake};
use socket::{Frames, Server};
use wire::{BlockNumber, Keypair, Netuid, Uid};

const NETUID: Netuid = Netuid(3);
const FIXED: Fixed = Fixed {
    block_ms: 12_000,
    seats_max: SEATS_MAX,
    weights_every: 100,
    price_rao: 1_000,
    sealed: false,
    one_look: true,
};

struct Remote {
    chain: Subtensor,
    double: Arc<Double>,
    server: Server,
}

impl Remote {
    fn new(fixed: Fixed, price_max_rao: u64) -> Option<Self> {
        let double = Arc::new(Double::new(description()?, fixed));
        fund(&double, key(200).hotkey(), 1_000_000_000);
        let node = Arc::clone(&double);
        let server =
            Server::start(Frames::Whole, move |method, params| node.answer(method, params));
        let endpoints = vec![server.url()];
        let timeout = Duration::from_millis(250);
        let connection = Connection::new(endpoints, Some(double.genesis()), timeout).unwrap();
        let options = SubtensorOptions {
            netuid: NETUID,
            look: Duration::ZERO,
            patience: Duration::from_secs(60),
            payer: Some((key(200), price_max_rao)),
        };
        let chain = Subtensor::new(Arc::new(connection), options, Arc::new(SystemClock));
        Some(Self { chain, double, server })
    }
}

impl Subject for Remote {
    fn chain(&self) -> &dyn Chain {
        &self.chain
    }

    fn advance(&self, blocks: u64) {
        self.double.advance(blocks);
    }

    fn stake(&self, hotkey: &Keypair) {
        stake(&self.double, hotkey.hotkey());
        self.double.advance(1);
    }

    fn keeps_version_keys(&self) -> bool {
        false
    }

    fn counts_a_seat_as_a_vote(&self) -> bool {
        true
    }
}

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

#[test]
fn every_rule_holds_where_the_runtime_gives_a_subnet_in_one_look() {
    if description().is_some() {
        conformance::every_rule_holds(|| Remote::new(FIXED, 1_000).unwrap());
    }
}

#[test]
fn every_rule_holds_where_seats_are_read_one_by_one() {
    if description().is_some() {
        let fixed = Fixed { one_look: false, ..FIXED };
        conformance::every_rule_holds(|| Remote::new(fixed, 1_000).unwrap());
    }
}

#[test]
fn sealed_votes_are_refused_before_anything_is_sent() {
    let Some(remote) = Remote::new(Fixed { sealed: true, ..FIXED }, 1_000) else { return };
    remote.chain.register(NETUID, &key(1)).unwrap();
    remote.stake(&key(1));
    let sent = remote.server.asked("author_submitExtrinsic");
    match remote.chain.set_weights(NETUID, &key(1), &[(Uid(0), 1)], 0) {
        Err(ChainError::Refused { refusal: Refusal::CommitReveal }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(remote.server.asked("author_submitExtrinsic"), sent);
}

#[test]
fn a_seat_above_the_price_is_not_bought() {
    let Some(remote) = Remote::new(FIXED, 999) else { return };
    assert_eq!(remote.chain.seat_price_rao(NETUID).unwrap(), 1_000);
    match remote.chain.register(NETUID, &key(1)) {
        Err(ChainError::Refused { refusal: Refusal::PriceAboveLimit }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(remote.server.asked("author_submitExtrinsic"), 0);
}

#[test]
fn a_seat_that_the_coldkey_cannot_pay_is_not_bought() {
    let Some(remote) = Remote::new(FIXED, 1_000) else { return };
    fund(&remote.double, key(200).hotkey(), 1_999);
    remote.double.advance(1);
    remote.chain.register(NETUID, &key(1)).unwrap();
    assert_eq!(remote.chain.balance_rao(key(200).hotkey()).unwrap(), 999);
    let sent = remote.server.asked("author_submitExtrinsic");
    match remote.chain.register(NETUID, &key(2)) {
        Err(ChainError::BalanceTooLow { coldkey, needs_rao: 1_000, has_rao: 999 }) => {
            assert_eq!(coldkey, key(200).hotkey());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(remote.server.asked("author_submitExtrinsic"), sent);
}

#[test]
fn after_an_upgrade_the_description_is_read_again_and_calls_are_signed_for_it() {
    let Some(remote) = Remote::new(FIXED, 1_000) else { return };
    remote.chain.register(NETUID, &key(1)).unwrap();
    let read = remote.server.asked("state_call");
    remote.chain.commit(NETUID, &key(1), b"before").unwrap();
    assert_eq!(remote.server.asked("state_call"), read, "one description for one runtime");
    remote.double.upgrade();
    remote.double.advance(1);
    remote.chain.commit(NETUID, &key(1), b"after").unwrap();
    assert_eq!(remote.server.asked("state_call"), read + 1);
    assert_eq!(remote.chain.spec_version().unwrap(), 425);
    assert_eq!(remote.chain.commitment(NETUID, key(1).hotkey()).unwrap().unwrap().bytes, b"after");
}

#[test]
fn over_a_bad_line_nothing_is_said_twice_and_nothing_is_lost() {
    let Some(remote) = Remote::new(FIXED, 1_000) else { return };
    let chain = &remote.chain;
    chain.register(NETUID, &key(1)).unwrap();
    stake(&remote.double, key(1).hotkey());
    remote.double.advance(FIXED.weights_every);
    let asked = AtomicU64::new(0);
    remote.server.frames_of(move |_| {
        // A fixed sequence of good and bad weather.
        let draw = asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        match draw {
            0..=19 => Frames::Dropped,
            20..=39 => Frames::Corrupt,
            40..=59 => Frames::Cut,
            _ => Frames::Whole,
        }
    });
    let until_in_reach = |work: &dyn Fn() -> Result<(), ChainError>| loop {
        match work() {
            Err(ChainError::Unreachable { .. }) => {}
            done => return done.unwrap(),
        }
    };
    let call_bytes = |call: Call| call.bytes(&remote.double.metadata).unwrap();
    for round in 0..12u8 {
        let note = [round; 9];
        until_in_reach(&|| chain.commit(NETUID, &key(1), &note));
        let call = call_bytes(Call::set_commitment(NETUID, &note).unwrap());
        assert_eq!(remote.double.applied(&call), 1, "note {round}");
    }
    let votes = [(Uid(0), 9)];
    until_in_reach(&|| chain.set_weights(NETUID, &key(1), &votes, 0));
    assert_eq!(remote.double.applied(&call_bytes(Call::set_weights(NETUID, &votes, 0))), 1);
}

#[test]
fn a_full_subnet_is_read() {
    let fixed = Fixed { seats_max: 256, ..FIXED };
    let Some(remote) = Remote::new(fixed, 1_000) else { return };
    for seed in 0..=255 {
        remote.chain.register(NETUID, &key(seed)).unwrap();
    }
    assert_eq!(remote.chain.metagraph(NETUID).unwrap().neurons.len(), 256);
    assert_eq!(remote.double.head(), remote.chain.head().unwrap().number.0);
    let missing = remote.chain.block_time_ms(BlockNumber(100_000)).unwrap();
    assert_eq!(missing, None, "nobody knows when that will be");
}
