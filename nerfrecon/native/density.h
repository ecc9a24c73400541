// The density field along rays: forward front to back in rounds, compositing, and the way back.
//
//     tau_i = sigma_i dt_i    T_i = exp(-sum_{j < i} tau_j)    w_i = T_i (1 - exp(-tau_i))
//
// as in ops/compositing/reference.py. A round asks the grid and the density MLP about the next few samples of
// every ray that still lets light through; samples behind a ray's end are dropped at once, so that colour, the
// way back and the table see only what is kept. Kept samples lie in the order of the rounds: along one ray
// they are in order, between rays they are mixed, and `ray` tells whose each is.
#pragma once

#include "arithmetic.h"
#include "grid.h"
#include "mlp.h"
#include "view.h"

namespace {

using nerf::Field;
using nerf::Unit;
using nerf::kHidden;
using nerf::kOutputs;

constexpr int kRound = 64;       // samples a round should have, to keep vectors and registers full,
constexpr int kLeast = 8, kMost = 32;  // without going too deep into rays that end

// 1 - e^-x for x >= 0, also where x is tiny.
inline vf absorbed(vf x, vf transmitted) {
    const vf series = x * (1.0f - x * (0.5f - x * (1.6666667e-1f - x * (4.1666667e-2f - x * 8.3333333e-3f))));
    return x < 0.2f ? series : 1.0f - transmitted;
}

// Rows of a buffer of hidden values from sample `from` on, as `Math` keeps them.
template <class Math>
inline typename Math::Stored* hidden_rows(float* buffer, int from = 0) {
    return reinterpret_cast<typename Math::Stored*>(buffer) + size_t(from) * kHidden;
}

// Layers 0 and 1 at samples from .. from + n - 1, and their density.
template <class Math>
inline void evaluate_density(const Field& field, Unit& u, int from, int n) {
    const int e = field.layers.encoded, inner = field.grid.active * nerf::kFeatures;
    float* encoded = u.encoded + size_t(from) * e;
    auto* hidden = hidden_rows<Math>(u.hidden1, from);
    float* outputs = u.outputs + size_t(from) * kOutputs;
    encode(field.grid, u.x + from, u.y + from, u.z + from, n, encoded, e);
    const auto *w0 = Math::forward(field, field.layers.density0), *w1 = Math::forward(field, field.layers.density1);
    product<After::relu>(Product{encoded, w0, hidden, e, kHidden, kHidden, inner}, n, kHidden);
    product<After::nothing>(Product{hidden, w1, outputs, kHidden, kOutputs, kOutputs, kHidden}, n, kOutputs);
    for (int s = 0; s < n; s++) u.sigma[from + s] = outputs[size_t(s) * kOutputs];
    for (int s = 0; s < n; s += W) {
        const vf o = load(u.sigma + from + s);
        const vf sigma = exponential(min(o, splat(nerf::kMaxLogDensity)));
        store(u.sigma + from + s, o != o ? o : sigma);  // NaN stays NaN: the step is refused, not hidden
    }
}

template <class Math>
inline void move_sample(const Field& field, Unit& u, int to, int from) {
    const int e = field.layers.encoded;
    u.x[to] = u.x[from], u.y[to] = u.y[from], u.z[to] = u.z[from];
    u.ts[to] = u.ts[from], u.dts[to] = u.dts[from], u.sigma[to] = u.sigma[from], u.ray[to] = u.ray[from];
    std::memcpy(u.encoded + size_t(to) * e, u.encoded + size_t(from) * e, e * sizeof(float));
    std::memcpy(hidden_rows<Math>(u.hidden1, to), hidden_rows<Math>(u.hidden1, from),
                kHidden * sizeof(typename Math::Stored));
    std::memcpy(u.outputs + size_t(to) * kOutputs, u.outputs + size_t(from) * kOutputs, kOutputs * sizeof(float));
}

// The next samples of every live ray, written from sample u.kept on; returns how many.
inline int gather_round(Unit& u, int live, int depth) {
    int n = u.kept;
    for (int a = 0; a < live; a++) {
        const int r = u.live[a], left = u.first[r + 1] - u.cursor[r], take = left < depth ? left : depth;
        const float *o = u.origin + 3 * r, *d = u.direction + 3 * r;
        for (int j = 0; j < take; j++, n++) {
            const float t = u.t[u.cursor[r] + j];
            const float p[3] = {o[0] + rounded(t * d[0]), o[1] + rounded(t * d[1]), o[2] + rounded(t * d[2])};
            u.x[n] = p[0] > 0 ? (p[0] < 1 ? p[0] : 1) : 0;
            u.y[n] = p[1] > 0 ? (p[1] < 1 ? p[1] : 1) : 0;
            u.z[n] = p[2] > 0 ? (p[2] < 1 ? p[2] : 1) : 0;
            u.ts[n] = t;
            u.dts[n] = u.dt[u.cursor[r] + j];
            u.ray[n] = r;
        }
    }
    for (int s = n; s < n + W; s++) u.x[s] = u.y[s] = u.z[s] = 0.0f;  // lanes beyond the end look up something
    return n - u.kept;
}

// All rounds: fills the kept samples and u.rest.
template <class Math>
inline void march_through(const Field& field, Unit& u, float stop) {
    // u.rest holds the optical thickness so far until the rays are done.
    const float end = stop > 0.0f ? -__builtin_logf(stop) : 3.4e38f;
    int live = 0;
    u.kept = 0;
    for (int r = 0; r < u.rays; r++) {
        u.cursor[r] = u.first[r];
        u.rest[r] = 0.0f;
        if (u.first[r + 1] > u.first[r]) u.live[live++] = r;
    }
    while (live > 0) {
        int depth = (kRound + live - 1) / live;
        depth = depth < kLeast ? kLeast : depth > kMost ? kMost : depth;
        const int n = gather_round(u, live, depth);
        evaluate_density<Math>(field, u, u.kept, n);
        int read = u.kept, write = u.kept, still = 0;
        for (int a = 0; a < live; a++) {
            const int r = u.live[a], left = u.first[r + 1] - u.cursor[r], take = left < depth ? left : depth;
            float thickness = u.rest[r];
            int j = 0;
            for (; j < take && !(thickness > end); j++, write++) {
                if (write != read + j) move_sample<Math>(field, u, write, read + j);
                u.through[write] = thickness;
                thickness += u.sigma[write] * u.dts[write];
            }
            u.rest[r] = thickness;
            read += take;
            u.cursor[r] += take;
            if (!(thickness > end) && u.cursor[r] < u.first[r + 1]) u.live[still++] = r;
        }
        u.kept = write;
        live = still;
    }
    for (int s = 0; s < u.kept; s += W) {
        const vf through = exponential(-load(u.through + s)), tau = load(u.sigma + s) * load(u.dts + s);
        store(u.through + s, through);
        store(u.weight + s, through * absorbed(tau, exponential(-tau)));
    }
    for (int r = 0; r < u.rays; r += W) store(u.rest + r, exponential(-load(u.rest + r)));
}

// Sigmoids of n colours, each the first of a row of W: W / 4 rows fill a vector. Rows up to a multiple are written.
inline void sigmoids(float* rows, int n) {
    for (int s = 0; s < n; s += W / 4) {
        float* at = rows + size_t(W) * s;
        const vf raw = load_quarters(at), colour = 1.0f / (1.0f + exponential(-raw));
        alignas(vf) float out[W];
        store(out, raw != raw ? raw : colour);
        for (int j = 0; j < W / 4; j++) std::memcpy(at + W * j, out + 4 * j, 4 * sizeof(float));
    }
}

// Colour of the kept samples. What the view direction adds to the first layer is computed once a ray.
template <class Math>
inline void colour_samples(const Field& field, Unit& u) {
    const nerf::Layers& at = field.layers;
    for (int r = 0; r < u.rays; r++) {
        if (u.first[r + 1] == u.first[r]) {
            std::memset(u.harmonics + nerf::kHarmonics * r, 0, nerf::kHarmonics * sizeof(float));
            continue;
        }
        harmonics(u.direction + 3 * r, u.harmonics + nerf::kHarmonics * r);
    }
    auto *hidden2 = hidden_rows<Math>(u.hidden2), *hidden3 = hidden_rows<Math>(u.hidden3);
    product<After::nothing>(Product{u.harmonics, Math::forward(field, at.colour0 + kOutputs * kHidden), u.bias,
                                    nerf::kHarmonics, kHidden, kHidden, nerf::kHarmonics}, u.rays, kHidden);
    product<After::relu>(Product{u.outputs, Math::forward(field, at.colour0), hidden2, kOutputs, kHidden, kHidden,
                                 kOutputs, u.bias, u.ray, kHidden}, u.kept, kHidden);
    product<After::relu>(Product{hidden2, Math::forward(field, at.colour1), hidden3, kHidden, kHidden, kHidden,
                                 kHidden}, u.kept, kHidden);
    product<After::nothing>(Product{hidden3, Math::forward(field, at.colour2), u.rgb, kHidden, nerf::kColoursPadded, W,
                                    kHidden}, u.kept, W);
    sigmoids(u.rgb, u.kept);
}

inline void composite(Unit& u) {
    for (int r = 0; r < u.rays; r++) {
        u.colour[3 * r] = u.colour[3 * r + 1] = u.colour[3 * r + 2] = 0.0f;
        u.opacity[r] = u.depth_sum[r] = u.spread[r] = u.moment[r] = 0.0f;
    }
    for (int s = 0; s < u.kept; s++) {
        const int r = u.ray[s];
        const float w = u.weight[s];
        for (int c = 0; c < 3; c++) u.colour[3 * r + c] += w * u.rgb[size_t(W) * s + c];
        const float middle = u.ts[s] + 0.5f * u.dts[s];
        u.spread[r] += w * (2.0f * (middle * u.opacity[r] - u.moment[r]) + w * u.dts[s] * (1.0f / 3.0f));
        u.moment[r] += w * middle;
        u.opacity[r] += w;
        u.depth_sum[r] += w * u.ts[s];
    }
}

template <class Math>
inline void forward(const Field& field, Unit& u, float stop) {
    march_through<Math>(field, u, stop);
    colour_samples<Math>(field, u);
    composite(u);
}

// By a colour before its sigmoid: one that is near 0 or 1 can come back.
inline float by_raw_colour(float d, float colour) {
    const float slope = colour * (1.0f - colour);
    const bool back = (d < 0.0f) == (colour < 0.5f);
    return d * (back && slope < nerf::kLeastSlope ? nerf::kLeastSlope : slope);
}

// Derivatives by log density, into u.d_sigma, and by the colour before its sigmoid, into u.grad_c (kept, W).
inline void composite_backward(Unit& u) {
    for (int r = 0; r < u.rays; r++) {
        u.behind[r] = u.d_rest[r] * u.rest[r];
        u.weight_behind[r] = u.moment_behind[r] = 0.0f;
    }
    for (int s = u.kept - 1; s >= 0; s--) {
        const int r = u.ray[s];
        const float *rgb = u.rgb + size_t(W) * s, *d = u.d_colour + 3 * r;
        const float w = u.weight[s];
        float value = u.d_opacity[r] + u.d_depth_sum[r] * u.ts[s];
        for (int c = 0; c < 3; c++) value += d[c] * rgb[c];
        if (u.d_spread[r] != 0.0f) {
            const float middle = u.ts[s] + 0.5f * u.dts[s];
            const float before = u.opacity[r] - w - u.weight_behind[r];
            const float moment = u.moment[r] - w * middle - u.moment_behind[r];
            value += u.d_spread[r] * 2.0f * (middle * (before - u.weight_behind[r]) + u.moment_behind[r] - moment +
                                             w * u.dts[s] * (1.0f / 3.0f));
            u.weight_behind[r] += w;
            u.moment_behind[r] += w * middle;
        }
        const float d_tau = (u.through[s] - w) * value - u.behind[r];  // T_i - w_i is what passes this sample
        u.behind[r] += w * value;
        const bool clamped = u.outputs[size_t(kOutputs) * s] > nerf::kMaxLogDensity;
        u.d_sigma[s] = clamped ? 0.0f : d_tau * u.dts[s] * u.sigma[s];
        float* d_raw = u.grad_c + size_t(W) * s;
        for (int c = 0; c < 3; c++) d_raw[c] = by_raw_colour(d[c] * w, rgb[c]);
    }
}

template <class Math>
inline bool backward(const Field& field, Unit& u, float* grad, float* tape) {
    const nerf::Layers& at = field.layers;
    const int n = u.kept, e = at.encoded;
    composite_backward(u);
    auto *hidden1 = hidden_rows<Math>(u.hidden1), *hidden2 = hidden_rows<Math>(u.hidden2),
         *hidden3 = hidden_rows<Math>(u.hidden3), *grad_a = hidden_rows<Math>(u.grad_a);
    // Colour MLP. grad_c: (n, W) colours, then (n, 16); grad_a, grad_b: (n, 64), grad_b in fp32 to be summed.
    Math::outer(Outer{u.grad_c, hidden3, grad + at.colour2, W, kHidden, kHidden}, n, nerf::kColours, kHidden);
    product<After::where_positive>(Product{u.grad_c, Math::back(field, at.colour2), grad_a, W, kHidden, kHidden,
                                           nerf::kColours, nullptr, nullptr, 0, hidden3}, n, kHidden);
    Math::outer(Outer{grad_a, hidden2, grad + at.colour1, kHidden, kHidden, kHidden}, n, kHidden, kHidden);
    product<After::where_positive>(Product{grad_a, Math::back(field, at.colour1), u.grad_b, kHidden, kHidden, kHidden,
                                           kHidden, nullptr, nullptr, 0, hidden2}, n, kHidden);
    std::memset(u.d_bias, 0, size_t(u.rays) * kHidden * sizeof(float));
    vf sum[kHidden / W] = {};  // of samples that follow each other on a ray
    for (int s = 0; s < n; s++) {
        const bool ends = s + 1 == n || u.ray[s + 1] != u.ray[s];
        float* of_ray = u.d_bias + size_t(kHidden) * u.ray[s];
        for (int c = 0; c < kHidden; c += W) {
            const vf d = load(u.grad_b + size_t(kHidden) * s + c);
            store(grad_a + size_t(kHidden) * s + c, d);
            sum[c / W] += d;
            if (ends) store(of_ray + c, load(of_ray + c) + sum[c / W]), sum[c / W] = vf{};
        }
    }
    Math::outer(Outer{grad_a, u.outputs, grad + at.colour0, kHidden, kOutputs, nerf::kColourIn}, n, kHidden, kOutputs);
    Math::outer(Outer{u.d_bias, u.harmonics, grad + at.colour0 + kOutputs, kHidden, nerf::kHarmonics, nerf::kColourIn},
                u.rays, kHidden, nerf::kHarmonics);
    product<After::nothing>(Product{grad_a, Math::back(field, at.colour0), u.grad_c, kHidden, nerf::kColourIn, kOutputs,
                                    kHidden}, n, kOutputs);
    // Density MLP.
    for (int s = 0; s < n; s++) u.grad_c[size_t(kOutputs) * s] += u.d_sigma[s];
    Math::outer(Outer{u.grad_c, hidden1, grad + at.density1, kOutputs, kHidden, kHidden}, n, kOutputs, kHidden);
    product<After::where_positive>(Product{u.grad_c, Math::back(field, at.density1), grad_a, kOutputs, kHidden, kHidden,
                                           kOutputs, nullptr, nullptr, 0, hidden1}, n, kHidden);
    const int features = field.grid.active * nerf::kFeatures, columns = (features + W - 1) / W * W;
    Math::outer(Outer{grad_a, u.encoded, grad + at.density0, kHidden, e, e}, n, kHidden, columns);
    product<After::nothing>(Product{grad_a, Math::back(field, at.density0), u.grad_b, kHidden, e, e, kHidden}, n,
                            columns);
    // The tape: level after level, so that each can be replayed alone.
    std::memcpy(tape, u.x, n * sizeof(float));
    std::memcpy(tape + n, u.y, n * sizeof(float));
    std::memcpy(tape + 2 * size_t(n), u.z, n * sizeof(float));
    const vf zeros = write_levels(field.grid, u.grad_b, e, 0, n, columns, tape + 3 * size_t(n), n);
    return !any(zeros != 0.0f);
}

}  // namespace
