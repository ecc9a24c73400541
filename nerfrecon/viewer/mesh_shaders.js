// What the graphics processor does for the page of a mesh. Textures hold sRGB as it was fitted to photographs and
// are filtered as such, so that a photographed surface is shown to the bit; light is added up in linear light.
"use strict";

const SURFACE_VERTEX = `#version 300 es
uniform mat4 clip_from_world;
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec2 uv;
layout(location = 3) in vec4 colour;
out vec3 at;
out vec3 facing;
out vec2 place;
out vec4 tint;
out vec3 corner; // shares of the face's three corners
void main() {
  at = position;
  facing = normal;
  place = uv;
  tint = colour;
  int number = gl_VertexID % 3;
  corner = vec3(number == 0, number == 1, number == 2);
  gl_Position = clip_from_world * vec4(position, 1.0);
}`;

const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec4 factor;      // linear light
uniform float cutoff;     // of alpha
uniform int surface;      // 0 as photographed, 1 under studio light, 2 clay
uniform bool is_plain;    // nothing changes the texture's colours
uniform bool is_opaque;
uniform vec3 eye;
uniform vec3 key, fill, rim; // unit vectors towards three lamps
uniform vec4 wire;        // sRGB, and how strong; 0 for none
uniform float line_px;
in vec3 at;
in vec3 facing;
in vec2 place;
in vec4 tint;
in vec3 corner;
out vec4 pixel;

vec3 linear(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
vec3 encoded(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(c * 12.92, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

vec3 lit(vec3 albedo, vec3 n, vec3 to_eye) {
  vec3 sky = mix(vec3(0.27, 0.25, 0.24), vec3(0.56, 0.58, 0.61), 0.5 + 0.5 * n.y);
  if (surface == 2) sky *= 0.55; // a shape alone is read by its shadows
  float wrapped = max((dot(n, key) + 0.2) / 1.2, 0.0);
  vec3 light = sky + vec3(0.72, 0.69, 0.65) * wrapped + vec3(0.13, 0.15, 0.18) * max(dot(n, fill), 0.0);
  float edge = pow(1.0 - max(dot(n, to_eye), 0.0), 3.0);
  vec3 shine = vec3(0.05 * pow(max(dot(n, normalize(key + to_eye)), 0.0), 28.0));
  return albedo * light + shine + 0.18 * edge * max(dot(n, rim), 0.0);
}

void main() {
  vec4 texel = texture(picture, place);
  vec4 shown = texel;
  float alpha = is_opaque ? 1.0 : texel.a * factor.a * tint.a;
  if (alpha < cutoff) discard;
  vec3 to_eye = normalize(eye - at);
  if (surface == 2) texel.rgb = vec3(0.85, 0.83, 0.80);
  if (surface > 0 || !is_plain) {
    vec3 albedo = linear(texel.rgb);
    if (surface < 2) albedo *= factor.rgb * tint.rgb;
    vec3 n = normalize(facing);
    if (dot(n, to_eye) < 0.0 && !gl_FrontFacing) n = -n;
    shown.rgb = encoded(surface == 0 ? albedo : lit(albedo, n, to_eye));
  }
  if (wire.a > 0.0) {
    vec3 step_px = fwidth(corner);
    vec3 away = smoothstep(step_px * (line_px * 0.5 - 0.5), step_px * (line_px * 0.5 + 0.5), corner);
    float line = 1.0 - min(min(away.x, away.y), away.z);
    float small = smoothstep(0.15, 0.7, max(max(step_px.x, step_px.y), step_px.z)); // faces of a pixel or two
    shown.rgb = mix(shown.rgb, wire.rgb, wire.a * line * mix(1.0, 0.3, small));
  }
  if (cutoff > 0.0) alpha = 1.0;
  pixel = vec4(shown.rgb * alpha, alpha);
}`;

// The object from below: how near the ground it is, sharply and softly.
const UNDERSIDE_VERTEX = `#version 300 es
uniform vec4 square; // middle x and z, half its side, height of the ground
uniform float height;
layout(location = 0) in vec3 position;
out float above;
void main() {
  above = (position.y - square.w) / height;
  gl_Position = vec4((position.xz - square.xy) / square.z, above * 2.0 - 1.0, 1.0);
}`;

const UNDERSIDE_FRAGMENT = `#version 300 es
precision highp float;
in float above;
out vec4 pixel;
void main() { pixel = vec4(exp(-above * 22.0), exp(-above * 2.6), 0.0, 1.0); }`;

const SCREEN_VERTEX = `#version 300 es
out vec2 place;
void main() {
  place = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(place * 2.0 - 1.0, 0.0, 1.0);
}`;

const BLUR_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform vec2 way; // one pixel along, in shares of the picture
in vec2 place;
out vec4 pixel;
void main() {
  vec2 sum = vec2(0.0);
  float weights = 0.0;
  for (int i = -16; i <= 16; i++) {
    float far = float(i), weight = exp(-far * far / 72.0);
    sum += weight * vec2(texture(picture, place + way * far * 0.4).r, texture(picture, place + way * far * 1.5).g);
    weights += weight;
  }
  pixel = vec4(sum / weights, 0.0, 1.0);
}`;

const GROUND_VERTEX = `#version 300 es
uniform mat4 clip_from_world;
uniform vec4 square;
out vec2 place;
void main() {
  place = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 xz = square.xy + square.z * (place * 2.0 - 1.0);
  gl_Position = clip_from_world * vec4(xz.x, square.w, xz.y, 1.0);
}`;

const GROUND_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D picture;
uniform float strength;
in vec2 place;
out vec4 pixel;
void main() {
  vec2 dark = texture(picture, place).rg;
  vec2 edge = min(place, 1.0 - place);
  float fade = smoothstep(0.0, 0.12, min(edge.x, edge.y));
  float alpha = strength * fade * (0.34 * dark.r + 0.30 * dark.g);
  pixel = vec4(vec3(0.05, 0.06, 0.09) * alpha, alpha);
}`;

const LINE_VERTEX = `#version 300 es
uniform mat4 clip_from_world;
layout(location = 0) in vec3 position;
void main() { gl_Position = clip_from_world * vec4(position, 1.0); }`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 colour;
out vec4 pixel;
void main() { pixel = vec4(colour.rgb * colour.a, colour.a); }`;
