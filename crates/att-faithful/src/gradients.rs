//! Gradients of a target's tokens with respect to the embedded source.

use att_core::{host_vec, without_noise};
use att_data::{Batch, Example};
use att_decoder::Decoder;
use att_model::Seq2Seq;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};

/// Source and target ids of a batch at most: a backward pass keeps what a forward pass lets go.
const MAX_IDS: usize = 1 << 12;

/// A model with a copy on the tape, whose own weights get no gradients.
pub(crate) struct Differentiable<'a> {
    model: &'a Seq2Seq,
    on_tape: Seq2Seq,
}

/// `[tgt_len][src_len]` each, EOS on either side left out.
pub(crate) struct Attributions {
    /// Gradient x input.
    pub at_input: Vec<Vec<f64>>,
    pub integrated: Vec<Vec<f64>>,
}

/// A step of a target, and how much of the source's vectors is there: 1 is all, 0 none.
type Row = (usize, f32);

impl<'a> Differentiable<'a> {
    pub fn new(model: &'a Seq2Seq) -> Self {
        Self {
            model,
            on_tape: model.clone().no_grad().train(),
        }
    }

    /// Of the log-probability of each target token, x the embedded source and 0 that of which all tokens but EOS
    /// are the zero vector:
    ///
    /// ```text
    /// at_input[t][s]   = sum_d x[s, d] * (d log p_t / d x[s, d])(x)
    /// integrated[t][s] = 1/n sum_(i < n) sum_d x[s, d] * (d log p_t / d x[s, d])(x * (i + 1/2) / n)
    /// ```
    ///
    /// The second is the midpoint rule for Sundararajan et al. 2017, eq. 1, with `n` points; its sum over s is
    /// log p_t(x) - log p_t(0) up to what the rule leaves.
    pub fn attributions(&self, example: &Example, n: usize) -> Attributions {
        let whole = self
            .model
            .embed(&batch_of(std::slice::from_ref(example)).src);
        let steps = 0..example.tgt.len();
        let scales = |n: usize| (0..n).map(move |i| (i as f32 + 0.5) / n as f32);
        let rows: Vec<Row> = steps
            .flat_map(|t| std::iter::once(1.0).chain(scales(n)).map(move |at| (t, at)))
            .collect();
        let width = example.src.len().max(example.tgt.len()) + 2; // with EOS
        let at_once = (MAX_IDS / width).max(1);
        let found: Vec<Vec<f64>> = rows
            .chunks(at_once)
            .flat_map(|rows| self.products(example, &whole, rows))
            .collect();
        let (mut at_input, mut integrated) = (Vec::new(), Vec::new());
        for of_step in found.chunks(n + 1) {
            at_input.push(of_step[0].clone());
            let mut sum = vec![0.0; example.src.len()];
            for products in &of_step[1..] {
                for (sum, product) in sum.iter_mut().zip(products) {
                    *sum += product / n as f64;
                }
            }
            integrated.push(sum);
        }
        Attributions {
            at_input,
            integrated,
        }
    }

    /// For each row the products of gradients and vectors of the source's tokens.
    ///
    /// - `whole`: these vectors, `[1, len, d_embed]`
    fn products(&self, example: &Example, whole: &Tensor<3>, rows: &[Row]) -> Vec<Vec<f64>> {
        let [_, len, _] = whole.dims();
        let scaled = scaled(whole, rows).autodiff().require_grad();
        let gradients = without_noise(|| {
            let log_probs = self.log_probs(example, rows, scaled.clone());
            log_probs.backward()
        });
        let gradient = scaled.grad(&gradients);
        let gradient = gradient.expect("each output depends on the source's vectors");
        let products = host_vec((gradient * whole.clone()).sum_dim(2));
        let of_tokens = |products: &[f32]| -> Vec<f64> {
            products[..len - 1].iter().map(|&p| f64::from(p)).collect()
        };
        products.chunks_exact(len).map(of_tokens).collect()
    }

