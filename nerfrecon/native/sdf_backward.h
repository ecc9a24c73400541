// The way back through sdf.h: from what rays composited, and from the terms on differences, to weights and table.
#pragma once

#include "sdf.h"

namespace {

// Derivatives by f, into u.d_f, by log s, and by the colours before their sigmoids, into u.grad_c (chosen, W).
inline void sections_backward(const SdfField& field, SdfUnit& u) {
    for (int r = 0; r < u.rays; r++) u.behind[r] = u.d_rest[r] * u.rest[r];
    for (int s = u.looked - 1; s >= 0; s--) {
        const int r = u.ray[s];
        const float w = u.weight[s], *d = u.d_colour + 3 * r;
        float value = u.d_opacity[r] + u.d_depth_sum[r] * (u.ts[s] + 0.5f * u.dts[s]);
        if (u.place[s] >= 0) {
            const float* rgb = u.rgb + size_t(W) * u.place[s];
            float* d_raw = u.grad_c + size_t(W) * u.place[s];
            for (int c = 0; c < 3; c++) {
                value += d[c] * rgb[c];
                d_raw[c] = by_raw_colour(d[c] * w, rgb[c]);
            }
        }
        u.d_tau[s] = (u.through[s] - w) * value - u.behind[r];
        u.behind[r] += w * value;
        u.d_f[s] = 0.0f;
    }
    for (int s = 0; s < u.looked; s++) {  // by L, first
        const int p = u.before[s];
        if (p == nerf::kFirst) u.d_f[s] -= u.d_tau[s];
        if (p >= 0 && !(u.logarithm[p] <= u.logarithm[s])) {
            u.d_f[p] += u.d_tau[p];
            u.d_f[s] -= u.d_tau[p];
        }
    }
    double by_sharpness = 0;
    for (int s = 0; s < u.looked; s += W) {  // dL/df = s (1 - Phi(s f))
        const vf f = load(u.f + s), by_f = load(u.d_f + s) * field.sharpness / (1.0f + exponential(f * field.sharpness));
        store(u.d_f + s, f != f ? f : by_f);
        for (int j = 0; j < W && s + j < u.looked; j++) by_sharpness += double(by_f[j]) * f[j];
    }
    u.d_log_sharpness += by_sharpness;
}

// Trilinear between cell centres, the nearest beyond the outermost.
inline float prior_at(const SdfField& field, float x, float y, float z) {
    const int n = field.prior_cells;
    const float at[3] = {x * n - 0.5f, y * n - 0.5f, z * n - 0.5f};
    int low[3];
    float part[3];
    for (int c = 0; c < 3; c++) {
        const float inside = at[c] > 0 ? (at[c] < n - 1 ? at[c] : float(n - 1)) : 0;
        low[c] = int(inside) < n - 1 ? int(inside) : n - 2;
        part[c] = inside - float(low[c]);
    }
    const float* p = field.prior + (size_t(low[2]) * n + low[1]) * n + low[0];
    const auto line = [&](const float* q) { return q[0] + part[0] * (q[1] - q[0]); };
    const auto plane = [&](const float* q) { return line(q) + part[1] * (line(q + n) - line(q)); };
    return plane(p) + part[2] * (plane(p + size_t(n) * n) - plane(p));
}

// sqrt(e^2 + d^2) - d of e = f - prior, in cells, d a quarter of one.
inline void prior_backward(const SdfField& field, SdfUnit& u) {
    const float cells = float(field.prior_cells);
    for (int s = 0; s < u.looked; s++) {
        const float e = cells * (u.f[s] - prior_at(field, u.x[s], u.y[s], u.z[s]));
        const float root = __builtin_sqrtf(e * e + 0.0625f);
        u.terms += double(field.prior_weight) * (root - 0.25f);
        u.d_f[s] += field.prior_weight * cells * e / root;
    }
}

// grad_c: (chosen, W) colours, then (chosen, 32) inputs of the colour network.
inline void colour_backward(const SdfField& field, SdfUnit& u, float* grad) {
    const nerf::SdfLayers& at = field.layers;
    const float* w = field.weights;
    const int n = u.chosen, own = nerf::kColourOwn, row = nerf::kColourRow;
    outer({u.grad_c, u.hidden3, grad + at.colour2, W, kHidden, kHidden}, n, nerf::kColours, kHidden);
    product<After::where_positive>({u.grad_c, w + at.colour2, u.grad_a, W, kHidden, kHidden, nerf::kColours, nullptr,
                                    nullptr, 0, u.hidden3}, n, kHidden);
    outer({u.grad_a, u.hidden2, grad + at.colour1, kHidden, kHidden, kHidden}, n, kHidden, kHidden);
    product<After::where_positive>({u.grad_a, w + at.colour1, u.grad_b, kHidden, kHidden, kHidden, kHidden, nullptr,
                                    nullptr, 0, u.hidden2}, n, kHidden);
    outer({u.grad_b, u.colour_in, grad + at.colour0, kHidden, own, row}, n, kHidden, (kOutputs + 4 + W - 1) / W * W);
    std::memset(u.d_bias, 0, size_t(u.rays) * kHidden * sizeof(float));
    for (int i = 0; i < n; i++) {
        float* sum = u.d_bias + size_t(kHidden) * u.ray[u.sample[i]];
        for (int c = 0; c < kHidden; c += W) store(sum + c, load(sum + c) + load(u.grad_b + size_t(kHidden) * i + c));
    }
    outer({u.d_bias, u.harmonics, grad + at.colour0 + own, kHidden, nerf::kHarmonics, row}, u.rays, kHidden,
          nerf::kHarmonics);
    product<After::nothing>({u.grad_b, w + at.colour0, u.grad_c, kHidden, row, own, kHidden}, n,
                            (kOutputs + 4 + W - 1) / W * W);
}

// By the normals (in grad_c) and by the eikonal and curvature terms, to f at the corners and at the samples.
inline void differences_backward(const SdfField& field, SdfUnit& u) {
    const float h = field.difference, by_gradient = 1.0f / (4.0f * h), by_laplacian = 1.0f / (2.0f * h * h);
    for (int i = 0; i < u.chosen; i++) {
        const float *d_normal = u.grad_c + size_t(nerf::kColourOwn) * i + kOutputs, *normal = u.normal + 3 * i;
        const float size = u.length[i];
        const float along = d_normal[0] * normal[0] + d_normal[1] * normal[1] + d_normal[2] * normal[2];
        u.terms += double(field.eikonal) * (size - 1.0f) * (size - 1.0f);
        u.terms += double(field.curvature) * __builtin_fabsf(u.laplacian[i]);
        float d_gradient[3];
        for (int c = 0; c < 3; c++)
            d_gradient[c] = (d_normal[c] - normal[c] * along) / size + 2.0f * field.eikonal * (size - 1.0f) * normal[c];
        const float l = u.laplacian[i], sign = l > 0 ? 1.0f : l < 0 ? -1.0f : 0.0f;
        const float d_laplacian = field.curvature * sign * by_laplacian;
        for (int k = 0; k < kCorners; k++) {
            float d = d_laplacian;
            for (int c = 0; c < 3; c++) d += by_gradient * d_gradient[c] * kTetrahedron[k][c];
            u.d_corner_f[kCorners * i + k] = d;
        }
        u.d_f[u.sample[i]] -= kCorners * d_laplacian;
    }
}

// Derivatives by the inputs of the points' network, which saw `d_outputs` (n, 16), or f alone.
inline void samples_backward(const SdfField& field, SdfUnit& u, float* grad) {
    const nerf::SdfLayers& at = field.layers;
    const float* w = field.weights;
    const int n = u.looked, e = at.encoded, columns = padded_columns(field);
    float* d_outputs = u.grad_b;  // (n, 16), then (n, e)
    std::memset(d_outputs, 0, size_t(n) * kOutputs * sizeof(float));
    for (int i = 0; i < u.chosen; i++)
        std::memcpy(d_outputs + size_t(kOutputs) * u.sample[i], u.grad_c + size_t(nerf::kColourOwn) * i,
                    kOutputs * sizeof(float));
    for (int s = 0; s < n; s++) d_outputs[size_t(kOutputs) * s] += u.d_f[s];
    outer({d_outputs, u.hidden1, grad + at.sdf1, kOutputs, kHidden, kHidden}, n, kOutputs, kHidden);
    product<After::where_positive>({d_outputs, w + at.sdf1, u.grad_a, kOutputs, kHidden, kHidden, kOutputs, nullptr,
                                    nullptr, 0, u.hidden1}, n, kHidden);
    outer({u.grad_a, u.encoded, grad + at.sdf0, kHidden, e, e}, n, kHidden, columns);
    product<After::nothing>({u.grad_a, w + at.sdf0, u.grad_b, kHidden, e, e, kHidden}, n, columns);
}

inline void corners_backward(const SdfField& field, SdfUnit& u, float* grad) {
    const nerf::SdfLayers& at = field.layers;
    const float* w = field.weights + at.sdf1;
    const int n = kCorners * u.chosen, e = at.encoded, columns = padded_columns(field);
    for (int c = 0; c < kHidden; c += W) {
        vf sum = {};
        const vf row = load(w + c);
        for (int p = 0; p < n; p++) {
            const vf hidden = load(u.corner_hidden + size_t(kHidden) * p + c);
            sum += hidden * u.d_corner_f[p];
            store(u.corner_grad_a + size_t(kHidden) * p + c, hidden > 0.0f ? row * u.d_corner_f[p] : vf{});
        }
        store(grad + at.sdf1 + c, load(grad + at.sdf1 + c) + sum);
    }
    outer({u.corner_grad_a, u.corner_encoded, grad + at.sdf0, kHidden, e, e}, n, kHidden, columns);
    product<After::nothing>({u.corner_grad_a, field.weights + at.sdf0, u.corner_grad_b, kHidden, e, e, kHidden}, n,
                            columns);
}

// Pairs of each active level, of samples and corners; false where one is not finite or absurdly large.
inline bool write_tape(const SdfField& field, const SdfUnit& u, float* tape) {
    const int n = u.looked, m = kCorners * u.chosen, all = n + m, e = field.layers.encoded;
    const float* from[3][2] = {{u.x, u.corner_x}, {u.y, u.corner_y}, {u.z, u.corner_z}};
    for (int c = 0; c < 3; c++) {
        std::memcpy(tape + size_t(all) * c, from[c][0], n * sizeof(float));
        std::memcpy(tape + size_t(all) * c + n, from[c][1], m * sizeof(float));
    }
    const int columns = padded_columns(field);
    float* to = tape + 3 * size_t(all);
    const vf zeros = write_levels(field.grid, u.grad_b, e, nerf::kPlace, n, columns, to, all) +
                     write_levels(field.grid, u.corner_grad_b, e, nerf::kPlace, m, columns, to + 2 * size_t(n), all);
    return !any(zeros != 0.0f);
}

// |f - target| of n points in u.x, u.y, u.z, a sum, with derivatives divided by `count`. No rays, no colours.
inline double sdf_regress(const SdfField& field, SdfUnit& u, int n, const float* targets, float count, float* grad,
                          float* tape, bool* finite) {
    evaluate_samples(field, u, 0, n);
    double loss = 0;
    for (int s = 0; s < n; s++) {
        const float off = u.f[s] - targets[s];
        loss += __builtin_fabsf(off);
        u.d_f[s] = (off > 0 ? 1.0f : off < 0 ? -1.0f : 0.0f) / count;
    }
    u.looked = n;
    u.chosen = 0;
    samples_backward(field, u, grad);
    *finite = write_tape(field, u, tape);
    return loss;
}

inline bool sdf_backward(const SdfField& field, SdfUnit& u, float* grad, float* tape) {
    sections_backward(field, u);
    if (field.prior && field.prior_weight > 0) prior_backward(field, u);
    colour_backward(field, u, grad);
    differences_backward(field, u);
    samples_backward(field, u, grad);
    corners_backward(field, u, grad);
    return write_tape(field, u, tape);
}

}  // namespace
