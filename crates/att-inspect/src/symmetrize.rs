use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use crate::{Alignment, AttentionMap, Error, Link, Result};

/// How attention becomes links.
///
/// As text it is `argmax`, `threshold:T`, or the name of a [`Symmetrization`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum AlignmentMethod {
    /// The source token with the greatest weight of each target token.
    #[default]
    Argmax,
    /// All pairs whose weight is so much or more, above 0 and up to 1.
    Threshold(f32),
    /// What the argmax of two directions gives together.
    Symmetrized(Symmetrization),
}

impl AlignmentMethod {
    /// The links of one direction: by threshold, or else by argmax.
    pub fn of(self, map: &AttentionMap) -> Alignment {
        match self {
            Self::Threshold(threshold) => Alignment::above(map, threshold),
            Self::Argmax | Self::Symmetrized(_) => Alignment::of(map),
        }
    }
}

impl FromStr for AlignmentMethod {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Method`] where the text names no method.
    fn from_str(text: &str) -> Result<Self> {
        let by_name = |method: &Symmetrization| method.to_string() == text;
        let threshold = |text: &str| {
            let threshold = text.parse().ok();
            threshold.filter(|threshold| *threshold > 0.0 && *threshold <= 1.0)
        };
        let found = match text.split_once(':') {
            None if text == "argmax" => Some(Self::Argmax),
            Some(("threshold", value)) => threshold(value).map(Self::Threshold),
            _ => {
                let method = Symmetrization::ALL.into_iter().find(by_name);
                method.map(Self::Symmetrized)
            }
        };
        found.ok_or_else(|| Error::Method { text: text.into() })
    }
}

/// How the alignments of two directions become one (Och and Ney 2003, sec. 4; Koehn et al. 2003).
///
/// Growing begins with the links of both directions. To these come, one after the other, links of either
/// direction that touch one of them, at a side or a corner, and have a word without a link; after that, for
/// the final step, links with a word, or with two, that are still without. Each choice sees the ones before
/// it, so their order counts: it is that of Moses' `symal`, to which the results are equal.
///
/// ```
/// use att_inspect::{Alignment, Symmetrization};
///
/// let forward: Alignment = "0-0 1-1 1-2".parse()?;
/// let reverse: Alignment = "0-0 2-1 3-3".parse()?;
/// let apply = |method: Symmetrization| method.apply(&forward, &reverse).to_string();
/// assert_eq!(apply(Symmetrization::Intersection), "0-0");
/// assert_eq!(apply(Symmetrization::GrowDiag), "0-0 1-1 2-1 1-2");
/// assert_eq!(apply(Symmetrization::GrowDiagFinalAnd), "0-0 1-1 2-1 1-2 3-3");
/// # Ok::<(), att_inspect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symmetrization {
    /// `intersection`: the links of both. Few, and rarely wrong.
    Intersection,
    /// `union`: the links of either.
    Union,
    /// `grow-diag`: the intersection grown.
    GrowDiag,
    /// `grow-diag-final`: and then links of which one word or both are without.
    GrowDiagFinal,
    /// `grow-diag-final-and`: and then links of which both words are without.
    GrowDiagFinalAnd,
}

/// Target and source position of a link, so that sets are in target order, as `symal` has them.
type Point = (usize, usize);

/// Of target and source: the sides, then the corners.
const NEIGHBOURS: [(isize, isize); 8] = [
    (-1, 0),
    (0, -1),
    (1, 0),
    (0, 1),
    (-1, -1),
    (-1, 1),
    (1, -1),
    (1, 1),
];

impl Symmetrization {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Intersection,
        Self::Union,
        Self::GrowDiag,
        Self::GrowDiagFinal,
        Self::GrowDiagFinalAnd,
    ];

    /// The alignment of both directions, in target order.
    ///
    /// - `forward`: links of a model from source to target
    /// - `reverse`: those of a model from target to source, [flipped](Alignment::flipped) to read
    ///   source-target as well
    pub fn apply(self, forward: &Alignment, reverse: &Alignment) -> Alignment {
        let points = |of: &Alignment| -> BTreeSet<Point> {
            of.links.iter().map(|link| (link.tgt, link.src)).collect()
        };
        let (forward, reverse) = (points(forward), points(reverse));
        let union: BTreeSet<Point> = forward.union(&reverse).copied().collect();
        let both = forward.intersection(&reverse).copied().collect();
        let linked = match self {
            Self::Intersection => both,
            Self::Union => union,
            Self::GrowDiag | Self::GrowDiagFinal | Self::GrowDiagFinalAnd => {
                let mut grown = Grown::new(both);
                grown.grow(&union);
                if self != Self::GrowDiag {
                    for direction in [&forward, &reverse] {
                        grown.finish(direction, self == Self::GrowDiagFinalAnd);
                    }
                }
                grown.linked
            }
        };
        let links = linked.into_iter().map(|(tgt, src)| Link { src, tgt });
        Alignment {
            links: links.collect(),
        }
    }
}

