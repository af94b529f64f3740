//! All steps with the kernels, forward and backward.

use burn::backend::{TensorMetadata, ops::FloatTensorOps};
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use super::kernels::{self, KEYS, LANES, StepLaunch};
use super::{Arguments, BahdanauStepsOps, Plan, Saved, StepsKernel};
use crate::ops::additive_score;
use crate::ops::cube::{UNITS, a_unit_each, dense, elem_type, empty, empty_like, written};
use crate::ops::generic::{columns, indices};

/// The sizes of a pass.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    tgt_len: usize,
    src_len: usize,
    d_attn: usize,
    d_memory: usize,
    d: usize,
    width: usize,
}

impl Sizes {
    fn of(arguments: &Arguments<CubeTensor>) -> Self {
        let [batch, tgt_len, _] = arguments.projected.shape().dims();
        let [_, src_len, d_attn] = arguments.keys.shape().dims();
        let [d, width] = arguments.of_state.shape().dims();
        Self {
            batch,
            tgt_len,
            src_len,
            d_attn,
            d_memory: arguments.memory.shape()[2],
            d,
            width,
        }
    }

    /// Columns of the gates.
    fn parts(&self) -> usize {
        self.width - self.d_attn
    }

    /// Columns of the result.
    fn out(&self) -> usize {
        self.d + self.d_memory + self.src_len
    }

    fn step(&self, t: usize) -> StepLaunch {
        StepLaunch::new(
            t,
            self.batch,
            self.tgt_len,
            self.src_len,
            self.d_attn,
            self.d_memory,
            self.d,
            self.width,
        )
    }

    /// A grid with a cube for each row and so many of its columns.
    fn cubes(&self, columns: usize, of_a_cube: usize) -> CubeCount {
        let across = columns.div_ceil(of_a_cube) as u32;
        CubeCount::Static(across, self.batch as u32, 1)
    }
}

fn read(tensor: &CubeTensor) -> BufferArg {
    dense(tensor.clone())
}

/// The lengths of sources and targets, for the kernels.
fn lengths(plan: &Plan, near: &CubeTensor) -> [CubeTensor; 2] {
    let device = near.device();
    [&plan.src_lengths, &plan.tgt_lengths].map(|lengths| indices::<CubeBackend>(lengths, &device))
}

impl StepsKernel for CubeBackend {
    fn forward(arguments: Arguments<CubeTensor>, plan: &Plan) -> (CubeTensor, Saved<CubeTensor>) {
        let sizes = Sizes::of(&arguments);
        let arguments = Arguments::from_array(arguments.into_array().map(into_contiguous));
        let Arguments {
            projected,
            of_state,
            keys,
            v,
            memory,
            of_context,
            mut hidden,
            mut extra,
        } = arguments;
        let [src_lengths, tgt_lengths] = lengths(plan, &projected);
        let all = |cols| empty_like(&projected, [sizes.batch, sizes.tgt_len, cols]);
        let of_step = |cols| empty_like(&projected, [sizes.batch, cols]);
        let out = all(sizes.out());
        let saved = Saved {
            queries: all(sizes.d_attn),
            weights: all(sizes.src_len),
            contexts: all(sizes.d_memory),
            gates: all(4 * sizes.d),
            hiddens: all(sizes.d),
            cells: if plan.lstm {
                all(sizes.d)
            } else {
                empty_like(&projected, [1]) // not written
            },
        };
        let (client, dtype) = (projected.client.clone(), elem_type(&projected));
        let (of_units, unit_dim) = a_unit_each(&client, sizes.batch * sizes.d);
        let scores = empty(&projected, [sizes.batch, sizes.src_len], DType::F32);
        for t in 0..sizes.tgt_len {
            let product = Self::float_matmul(hidden.clone(), of_state.clone());
            kernels::scores::launch(
                &client,
                sizes.cubes(sizes.src_len, KEYS),
                CubeDim::new_1d((KEYS * LANES) as u32),
                read(&product),
                read(&keys),
                read(&v),
                read(&src_lengths),
                written(&scores),
                sizes.step(t),
                dtype,
            );
            let context = of_step(sizes.d_memory);
            kernels::read::launch(
                &client,
                sizes.cubes(sizes.d_memory.max(sizes.d_attn), UNITS),
                CubeDim::new_1d(UNITS as u32),
                read(&scores),
                read(&product),
                read(&memory),
                read(&src_lengths),
                read(&tgt_lengths),
                written(&saved.queries),
                written(&saved.weights),
                written(&saved.contexts),
                written(&context),
                written(&out),
                sizes.step(t),
                dtype,
            );
            let of_this = Self::float_matmul(context, of_context.clone());
            let hidden_now = of_step(sizes.d);
            let cell_now = if plan.lstm {
                of_step(sizes.d)
            } else {
                empty_like(&projected, [1]) // not written
            };
            kernels::cell::launch(
                &client,
                of_units.clone(),
                unit_dim,
                read(&projected),
                read(&of_this),
                read(&product),
                read(&extra),
                read(&hidden),
                read(&tgt_lengths),
                written(&hidden_now),
                written(&cell_now),
                written(&saved.gates),
                written(&saved.hiddens),
                written(&saved.cells),
                written(&out),
                sizes.step(t),
                plan.lstm,
                dtype,
            );
            hidden = hidden_now;
            if plan.lstm {
                extra = cell_now;
            }
        }
        (out, saved)
    }

