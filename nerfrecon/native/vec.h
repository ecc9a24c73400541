// One vector of floats, as wide as the instruction set this file is compiled for.
//
// Everything is written with the vector extensions of GCC and Clang, so that one source serves SSE2, NEON, AVX2 and
// AVX-512; intrinsics are where these extensions have no word for what one instruction does. Sources that include this file are compiled several times with different
// flags; they must instantiate nothing with external linkage from the standard library (the linker would
// keep one copy, perhaps the one with AVX-512 in it, for everybody), hence plain pointers and loops.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
#define NERF_WIDTH 16
#elif defined(__AVX__)
#define NERF_WIDTH 8
#else
#define NERF_WIDTH 4
#endif

namespace {

constexpr int W = NERF_WIDTH;

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef float vf_unaligned __attribute__((vector_size(W * 4), aligned(4), may_alias));
typedef float pair __attribute__((vector_size(8), aligned(8), may_alias));
typedef float pair_unaligned __attribute__((vector_size(8), aligned(4), may_alias));

inline vf load(const float* p) { return *reinterpret_cast<const vf_unaligned*>(p); }
// The first four of each of W / 4 rows of W.
inline vf load_quarters(const float* p) {
#if NERF_WIDTH == 16
    const __m256 low = _mm256_set_m128(_mm_loadu_ps(p + W), _mm_loadu_ps(p));
    const __m256 high = _mm256_set_m128(_mm_loadu_ps(p + 3 * W), _mm_loadu_ps(p + 2 * W));
    return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#elif NERF_WIDTH == 8
    return (vf)_mm256_set_m128(_mm_loadu_ps(p + W), _mm_loadu_ps(p));
#else
    return load(p);
#endif
}
inline void store(float* p, vf v) { *reinterpret_cast<vf_unaligned*>(p) = v; }
inline vf splat(float x) { return vf{} + x; }
// b where one of them is NaN. (GCC 12 warns of its own header where no mask is given.)
#if defined(__AVX512F__)
inline vf max(vf a, vf b) { return (vf)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b); }
inline vf min(vf a, vf b) { return (vf)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b); }
#elif defined(__AVX__)
inline vf max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
inline vf min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline vf max(vf a, vf b) { return a > b ? a : b; }
inline vf min(vf a, vf b) { return a < b ? a : b; }
#endif

// The value as it is, rounded: what it was computed by is not fused with what is done with it.
template <class T>
inline T rounded(T a) {
#if defined(__x86_64__)
    asm("" : "+x"(a));
#elif defined(__aarch64__)
    asm("" : "+w"(a));
#else
    asm("" : "+m"(a));
#endif
    return a;
}

inline bool any(vi mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX__)
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    int32_t sum = 0;
    for (int i = 0; i < W; i++) sum |= mask[i];
    return sum != 0;
#endif
}

inline vf square_root(vf a) {
    vf r;
    for (int i = 0; i < W; i++) r[i] = __builtin_sqrtf(a[i]);
    return r;
}

// e^x with a relative error below 3e-7 for x in [-87, 88]; x is clamped to that range, NaN gives e^-87.
// Cody and Waite's reduction x = n ln 2 + r, |r| <= ln 2 / 2, then Taylor's polynomial of degree 7.
inline vf exponential(vf x) {
    x = min(max(x, splat(-87.0f)), splat(88.0f));
    const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits
    const vf shifted = x * 1.44269504088896341f + magic;
    const vf n = shifted - magic;
    const vf r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    vf p = splat(1.98412698e-4f);
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}

}  // namespace
