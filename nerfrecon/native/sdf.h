// The signed distance along rays: f and its sections front to back, differences where they count, colour.
//
//     L(x) = log Phi(s f(x))     tau_i = max(L_i - L_{i+1}, 0) where sample i+1 follows without a gap
//     tau of a ray's first sample is greater by -L: the section that enters (fields/sdf.py)
//
// Weights come of tau as in density.h. Normals and colours are computed of samples that carry weight, and of a
// few that were drawn; the others are clear to the colour, and to the differences they are not there.
#pragma once

#include "density.h"
#include "sdf_field.h"

namespace {

using nerf::SdfField;
using nerf::SdfUnit;
using nerf::kCorners;

constexpr float kTetrahedron[kCorners][3] = {{1, -1, -1}, {-1, -1, 1}, {-1, 1, -1}, {1, 1, 1}};

inline int used_columns(const SdfField& field) { return nerf::kPlace + nerf::kFeatures * field.grid.active; }
inline int padded_columns(const SdfField& field) { return (used_columns(field) + W - 1) / W * W; }

// Network inputs of n points: [2x - 1, 1, grid], zeros up to a multiple of W.
inline void encode_places(const SdfField& field, const float* x, const float* y, const float* z, int n, float* out) {
    const int e = field.layers.encoded, used = used_columns(field), padded = padded_columns(field);
    encode_levels(field.grid, x, y, z, n, out + nerf::kPlace, e);
    for (int s = 0; s < n; s++) {
        float* row = out + size_t(e) * s;
        row[0] = 2.0f * x[s] - 1.0f, row[1] = 2.0f * y[s] - 1.0f, row[2] = 2.0f * z[s] - 1.0f, row[3] = 1.0f;
        for (int c = used; c < padded; c++) row[c] = 0.0f;
    }
}

inline float sphere(const SdfField& field, float x, float y, float z) {
    const float dx = x - field.centre[0], dy = y - field.centre[1], dz = z - field.centre[2];
    return __builtin_sqrtf(dx * dx + dy * dy + dz * dz + 1e-8f) - field.radius;
}

// f of n points from their inputs, through the first row of the last layer only.
inline void distances(const SdfField& field, const float* x, const float* y, const float* z, int n,
                      const float* encoded, float* hidden, float* f) {
    product<After::relu>({encoded, field.packed + field.layers.sdf0, hidden, field.layers.encoded, kHidden, kHidden,
                          used_columns(field)}, n, kHidden);
    const float* w = field.weights + field.layers.sdf1;
    for (int s = 0; s < n; s++) {
        vf sum = {};
        for (int c = 0; c < kHidden; c += W) sum += load(hidden + size_t(kHidden) * s + c) * load(w + c);
        float whole = 0.0f;
        for (int j = 0; j < W; j++) whole += sum[j];
        f[s] = whole + sphere(field, x[s], y[s], z[s]);
    }
}

inline void sdf_values(const SdfField& field, SdfUnit& u, int n) {
    encode_places(field, u.x, u.y, u.z, n, u.encoded);
    distances(field, u.x, u.y, u.z, n, u.encoded, u.hidden1, u.f);
}

// Outputs, f and L of samples from .. from + n - 1.
inline void evaluate_samples(const SdfField& field, SdfUnit& u, int from, int n) {
    const int e = field.layers.encoded;
    float* encoded = u.encoded + size_t(from) * e;
    float* hidden = u.hidden1 + size_t(from) * kHidden;
    float* outputs = u.outputs + size_t(from) * kOutputs;
    encode_places(field, u.x + from, u.y + from, u.z + from, n, encoded);
    product<After::relu>({encoded, field.packed + field.layers.sdf0, hidden, e, kHidden, kHidden, used_columns(field)},
                         n, kHidden);
    product<After::nothing>({hidden, field.packed + field.layers.sdf1, outputs, kHidden, kOutputs, kOutputs, kHidden},
                            n, kOutputs);
    for (int s = from; s < from + n; s++)
        u.f[s] = u.outputs[size_t(kOutputs) * s] + sphere(field, u.x[s], u.y[s], u.z[s]);
    for (int s = from; s < from + n; s += W) {  // log sigmoid(a) = min(a, 0) - log(1 + e^-|a|)
        const vf a = load(u.f + s) * field.sharpness;
        vf small = exponential(-max(a, -a));
        for (int j = 0; j < W; j++) small[j] = __builtin_log1pf(small[j]);
        store(u.logarithm + s, a != a ? a : min(a, vf{}) - small);  // NaN stays NaN: the step is refused
    }
}

inline void move_looked(const SdfField& field, SdfUnit& u, int to, int from) {
    const int e = field.layers.encoded;
    u.x[to] = u.x[from], u.y[to] = u.y[from], u.z[to] = u.z[from];
    u.ts[to] = u.ts[from], u.dts[to] = u.dts[from], u.ray[to] = u.ray[from];
    u.f[to] = u.f[from], u.logarithm[to] = u.logarithm[from];
    std::memcpy(u.encoded + size_t(to) * e, u.encoded + size_t(from) * e, e * sizeof(float));
    std::memcpy(u.hidden1 + size_t(to) * kHidden, u.hidden1 + size_t(from) * kHidden, kHidden * sizeof(float));
    std::memcpy(u.outputs + size_t(to) * kOutputs, u.outputs + size_t(from) * kOutputs, kOutputs * sizeof(float));
}

// All rounds: fills what was looked at with transmittance and weight, and u.rest.
inline void sections(const SdfField& field, SdfUnit& u, float stop) {
    const float end = stop > 0.0f ? -__builtin_logf(stop) : 3.4e38f;
    int live = 0, ends = 0;
    u.kept = 0;  // counts what was looked at until the rays are done, as gather_round wants it
    for (int r = 0; r < u.rays; r++) {
        u.cursor[r] = u.first[r];
        u.rest[r] = 0.0f;
        u.last[r] = -1;
        if (u.first[r + 1] > u.first[r]) u.live[live++] = r;
    }
    while (live > 0) {
        int depth = (kRound + live - 1) / live;
        depth = depth < kLeast ? kLeast : depth > kMost ? kMost : depth;
        const int n = gather_round(u, live, depth);
        evaluate_samples(field, u, u.kept, n);
        int read = u.kept, write = u.kept, still = 0;
        for (int a = 0; a < live; a++) {
            const int r = u.live[a], left = u.first[r + 1] - u.cursor[r], take = left < depth ? left : depth;
            float thickness = u.rest[r];
            int last = u.last[r];
            bool ended = false;
            for (int j = 0; j < take && !ended; j++, write++) {
                if (write != read + j) move_looked(field, u, write, read + j);
                u.wanted[write] = u.drawn[u.cursor[r] + j];
                u.tau[write] = 0.0f;
                u.before[write] = last < 0 ? nerf::kFirst : u.ts[write] <= u.ts[last] + u.dts[last] ? last : nerf::kGap;
                if (u.before[write] >= 0) {
                    const float fall = u.logarithm[last] - u.logarithm[write];
                    if (!(fall <= 0.0f)) u.tau[last] += fall, thickness += fall;
                }
                u.through[write] = thickness;
                ended = thickness > end;
                u.counts[write] = !ended;
                ends += ended;
                if (last < 0) {
                    u.tau[write] = -u.logarithm[write];
                    thickness -= u.logarithm[write];
                }
                last = write;
            }
            u.rest[r] = thickness;
            u.last[r] = last;
            read += take;
            u.cursor[r] += take;
            if (!ended && u.cursor[r] < u.first[r + 1]) u.live[still++] = r;
        }
        u.kept = write;
        live = still;
    }
    u.looked = u.kept;
    u.kept -= ends;
    for (int s = 0; s < u.looked; s += W) {
        const vf through = exponential(-load(u.through + s)), tau = load(u.tau + s);
        const vf weight = through * absorbed(tau, exponential(-tau));
        store(u.through + s, through);
        store(u.weight + s, tau != tau ? tau : weight);
    }
    for (int r = 0; r < u.rays; r += W) store(u.rest + r, exponential(-load(u.rest + r)));
}

// Which samples get normal and colour, and the differences of f around them.
inline void differences(const SdfField& field, SdfUnit& u) {
    const float h = field.difference;
    u.chosen = 0;
    for (int s = 0; s < u.looked; s++) {
        u.place[s] = -1;
        if (!u.counts[s] || !(u.wanted[s] || u.weight[s] >= field.normal_weight)) continue;
        u.place[s] = u.chosen;
        u.sample[u.chosen++] = s;
    }
    const int points = kCorners * u.chosen;
    const auto inside = [](float a) { return a > 0 ? (a < 1 ? a : 1) : 0; };
    for (int i = 0; i < u.chosen; i++)
        for (int k = 0; k < kCorners; k++) {
            const int s = u.sample[i], p = kCorners * i + k;
            u.corner_x[p] = inside(u.x[s] + h * kTetrahedron[k][0]);
            u.corner_y[p] = inside(u.y[s] + h * kTetrahedron[k][1]);
            u.corner_z[p] = inside(u.z[s] + h * kTetrahedron[k][2]);
        }
    for (int p = points; p < points + W; p++) u.corner_x[p] = u.corner_y[p] = u.corner_z[p] = 0.0f;
    encode_places(field, u.corner_x, u.corner_y, u.corner_z, points, u.corner_encoded);
    distances(field, u.corner_x, u.corner_y, u.corner_z, points, u.corner_encoded, u.corner_hidden, u.corner_f);
    for (int i = 0; i < u.chosen; i++) {
        const float* f = u.corner_f + kCorners * i;
        float *gradient = u.gradient + 3 * i, *normal = u.normal + 3 * i;
        float square = 0.0f, sum = 0.0f;
        for (int k = 0; k < kCorners; k++) sum += f[k] - u.f[u.sample[i]];
        for (int c = 0; c < 3; c++) {
            float along = 0.0f;
            for (int k = 0; k < kCorners; k++) along += f[k] * kTetrahedron[k][c];
            gradient[c] = along / (4.0f * h);
            square += gradient[c] * gradient[c];
        }
        u.length[i] = __builtin_sqrtf(square < 1e-12f ? 1e-12f : square);
        const float size = __builtin_sqrtf(square);
        for (int c = 0; c < 3; c++) normal[c] = gradient[c] / (size < 1e-12f ? 1e-12f : size);
        u.laplacian[i] = sum / (2.0f * h * h);
    }
}

inline void colour_chosen(const SdfField& field, SdfUnit& u) {
    const float* w = field.packed;
    const float* by_view = w + field.layers.colour0 + nerf::kColourOwn * kHidden;
    const int n = u.chosen, row = nerf::kColourOwn, used = kOutputs + 4;
    for (int r = 0; r < u.rays; r++) {
        harmonics(u.direction + 3 * r, u.harmonics + nerf::kHarmonics * r);
        for (int c = 0; c < kHidden; c += W) {
            vf sum = {};
            for (int i = 0; i < nerf::kHarmonics; i++)
                sum += load(by_view + i * kHidden + c) * u.harmonics[nerf::kHarmonics * r + i];
            store(u.bias + size_t(kHidden) * r + c, sum);
        }
    }
    for (int i = 0; i < n; i++) {
        float* in = u.colour_in + size_t(row) * i;
        std::memcpy(in, u.outputs + size_t(kOutputs) * u.sample[i], kOutputs * sizeof(float));
        for (int c = 0; c < 3; c++) in[kOutputs + c] = u.normal[3 * i + c];
        in[kOutputs + 3] = 1.0f;
        for (int c = used; c < row; c++) in[c] = 0.0f;
        u.whose[i] = u.ray[u.sample[i]];
    }
    product<After::relu>({u.colour_in, w + field.layers.colour0, u.hidden2, row, kHidden, kHidden, used, u.bias, u.whose,
                          kHidden}, n, kHidden);
    product<After::relu>({u.hidden2, w + field.layers.colour1, u.hidden3, kHidden, kHidden, kHidden, kHidden}, n,
                         kHidden);
    product<After::nothing>({u.hidden3, w + field.layers.colour2, u.rgb, kHidden, nerf::kColoursPadded, W, kHidden}, n,
                            W);
    sigmoids(u.rgb, n);
}

inline void sdf_forward(const SdfField& field, SdfUnit& u, float stop) {
    sections(field, u, stop);
    differences(field, u);
    colour_chosen(field, u);
    for (int r = 0; r < u.rays; r++) {
        u.colour[3 * r] = u.colour[3 * r + 1] = u.colour[3 * r + 2] = 0.0f;
        u.opacity[r] = u.depth_sum[r] = 0.0f;
    }
    for (int s = 0; s < u.looked; s++) {
        const int r = u.ray[s];
        const float w = u.weight[s];
        if (u.place[s] >= 0)
            for (int c = 0; c < 3; c++) u.colour[3 * r + c] += w * u.rgb[size_t(W) * u.place[s] + c];
        u.opacity[r] += w;
        u.depth_sum[r] += w * (u.ts[s] + 0.5f * u.dts[s]);
    }
}

}  // namespace
