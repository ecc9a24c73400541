// The memory of an SdfUnit.
#pragma once

#include <vector>

#include "memory.h"
#include "sdf_field.h"

namespace nerf {

constexpr int kSdfUnitSamples = 192;  // with their corners they are several times as many points
constexpr int kSdfUnitRays = 96;

class SdfUnitMemory {
   public:
    SdfUnitMemory(const SdfLayers& layers, int most_samples_of_a_ray);
    SdfUnit unit{};

   private:
    std::vector<Array<float>> floats_;
    std::vector<Array<int>> ints_;
    std::vector<Array<uint8_t>> bytes_;
};

}  // namespace nerf
