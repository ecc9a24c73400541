// Counter-based random numbers; the recipe stands in render/random.py, and both give the same bits.
#pragma once

#include <cstdint>

namespace nerf {

enum class Draw : uint32_t {
    view = 0,
    column = 1,
    row = 2,
    jitter = 3,
    background_red = 4,
    background_green = 5,
    background_blue = 6,
    cell_x = 7,
    cell_y = 8,
    cell_z = 9,
    cell_choice = 10,
    point = 14,
    sample = 16,  // from here on one number for each sample of a ray
};

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;

inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// The numbers of one ray (or cell) of one step.
class Random {
   public:
    Random(uint64_t seed, uint32_t step, uint32_t ray)
        : b_(mix(mix(seed + kGolden) ^ (uint64_t(step) << 32 | ray))) {}
    uint32_t bits(Draw which) const { return uint32_t(mix(b_ + (uint64_t(which) + 1) * kGolden) >> 32); }
    float uniform(Draw which) const { return float(bits(which) >> 8) * 0x1p-24f; }
    int below(Draw which, int count) const { return int(uint64_t(bits(which)) * uint64_t(count) >> 32); }

   private:
    uint64_t b_;
};

}  // namespace nerf
