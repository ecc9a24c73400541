#include "isa.h"

#include <stdexcept>

namespace nerf {

extern const Kernels kernels_portable;
#if defined(NERF_X86)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

namespace {

std::vector<const Kernels*> usable() {
    std::vector<const Kernels*> found;
#if defined(NERF_X86)
    __builtin_cpu_init();  // looks at cpuid, and at whether the system keeps the wide registers
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"))
        found.push_back(&kernels_avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&kernels_avx2);
#endif
    found.push_back(&kernels_portable);
    return found;
}

}  // namespace

std::vector<std::string> runnable() {
    std::vector<std::string> names;
    for (const Kernels* k : usable()) names.emplace_back(k->name);
    return names;
}

const Kernels& kernels(const std::string& name) {
    std::string known;
    for (const Kernels* k : usable()) {
        if (k->name == name) return *k;
        known += known.empty() ? k->name : std::string(", ") + k->name;
    }
    throw std::invalid_argument("no kernels '" + name + "' for this machine; it has " + known);
}

}  // namespace nerf
