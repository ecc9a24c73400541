#include "isa.h"

#include <stdexcept>
#if defined(NERF_X86)
#include <cpuid.h>
#endif

namespace nerf {

extern const Kernels kernels_portable, bf16_kernels_portable;
#if defined(NERF_X86)
extern const Kernels kernels_avx2, bf16_kernels_avx2;
extern const Kernels kernels_avx512, bf16_kernels_avx512;
#endif
#if defined(NERF_AVX512BF16)
extern const Kernels bf16_kernels_avx512bf16;
#endif

namespace {

#if defined(NERF_AVX512BF16)
bool has_avx512bf16() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#endif

std::vector<const Kernels*> usable(bool bf16) {
    std::vector<const Kernels*> found;
#if defined(NERF_X86)
    __builtin_cpu_init();  // looks at cpuid, and at whether the system keeps the wide registers
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma")) {
#if defined(NERF_AVX512BF16)
        if (bf16 && has_avx512bf16()) found.push_back(&bf16_kernels_avx512bf16);
#endif
        found.push_back(bf16 ? &bf16_kernels_avx512 : &kernels_avx512);
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        found.push_back(bf16 ? &bf16_kernels_avx2 : &kernels_avx2);
#endif
    found.push_back(bf16 ? &bf16_kernels_portable : &kernels_portable);
    return found;
}

}  // namespace

std::vector<std::string> runnable(bool bf16) {
    std::vector<std::string> names;
    for (const Kernels* k : usable(bf16)) names.emplace_back(k->name);
    return names;
}

const Kernels& kernels(const std::string& name, bool bf16) {
    std::string known;
    for (const Kernels* k : usable(bf16)) {
        if (name.empty() || k->name == name) return *k;
        known += known.empty() ? k->name : std::string(", ") + k->name;
    }
    throw std::invalid_argument("no kernels '" + name + "' for this machine; it has " + known);
}

}  // namespace nerf
