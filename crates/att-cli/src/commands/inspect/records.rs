//! The sentences of a file of attention, and those that belong to them: of the other direction, and gold links.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use att_data::read_lines;
use att_inspect::{Alignment, AlignmentMethod, AttentionRecord, View};

use super::AttentionOptions;

/// A file of attention, read anew for each pass, since the weights of all heads can be many.
pub struct Records<'a> {
    path: &'a Path,
    options: &'a AttentionOptions,
    /// The best hypothesis of each id.
    reverse: Option<HashMap<String, Sentence>>,
    gold: Option<Vec<String>>,
}

/// A record that was asked for, and where it stands.
pub struct Sentence {
    pub record: AttentionRecord,
    path: PathBuf,
    line: usize,
}

impl Sentence {
    /// The error with the place of the record.
    pub fn at(&self, error: att_inspect::Error) -> String {
        format!("{}:{}: {error}", self.path.display(), self.line)
    }

    /// Merged to words if that is asked for.
    fn in_words(mut self, words: bool) -> Result<Self, Box<dyn Error>> {
        if words {
            self.record = self.record.merged().map_err(|error| self.at(error))?;
        }
        Ok(self)
    }

    /// The line of the input, from 0, if the id says it.
    pub fn line(&self) -> Option<usize> {
        self.record.id.as_ref()?.parse().ok()
    }
}

impl<'a> Records<'a> {
    pub fn open(path: &'a Path, options: &'a AttentionOptions) -> Result<Self, Box<dyn Error>> {
        if let (AlignmentMethod::Symmetrized(method), None) = (options.align, &options.reverse) {
            return Err(format!(
                "--align {method} is of two directions: give the attention of the other one with --reverse"
            )
            .into());
        }
        let of_reverse = |path: &PathBuf| -> Result<_, Box<dyn Error>> {
            let mut found = HashMap::new();
            for sentence in sentences(path)? {
                let sentence = sentence?;
                let AttentionRecord {
                    id, rank, model, ..
                } = &sentence.record;
                if let (Some(id), 0, None) = (id, rank, model) {
                    found.insert(id.clone(), sentence.in_words(options.words)?);
                }
            }
            Ok(found)
        };
        Ok(Self {
            path,
            options,
            reverse: options.reverse.as_ref().map(of_reverse).transpose()?,
            gold: options.gold.as_ref().map(read_lines).transpose()?,
        })
    }

    pub fn path(&self) -> &Path {
        self.path
    }

    /// The sentences that were asked for.
    pub fn sentences(
        &self,
    ) -> Result<impl Iterator<Item = Result<Sentence, Box<dyn Error>>>, Box<dyn Error>> {
        let AttentionOptions {
            line,
            rank,
            member,
            words,
            ..
        } = self.options;
        let is_asked_for = move |Sentence { record, .. }: &Sentence| {
            let is_line = line.is_none() || record.id == *line;
            is_line && record.rank == *rank && record.model == *member
        };
        let all = sentences(self.path)?;
        let asked = all.filter(move |found| found.as_ref().map_or(true, is_asked_for));
        Ok(asked.map(|found| found?.in_words(*words)))
    }

    /// Says that what was asked for is not there.
    pub fn nothing_found(&self) -> String {
        let AttentionOptions {
            line, rank, member, ..
        } = self.options;
        let line = line
            .as_ref()
            .map_or(String::new(), |line| format!(" and id {line}"));
        let member = member
            .as_ref()
            .map_or(String::new(), |model| format!(" of {model}"));
        format!(
            "{} has no record with rank {rank}{line}{member}",
            self.path.display()
        )
    }

    /// The links of a sentence, EOS left out.
    pub fn links(&self, sentence: &Sentence, view: View) -> Result<Alignment, Box<dyn Error>> {
        let map = sentence
            .record
            .view(view)
            .map_err(|error| sentence.at(error))?;
        let forward = self.options.align.of(&map).without_end(&map);
        match self.options.align {
            AlignmentMethod::Symmetrized(method) => {
                let reverse = self.reverse_links(sentence)?.unwrap_or_default();
                Ok(method.apply(&forward, &reverse))
            }
            AlignmentMethod::Argmax | AlignmentMethod::Threshold(_) => Ok(forward),
        }
    }

    /// The links that the other direction finds, source-target as well; none if there is no other direction.
    pub fn reverse_links(&self, sentence: &Sentence) -> Result<Option<Alignment>, Box<dyn Error>> {
        let Some(reverse) = &self.reverse else {
            return Ok(None);
        };
        let place = format!("{}:{}", self.path.display(), sentence.line);
        let other = sentence.record.id.as_ref().and_then(|id| reverse.get(id));
        let Some(other) = other else {
            let id = sentence.record.id.as_deref().unwrap_or("none");
            return Err(
                format!("{place}: --reverse has no record of this sentence, id {id}").into(),
            );
        };
        let (map, turned) = (&sentence.record.map, &other.record.map);
        if map.src_tokens() != turned.tgt_tokens() || map.tgt_tokens() != turned.src_tokens() {
            return Err(format!(
                "{place} and {}:{} are not one sentence in two directions: '{}' there is '{}', and '{}' is '{}'; \
                 write both with `att score` from the same files turned round, and add --words where \
                 tokenisers differ",
                other.path.display(),
                other.line,
                map.src_tokens().join(" "),
                turned.tgt_tokens().join(" "),
                map.tgt_tokens().join(" "),
                turned.src_tokens().join(" "),
            )
            .into());
        }
        Ok(Some(Alignment::of(turned).without_end(turned).flipped()))
    }

    /// The gold links of a sentence; none if there is no gold.
    pub fn gold(&self, sentence: &Sentence) -> Result<Option<&str>, String> {
        let (Some(gold), Some(path)) = (&self.gold, &self.options.gold) else {
            return Ok(None);
        };
        let found = sentence.line().and_then(|line| gold.get(line));
        let missing = || {
            format!(
                "{} has {} lines, none for id {} of {}:{}, which counts lines from 0",
                path.display(),
                gold.len(),
                sentence.record.id.as_deref().unwrap_or("none"),
                self.path.display(),
                sentence.line,
            )
        };
        Ok(Some(found.ok_or_else(missing)?))
    }
}

/// All sentences of a file, one after the other.
fn sentences(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Sentence, Box<dyn Error>>>, Box<dyn Error>> {
    let records = AttentionRecord::read(path)?;
    Ok(records.map(move |found| {
        let (line, record) = found?;
        Ok(Sentence {
            record,
            path: path.into(),
            line,
        })
    }))
}
