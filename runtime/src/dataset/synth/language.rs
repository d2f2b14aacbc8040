//! The lexicon, its Markov chain with probabilities in 4,096ths, and text drawn from it.

use crate::dataset::Pcg64;

/// Words of the lexicon.
const WORDS: usize = 128;
/// Likely successors of a word.
const SUCCESSORS: usize = 6;
/// Equal slots that a word's successors share: the unit of probability.
const SLOTS: usize = 4096;
/// Slots that go to the likely successors, the first getting most; the rest go to any word.
const SUCCESSOR_SLOTS: [u16; SUCCESSORS] = [1400, 800, 480, 320, 200, 136];
/// Longest word with its separator, in bytes.
const WORD_BYTES_MAX: usize = 8;
/// Every this many words of the lexicon there is one that ends its line.
const LINE_END_EVERY: usize = 12;
/// Picks the language. Changing this, or anything it feeds, breaks every recorded loss.
const LANGUAGE_SEED: u64 = 72;

/// The lexicon and what follows what.
#[derive(Clone, Debug)]
pub struct Language {
    /// Word `w` with its separator as byte tokens, zero-padded.
    words: Vec<[u32; WORD_BYTES_MAX]>,
    /// Bytes of word `w`, separator included.
    lengths: Vec<usize>,
    /// `[WORDS * SLOTS]`: the word that slot `s` after word `w` stands for.
    next: Vec<u8>,
}

impl Language {
    /// The one language.
    pub fn new() -> Self {
        let mut rng = Pcg64::new(LANGUAGE_SEED);
        let lexicon = lexicon(&mut rng);
        let mut words = vec![[0; WORD_BYTES_MAX]; WORDS];
        for (padded, word) in words.iter_mut().zip(&lexicon) {
            for (token, byte) in padded.iter_mut().zip(word.bytes()) {
                *token = byte.into();
            }
        }
        let lengths = lexicon.iter().map(String::len).collect();
        Self { words, lengths, next: successors(&mut rng) }
    }

    /// Entropy rate of the text in nats per byte: by the stationary distribution `p` of the words,
    /// `sum_w p_w H(next | w)` nats per word over `sum_w p_w length_w` bytes per word.
    pub fn entropy_nats_per_byte(&self) -> f64 {
        let rows: Vec<Vec<f64>> = self.next.chunks_exact(SLOTS).map(probabilities).collect();
        let stationary = stationary(&rows);
        let row_entropy =
            |row: &Vec<f64>| -> f64 { row.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum() };
        let nats: f64 = stationary.iter().zip(&rows).map(|(p, row)| p * row_entropy(row)).sum();
        let bytes: f64 = stationary.iter().zip(&self.lengths).map(|(p, &n)| p * n as f64).sum();
        nats / bytes
    }

    /// A text without end, picked by `seed`.
    pub fn text(&self, seed: u64) -> Text<'_> {
        let mut rng = Pcg64::new(seed);
        let word = rng.bounded(WORDS as u64 - 1) as usize;
        Text { language: self, rng, word, bits: 0, bits_left: 0 }
    }
}

impl Default for Language {
    fn default() -> Self {
        Self::new()
    }
}

/// A text being drawn, word by word.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    language: &'a Language,
    rng: Pcg64,
    word: usize,
    bits: u64,
    bits_left: u32,
}

impl Text<'_> {
    /// Replaces `tokens` by whole words until there are at least `count` bytes, and at most one
    /// word more.
    pub fn fill(&mut self, tokens: &mut Vec<u32>, count: usize) {
        tokens.resize(count + WORD_BYTES_MAX, 0);
        let mut filled = 0;
        while filled < count {
            let word = self.next_word();
            tokens[filled..filled + WORD_BYTES_MAX].copy_from_slice(&self.language.words[word]);
            filled += self.language.lengths[word];
        }
        tokens.truncate(filled);
    }

    /// Twelve random bits pick the slot; a 64-bit draw serves five words.
    fn next_word(&mut self) -> usize {
        let slot_bits = SLOTS.ilog2();
        if self.bits_left < slot_bits {
            (self.bits, self.bits_left) = (self.rng.next_u64(), u64::BITS);
        }
        let slot = self.bits as usize % SLOTS;
        self.bits >>= slot_bits;
        self.bits_left -= slot_bits;
        self.word = self.language.next[self.word * SLOTS + slot].into();
        self.word
    }
}

