// Reads a binary glTF 2.0 (Khronos): triangles in the scene's frame with normals, texture coordinates, colours and
// their textures. What it cannot read it names in an Error for people.
"use strict";

const GLB_TYPES = {5120: Int8Array, 5121: Uint8Array, 5122: Int16Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array};
const GLB_FULL_SCALE = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535};
const GLB_COUNTS = {SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4};
const GLB_READ_EXTENSIONS = ["KHR_materials_unlit", "KHR_texture_transform"];

// {parts: [{positions, normals, uvs, colours, count, material}], materials, images, faces, vertices, low, high}:
// three corners a face, one after the other, so that a corner's number says where in its face it is.
function readGlb(bytes) {
  const {tree, binary} = glbChunks(bytes);
  const unknown = (tree.extensionsRequired ?? []).filter((name) => !GLB_READ_EXTENSIONS.includes(name));
  if (unknown.length) throw new Error(`the model needs ${unknown.join(", ")}, which this page cannot read`);
  const model = {parts: [], faces: 0, vertices: 0, low: [Infinity, Infinity, Infinity], high: [-Infinity, -Infinity, -Infinity]};
  const scene = tree.scenes?.[tree.scene ?? 0];
  const roots = scene?.nodes ?? (tree.nodes ?? []).map((_, number) => number);
  const visit = (number, above) => {
    const node = tree.nodes[number], T = matrixProduct(above, nodeMatrix(node));
    for (const primitive of tree.meshes?.[node.mesh]?.primitives ?? []) addPrimitive(model, tree, binary, primitive, T);
    for (const child of node.children ?? []) visit(child, T);
  };
  for (const root of roots) visit(root, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
  if (!model.faces) throw new Error("the model has no triangles");
  model.materials = (tree.materials ?? []).map((material) => readMaterial(tree, material));
  model.images = (tree.images ?? []).map((image) => readImage(tree, binary, image));
  return model;
}

function glbChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 20 || view.getUint32(0, true) !== 0x46546c67 || view.getUint32(4, true) !== 2) {
    throw new Error("this is no binary glTF 2.0");
  }
  let tree = null, binary = new Uint8Array(0);
  for (let at = 12; at + 8 <= bytes.byteLength;) {
    const length = view.getUint32(at, true), kind = view.getUint32(at + 4, true);
    if (at + 8 + length > bytes.byteLength) throw new Error("the model is cut off");
    const chunk = bytes.subarray(at + 8, at + 8 + length);
    if (kind === 0x4e4f534a) tree = JSON.parse(new TextDecoder().decode(chunk));
    else if (kind === 0x004e4942) binary = chunk;
    at += 8 + length;
  }
  if (!tree) throw new Error("the model has no JSON part");
  return {tree, binary};
}

function addPrimitive(model, tree, binary, primitive, T) {
  if ((primitive.mode ?? 4) !== 4) return; // points and lines are no surface
  const names = primitive.attributes;
  const points = readAccessor(tree, binary, names.POSITION);
  const vertices = points.length / 3;
  const indices = primitive.indices === undefined
    ? Uint32Array.from({length: vertices}, (_, i) => i) : readAccessor(tree, binary, primitive.indices);
  const count = indices.length - indices.length % 3;
  const wanted = (name) => names[name] === undefined ? null : readAccessor(tree, binary, names[name]);
  const given = wanted("NORMAL") ?? smoothNormals(points, indices);
  const colours = wanted("COLOR_0"), width = colours ? colours.length / vertices : 0;
  const flips = determinant(T) < 0; // a mirror turns faces around
  const N = normalMatrix(T);
  const corner = (i) => indices[flips ? i - i % 3 + 2 - i % 3 : i];
  const part = {
    count, positions: new Float32Array(3 * count), normals: new Float32Array(3 * count), uvs: null,
    colours: colours && new Float32Array(4 * count).fill(1), material: primitive.material ?? -1,
  };
  const coordinates = textureCoordinates(tree, primitive, wanted);
  if (coordinates) part.uvs = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const from = corner(i);
    if (from >= vertices) throw new Error("a triangle of the model names a vertex that is not there");
    for (let row = 0; row < 3; row++) {
      let place = T[12 + row];
      for (let k = 0; k < 3; k++) place += T[4 * k + row] * points[3 * from + k];
      part.positions[3 * i + row] = place;
      if (place < model.low[row]) model.low[row] = place;
      if (place > model.high[row]) model.high[row] = place;
    }
    const [x, y, z] = given.subarray(3 * from, 3 * from + 3);
    const normal = [0, 1, 2].map((row) => N[row] * x + N[3 + row] * y + N[6 + row] * z);
    const length = Math.hypot(...normal) || 1;
    for (let row = 0; row < 3; row++) part.normals[3 * i + row] = normal[row] / length;
    if (coordinates) part.uvs.set(coordinates.subarray(2 * from, 2 * from + 2), 2 * i);
    for (let k = 0; k < width; k++) part.colours[4 * i + k] = colours[width * from + k];
  }
  model.parts.push(part);
  model.faces += count / 3;
  model.vertices += vertices;
}

