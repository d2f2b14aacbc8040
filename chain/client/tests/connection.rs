//! The way to the chain's nodes, over real sockets: another node where one is silent, gone, or
//! talks nonsense; a refusal of another chain; and no question that changes something asked twice.

mod socket;

use std::time::Duration;

use chain::subtensor::{Connection, Rpc, RpcFault};
use serde_json::{Value as Json, json};
use socket::{Frames, Server};

const GENESIS: &str = "0x2f05";

/// Answers the questions of these tests as a node named `name` of the chain `genesis` does.
fn node(name: &'static str, genesis: &'static str, frames: Frames) -> Server {
    Server::start(frames, move |method, params| match method {
        "chain_getBlockHash" if params == &json!([0]) => Ok(json!(genesis)),
        "system_name" => Ok(json!(name)),
        "author_submitExtrinsic" => Ok(json!("0x00")),
        "state_call" => Err((1010, "Invalid Transaction".into(), "Custom error: 6".into())),
        _ => Err((-32_601, "Method not found".into(), String::new())),
    })
}

fn connect(servers: &[&Server]) -> Connection {
    let endpoints = servers.iter().map(|server| server.url()).collect();
    Connection::new(endpoints, Some(GENESIS.into()), Duration::from_millis(400)).unwrap()
}

fn name(connection: &Connection) -> Result<Json, RpcFault> {
    connection.request("system_name", vec![])
}

#[test]
fn the_first_node_that_answers_is_asked() {
    let (one, two) = (node("one", GENESIS, Frames::Whole), node("two", GENESIS, Frames::Whole));
    let connection = connect(&[&one, &two]);
    assert_eq!(name(&connection), Ok(json!("one")));
    let gone = one.url();
    drop(one);
    assert_eq!(name(&connection), Ok(json!("two")), "the first is gone");
    assert!(connection.move_on());
    assert_eq!(connection.endpoint(), gone);
    assert_eq!(name(&connection), Ok(json!("two")), "and stays away");
}

#[test]
fn a_node_that_is_silent_or_talks_nonsense_gives_way_to_another() {
    for frames in [Frames::Dropped, Frames::Corrupt, Frames::Cut] {
        let (bad, good) = (node("bad", GENESIS, frames), node("good", GENESIS, Frames::Whole));
        assert_eq!(name(&connect(&[&bad, &good])), Ok(json!("good")), "{frames:?}");
    }
}

#[test]
fn answers_out_of_order_find_their_questions() {
    let node = node("late", GENESIS, Frames::Whole);
    node.frames_of(|method| match method {
        "system_name" => Frames::Reordered,
        _ => Frames::Whole,
    });
    let connection = connect(&[&node]);
    std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| name(&connection));
        for asked in (0..8).map(ask).collect::<Vec<_>>() {
            assert_eq!(asked.join().unwrap(), Ok(json!("late")));
        }
    });
}

#[test]
fn a_node_of_another_chain_is_refused_with_both_hashes() {
    let other = node("other", "0x77", Frames::Whole);
    let fault = name(&connect(&[&other])).unwrap_err();
    let text = fault.to_string();
    assert!(text.contains(GENESIS) && text.contains("0x77"), "{text}");
    // Where none is configured, the first node met decides.
    let ours = node("ours", GENESIS, Frames::Whole);
    let endpoints = vec![ours.url(), other.url()];
    let connection = Connection::new(endpoints, None, Duration::from_millis(400)).unwrap();
    assert_eq!(name(&connection), Ok(json!("ours")));
    connection.move_on();
    assert!(matches!(name(&connection), Err(RpcFault::OtherChain { .. })));
}

#[test]
fn a_node_whose_first_block_has_no_hash_gives_way() {
    let other = node("odd", "\u{1b}[2J0x2f05", Frames::Whole);
    let fault = name(&connect(&[&other])).unwrap_err();
    assert!(matches!(&fault, RpcFault::Lost(_)), "{fault:?}");
    assert!(fault.to_string().contains(&other.url()), "{fault}");
    let ours = node("ours", GENESIS, Frames::Whole);
    assert_eq!(name(&connect(&[&other, &ours])), Ok(json!("ours")));
}

#[test]
fn a_refusal_is_an_answer_and_keeps_its_number_and_text() {
    let node = node("one", GENESIS, Frames::Whole);
    let refused = connect(&[&node]).request("state_call", vec![]).unwrap_err();
    let text = "Invalid Transaction: Custom error: 6".to_string();
    assert_eq!(refused, RpcFault::Refused { code: 1010, text });
}

#[test]
fn a_transaction_whose_answer_is_lost_is_sent_to_nobody_else() {
    let genesis_only = |method: &str| match method == "author_submitExtrinsic" {
        true => Frames::Dropped,
        false => Frames::Whole,
    };
    let (one, two) = (node("one", GENESIS, Frames::Whole), node("two", GENESIS, Frames::Whole));
    one.frames_of(genesis_only);
    let connection = connect(&[&one, &two]);
    let sent = connection.request("author_submitExtrinsic", vec![json!("0x00")]);
    assert!(matches!(sent, Err(RpcFault::Lost(_))), "{sent:?}");
    assert_eq!((one.asked("author_submitExtrinsic"), two.asked("author_submitExtrinsic")), (1, 0));
    assert_eq!(name(&connection), Ok(json!("two")), "the next question goes elsewhere");
}

#[test]
fn without_any_node_the_question_ends() {
    let gone = node("gone", GENESIS, Frames::Whole).url();
    let connection = Connection::new(vec![gone], None, Duration::from_millis(400)).unwrap();
    assert!(matches!(name(&connection), Err(RpcFault::Lost(_))));
    assert!(matches!(name(&connect(&[])), Err(RpcFault::Lost(_))));
}
