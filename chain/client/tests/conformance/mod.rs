//! What every chain must do, as a suite over a factory; a second chain runs the same.

use std::time::Duration;

use chain::{Chain, ChainError};
use wire::{BlockNumber, Keypair, Netuid, Uid};

/// A fresh chain, and the means to move it that the trait does not have.
pub(crate) trait Subject {
    /// The chain.
    fn chain(&self) -> &dyn Chain;
    /// Lets the chain make `blocks` more blocks.
    fn advance(&self, blocks: u64);
    /// Gives a hotkey enough stake for a validator permit, if it has a seat.
    fn stake(&self, hotkey: &Keypair);
    /// Whether the chain remembers by which rules votes were made.
    fn keeps_version_keys(&self) -> bool {
        true
    }
    /// Whether the rate of votes counts from the seat on, as if it came with a vote.
    fn counts_a_seat_as_a_vote(&self) -> bool {
        false
    }
    /// Whether a newcomer is given somebody's seat where all are taken.
    fn gives_seats_away(&self) -> bool {
        false
    }
}

/// The limits that the factory must set.
pub(crate) const SEATS_MAX: u16 = 8;

const NETUID: Netuid = Netuid(3);

fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

fn number(subject: &dyn Subject) -> BlockNumber {
    subject.chain().head().unwrap().number
}

/// Lets the chain come to the block in which those with a seat may vote.
fn await_first_votes(subject: &dyn Subject) {
    if subject.counts_a_seat_as_a_vote() {
        subject.advance(subject.chain().limits().unwrap().weights_every_blocks);
    }
}

/// Runs all of it, each part on a chain of its own.
pub(crate) fn every_rule_holds<S: Subject>(make: impl Fn() -> S) {
    blocks_count_up_and_carry_their_time(&make());
    waiting_returns_at_the_block_or_times_out(&make());
    seats_are_given_in_order_and_kept(&make());
    a_full_subnet_has_no_seat_more(&make());
    subnets_are_apart(&make());
    notes_are_replaced_bounded_and_for_members(&make());
    notes_that_were_replaced_stay_in_the_blocks_of_the_past(&make());
    the_metagraph_lists_seats_in_uid_order(&make());
    stakes_of_past_blocks_do_not_change(&make());
    votes_replace_votes_and_have_a_rate(&make());
    votes_need_a_seat_a_permit_and_known_uids(&make());
}

fn blocks_count_up_and_carry_their_time(subject: &dyn Subject) {
    let first = subject.chain().head().unwrap();
    assert!(first.number.0 >= 1, "block 0 stands for never");
    subject.advance(5);
    let later = subject.chain().head().unwrap();
    assert_eq!(later.number.0, first.number.0 + 5);
    assert!(later.timestamp_ms > first.timestamp_ms);
    let time_ms = |block| subject.chain().block_time_ms(block).unwrap();
    assert_eq!(time_ms(first.number), Some(first.timestamp_ms));
    assert_eq!(time_ms(later.number), Some(later.timestamp_ms));
}

fn waiting_returns_at_the_block_or_times_out(subject: &dyn Subject) {
    let head = number(subject);
    let wait = |block| subject.chain().wait_for_block(block, Duration::from_millis(100));
    assert_eq!(wait(head).unwrap().number, head);
    match wait(BlockNumber(head.0 + 1_000_000)) {
        Err(ChainError::BlockTimeout { wanted, .. }) => assert_eq!(wanted.0, head.0 + 1_000_000),
        other => panic!("{other:?}"),
    }
    subject.advance(3);
    assert!(wait(BlockNumber(head.0 + 3)).unwrap().number.0 >= head.0 + 3);
}

fn seats_are_given_in_order_and_kept(subject: &dyn Subject) {
    let chain = subject.chain();
    assert_eq!(chain.uid_of(NETUID, key(1).hotkey()).unwrap(), None);
    assert_eq!(chain.register(NETUID, &key(1)).unwrap(), Uid(0));
    assert_eq!(chain.register(NETUID, &key(2)).unwrap(), Uid(1));
    assert_eq!(chain.register(NETUID, &key(1)).unwrap(), Uid(0));
    assert_eq!(chain.uid_of(NETUID, key(2).hotkey()).unwrap(), Some(Uid(1)));
}

