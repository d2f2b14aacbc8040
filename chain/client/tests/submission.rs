//! A call gets onto a chain whose answers are lost, whose pool forgets, and whose runtime changes:
//! never twice, and if it is said to be there, it is.

use std::cell::RefCell;
use std::time::Duration;

use chain::subtensor::RpcFault;
use chain::subtensor::submission::{Ledger, MORTAL_BLOCKS, Mark, Outcome, Patience, submit};
use chain::{ChainError, ManualClock};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

const PATIENCE: Patience =
    Patience { look: Duration::from_secs(6), total: Duration::from_secs(3_600) };

/// What a transaction of this test is made of: nonce, block that it was signed at, runtime.
type Transaction = [u64; 3];

/// How often something goes wrong, of a hundred times.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    unreachable: u32,
    lost_before: u32,
    lost_after: u32,
    forgotten: u32,
    upgraded: u32,
    refused: u32,
}

struct Chain {
    trouble: Trouble,
    state: RefCell<State>,
}

struct State {
    draw: TestRng,
    nonce: u64,
    spec_version: u32,
    blocks: Vec<Vec<Transaction>>,
    pool: Vec<Transaction>,
    /// How often the call took effect.
    effects: u32,
}

impl State {
    fn happens(&mut self, of_hundred: u32) -> bool {
        self.draw.next_u32() % 100 < of_hundred
    }

    /// Makes a block of what the pool holds and the runtime takes.
    fn make_block(&mut self) {
        let number = self.blocks.len() as u64;
        let mut block = Vec::new();
        for transaction in std::mem::take(&mut self.pool) {
            let [nonce, from, spec_version] = transaction;
            let is_valid = nonce == self.nonce
                && spec_version == u64::from(self.spec_version)
                && number > from
                && number <= from + MORTAL_BLOCKS;
            if is_valid && !self.draw.next_u32().is_multiple_of(3) {
                (self.nonce, self.effects) = (self.nonce + 1, self.effects + 1);
                block.push(transaction);
            } else if nonce >= self.nonce {
                self.pool.push(transaction);
            }
        }
        self.blocks.push(block);
    }
}

impl Chain {
    fn new(seed: [u8; 32], trouble: Trouble) -> Self {
        let draw = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let blocks = vec![Vec::new(); 2];
        let state = State { draw, nonce: 7, spec_version: 1, blocks, pool: Vec::new(), effects: 0 };
        Self { trouble, state: RefCell::new(state) }
    }

    fn reach(&self) -> Result<std::cell::RefMut<'_, State>, ChainError> {
        let mut state = self.state.borrow_mut();
        match state.happens(self.trouble.unreachable) {
            true => Err(ChainError::Unreachable { fault: wire::ForeignText::new("test") }),
            false => Ok(state),
        }
    }
}

fn bytes(transaction: Transaction) -> Vec<u8> {
    transaction.iter().flat_map(|part| part.to_le_bytes()).collect()
}

impl Ledger for Chain {
    fn mark(&self) -> Result<Mark, ChainError> {
        let mut state = self.reach()?;
        for _ in 0..state.draw.next_u32() % 4 {
            state.make_block();
        }
        if state.happens(self.trouble.upgraded) {
            state.spec_version += 1;
        }
        let number = state.blocks.len() as u64 - 1;
        Ok(Mark { number, hash: [0; 32], spec_version: state.spec_version })
    }

    fn sign(&self, from: Mark) -> Result<Vec<u8>, ChainError> {
        let state = self.reach()?;
        // The nonce as of the block that the mark names, which may be an earlier one by now.
        let landed = state.blocks[from.number as usize + 1..].iter().flatten().count() as u64;
        Ok(bytes([state.nonce - landed, from.number, from.spec_version.into()]))
    }

    fn send(&self, transaction: &[u8]) -> Result<(), RpcFault> {
        let mut state = self.state.borrow_mut();
        let parts: Vec<_> = transaction.chunks(8).collect();
        let transaction: Transaction =
            [0, 1, 2].map(|at| u64::from_le_bytes(parts[at].try_into().unwrap()));
        if state.happens(self.trouble.lost_before) {
            return Err(RpcFault::Lost("before".into()));
        }
        let refused = |code, text: &str| Err(RpcFault::refused(code, text, None));
        if state.happens(self.trouble.refused)
            || transaction[0] < state.nonce
            || transaction[2] != u64::from(state.spec_version)
        {
            return refused(1010, "Invalid Transaction: Transaction is outdated");
        }
        if state.pool.contains(&transaction) {
            return refused(1013, "Transaction is already imported");
        }
        if !state.happens(self.trouble.forgotten) {
            state.pool.push(transaction);
        }
        match state.happens(self.trouble.lost_after) {
            true => Err(RpcFault::Lost("after".into())),
            false => Ok(()),
        }
    }

    fn find(&self, transaction: &[u8], number: u64) -> Result<Option<Outcome>, ChainError> {
        let state = self.reach()?;
        let block = &state.blocks[number as usize];
        Ok(block.iter().any(|there| bytes(*there) == transaction).then_some(Outcome::Done))
    }
}

fn percent(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0..=most]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_call_takes_effect_once_or_not_at_all(
        seed: [u8; 32],
        unreachable in percent(60),
        lost_before in percent(100),
        lost_after in percent(100),
        forgotten in percent(100),
        upgraded in percent(30),
        refused in percent(60),
    ) {
        let trouble =
            Trouble { unreachable, lost_before, lost_after, forgotten, upgraded, refused };
        let chain = Chain::new(seed, trouble);
        let done = submit(&chain, &ManualClock::new(0), PATIENCE);
        // Whatever is still in a pool may come later, as long as it is valid.
        let mut state = chain.state.into_inner();
        let then = state.effects;
        for _ in 0..2 * MORTAL_BLOCKS {
            state.make_block();
        }
        prop_assert!(state.effects <= 1, "{done:?}");
        match done {
            Ok(()) => prop_assert_eq!(then, 1),
            Err(ChainError::Refused { .. }) => prop_assert_eq!(state.effects, 0),
            Err(ChainError::Unsettled { .. } | ChainError::Unreachable { .. }) => {}
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn without_trouble_it_is_there(seed: [u8; 32]) {
        let trouble = Trouble {
            unreachable: 0, lost_before: 0, lost_after: 0, forgotten: 0, upgraded: 0, refused: 0,
        };
        let chain = Chain::new(seed, trouble);
        submit(&chain, &ManualClock::new(0), PATIENCE).unwrap();
        prop_assert_eq!(chain.state.into_inner().effects, 1);
    }
}
