"""The comparison of logits (choice.cuh), compiled for the host: the lowest token of equals, and no token for NaN."""

import math
import re
import subprocess
from itertools import permutations, product
from pathlib import Path

import pytest
import torch

from runner.fused import compiled

NO_TOKEN = -1
VALUES = (-math.inf, -1.5, 0.0, 2.0, math.inf, math.nan)
PROGRAM = """
#include <cstdio>
#include <cstring>
#define __device__
#define __forceinline__
static float __int_as_float(unsigned bits) { float v; std::memcpy(&v, &bits, 4); return v; }
template <class T> T __shfl_xor_sync(unsigned, T v, int) { return v; }
BEST
int main() {
  for (int count; std::scanf("%d", &count) == 1;) {
    Best best;
    for (int i = 0; i < count; ++i) {
      float logit;
      unsigned token;
      if (std::scanf("%f %u", &logit, &token) != 2) return 1;
      best.offer(logit, token);
    }
    std::printf("%lld\\n", best.logit == best.logit ? (long long)best.token : -1);
  }
}
"""


def expected(logits: tuple[float, ...]) -> int:
    """Returns torch's choice, which is the first of the largest logits."""
    return NO_TOKEN if any(map(math.isnan, logits)) else int(torch.tensor(logits).argmax())


@pytest.mark.medium
def test_of_equal_logits_the_lowest_token_is_chosen_in_whatever_order_they_come(tmp_path: Path) -> None:
    source = (compiled.SOURCES / "choice.cuh").read_text()
    (best,) = re.findall(r"^struct Best \{.*?^\};", source, re.DOTALL | re.MULTILINE)
    assert source.count("best.logit == best.logit ? (long long)best.token : no_token") == 1
    assert f"no_token = {NO_TOKEN};" in source
    (tmp_path / "best.cpp").write_text(PROGRAM.replace("BEST", best))
    subprocess.run(["g++", "-std=c++17", "-O1", "best.cpp", "-o", "best"], cwd=tmp_path, check=True)
    cases = [(logits, order) for logits in product(VALUES, repeat=3) for order in permutations(range(3))]
    given = "\n".join(
        f"{len(order)} " + " ".join(f"{logits[token]} {token}" for token in order) for logits, order in cases
    )
    ran = subprocess.run([tmp_path / "best"], input=given, check=True, capture_output=True, text=True)
    assert [int(line) for line in ran.stdout.splitlines()] == [expected(logits) for logits, _ in cases]
