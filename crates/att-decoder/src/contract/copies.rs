//! Decoders that copy from the source.

use super::*;

#[test]
fn a_copied_token_is_read_as_unknown() {
    let device = Device::flex();
    for config in copying() {
        let (decoder, source) = (decoder(&config, false, &device), source(&device));
        let forward = |tokens: [i64; 3]| {
            let tgt = Tensor::<2, Int>::from_data([[2, 4, 5]; 3], &device);
            let last = Tensor::<1, Int>::from_data(tokens, &device).unsqueeze_dim(1);
            let tgt = Tensor::cat(vec![tgt, last], 1);
            all_logits(&decoder, &decoder.forward(tgt, &[4; 3], &source))
        };
        let unknown = forward([1, 1, 1]);
        assert!(close(forward([9, 10, 9]), unknown.clone()), "{config:?}");
        assert!(!close(forward([8, 8, 8]), unknown), "{config:?}");

        let memory = prepare(&decoder, &source);
        let step = |tokens: [i64; 3]| {
            let tokens = Tensor::from_data(tokens, &device);
            let state = decoder.initial_state(&source);
            finite(decoder.step(tokens, &memory, state).logits)
        };
        assert!(close(step([9, 10, 9]), step([1, 1, 1])), "{config:?}");
    }
}

#[test]
fn sources_that_have_left_take_their_copies_along() {
    let device = Device::flex();
    for config in copying() {
        let (decoder, source) = (decoder(&config, false, &device), source(&device));
        let memory = prepare(&decoder, &source);
        let state = || decoder.initial_state(&source);
        let tokens = |of: &[i64]| Tensor::<1, Int>::from_data(of, &device);
        let all = decoder.step(tokens(&[4, 5, 6]), &memory, state()).logits;
        let kept = memory.select(&[2, 1], &device);
        let state = state().select(&[2, 1], &device);
        let step = decoder.step(tokens(&[6, 5]), &kept, state).logits;
        let expected = all.select(0, tokens(&[2, 1]));
        assert!(close(finite(step), finite(expected)), "{config:?}");
    }
}

#[test]
#[should_panic(expected = "needs to know what")]
fn what_is_copied_must_be_known() {
    let device = Device::flex();
    let (decoder, source) = (decoder(&copying()[0], false, &device), source(&device));
    let (memory, state) = (decoder.prepare(&source), decoder.initial_state(&source));
    decoder.step(Tensor::from_data([4, 5, 6], &device), &memory, state);
}
