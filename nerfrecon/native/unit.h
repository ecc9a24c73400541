// The memory of a Unit and of the tapes it leaves.
#pragma once

#include <vector>

#include "field.h"
#include "memory.h"

namespace nerf {

constexpr int kUnitSamples = 384;  // a unit ends with the ray that reaches this many samples
constexpr int kUnitRays = 128;

class UnitMemory {
   public:
    UnitMemory(const Layers& layers, int most_samples_of_a_ray);
    Unit unit{};

   private:
    float* floats(size_t count);
    int* ints(size_t count);
    std::vector<Array<float>> floats_;
    std::vector<Array<int>> ints_;
};

// Tapes of one chunk of rays, unit after unit.
class Reel {
   public:
    void clear() { used_ = 0, tapes_.clear(); }
    float* reserve(int n, int active);  // room for the next tape
    void add(int n, int active);
    Tape tape(size_t i) const { return {tapes_[i].n, floats_.data() + tapes_[i].start}; }
    size_t size() const { return tapes_.size(); }

   private:
    struct Place {
        int n;
        size_t start;
    };
    std::vector<float> floats_;
    std::vector<Place> tapes_;
    size_t used_ = 0;
};

}  // namespace nerf
