use att_core::EncoderOutput;
use att_core::ops::CrossEntropy;
use att_core::special::PAD;
use att_data::{Batch, Padded};
use att_decoder::search::{Hypothesis, SearchConfig};
use att_decoder::{AnyDecoder, Decoder};
use att_encoder::Encoder;
use att_layers::Embedding;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// An encoder, a decoder, and the tables of tokens they read.
#[derive(Module, Debug)]
pub struct Seq2Seq {
    /// The table of source tokens; the decoder's where tied.
    pub src_embedding: Option<Embedding>,
    /// Makes one state of each source token.
    pub encoder: Encoder,
    /// Predicts the target; has the table of target tokens.
    pub decoder: AnyDecoder,
}

/// What [`Seq2Seq::forward`] computes.
#[derive(Clone, Debug)]
pub struct ForcedOutput {
    /// What the output layer reads at each real target position, row after row:
    /// `[n, d_features]`. [`Seq2Seq::logits`] and [`Seq2Seq::cross_entropy`] go on from there.
    pub features: Tensor<2>,
    /// The token that stands there, `n` of them.
    pub gold: Vec<u32>,
    /// Attention weights, `[batch, tgt_len, src_len]`; none without attention.
    pub weights: Option<Tensor<3>>,
    /// What training adds to the cross-entropy, `[1]`: the mean over the real target positions of what
    /// the decoder's parts ask for, such as a coverage loss; none where nothing is added.
    pub auxiliary_loss: Option<Tensor<1>>,
}

impl Seq2Seq {
    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.decoder.embedding().weight.val().device()
    }

    /// Number of source tokens in the table.
    pub fn src_vocab(&self) -> usize {
        self.src_embedding().vocab()
    }

    /// Number of target tokens in the table.
    pub fn tgt_vocab(&self) -> usize {
        self.decoder.vocab()
    }

    fn src_embedding(&self) -> &Embedding {
        match &self.src_embedding {
            Some(embedding) => embedding,
            None => self.decoder.embedding(),
        }
    }

    /// Encodes a padded batch of sources.
    ///
    /// # Panics
    ///
    /// If a row is empty.
    pub fn encode(&self, src: &Padded) -> EncoderOutput {
        let embedded = self.src_embedding().forward(self.ids(src, 0..src.cols));
        self.encoder.forward(embedded, &src.lengths)
    }

    /// Runs over known targets (teacher forcing), up to the output layer.
    pub fn forward(&self, batch: &Batch) -> ForcedOutput {
        let source = self.encode(&batch.src);
        let tgt = &batch.tgt;
        let steps = tgt.cols - 1;
        // The decoder reads each target without its EOS.
        let tgt_lengths: Vec<usize> = tgt.lengths.iter().map(|length| length - 1).collect();
        let output = self
            .decoder
            .forward(self.ids(tgt, 0..steps), &tgt_lengths, &source);

        let (mut positions, mut gold) = (Vec::new(), Vec::new());
        for row in 0..tgt.rows {
            for (step, &id) in tgt.ids[row * tgt.cols..][1..=steps].iter().enumerate() {
                if id != PAD {
                    positions.push((row * steps + step) as i64);
                    gold.push(id);
                }
            }
        }
        let positions = Tensor::<1, Int>::from_data(positions.as_slice(), &self.device());
        let [rows, _, d] = output.features.dims();
        let features = output.features.reshape([rows * steps, d]);
        let auxiliary_loss = output.auxiliary_loss.map(|loss| {
            let loss = loss.reshape([rows * steps]);
            loss.select(0, positions.clone()).mean()
        });
        ForcedOutput {
            features: features.select(0, positions),
            gold,
            weights: output.weights,
            auxiliary_loss,
        }
    }

    /// Raw scores at each real target position, `[n, vocab]`.
    pub fn logits(&self, output: &ForcedOutput) -> Tensor<2> {
        self.decoder.logits(output.features.clone())
    }

    /// How well the gold tokens are predicted; `smoothing` as in
    /// [`linear_cross_entropy`](att_core::ops::linear_cross_entropy()).
    ///
    /// # Panics
    ///
    /// If there is no gold token.
    pub fn cross_entropy(&self, output: &ForcedOutput, smoothing: f64) -> CrossEntropy {
        let features = output.features.clone();
        self.decoder
            .cross_entropy(features, &output.gold, smoothing)
    }

    /// The best hypotheses for each source.
    pub fn search(&self, src: &Padded, config: &SearchConfig) -> Vec<Vec<Hypothesis>> {
        config.search(&self.decoder, &self.encode(src), &src.lengths)
    }

    /// Some columns of a padded matrix as a tensor, `[rows, cols]`.
    fn ids(&self, padded: &Padded, cols: std::ops::Range<usize>) -> Tensor<2, Int> {
        let shape = [padded.rows, cols.len()];
        let rows = padded.ids.chunks_exact(padded.cols);
        let ids: Vec<i64> = rows
            .flat_map(|row| row[cols.clone()].iter().map(|&id| i64::from(id)))
            .collect();
        Tensor::from_data(TensorData::new(ids, shape), &self.device())
    }
}
