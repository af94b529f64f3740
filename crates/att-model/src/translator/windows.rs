//! Lines as they come, in batches that one thread each translates.

use std::collections::BTreeMap;
use std::sync::Arc;

use att_core::side_by_side;
use att_data::{BatchLimit, Example, Pair};
use att_decoder::search::SearchConfig;

use super::{Translation, TranslationRequest, Translator};
use crate::Error;

/// Lines that are cut into batches together.
pub(super) struct Window {
    pub(super) requests: Vec<TranslationRequest>,
    pub(super) examples: Vec<Example>,
}

/// The lines of a window that one thread translates together.
pub(super) struct Job {
    pub(super) window: Arc<Window>,
    pub(super) indices: Vec<usize>,
}

/// How many batches a few lines are cut into, whatever the number of threads ...
const LEAST_BATCHES: usize = 2;

/// ... unless they would have fewer rows than this: smaller batches read the weights more often than
/// another thread makes up for.
const LEAST_ROWS: usize = 32;

impl Translator {
    /// As [`translate_requests`](Self::translate_requests), but of lines as they come: hands each with its
    /// result to `done`, in their order. Batches are made of one `window` of lines after the other. The
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
        let mut requests = requests.fuse();
        let windows = std::iter::from_fn(|| {
            let requests: Vec<_> = requests.by_ref().take(window).collect();
            // A few lines are cut too, so that two threads have something to do.
            let rows = requests.len().div_ceil(LEAST_BATCHES).max(LEAST_ROWS);
            (!requests.is_empty()).then(|| self.window(requests, rows))
        });
        let work = |Job { window, indices }: Job| {
            let found = self.search(&window, &indices, search, &mut ())?;
            let found = indices.into_iter().zip(found).map(|(index, found)| {
                let line = &window.requests[index].line;
                (index, self.translation(line, found, search.replace_unk))
            });
            let found: Vec<(usize, Translation)> = found.collect();
            Ok::<_, Error>((window, found))
        };
        let mut of_window = BTreeMap::new();
        let device = self.model().device();
        side_by_side(&device, windows.flatten(), work, |result| {
            let (window, found) = result?;
            of_window.extend(found);
            if of_window.len() == window.requests.len() {
                let translations = std::mem::take(&mut of_window).into_values();
                for (request, translation) in window.requests.iter().zip(translations) {
                    done(request, translation)?;
                }
            }
            Ok(())
        })
    }

    /// The batches of some lines, of at most so many rows, those that take longest first.
    pub(super) fn window(&self, requests: Vec<TranslationRequest>, rows: usize) -> Vec<Job> {
        let line =
            |request: &TranslationRequest| self.example(&Pair::new(request.line.as_str(), ""));
        let examples: Vec<Example> = requests.iter().map(line).collect();
        let is_plain = |index: &usize| requests[*index].edits.is_empty();
        let (plain, edited): (Vec<usize>, Vec<usize>) = (0..requests.len()).partition(is_plain);
        let mut batches = self.batches(&examples, plain, rows);
        // What is edited is the attention of all rows of a batch.
        batches.extend(edited.into_iter().map(|index| vec![index]));
        let window = Arc::new(Window { requests, examples });
        let job = |indices| Job {
            window: window.clone(),
            indices,
        };
        batches.into_iter().rev().map(job).collect()
    }

    /// Which of these lines are translated together, at most so many, the shortest first.
    fn batches(&self, examples: &[Example], lines: Vec<usize>, rows: usize) -> Vec<Vec<usize>> {
        let width = |index: usize| examples[index].src.len() + 1; // with EOS
        let mut order = lines;
        order.sort_by_key(|&index| (width(index), index));
        BatchLimit::of_rows(self.batch_size.min(rows)).cut(&order, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translator::test_support::*;

    #[test]
    fn a_very_long_line_stands_alone_and_changes_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let mut lines: Vec<String> = ["abc", "d", "", "cab", "ba", "abcd", "dd"]
            .map(String::from)
            .into();
        lines.insert(3, "abcd".repeat(800));
        let examples: Vec<Example> = lines
            .iter()
            .map(|line| translator.example(&Pair::new(line, "")))
            .collect();
        let batches = translator.batches(&examples, (0..examples.len()).collect(), 64);
        assert_eq!(batches, [vec![2, 1, 5, 7, 0, 4, 6], vec![3]]);

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
    fn a_batch_has_no_more_lines_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let translator = translator(folder.path(), "kind = 'luong', d_attentional = 5");
        let translator = translator.with_batch_size(2);
        let example = Example {
            src: vec![4],
            ..Default::default()
        };
        let batches = translator.batches(&vec![example; 5], (0..5).collect(), 64);
        assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4]]);
    }
}
