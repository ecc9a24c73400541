// Which cells of the cube may hold something, and the march of rays through them (render/march.py).
//
// Cell (x, y, z) has the number (z * n + y) * n + x. This file and camera.cpp are compiled without contraction
// to fused multiply-adds, so that every machine takes the same samples.
#pragma once

#include <cstdint>
#include <vector>

#include "camera.h"
#include "memory.h"

namespace nerf {

struct March {
    float step, cone, near;
    int most_samples;
};

class Occupancy {
   public:
    explicit Occupancy(int resolution);
    int resolution() const { return n_; }
    size_t cells() const { return values_.size(); }

    Array<float>& values() { return values_; }       // optical thickness of one smallest step, decaying
    Array<uint8_t>& allowed() { return allowed_; }   // 0: carved away, never on
    const Array<uint8_t>& on() const { return on_; }
    size_t count_on() const { return count_on_; }

    // On where allowed and value > threshold.
    void threshold(float threshold);
    void set_on(const uint8_t* on);

    // Samples of a ray: t and dt of its lattice points in cells that are on. Returns how many, at most
    // `most_samples`, for which there must be room.
    int march(const Ray&, const March&, float jitter, float* t, float* dt) const;

   private:
    bool enters(const Ray&, const March&, float jitter, float& t, float& exit) const;
    void summarise();
    size_t region(int x, int y, int z) const { return (size_t(z) * regions_ + y) * regions_ + x; }
    int n_, blocks_, regions_;       // cells, blocks of 4 x 4 x 4 cells, and regions of 4 x 4 x 4 blocks a side
    size_t count_on_ = 0;
    Array<float> values_;
    Array<uint8_t> allowed_, on_;    // one byte a cell
    std::vector<uint64_t> block_on_; // one bit a cell, one word a block
    std::vector<uint8_t> region_on_; // whether any cell of the region is on
};

}  // namespace nerf
