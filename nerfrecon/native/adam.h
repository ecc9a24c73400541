// Adam (Kingma and Ba 2015) as PyTorch writes it, W parameters at once.
#pragma once

#include "field.h"
#include "vec.h"

namespace {

inline void adam(const nerf::AdamRates& rates, float* parameters, float* grad, float* m, float* v, size_t n,
                 bool sparse) {
    const float step = rates.rate / rates.correction1;
    const float scale = 1.0f / __builtin_sqrtf(rates.correction2);
    const float keep1 = rates.beta1, keep2 = rates.beta2, take1 = 1.0f - keep1, take2 = 1.0f - keep2;
    size_t i = 0;
    for (; i + W <= n; i += W) {
        const vf g = load(grad + i);
        const vi moves = g != 0.0f;
        if (sparse && !any(moves)) continue;
        const vf m0 = load(m + i), v0 = load(v + i), p0 = load(parameters + i);
        vf m1 = m0 * keep1 + g * take1, v1 = v0 * keep2 + g * g * take2;
        vf p1 = p0 - step * m1 / (square_root(v1) * scale + rates.eps);
        if (sparse) {
            m1 = moves ? m1 : m0;
            v1 = moves ? v1 : v0;
            p1 = moves ? p1 : p0;
        }
        store(m + i, m1);
        store(v + i, v1);
        store(parameters + i, p1);
        store(grad + i, vf{});
    }
    for (; i < n; i++) {
        if (sparse && grad[i] == 0.0f) continue;
        m[i] = m[i] * keep1 + grad[i] * take1;
        v[i] = v[i] * keep2 + grad[i] * grad[i] * take2;
        parameters[i] -= step * m[i] / (__builtin_sqrtf(v[i]) * scale + rates.eps);
        grad[i] = 0.0f;
    }
}

}  // namespace
