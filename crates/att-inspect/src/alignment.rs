use std::fmt;
use std::str::FromStr;

use att_eval::PharaohLink;

use crate::{AttentionMap, Error, Result};

/// The token that ends a sentence, the last of both sides of a record.
pub const END: &str = "</s>";

/// The source token that each target token looks at most: the argmax of each row.
///
/// `None` where the row is all zero; the first of equal weights wins.
pub fn hard_alignment(map: &AttentionMap) -> Vec<Option<usize>> {
    map.rows().map(heaviest).collect()
}

/// The place of the greatest weight, the first among equals; none where all are zero.
pub(crate) fn heaviest(row: &[f32]) -> Option<usize> {
    let mut best = None;
    let mut most = 0.0;
    for (s, &weight) in row.iter().enumerate() {
        if weight > most {
            (best, most) = (Some(s), weight);
        }
    }
    best
}

/// One link of an [`Alignment`]; both positions count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// Position of the source token.
    pub src: usize,
    /// Position of the target token.
    pub tgt: usize,
}

/// A set of links between source and target tokens, many to many.
///
/// As text it is a line in the Pharaoh format, which `fast_align` and the Moses tools share:
/// links `source-target` separated by spaces.
///
/// ```
/// use att_inspect::{Alignment, Link};
///
/// let alignment: Alignment = "0-0 2-1".parse()?;
/// assert_eq!(alignment.links[1], Link { src: 2, tgt: 1 });
/// assert_eq!(alignment.to_string(), "0-0 2-1");
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alignment {
    /// The links, in the order in which they are written.
    pub links: Vec<Link>,
}

impl Alignment {
    /// The [`hard_alignment`] of a map as links in target order; an all-zero row has no link.
    pub fn of(map: &AttentionMap) -> Self {
        let links = hard_alignment(map)
            .into_iter()
            .enumerate()
            .filter_map(|(tgt, src)| src.map(|src| Link { src, tgt }))
            .collect();
        Self { links }
    }

    /// All links whose weight is `threshold` or more, in target order: many to many, or none of a row whose
    /// weights are all smaller.
    pub fn above(map: &AttentionMap, threshold: f32) -> Self {
        let links = map.rows().enumerate().flat_map(|(tgt, row)| {
            let linked = move |&(_, weight): &(usize, &f32)| *weight >= threshold;
            let link = move |(src, _)| Link { src, tgt };
            row.iter().enumerate().filter(linked).map(link)
        });
        Self {
            links: links.collect(),
        }
    }

    /// Without the links of the end of the sentence ([`END`]) on either side, which gold alignments do not
    /// have.
    #[must_use]
    pub fn without_end(mut self, map: &AttentionMap) -> Self {
        let is_end =
            |tokens: &[String], at: usize| tokens.get(at).is_some_and(|token| token == END);
        self.links.retain(|link| {
            !is_end(map.src_tokens(), link.src) && !is_end(map.tgt_tokens(), link.tgt)
        });
        self
    }

    /// With source and target exchanged.
    #[must_use]
    pub fn flipped(&self) -> Self {
        let links = self.links.iter();
        let mut links: Vec<Link> = links
            .map(|&Link { src, tgt }| Link { src: tgt, tgt: src })
            .collect();
        links.sort_by_key(|link| (link.tgt, link.src));
        Self { links }
    }
}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Link { src, tgt }) in self.links.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{src}-{tgt}")?;
        }
        Ok(())
    }
}

impl FromStr for Alignment {
    type Err = Error;

    /// Parses a line in the Pharaoh format; an empty line is an alignment without links.
    ///
    /// # Errors
    ///
    /// [`Error::Pharaoh`] at the first word that is not `source-target`.
    fn from_str(line: &str) -> Result<Self> {
        let links =
            line.split_whitespace()
                .enumerate()
                .map(|(i, word)| match PharaohLink::parse(word) {
                    Some(PharaohLink {
                        src,
                        tgt,
                        sure: true,
                    }) => Ok(Link { src, tgt }),
                    _ => Err(Error::Pharaoh {
                        position: i + 1,
                        word: word.to_string(),
                    }),
                });
        Ok(Self {
            links: links.collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::map;

    #[test]
    fn takes_the_first_greatest_weight_and_none_for_zero_rows() {
        let map = map(
            "a|b|c",
            "x|y|z",
            &[0.2, 0.4, 0.4, 0.0, 0.0, 0.0, 0.0, 0.1, 0.9],
        );
        assert_eq!(hard_alignment(&map), [Some(1), None, Some(2)]);
        assert_eq!(Alignment::of(&map).to_string(), "1-0 2-2");
    }

    #[test]
    fn a_threshold_links_many_to_many_and_the_end_can_be_left_out() {
        let map = map(
            "a|b|</s>",
            "x|y|</s>",
            &[0.5, 0.5, 0.0, 0.3, 0.3, 0.4, 0.0, 0.5, 0.5],
        );
        let linked = Alignment::above(&map, 0.5);
        assert_eq!(linked.to_string(), "0-0 1-0 1-2 2-2");
        assert_eq!(linked.without_end(&map).to_string(), "0-0 1-0");
        assert_eq!(Alignment::of(&map).without_end(&map).to_string(), "0-0");
        let flipped = Alignment::above(&map, 0.4).flipped();
        assert_eq!(flipped.to_string(), "0-0 0-1 2-1 1-2 2-2");
    }

    #[test]
    fn pharaoh_round_trips() {
        for line in ["", "0-0", "0-0 1-2 1-3 14-20"] {
            assert_eq!(line.parse::<Alignment>().unwrap().to_string(), line);
        }
        let spaced: Alignment = " 1-0\t2-1\n".parse().unwrap();
        assert_eq!(spaced.to_string(), "1-0 2-1");
    }

    #[test]
    fn refuses_what_is_not_a_pair() {
        for word in ["3", "a-1", "1-", "-1", "1-2-3", "1--2", "0?1"] {
            let error = format!("0-0 {word}").parse::<Alignment>().unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains(&format!("word 2 of the alignment is `{word}`"))
            );
        }
    }
}