fn a_full_subnet_has_no_seat_more(subject: &dyn Subject) {
    let chain = subject.chain();
    assert_eq!(chain.limits().unwrap().seats_max, SEATS_MAX);
    for seed in 0..SEATS_MAX as u8 {
        chain.register(NETUID, &key(seed)).unwrap();
    }
    let came = chain.register(NETUID, &key(100));
    match came {
        Ok(uid) if subject.gives_seats_away() => {
            let seats = chain.metagraph(NETUID).unwrap().neurons;
            assert_eq!(seats.len(), usize::from(SEATS_MAX));
            assert_eq!(seats[usize::from(uid.0)].hotkey, key(100).hotkey());
            assert_eq!(chain.uid_of(NETUID, key(uid.0 as u8).hotkey()).unwrap(), None);
        }
        Err(ChainError::SeatsTaken { seats_max, .. }) if !subject.gives_seats_away() => {
            assert_eq!(seats_max, SEATS_MAX);
            assert_eq!(chain.register(NETUID, &key(3)).unwrap(), Uid(3));
        }
        other => panic!("{other:?}"),
    }
}

fn subnets_are_apart(subject: &dyn Subject) {
    let (chain, other) = (subject.chain(), Netuid(4));
    chain.register(NETUID, &key(1)).unwrap();
    assert_eq!(chain.register(other, &key(2)).unwrap(), Uid(0));
    assert_eq!(chain.uid_of(other, key(1).hotkey()).unwrap(), None);
    chain.commit(other, &key(2), b"note").unwrap();
    assert_eq!(chain.commitment(NETUID, key(2).hotkey()).unwrap(), None);
    assert_eq!(chain.metagraph(NETUID).unwrap().neurons.len(), 1);
}

