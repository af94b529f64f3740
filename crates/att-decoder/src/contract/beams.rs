//! Rows that share a source, as in a beam, and what they may put out.

use att_core::{host_vec, rows};

use super::*;

#[test]
fn the_rows_of_a_beam_share_their_source() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let memory = prepare(&decoder, &source);
        let start = || decoder.initial_state(&source);
        let beam = start().select(&[0, 0, 1, 1, 2, 2], device);
        let tokens = Tensor::from_data([4, 5, 6, 7, 8, 4], device);
        let both = decoder.step(tokens, &memory, beam).logits;
        for (slot, tokens) in [[4, 6, 8], [5, 7, 4]].into_iter().enumerate() {
            let one = decoder.step(Tensor::from_data(tokens, device), &memory, start());
            let rows = [slot, slot + 2, slot + 4].map(|row| row as i64);
            let expected = both.clone().select(0, Tensor::from_data(rows, device));
            assert!(close(finite(one.logits), finite(expected)), "{config:?}");
        }
    });
}

#[test]
fn allowed_tokens_have_the_scores_that_they_have_among_all() {
    let allowed = [vec![8, 3, 4], vec![3], vec![5, 3, 4]];
    each(|config, tie, device| {
        // What copies has no shortlist.
        if config.copies() {
            return;
        }
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let whole = decoder.prepare(&source);
        let memory = whole.clone().with_allowed(&decoder, &allowed);
        let state = || {
            let start = decoder.initial_state(&source);
            start.select(&[0, 0, 1, 1, 2, 2], device)
        };
        let tokens = || Tensor::from_data([4, 5, 6, 7, 8, 4], device);
        let all = decoder.step(tokens(), &whole, state()).logits;
        let found = decoder.step(tokens(), &memory, state()).logits;
        let columns = memory.columns.as_ref().unwrap().ids();
        let rising: [&[u32]; 3] = [&[3, 4, 8], &[3], &[3, 4, 5]];
        assert!(columns.iter().map(|ids| &**ids).eq(rising));
        let [_, vocab] = all.dims();
        let mut expected = Vec::new();
        for (row, scores) in host_vec(all).chunks(vocab).enumerate() {
            let own = rising[row / 2].iter().map(|&id| scores[id as usize]);
            let beyond = std::iter::repeat(f32::NEG_INFINITY);
            expected.extend(own.chain(beyond).take(3));
        }
        let same = |(a, b): (&f32, &f32)| a == b || (a - b).abs() < 1e-5;
        assert!(
            host_vec(found.clone()).iter().zip(&expected).all(same),
            "{config:?}"
        );

        let memory = memory.select(&[2, 0], device);
        let state = decoder.initial_state(&source).select(&[2, 2, 0, 0], device);
        let tokens = Tensor::from_data([8, 4, 4, 5], device);
        let left = decoder.step(tokens, &memory, state).logits;
        let rows = Tensor::from_data([4, 5, 0, 1], device);
        let expected = host_vec(found.select(0, rows));
        assert!(host_vec(left).iter().zip(&expected).all(same), "{config:?}");
    });
}

/// Two rows a source, exchanged after the first step, go on as they would have alone.
#[test]
fn the_rows_of_a_beam_carry_their_states() {
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let memory = prepare(&decoder, &source);
        let start = || decoder.initial_state(&source);
        let tokens = |of: &[i64]| Tensor::<1, Int>::from_data(of, device);
        let beam = start().select(&[0, 0, 1, 1, 2, 2], device);
        let state = decoder
            .step(tokens(&[4, 5, 6, 7, 8, 4]), &memory, beam)
            .state;
        let state = state.select(&[1, 0, 3, 2, 5, 4], device);
        let both = decoder.step(tokens(&[5, 5, 6, 6, 7, 7]), &memory, state);
        for (slot, first) in [[5, 7, 4], [4, 6, 8]].into_iter().enumerate() {
            let state = decoder.step(tokens(&first), &memory, start()).state;
            let one = decoder.step(tokens(&[5, 6, 7]), &memory, state);
            let rows = tokens(&[slot, slot + 2, slot + 4].map(|row| row as i64));
            let expected = both.logits.clone().select(0, rows);
            assert!(close(finite(one.logits), finite(expected)), "{config:?}");
        }
    });
}

/// Sources that come two steps later and are shorter, then leave when the others still go on, do as they would alone.
#[test]
fn joined_sources_are_each_at_their_own_step() {
    let target = [[2, 4, 5, 8], [2, 7, 4, 4], [2, 1, 6, 5]];
    each(|config, tie, device| {
        let (decoder, source) = (decoder(config, tie, device), source(device));
        let whole = prepare(&decoder, &source);
        let tokens = |of: &[i64]| Tensor::<1, Int>::from_data(of, device);
        // What each source has at each step by itself.
        let mut state = decoder.initial_state(&source);
        let mut alone = Vec::new();
        for t in 0..4 {
            let step = decoder.step(tokens(&target.map(|row| row[t])), &whole, state);
            alone.push(step.logits);
            state = step.state;
        }
        let check = |found: &Tensor<2>, rows: &[(usize, usize)]| {
            let of = |&(row, t): &(usize, usize)| alone[t].clone().narrow(0, row, 1);
            let expected = Tensor::cat(rows.iter().map(of).collect(), 0);
            assert!(
                close(finite(found.clone()), finite(expected)),
                "{config:?}: {rows:?}"
            );
        };
        let last = |state: RecurrentState| state.select(rows::indices(&[1, 2], device));
        let shorter = EncoderOutput {
            memory: source.memory.clone().narrow(0, 1, 2).narrow(1, 0, 3),
            src_pad_mask: mask::src_pad_mask(&LENGTHS[1..], 3, device),
            final_states: source.final_states.clone().into_iter().map(last).collect(),
        };
        let copy_ids = copy_ids(&decoder, device).map(|ids| CopyIds {
            ids: ids.ids.narrow(0, 1, 2).narrow(1, 0, 3),
            ..ids
        });
        let more = Copying {
            decoder: &decoder,
            ids: copy_ids,
        }
        .prepare(&shorter);
        let more_state = decoder.initial_state(&shorter);

        let memory = whole.clone().select(&[0], device);
        let mut state = decoder.initial_state(&source).select(&[0], device);
        for (t, &token) in target[0][..2].iter().enumerate() {
            let step = decoder.step(tokens(&[token]), &memory, state);
            check(&step.logits, &[(0, t)]);
            state = step.state;
        }
        let memory = memory.join(more, &decoder, 5);
        let mut state = state.join(more_state, 5);
        for t in 0..2 {
            let now = tokens(&[target[0][t + 2], target[1][t], target[2][t]]);
            let step = decoder.step(now, &memory, state);
            check(&step.logits, &[(0, t + 2), (1, t), (2, t)]);
            state = step.state;
        }
        // The oldest leaves, and the second begins once more.
        let memory = memory.select(&[2, 1], device);
        let state = state.select(&[2, 1], device);
        let again = decoder.initial_state(&source).select(&[1], device);
        let memory = memory.join(whole.clone().select(&[1], device), &decoder, 3);
        let state = state.join(again, 3);
        let now = tokens(&[target[2][2], target[1][2], target[1][0]]);
        let step = decoder.step(now, &memory, state);
        check(&step.logits, &[(2, 2), (1, 2), (1, 0)]);
    });
}
