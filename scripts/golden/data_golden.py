"""Prints the golden values of crates/att-data.

Hashes and the order of training are computed here from their published definitions, byte pair
encoding with the Python package `tokenizers` (pip install tokenizers==0.23.2).

    python scripts/golden/data_golden.py
"""

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

MASK = (1 << 64) - 1


def fnv1a(data: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def split_by_hash(key: str, seed: int) -> float:
    h = fnv1a(seed.to_bytes(8, "little") + key.encode())
    h = ((h ^ (h >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    h = ((h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    h ^= h >> 33
    return (h >> 11) / (1 << 53)


class Xoshiro256PlusPlus:
    """https://prng.di.unimi.it/xoshiro256plusplus.c, seeded by SplitMix64 as advised there."""

    def __init__(self, seed: int):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.s.append(z ^ (z >> 31))

    def next(self) -> int:
        def rotl(x: int, k: int) -> int:
            return ((x << k) | (x >> (64 - k))) & MASK

        s = self.s
        result = (rotl((s[0] + s[3]) & MASK, 23) + s[0]) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result


def shuffle(items: list, rng: Xoshiro256PlusPlus) -> None:
    for i in range(len(items) - 1, 0, -1):
        j = (rng.next() * (i + 1)) >> 64
        items[i], items[j] = items[j], items[i]


def epoch_order(seed: int, epoch: int) -> list:
    """Ten examples, batches of three, pools of two batches."""
    src = [1 + i * 7 % 40 for i in range(10)]
    tgt = [1 + i * 11 % 37 for i in range(10)]
    rng = Xoshiro256PlusPlus(fnv1a(seed.to_bytes(8, "little") + epoch.to_bytes(8, "little")))
    order = list(range(10))
    shuffle(order, rng)
    plan = []
    for start in range(0, 10, 6):
        pool = sorted(order[start : start + 6], key=lambda i: (max(src[i] + 1, tgt[i] + 2), src[i]))
        plan += [pool[i : i + 3] for i in range(0, len(pool), 3)]
    shuffle(plan, rng)
    return plan


def bpe(text: str, vocab_size: int) -> tuple[list, list]:
    """The merges and the tokens of the text; the four special tokens are not counted."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 4, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merged = [token for token, _ in vocabulary if len(token) > 1]
    return merged, tokenizer.encode(text).tokens


TEXT = (
    "peter piper picked a peck of pickled peppers a peck of pickled peppers peter piper picked "
    "if peter piper picked a peck of pickled peppers where is the peck of pickled peppers"
)

if __name__ == "__main__":
    for key, seed in [("ABACUS", 0), ("ABACUS", 1), ("naïve", 42)]:
        print(f"split_by_hash({key!r}, {seed}) = {split_by_hash(key, seed)!r}")
    print("epoch(42, 7) =", epoch_order(42, 7))
    merged, tokens = bpe(TEXT, 40)
    print("bpe merged =", *merged)
    print("bpe tokens =", *tokens)
