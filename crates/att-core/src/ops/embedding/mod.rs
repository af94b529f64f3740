//! Rows of a table as one operation.

#[cfg(feature = "cpu")]
mod backward;
#[cfg(feature = "cpu")]
mod cpu;
mod reference;

use burn::tensor::{Int, Tensor};

pub use reference::embedding_reference;

/// Row `ids[b, t]` of a table: `out[b, t] = table[ids[b, t]]`.
///
/// - `table`: `[vocab, d]`
/// - `ids`: `[batch, len]`
/// - returns `[batch, len, d]`
///
/// On the CPU backends in f32 this is one node on the tape. Its gradient adds each row of the
/// output's to that of the table, in the order of the positions whatever the threads; rows whose id
/// is not there are not touched.
///
/// # Panics
///
/// If there is no id, or (on CPU backends) an id is not in the table.
pub fn embedding(table: Tensor<2>, ids: Tensor<2, Int>) -> Tensor<3> {
    let [batch, len] = ids.dims();
    assert!(batch * len > 0, "no id in a batch of {batch} rows of {len}");
    #[cfg(feature = "cpu")]
    if super::has_cpu_kernels(&table) {
        return cpu::embedding(table, ids);
    }
    embedding_reference(table, ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::test_support::{
        assert_close, assert_slopes, cpu_devices, gradients, random_tensor,
    };
    use burn::tensor::{Device, TensorData};

    /// vocab, batch, len, d.
    const SIZES: [[usize; 4]; 4] = [
        [1, 1, 1, 1],
        [5, 3, 4, 3],
        [300, 2, 7, 33],
        [1000, 40, 50, 70],
    ];

    fn ids([vocab, batch, len, _]: [usize; 4], device: &Device) -> Tensor<2, Int> {
        let ids = crate::random::uniform(batch * len, 0.5).into_iter();
        // Small ids are frequent, as in a vocabulary.
        let ids = ids.map(|x| ((x + 0.5) * (x + 0.5) * vocab as f32) as i64);
        Tensor::from_data(TensorData::new(ids.collect(), [batch, len]), device)
    }

    fn each(test: impl Fn(Tensor<3>, Tensor<2, Int>)) {
        for device in cpu_devices() {
            for sizes in SIZES {
                crate::random::seed(3);
                let ids = ids(sizes, &device);
                test(random_tensor([1, sizes[0], sizes[3]], &device), ids);
            }
        }
    }

    #[test]
    fn values_and_gradients_equal_those_of_the_reference() {
        each(|table, ids| {
            let run = |f: fn(_, _) -> Tensor<3>, [table]: [Tensor<3>; 1]| {
                f(table.squeeze_dim::<2>(0), ids.clone())
            };
            let fused = run(embedding, [table.clone()]);
            assert_close(fused, run(embedding_reference, [table.clone()]), 0.0);
            let fused = gradients([table.clone()], |a| run(embedding, a));
            let reference = gradients([table], |a| run(embedding_reference, a));
            assert_close(fused[0].clone(), reference[0].clone(), 1e-5);
        });
    }

    #[test]
    fn gradients_equal_finite_differences() {
        each(|table, ids| {
            let vocab = table.dims()[1];
            // The last case would be slow.
            if vocab < 1000 {
                assert_slopes([table], |[table]| {
                    embedding(table.squeeze_dim::<2>(0), ids.clone())
                });
            }
        });
    }

    #[test]
    fn views_are_read_as_they_are() {
        for device in cpu_devices() {
            crate::random::seed(4);
            let table = random_tensor([6, 5], &device).transpose();
            let ids = Tensor::<2, Int>::from_data([[4, 0, 1], [2, 2, 3]], &device).transpose();
            let expected = embedding_reference(table.clone(), ids.clone());
            assert_close(embedding(table, ids), expected, 0.0);
        }
    }

    #[test]
    #[should_panic(expected = "is not one of the 3 rows")]
    fn an_id_beyond_the_table_is_refused() {
        let device = &cpu_devices()[0];
        embedding(
            Tensor::zeros([3, 2], device),
            Tensor::from_data([[3]], device),
        );
    }

    #[test]
    #[should_panic(expected = "no id")]
    fn an_empty_batch_is_refused() {
        let device = &cpu_devices()[0];
        embedding(Tensor::zeros([3, 2], device), Tensor::zeros([0, 4], device));
    }
}
