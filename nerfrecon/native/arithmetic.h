// What the networks compute in: the density field's kernels are written once and take one of these.
//
// `forward` and `back` say where a layer's weights lie for the products forward and to what went in.
#pragma once

#include "bf16.h"
#include "field.h"
#include "mlp.h"

namespace {

struct Fp32 {
    static constexpr const char* name = "fp32";
    using Stored = float;  // hidden layers and derivatives by them
    static const float* forward(const nerf::Field& field, size_t layer) { return field.packed + layer; }
    static const float* back(const nerf::Field& field, size_t layer) { return field.weights + layer; }
    static void outer(const PlainOuter& p, int n, int rows, int columns) { ::outer(p, n, rows, columns); }
    // A layer of (rows, columns) at `layer`, as `forward` and `back` want it; rows are filled up with zeros.
    static void pack(nerf::Field& field, size_t layer, int rows, int columns, int filled) {
        const float* w = field.weights + layer;
        float* packed = field.packed + layer;
        for (int o = 0; o < filled; o++)
            for (int i = 0; i < columns; i++)
                packed[size_t(i) * filled + o] = o < rows ? w[size_t(o) * columns + i] : 0;
    }
};

struct Bf16 {
#if defined(__AVX512BF16__)
    static constexpr const char* name = "bf16";
#else
    static constexpr const char* name = "bf16 emulated";
#endif
    using Stored = Half;
    static const uint32_t* forward(const nerf::Field& field, size_t layer) { return field.pairs + layer / 2; }
    static const uint32_t* back(const nerf::Field& field, size_t layer) { return field.back_pairs + layer / 2; }
    template <class D, class In>
    static void outer(const Outer<D, In>& p, int n, int rows, int columns) {
        outer_in_pairs(p, n, rows, columns);
    }
    static void pack(nerf::Field& field, size_t layer, int rows, int columns, int filled) {
        const float* w = field.weights + layer;
        const auto at = [&](int o, int i) { return o < rows ? w[size_t(o) * columns + i] : 0.0f; };
        uint32_t *pairs = field.pairs + layer / 2, *back = field.back_pairs + layer / 2;
        for (int o = 0; o < filled; o++)
            for (int k = 0; k < columns / 2; k++)
                pairs[size_t(k) * filled + o] = bf16_pair(at(o, 2 * k), at(o, 2 * k + 1));
        for (int k = 0; k < filled / 2; k++)
            for (int i = 0; i < columns; i++) back[size_t(k) * columns + i] = bf16_pair(at(2 * k, i), at(2 * k + 1, i));
    }
};

}  // namespace
