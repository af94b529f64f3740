//! Whether a pass is one of training.

use std::cell::Cell;

use burn::tensor::Device;

thread_local! {
    static AS_DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether passes on a device have what training alone has, dropout and noise: where it has autodiff, unless
/// they run [`without_noise`].
pub fn is_training(device: &Device) -> bool {
    device.is_autodiff() && !AS_DECODING.get()
}

/// Runs something whose gradients are those of the model as it decodes, such as what an output owes to its
/// source: passes of this thread on a device with autodiff have neither dropout nor noise. Not every thread is
/// concerned, so what trains elsewhere goes on as it did.
///
/// ```
/// use att_core::{is_training, without_noise};
/// use burn::tensor::Device;
///
/// let device = Device::flex().autodiff();
/// assert!(is_training(&device) && !without_noise(|| is_training(&device)));
/// assert!(is_training(&device));
/// ```
pub fn without_noise<T>(run: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            AS_DECODING.set(self.0);
        }
    }
    let _before = Before(AS_DECODING.replace(true));
    run()
}
