//! The thread that owns the model. Each pass takes what all texts under way need next, whole
//! prompts of those that begin and one token of the others, so that the parameters are read once
//! for all of them.

use std::thread;

use model::generate::{Addition, Continuation, Decoder, Extend, Finish, Wanted};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::refusal::Refusal;
use crate::failure::Failure;

/// A text to make.
pub(super) struct Job {
    pub(super) prompt: Vec<u32>,
    pub(super) continuation: Continuation,
    /// Where it goes. Nobody listening ends it.
    pub(super) events: mpsc::UnboundedSender<Event>,
}

/// What happens to a text. There are no more of them than tokens in a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Text(String),
    Done { finish: Finish, tokens: usize },
}

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Engine {
    queue: mpsc::Sender<Job>,
}

impl Engine {
    /// Starts the thread; it ends when all that hold its queue have gone.
    pub(super) fn start(decoder: Decoder, queue: usize) -> Result<Self, Failure> {
        let (queue, jobs) = mpsc::channel(queue);
        let worker = Worker::new(decoder, jobs);
        let thread = thread::Builder::new().name("model".into());
        thread
            .spawn(move || worker.run())
            .map_err(|error| Failure::ours(format!("cannot start a thread: {error}")))?;
        Ok(Self { queue })
    }

    /// Puts a text into the queue.
    ///
    /// # Errors
    /// The queue is full, or the thread has gone.
    pub(super) fn submit(&self, job: Job) -> Result<(), Refusal> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::queue_full(),
            TrySendError::Closed(_) => Refusal::ours(),
        })
    }
}

/// A text under way.
struct Active {
    /// What the decoder has not seen yet.
    feed: Vec<u32>,
    continuation: Continuation,
    events: mpsc::UnboundedSender<Event>,
}

struct Worker {
    decoder: Decoder,
    jobs: mpsc::Receiver<Job>,
    /// By the decoder's sequences.
    active: Vec<Option<Active>>,
}

impl Worker {
    fn new(decoder: Decoder, jobs: mpsc::Receiver<Job>) -> Self {
        let active = (0..decoder.slots()).map(|_| None).collect();
        Self { decoder, jobs, active }
    }

    fn run(mut self) {
        while self.admit() {
            self.step();
        }
    }

    /// Takes texts from the queue while there is a free sequence. With none under way it waits for
    /// one; false when none will come any more.
    fn admit(&mut self) -> bool {
        for slot in 0..self.active.len() {
            if self.active[slot].is_some() {
                continue;
            }
            let is_idle = self.active.iter().all(Option::is_none);
            let job = if is_idle { self.jobs.blocking_recv() } else { self.jobs.try_recv().ok() };
            let Some(Job { prompt, continuation, events }) = job else { break };
            if events.is_closed() {
                continue;
            }
            self.decoder.truncate(slot, 0);
            self.active[slot] = Some(Active { feed: prompt, continuation, events });
        }
        self.active.iter().any(Option::is_some) || !self.jobs.is_closed() || !self.jobs.is_empty()
    }

    /// One pass over the model, and a token for each text.
    fn step(&mut self) {
        let Self { decoder, active, .. } = self;
        let work: Vec<(usize, Vec<u32>)> = active
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, one)| Some((slot, std::mem::take(&mut one.as_mut()?.feed))))
            .collect();
        let work: Vec<Extend<'_>> =
            work.iter().map(|(slot, tokens)| Extend { slot: *slot, tokens }).collect();
        decoder.extend(&work, Wanted::Last, &mut |place, logits| {
            let Some(one) = &mut active[place.slot] else { return };
            let Addition { token, text, finish } = one.continuation.draw(logits);
            one.feed = vec![token];
            let is_heard = text.is_empty() || one.events.send(Event::Text(text)).is_ok();
            if let Some(finish) = finish {
                let tokens = one.continuation.tokens();
                // Whoever has gone away does not need to know.
                let _ = one.events.send(Event::Done { finish, tokens });
            }
            if finish.is_some() || !is_heard || one.events.is_closed() {
                active[place.slot] = None;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use model::generate::{Sampler, Sampling, StopText, TextStream};

    use super::*;

    fn job() -> Job {
        let continuation = Continuation::new(
            Sampler::new(Sampling::default(), 0),
            TextStream::after(&std::sync::Arc::new(model::Tokenizer::Byte), &[]),
            StopText::new(Vec::new()),
            Vec::new(),
            1,
        );
        Job { prompt: vec![1], continuation, events: mpsc::unbounded_channel().0 }
    }

    #[test]
    fn a_full_queue_takes_no_more_and_one_without_a_model_neither() {
        let (queue, mut jobs) = mpsc::channel(2);
        let engine = Engine { queue };
        let status = || engine.submit(job()).map_err(|refusal| refusal.status().as_u16());
        assert_eq!([(); 3].map(|()| status()), [Ok(()), Ok(()), Err(429)]);
        jobs.try_recv().expect("one waits");
        assert_eq!(status(), Ok(()));
        drop(jobs);
        assert_eq!(status(), Err(500));
    }
}