/// An alignment that grows.
struct Grown {
    linked: BTreeSet<Point>,
    /// Positions with a link.
    src: BTreeSet<usize>,
    tgt: BTreeSet<usize>,
}

impl Grown {
    fn new(linked: BTreeSet<Point>) -> Self {
        Self {
            src: linked.iter().map(|point| point.1).collect(),
            tgt: linked.iter().map(|point| point.0).collect(),
            linked,
        }
    }

    fn insert(&mut self, point: Point) {
        self.linked.insert(point);
        self.tgt.insert(point.0);
        self.src.insert(point.1);
    }

    /// Adds neighbours from the union until there are no more. A pass sees the links that it adds itself,
    /// where they lie ahead.
    fn grow(&mut self, union: &BTreeSet<Point>) {
        loop {
            let before = self.linked.len();
            let mut next = self.linked.first().copied();
            while let Some(point) = next {
                for neighbour in NEIGHBOURS.into_iter().filter_map(|step| moved(point, step)) {
                    let (tgt, src) = neighbour;
                    let covered = self.tgt.contains(&tgt) && self.src.contains(&src);
                    if union.contains(&neighbour) && !covered {
                        self.insert(neighbour);
                    }
                }
                let ahead = (Bound::Excluded(point), Bound::Unbounded);
                next = self.linked.range(ahead).next().copied();
            }
            if self.linked.len() == before {
                return;
            }
        }
    }

    /// Adds the links of a direction of which a word is without, or both are.
    fn finish(&mut self, direction: &BTreeSet<Point>, both: bool) {
        for &(tgt, src) in direction {
            let (has_tgt, has_src) = (self.tgt.contains(&tgt), self.src.contains(&src));
            let free = if both {
                !has_tgt && !has_src
            } else {
                !has_tgt || !has_src
            };
            if free {
                self.insert((tgt, src));
            }
        }
    }
}

fn moved(point: Point, step: (isize, isize)) -> Option<Point> {
    let tgt = point.0.checked_add_signed(step.0)?;
    Some((tgt, point.1.checked_add_signed(step.1)?))
}

impl fmt::Display for Symmetrization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intersection => "intersection",
            Self::Union => "union",
            Self::GrowDiag => "grow-diag",
            Self::GrowDiagFinal => "grow-diag-final",
            Self::GrowDiagFinalAnd => "grow-diag-final-and",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_by_their_names() {
        let method = |text: &str| text.parse::<AlignmentMethod>();
        assert_eq!(method("argmax").unwrap(), AlignmentMethod::Argmax);
        assert_eq!(
            method("threshold:0.2").unwrap(),
            AlignmentMethod::Threshold(0.2)
        );
        for symmetrization in Symmetrization::ALL {
            let expected = AlignmentMethod::Symmetrized(symmetrization);
            assert_eq!(method(&symmetrization.to_string()).unwrap(), expected);
        }
        for text in [
            "",
            "argmax:1",
            "threshold",
            "threshold:0",
            "threshold:1.5",
            "threshold:nan",
            "grow",
        ] {
            let error = method(text).unwrap_err().to_string();
            assert!(error.contains("grow-diag-final-and"), "{error}");
        }
    }

    /// By hand: forward and reverse agree on 0-0 and 3-3 alone.
    #[test]
    fn each_step_adds_what_it_says() {
        let apply = |method: Symmetrization| {
            let forward: Alignment = "0-0 1-1 3-3 6-5 9-7".parse().unwrap();
            let reverse: Alignment = "0-0 2-1 3-3 6-6 9-9".parse().unwrap();
            method.apply(&forward, &reverse).to_string()
        };
        let found = Symmetrization::ALL.map(apply);
        assert_eq!(
            found,
            [
                "0-0 3-3",
                "0-0 1-1 2-1 3-3 6-5 6-6 9-7 9-9",
                // 1-1 touches 0-0 at a corner, and 2-1 then 1-1; far links stay out.
                "0-0 1-1 2-1 3-3",
                // All others have a word without a link, 6-6 and 9-9 their target.
                "0-0 1-1 2-1 3-3 6-5 6-6 9-7 9-9",
                // 6 and 9 have their links when 6-6 and 9-9 come.
                "0-0 1-1 2-1 3-3 6-5 9-7",
            ]
        );
    }

    #[test]
    fn nothing_grows_from_nothing() {
        let forward: Alignment = "0-0".parse().unwrap();
        let reverse: Alignment = "1-1".parse().unwrap();
        let apply = |method: Symmetrization| method.apply(&forward, &reverse).to_string();
        assert_eq!(apply(Symmetrization::GrowDiag), "");
        assert_eq!(apply(Symmetrization::GrowDiagFinalAnd), "0-0 1-1");
        let none = Alignment::default();
        assert_eq!(Symmetrization::Union.apply(&none, &none), none);
    }
}
