// The products of mlp.h with numbers rounded to bf16, in pairs, and sums in fp32.
//
//     sum += x[2k + 1] w[2k + 1]    then    sum += x[2k] w[2k]
//
// is what VDPBF16PS does to a lane (Intel's manual, volume 2). A product of two bf16 numbers is exact in fp32, so
// that it does not matter whether it is fused with the sum: other instruction sets give the same bits. Numbers are
// rounded to the nearest, ties to even, and to 0 below 2^-126. Only what leaves the range of fp32 may differ:
// sums below 2^-126, which the instruction takes for 0, and products that overflow. A pair is one
// 32-bit number, the even one in its low half.
#pragma once

#include "field.h"
#include "mlp.h"

namespace {

typedef uint16_t half_width __attribute__((vector_size(W * 2)));
typedef half_width half_width_unaligned __attribute__((aligned(2), may_alias));
typedef vu vu_unaligned __attribute__((aligned(4), may_alias));

constexpr int kSamples = 64;                    // of a tile: what is rounded at once stays in the first cache
constexpr int kWidest = 2 * nerf::kMaxLevels;   // numbers of a row, at most
static_assert(kWidest >= nerf::kHidden, "the hidden layers are the widest");

inline vu load_pairs(const uint32_t* p) { return *reinterpret_cast<const vu_unaligned*>(p); }

inline uint32_t bf16(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if (x != x) return bits >> 16 | 0x40;
    if ((bits & 0x7f800000u) == 0) return bits >> 16 & 0x8000u;
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

inline uint32_t bf16_pair(float even, float odd) { return bf16(even) | bf16(odd) << 16; }

inline half_width narrow(vf x) {
#if defined(__AVX512BF16__)
    return (half_width)_mm512_cvtneps_pbh((__m512)x);
#else
    const vu bits = (vu)x, sign = bits >> 16 & 0x8000u, nearest = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    const vu number = (bits & 0x7f800000u) == 0 ? sign : nearest;
    return __builtin_convertvector(x != x ? (bits >> 16 | 0x40u) : number, half_width);
#endif
}

inline vf add_pairs(vf sum, vu x, vu w) {
#if defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
#else
    sum += (vf)(x & 0xffff0000u) * (vf)(w & 0xffff0000u);
    return sum + (vf)(x << 16) * (vf)(w << 16);
#endif
}

// A bf16 number as it lies in memory.
struct Half {
    uint16_t bits;
};

inline half_width load_halves(const Half* p) { return *reinterpret_cast<const half_width_unaligned*>(p); }
inline half_width load_halves(const float* p) { return narrow(load(p)); }
inline vf load(const Half* p) { return (vf)(__builtin_convertvector(load_halves(p), vu) << 16); }
inline void store(Half* p, vf x) { *reinterpret_cast<half_width_unaligned*>(p) = narrow(x); }

// In a Product of pairs `w` has pairs of rows: w[k][c] holds w[2k][c] and w[2k + 1][c], which is 0 beyond the last row.
template <class In, class Out, class Mask>
using PairProduct = Product<In, uint32_t, Out, Mask>;

inline uint32_t pair_of(const Half* row, int k) {
    uint32_t pair;
    std::memcpy(&pair, row + 2 * k, 4);
    return pair;
}

// Rows of a tile, rounded, of which memory up to a multiple of W is read; what is kept in bf16 is taken where it lies
// (its rows have an even length).
template <class In>
class RowPairs;

template <>
class RowPairs<float> {
   public:
    void fill(const float* x, int ld, int rows, int inner) {
        vi lane;
        for (int j = 0; j < W; j++) lane[j] = j;
        for (int r = 0; r < rows; r++, x += ld) {
            int i = 0;
            for (; i + W <= inner; i += W) store(&number[r][i], load(x + i));
            if (i < inner) store(&number[r][i], lane < inner - i ? load(x + i) : vf{});
        }
    }
    const Half* row(int r) const { return number[r]; }

   private:
    Half number[kSamples][kWidest];
};

template <>
class RowPairs<Half> {
   public:
    void fill(const Half* x, int ld, int, int) { x_ = x, ld_ = ld; }
    const Half* row(int r) const { return x_ + size_t(r) * ld_; }

   private:
    const Half* x_;
    int ld_;
};

template <int ROWS, int VECS, After AFTER, class In, class Out, class Mask>
inline void product_block(const PairProduct<In, Out, Mask>& p, const RowPairs<In>& x, int s0, int s, int c) {
    vf sum[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++)
            sum[r][v] = p.start ? load(p.start + size_t(p.row_of[s0 + s + r]) * p.ld_start + c + v * W) : vf{};
    const uint32_t* w = p.w + c;
    for (int k = 0; k < (p.inner + 1) / 2; k++, w += p.ldw) {
        vu row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load_pairs(w + v * W);
        for (int r = 0; r < ROWS; r++) {
            const vu pair = vu{} + pair_of(x.row(s + r), k);
            for (int v = 0; v < VECS; v++) sum[r][v] = add_pairs(sum[r][v], pair, row[v]);
        }
    }
    store_rows<AFTER>(p.y, p.mask, size_t(s0 + s) * p.ldy + c, p.ldy, sum);
}

template <int VECS, After AFTER, class In, class Out, class Mask>
inline void product_columns(const PairProduct<In, Out, Mask>& p, const RowPairs<In>& x, int s0, int n, int c) {
    int s = 0;
    for (; s + kRows <= n; s += kRows) product_block<kRows, VECS, AFTER>(p, x, s0, s, c);
    if (s < n && n >= kRows) product_block<kRows, VECS, AFTER>(p, x, s0, n - kRows, c), s = n;
    for (; s < n; s++) product_block<1, VECS, AFTER>(p, x, s0, s, c);
}

template <After AFTER, class In, class Out, class Mask>
void product(const PairProduct<In, Out, Mask>& p, int n, int columns) {
    RowPairs<In> x;
    for (int s0 = 0; s0 < n; s0 += kSamples) {
        const int rows = n - s0 < kSamples ? n - s0 : kSamples;
        x.fill(p.x + size_t(s0) * p.ldx, p.ldx, rows, p.inner);
        int c = 0;
        for (; c + 2 * W <= columns; c += 2 * W) product_columns<2, AFTER>(p, x, s0, rows, c);
        for (; c < columns; c += W) product_columns<1, AFTER>(p, x, s0, rows, c);
    }
}

inline vu interleaved(half_width even, half_width odd) {
#if NERF_WIDTH == 16
    return (vu)__builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25,
                                       10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif NERF_WIDTH == 8
    return (vu)__builtin_shufflevector(even, odd, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    return (vu)__builtin_shufflevector(even, odd, 0, 4, 1, 5, 2, 6, 3, 7);
#endif
}

// Rows of a tile, rounded, pairs of samples that follow each other; 0 beyond the last.
struct SamplePairs {
    uint32_t pair[kSamples / 2 * kWidest];
    const uint32_t* at(int k, int c) const { return pair + k * kWidest + c; }
    template <class In>
    void fill(const In* x, int ld, int rows, int columns) {
        for (int s = 0; s < rows; s += 2, x += 2 * size_t(ld))
            for (int c = 0; c < columns; c += W) {
                const half_width odd = s + 1 < rows ? load_halves(x + ld + c) : half_width{};
                *reinterpret_cast<vu_unaligned*>(pair + s / 2 * kWidest + c) = interleaved(load_halves(x + c), odd);
            }
    }
};

template <int ROWS, int VECS, class D, class In>
inline void outer_block(const Outer<D, In>& p, const SamplePairs& d, const SamplePairs& x, int pairs, int o, int i) {
    vf sum[ROWS][VECS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) sum[r][v] = load(p.g + size_t(o + r) * p.ldg + i + v * W);
    for (int k = 0; k < pairs; k++) {
        vu row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load_pairs(x.at(k, i + v * W));
        for (int r = 0; r < ROWS; r++) {
            const vu pair = vu{} + *d.at(k, o + r);
            for (int v = 0; v < VECS; v++) sum[r][v] = add_pairs(sum[r][v], pair, row[v]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECS; v++) store(p.g + size_t(o + r) * p.ldg + i + v * W, sum[r][v]);
}

template <int VECS, class D, class In>
inline void outer_columns(const Outer<D, In>& p, const SamplePairs& d, const SamplePairs& x, int pairs, int rows, int i) {
    int o = 0;
    for (; o + kRows <= rows; o += kRows) outer_block<kRows, VECS>(p, d, x, pairs, o, i);
    for (; o + 3 <= rows; o += 3) outer_block<3, VECS>(p, d, x, pairs, o, i);  // the colours
    for (; o < rows; o++) outer_block<1, VECS>(p, d, x, pairs, o, i);
}

// As outer; rows of `d` are read up to a multiple of W.
template <class D, class In>
inline void outer_in_pairs(const Outer<D, In>& p, int n, int rows, int columns) {
    SamplePairs d, x;
    for (int s0 = 0; s0 < n; s0 += kSamples) {
        const int count = n - s0 < kSamples ? n - s0 : kSamples, pairs = (count + 1) / 2;
        d.fill(p.d + size_t(s0) * p.ldd, p.ldd, count, (rows + W - 1) / W * W);
        x.fill(p.x + size_t(s0) * p.ldx, p.ldx, count, columns);
        int i = 0;
        for (; i + 2 * W <= columns; i += 2 * W) outer_columns<2>(p, d, x, pairs, rows, i);
        for (; i < columns; i += W) outer_columns<1>(p, d, x, pairs, rows, i);
    }
}

}  // namespace