// Numbers of an accessor, close together; whole numbers that stand for shares become shares.
function readAccessor(tree, binary, number) {
  const accessor = tree.accessors[number], Kind = GLB_TYPES[accessor.componentType], width = GLB_COUNTS[accessor.type];
  if (!Kind || !width) throw new Error(`the model has numbers of an unknown kind (${accessor.type}, ${accessor.componentType})`);
  if (accessor.sparse) throw new Error("the model has sparse numbers, which this page cannot read");
  const size = Kind.BYTES_PER_ELEMENT, out = new Kind(accessor.count * width);
  if (accessor.bufferView === undefined) return out;
  const view = tree.bufferViews[accessor.bufferView];
  refuseOutside(tree, view);
  const start = (view.byteOffset ?? 0) + (accessor.byteOffset ?? 0), stride = view.byteStride ?? size * width;
  if (start + stride * (accessor.count - 1) + size * width > binary.byteLength) throw new Error("the model is cut off");
  const target = new Uint8Array(out.buffer);
  if (stride === size * width) target.set(binary.subarray(start, start + target.length));
  else for (let i = 0; i < accessor.count; i++) {
    target.set(binary.subarray(start + i * stride, start + i * stride + size * width), i * size * width);
  }
  if (!accessor.normalized) return out;
  return Float32Array.from(out, (value) => Math.max(value / GLB_FULL_SCALE[accessor.componentType], -1));
}

function refuseOutside(tree, view) {
  if ((view.buffer ?? 0) !== 0 || tree.buffers?.[0]?.uri) throw new Error("the model keeps its numbers in another file");
}

function textureCoordinates(tree, primitive, wanted) {
  const texture = tree.materials?.[primitive.material]?.pbrMetallicRoughness?.baseColorTexture;
  if (!texture) return null;
  const change = texture.extensions?.KHR_texture_transform;
  const uvs = wanted(`TEXCOORD_${change?.texCoord ?? texture.texCoord ?? 0}`);
  if (!uvs || !change) return uvs;
  const [sx, sy] = change.scale ?? [1, 1], [ox, oy] = change.offset ?? [0, 0], turn = change.rotation ?? 0;
  const [s, c] = [Math.sin(turn), Math.cos(turn)], out = new Float32Array(uvs.length);
  for (let i = 0; i < uvs.length; i += 2) {
    const [u, v] = [sx * uvs[i], sy * uvs[i + 1]];
    [out[i], out[i + 1]] = [c * u + s * v + ox, -s * u + c * v + oy];
  }
  return out;
}