fn notes_are_replaced_bounded_and_for_members(subject: &dyn Subject) {
    let chain = subject.chain();
    let (member, hotkey) = (key(1), key(1).hotkey());
    match chain.commit(NETUID, &member, b"early") {
        Err(error @ ChainError::NotRegistered { .. }) => {
            assert!(error.to_string().contains("cov72 register"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    chain.register(NETUID, &member).unwrap();
    assert_eq!(chain.commitment(NETUID, hotkey).unwrap(), None);
    chain.commit(NETUID, &member, b"first").unwrap();
    subject.advance(1);
    let longest = vec![0xff; chain.limits().unwrap().commitment_bytes_max];
    chain.commit(NETUID, &member, &longest).unwrap();
    let too_long = [&longest[..], &[0]].concat();
    let refused = chain.commit(NETUID, &member, &too_long);
    assert!(matches!(refused, Err(ChainError::CommitmentTooLarge { .. })), "{refused:?}");
    let note = chain.commitment(NETUID, hotkey).unwrap().unwrap();
    assert_eq!(chain.commitments(NETUID).unwrap(), [(hotkey, note.clone())]);
    assert_eq!((note.block, note.bytes), (number(subject), longest));
}

fn notes_that_were_replaced_stay_in_the_blocks_of_the_past(subject: &dyn Subject) {
    let (chain, hotkey) = (subject.chain(), key(1).hotkey());
    let said = |first: u64, last: u64| {
        let blocks = BlockNumber(first)..=BlockNumber(last);
        let notes = chain.commitments_in(NETUID, hotkey, blocks).unwrap();
        notes.into_iter().map(|note| (note.block.0, note.bytes)).collect::<Vec<_>>()
    };
    chain.register(NETUID, &key(1)).unwrap();
    chain.register(NETUID, &key(2)).unwrap();
    assert_eq!(said(0, u64::MAX), []);
    let mut notes = Vec::new();
    for note in [b"one", b"two", b"six"] {
        subject.advance(2);
        chain.commit(NETUID, &key(1), note).unwrap();
        notes.push((number(subject).0, note.to_vec()));
        chain.commit(NETUID, &key(2), b"another's").unwrap();
    }
    subject.advance(1);
    let [first, second, third] = [0, 1, 2].map(|at: usize| notes[at].0);
    assert_eq!(said(0, u64::MAX), notes);
    assert_eq!(said(first, third), notes, "both ends count");
    assert_eq!(said(first + 1, third - 1), notes[1..2]);
    assert_eq!(said(second + 1, third - 1), []);
    assert_eq!(said(third, first), [], "no block is in a range that ends before it begins");
    assert_eq!(chain.commitment(NETUID, hotkey).unwrap().unwrap().bytes, b"six");
    assert_eq!(chain.commitments(NETUID).unwrap().len(), 2);
}

fn the_metagraph_lists_seats_in_uid_order(subject: &dyn Subject) {
    let chain = subject.chain();
    chain.register(NETUID, &key(9)).unwrap();
    // Some chains make a block for a call, others take it into the newest.
    let first = number(subject);
    subject.advance(2);
    chain.register(NETUID, &key(1)).unwrap();
    let second = number(subject);
    subject.stake(&key(1));
    let metagraph = chain.metagraph(NETUID).unwrap();
    assert!(second.0 >= first.0 + 2 && metagraph.block == number(subject));
    let [old, new] = metagraph.neurons[..] else { panic!("{metagraph:?}") };
    assert_eq!((old.uid, old.hotkey), (Uid(0), key(9).hotkey()));
    assert_eq!((new.uid, new.hotkey), (Uid(1), key(1).hotkey()));
    assert_eq!((old.registered_block, new.registered_block), (first, second));
    assert_eq!((old.stake_rao, old.validator_permit), (0, false));
    assert!(new.stake_rao > 0 && new.validator_permit);
    let voted = if subject.counts_a_seat_as_a_vote() { second } else { BlockNumber(0) };
    assert_eq!(new.last_update, voted);
}

fn stakes_of_past_blocks_do_not_change(subject: &dyn Subject) {
    let chain = subject.chain();
    let at = |block: u64| chain.stakes_at(NETUID, BlockNumber(block)).unwrap();
    chain.register(NETUID, &key(1)).unwrap();
    chain.register(NETUID, &key(2)).unwrap();
    let seated = number(subject).0;
    subject.advance(2);
    subject.stake(&key(2));
    let staked = number(subject).0;
    subject.advance(1);
    let before = at(staked);
    assert_eq!(before.iter().map(|(hotkey, _)| *hotkey).collect::<Vec<_>>(), [key(2).hotkey()]);
    subject.stake(&key(2));
    subject.stake(&key(1));
    let later = number(subject).0;
    subject.advance(1);
    assert_eq!((at(seated), at(staked)), (Vec::new(), before));
    let now = chain.metagraph(NETUID).unwrap().neurons;
    let now: Vec<_> = now.iter().map(|neuron| (neuron.hotkey, neuron.stake_rao)).collect();
    assert_eq!((now.len(), at(later)), (2, now));
}

fn votes_replace_votes_and_have_a_rate(subject: &dyn Subject) {
    let chain = subject.chain();
    for seed in 1..=3 {
        chain.register(NETUID, &key(seed)).unwrap();
    }
    subject.stake(&key(1));
    await_first_votes(subject);
    assert_eq!(chain.weights(NETUID, Uid(0)).unwrap(), None);
    chain.set_weights(NETUID, &key(1), &[(Uid(2), 65_535), (Uid(1), 1)], 7).unwrap();
    let votes = chain.weights(NETUID, Uid(0)).unwrap().unwrap();
    assert_eq!(votes.shares, [(Uid(1), 1), (Uid(2), 65_535)]);
    assert_eq!(votes.block, number(subject));
    assert!(votes.version_key == 7 || !subject.keeps_version_keys());
    let again = || chain.set_weights(NETUID, &key(1), &[(Uid(1), 65_535)], 8);
    let every = chain.limits().unwrap().weights_every_blocks;
    subject.advance(every - 1);
    match again() {
        Err(ChainError::WeightsTooOften { next_block, .. }) => {
            assert_eq!(next_block.0, number(subject).0 + 1);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(chain.weights(NETUID, Uid(0)).unwrap().unwrap(), votes);
    subject.advance(1);
    again().unwrap();
    assert_eq!(chain.weights(NETUID, Uid(0)).unwrap().unwrap().shares, [(Uid(1), 65_535)]);
    assert_eq!(chain.metagraph(NETUID).unwrap().neurons[0].last_update, number(subject));
}

fn votes_need_a_seat_a_permit_and_known_uids(subject: &dyn Subject) {
    let chain = subject.chain();
    let vote = |seed, shares: &[(Uid, u16)]| chain.set_weights(NETUID, &key(seed), shares, 0);
    let refused = vote(1, &[(Uid(0), 1)]);
    assert!(matches!(refused, Err(ChainError::NotRegistered { .. })), "{refused:?}");
    chain.register(NETUID, &key(1)).unwrap();
    chain.register(NETUID, &key(2)).unwrap();
    await_first_votes(subject);
    let refused = vote(1, &[(Uid(1), 1)]);
    assert!(matches!(refused, Err(ChainError::NoPermit { .. })), "{refused:?}");
    subject.stake(&key(1));
    let refused = vote(1, &[(Uid(7), 1)]);
    assert!(matches!(refused, Err(ChainError::UnknownUid { .. })), "{refused:?}");
    let refused = vote(1, &[(Uid(1), 1), (Uid(1), 2)]);
    assert!(matches!(refused, Err(ChainError::DuplicateUid { .. })), "{refused:?}");
    assert_eq!(chain.weights(NETUID, Uid(0)).unwrap(), None, "a refused vote leaves no trace");
    vote(1, &[(Uid(1), 1)]).unwrap();
}
