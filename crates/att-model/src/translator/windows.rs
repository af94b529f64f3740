//! Known lines, in jobs that one thread each does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use att_core::side_by_side;
use att_decoder::search::SearchConfig;

use super::feed::{Line, Supply};
use super::{Translation, TranslationObserver, TranslationRequest, Translator};
use crate::{Error, Result};

/// Lines that one thread translates, the longest first. One with edits is alone: what is edited is the attention
/// of all rows of a search.
///
/// Of known lines a job has no more than are translated at a time: sorted by their lengths they end at about the
/// same step, so that a place that is filled again would save less than it costs (docs/benchmarks.md).
pub(super) type Job = VecDeque<Line>;

/// How many jobs a few lines are cut into, whatever the number of threads ...
const LEAST_JOBS: usize = 2;

/// ... unless they would have fewer lines than this: smaller batches read the weights more often than
/// another thread makes up for.
const LEAST_LINES: usize = 32;

impl Translator {
    /// As [`translate_requests`](Self::translate_requests), but of lines as they come: hands each with its
    /// result to `done`, in their order. Jobs are made of one `window` of lines after the other. The
    /// next lines are read while the last ones are translated, but not far ahead: memory does not grow with
    /// the number of lines.
    ///
    /// # Errors
    ///
    /// As of [`translate_requests`](Self::translate_requests), and the first of `done`.
    pub fn translate_windows<E: From<Error>>(
        &self,
        requests: impl Iterator<Item = TranslationRequest> + Send,
        window: usize,
        search: &SearchConfig,
        mut done: impl FnMut(&TranslationRequest, Translation) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.check_search(search)?;
        let device = self.model().device();
        let mut requests = requests.fuse();
        let windows = std::iter::from_fn(|| {
            let requests: Arc<[_]> = requests.by_ref().take(window).collect();
            // A few lines are cut too, so that two threads have something to do.
            let few = requests.len().div_ceil(LEAST_JOBS).max(LEAST_LINES);
            let jobs = self.jobs(&requests, few.min(self.batch_size)).into_iter();
            let jobs: Vec<_> = jobs.map(|job| (requests.clone(), job)).collect();
            (!requests.is_empty()).then_some(jobs)
        });
        let work = |(window, job): (Arc<[_]>, Job)| {
            let places = self.batch_size.min(job.len());
            (window, self.translate_job(job, places, search, &mut ()))
        };
        let mut of_window = BTreeMap::new();
        side_by_side(&device, windows.flatten(), work, |(window, found)| {
            of_window.extend(found);
            if of_window.len() == window.len() {
                let translations = std::mem::take(&mut of_window).into_values();
                for (request, translation) in window.iter().zip(translations) {
                    done(request, translation?)?;
                }
            }
            Ok(())
        })
    }

    /// The jobs of some lines, of at most so many lines, those that take longest first.
    pub(super) fn jobs(&self, requests: &[TranslationRequest], lines: usize) -> Vec<Job> {
        let line =
            |(number, request): (usize, &TranslationRequest)| self.line(number, request.clone());
        let all = requests.iter().enumerate().map(line);
        let (mut plain, edited): (Vec<Line>, Vec<Line>) =
            all.partition(|line| line.request.edits.is_empty());
        plain.sort_by_key(|line| Reverse((line.width(), line.number)));
        let mut plain = plain.into_iter();
        let jobs = std::iter::from_fn(|| {
            let job: Job = plain.by_ref().take(lines).collect();
            (!job.is_empty()).then_some(job)
        });
        jobs.chain(edited.into_iter().map(|line| [line].into()))
            .collect()
    }

    /// What becomes of the lines of a job, by their numbers, `places` of them at a time.
    pub(super) fn translate_job(
        &self,
        job: Job,
        places: usize,
        search: &SearchConfig,
        observer: &mut dyn TranslationObserver,
    ) -> BTreeMap<usize, Result<Translation>> {
        let edits = job.front().map(|line| line.request.edits.clone());
        let mut lines = JobLines {
            waiting: job,
            observer,
            done: BTreeMap::new(),
        };
        self.run(&edits.unwrap_or_default(), places, search, &mut lines);
        lines.done
    }
}

/// The lines of a job.
struct JobLines<'a> {
    waiting: Job,
    observer: &'a mut dyn TranslationObserver,
    done: BTreeMap<usize, Result<Translation>>,
}

impl Supply for JobLines<'_> {
    fn observer(&mut self) -> &mut dyn TranslationObserver {
        self.observer
    }

    fn lines(&mut self, room: usize) -> Vec<Line> {
        self.waiting.drain(..room.min(self.waiting.len())).collect()
    }

    fn done(&mut self, number: usize, translation: Result<Translation>) {
        self.done.insert(number, translation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttentionEdit;
    use crate::translator::test_support::*;

    #[test]
    fn a_very_long_line_stands_alone_and_changes_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let mut lines: Vec<String> = ["abc", "d", "", "cab", "ba", "abcd", "dd"]
            .map(String::from)
            .into();
        lines.insert(3, "abcd".repeat(800));
        let together = translator.translate(&lines, &search()).unwrap();
        for (line, found) in lines.iter().zip(together) {
            let alone = translator.translate(&[line], &search()).unwrap();
            let texts = |of: &Translation| of.candidates.clone().into_iter().map(|c| c.text);
            assert!(texts(&found).eq(texts(&alone[0])), "{line:.9}");
            assert_eq!(found.src_tokens, alone[0].src_tokens);
        }
    }

    #[test]
    fn windows_change_no_result_and_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let lines: Vec<String> = (0..40).map(|n| "abcd".repeat(n % 7 + 1)).collect();
        let expected = translator.translate(&lines, &search()).unwrap();
        for window in [1, 3, 16, 40] {
            let mut found = Vec::new();
            let done = |request: &TranslationRequest, translation| {
                assert_eq!(request.line, lines[found.len()]);
                found.push(translation);
                Ok::<_, Error>(())
            };
            let requests = lines.iter().map(TranslationRequest::new);
            let done = translator.translate_windows(requests, window, &search(), done);
            done.unwrap();
            assert_same(&found, &expected);
        }
    }

    #[test]
    fn jobs_have_no_more_lines_than_asked_for_and_what_is_edited_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let mut requests = ["ab", "abc", "", "a", "abcd"].map(TranslationRequest::new);
        requests[3].edits = vec![AttentionEdit {
            step: 0,
            weights: vec![0.5, 0.5],
        }];
        let numbers = |job: Job| job.into_iter().map(|line| line.number).collect::<Vec<_>>();
        let jobs = translator.jobs(&requests, 3).into_iter().map(numbers);
        assert!(jobs.eq([vec![4, 1, 0], vec![2], vec![3]]));
    }
}