function readMaterial(tree, material) {
  const base = material.pbrMetallicRoughness ?? {}, texture = tree.textures?.[base.baseColorTexture?.index];
  const sampler = tree.samplers?.[texture?.sampler] ?? {};
  return {
    factor: base.baseColorFactor ?? [1, 1, 1, 1],
    image: texture?.source ?? -1,
    repeat: [sampler.wrapS ?? 10497, sampler.wrapT ?? 10497],
    isUnlit: Boolean(material.extensions?.KHR_materials_unlit),
    cutoff: material.alphaMode === "MASK" ? material.alphaCutoff ?? 0.5 : 0,
    isTranslucent: material.alphaMode === "BLEND",
  };
}

function readImage(tree, binary, image) {
  if (image.bufferView === undefined) throw new Error("the model keeps its texture in another file");
  const view = tree.bufferViews[image.bufferView];
  refuseOutside(tree, view);
  return {bytes: binary.subarray(view.byteOffset ?? 0, (view.byteOffset ?? 0) + view.byteLength), type: image.mimeType ?? ""};
}

// Of vertices at one place together (seams of a texture do not show), by the areas of their faces.
function smoothNormals(points, indices) {
  const first = new Map(), same = new Uint32Array(points.length / 3), sums = new Float64Array(points.length);
  for (let i = 0; i < same.length; i++) {
    const key = `${points[3 * i]},${points[3 * i + 1]},${points[3 * i + 2]}`;
    if (!first.has(key)) first.set(key, i);
    same[i] = first.get(key);
  }
  for (let i = 0; i + 2 < indices.length; i += 3) {
    const [a, b, c] = [indices[i], indices[i + 1], indices[i + 2]].map((n) => points.subarray(3 * n, 3 * n + 3));
    if (c.length < 3 || b.length < 3 || a.length < 3) continue; // refused where it is used
    const [ux, uy, uz] = [b[0] - a[0], b[1] - a[1], b[2] - a[2]], [vx, vy, vz] = [c[0] - a[0], c[1] - a[1], c[2] - a[2]];
    const normal = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
    for (let k = 0; k < 3; k++) for (let row = 0; row < 3; row++) sums[3 * same[indices[i + k]] + row] += normal[row];
  }
  const out = new Float32Array(points.length);
  for (let i = 0; i < same.length; i++) {
    const at = 3 * same[i], length = Math.hypot(sums[at], sums[at + 1], sums[at + 2]) || 1;
    for (let row = 0; row < 3; row++) out[3 * i + row] = sums[at + row] / length;
  }
  return out;
}

// Matrices of nodes are 16 numbers by columns, as glTF has them.
function nodeMatrix(node) {
  if (node.matrix) return node.matrix;
  const [x, y, z, w] = node.rotation ?? [0, 0, 0, 1], [a, b, c] = node.scale ?? [1, 1, 1], t = node.translation ?? [0, 0, 0];
  return [
    a * (1 - 2 * (y * y + z * z)), a * 2 * (x * y + z * w), a * 2 * (x * z - y * w), 0,
    b * 2 * (x * y - z * w), b * (1 - 2 * (x * x + z * z)), b * 2 * (y * z + x * w), 0,
    c * 2 * (x * z + y * w), c * 2 * (y * z - x * w), c * (1 - 2 * (x * x + y * y)), 0,
    t[0], t[1], t[2], 1,
  ];
}

function matrixProduct(A, B) {
  return Array.from({length: 16}, (_, i) => [0, 1, 2, 3].reduce((sum, k) => sum + A[4 * k + i % 4] * B[4 * (i >> 2) + k], 0));
}

const cofactor = (T, row, column) => {
  const at = (i, j) => T[4 * ((column + j) % 3) + (row + i) % 3];
  return at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1);
};
const determinant = (T) => [0, 1, 2].reduce((sum, column) => sum + T[4 * column] * cofactor(T, 0, column), 0);

// Normals turn by the cofactors: right under unequal scales too. 9 numbers by columns, of any length.
function normalMatrix(T) {
  const sign = determinant(T) < 0 ? -1 : 1;
  return Array.from({length: 9}, (_, i) => sign * cofactor(T, i % 3, Math.floor(i / 3)));
}
