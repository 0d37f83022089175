"""Near duplicates by datasketch, for `near_vs_datasketch.sh`: as its documentation does it, each row looked up and then put in.

  near_vs_datasketch.py FILE ROWS BANDS ROWS_OF_A_BAND

FILE has lines `{"text": …, "like": N}`. It is read before the clock starts. Shingles are three words in a row, as ours are; the banding is
ours too. Nothing is verified, which ours does: rows that share a band are taken for near. Prints one JSON line.
"""

import json
import re
import resource
import sys
import time

from datasketch import MinHash, MinHashLSH


def threes(text):
    words = re.findall(r"\w+", text.lower())
    return [" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)]


def main(path, count, bands, band_rows):
    texts, like = [], []
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            texts.append(row["text"])
            like.append(row["like"])
            if len(texts) == count:
                break
    begin = time.perf_counter()
    index = MinHashLSH(num_perm=bands * band_rows, params=(bands, band_rows))
    met = []
    sketches = MinHash.generator(map(threes, texts), num_perm=bands * band_rows)
    for row, sketch in enumerate(sketches):
        met.append(index.query(sketch))
        index.insert(row, sketch)
    seconds = time.perf_counter() - begin
    planted = found = 0
    for row, first in enumerate(like):
        if first is None:
            continue
        one, other = set(threes(texts[row])), set(threes(texts[first]))
        if len(one & other) / len(one | other) < 0.8:
            continue
        planted += 1
        # Two that were made of the same row may have met without it.
        found += first in met[row] or row in met[first]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    recall = found / max(planted, 1)
    print(json.dumps({"rows": len(texts), "seconds": seconds, "planted": planted, "recall": recall, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
