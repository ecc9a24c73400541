
// Polygons in shares of the picture, 0 to 1: plain functions that change nothing they are given.
const clamp = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1e4) / 1e4;
const near = (a, b, frame) => Math.hypot((a[0] - b[0]) * frame.width, (a[1] - b[1]) * frame.height);

function moved(polygon, index, point) {
  return polygon.map((old, k) => (k === index ? [clamp(point[0]), clamp(point[1])] : old));
}

function inserted(polygon, after, point) {
  return [...polygon.slice(0, after + 1), [clamp(point[0]), clamp(point[1])], ...polygon.slice(after + 1)];
}

function without(polygon, index) {
  return polygon.length > 3 ? polygon.filter((_, k) => k !== index) : polygon;
}

function shifted(polygon, dx, dy) { // as a whole, until its first point meets the edge
  const xs = polygon.map((point) => point[0]), ys = polygon.map((point) => point[1]);
  const x = Math.min(1 - Math.max(...xs), Math.max(-Math.min(...xs), dx));
  const y = Math.min(1 - Math.max(...ys), Math.max(-Math.min(...ys), dy));
  return polygon.map((point) => [clamp(point[0] + x), clamp(point[1] + y)]);
}

function middle(a, b) { return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]; }

function crosses(polygon) { // whether two edges that do not touch meet
  const side = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
  const n = polygon.length;
  for (let i = 0; i < n; i++) {
    for (let j = i + 2; j < n; j++) {
      if (i === 0 && j === n - 1) continue;
      const [a, b, c, d] = [polygon[i], polygon[i + 1], polygon[j], polygon[(j + 1) % n]];
      if (side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) return true;
    }
  }
  return false;
}
