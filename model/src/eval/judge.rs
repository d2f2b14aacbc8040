//! Log-likelihoods of texts under a model: of what follows given texts, and of a whole text piece
//! by piece; and what the model itself writes after a text.
//!
//! Where a text ends and what follows it begins is found as the harness does: white space at the
//! end of the one belongs to the other, and both together are encoded once. What is longer than the
//! model's context loses its beginning. Requests that begin alike share keys and values.

use std::sync::Arc;

use crate::generate::{
    Continuation, Decoder, Extend, LogSoftmax, Sampler, Sampling, StopText, TextStream, Wanted,
    greedy,
};
use crate::{Tokenizer, TokenizerError};

/// Why something cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Text that the tokenizer does not take.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// More to score than a context holds.
    #[error("an answer of {tokens} tokens is longer than the model's context of {most}")]
    TooLong {
        /// Tokens of the answer.
        tokens: usize,
        /// Tokens of a context.
        most: usize,
    },
    /// Nothing to score.
    #[error("an answer has no token of its own")]
    Empty,
    /// No place for a prompt.
    #[error("an answer of up to {answer} tokens leaves a context of {most} no token of a prompt")]
    NoRoom {
        /// Most tokens of an answer.
        answer: usize,
        /// Tokens of a context.
        most: usize,
    },
}

/// How likely a text is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// Logarithm of its probability, in nats.
    pub nats: f64,
    /// Whether each of its tokens was the most likely one.
    pub is_greedy: bool,
}

/// A model that is asked how likely texts are.
pub struct Judge {
    decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    /// What comes before a text that follows nothing.
    prefix: u32,
    /// Tokens that end what the model writes.
    ends: Vec<u32>,
    /// What the first sequence holds, for the next question that begins alike.
    held: Vec<u32>,
}

/// Tokens in front of the last, and how many of the last are scored.
struct Request {
    /// All but the last token.
    input: Vec<u32>,
    scored: Vec<u32>,
}

impl Request {
    /// `given`, then `scored`, cut to what fits into `most` tokens of input.
    fn new(given: Vec<u32>, scored: Vec<u32>, most: usize) -> Result<Self, JudgeError> {
        if scored.is_empty() {
            return Err(JudgeError::Empty);
        }
        if scored.len() > most {
            return Err(JudgeError::TooLong { tokens: scored.len(), most });
        }
        let mut input = given;
        input.extend_from_slice(&scored[..scored.len() - 1]);
        input.drain(..input.len().saturating_sub(most));
        Ok(Self { input, scored })
    }

    /// Tokens of the input before the first whose successor is scored.
    fn unscored(&self) -> usize {
        self.input.len() - self.scored.len()
    }
}

impl Judge {
    /// A judge with the sequences of `decoder`, each of a whole context; `prefix` stands before a
    /// text that follows nothing, and each of `ends` ends what the model writes.
    pub fn new(decoder: Decoder, tokenizer: Arc<Tokenizer>, prefix: u32, ends: Vec<u32>) -> Self {
        Self { decoder, tokenizer, prefix, ends, held: Vec::new() }
    }

    /// Texts that are asked about at once.
    pub fn slots(&self) -> usize {
        self.decoder.slots()
    }

    /// How likely each text is after the one given with it.
    ///
    /// # Errors
    /// A text cannot be encoded, or what is scored is nothing or longer than a context.
    pub fn likelihoods(
        &mut self,
        requests: &[(String, String)],
    ) -> Result<Vec<Likelihood>, JudgeError> {
        let requests = requests.iter().map(|(given, scored)| self.request(given, scored));
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let slots = self.decoder.slots();
        Ok(requests.chunks(slots).flat_map(|requests| self.score(requests)).collect())
    }

    /// Logarithm of a text's probability, in nats, by pieces of a context each. The first follows
    /// the prefix; the others as much of what is before them as fits, at least one token.
    ///
    /// # Errors
    /// The text cannot be encoded, or is empty.
    pub fn rolling(
        &mut self,
        text: &str,
        mut on_tokens: impl FnMut(usize, usize),
    ) -> Result<f64, JudgeError> {
        let (tokens, most) = (self.tokenizer.encode_prompt(text)?, self.decoder.positions());
        if tokens.is_empty() {
            return Err(JudgeError::Empty);
        }
        let (mut nats, mut done) = (0.0, 0);
        while done < tokens.len() {
            let end = (done + most).min(tokens.len());
            let given = match done {
                0 => vec![self.prefix],
                _ => tokens[end.saturating_sub(most + 1)..done].to_vec(),
            };
            let request = Request::new(given, tokens[done..end].to_vec(), most)?;
            nats += self.score(&[request]).iter().map(|found| found.nats).sum::<f64>();
            done = end;
            on_tokens(done, tokens.len());
        }
        Ok(nats)
    }

