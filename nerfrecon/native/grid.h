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
    alignas(64) int32_t as_first[W];  // all bits where a lane's cell is that of the first of its four
    bool one_cell(int j) const {      // of lanes j .. j + 3
        uint64_t halves[2];
        std::memcpy(halves, as_first + j, sizeof(halves));
        return (halves[0] & halves[1]) == ~uint64_t(0);
    }
};

inline vi first_of_four(vi a) {
#if NERF_WIDTH == 16
    return __builtin_shufflevector(a, a, 0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
#elif NERF_WIDTH == 8
    return __builtin_shufflevector(a, a, 0, 0, 0, 0, 4, 4, 4, 4);
#else
    return __builtin_shufflevector(a, a, 0, 0, 0, 0);
#endif
}

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
    const vi as_first = (ix == first_of_four(ix)) & (iy == first_of_four(iy)) & (iz == first_of_four(iz));
    std::memcpy(out.as_first, &as_first, sizeof(vi));
    const vf gx = 1.0f - fx, gy = 1.0f - fy, gz = 1.0f - fz;
    const vf yz[4] = {gy * gz, fy * gz, gy * fz, fy * fz};
    for (int k = 0; k < 8; k++) {
        const vf weight = (k & 1 ? fx : gx) * yz[k >> 1];
        std::memcpy(out.row[k], &row[k], sizeof(vi));
        store(out.weight[k], weight);
    }
}

constexpr int kAhead = 96 / W;   // vectors of points between asking for rows and using them
constexpr int kRing = 128 / W;   // a power of two
static_assert(kRing > kAhead, "what is asked for must not overwrite what is used");

// Asks for the rows around W points long before they are needed, into the second cache: the first has too few
// requests in flight to wait for the third or for memory. A row of 8 bytes never straddles a cache line.
inline void fetch(const float* table, const Corners& c) {
    for (int k = 0; k < 8; k++)
        for (int j = 0; j < W; j++) __builtin_prefetch(table + 2 * size_t(c.row[k][j]), 0, 2);
}

// Four pairs of floats, in doubles so that each is moved at once.
typedef double double_alias __attribute__((may_alias));
typedef double double_unaligned __attribute__((aligned(4), may_alias));
typedef double four_pairs __attribute__((vector_size(32)));
typedef double four_unaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef float eight __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16), may_alias));

inline double pair_at(const float* table, uint32_t row) {
    return *reinterpret_cast<const double_alias*>(table + 2 * size_t(row));
}

inline eight twice(four w) { return __builtin_shufflevector(w, w, 0, 0, 1, 1, 2, 2, 3, 3); }

// Features of `count` lanes from j on, at most 4, to rows of `ld`.
#if NERF_WIDTH > 4
inline void interpolate(const float* table, const Corners& c, int j, int count, float* to, int ld) {
    eight sum = {};
    const auto add = [&](int k, four_pairs rows) {
        sum += (eight)rows * twice(*reinterpret_cast<const four*>(c.weight[k] + j));
    };
    const auto at = [&](int k, int i) { return pair_at(table, c.row[k][j + i]); };
    if (c.one_cell(j))  // on coarse levels often: the points follow each other along a ray
        for (int k = 0; k < 8; k++) add(k, four_pairs{at(k, 0), at(k, 0), at(k, 0), at(k, 0)});
    else
        for (int k = 0; k < 8; k++) add(k, four_pairs{at(k, 0), at(k, 1), at(k, 2), at(k, 3)});
    const four_pairs found = (four_pairs)sum;
    for (int i = 0; i < count; i++) *reinterpret_cast<double_unaligned*>(to + size_t(i) * ld) = found[i];
}
#else
inline void interpolate(const float* table, const Corners& c, int j, int count, float* to, int ld) {
    for (int i = j; i < j + count; i++, to += ld) {
        pair sum = {0.0f, 0.0f};
        for (int k = 0; k < 8; k++)
            sum += *reinterpret_cast<const pair*>(table + 2 * size_t(c.row[k][i])) * c.weight[k][i];
        *reinterpret_cast<pair_unaligned*>(to) = sum;
    }
}
#endif

