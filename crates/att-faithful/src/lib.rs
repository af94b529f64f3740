//! Whether attention says what a model used.
//!
//! That a step looks at a source token does not say that its output came from it (Jain and Wallace 2019; Wiegreffe
//! and Pinter 2019; Jacovi and Goldberg 2020). [`study`] asks the model: what happens to a target token's
//! probability when tokens of the source are erased, when the weights are other ones, and what its gradient says;
//! [`Report`] holds that of a model beside the same with random weights, and says in a [`Verdict`] what it comes
//! to.
//!
//! | asked | by | source |
//! | --- | --- | --- |
//! | do the most attended tokens matter more than others? | comprehensiveness and sufficiency over [`BINS`] | DeYoung et al. 2020 |
//! | do the weights matter? | uniform and permuted weights ([`Intervention`](att_attention::Intervention)) | Jain and Wallace 2019, Wiegreffe and Pinter 2019 |
//! | does attention rank tokens as other measures do? | gradient x input, integrated gradients, leave-one-out; [`kendall_tau_b`] | Ding et al. 2019, Sundararajan et al. 2017 |
//! | does it find the truth, where that is known? | [`Sentence::true_sources`] | |
//!
//! EOS of the source stays where it is: it is neither ranked nor erased; and the step that puts out EOS is left out.
//!
//! ```
//! use att_core::DeviceSpec;
//! use att_data::Example;
//! use att_faithful::{FaithfulConfig, Ranking, Report, Sentence, study};
//! use att_model::ModelConfig;
//!
//! let device = "flex".parse::<DeviceSpec>()?.init()?;
//! let config = ModelConfig::from_toml(r#"
//!     [encoder]
//!     kind = "recurrent"
//!     d_hidden = 8
//!     [decoder]
//!     kind = "luong"
//!     recurrent = { d_hidden = 8 }
//! "#)?;
//! let sentence = |number| Sentence {
//!     number,
//!     example: Example { src: vec![4, 5, 6], tgt: vec![7, 8], copy_ids: None },
//!     ..Default::default()
//! };
//! let sentences = [sentence(0), sentence(1)];
//! let of = |seed| -> Result<_, Box<dyn std::error::Error>> {
//!     let model = config.init_seeded(10, 10, seed, &device)?;
//!     Ok(study(&model, &sentences, &FaithfulConfig::default(), || {})?)
//! };
//! let report = Report::new("untrained", "two sentences", of(1)?, of(2)?);
//! assert_eq!(report.model.steps, 4);
//! assert!(report.model.ranking(Ranking::Attention).comprehensiveness.value.abs() < 0.1);
//! println!("{}\n{}", report.sentence, report.markdown());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chance;
mod config;
mod erasure;
mod error;
mod findings;
mod gradients;
mod other_weights;
mod ranking;
mod report;
mod sentence;
mod study;
mod verdict;

pub use chance::sample;
pub use config::{BINS, FaithfulConfig};
pub use erasure::{Erasures, mask};
pub use error::{Error, Result};
pub use findings::{Figure, Findings, RankingFindings};
pub use ranking::{Ranking, kendall_tau_b};
pub use report::Report;
pub use sentence::Sentence;
pub use study::study;
pub use verdict::Verdict;
