// The signed distance field in memory, and what its kernels read and leave.
//
//     f(x) = |x - centre| - radius + first output of the network        (fields/sdf.py is the definition)
//
// Rows of the two first layers lie in another order than outside, so that what is in use is contiguous:
// the network's input is [2x - 1 (3), 1, grid (2 L)], the colour's [outputs (16), normal (3), 1, zeros (12),
// harmonics (16)].
#pragma once

#include "field.h"

namespace nerf {

constexpr int kPlace = 4;      // 2x - 1 and the constant
constexpr int kColourOwn = 32; // the colour's input without the harmonics, which are the same along a ray
constexpr int kColourRow = kColourOwn + kHarmonics;
constexpr int kCorners = 4;    // of the tetrahedron that differences are taken over

struct SdfLayers {
    int encoded;  // 4 + 2 L, padded
    size_t sdf0, sdf1, colour0, colour1, colour2, count;

    explicit SdfLayers(int levels) : encoded((kPlace + levels * kFeatures + 15) / 16 * 16) {
        sdf0 = 0;                                      // (64, 4 + 2 L)
        sdf1 = sdf0 + size_t(kHidden) * encoded;       // (16, 64)
        colour0 = sdf1 + kOutputs * kHidden;           // (64, 48)
        colour1 = colour0 + kHidden * kColourRow;      // (64, 64)
        colour2 = colour1 + kHidden * kHidden;         // (3, 64)
        count = colour2 + kColours * kHidden;
    }
    size_t packed_count() const { return colour2 + kColoursPadded * kHidden; }
};

struct SdfField {
    Grid grid;
    SdfLayers layers;
    float *weights, *packed;      // as in Field
    float centre[3], radius;
    float sharpness;              // s
    float difference;             // length that differences are taken over
    float normal_weight;          // samples of less weight get neither normal nor colour, unless drawn
    float eikonal, curvature;     // weights of the two terms, divided by the number of normals
    const float* prior;           // signed distance of cell centres (z, y, x) that f is drawn to, or null
    int prior_cells;              // a side
    float prior_weight;           // divided by the number of rays
    explicit SdfField(int levels)
        : grid{}, layers(levels), weights(nullptr), packed(nullptr), centre{}, radius(0), sharpness(1), difference(0),
          normal_weight(0), eikonal(0), curvature(0), prior(nullptr), prior_cells(0), prior_weight(0) {}
};

// A Unit, and what sections and differences need. Samples of a ray that were looked at are those that are kept and,
// where the ray ends within a section, the one behind it.
struct SdfUnit : Unit {
    uint8_t* drawn;      // In: samples (as t) that get a normal whatever their weight
    int looked;          // samples in x, y, z, ..: kept ones and ends
    int* last;           // per ray: its last sample so far, or -1
    // Per sample that was looked at.
    int *before;         // the sample before it without a gap, kFirst, or kGap
    int *place;          // its number among the chosen, or -1
    uint8_t *wanted, *counts;  // drawn; 0 for an end
    float *f, *logarithm, *tau, *d_tau, *d_f;
    // Per chosen sample: those with normal and colour.
    int chosen, *sample, *whose;  // its sample, its ray
    float *colour_in, *gradient, *normal, *length, *laplacian;
    // Per corner of a chosen sample's tetrahedron.
    float *corner_x, *corner_y, *corner_z, *corner_f, *d_corner_f, *corner_encoded, *corner_hidden;
    float *corner_grad_a, *corner_grad_b;
    // Out of the backward pass, added up: eikonal and curvature terms, derivative by log s.
    double terms, d_log_sharpness;
    int tape_points() const { return looked + kCorners * chosen; }
};

constexpr int kFirst = -1, kGap = -2;

struct SdfKernels {
    const char* name;
    void (*pack)(SdfField&);
    // f of n points in u.x, u.y, u.z (16 readable numbers beyond), into u.f.
    void (*values)(const SdfField&, SdfUnit& u, int n);
    void (*forward)(const SdfField&, SdfUnit&, float stop);
    // Adds to `grad` and writes the tape of u.tape_points(); false where a gradient is not finite.
    bool (*backward)(const SdfField&, SdfUnit&, float* grad, float* tape);
    // Sum of |f - target| of n points, as `values`; derivatives by f are +-1 / count. Then as `backward`.
    double (*regress)(const SdfField&, SdfUnit&, int n, const float* targets, float count, float* grad, float* tape,
                      bool* finite);
};

const SdfKernels& sdf_kernels(const char* name);  // of the tables of Kernels

}  // namespace nerf
