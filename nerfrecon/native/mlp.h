// Small dense products with samples down the rows: forward, by the input, by the weights.
//
// A block of rows x 2 vectors stays in registers while the inner index runs; a scalar is broadcast against
// two vectors. Twelve sums of 16 registers (AVX2) are what hides the latency of a fused multiply-add.
#pragma once

#include "vec.h"

namespace {

enum class After { nothing, relu, where_positive };

// y[s][c] = sum_i x[s][i] w[i][c]  (+ start[row_of[s]][c]), then what `after` says. `In` and `Out` are what rows are
// kept in: float, or bf16 where `Weight` is a pair (bf16.h).
template <class In, class Weight, class Out, class Mask = Out>
struct Product {
    const In* x;
    const Weight* w;
    Out* y;
    int ldx, ldw, ldy, inner;
    const float* start;  // rows of what is added
    const int* row_of;
    int ld_start;
    const Mask* mask;  // After::where_positive: y is kept where mask > 0; same shape as y

    Product(const In* x, const Weight* w, Out* y, int ldx, int ldw, int ldy, int inner, const float* start = nullptr,
            const int* row_of = nullptr, int ld_start = 0, const Mask* mask = nullptr)
        : x(x), w(w), y(y), ldx(ldx), ldw(ldw), ldy(ldy), inner(inner), start(start), row_of(row_of),
          ld_start(ld_start), mask(mask) {}
};
using PlainProduct = Product<float, float, float>;

constexpr int kRows = W == 16 ? 8 : 6;  // AVX-512 has 32 registers

template <After AFTER, class Mask>
inline vf after(const Mask* mask, size_t at, vf y) {
    if (AFTER == After::relu) return max(vf{}, y);  // NaN passes, so that it is noticed
    if (AFTER == After::where_positive) return load(mask + at) > 0.0f ? y : vf{};
    return y;
}

template <After AFTER, int ROWS, int VECS, class Out, class Mask>
inline void store_rows(Out* y, const Mask* mask, size_t at, size_t ld, const vf (&sum)[ROWS][VECS]) {
    for (int r = 0; r < ROWS; r++, at += ld)
        for (int v = 0; v < VECS; v++) store(y + at + v * W, after<AFTER>(mask, at + v * W, sum[r][v]));
}

template <int ROWS, int VECS, After AFTER>
inline void product_block(const PlainProduct& p, int s, int c) {
    vf sum[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++)
            sum[r][v] = p.start ? load(p.start + size_t(p.row_of[s + r]) * p.ld_start + c + v * W) : vf{};
    const float* x = p.x + size_t(s) * p.ldx;
    const float* w = p.w + c;
    for (int i = 0; i < p.inner; i++) {
        vf row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load(w + v * W);
        for (int r = 0; r < ROWS; r++) {
            const float scalar = x[size_t(r) * p.ldx + i];
            for (int v = 0; v < VECS; v++) sum[r][v] += row[v] * scalar;
        }
        w += p.ldw;
    }
    store_rows<AFTER>(p.y, p.mask, size_t(s) * p.ldy + c, p.ldy, sum);
}

// The last rows are computed with some before them once more: one row at a time waits for every sum.
template <int VECS, After AFTER>
inline void product_columns(const PlainProduct& p, int n, int c) {
    int s = 0;
    for (; s + kRows <= n; s += kRows) product_block<kRows, VECS, AFTER>(p, s, c);
    if (s < n && n >= kRows) product_block<kRows, VECS, AFTER>(p, n - kRows, c), s = n;
    for (; s < n; s++) product_block<1, VECS, AFTER>(p, s, c);
}

// n rows, `columns` (a multiple of W) columns.
template <After AFTER>
void product(const PlainProduct& p, int n, int columns) {
    int c = 0;
    for (; c + 2 * W <= columns; c += 2 * W) product_columns<2, AFTER>(p, n, c);
    for (; c < columns; c += W) product_columns<1, AFTER>(p, n, c);
}

// g[o][i] += sum_s d[s][o] x[s][i]
template <class D, class In>
struct Outer {
    const D* d;
    const In* x;
    float* g;
    int ldd, ldx, ldg;

    Outer(const D* d, const In* x, float* g, int ldd, int ldx, int ldg)
        : d(d), x(x), g(g), ldd(ldd), ldx(ldx), ldg(ldg) {}
};
using PlainOuter = Outer<float, float>;

template <int ROWS, int VECS>
inline void outer_block(const PlainOuter& p, int o, int i, int s0, int s1) {
    vf sum[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) sum[r][v] = load(p.g + size_t(o + r) * p.ldg + i + v * W);
    for (int s = s0; s < s1; s++) {
        const float* d = p.d + size_t(s) * p.ldd + o;
        const float* x = p.x + size_t(s) * p.ldx + i;
        vf row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load(x + v * W);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECS; v++) sum[r][v] += row[v] * d[r];
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) store(p.g + size_t(o + r) * p.ldg + i + v * W, sum[r][v]);
}

template <int VECS>
inline void outer_columns(const PlainOuter& p, int rows, int i, int s0, int s1) {
    int o = 0;
    for (; o + kRows <= rows; o += kRows) outer_block<kRows, VECS>(p, o, i, s0, s1);
    for (; o + 2 <= rows; o += 2) outer_block<2, VECS>(p, o, i, s0, s1);
    for (; o < rows; o++) outer_block<1, VECS>(p, o, i, s0, s1);
}

// n samples, (rows, columns) weights, columns a multiple of W.
inline void outer(const PlainOuter& p, int n, int rows, int columns) {
    constexpr int kTile = 64;  // samples of which both sides stay in the first cache
    for (int s0 = 0; s0 < n; s0 += kTile) {
        const int s1 = s0 + kTile < n ? s0 + kTile : n;
        int i = 0;
        for (; i + 2 * W <= columns; i += 2 * W) outer_columns<2>(p, rows, i, s0, s1);
        for (; i < columns; i += W) outer_columns<1>(p, rows, i, s0, s1);
    }
}

}  // namespace
