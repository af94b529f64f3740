//! Several devices: the batches of a step are taken at the same time.

use att_core::at_once;
use att_model::Seq2Seq;
use burn::module::Module;
use burn::tensor::Device;

use crate::Result;

/// The devices that take batches of a step beside the model's own.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    pub(crate) others: Vec<Device>,
}

impl Replicas {
    /// Takes batches `0..n`, the i-th with a copy of the model on the (i modulo devices)-th device, and hands
    /// what comes of them to `done` in their order.
    ///
    /// # Errors
    ///
    /// [`Error::DeviceLost`] where another process's device no longer answers.
    pub(crate) fn take<T: Send>(
        &self,
        model: &Seq2Seq,
        n: usize,
        take: impl Fn(&Seq2Seq, usize) -> T + Sync,
        mut done: impl FnMut(T),
    ) -> Result<()> {
        let others = self.others.iter().take(n.saturating_sub(1));
        let copies = others.map(|device| on(device, || model.clone().fork(device)));
        let copies: Vec<Seq2Seq> = copies.collect::<Result<_>>()?;
        let models: Vec<&Seq2Seq> = std::iter::once(model).chain(&copies).collect();
        let batches: Vec<usize> = (0..n).collect();
        for round in batches.chunks(models.len()) {
            let take = &take;
            let jobs = round.iter().zip(&models);
            let jobs =
                jobs.map(|(&batch, &model)| move || on(&model.device(), || take(model, batch)));
            for taken in at_once(jobs.collect()) {
                done(taken?);
            }
        }
        Ok(())
    }
}

/// Runs what computes on `device`.
fn on<T>(device: &Device, run: impl FnOnce() -> T) -> Result<T> {
    #[cfg(feature = "remote")]
    if let Some(device) = att_core::remote::name_of(device) {
        let lost = |reason| crate::Error::DeviceLost { device, reason };
        return att_core::remote::guarded(run).map_err(lost);
    }
    let _ = device;
    Ok(run())
}
