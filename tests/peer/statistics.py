"""Figures of scipy and statsmodels that our statistics are compared with, as JSON on stdout: the same every time.

What has a closed form is theirs; what they lack (the nested bootstrap, power of McNemar's exact test, pass@k over subsets) is
written here a second time, the long way round, over their distributions."""

import itertools
import json
import sys

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

random = np.random.default_rng(20260101)


def wilson():
    for trials, successes, level in itertools.product([1, 5, 30, 47, 1000], [0, 1, 0.5, 0.83, 1.0], [0.8, 0.95, 0.99]):
        rate = min(1.0, successes)
        low, high = proportion_confint(rate * trials, trials, 1 - level, method="wilson")
        yield {"rate": rate, "trials": trials, "level": level, "low": low, "high": high}


def discordant():
    for first, second in [(0, 0), (1, 0), (6, 0), (3, 3), (5, 9), (12, 2), (40, 61), (400, 470), (0, 900)]:
        exact = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
        if first + second:
            theirs = mcnemar([[3, first], [second, 4]], exact=True).pvalue
            assert abs(theirs - exact) < 1e-12
        fewer, count = min(first, second), first + second
        mid = 2 * stats.binom.cdf(fewer, count, 0.5) - stats.binom.pmf(fewer, count, 0.5)
        yield {"first": first, "second": second, "exact": exact, "mid_p": mid}


def holm():
    for n in [1, 2, 5, 12]:
        p = random.uniform(0, 1, n) ** 3
        yield {"p": p.tolist(), "adjusted": multipletests(p, method="holm")[1].tolist()}


def subsets():
    """At least `least` of `k` samples pass, by every subset."""
    for samples in range(1, 9):
        for passed in range(samples + 1):
            for k in range(1, samples + 1):
                drawn = [sum(s < passed for s in some) for some in itertools.combinations(range(samples), k)]
                for least in range(k + 2):
                    share = sum(n >= least for n in drawn) / len(drawn)
                    yield [samples, passed, k, least, share]
    for samples, passed, k, least in [(200, 31, 10, 1), (1000, 5, 100, 1), (1000, 700, 100, 51), (50, 49, 25, 25)]:
        yield [samples, passed, k, least, float(stats.hypergeom.sf(least - 1, samples, passed, k))]


def flips():
    for n in [2, 5, 9, 12]:
        differences = random.integers(-5, 7, n) / 5
        if not differences.any():
            continue
        p = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
        yield {"differences": differences.tolist(), "p": float(p)}


def bootstrap():
    """Tasks asked once, of one category: scipy's own bootstrap of a paired mean."""
    for n in [8, 30, 90]:
        a, b = random.beta(3, 1, n).round(3), random.beta(2, 1, n).round(3)
        figures = {"a": a.tolist(), "b": b.tolist()}
        for method in ["percentile", "BCa"]:
            found = stats.bootstrap((a - b,), np.mean, n_resamples=400_000, batch=20_000, method=method,
                                    rng=np.random.default_rng(1))
            figures[method] = list(found.confidence_interval)
            figures["above"] = float(np.mean(found.bootstrap_distribution > 0.05))
        yield figures


def nested():
    """Samples within tasks within categories, drawn the long way round."""
    for sizes, samples in [((10, 5, 6), 5), ((20,), 3)]:
        categories = []
        for size in sizes:
            rates = random.uniform(0, 1, size)
            a = random.binomial(1, np.clip(rates + 0.1, 0, 1)[:, None], (size, samples))
            b = random.binomial(1, rates[:, None], (size, samples))
            categories.append((a, b))
        draws, total = 200_000, np.zeros(200_000)
        for a, b in categories:
            size = len(a)
            tasks = random.integers(0, size, (draws, size))
            for side, sign in [(a, 1), (b, -1)]:
                for place in range(size):
                    which = random.integers(0, samples, (draws, samples))
                    total += sign * side[tasks[:, place][:, None], which].mean(axis=1)
        total /= sum(sizes)
        yield {
            "categories": [[a.tolist(), b.tolist()] for a, b in categories],
            "percentile": np.percentile(total, [2.5, 97.5]).tolist(),
            "above": float(np.mean(total > 1e-9) + np.mean(abs(total) <= 1e-9) / 2),
        }


def mcnemar_power(tasks, first, second, alpha):
    power = 0.0
    for count in range(tasks + 1):
        wins = np.arange(count + 1)
        p = np.minimum(1, 2 * stats.binom.cdf(np.minimum(wins, count - wins), count, 0.5))
        found = stats.binom.pmf(wins, count, first / (first + second))[p <= alpha].sum()
        power += stats.binom.pmf(count, tasks, first + second) * found
    return float(power)


def power():
    for tasks, first, second, alpha in [(30, 0.3, 0.1, 0.05), (30, 0.2, 0.0, 0.05), (5, 0.9, 0.0, 0.05),
                                        (100, 0.2, 0.1, 0.05), (250, 0.25, 0.15, 0.01)]:
        yield {"tasks": tasks, "first": first, "second": second, "alpha": alpha,
               "power": mcnemar_power(tasks, first, second, alpha)}


def fewest():
    """The fewest tasks, from one upwards."""
    for difference, discordant in [(0.3, 0.3), (0.3, 0.4), (0.5, 0.2), (0.2, 0.36)]:
        share = max(difference, discordant)
        for tasks in itertools.count(1):
            if mcnemar_power(tasks, (share + difference) / 2, (share - difference) / 2, 0.05) >= 0.8:
                yield {"difference": difference, "discordant": discordant, "tasks": tasks}
                break


def normal():
    """Difference that a paired design finds, and tasks it takes, by scipy's normal quantiles."""
    for tasks, samples in [(30, 1), (30, 5), (200, 2)]:
        z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
        variance = 1 / 36 + 1 / 3 / samples
        yield {"tasks": tasks, "samples": samples, "detectable": float(z * np.sqrt(variance / tasks)),
               "needed": int(np.ceil((z / 0.1) ** 2 * variance))}


def means():
    """Tenths of percent as Python rounds them, of scores of three decimals."""
    for n in [5, 8, 10, 16, 30, 40]:
        for _ in range(40):
            scores = random.integers(0, 1001, n) / 1000
            yield {"scores": scores.tolist(), "tenths": round(sum(scores.tolist()) / n * 100, 1)}


figures = {
    "versions": {"python": sys.version.split()[0], "numpy": np.__version__, "scipy": scipy.__version__,
                 "statsmodels": statsmodels.__version__},
    **{make.__name__: list(make()) for make in
       [wilson, discordant, holm, subsets, flips, bootstrap, nested, power, fewest, normal, means]},
}
json.dump(figures, sys.stdout, separators=(",", ":"))
print()