// The features of the active levels, level after level, so that one is in the cache for many points; rows are asked
// for across levels. `out` is (n, ld).
inline void encode_levels(const nerf::Grid& grid, const float* x, const float* y, const float* z, int n, float* out,
                          int ld) {
    Corners ring[kRing];
    int asked_level = 0, asked = 0, ahead = 0;
    const auto ask = [&] {
        if (asked_level == grid.active) return;
        const nerf::Level& level = grid.level[asked_level];
        Corners& c = ring[ahead++ % kRing];
        corners(level, x + asked, y + asked, z + asked, c);
        fetch(grid.table + nerf::kFeatures * level.offset, c);
        if ((asked += W) >= n) asked = 0, asked_level++;
    };
    if (n <= 0) return;
    for (int i = 0; i < kAhead; i++) ask();
    for (int l = 0, used = 0; l < grid.active; l++) {
        const float* table = grid.table + nerf::kFeatures * grid.level[l].offset;
        for (int s = 0; s < n; s += W) {
            ask();
            const Corners& c = ring[used++ % kRing];
            float* to = out + size_t(s) * ld + nerf::kFeatures * l;
            for (int j = 0; j < W && s + j < n; j += 4)
                interpolate(table, c, j, n - s - j < 4 ? n - s - j : 4, to + size_t(j) * ld, ld);
        }
    }
}

inline void encode(const nerf::Grid& grid, const float* x, const float* y, const float* z, int n, float* out, int ld) {
    encode_levels(grid, x, y, z, n, out, ld);
    if (grid.active * nerf::kFeatures < ld)
        for (int s = 0; s < n; s++)
            for (int f = grid.active * nerf::kFeatures; f < ld; f++) out[size_t(s) * ld + f] = 0.0f;
}

// Derivatives by the active levels' features, which begin at `place` in n rows of `columns`, level after level: those of
// level l at to + 2 l stride. Zero where all are finite and none is absurdly large, otherwise not.
inline vf write_levels(const nerf::Grid& grid, const float* rows, int ld, int place, int n, int columns, float* to,
                       int stride) {
    constexpr int kTile = 32;  // samples whose rows stay in the first cache while the levels are taken out of them
    vf zeros = {};
    for (int s0 = 0; s0 < n; s0 += kTile) {
        const int s1 = s0 + kTile < n ? s0 + kTile : n;
        for (int s = s0; s < s1; s++)
            for (int c = 0; c < columns; c += W) zeros += load(rows + size_t(ld) * s + c) * 1e20f * 0.0f;
        for (int l = 0; l < grid.active; l++) {
            const float* from = rows + place + 2 * l;
            float* level = to + 2 * size_t(l) * stride;
            const auto at = [&](int s) { return *reinterpret_cast<const double_unaligned*>(from + size_t(ld) * s); };
            int s = s0;
            for (; s + 4 <= s1; s += 4)
                *reinterpret_cast<four_unaligned*>(level + 2 * s) = four_pairs{at(s), at(s + 1), at(s + 2), at(s + 3)};
            for (; s < s1; s++) *reinterpret_cast<double_unaligned*>(level + 2 * s) = at(s);
        }
    }
    return zeros;
}

constexpr uint32_t kNear = 1u << 17;  // rows of a level whose gradient mostly stays in the second cache

// Gradients of one level. Nothing is asked for ahead where that is not far: it would cost more than the wait.
inline void scatter(const nerf::Grid& grid, int index, const nerf::Tape& tape, float* grad) {
    const nerf::Level& level = grid.level[index];
    const float *x = tape.data, *y = x + tape.n, *z = y + tape.n, *d = tape.gradients(index);
    const bool far = level.entries > kNear;
    Corners both[2];
    if (tape.n > 0) corners(level, x, y, z, both[0]);
    for (int s = 0, turn = 0; s < tape.n; s += W, turn ^= 1) {
        const Corners& c = both[turn];
        if (s + W < tape.n) {
            corners(level, x + s + W, y + s + W, z + s + W, both[turn ^ 1]);
            if (far) fetch(grad, both[turn ^ 1]);
        }
        const int lanes = tape.n - s < W ? tape.n - s : W;
        for (int j = 0; j < lanes; j++) {
            const pair g = *reinterpret_cast<const pair_unaligned*>(d + 2 * (s + j));
            for (int k = 0; k < 8; k++) *reinterpret_cast<pair*>(grad + 2 * size_t(c.row[k][j])) += g * c.weight[k][j];
        }
    }
}

}  // namespace
