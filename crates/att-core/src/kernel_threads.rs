/// Runs something on one of the threads that the CPU kernels share their work among, so that
/// handing a part to the others puts no thread to sleep: for whole runs of training and decoding,
/// many small operations one after the other. Within such a run, and without a CPU backend, it
/// just runs.
pub fn on_kernel_threads<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    #[cfg(feature = "cpu")]
    return rayon::scope(|_| run());
    #[cfg(not(feature = "cpu"))]
    run()
}
