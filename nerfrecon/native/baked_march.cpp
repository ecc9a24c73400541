#include "baked_march.h"

#include <algorithm>
#include <cmath>

namespace nerf {
namespace {

constexpr int kBlock = 8, kApron = 9, kGroup = 4;
constexpr float kSlack = 1e-3f;  // of a step: how much earlier than computed a jump may end

int clamped(float x, int most) { return int(std::clamp(std::floor(x), 0.0f, float(most))); }

// The rows of the 8 voxels around p and their weights; returns the interpolated code.
float around(const BakedCube& cube, const float* codes, const float* p, int64_t* rows, float* weights) {
    int at[3];
    float ahead[3];
    for (int c = 0; c < 3; c++) {
        at[c] = clamped(p[c], cube.resolution - 2);
        ahead[c] = p[c] - float(at[c]);
    }
    const int side = cube.resolution / kBlock;
    const size_t block = (size_t(at[2] / kBlock) * side + at[1] / kBlock) * side + at[0] / kBlock;
    const size_t layer = (size_t(cube.slot[block]) * kApron + at[2] % kBlock) * kApron + at[1] % kBlock;
    const int32_t* first = cube.rows + layer * kApron + at[0] % kBlock;
    float code = 0;
    for (int k = 0; k < 8; k++) {
        const int z = k >> 2, y = k >> 1 & 1, x = k & 1;
        rows[k] = first[(z * kApron + y) * kApron + x];
        weights[k] = (z ? ahead[2] : 1 - ahead[2]) * (y ? ahead[1] : 1 - ahead[1]) * (x ? ahead[0] : 1 - ahead[0]);
        code += codes[rows[k]] * weights[k];
    }
    return code;
}

}  // namespace

void march_baked(const BakedCube& cube, const float* codes, const BakedOptics& optics, const BakedRay& ray,
                 BakedPoints& found) {
    const int groups = cube.resolution / kGroup;
    const float thinnest = std::exp(optics.low);
    float k = 0, clear = 1;
    for (;;) {
        const float t = ray.t0 + k * optics.step;
        if (!(t < ray.t1) || clear < optics.stop) return;
        float p[3];
        int group[3];
        for (int c = 0; c < 3; c++) {
            p[c] = ray.origin[c] + t * ray.direction[c];
            group[c] = clamped(p[c] / kGroup, groups - 1);
        }
        const int distance = cube.distance[(size_t(group[2]) * groups + group[1]) * groups + group[0]];
        if (distance == 0) {
            int64_t rows[8];
            float weights[8];
            const float code = around(cube, codes, p, rows, weights);
            if (code > 0) {
                found.rows.insert(found.rows.end(), rows, rows + 8);
                found.weights.insert(found.weights.end(), weights, weights + 8);
                found.t.push_back(t);
                clear *= std::exp(-optics.step * thinnest * std::expm1((optics.high - optics.low) * code));
            }
            k += 1;
            continue;
        }
        float leave = INFINITY;
        for (int c = 0; c < 3; c++) {
            const int side = kGroup * (ray.direction[c] > 0 ? group[c] + distance : group[c] - distance + 1);
            leave = std::min(leave, (float(side) - ray.origin[c]) / ray.direction[c]);
        }
        k = std::max(k + 1, std::ceil((leave - ray.t0) / optics.step - kSlack));
    }
}

}  // namespace nerf
