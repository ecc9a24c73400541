// The march of rays through a baked model's voxels while it is fitted (bake/render.py says what is right).
//
// Compiled without contraction to fused multiply-adds, so that every machine looks at the same lattice points.
#pragma once

#include <cstdint>
#include <vector>

namespace nerf {

// Voxels as bake/voxels.py lays them out: slots of blocks, rows of blocks with their aprons, distances of groups.
struct BakedCube {
    int resolution;
    const int32_t *slot, *rows;
    const uint8_t* distance;
};

struct BakedOptics {
    float step, low, high, stop;
};

// In voxel coordinates: the ray's lattice is t0 + k step < t1.
struct BakedRay {
    float origin[3], direction[3], t0, t1;
};

// Lattice points with some thickness, near to far: 8 rows and 8 weights each, and t.
struct BakedPoints {
    std::vector<int64_t> rows;
    std::vector<float> weights, t;
};

// Appends the points of one ray; `codes` is of rows.
void march_baked(const BakedCube&, const float* codes, const BakedOptics&, const BakedRay&, BakedPoints&);

}  // namespace nerf