/// Unique words of one or two syllables, each with its separator.
fn lexicon(rng: &mut Pcg64) -> Vec<String> {
    let mut pick = |letters: &[u8]| letters[rng.bounded(letters.len() as u64 - 1) as usize] as char;
    let mut words: Vec<String> = Vec::with_capacity(WORDS);
    while words.len() < WORDS {
        let mut word = String::new();
        // Frequent words are short, as in any language.
        let syllables = if words.len() < WORDS / 4 { 1 } else { 2 };
        for _ in 0..syllables {
            word.push(pick(b"bdfghklmnprstvwz"));
            word.push(pick(b"aeiou"));
        }
        if pick(b"01") == '1' {
            word.push(pick(b"lmnrst"));
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    for (i, word) in words.iter_mut().enumerate() {
        word.push(if i % LINE_END_EVERY == LINE_END_EVERY - 1 { '\n' } else { ' ' });
    }
    words
}

/// For each word the word behind each slot: few successors own most, Zipf's law shares the rest.
fn successors(rng: &mut Pcg64) -> Vec<u8> {
    let likely_slots: u16 = SUCCESSOR_SLOTS.iter().sum();
    let any = zipf_slots(SLOTS - usize::from(likely_slots));
    let mut next = Vec::with_capacity(WORDS * SLOTS);
    for _ in 0..WORDS {
        let mut likely: Vec<u8> = Vec::with_capacity(SUCCESSORS);
        while likely.len() < SUCCESSORS {
            // Drawn by Zipf's law as well, so that frequent words stay frequent.
            let word = any[rng.bounded(any.len() as u64 - 1) as usize];
            if !likely.contains(&word) {
                likely.push(word);
            }
        }
        for (&word, &slots) in likely.iter().zip(&SUCCESSOR_SLOTS) {
            next.extend(std::iter::repeat_n(word, slots.into()));
        }
        next.extend_from_slice(&any);
    }
    next
}

/// Shares `slots` among the words in proportion to `1 / (rank + 3)`, at least one slot each; what
/// rounding leaves over goes to the first words.
fn zipf_slots(slots: usize) -> Vec<u8> {
    let share = |rank: usize| 1_000_000 / (rank as u64 + 3);
    let total: u64 = (0..WORDS).map(share).sum();
    let mut counts: Vec<usize> =
        (0..WORDS).map(|rank| ((share(rank) * slots as u64 / total) as usize).max(1)).collect();
    let left = slots - counts.iter().sum::<usize>();
    counts[..left].iter_mut().for_each(|count| *count += 1);
    counts.iter().enumerate().flat_map(|(w, &n)| std::iter::repeat_n(w as u8, n)).collect()
}

/// Probability of each word from the slots after one word.
fn probabilities(slots: &[u8]) -> Vec<f64> {
    let mut row = vec![0.0; WORDS];
    for &word in slots {
        row[usize::from(word)] += 1.0 / SLOTS as f64;
    }
    row
}

/// The distribution `p = p P`, by iteration: every word can follow every word, so it converges
/// geometrically.
fn stationary(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut p = vec![1.0 / WORDS as f64; WORDS];
    for _ in 0..200 {
        let mut next = vec![0.0; WORDS];
        for (p, row) in p.iter().zip(rows) {
            next.iter_mut().zip(row).for_each(|(next, q)| *next += p * q);
        }
        p = next;
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64, bytes: usize) -> Vec<u8> {
        let language = Language::new();
        let mut tokens = Vec::new();
        language.text(seed).fill(&mut tokens, bytes);
        tokens.iter().map(|&token| u8::try_from(token).unwrap()).collect()
    }

    fn words(text: &[u8]) -> Vec<&[u8]> {
        text.split_inclusive(|&byte| byte == b' ' || byte == b'\n').collect()
    }

    #[test]
    fn words_are_unique_and_end_in_their_only_separator() {
        let language = Language::new();
        let mut seen = std::collections::HashSet::new();
        for (word, &length) in language.words.iter().zip(&language.lengths) {
            let (last, letters) = word[..length].split_last().unwrap();
            assert!(letters.iter().all(|&b| (u32::from(b'a')..=u32::from(b'z')).contains(&b)));
            assert!([u32::from(b' '), u32::from(b'\n')].contains(last));
            assert!(seen.insert(letters.to_vec()));
        }
        assert_eq!(seen.len(), WORDS);
    }

    #[test]
    fn the_seed_picks_the_text_and_nothing_else() {
        assert_eq!(text(1, 10_000), text(1, 10_000));
        assert_ne!(text(1, 10_000), text(2, 10_000));
    }

    #[test]
    fn the_stated_entropy_is_what_counting_pairs_of_words_finds() {
        let text = text(5, 8_000_000);
        let words = words(&text);
        let mut pairs = std::collections::HashMap::new();
        let mut firsts = std::collections::HashMap::new();
        for pair in words.windows(2) {
            *pairs.entry((pair[0], pair[1])).or_insert(0u64) += 1;
            *firsts.entry(pair[0]).or_insert(0u64) += 1;
        }
        let total = (words.len() - 1) as f64;
        let counted: f64 = pairs
            .iter()
            .map(|((first, _), &n)| -(n as f64 / total) * (n as f64 / firsts[first] as f64).ln())
            .sum();
        let per_byte = counted * words.len() as f64 / text.len() as f64;
        let stated = Language::new().entropy_nats_per_byte();
        assert!((per_byte / stated - 1.0).abs() < 0.01, "counted {per_byte}, stated {stated}");
    }

    #[test]
    fn frequent_words_are_many_times_as_frequent_as_rare_ones() {
        let text = text(3, 1_000_000);
        let mut counts = std::collections::HashMap::new();
        words(&text).into_iter().for_each(|word| *counts.entry(word).or_insert(0u64) += 1);
        let (most, least) = (counts.values().max().unwrap(), counts.values().min().unwrap());
        assert_eq!(counts.len(), WORDS);
        assert!(most > &(least * 20), "{most} {least}");
    }
}
