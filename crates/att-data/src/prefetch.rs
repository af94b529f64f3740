use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Batch, Batcher, Result};

/// Batches that are made on a thread of their own, ahead of who takes them and in the order of their plans.
/// A few wait at a time, so their memory is bounded.
///
/// ```
/// use std::sync::Arc;
/// use att_data::{Batcher, BatcherConfig, Example, Prefetch};
///
/// let example = Example { src: vec![4], tgt: vec![5], ..Example::default() };
/// let batcher = Arc::new(Batcher::new(BatcherConfig::default(), vec![example; 100])?);
/// let plans = { let batcher = batcher.clone(); (0..3).map(move |epoch| batcher.epoch(1, epoch)) };
/// let mut batches = Prefetch::new(batcher, plans, 0);
/// while let Some(n) = batches.next_plan() {
///     for _ in 0..n {
///         assert!(batches.next_batch()?.src.rows <= 64);
///     }
/// }
/// # Ok::<(), att_data::Error>(())
/// ```
#[derive(Debug)]
pub struct Prefetch {
    /// None only while it is dropped.
    messages: Option<Receiver<Message>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

#[derive(Debug)]
enum Message {
    /// A plan begins that has so many batches.
    Plan(usize),
    Batch(Box<Result<Batch>>),
}

impl Prefetch {
    /// Batches that are ready at most, beside the one that is being made.
    pub const AHEAD: usize = 8;

    /// Begins to make batches.
    ///
    /// - `plans`: as of [`Batcher::epoch`], made on the other thread too
    /// - `skip`: so many batches of the first plan are not made, and not to be taken
    pub fn new(
        batcher: Arc<Batcher>,
        plans: impl Iterator<Item = Vec<Vec<usize>>> + Send + 'static,
        skip: usize,
    ) -> Self {
        Self::by(move |rows| batcher.batch(rows), plans, skip)
    }

    /// The same where not one batcher alone makes the batches of the plans.
    pub fn by(
        batch: impl Fn(&[usize]) -> Result<Batch> + Send + 'static,
        plans: impl Iterator<Item = Vec<Vec<usize>>> + Send + 'static,
        skip: usize,
    ) -> Self {
        let (sender, messages) = sync_channel(Self::AHEAD);
        let thread = thread::Builder::new()
            .name("batches".into())
            .spawn(move || _ = make(batch, plans, skip, &sender))
            .expect("the system has a thread left");
        Self {
            messages: Some(messages),
            thread: Some(thread),
            waited: Duration::ZERO,
        }
    }

    /// Goes to the next plan, which may be waited for; its number of batches, or none if there are no more.
    ///
    /// # Panics
    ///
    /// If the plan before has batches that were not taken.
    pub fn next_plan(&mut self) -> Option<usize> {
        match self.receive()? {
            Message::Plan(batches) => Some(batches),
            Message::Batch(_) => panic!("a plan is taken to its end before the next"),
        }
    }

    /// The next batch of the plan.
    ///
    /// # Errors
    ///
    /// As [`Batcher::batch`].
    ///
    /// # Panics
    ///
    /// If all of them were taken.
    pub fn next_batch(&mut self) -> Result<Batch> {
        match self.receive() {
            Some(Message::Batch(batch)) => *batch,
            _ => panic!("no more batches are taken than the plan has"),
        }
    }

    /// How long was waited for plans and batches since this was asked last.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    fn receive(&mut self) -> Option<Message> {
        let begun = Instant::now();
        let messages = self.messages.as_ref().expect("it is not dropped yet");
        let message = messages.recv().ok();
        self.waited += begun.elapsed();
        if message.is_none()
            && let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
        {
            resume_unwind(panic);
        }
        message
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // The thread ends at its next message.
        drop(self.messages.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until there are no more plans, or nobody who takes a message.
fn make(
    batch: impl Fn(&[usize]) -> Result<Batch>,
    plans: impl Iterator<Item = Vec<Vec<usize>>>,
    mut skip: usize,
    sender: &SyncSender<Message>,
) -> Option<()> {
    for plan in plans {
        sender.send(Message::Plan(plan.len())).ok()?;
        for rows in plan.iter().skip(std::mem::take(&mut skip)) {
            let batch = Box::new(batch(rows));
            sender.send(Message::Batch(batch)).ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatcherConfig, Example};

    fn batcher() -> Arc<Batcher> {
        let example = |n: usize| Example {
            src: vec![4; 1 + n % 7],
            tgt: vec![5; 1 + n % 5],
            ..Example::default()
        };
        let config = BatcherConfig {
            batch_size: 3,
            ..BatcherConfig::default()
        };
        Arc::new(Batcher::new(config, (0..50).map(example).collect::<Vec<_>>()).unwrap())
    }

    #[test]
    fn batches_come_in_the_order_of_their_plans() {
        let batcher = batcher();
        let plans: Vec<_> = (0..3).map(|epoch| batcher.epoch(1, epoch)).collect();
        for skip in [0, 5, plans[0].len()] {
            let mut batches = Prefetch::new(batcher.clone(), plans.clone().into_iter(), skip);
            for (epoch, plan) in plans.iter().enumerate() {
                assert_eq!(batches.next_plan(), Some(plan.len()));
                let skip = if epoch == 0 { skip } else { 0 };
                for rows in &plan[skip..] {
                    let made = batches.next_batch().unwrap();
                    assert_eq!(made, batcher.batch(rows).unwrap());
                }
            }
            assert_eq!(batches.next_plan(), None);
            assert!(batches.take_waited() > Duration::ZERO);
            assert_eq!(batches.take_waited(), Duration::ZERO);
        }
    }

    #[test]
    fn who_stops_early_waits_for_nothing() {
        let batcher = batcher();
        let plans = std::iter::repeat(batcher.epoch(1, 0));
        let mut batches = Prefetch::new(batcher, plans, 0);
        batches.next_plan();
        batches.next_batch().unwrap();
        drop(batches); // or this test never ends
    }

    #[test]
    #[should_panic(expected = "no such plan")]
    fn a_panic_of_the_thread_is_one_here() {
        let plans = (0..2).map(|epoch| match epoch {
            0 => Vec::new(),
            _ => panic!("no such plan"),
        });
        let mut batches = Prefetch::new(batcher(), plans, 0);
        while batches.next_plan().is_some() {}
    }
}
