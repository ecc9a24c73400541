// The table of kernels for one instruction set. Compiled several times; NERF_ISA names the table.
#include "adam.h"
#include "density.h"

namespace {

void pack_matrix(const float* w, float* packed, int rows, int columns, int packed_rows) {
    for (int o = 0; o < packed_rows; o++)
        for (int i = 0; i < columns; i++) packed[size_t(i) * packed_rows + o] = o < rows ? w[size_t(o) * columns + i] : 0;
}

void pack(Field& field) {
    const nerf::Layers& at = field.layers;
    pack_matrix(field.weights + at.density0, field.packed + at.density0, kHidden, at.encoded, kHidden);
    pack_matrix(field.weights + at.density1, field.packed + at.density1, kOutputs, kHidden, kOutputs);
    pack_matrix(field.weights + at.colour0, field.packed + at.colour0, kHidden, nerf::kColourIn, kHidden);
    pack_matrix(field.weights + at.colour1, field.packed + at.colour1, kHidden, kHidden, kHidden);
    pack_matrix(field.weights + at.colour2, field.packed + at.colour2, nerf::kColours, kHidden, nerf::kColoursPadded);
}

void density_of_points(const Field& field, Unit& u, int n) { evaluate_density(field, u, 0, n); }

void exponentials(const float* x, float* out, int n) {
    for (int i = 0; i < n; i += W) {
        vf v = {};
        const int lanes = n - i < W ? n - i : W;
        for (int j = 0; j < lanes; j++) v[j] = x[i + j];
        v = exponential(v);
        for (int j = 0; j < lanes; j++) out[i + j] = v[j];
    }
}

}  // namespace

namespace nerf {

#define NERF_TEXT_(x) #x
#define NERF_TEXT(x) NERF_TEXT_(x)
#define NERF_JOIN_(a, b) a##b
#define NERF_JOIN(a, b) NERF_JOIN_(a, b)

extern const Kernels NERF_JOIN(kernels_, NERF_ISA);
const Kernels NERF_JOIN(kernels_, NERF_ISA) = {
    NERF_TEXT(NERF_ISA), W, pack, encode, density_of_points, forward, backward, scatter, adam, exponentials,
};

}  // namespace nerf
