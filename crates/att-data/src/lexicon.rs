use std::path::Path;

use crate::{Error, Example, Lines, Result, Tokenizer, special};

/// Which target tokens translate a source token, and how probably: `t(tgt | src)`.
///
/// Made from a corpus by IBM model 1 ([`train`](Self::train)), or read from a file
/// ([`read`](Self::read)).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lexicon {
    /// For each source id its target ids with their probabilities, rising by id.
    rows: Vec<Vec<(u32, f32)>>,
}

impl Lexicon {
    /// IBM model 1 (Brown et al. 1993, sec. 4.1): expectation maximisation from a uniform start over
    /// tokens that occur together, `iterations` times.
    ///
    /// ```text
    /// count(t | s) = sum over pairs, and places of t and s, of  t(t | s) / sum_s' t(t | s')
    /// t(t | s)     = count(t | s) / sum_t' count(t' | s)
    /// ```
    ///
    /// `s'` goes over the tokens of the source and an empty one, which takes what nothing translates. Its
    /// row is that of BOS, which no source has. The same pairs give the same bits.
    pub fn train(examples: &[Example], iterations: usize) -> Self {
        let mut rows = together(examples);
        let mut counts: Vec<Vec<f64>> = rows.iter().map(|row| vec![0.0; row.len()]).collect();
        for _ in 0..iterations {
            for Example { src, tgt } in examples {
                for &t in tgt {
                    let places = sources(src).map(|s| (s as usize, place(&rows[s as usize], t)));
                    let probability = |(s, at): (usize, usize)| f64::from(rows[s][at].1);
                    let sum: f64 = places.clone().map(probability).sum();
                    for (s, at) in places {
                        counts[s][at] += probability((s, at)) / sum;
                    }
                }
            }
            for (row, counts) in rows.iter_mut().zip(&mut counts) {
                let sum: f64 = counts.iter().sum();
                for ((_, probability), count) in row.iter_mut().zip(counts) {
                    // Not zero, so that no sum above ever is.
                    *probability = ((*count / sum) as f32).max(f32::MIN_POSITIVE);
                    *count = 0.0;
                }
            }
        }
        Self { rows }
    }

    /// Reads lines of `target source probability`, gzipped or not: the lexical tables (`lex.s2t`) of
    /// Moses, fast_align's `extract_lex` and Marian. Tokens that a vocabulary does not have are passed
    /// over, as is the empty word `NULL`.
    ///
    /// # Errors
    ///
    /// What [`Lines`] reports, and [`Error::Lexicon`] for a line of another form or a table in which no
    /// pair is known.
    pub fn read(path: impl AsRef<Path>, src: &Tokenizer, tgt: &Tokenizer) -> Result<Self> {
        let path = path.as_ref();
        let refuse = |message: String| Error::Lexicon {
            path: path.into(),
            message,
        };
        let mut rows = vec![Vec::new(); src.vocab_size()];
        for (number, line) in (1..).zip(Lines::open(path)?) {
            let line = line?;
            let fields: Vec<&str> = line.split_whitespace().collect();
            let parsed = match fields[..] {
                [t, s, probability] => probability.parse().ok().map(|p: f32| (t, s, p)),
                _ => None,
            };
            let Some((t, s, probability)) = parsed else {
                return Err(refuse(format!(
                    "line {number} is not `target source probability`"
                )));
            };
            if let (Some(s), Some(t)) = (src.token_to_id(s), tgt.token_to_id(t)) {
                rows[s as usize].push((t, probability));
            }
        }
        if rows.iter().all(Vec::is_empty) {
            return Err(refuse(
                "the model's vocabularies have none of its pairs: it is of other tokens, or its \
                 columns are not `target source probability`"
                    .into(),
            ));
        }
        for row in &mut rows {
            row.sort_by_key(|(t, _)| *t);
            row.dedup_by_key(|(t, _)| *t);
        }
        Ok(Self { rows })
    }

    /// The `n` most probable target ids of a source id, best first; equally probable ones by id.
    pub fn best(&self, src: u32, n: usize) -> Vec<u32> {
        let mut row = self.rows.get(src as usize).cloned().unwrap_or_default();
        row.sort_by(|(_, a), (_, b)| b.total_cmp(a)); // stable
        row.truncate(n);
        row.into_iter().map(|(t, _)| t).collect()
    }

    /// The probability of a target id given a source id.
    pub fn probability(&self, src: u32, tgt: u32) -> f32 {
        let row = self.rows.get(src as usize).map_or(&[][..], Vec::as_slice);
        let found = row.binary_search_by_key(&tgt, |(t, _)| *t);
        found.map_or(0.0, |at| row[at].1)
    }
}

/// What a target token may come from: the tokens of the source, and the empty one.
fn sources(src: &[u32]) -> impl Iterator<Item = u32> + Clone {
    src.iter().copied().chain([special::BOS])
}

