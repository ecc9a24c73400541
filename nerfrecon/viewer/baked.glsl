#version 300 es
// One pixel of a baked model: the march of nerfrecon/bake/render.py, step by step.
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;

uniform usampler3D distances;   // of groups of 4^3 cells, in groups
uniform usampler3D slots;       // of blocks of 8^3 cells, from 1; 0: none
uniform sampler3D seen;         // code, red, green, blue
uniform sampler3D features;
uniform float side;             // voxels along the cube
uniform ivec3 across;           // slots along each axis of the volumes
uniform float stride, stop, low, span;
uniform vec3 origin;            // in voxels
uniform mat3 turned;            // camera to cube
uniform vec4 lens;              // fx, fy, cx, cy
uniform float height;
uniform vec4 behind;            // alpha 0: leave it to the page
uniform bool counting;
uniform mat4 first[16], second[16], last[4];
uniform vec4 firstBias[4], secondBias[4], lastBias;
out vec4 colour;

const float PARALLEL = 1e-7, SLACK = 1e-3, GROUP = 4.0, BLOCK = 8.0, APRON = 9.0;

// What is added for opacity 1, from sums along the ray and its direction.
vec3 shaded(vec3 diffuse, vec4 summed, float opacity, vec3 d) {
  vec4 f = 2.0 * summed - opacity;
  vec4 x[4], h[4];
  x[0] = vec4(diffuse, f.x);
  x[1] = vec4(f.yzw, 0.28209479177387814);
  x[2] = vec4(-0.48860251190291987 * d.y, 0.48860251190291987 * d.z, -0.48860251190291987 * d.x, 1.0925484305920792 * d.x * d.y);
  x[3] = vec4(-1.0925484305920792 * d.y * d.z, 0.31539156525251999 * (3.0 * d.z * d.z - 1.0), -1.0925484305920792 * d.x * d.z,
      0.54627421529603959 * (d.x * d.x - d.y * d.y));
  for (int i = 0; i < 4; i++) {
    h[i] = firstBias[i];
    for (int j = 0; j < 4; j++) h[i] += first[4 * i + j] * x[j];
    h[i] = max(h[i], 0.0);
  }
  for (int i = 0; i < 4; i++) {
    x[i] = secondBias[i];
    for (int j = 0; j < 4; j++) x[i] += second[4 * i + j] * h[j];
    x[i] = max(x[i], 0.0);
  }
  vec4 added = lastBias;
  for (int j = 0; j < 4; j++) added += last[j] * x[j];
  return added.rgb;
}

void main() {
  vec2 pixel = vec2(gl_FragCoord.x - 0.5, height - 0.5 - gl_FragCoord.y);
  vec3 way = normalize(turned * vec3((pixel - lens.zw) / lens.xy, 1.0));
  vec3 d = mix(way, vec3(PARALLEL), lessThan(abs(way), vec3(PARALLEL)));
  vec3 enter = (0.0 - origin) / d, leave = (side - 1.0 - origin) / d;
  vec3 nearer = min(enter, leave), farther = max(enter, leave);
  float t0 = max(max(max(nearer.x, nearer.y), nearer.z), 0.0) + 0.5 * stride;
  float t1 = min(min(farther.x, farther.y), farther.z);
  float lowest = exp(low), clear = 1.0, k = 0.0;
  vec3 diffuse = vec3(0.0), size = APRON * vec3(across);
  vec4 summed = vec4(0.0);
  int steps = 0, reads = 0;
  vec3 groups = vec3(side / GROUP - 1.0);
  for (; steps < 4096; steps++) {
    float t = t0 + k * stride;
    if (t >= t1 || clear < stop) break;
    vec3 p = origin + t * d, group = clamp(floor(p / GROUP), vec3(0.0), groups);
    float apart = float(texelFetch(distances, ivec3(group), 0).r);
    reads++;
    if (apart > 0.0) {  // to the far side of the groups that are known to be empty
      vec3 ends = GROUP * mix(group - (apart - 1.0), group + apart, greaterThan(d, vec3(0.0)));
      vec3 out_ = (ends - origin) / d;
      k = max(k + 1.0, ceil((min(min(out_.x, out_.y), out_.z) - t0) / stride - SLACK));
      continue;
    }
    k += 1.0;
    vec3 base = clamp(floor(p), vec3(0.0), vec3(side - 2.0)), block = floor(base / BLOCK);
    int slot = int(texelFetch(slots, ivec3(block), 0).r) - 1;
    reads++;
    if (slot < 0) continue;
    ivec3 place = ivec3(slot % across.x, slot / across.x % across.y, slot / (across.x * across.y));
    vec3 texel = (APRON * vec3(place) + p - BLOCK * block + 0.5) / size;
    vec4 value = textureLod(seen, texel, 0.0);
    reads++;
    if (value.r <= 0.0) continue;
    float opaque = 1.0 - exp(-stride * lowest * (exp(span * value.r) - 1.0)), weight = clear * opaque;
    diffuse += weight * value.gba;
    summed += weight * textureLod(features, texel, 0.0);
    reads++;
    clear *= 1.0 - opaque;
  }
  if (counting) {
    colour = vec4(steps % 256, steps / 256, reads % 256, reads / 256) / 255.0;
    return;
  }
  float opacity = 1.0 - clear;
  vec3 lit = diffuse + (opacity > 0.0 ? opacity * shaded(diffuse, summed, opacity, way) : vec3(0.0));
  colour = behind.a > 0.0 ? vec4(clamp(lit + clear * behind.rgb, 0.0, 1.0), 1.0) : vec4(clamp(lit, 0.0, 1.0), opacity);
}
