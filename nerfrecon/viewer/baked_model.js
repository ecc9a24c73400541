// A baked model's file (nerfrecon/bake/file.py) as volumes that the shader reads.
"use strict";

const BLOCK = 8, APRON = 9, GROUP = 4;

async function readBaked(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), text = new TextDecoder();
  if (bytes.length < 12 || text.decode(bytes.subarray(0, 8)) !== "NRBAKED1") throw new Error("the page holds no baked model");
  const start = 12 + view.getUint32(8, true), header = JSON.parse(text.decode(bytes.subarray(12, start)));
  if (header.version !== 1) throw new Error(`the model is of version ${header.version}`);
  const streams = {};
  for (const [name, told] of Object.entries(header.streams)) {
    streams[name] = await inflated(bytes.subarray(start + told.at, start + told.at + told.bytes));
    if (streams[name].length !== told.plain) throw new Error(`the model is damaged (${name})`);
  }
  return {header, distance: streams.distance, ...volumes(header, streams)};
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Blocks with their aprons, side by side in two volumes of 4 bytes a texel.
function volumes({resolution, blocks, voxels}, {active, kept, values}) {
  const b = resolution / BLOCK, slot = new Uint16Array(b ** 3), cells = [];
  for (let i = 0; i < b ** 3; i++) if (active[i >> 3] >> (i & 7) & 1) { cells.push(i); slot[i] = cells.length; }
  if (cells.length !== blocks) throw new Error("the model is damaged (blocks)");
  const row = new Int32Array(512 * (blocks + 1));
  let count = 0;
  for (let i = 0; i < 512 * blocks; i++) if (kept[i >> 3] >> (i & 7) & 1) row[512 + i] = ++count;
  if (count !== voxels) throw new Error("the model is damaged (voxels)");
  const plain = new Uint8Array(8 * (voxels + 1)); // row 0 is nothing
  for (let channel = 0; channel < 8; channel++) {
    let value = 0;
    for (let i = 0; i < voxels; i++) plain[8 * (i + 1) + channel] = value = (value + values[channel * voxels + i]) & 255;
  }
  const x = Math.max(1, Math.ceil(Math.cbrt(blocks))), across = [x, x, Math.max(1, Math.ceil(blocks / x / x))];
  const [width, height, depth] = across.map((n) => n * APRON), words = new Uint32Array(plain.buffer);
  const seen = new Uint32Array(width * height * depth), features = new Uint32Array(seen.length);
  cells.forEach((cell, number) => {
    const bx = cell % b, by = Math.floor(cell / b) % b, bz = Math.floor(cell / b / b);
    const corner = ((Math.floor(number / x / x) * height + Math.floor(number / x) % x) * width + number % x) * APRON;
    const near = [];
    for (let i = 0; i < 8; i++) {
      const [nx, ny, nz] = [bx + (i & 1), by + (i >> 1 & 1), bz + (i >> 2)];
      near.push(nx < b && ny < b && nz < b ? 512 * slot[(nz * b + ny) * b + nx] : 0);
    }
    for (let z = 0; z < APRON; z++) for (let y = 0; y < APRON; y++) for (let u = 0; u < APRON; u++) {
      const which = (u >> 3) + 2 * (y >> 3) + 4 * (z >> 3);
      const from = row[near[which] + ((z & 7) * BLOCK + (y & 7)) * BLOCK + (u & 7)];
      const to = corner + (z * height + y) * width + u;
      seen[to] = words[2 * from];
      features[to] = words[2 * from + 1];
    }
  });
  return {slot, across, seen: new Uint8Array(seen.buffer), features: new Uint8Array(features.buffer)};
}
