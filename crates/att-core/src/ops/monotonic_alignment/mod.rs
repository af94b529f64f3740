//! The expected alignment of hard monotonic attention, exactly.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;
#[cfg(feature = "cpu")]
mod kernel;
mod reference;
#[cfg(test)]
mod tests;

use burn::tensor::{Tensor, assert_shape};

pub use reference::monotonic_alignment_reference;

/// Where a head is that goes over the source from left to right (Raffel et al. 2017, eq. 11 to 13):
/// from where it stood at the last step it stops at each state with that state's probability, and
/// else goes on to the next.
///
/// ```text
/// q[s] = (1 - p[s-1]) q[s-1] + previous[s]        the probability that the head comes to s
/// a[s] = p[s] q[s]                                that it stops there
/// ```
///
/// With probabilities of 0 and 1 the alignment is hard. It sums to at most one: the rest has left the
/// source at its end.
///
/// - `p`: the probabilities, from 0 to 1, `[batch, tgt_len, src_len]`; zero at padding
/// - `previous`: the alignment of the last step, the same shape; of each row its own
/// - returns the alignment, `[batch, tgt_len, src_len]`
///
/// On the CPU backends in f32 this is one node on the tape, the recurrence as it stands: neither a
/// division by a product that may vanish, as in the paper, nor a square of `src_len`. Elsewhere it is
/// composed of tensor operations, with `[batch, tgt_len, src_len, src_len]` in between.
///
/// # Panics
///
/// If the shapes disagree.
pub fn monotonic_alignment(p: Tensor<3>, previous: Tensor<3>) -> Tensor<3> {
    let [batch, tgt_len, src_len] = p.dims();
    assert_shape!(previous, [batch, tgt_len, src_len]);
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&p) {
        use burn::backend::Dispatch;
        return Tensor::from_dispatch(
            <Dispatch as cpu::MonotonicAlignmentOps>::monotonic_alignment(
                p.into_dispatch(),
                previous.into_dispatch(),
            ),
        );
    }
    monotonic_alignment_reference(p, previous)
}
