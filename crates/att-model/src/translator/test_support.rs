//! Small translators with random weights.

use std::path::Path;

use att_core::special::EOS;
use att_data::{Batch, Example, Tokenizer, TokenizerConfig};
use att_decoder::search::SearchConfig;
use burn::tensor::Device;

use super::{Candidate, Translation, Translator};
use crate::{ModelConfig, ModelDirectory};

/// A translator with random weights, from letters to letters.
pub(crate) fn translator(folder: &Path, decoder: &str) -> Translator {
    translator_of(folder, "kind = 'recurrent'", decoder)
}

pub(crate) fn translator_of(folder: &Path, encoder: &str, decoder: &str) -> Translator {
    let letters = TokenizerConfig::char().train(["abcd"]).unwrap();
    translator_with(folder, encoder, decoder, [letters.clone(), letters], 3)
}

/// With these tokenisers and this seed; a decoder that names no size is recurrent.
pub(crate) fn translator_with(
    folder: &Path,
    encoder: &str,
    decoder: &str,
    [src, tgt]: [Tokenizer; 2],
    seed: u64,
) -> Translator {
    let has_size = decoder.contains("d_model") || decoder.contains("d_hidden");
    let recurrent = if has_size {
        ""
    } else {
        ", recurrent = { d_hidden = 6 }"
    };
    let model = ModelConfig::from_toml(&format!(
        "src_embedding = {{ d_embed = 4 }}\ntgt_embedding = {{ d_embed = 4 }}\n\
         encoder = {{ {encoder}, d_hidden = 3 }}\n\
         decoder = {{ {decoder}{recurrent} }}"
    ))
    .unwrap();
    let search = SearchConfig::default();
    let directory = ModelDirectory::create(folder, model, search, src, tgt).unwrap();
    let model = directory.init(seed, &Device::flex()).unwrap();
    Translator::new(directory, model)
}

pub(crate) fn search() -> SearchConfig {
    SearchConfig {
        beam_size: 2,
        n_best: 2,
        max_len: 4,
        ..Default::default()
    }
}

/// Up to rounding.
#[track_caller]
pub(crate) fn assert_same(found: &[Translation], expected: &[Translation]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.src_tokens, expected.src_tokens);
        assert_eq!(found.candidates.len(), expected.candidates.len());
        for (found, expected) in found.candidates.iter().zip(&expected.candidates) {
            assert_eq!(found.tokens, expected.tokens);
            assert!((found.score - expected.score).abs() < 1e-5);
            let weights = |of: &Candidate| of.weights.clone().map(|rows| rows.concat());
            let (found, expected) = (weights(found), weights(expected));
            assert_eq!(found.is_some(), expected.is_some());
            let found = found.into_iter().flatten();
            for (found, expected) in found.zip(expected.into_iter().flatten()) {
                assert!((found - expected).abs() < 1e-5);
            }
        }
    }
}

pub(crate) fn letters() -> Tokenizer {
    TokenizerConfig::char().train(["abcd"]).unwrap()
}

pub(crate) const LUONG: &str = "kind = 'luong', d_attentional = 5";

pub(crate) const LINES: [&str; 7] = ["abcd", "d", "", "cab", "ba", "dcba dcba", "aa"];

pub(crate) const COPYING: &str = "kind = 'luong', d_attentional = 5, copy = true";

/// Three models of one target vocabulary: the second has another encoder and decoder, the third reads
/// other tokens.
pub(crate) fn members(folder: &Path) -> Vec<Translator> {
    let pieces = TokenizerConfig::bpe(9).train(["abcd ab cd"]).unwrap();
    let sources = [letters(), letters(), pieces];
    let parts = [
        ["kind = 'recurrent'", LUONG],
        [
            "kind = 'convolutional'",
            "kind = 'bahdanau', bridge = 'mean'",
        ],
        ["kind = 'pyramidal', layers = 2", "kind = 'bahdanau'"],
    ];
    let members = (0..).zip(sources).zip(parts);
    members
        .map(|((seed, src), [encoder, decoder])| {
            let folder = folder.join(seed.to_string());
            translator_with(&folder, encoder, decoder, [src, letters()], seed)
        })
        .collect()
}

/// A line and a candidate as a pair of one batch.
pub(crate) fn known(translator: &Translator, line: &str, candidate: &Candidate) -> Batch {
    let ModelDirectory {
        src_tokenizer,
        tgt_tokenizer,
        ..
    } = translator.directory();
    let id = |token: &String| tgt_tokenizer.token_to_id(token).unwrap();
    let mut tgt: Vec<u32> = candidate.tokens.iter().map(id).collect();
    assert_eq!(tgt.pop(), Some(EOS));
    let src = src_tokenizer.encode(line);
    let example = Example {
        src,
        tgt,
        copy_ids: None,
    };
    Batch::new(&[example], &[0])
}

pub(crate) fn tokenizer_has(translator: &Translator, token: &str) -> bool {
    let tokenizer = &translator.directory().tgt_tokenizer;
    tokenizer.token_to_id(token).is_some()
}
