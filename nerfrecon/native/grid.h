// The hash grid (tiny-cuda-nn's rule, see fields/grid.py): encode points, add gradients to the table.
//
// W points are the lanes of a vector while corners and weights are computed; table rows are read and written
// one by one, two features (8 bytes) at a time, which on most cores is no slower than a gather.
#pragma once

#include "field.h"
#include "vec.h"

namespace {

struct Corners {
    alignas(64) uint32_t row[8][W];
    alignas(64) float weight[8][W];
};

// Rows and trilinear weights of the 8 corners around W points; corner k has bit 0 for x, 1 for y, 2 for z.
inline void corners(const nerf::Level& level, const float* x, const float* y, const float* z, Corners& out) {
    // As the reference rounds it: on a fine level half a bit of x * scale is felt in the weights.
    const vf px = rounded(load(x) * level.scale) + 0.5f, py = rounded(load(y) * level.scale) + 0.5f,
             pz = rounded(load(z) * level.scale) + 0.5f;
    const vi ix = __builtin_convertvector(px, vi), iy = __builtin_convertvector(py, vi),
             iz = __builtin_convertvector(pz, vi);  // the position is not negative: truncation is floor
    const vf fx = px - __builtin_convertvector(ix, vf), fy = py - __builtin_convertvector(iy, vf),
             fz = pz - __builtin_convertvector(iz, vf);
    vi row[8];
    if (level.dense) {
        const int32_t r = int32_t(level.resolution), r2 = r * r, entries = int32_t(level.entries);
        row[0] = ix + iy * r + iz * r2;
        row[1] = row[0] + 1;
        row[2] = row[0] + r;
        row[3] = row[1] + r;
        for (int k = 0; k < 4; k++) row[4 + k] = row[k] + r2;
        for (int k = 0; k < 8; k++) row[k] -= (row[k] >= entries) & entries;  // one turn is enough
    } else {
        const vu y0 = (vu)iy * 2654435761u, y1 = y0 + 2654435761u, z0 = (vu)iz * 805459861u, z1 = z0 + 805459861u;
        const vu x0 = (vu)ix, x1 = x0 + 1u;
        const uint32_t mask = level.entries - 1;  // a hashed level has a power of two entries
        for (int k = 0; k < 8; k++) row[k] = (vi)(((k & 1 ? x1 : x0) ^ (k & 2 ? y1 : y0) ^ (k & 4 ? z1 : z0)) & mask);
    }
    const vf gx = 1.0f - fx, gy = 1.0f - fy, gz = 1.0f - fz;
    const vf yz[4] = {gy * gz, fy * gz, gy * fz, fy * fz};
    for (int k = 0; k < 8; k++) {
        const vf weight = (k & 1 ? fx : gx) * yz[k >> 1];
        std::memcpy(out.row[k], &row[k], sizeof(vi));
        store(out.weight[k], weight);
    }
}

// Asks for the rows around W points before they are needed. A row of 8 bytes never straddles a cache line, and
// corners k and k + 1 mostly share one.
inline void fetch(const float* table, const Corners& c) {
    for (int k = 0; k < 8; k++)
        for (int j = 0; j < W; j++) __builtin_prefetch(table + 2 * size_t(c.row[k][j]));
}

inline void encode_level(const nerf::Grid& grid, int index, const float* x, const float* y, const float* z, int n,
                         float* out, int ld) {
    const nerf::Level& level = grid.level[index];
    const float* table = grid.table + nerf::kFeatures * level.offset;
    Corners both[2];
    if (n > 0) corners(level, x, y, z, both[0]);
    for (int s = 0, turn = 0; s < n; s += W, turn ^= 1) {
        const Corners& c = both[turn];
        if (s + W < n) {
            corners(level, x + s + W, y + s + W, z + s + W, both[turn ^ 1]);
            fetch(table, both[turn ^ 1]);
        }
        const int lanes = n - s < W ? n - s : W;
        float* to = out + size_t(s) * ld + nerf::kFeatures * index;
        for (int j = 0; j < lanes; j++) {
            pair sum = {0.0f, 0.0f};
            for (int k = 0; k < 8; k++)
                sum += *reinterpret_cast<const pair*>(table + 2 * size_t(c.row[k][j])) * c.weight[k][j];
            *reinterpret_cast<pair_unaligned*>(to + size_t(j) * ld) = sum;
        }
    }
}

inline void encode(const nerf::Grid& grid, const float* x, const float* y, const float* z, int n, float* out, int ld) {
    for (int l = 0; l < grid.active; l++) encode_level(grid, l, x, y, z, n, out, ld);
    if (grid.active * nerf::kFeatures < ld)
        for (int s = 0; s < n; s++)
            for (int f = grid.active * nerf::kFeatures; f < ld; f++) out[size_t(s) * ld + f] = 0.0f;
}

inline void scatter(const nerf::Grid& grid, int index, const nerf::Tape& tape, float* grad) {
    const nerf::Level& level = grid.level[index];
    const float *x = tape.data, *y = x + tape.n, *z = y + tape.n, *d = tape.gradients(index);
    Corners both[2];
    if (tape.n > 0) corners(level, x, y, z, both[0]);
    for (int s = 0, turn = 0; s < tape.n; s += W, turn ^= 1) {
        const Corners& c = both[turn];
        if (s + W < tape.n) {
            corners(level, x + s + W, y + s + W, z + s + W, both[turn ^ 1]);
            fetch(grad, both[turn ^ 1]);
        }
        const int lanes = tape.n - s < W ? tape.n - s : W;
        for (int j = 0; j < lanes; j++) {
            const pair g = *reinterpret_cast<const pair_unaligned*>(d + 2 * (s + j));
            for (int k = 0; k < 8; k++) *reinterpret_cast<pair*>(grad + 2 * size_t(c.row[k][j])) += g * c.weight[k][j];
        }
    }
}

}  // namespace