    fn backward(
        grad: CubeTensor,
        arguments: Arguments<CubeTensor>,
        saved: Saved<CubeTensor>,
        plan: &Plan,
    ) -> Arguments<CubeTensor> {
        let sizes = Sizes::of(&arguments);
        let grad = into_contiguous(grad);
        let [keys, v, memory] =
            [arguments.keys, arguments.v, arguments.memory].map(into_contiguous);
        let [src_lengths, tgt_lengths] = lengths(plan, &grad);
        let all = |cols| empty_like(&grad, [sizes.batch, sizes.tgt_len, cols]);
        let of_step = |cols| empty_like(&grad, [sizes.batch, cols]);
        let d_projected = all(sizes.parts());
        let d_products = all(sizes.width);
        let d_contexts = all(sizes.d_memory);
        let d_scores = all(sizes.src_len);
        let d_weights = empty(&grad, [sizes.batch, sizes.src_len], DType::F32);
        let of_state = Self::float_transpose(arguments.of_state);
        let of_context = Self::float_transpose(arguments.of_context);
        let (client, dtype) = (grad.client.clone(), elem_type(&grad));
        let (of_units, unit_dim) = a_unit_each(&client, sizes.batch * sizes.d);
        // Into the state before the step: through its products, and past them.
        let nothing = empty_like(&grad, [1]); // not read
        let (mut through, mut direct) = (nothing.clone(), nothing);
        for t in (0..sizes.tgt_len).rev() {
            let d_of_context = of_step(sizes.parts());
            let d_product = of_step(sizes.width);
            let direct_now = of_step(sizes.d);
            kernels::cell_backward::launch(
                &client,
                of_units.clone(),
                unit_dim,
                read(&grad),
                read(&saved.gates),
                read(&saved.hiddens),
                read(&saved.cells),
                read(&through),
                read(&direct),
                read(&tgt_lengths),
                written(&d_projected),
                written(&d_of_context),
                written(&d_products),
                written(&d_product),
                written(&direct_now),
                sizes.step(t),
                plan.lstm,
                dtype,
            );
            let d_context = Self::float_matmul(d_of_context, of_context.clone());
            kernels::weights_backward::launch(
                &client,
                sizes.cubes(sizes.src_len, KEYS),
                CubeDim::new_1d((KEYS * LANES) as u32),
                read(&grad),
                read(&d_context),
                read(&memory),
                read(&src_lengths),
                read(&tgt_lengths),
                written(&d_contexts),
                written(&d_weights),
                sizes.step(t),
                dtype,
            );
            kernels::scores_backward::launch(
                &client,
                sizes.cubes(sizes.d_attn, UNITS),
                CubeDim::new_1d(UNITS as u32),
                read(&d_weights),
                read(&saved.weights),
                read(&saved.queries),
                read(&keys),
                read(&v),
                read(&src_lengths),
                written(&d_scores),
                written(&d_products),
                written(&d_product),
                sizes.step(t),
                dtype,
            );
            through = Self::float_matmul(d_product, of_state.clone());
            direct = direct_now;
        }
        let (d_keys, d_v) = additive_score::cube::keys_backward(d_scores, saved.queries, keys, &v);
        let lines = |tensor: CubeTensor| {
            let cols = tensor.shape()[2];
            Self::float_reshape(tensor, Shape::from([sizes.batch * sizes.tgt_len, cols]))
        };
        // Of a product of the lines `left` with a weight.
        let of_weight =
            |left, d_out| Self::float_matmul(Self::float_transpose(lines(left)), lines(d_out));
        let (hidden, extra) = if plan.lstm {
            (through, direct)
        } else {
            // What the last part of the gates of a step got, which has the bias in it.
            let d_y_n = columns::<Self>(
                lines(d_products.clone()),
                sizes.width - sizes.d,
                sizes.width,
            );
            let d_bias = Self::float_sum_dim(d_y_n, 0);
            (
                Self::float_add(through, direct),
                Self::float_reshape(d_bias, Shape::from([sizes.d])),
            )
        };
        Arguments {
            of_state: of_weight(saved.hiddens, d_products),
            of_context: of_weight(saved.contexts, d_projected.clone()),
            projected: d_projected,
            keys: d_keys,
            v: d_v,
            memory: Self::float_matmul(Self::float_swap_dims(saved.weights, 1, 2), d_contexts),
            hidden,
            extra,
        }
    }
}

impl BahdanauStepsOps for CubeBackend {
    fn bahdanau_steps(
        projected: CubeTensor,
        of_state: CubeTensor,
        keys: CubeTensor,
        v: CubeTensor,
        memory: CubeTensor,
        of_context: CubeTensor,
        hidden: CubeTensor,
        extra: CubeTensor,
        plan: Plan,
    ) -> CubeTensor {
        let arguments = [
            projected, of_state, keys, v, memory, of_context, hidden, extra,
        ];
        <Self as StepsKernel>::forward(Arguments::from_array(arguments), &plan).0
    }
}