    /// The sum of the log-probabilities of the rows' steps: rows do not see each other, so the gradient of each
    /// row is of its own.
    fn log_probs(&self, example: &Example, rows: &[Row], embedded: Tensor<3>) -> Tensor<1> {
        // What comes behind a step does not matter to it.
        let up_to = |&(t, _): &Row| Example {
            tgt: example.tgt[..=t].to_vec(),
            ..example.clone()
        };
        let batch = batch_of(&rows.iter().map(up_to).collect::<Vec<_>>());
        let source = self.on_tape.encode_embedded(embedded, &batch.src.lengths);
        let output = self.on_tape.forward_encoded(&source, &batch, &batch);
        let mut start = 0;
        let position = |&(t, _): &Row| {
            let position = start + t;
            start += t + 2; // the tokens so far, and EOS
            position as i64
        };
        let positions: Vec<i64> = rows.iter().map(position).collect();
        let gold: Vec<u32> = rows.iter().map(|&(t, _)| example.tgt[t]).collect();
        let device = output.features.vectors.device();
        let positions = Tensor::<1, Int>::from_data(positions.as_slice(), &device);
        let features = output.features.select(positions);
        let mean = self.on_tape.decoder.cross_entropy(features, &gold, 0.0);
        mean.loss * -(rows.len() as f64)
    }
}

/// The source's vectors, `[1, len, d_embed]`, in the measure of each row: `[rows, len, d_embed]`; EOS stays.
fn scaled(whole: &Tensor<3>, rows: &[Row]) -> Tensor<3> {
    let [_, len, _] = whole.dims();
    let scales: Vec<f32> = rows
        .iter()
        .flat_map(|&(_, scale)| std::iter::repeat_n(scale, len - 1).chain([1.0]))
        .collect();
    let scales = TensorData::new(scales, [rows.len(), len, 1]);
    whole.clone() * Tensor::from_data(scales, &whole.device())
}

fn batch_of(examples: &[Example]) -> Batch {
    Batch::new(examples, &(0..examples.len()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_core::DeviceSpec;
    use att_model::ModelConfig;

    /// The axiom of completeness (Sundararajan et al. 2017, proposition 1), with dropout that must not be there.
    #[test]
    fn integrated_gradients_are_complete() {
        let device = DeviceSpec::Flex.init().unwrap();
        let recurrent = "encoder = { kind = 'recurrent', d_hidden = 6, dropout = 0.5 }";
        let stack = "recurrent = { d_hidden = 8, dropout = 0.5 }";
        let configs = [
            format!("{recurrent}\ndecoder = {{ kind = 'luong', {stack}, input_feeding = true }}"),
            format!("{recurrent}\ndecoder = {{ kind = 'bahdanau', {stack}, dropout = 0.5 }}"),
            format!("{recurrent}\ndecoder = {{ kind = 'conditional_gru', d_hidden = 8 }}"),
            format!(
                "{recurrent}\ndecoder = {{ kind = 'convolutional', d_hidden = 8, layers = 2 }}"
            ),
            format!("{recurrent}\ndecoder = {{ kind = 'luong', {stack}, copy = true }}"),
            "encoder = { kind = 'transformer', d_model = 8, n_heads = 2, d_ff = 16, layers = 1 }\n\
             decoder = { kind = 'transformer', d_model = 8, n_heads = 2, d_ff = 16, dropout = 0.5 }"
                .to_string(),
        ];
        let example = Example {
            src: vec![4, 6, 5, 7],
            tgt: vec![5, 8, 4],
            copy_ids: Some(vec![4, 9, 10, 9]),
        };
        let tables =
            "src_embedding = { d_embed = 5, dropout = 0.5 }\ntgt_embedding = { d_embed = 5 }\n";
        for config in configs {
            let config = ModelConfig::from_toml(&format!("{tables}{config}")).expect(&config);
            let model = config.init_seeded(9, 9, 3, &device).unwrap();
            let differentiable = Differentiable::new(&model);
            let found = differentiable.attributions(&example, 200);
            let whole = model.embed(&batch_of(std::slice::from_ref(&example)).src);
            for (t, of_step) in found.integrated.iter().enumerate() {
                assert_eq!(of_step.len(), 4);
                let log_prob = |scale: f32| {
                    let rows = [(t, scale)];
                    let embedded = scaled(&whole, &rows).autodiff();
                    let sum = without_noise(|| differentiable.log_probs(&example, &rows, embedded));
                    f64::from(sum.into_scalar::<f32>())
                };
                let sum: f64 = of_step.iter().sum();
                let expected = log_prob(1.0) - log_prob(0.0);
                let tolerance = 0.01 * expected.abs() + 1e-4;
                assert!(
                    (sum - expected).abs() < tolerance,
                    "{config:?} {t}: {sum} {expected}"
                );
                assert!(of_step.iter().any(|a| a.abs() > 1e-5), "{config:?}");
            }
        }
    }
}
