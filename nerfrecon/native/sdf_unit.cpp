#include "sdf_unit.h"

namespace nerf {

SdfUnitMemory::SdfUnitMemory(const SdfLayers& layers, int most_samples_of_a_ray) {
    const size_t n = size_t(kSdfUnitSamples) + most_samples_of_a_ray + 32, rays = kSdfUnitRays + 16;
    const size_t widest = layers.encoded > kHidden ? layers.encoded : kHidden, corners = kCorners * n;
    SdfUnit& u = unit;
    const auto floats = [&](size_t count, std::initializer_list<float**> arrays) {
        for (float** p : arrays) *p = floats_.emplace_back(count).data();
    };
    const auto ints = [&](size_t count, std::initializer_list<int**> arrays) {
        for (int** p : arrays) *p = ints_.emplace_back(count).data();
    };
    u.capacity = int(n) - 32;
    u.ray_capacity = kSdfUnitRays;
    floats(3 * rays, {&u.origin, &u.direction, &u.colour, &u.d_colour});
    floats(rays, {&u.opacity, &u.depth_sum, &u.rest, &u.d_opacity, &u.d_depth_sum, &u.d_rest, &u.behind});
    floats(rays * kHarmonics, {&u.harmonics});
    floats(rays * kHidden, {&u.bias, &u.d_bias});
    ints(rays, {&u.first, &u.cursor, &u.live, &u.last});
    ints(n, {&u.ray, &u.before, &u.place, &u.sample, &u.whose});
    for (uint8_t** p : {&u.drawn, &u.wanted, &u.counts}) *p = bytes_.emplace_back(n).data();
    floats(n, {&u.t, &u.dt, &u.x, &u.y, &u.z, &u.ts, &u.dts, &u.through, &u.weight});
    floats(n, {&u.f, &u.logarithm, &u.tau, &u.d_tau, &u.d_f, &u.length, &u.laplacian});
    floats(n * layers.encoded, {&u.encoded});
    floats(n * kHidden, {&u.hidden1, &u.hidden2, &u.hidden3});
    floats(n * kOutputs, {&u.outputs});
    floats(n * kColoursPadded, {&u.rgb});
    floats(n * kColourOwn, {&u.colour_in});
    floats(n * 3, {&u.gradient, &u.normal});
    floats(n * widest, {&u.grad_a, &u.grad_b, &u.grad_c});
    floats(corners, {&u.corner_x, &u.corner_y, &u.corner_z, &u.corner_f, &u.d_corner_f});
    floats(corners * layers.encoded, {&u.corner_encoded, &u.corner_grad_b});
    floats(corners * kHidden, {&u.corner_hidden, &u.corner_grad_a});
}

}  // namespace nerf
