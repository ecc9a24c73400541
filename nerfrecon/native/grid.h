// The hash grid (tiny-cuda-nn's rule, see fields/grid.py): encode points, add gradients to the table.
//
// W points are the lanes of a vector while corners and weights are computed; table rows are read and written
// one by one, two features (8 bytes) at a time, which on most cores is no slower than a gather.
//
// Points that come in fours lie close together (a tetrahedron's corners): on coarse levels in one cell, whose rows
// are then read and written once for the four.
#pragma once

#include "field.h"
#include "vec.h"

namespace {

typedef float quad __attribute__((vector_size(16)));
typedef float quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

inline quad load4(const float* p) { return *reinterpret_cast<const quad_unaligned*>(p); }

struct Corners {
    alignas(64) uint32_t row[8][W];
    alignas(64) float weight[8][W];
    alignas(64) int32_t cell[3][W];  // of the points; written where it is asked for

    bool together(int j) const {  // whether points j .. j + 3 lie in one cell
        int32_t apart = 0;
        for (int c = 0; c < 3; c++)
            for (int k = 1; k < 4; k++) apart |= cell[c][j] ^ cell[c][j + k];
        return !apart;
    }
};

// Rows and trilinear weights of the 8 corners around W points; corner k has bit 0 for x, 1 for y, 2 for z.
template <bool cells = false>
inline void corners(const nerf::Level& level, const float* x, const float* y, const float* z, Corners& out) {
    // As the reference rounds it: on a fine level half a bit of x * scale is felt in the weights.
    const vf px = rounded(load(x) * level.scale) + 0.5f, py = rounded(load(y) * level.scale) + 0.5f,
             pz = rounded(load(z) * level.scale) + 0.5f;
    const vi ix = __builtin_convertvector(px, vi), iy = __builtin_convertvector(py, vi),
             iz = __builtin_convertvector(pz, vi);  // the position is not negative: truncation is floor
    if (cells) {
        std::memcpy(out.cell[0], &ix, sizeof(vi));
        std::memcpy(out.cell[1], &iy, sizeof(vi));
        std::memcpy(out.cell[2], &iz, sizeof(vi));
    }
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

inline pair encoded_at(const float* table, const Corners& c, int j) {
    pair sum = {0.0f, 0.0f};
    for (int k = 0; k < 8; k++) sum += *reinterpret_cast<const pair*>(table + 2 * size_t(c.row[k][j])) * c.weight[k][j];
    return sum;
}

// Points j .. j + 3 of one cell: two of them in a vector.
inline void encode_four(const float* table, const Corners& c, int j, float* to, int ld) {
    quad first = {}, second = {};
    for (int k = 0; k < 8; k++) {
        const float* row = table + 2 * size_t(c.row[k][j]);
        const quad both = {row[0], row[1], row[0], row[1]}, w = load4(c.weight[k] + j);
        first += both * quad{w[0], w[0], w[1], w[1]};
        second += both * quad{w[2], w[2], w[3], w[3]};
    }
    const pair found[4] = {{first[0], first[1]}, {first[2], first[3]}, {second[0], second[1]}, {second[2], second[3]}};
    for (int k = 0; k < 4; k++) *reinterpret_cast<pair_unaligned*>(to + size_t(k) * ld) = found[k];
}

template <bool fours = false>
inline void encode_level(const nerf::Grid& grid, int index, const float* x, const float* y, const float* z, int n,
                         float* out, int ld) {
    const nerf::Level& level = grid.level[index];
    const float* table = grid.table + nerf::kFeatures * level.offset;
    Corners both[2];
    if (n > 0) corners<fours>(level, x, y, z, both[0]);
    for (int s = 0, turn = 0; s < n; s += W, turn ^= 1) {
        const Corners& c = both[turn];
        if (s + W < n) {
            corners<fours>(level, x + s + W, y + s + W, z + s + W, both[turn ^ 1]);
            fetch(table, both[turn ^ 1]);
        }
        const int lanes = n - s < W ? n - s : W;
        float* to = out + size_t(s) * ld + nerf::kFeatures * index;
        for (int j = 0; j < lanes; j++) {
            if (fours && !(j & 3) && c.together(j)) {
                encode_four(table, c, j, to + size_t(j) * ld, ld);
                j += 3;
                continue;
            }
            *reinterpret_cast<pair_unaligned*>(to + size_t(j) * ld) = encoded_at(table, c, j);
        }
    }
}

inline void encode(const nerf::Grid& grid, const float* x, const float* y, const float* z, int n, float* out, int ld) {
    for (int l = 0; l < grid.active; l++) encode_level(grid, l, x, y, z, n, out, ld);
    if (grid.active * nerf::kFeatures < ld)
        for (int s = 0; s < n; s++)
            for (int f = grid.active * nerf::kFeatures; f < ld; f++) out[size_t(s) * ld + f] = 0.0f;
}

// Adds the gradients of points j .. j + 3 of one cell, pairs at d.
inline void scatter_four(const Corners& c, int j, const float* d, float* grad) {
    const quad first = load4(d), second = load4(d + 4);
    for (int k = 0; k < 8; k++) {
        const quad w = load4(c.weight[k] + j);
        const quad sum = first * quad{w[0], w[0], w[1], w[1]} + second * quad{w[2], w[2], w[3], w[3]};
        *reinterpret_cast<pair*>(grad + 2 * size_t(c.row[k][j])) += pair{sum[0], sum[1]} + pair{sum[2], sum[3]};
    }
}

// Points from .. to - 1 of the tape.
template <bool fours>
inline void scatter_points(const nerf::Level& level, const nerf::Tape& tape, const float* d, int from, int to,
                           float* grad) {
    const float *x = tape.data, *y = x + tape.n, *z = y + tape.n;
    Corners both[2];
    if (from < to) corners<fours>(level, x + from, y + from, z + from, both[0]);
    for (int s = from, turn = 0; s < to; s += W, turn ^= 1) {
        const Corners& c = both[turn];
        if (s + W < to) {
            corners<fours>(level, x + s + W, y + s + W, z + s + W, both[turn ^ 1]);
            fetch(grad, both[turn ^ 1]);
        }
        const int lanes = to - s < W ? to - s : W;
        for (int j = 0; j < lanes; j++) {
            if (fours && !(j & 3) && c.together(j)) {
                scatter_four(c, j, d + 2 * size_t(s + j), grad);
                j += 3;
                continue;
            }
            const pair g = *reinterpret_cast<const pair_unaligned*>(d + 2 * size_t(s + j));
            for (int k = 0; k < 8; k++) *reinterpret_cast<pair*>(grad + 2 * size_t(c.row[k][j])) += g * c.weight[k][j];
        }
    }
}

inline void scatter(const nerf::Grid& grid, int index, const nerf::Tape& tape, float* grad) {
    const nerf::Level& level = grid.level[index];
    scatter_points<false>(level, tape, tape.gradients(index), 0, tape.alone, grad);
    scatter_points<true>(level, tape, tape.gradients(index), tape.alone, tape.n, grad);
}

}  // namespace
