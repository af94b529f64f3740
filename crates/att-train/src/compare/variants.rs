use att_attention::{AttentionConfig, HistoryConfig, NormaliserConfig, ScorerConfig, WindowConfig};
use att_core::Error as CoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Contestant;
use crate::{ExperimentConfig, Result};

/// One experiment with several kinds of attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    /// The experiment once for each, named as it was asked for.
    pub contestants: Vec<Contestant>,
    /// What `all` does not have, because it does not fit the experiment.
    pub left_out: Vec<LeftOut>,
}

/// A kind of scorer that does not fit an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The kind.
    pub name: String,
    /// Which setting does not fit, and why.
    pub reason: String,
}

/// An experiment with other attention. Each of `names` is the kind of a scorer, a normaliser, a window
/// or a history, or several of them: `general`, `local_p`, `dot+sparsemax`. What is not named stays as it
/// is in `base`, and so does a setting that the new kind shares with the kind that it replaces. `all` is
/// every kind of scorer that fits.
///
/// # Errors
///
/// If the decoder's attention is not made of such parts, a name is no kind, or a kind that was named does not
/// fit.
pub fn attention_variants<S: AsRef<str>>(base: &ExperimentConfig, names: &[S]) -> Result<Variants> {
    if base.model.decoder.clone().attention_mut().is_none() {
        let reason = "has no attention of scorer, normaliser, window and history: take a base with the \
                      kind 'luong', 'bahdanau', 'conditional_gru' or 'convolutional'";
        return Err(CoreError::config("model.decoder.kind", reason).into());
    }
    let mut variants = Variants {
        contestants: Vec::new(),
        left_out: Vec::new(),
    };
    for name in names.iter().map(AsRef::as_ref) {
        if name != "all" {
            variants.contestants.push(variant(base, name)?);
            continue;
        }
        for name in ScorerConfig::all().iter().map(kind) {
            match variant(base, &name) {
                Ok(contestant) => variants.contestants.push(contestant),
                Err(error) => variants.left_out.push(LeftOut {
                    name,
                    reason: error.to_string(),
                }),
            }
        }
    }
    Ok(variants)
}

fn variant(base: &ExperimentConfig, name: &str) -> Result<Contestant> {
    let mut config = base.clone();
    let decoder = &mut config.model.decoder;
    let attention = decoder.attention_mut().expect("the base has it");
    for kind in name.split('+') {
        if !set(attention, kind) {
            let reason = format!(
                "'{kind}' is no kind of attention: use all, or one of {}; several are joined by +",
                kinds().join(", ")
            );
            return Err(CoreError::config("attentions", reason).into());
        }
    }
    config.validate()?;
    Ok(Contestant {
        name: name.into(),
        config,
    })
}

/// Sets the part of attention that has this kind; false where none has.
fn set(attention: &mut AttentionConfig, kind: &str) -> bool {
    // "none" is a kind of two parts.
    kind != "none"
        && (replace(&mut attention.scorer, &ScorerConfig::all(), kind)
            || replace(&mut attention.normaliser, &NormaliserConfig::all(), kind)
            || replace(&mut attention.window, &WindowConfig::all(), kind)
            || replace(&mut attention.history, &HistoryConfig::all(), kind))
}

fn replace<T: Serialize + DeserializeOwned>(part: &mut T, all: &[T], wanted: &str) -> bool {
    let Some(new) = all.iter().find(|one| kind(*one) == wanted) else {
        return false;
    };
    let mut new = table(new);
    for (key, value) in table(part) {
        if key != KIND && new.contains_key(&key) {
            new.insert(key, value);
        }
    }
    *part = new.try_into().expect("the settings of one kind");
    true
}

/// All that can be named.
fn kinds() -> Vec<String> {
    let scorers = ScorerConfig::all();
    let normalisers = NormaliserConfig::all();
    let (windows, histories) = (WindowConfig::all(), HistoryConfig::all());
    let kinds = scorers.iter().map(kind);
    let kinds = kinds.chain(normalisers.iter().map(kind));
    let kinds = kinds.chain(windows.iter().map(kind));
    let kinds = kinds.chain(histories.iter().map(kind));
    kinds.filter(|kind| kind != "none").collect()
}

/// The key that names the kind of a part.
const KIND: &str = "kind";

/// The kind of a part, as it stands in TOML.
fn kind<T: Serialize>(part: &T) -> String {
    match table(part).remove(KIND) {
        Some(Value::String(kind)) => kind,
        _ => unreachable!("parts are tagged with their kind"),
    }
}

