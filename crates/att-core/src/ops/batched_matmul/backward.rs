//! One node on the tape.

use burn::backend::{
    autodiff::{
        Autodiff,
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use super::{BatchedMatmulOps, Transposed};

/// What the gradients need besides that of the product.
#[derive(Clone, Debug)]
struct Saved<F> {
    lhs: F,
    rhs: F,
    transposed: Transposed,
}

#[derive(Debug)]
struct BatchedMatmulBackward;

/// Of `out = A B`: `dA = dout B^T`, `dB = A^T dout`; where a factor is read transposed, its gradient is
/// the transpose of that.
impl<B: BatchedMatmulOps> Backward<B, 2> for BatchedMatmulBackward {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = grads.consume::<B>(&ops.node);
        let Saved {
            lhs,
            rhs,
            transposed,
        } = ops.state;
        let is = |lhs, rhs| Transposed { lhs, rhs };
        let [lhs_node, rhs_node] = ops.parents;
        if let Some(node) = lhs_node {
            let grad = grad.clone();
            let d_lhs = if transposed.lhs {
                B::batched_product(rhs, grad, is(transposed.rhs, true))
            } else {
                B::batched_product(grad, rhs, is(false, !transposed.rhs))
            };
            grads.register::<B>(node.id, d_lhs);
        }
        if let Some(node) = rhs_node {
            let d_rhs = if transposed.rhs {
                B::batched_product(grad, lhs, is(true, transposed.lhs))
            } else {
                B::batched_product(lhs, grad, is(!transposed.lhs, false))
            };
            grads.register::<B>(node.id, d_rhs);
        }
    }
}

impl<B: BatchedMatmulOps, C: CheckpointStrategy> BatchedMatmulOps for Autodiff<B, C> {
    fn batched_product(
        lhs: FloatTensor<Self>,
        rhs: FloatTensor<Self>,
        transposed: Transposed,
    ) -> FloatTensor<Self> {
        let node = BatchedMatmulBackward
            .prepare::<C>([lhs.node(), rhs.node()])
            .compute_bound()
            .stateful();
        let (lhs, rhs) = (lhs.into_primitive(), rhs.into_primitive());
        match node {
            OpsKind::Tracked(node) => {
                let out = B::batched_product(lhs.clone(), rhs.clone(), transposed);
                let saved = Saved {
                    lhs,
                    rhs,
                    transposed,
                };
                node.finish(saved, out)
            }
            OpsKind::UnTracked(node) => node.finish(B::batched_product(lhs, rhs, transposed)),
        }
    }
}
