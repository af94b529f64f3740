//! The table of a corpus's numbers, by view.

use std::error::Error;
use std::io::{self, Write};

use att_inspect::{
    Alignment, AttentionNumbers, Fit, NumbersSum, View, agreement, alignment_error_rate,
    mutual_agreement,
};
use serde::Serialize;

use super::records::Records;

/// The numbers of all views of a file.
#[derive(Serialize)]
pub struct Table {
    attention: String,
    /// What `fit` is: `aer` in percent against gold links, `reverse_agreement` with the other direction's,
    /// or `head_agreement` with those of the other heads; none where there is nothing to compare with.
    fit: Option<&'static str>,
    /// The view that fits best; the decoder's own where nothing tells.
    #[serde(serialize_with = "as_text")]
    best: View,
    views: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(serialize_with = "as_text")]
    view: View,
    #[serde(flatten)]
    numbers: AttentionNumbers,
    fit: Option<f64>,
}

fn as_text<S: serde::Serializer>(view: &View, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(view)
}

impl Table {
    pub fn of(records: &Records) -> Result<Self, Box<dyn Error>> {
        let mut views: Vec<View> = Vec::new();
        let mut sums: Vec<NumbersSum> = Vec::new();
        let mut links: Vec<Vec<Alignment>> = Vec::new();
        let mut reverse = Vec::new();
        let mut gold = Vec::new();
        for sentence in records.sentences()? {
            let sentence = sentence?;
            if views.is_empty() {
                views = sentence.record.views();
                sums = vec![NumbersSum::default(); views.len()];
                links = vec![Vec::new(); views.len()];
            }
            for (i, view) in views.iter().enumerate() {
                let map = sentence
                    .record
                    .view(*view)
                    .map_err(|error| sentence.at(error))?;
                sums[i].add(&map);
                links[i].push(records.links(&sentence, *view)?);
            }
            reverse.extend(records.reverse_links(&sentence)?);
            gold.extend(records.gold(&sentence)?.map(String::from));
        }
        if views.is_empty() {
            return Err(records.nothing_found().into());
        }

        let (name, fits) = if !gold.is_empty() {
            let gold: Vec<&str> = gold.iter().map(String::as_str).collect();
            let rate = |links: &Vec<Alignment>| alignment_error_rate(links, &gold).map(Fit::Aer);
            let rates = links.iter().map(rate).collect::<att_inspect::Result<_>>()?;
            (Some("aer"), rates)
        } else if !reverse.is_empty() {
            let fit = |links: &Vec<Alignment>| Fit::Agreement(agreement(links, &reverse));
            (Some("reverse_agreement"), links.iter().map(fit).collect())
        } else if views.len() > 1 {
            let is_head = |place: &usize| matches!(views[*place], View::Head { .. });
            let heads: Vec<usize> = (0..views.len()).filter(is_head).collect();
            let fits = mutual_agreement(&links, &heads).into_iter();
            (Some("head_agreement"), fits.map(Fit::Agreement).collect())
        } else {
            (None, Vec::new())
        };
        let best = Fit::best(&fits).map_or(View::Weights, |best| views[best]);
        let rows = views.into_iter().zip(&sums).enumerate();
        Ok(Self {
            attention: records.path().display().to_string(),
            fit: name,
            best,
            views: rows
                .map(|(i, (view, sum))| Row {
                    view,
                    numbers: sum.numbers(),
                    fit: fits.get(i).map(|fit| match fit {
                        Fit::Aer(value) | Fit::Agreement(value) => *value,
                    }),
                })
                .collect(),
        })
    }

    pub fn best(&self) -> View {
        self.best
    }

    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let fit = match self.fit {
            Some("aer") => "AER",
            Some(_) => "agree",
            None => "",
        };
        writeln!(
            out,
            "{:<9} {:>8} {:>9} {:>6} {:>6} {:>9} {:>9} {:>9} {fit:>7}",
            "", "entropy", "sharpness", "under", "over", "monotone", "diagonal", "repeated"
        )?;
        for row in &self.views {
            let AttentionNumbers {
                entropy,
                sharpness,
                under_attended,
                over_attended,
                monotonicity,
                diagonality,
                repetition,
                ..
            } = row.numbers;
            write!(
                out,
                "{:<9} {entropy:>8.3} {sharpness:>9.3} {under_attended:>6.3} {over_attended:>6.3} \
                 {monotonicity:>9.3} {diagonality:>9.3} {repetition:>9.3}",
                row.view
            )?;
            match (row.fit, self.fit) {
                (Some(fit), Some("aer")) => writeln!(out, " {fit:>7.2}")?,
                (Some(fit), _) => writeln!(out, " {fit:>7.3}")?,
                (None, _) => writeln!(out)?,
            }
        }
        let AttentionNumbers { maps, steps, .. } = self.views[0].numbers;
        writeln!(out, "{maps} sentences, {steps} steps")?;
        match self.fit {
            Some("aer") => writeln!(out, "aligns best by gold links: {}", self.best),
            Some("reverse_agreement") => {
                writeln!(out, "agrees best with the other direction: {}", self.best)
            }
            Some(_) => writeln!(out, "agrees best with the heads: {}", self.best),
            None => Ok(()),
        }
    }
}
