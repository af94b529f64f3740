//! Several devices: the batches of a step are taken at the same time.

use att_core::at_once;
use att_model::Seq2Seq;
use burn::module::Module;
use burn::tensor::Device;

/// The devices that take batches of a step beside the model's own.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    pub(crate) others: Vec<Device>,
}

impl Replicas {
    /// Takes batches `0..n`, the i-th with a copy of the model on the (i modulo devices)-th device, and hands
    /// what comes of them to `done` in their order.
    pub(crate) fn take<T: Send>(
        &self,
        model: &Seq2Seq,
        n: usize,
        take: impl Fn(&Seq2Seq, usize) -> T + Sync,
        mut done: impl FnMut(T),
    ) {
        let others = self.others.iter().take(n.saturating_sub(1));
        let copies: Vec<Seq2Seq> = others.map(|device| model.clone().fork(device)).collect();
        let models: Vec<&Seq2Seq> = std::iter::once(model).chain(&copies).collect();
        let batches: Vec<usize> = (0..n).collect();
        for round in batches.chunks(models.len()) {
            let take = &take;
            let jobs = round.iter().zip(&models);
            let jobs = jobs.map(|(&batch, &model)| move || take(model, batch));
            at_once(jobs.collect()).into_iter().for_each(&mut done);
        }
    }
}
