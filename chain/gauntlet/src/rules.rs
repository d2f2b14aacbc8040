//! Every number of the Gauntlet that is somebody's choice, with what changes when it does.
//!
//! Two validators with other numbers come to other weights, and a history judged with some does
//! not replay with others: a new set of numbers is a new [`RULES_VERSION`].

use serde::{Deserialize, Serialize};
use wire::Uid;

/// Version of all numbers below, which validators set beside their weights on the chain.
/// Changing this breaks the consensus of validators that have not changed it.
pub const RULES_VERSION: u64 = 1;

/// Share of the outer step by which a peer's update is applied to be measured.
/// Changing this breaks the comparison of loss scores before and after the change.
pub const MEASURED_STEP: f64 = 0.2;
/// Mean loss before an update, in nats per token, below which nothing is left to lower.
/// Raising this leaves models unmeasured that have learned all there is.
pub const LOSS_NATS_MIN: f64 = 1e-6;
/// Standard errors by which an update must raise the loss to count as harm: 2.3 % of updates that
/// do nothing at all are taken to be harmful.
/// Lowering this punishes honest peers for noise; raising it lets more poison pass.
pub const HARM_ERRORS: f64 = 2.0;

/// Skill of a peer that nothing is known of. Changing this breaks every rating.
pub const MU: f64 = 25.0;
/// How unsure that is. Changing this breaks every rating.
pub const SIGMA: f64 = MU / 3.0;
/// How much the effect of one contribution varies at the same skill.
/// Raising this makes ratings move more slowly. Changing it breaks every rating.
pub const BETA: f64 = 7.0;
/// How much skill may change from window to window. Changing this breaks every rating.
pub const TAU: f64 = 0.1;
/// Least share of its variance that a rating keeps in one match. Changing this breaks ratings.
pub const KAPPA: f64 = 1e-4;

/// Share of the average that a window's proof replaces.
/// Raising this makes newcomers earn earlier, and chance look like proof.
pub const PROOF_RATE: f64 = 0.05;
/// Least average that counts as proof: three clear windows of a newcomer.
/// Lowering this pays peers whose work cannot be told from that on other data.
pub const PROOF_MIN: f64 = 0.10;
/// Share of the average that a window's effort replaces.
/// Raising this lets noise into pay; lowering it pays longer for work that stopped.
pub const EFFORT_RATE: f64 = 0.2;

/// Skill of a peer that loses every match, against 1 of one that wins them all.
/// Lowering this starves the honest peer that is always a little behind.
pub const SKILL_MIN: f64 = 0.5;

/// What is left of a peer's proof after its first and its second window without anything sound in
/// time; nothing after the third. Raising these pays peers who are away.
pub const PROOF_AFTER_MISS: [f64; 2] = [0.75, 0.5];
/// What is left of it after a contribution that breaks the format or claims what is not so.
/// Raising this makes garbage cheap, which costs every validator the download.
pub const PROOF_AFTER_MALFORMED: f64 = 0.5;
/// What is left of it in each window in which most measured contributions did harm.
/// Raising this pays for poison.
pub const PROOF_AFTER_HARM: f64 = 0.25;
/// Contributions in a row that did harm, after which a peer's do not count any more.
/// Raising this lets poison into more outer steps.
pub const HARMS_MAX: u32 = 3;
/// Windows with nothing at all after which a peer is away and its proof forgotten.
/// Lowering this punishes restarts.
pub const AWAY_WINDOWS: u32 = 3;
/// Windows that are remembered, at most 32. Changing this changes what the next three mean.
pub const MEMORY_WINDOWS: u32 = 8;
/// Misses among those for which a peer is barred. Lowering this punishes bad connections.
pub const MISSES_MAX: u32 = 4;
/// Measured contributions among those that must be known before most of them may be harmful.
/// Lowering this judges newcomers by one window.
pub const HARM_KNOWN_MIN: u32 = 4;
/// Windows for which a barred peer does not count. Lowering this makes copying a business.
pub const BAR_WINDOWS: u32 = 20;

/// Norm of a contribution, as a multiple of the window's median, above which it does not count: the
/// outer step cuts norms to the median anyway, so whoever exceeds it means to be measured as more.
/// A peer that missed windows sends more at once, at most as many times as much as it missed.
/// Lowering this refuses peers that come back; raising it lets more of a bad update be measured.
pub const NORM_MEDIANS_MAX: f64 = 8.0;
/// Contributions below which no norm is called unusual. Lowering this lets one peer judge another.
pub const NORM_PEERS_MIN: usize = 3;

/// Share of a contribution that must be another's to call it a copy, beyond what is natural: twice
/// the largest seen of honest peers (0.075), well below copies with 60 % of their values changed
/// (0.245). Lowering this accuses honest peers; raising it lets partial copies pass.
pub const COPIED_MIN: f64 = 0.15;
/// Most that honest peers are ever taken to share, whatever most pairs of a window do.
/// Raising this lets a majority of copies pass as natural; lowering it accuses honest peers.
pub const NATURAL_MAX: f64 = 0.8;
/// Share of the other peers that may hold a value for it to count as rare.
/// Raising this counts what everybody finds; lowering it leaves little to count.
pub const RARE_SHARE: f64 = 0.1;
/// Rare values in a sketch below which they say nothing.
/// Lowering this accuses honest peers by chance.
pub const RARE_COUNT_MIN: u32 = 128;
/// Values of a contribution that its sketch holds, about.
/// Lowering this blurs the estimate: its standard error is at most half over the square root.
pub const SKETCH_VALUES: u64 = 4096;
/// Chunks of a contribution that its sketch looks into, about.
/// Lowering this blurs the estimate for copies of whole chunks.
pub const SKETCH_CHUNKS: u64 = 4096;

/// Values of a contribution below which nobody is called a copycat for what it shares, unless it is
/// all: in so small a model honest peers agree by chance and by having the same few choices.
/// Lowering this accuses honest peers.
pub const COPY_VALUES_MIN: usize = 2048;

/// Windows after which a peer's turn to be measured comes first, whatever is drawn.
/// Raising this leaves gaps in which an unlucky peer is not measured.
pub const UNMEASURED_MAX: u32 = 8;

/// Samples of its own data on which a peer is measured, at most 64.
/// Lowering this makes proof a matter of chance; raising it measures fewer peers in the same time.
pub const ASSIGNED_PROBES: usize = 8;
/// Random samples on which every peer of a window is measured, at most 64.
/// Lowering this ranks peers by chance; raising it measures fewer peers in the same time.
pub const RANDOM_PROBES: usize = 8;
/// Windows between two settings of weights on the chain.
/// Lowering this runs into the chain's own limit; raising it pays late.
pub const VOTE_EVERY_WINDOWS: u64 = 3;

/// What a run's owner may choose. Validators that differ in it come to other weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Contributions that make the outer step. Fewer give a noisier step, more a longer gather.
    pub gathered: usize,
    /// Peers paid for standing by.
    pub reserve: usize,
    /// Who gets what is not paid out.
    pub burn_uid: Uid,
    /// How much is not paid out in any case, in thousandths; more than 1,000 counts as 1,000.
    pub burn_permille: u16,
}

impl Default for Terms {
    /// The published run's: 20 gathered, 10 in reserve, half burned at uid 1.
    fn default() -> Self {
        Self { gathered: 20, reserve: 10, burn_uid: Uid(1), burn_permille: 500 }
    }
}
