use att_eval::{
    AlignmentErrorRate, Bleu, Chrf, CorpusMetric, ErrorRate, ErrorUnit, ExactMatchRate, Rouge,
    RougeUnit, Ter,
};

use super::files::FileOptions;

/// A metric as the command line names it.
pub struct NamedMetric {
    pub name: String,
    pub metric: Box<dyn CorpusMetric>,
}

impl NamedMetric {
    const ALL: &str = "bleu, chrf, chrf++, ter, wer, per, cer, ser, exact_match, rouge1, rouge2, \
                       rougeL, aer";

    /// # Errors
    ///
    /// If there is no such metric; the error lists those that there are.
    pub fn new(name: String, options: &FileOptions) -> Result<Self, String> {
        let lowercase = options.lowercase;
        let rate = |unit| Box::new(ErrorRate { unit, lowercase });
        let stem = options.rouge_stem;
        let rouge = |unit| Box::new(Rouge { unit, stem });
        let metric: Box<dyn CorpusMetric> = match name.as_str() {
            "bleu" => Box::new(Bleu {
                tokenizer: options.tokenize,
                smoothing: options.smooth,
                // As sacreBLEU's --sentence-level.
                effective_order: options.sentences,
                lowercase,
            }),
            "chrf" => Box::new(Chrf {
                lowercase,
                ..Chrf::default()
            }),
            "chrf++" => Box::new(Chrf {
                lowercase,
                ..Chrf::plus_plus()
            }),
            "ter" => Box::new(Ter {
                normalized: options.ter_normalized,
                no_punct: options.ter_no_punct,
                asian_support: options.ter_asian_support,
                case_sensitive: options.ter_case_sensitive,
            }),
            "wer" => rate(ErrorUnit::Words),
            "per" => rate(ErrorUnit::Anywhere),
            "cer" => rate(ErrorUnit::Characters),
            "ser" => rate(ErrorUnit::Items),
            "exact_match" => Box::new(ExactMatchRate),
            "rouge1" => rouge(RougeUnit::Words),
            "rouge2" => rouge(RougeUnit::Bigrams),
            "rougeL" => rouge(RougeUnit::Subsequence),
            "aer" => Box::new(AlignmentErrorRate),
            _ => return Err(format!("unknown metric `{name}`: use one of {}", Self::ALL)),
        };
        Ok(Self { name, metric })
    }
}
