// The line as the fit reads it: x(y) through its points by monotone cubic pieces (PCHIP, Fritsch & Butland 1984), the
// first of points at one height. And the skin: heights of its cells, and how hollow it is across.

function pchip(t, v) { // t rises; gives a function, and NaN beyond the ends
  const n = t.length, h = [], m = [], d = new Array(n).fill(0);
  for (let k = 0; k + 1 < n; k++) { h.push(t[k + 1] - t[k]); m.push((v[k + 1] - v[k]) / h[k]); }
  const end = (h0, h1, m0, m1) => {
    const slope = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1);
    if (Math.sign(slope) !== Math.sign(m0)) return 0;
    return Math.sign(m0) !== Math.sign(m1) && Math.abs(slope) > 3 * Math.abs(m0) ? 3 * m0 : slope;
  };
  if (n === 2) d.fill(m[0]);
  for (let k = 1; k + 1 < n; k++) {
    if (m[k - 1] * m[k] <= 0) continue;
    const w1 = 2 * h[k] + h[k - 1], w2 = h[k] + 2 * h[k - 1];
    d[k] = (w1 + w2) / (w1 / m[k - 1] + w2 / m[k]);
  }
  if (n > 2) { d[0] = end(h[0], h[1], m[0], m[1]); d[n - 1] = end(h[n - 2], h[n - 3], m[n - 2], m[n - 3]); }
  return (at) => {
    if (n < 2 || !(at >= t[0] && at <= t[n - 1])) return NaN;
    let k = 0;
    while (k < n - 2 && at > t[k + 1]) k++;
    const s = (at - t[k]) / h[k], r = 1 - s;
    return r * r * ((1 + 2 * s) * v[k] + s * h[k] * d[k]) + s * s * ((3 - 2 * s) * v[k + 1] - r * h[k] * d[k + 1]);
  };
}

function lineCurve(line) { // {low, high, at(y)}; null for less than two heights
  const sorted = line.map((mark, k) => [mark.mm[1], k, mark.mm[0]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const unique = sorted.filter(([y], k) => !k || y > sorted[k - 1][0]);
  if (unique.length < 2) return null;
  return { low: unique[0][0], high: unique.at(-1)[0], at: pchip(unique.map(([y]) => y), unique.map(([, , x]) => x)) };
}

// Few of many points of a line, evenly spread from the top down, whose curve runs within `off_mm` of that through all.
function fewer(line, off_mm) {
  const sorted = [...line].sort((a, b) => b.mm[1] - a.mm[1]);
  for (let count = 6; count <= 14 && count < sorted.length; count++) {
    const chosen = Array.from({ length: count }, (_, k) => sorted[Math.round(k * (sorted.length - 1) / (count - 1))]);
    const curve = lineCurve(chosen);
    const off = curve ? Math.max(...sorted.map(({ mm }) => Math.abs(curve.at(mm[1]) - mm[0]))) : Infinity;
    if (off <= off_mm || count === 14) return chosen;
  }
  return sorted;
}

class Skin { // of heights.bin: z (mm), hollowness (1/m), seen
  constructor({ columns, rows, x_mm, y_mm, step_mm }, buffer) {
    Object.assign(this, { columns, rows, x_mm, y_mm, step_mm });
    const cells = columns * rows;
    [this.z, this.hollow, this.seen] = [0, 1, 2].map((k) => new Float32Array(buffer, 4 * k * cells, cells));
  }

  _sample(values, x, y) { // bilinear; beyond the edge that of the edge
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    const c = clamp((x - this.x_mm) / this.step_mm, this.columns - 1), r = clamp((y - this.y_mm) / this.step_mm, this.rows - 1);
    const c0 = Math.min(Math.floor(c), this.columns - 2), r0 = Math.min(Math.floor(r), this.rows - 2), s = c - c0, t = r - r0;
    const k = r0 * this.columns + c0, n = this.columns;
    return (1 - t) * ((1 - s) * values[k] + s * values[k + 1]) + t * ((1 - s) * values[k + n] + s * values[k + n + 1]);
  }

  height(x, y) { return this._sample(this.z, x, y); }

  isSeen(x, y) {
    const c = Math.round((x - this.x_mm) / this.step_mm), r = Math.round((y - this.y_mm) / this.step_mm);
    return c >= 0 && r >= 0 && c < this.columns && r < this.rows && this.seen[r * this.columns + c] > 0.5;
  }

  // x of the furrow at this height, within `reach` of x; x itself where the skin is not hollow there.
  furrow(x, y, reach = 12, least = 1) {
    const step = 0.5, at = (k) => [-4, 0, 4].reduce((sum, dy) => sum + this._sample(this.hollow, x + k * step, y + dy), 0) / 3;
    const n = Math.round(reach / step);
    let best = -n, most = -1;
    for (let k = -n; k <= n; k++) if (at(k) > most) [best, most] = [k, at(k)];
    return most < least || Math.abs(best) === n ? x : x + best * step;
  }
}
