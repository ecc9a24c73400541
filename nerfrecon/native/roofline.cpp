#include "roofline.h"

#include <stdexcept>
#if defined(NERF_AVX512BF16)
#include <immintrin.h>
#endif

#if defined(NERF_X86)
#define NERF_FOR(isa) __attribute__((target(isa)))
#else
#define NERF_FOR(isa)
#endif

namespace nerf {

namespace {

constexpr int kChains = 12;  // more than latency times units, and no more than there are registers

typedef float v4 __attribute__((vector_size(16)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v16 __attribute__((vector_size(64)));
typedef float pair __attribute__((vector_size(8), may_alias));

// The value is of use to somebody, and not known: equal chains of sums would be computed once for all, and one that
// does not move not at all.
#if defined(NERF_X86)
#define NERF_KEEP(v) asm volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define NERF_KEEP(v) asm volatile("" : "+w"(v))
#else
#define NERF_KEEP(v) asm volatile("" : "+m"(v))
#endif

#define NERF_MULTIPLY_ADDS(name, vector, isa)                                                        \
    NERF_FOR(isa) double name(long rounds) {                                                         \
        vector sum[kChains], a = vector{} + 0.999999f, b = vector{} + 1e-6f;                         \
        _Pragma("GCC unroll 12") for (int k = 0; k < kChains; k++) {                                 \
            sum[k] = vector{} + float(k);                                                            \
            NERF_KEEP(sum[k]);                                                                       \
        }                                                                                            \
        for (long i = 0; i < rounds; i++) {                                                          \
            _Pragma("GCC unroll 12") for (int k = 0; k < kChains; k++) sum[k] = sum[k] * a + b;      \
        }                                                                                            \
        for (int k = 1; k < kChains; k++) sum[0] += sum[k];                                          \
        NERF_KEEP(sum[0]);                                                                           \
        return 2.0 * double(rounds) * kChains * (sizeof(vector) / sizeof(float));                    \
    }

#if defined(NERF_X86)
NERF_MULTIPLY_ADDS(on_portable, v4, "sse2")
NERF_MULTIPLY_ADDS(on_avx2, v8, "avx2,fma")
NERF_MULTIPLY_ADDS(on_avx512, v16, "avx512f,fma")
#else
NERF_MULTIPLY_ADDS(on_portable, v4, "")
#endif

#if defined(NERF_AVX512BF16)
// Two multiply-adds a lane.
NERF_FOR("avx512f,avx512bf16") double on_avx512bf16(long rounds) {
    v16 sum[kChains];
    _Pragma("GCC unroll 12") for (int k = 0; k < kChains; k++) {
        sum[k] = v16{} + float(k);
        NERF_KEEP(sum[k]);
    }
    __m512bh a = (__m512bh)_mm512_set1_epi32(0x3f803f80), b = a;  // ones
    NERF_KEEP(a);
    NERF_KEEP(b);
    for (long i = 0; i < rounds; i++) {
        _Pragma("GCC unroll 12") for (int k = 0; k < kChains; k++)
            sum[k] = (v16)_mm512_dpbf16_ps((__m512)sum[k], a, b);
    }
    for (int k = 1; k < kChains; k++) sum[0] += sum[k];
    NERF_KEEP(sum[0]);
    return 4.0 * double(rounds) * kChains * (sizeof(v16) / sizeof(float));
}
#endif

}  // namespace

double multiply_adds(const std::string& isa, long rounds) {
#if defined(NERF_X86)
    if (isa == "avx2") return on_avx2(rounds);
    if (isa == "avx512") return on_avx512(rounds);
#endif
#if defined(NERF_AVX512BF16)
    if (isa == "avx512bf16") return on_avx512bf16(rounds);
#endif
    if (isa == "portable") return on_portable(rounds);
    throw std::invalid_argument("no multiply-adds for '" + isa + "'");
}

float gather_rows(const float* table, const int32_t* rows, size_t n) {
    pair sum[4] = {};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++) sum[k] += *reinterpret_cast<const pair*>(table + 2 * size_t(rows[i + k]));
    for (; i < n; i++) sum[0] += *reinterpret_cast<const pair*>(table + 2 * size_t(rows[i]));
    const pair all = sum[0] + sum[1] + sum[2] + sum[3];
    return all[0] + all[1];
}

void scatter_rows(float* table, const int32_t* rows, size_t n) {
    const pair one = {1.0f, 1.0f};
    for (size_t i = 0; i < n; i++) *reinterpret_cast<pair*>(table + 2 * size_t(rows[i])) += one;
}

}  // namespace nerf