fn table<T: Serialize>(part: &T) -> Table {
    Table::try_from(part).expect("a configuration can be TOML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use att_attention::{AdditiveConfig, DotConfig, LocalMConfig, LocalPConfig, SparsemaxConfig};
    use att_decoder::DecoderConfig;

    const BASE: &str = "
        [model.encoder]
        kind = 'recurrent'
        d_hidden = 4
        [model.decoder]
        kind = 'luong'
        recurrent = { d_hidden = 8 }
        attention = { scorer = { kind = 'concat', d_attn = 5 }, window = { kind = 'local_m', radius = 3 } }
    ";

    fn base() -> ExperimentConfig {
        ExperimentConfig::from_toml(BASE).unwrap()
    }

    /// With a decoder of another size than the memory's.
    fn base_of_two_sizes() -> ExperimentConfig {
        let text = BASE.replace("d_hidden = 8", "d_hidden = 6");
        ExperimentConfig::from_toml(&text).unwrap()
    }

    fn attentions(base: &ExperimentConfig, names: &[&str]) -> Vec<AttentionConfig> {
        let found = attention_variants(base, names).unwrap().contestants;
        let attention = |one: Contestant| one.config.model.decoder.clone().attention_mut().cloned();
        found
            .into_iter()
            .map(attention)
            .map(Option::unwrap)
            .collect()
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let base = base();
        let base_attention = base.model.decoder.clone().attention_mut().unwrap().clone();
        let found = attentions(&base, &["concat", "additive", "dot+sparsemax", "local_p"]);
        assert_eq!(found[0], base_attention);
        let additive = AdditiveConfig { d_attn: 5 };
        let changed = |change: &dyn Fn(&mut AttentionConfig)| {
            let mut attention = base_attention.clone();
            change(&mut attention);
            attention
        };
        assert_eq!(
            found[1],
            changed(&|of| of.scorer = ScorerConfig::Additive(additive.clone())),
            "with the size of the scorer that it replaces"
        );
        assert_eq!(
            found[2],
            changed(&|of| {
                of.scorer = ScorerConfig::Dot(DotConfig {});
                of.normaliser = NormaliserConfig::Sparsemax(SparsemaxConfig {});
            })
        );
        let local_p = LocalPConfig {
            radius: 3,
            ..Default::default()
        };
        assert_eq!(
            found[3],
            changed(&|of| of.window = WindowConfig::LocalP(local_p.clone()))
        );
        assert_eq!(
            base_attention.window,
            WindowConfig::LocalM(LocalMConfig {
                radius: 3,
                ratio: 1.0
            })
        );
    }

    #[test]
    fn all_is_what_fits_and_the_rest_is_told() {
        let names = |base: &ExperimentConfig| {
            let found = attention_variants(base, &["all"]).unwrap();
            let left_out: Vec<String> = found.left_out.into_iter().map(|one| one.name).collect();
            (found.contestants.len(), left_out)
        };
        let all = ScorerConfig::all().len();
        assert_eq!(names(&base()), (all, vec![]));
        let (n, left_out) = names(&base_of_two_sizes());
        assert_eq!(left_out, ["dot", "scaled_dot", "cosine"]);
        assert_eq!(n, all - 3);
    }

    #[test]
    fn every_kind_can_be_named() {
        let mut base = base();
        *base.model.decoder.attention_mut().unwrap() = AttentionConfig::default();
        for kind in kinds() {
            assert!(attention_variants(&base, &[&kind]).is_ok(), "{kind}");
        }
    }

    #[test]
    fn what_is_no_kind_or_does_not_fit_is_refused() {
        let refused = |base: ExperimentConfig, name: &str, expected: &[&str]| {
            let error = attention_variants(&base, &[name]).unwrap_err().to_string();
            for part in expected {
                assert!(error.contains(part), "{error}");
            }
        };
        let unknown = ["attentions: 'dott'", "dot, scaled_dot", "monotonic"];
        refused(base(), "dott", &unknown);
        refused(base(), "dot+", &["attentions: ''"]);
        refused(base(), "none", &["'none'"]);
        let scorer = ["model.decoder.attention.scorer.kind"];
        refused(base_of_two_sizes(), "dot", &scorer);
        let window = ["model.decoder.attention.window.kind"];
        refused(base(), "monotonic", &window);
        let mut summary = base();
        summary.model.decoder = DecoderConfig::Summary(Default::default());
        refused(summary, "all", &["model.decoder.kind"]);
    }
}