    /// What the model writes after each prompt, always the most likely token, up to one of `stops`,
    /// an end or `tokens_max` tokens. Of a prompt the last tokens count that leave room for those.
    ///
    /// # Errors
    /// A prompt cannot be encoded, or there is no room for one.
    pub fn written(
        &mut self,
        prompts: &[String],
        stops: &[&str],
        tokens_max: usize,
    ) -> Result<Vec<String>, JudgeError> {
        let most = self.decoder.positions();
        let room = most.checked_sub(tokens_max).filter(|room| *room > 0);
        let room = room.ok_or(JudgeError::NoRoom { answer: tokens_max, most })?;
        let encode = |prompt: &String| {
            let mut tokens = self.tokenizer.encode_prompt(prompt)?;
            if tokens.is_empty() {
                tokens.push(self.prefix);
            }
            tokens.drain(..tokens.len().saturating_sub(room));
            Ok::<_, JudgeError>(tokens)
        };
        let prompts = prompts.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let slots = self.decoder.slots();
        let write = |prompts: &[Vec<u32>]| self.write(prompts, stops, tokens_max);
        Ok(prompts.chunks(slots).flat_map(write).collect())
    }

    /// As many texts as there are sequences, at the most; each leaves when it ends.
    fn write(&mut self, prompts: &[Vec<u32>], stops: &[&str], tokens_max: usize) -> Vec<String> {
        let likeliest = Sampling { temperature: 0.0, ..Sampling::default() };
        let begin = |prompt: &Vec<u32>| {
            let stops = stops.iter().map(|stop| stop.to_string()).collect();
            let text = TextStream::after(&self.tokenizer, prompt);
            let sampler = Sampler::new(likeliest, 0);
            Continuation::new(sampler, text, StopText::new(stops), self.ends.clone(), tokens_max)
        };
        let mut rests: Vec<Continuation> = prompts.iter().map(begin).collect();
        let mut texts = vec![String::new(); prompts.len()];
        self.held.clear();
        (0..prompts.len()).for_each(|slot| self.decoder.truncate(slot, 0));
        let mut next: Vec<(usize, Vec<u32>)> = prompts.iter().cloned().enumerate().collect();
        while !next.is_empty() {
            let fed = std::mem::take(&mut next);
            let work: Vec<Extend<'_>> =
                fed.iter().map(|(slot, tokens)| Extend { slot: *slot, tokens }).collect();
            self.decoder.extend(&work, Wanted::Last, &mut |place, logits| {
                let drawn = rests[place.slot].draw(logits);
                texts[place.slot] += &drawn.text;
                if drawn.finish.is_none() {
                    next.push((place.slot, vec![drawn.token]));
                }
            });
        }
        texts
    }

    fn request(&self, given: &str, scored: &str) -> Result<Request, JudgeError> {
        let most = self.decoder.positions();
        if given.is_empty() {
            let mut tokens = Vec::new();
            self.tokenizer.encode(scored.as_bytes(), &mut tokens)?;
            return Request::new(vec![self.prefix], tokens, most);
        }
        let whole = self.tokenizer.encode_prompt(&format!("{given}{scored}"))?;
        let mut given = self.tokenizer.encode_prompt(given.trim_end())?;
        let scored = whole.get(given.len()..).unwrap_or_default().to_vec();
        // The harness feeds the model what the given text is by itself.
        if given.is_empty() {
            given.push(self.prefix);
        }
        Request::new(given, scored, most)
    }

    /// As many requests as there are sequences, at the most.
    fn score(&mut self, requests: &[Request]) -> Vec<Likelihood> {
        let Some(first) = requests.first() else { return Vec::new() };
        let common =
            |request: &Request| alike(&first.input, &request.input).min(request.unscored());
        let shared = requests.iter().map(common).min().unwrap_or(0);
        let kept = alike(&first.input, &self.held).min(shared);
        self.held.clone_from(&first.input);
        let decoder = &mut self.decoder;
        decoder.truncate(0, kept);
        let work = [Extend { slot: 0, tokens: &first.input[kept..shared] }];
        decoder.extend(&work, Wanted::None, &mut |_, _| ());
        (1..requests.len()).for_each(|slot| decoder.fork(0, slot));
        let work: Vec<Extend<'_>> = requests
            .iter()
            .enumerate()
            .map(|(slot, request)| Extend { slot, tokens: &request.input[shared..] })
            .collect();
        let mut found = vec![Likelihood { nats: 0.0, is_greedy: true }; requests.len()];
        decoder.extend(&work, Wanted::All, &mut |place, logits| {
            let request = &requests[place.slot];
            let Some(at) = place.position.checked_sub(request.unscored()) else { return };
            let (token, found) = (request.scored[at], &mut found[place.slot]);
            found.nats += LogSoftmax::of(logits).nats(logits[token as usize]);
            found.is_greedy &= greedy(logits) == token;
        });
        found
    }
}

/// Tokens that two texts have in common from the beginning.
fn alike(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}
