#include "unit.h"

namespace nerf {

float* UnitMemory::floats(size_t count) { return floats_.emplace_back(count).data(); }
int* UnitMemory::ints(size_t count) { return ints_.emplace_back(count).data(); }

UnitMemory::UnitMemory(const Layers& layers, int most_samples_of_a_ray) {
    const size_t n = size_t(kUnitSamples) + most_samples_of_a_ray + 32, rays = kUnitRays + 16;
    Unit& u = unit;
    u.capacity = int(n) - 32;
    u.ray_capacity = kUnitRays;
    for (float** p : {&u.origin, &u.direction, &u.colour, &u.d_colour}) *p = floats(3 * rays);
    for (float** p : {&u.opacity, &u.depth_sum, &u.rest, &u.d_opacity, &u.d_depth_sum, &u.d_rest, &u.behind,
                       &u.spread, &u.d_spread, &u.moment, &u.weight_behind, &u.moment_behind})
        *p = floats(rays);
    u.harmonics = floats(rays * kHarmonics);
    u.bias = floats(rays * kHidden);
    u.d_bias = floats(rays * kHidden);
    for (int** p : {&u.first, &u.cursor, &u.live}) *p = ints(rays);
    u.ray = ints(n);
    for (float** p : {&u.t, &u.dt, &u.x, &u.y, &u.z, &u.ts, &u.dts, &u.sigma, &u.through, &u.weight, &u.d_sigma})
        *p = floats(n);
    const size_t widest = layers.encoded > kHidden ? layers.encoded : kHidden;
    u.encoded = floats(n * layers.encoded);
    for (float** p : {&u.hidden1, &u.hidden2, &u.hidden3}) *p = floats(n * kHidden);
    u.outputs = floats(n * kOutputs);
    u.rgb = floats(n * kColoursPadded);
    for (float** p : {&u.grad_a, &u.grad_b, &u.grad_c}) *p = floats(n * widest);
}

float* Reel::reserve(int n, int active) {
    const size_t needed = used_ + Tape::floats(n, active) + 64;
    if (floats_.size() < needed) floats_.resize(needed + needed / 2);
    return floats_.data() + used_;
}

void Reel::add(int n, int active) {
    tapes_.push_back({n, used_});
    used_ += Tape::floats(n, active);
}

}  // namespace nerf
