#include "occupancy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace nerf {

namespace {

// t += step until t >= far, at least once, rounded as if one by one; t >= 0. Between two powers of two every sum moves
// by the same number of last places, unless it falls on a tie: there many are taken at once, exactly.
float stepped(float t, float step, float far) {
    t += step;
    while (t < far) {
        uint32_t bits;
        std::memcpy(&bits, &t, 4);
        bits = (bits & 0x7f800000u) + 0x00800000u;
        float power;  // of two, the next
        std::memcpy(&power, &bits, 4);
        const float moved = (t + step) - t, place = power * 0x1p-24f;
        const float many = (std::min(far, power) - t) / moved - 2.0f;
        if (many >= 1.0f && 2 * std::fabs(step - moved) != place && many < 1e6f) t += float(int(many)) * moved;
        t += step;
    }
    return t;
}

}  // namespace

Occupancy::Occupancy(int resolution)
    : n_(resolution),
      blocks_((resolution + 3) / 4),
      regions_((resolution + 15) / 16),
      values_(size_t(n_) * n_ * n_),
      allowed_(values_.size()),
      on_(values_.size()),
      block_on_(size_t(blocks_) * blocks_ * blocks_),
      region_on_(size_t(regions_) * regions_ * regions_) {
    std::memset(allowed_.data(), 1, cells());
    std::memset(on_.data(), 1, cells());
    summarise();
}

void Occupancy::threshold(float threshold) {
    for (size_t i = 0; i < cells(); i++) on_[i] = allowed_[i] && values_[i] > threshold;
    summarise();
}

void Occupancy::set_on(const uint8_t* on) {
    for (size_t i = 0; i < cells(); i++) on_[i] = on[i] != 0;
    summarise();
}

void Occupancy::summarise() {
    std::fill(block_on_.begin(), block_on_.end(), 0);
    std::fill(region_on_.begin(), region_on_.end(), 0);
    count_on_ = 0;
    const uint8_t* cell = on_.data();
    for (int z = 0; z < n_; z++)
        for (int y = 0; y < n_; y++) {
            uint64_t* row = block_on_.data() + (size_t(z >> 2) * blocks_ + (y >> 2)) * blocks_;
            for (int x = 0; x < n_; x++, cell++) {
                row[x >> 2] |= uint64_t(*cell) << ((z & 3) << 4 | (y & 3) << 2 | (x & 3));
                count_on_ += *cell;
            }
        }
    const uint64_t* block = block_on_.data();
    for (int z = 0; z < blocks_; z++)
        for (int y = 0; y < blocks_; y++)
            for (int x = 0; x < blocks_; x++) region_on_[region(x >> 2, y >> 2, z >> 2)] |= *block++ != 0;
}

bool Occupancy::enters(const Ray& ray, const March& march, float jitter, float& t, float& exit) const {
    float entry = -INFINITY;
    exit = INFINITY;
    for (int i = 0; i < 3; i++) {
        const float d = std::fabs(ray.direction[i]) < 1e-9f ? 1e-9f : ray.direction[i];
        const float low = -ray.origin[i] / d, high = (1.0f - ray.origin[i]) / d;
        entry = std::max(entry, std::min(low, high));
        exit = std::min(exit, std::max(low, high));
    }
    entry = std::max(entry, march.near);
    t = entry + std::max(entry * march.cone, march.step) * jitter;
    return t < exit;
}

int Occupancy::march(const Ray& ray, const March& march, float jitter, float* ts, float* dts) const {
    float t, exit;
    if (!enters(ray, march, jitter, t, exit)) return 0;
    const float *o = ray.origin, *d = ray.direction;
    float inverse[3];
    for (int i = 0; i < 3; i++) inverse[i] = 1.0f / (std::fabs(d[i]) < 1e-9f ? 1e-9f : d[i]);
    const float cell_size = 1.0f / float(n_);
    int count = 0;
    while (t < exit && count < march.most_samples) {
        int cell[3];
        for (int i = 0; i < 3; i++) {
            const float p = std::min(std::max(o[i] + t * d[i], 0.0f), 1.0f);
            cell[i] = std::min(int(p * float(n_)), n_ - 1);
        }
        const uint64_t block = block_on_[(size_t(cell[2] >> 2) * blocks_ + (cell[1] >> 2)) * blocks_ + (cell[0] >> 2)];
        const float dt = std::max(t * march.cone, march.step);
        if (block >> ((cell[2] & 3) << 4 | (cell[1] & 3) << 2 | (cell[0] & 3)) & 1) {
            ts[count] = t;
            dts[count++] = dt;
            t += dt;
            continue;
        }
        // Over the empty cell, block or region, without leaving the lattice. Stopping a hair early is safe: the next
        // point is looked up again.
        const int shift = block ? 0 : region_on_[region(cell[0] >> 4, cell[1] >> 4, cell[2] >> 4)] ? 2 : 4;
        float far = exit;
        for (int i = 0; i < 3; i++) {
            const int side = ((cell[i] >> shift) + (d[i] > 0)) << shift;
            far = std::min(far, (float(side) * cell_size - o[i]) * inverse[i]);
        }
        far -= 1e-5f;
        if (march.cone > 0)
            do t += std::max(t * march.cone, march.step);
            while (t < far);
        else
            t = stepped(t, march.step, far);
    }
    return count;
}

}  // namespace nerf
