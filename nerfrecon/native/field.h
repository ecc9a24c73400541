// The density field in memory: what the trainer owns and the kernels read.
//
// Letters: L levels of the hash grid, E = 2 L numbers a point is encoded by, padded to a multiple of 16.
// Weights are kept as PyTorch keeps them, (out, in) row after row, in one block; `Layers` says where.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nerf {

constexpr int kMaxLevels = 32;
constexpr int kFeatures = 2;   // numbers a level gives
constexpr int kHidden = 64;    // width of every hidden layer
constexpr int kOutputs = 16;   // what the density MLP gives; the first is log density
constexpr int kHarmonics = 16; // spherical harmonics up to degree 3
constexpr int kColourIn = kOutputs + kHarmonics;
constexpr int kColours = 3;
constexpr int kColoursPadded = 16;
constexpr float kMaxLogDensity = 15.0f;
constexpr float kLeastSlope = 0.02f;  // of a colour by what its sigmoid takes, on the way back (fields/colours.py)

struct Level {
    float scale;
    uint32_t resolution, entries;
    bool dense;
    size_t offset;  // rows of the table before this level
};

struct Grid {
    int levels, active;  // levels >= active give zeros and get no gradient
    Level level[kMaxLevels];
    float* table;
};

// Where each matrix starts in the block of weights.
struct Layers {
    int encoded;  // E, padded
    size_t density0, density1, colour0, colour1, colour2, count;

    explicit Layers(int levels) : encoded((levels * kFeatures + 15) / 16 * 16) {
        density0 = 0;                                  // (64, E)
        density1 = density0 + size_t(kHidden) * encoded;  // (16, 64)
        colour0 = density1 + kOutputs * kHidden;       // (64, 16 outputs + 16 harmonics)
        colour1 = colour0 + kHidden * kColourIn;       // (64, 64)
        colour2 = colour1 + kHidden * kHidden;         // (3, 64)
        count = colour2 + kColours * kHidden;
    }
    size_t packed_count() const { return colour2 + kColoursPadded * kHidden; }
};

struct Field {
    Grid grid;
    Layers layers;
    float* weights;  // (out, in), what Adam moves
    float* packed;   // (in, out), for the forward pass; written by Kernels::pack after every change
    // In bf16 these instead: pairs of rows that are summed over, forward and back (bf16.h). Layers at half their place.
    uint32_t *pairs = nullptr, *back_pairs = nullptr;
    explicit Field(int levels) : grid{}, layers(levels), weights(nullptr), packed(nullptr) {}
};

// Some consecutive rays with their samples, and room for everything that is computed of them. Sample buffers
// hold `capacity` samples and 16 more; what a kernel leaves in them is described where it does.
struct Unit {
    int capacity, ray_capacity;
    // In: rays, and the samples of ray r at t[first[r]] .. t[first[r + 1] - 1], front to back.
    int rays;
    float *origin, *direction;  // (rays, 3)
    int* first;                 // (rays + 1)
    float *t, *dt;
    // Out, per ray.
    float *colour;              // (rays, 3) sum of w c: the background is not in it
    float *opacity, *depth_sum; // sum of w, sum of w t
    float *rest;                // transmittance behind the last sample that was looked at
    float *spread;              // the ray's distortion (render/losses.py); null where a field has none
    int kept;
    // In of the backward pass: derivatives of the loss by the outputs above.
    float *d_colour, *d_opacity, *d_depth_sum, *d_rest, *d_spread;
    // Scratch, per ray.
    float *harmonics, *bias, *d_bias, *behind, *moment, *weight_behind, *moment_behind;
    int *cursor, *live;
    // Scratch, per kept sample.
    int* ray;
    float *x, *y, *z, *ts, *dts, *sigma, *through, *weight, *d_sigma;
    float *encoded, *hidden1, *outputs, *hidden2, *hidden3, *rgb;  // hidden rows as the arithmetic keeps them
    float *grad_a, *grad_b, *grad_c;
};

// Kept samples and what reached their encodings: x[n], y[n], z[n], then for each active level n pairs.
struct Tape {
    int n;
    const float* data;
    const float* gradients(int level) const { return data + size_t(3 + 2 * level) * n; }
    static size_t floats(int n, int active) { return size_t(3 + 2 * active) * n; }
};

struct AdamRates {
    float rate, beta1, beta2, eps;
    float correction1, correction2;  // 1 - beta^t
};

// One table a instruction set and arithmetic of the networks. `name` and `arithmetic` are what people read.
struct Kernels {
    const char* name;
    const char* arithmetic;
    int width;
    void (*pack)(Field&);
    // (n, ld) rows of encodings; x, y, z have 16 readable numbers beyond n, all in [0, 1].
    void (*encode)(const Grid&, const float* x, const float* y, const float* z, int n, float* out, int ld);
    // Density of n points in u.x, u.y, u.z, into u.sigma; fills u.encoded, u.hidden1, u.outputs.
    void (*density)(const Field&, Unit& u, int n);
    void (*forward)(const Field&, Unit&, float stop);
    // Adds to `grad` (layout of the weights) and writes the tape; false where a gradient is not finite.
    bool (*backward)(const Field&, Unit&, float* grad, float* tape);
    // Adds a tape's gradients of one level to `grad`, which holds that level's rows only.
    void (*scatter)(const Grid&, int level, const Tape&, float* grad);
    // Moves n parameters and clears their gradients. `sparse`: where the gradient is 0 nothing moves.
    void (*adam)(const AdamRates&, float* parameters, float* grad, float* m, float* v, size_t n, bool sparse);
    void (*exponential)(const float* x, float* out, int n);
    // For tests: the three products of colour_mlp.1 at n rows of x and of the derivative d by x w^T (all (n, 64)):
    // y = x w^T, d_x = d w, d_w = d^T x.
    void (*layer)(Field&, const float* x, const float* d, int n, float* y, float* d_x, float* d_w);
};

}  // namespace nerf