/// For each source id the target ids that it occurs with, rising, each as probable as the other.
fn together(examples: &[Example]) -> Vec<Vec<(u32, f32)>> {
    let mut rows: Vec<Vec<u32>> = Vec::new();
    // How many ids of a row are sorted and different.
    let mut tidy: Vec<usize> = Vec::new();
    for Example { src, tgt } in examples {
        for s in sources(src) {
            let s = s as usize;
            if rows.len() <= s {
                rows.resize(s + 1, Vec::new());
                tidy.resize(s + 1, 0);
            }
            rows[s].extend(tgt);
            if rows[s].len() > 2 * tidy[s] + 1024 {
                rows[s].sort_unstable();
                rows[s].dedup();
                tidy[s] = rows[s].len();
            }
        }
    }
    let uniform = |mut row: Vec<u32>| {
        row.sort_unstable();
        row.dedup();
        row.into_iter().map(|t| (t, 1.0)).collect()
    };
    rows.into_iter().map(uniform).collect()
}

fn place(row: &[(u32, f32)], tgt: u32) -> usize {
    let found = row.binary_search_by_key(&tgt, |(t, _)| *t);
    found.expect("the row has all that occurs with its token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenizerConfig;
    use crate::lines::tests::folder;

    fn example(src: &[u32], tgt: &[u32]) -> Example {
        Example {
            src: src.to_vec(),
            tgt: tgt.to_vec(),
        }
    }

    /// By hand: "das haus" = "the house", "das" = "the"; one iteration, then two.
    #[test]
    fn the_probabilities_are_those_of_the_equations() {
        let (das, haus, the, house) = (4, 5, 4, 5);
        let pairs = [
            example(&[das, haus], &[the, house]),
            example(&[das], &[the]),
        ];
        let once = Lexicon::train(&pairs, 1);
        // Of the first pair each source, the empty one included, counts a third of each target, of the
        // second a half.
        let close = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-6, "{a} for {b}");
        let third = 1.0 / 3.0;
        close(
            once.probability(das, the),
            (third + 0.5) / (2.0 * third + 0.5),
        );
        close(once.probability(das, house), third / (2.0 * third + 0.5));
        close(once.probability(haus, the), 0.5);
        let (t_das, t_empty) = (5.0 / 7.0, 5.0 / 7.0);
        let first = t_das + t_empty + 0.5;
        let house_sum = 2.0 * (2.0 / 7.0) + 0.5;
        let count_the = t_das / first + 0.5;
        let count_house = (2.0 / 7.0) / house_sum;
        let twice = Lexicon::train(&pairs, 2);
        close(
            twice.probability(das, the),
            count_the / (count_the + count_house),
        );
        close(
            twice.probability(haus, house),
            (0.5 / house_sum) / (0.5 / house_sum + 0.5 / first),
        );
    }

    #[test]
    fn what_translates_what_comes_out() {
        // Each source token has its target token and occurs in changing company.
        let pairs: Vec<Example> = (0..60)
            .map(|i| {
                let src = [4 + i % 5, 4 + (i / 5) % 5, 4 + (i / 3) % 4];
                example(&src, &src.map(|id| id + 10))
            })
            .collect();
        let lexicon = Lexicon::train(&pairs, 5);
        for src in 4..9 {
            assert_eq!(lexicon.best(src, 1), [src + 10]);
            let sum: f32 = (0..20).map(|tgt| lexicon.probability(src, tgt)).sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
        assert!(lexicon.best(99, 3).is_empty());
        assert_eq!(Lexicon::train(&pairs, 5), lexicon);
    }

    #[test]
    fn tables_of_others_are_read() {
        let src = TokenizerConfig::whitespace().train(["das haus"]).unwrap();
        let tgt = TokenizerConfig::whitespace().train(["the house"]).unwrap();
        let read = |text: &str| {
            let folder = folder(&[("lex.s2t", text.as_bytes())]);
            Lexicon::read(folder.path().join("lex.s2t"), &src, &tgt)
        };
        let lexicon =
            read("house das 0.2\nthe das 0.7\nNULL das 0.1\nhouse haus 1\nx y 1\n").unwrap();
        let id = |token| tgt.token_to_id(token).unwrap();
        let das = src.token_to_id("das").unwrap();
        assert_eq!(lexicon.best(das, 5), [id("the"), id("house")]);
        assert_eq!(lexicon.best(das, 1), [id("the")]);
        let refused = |text: &str, part: &str| {
            let message = read(text).unwrap_err().to_string();
            assert!(
                message.contains("lex.s2t") && message.contains(part),
                "{message}"
            );
        };
        refused("the das 0.7\nhouse das\n", "line 2");
        refused("the das much\n", "line 1");
        refused("das the 0.7\n", "none of its pairs");
        refused("", "none of its pairs");
    }
}
