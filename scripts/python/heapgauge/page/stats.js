// Statistics of paired rounds, as in stats.py: the page computes what it shows from the raw samples, so that
// any backend can be the baseline. Two implementations; tests compare them number by number.
"use strict";

const Stats = (() => {
  const ascending = (a, b) => a - b;

  function median(values) {
    const v = [...values].sort(ascending), half = v.length >> 1;
    return v.length % 2 ? v[half] : (v[half - 1] + v[half]) / 2;
  }

  function mad(values) {
    const centre = median(values);
    return median(values.map((x) => Math.abs(x - centre)));
  }

  // C(n, k) for k = 0, 1, ... as exact integers.
  function* binomials(n) {
    let c = 1n;
    for (let k = 0n; k <= BigInt(n); k++) {
      yield c;
      c = (c * (BigInt(n) - k)) / (k + 1n);
    }
  }

  // The k for which [k-th smallest, k-th largest] covers the median at 95 %; 0 if none does.
  const ranks = new Map();
  function orderRank(count) {
    if (ranks.has(count)) return ranks.get(count);
    let below = 0n, rank = 0, k = 0;
    const tails = 1n << BigInt(count);
    for (const c of binomials(count)) {
      k += 1;
      if (k > count >> 1) break;
      below += c;
      if (40n * below > tails) break; // 2 * below / tails > 5 %
      rank = k;
    }
    ranks.set(count, rank);
    return rank;
  }

  function medianEstimate(values) {
    const v = [...values].sort(ascending), rank = orderRank(v.length);
    return { value: median(v), low: rank ? v[rank - 1] : null, high: rank ? v[v.length - rank] : null, count: v.length };
  }

  function signTest(differences) {
    const above = differences.filter((d) => d > 0).length, below = differences.filter((d) => d < 0).length;
    const n = above + below, fewer = Math.min(above, below);
    if (!n) return 1;
    let tail = 0n, k = 0;
    for (const c of binomials(n)) if (k++ <= fewer) tail += c;
    const share = (2n * tail * (1n << 53n)) / (1n << BigInt(n));
    return Math.min(1, Number(share) / 2 ** 53);
  }

  // Hodges and Lehmann's centre of paired differences: the median of all averages of two.
  function hodgesLehmann(d) {
    const walsh = [];
    for (let i = 0; i < d.length; i++) for (let j = i; j < d.length; j++) walsh.push((d[i] + d[j]) / 2);
    return median(walsh);
  }

  function cliffsDelta(a, b) {
    let sum = 0;
    for (const x of a) for (const y of b) sum += Math.sign(x - y);
    return sum / (a.length * b.length);
  }

  function pairedRatio(mine, theirs) {
    const logs = mine.map((m, i) => Math.log(m / theirs[i])), e = medianEstimate(logs);
    return { value: Math.exp(e.value), low: e.low === null ? null : Math.exp(e.low),
             high: e.high === null ? null : Math.exp(e.high), pairs: logs.length, p: signTest(logs), logs,
             hodgesLehmann: Math.exp(hodgesLehmann(logs)), cliffsDelta: cliffsDelta(mine, theirs) };
  }

  function holm(p) {
    const order = p.map((_, i) => i).sort((a, b) => p[a] - p[b]), adjusted = [];
    let highest = 0;
    order.forEach((index, step) => {
      highest = Math.max(highest, Math.min(1, (p.length - step) * p[index]));
      adjusted[index] = highest;
    });
    return adjusted;
  }

  function verdictWord(ratio, pAdjusted, floor, margin, words) {
    if (ratio.low === null) return "inconclusive";
    if (1 - margin <= ratio.low && ratio.high <= 1 + margin) return "equivalent";
    const proven = (ratio.low > 1 || ratio.high < 1) && pAdjusted < 0.05;
    const beyondNoise = floor === null || Math.max(ratio.value, 1 / ratio.value) - 1 > floor;
    return proven && beyondNoise ? (ratio.value < 1 ? words[0] : words[1]) : "inconclusive";
  }

  // Geometric mean of median ratios, interval from whole rounds drawn again; seeded, so it never flickers.
  function geometricMean(table, seed, resamples = 1000) {
    const rounds = Math.min(...table.map((row) => row.length));
    const rows = table.map((row) => row.slice(0, rounds));
    const mean = (t) => t.reduce((sum, row) => sum + median(row), 0) / t.length;
    const value = Math.exp(mean(rows));
    if (rounds < 6) return { value, low: null, high: null };
    let state = seed >>> 0;
    const random = () => { // mulberry32
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const means = [];
    for (let i = 0; i < resamples; i++) {
      const drawn = Array.from({ length: rounds }, () => Math.floor(random() * rounds));
      means.push(mean(rows.map((row) => drawn.map((j) => row[j]))));
    }
    means.sort(ascending);
    const quantile = (q) => {
      const at = q * (means.length - 1), i = Math.floor(at);
      return means[i] + (at - i) * ((means[i + 1] ?? means[i]) - means[i]);
    };
    return { value, low: Math.exp(quantile(0.025)), high: Math.exp(quantile(0.975)) };
  }

  return { median, mad, orderRank, medianEstimate, signTest, hodgesLehmann, cliffsDelta, pairedRatio, holm,
           verdictWord, geometricMean };
})();
