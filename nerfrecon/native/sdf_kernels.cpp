// The table of signed distance kernels for one instruction set; compiled with kernels.cpp, several times.
#include "sdf_backward.h"

namespace {

void pack_matrix(const float* w, float* packed, int rows, int columns, int packed_rows) {
    for (int o = 0; o < packed_rows; o++)
        for (int i = 0; i < columns; i++) packed[size_t(i) * packed_rows + o] = o < rows ? w[size_t(o) * columns + i] : 0;
}

void sdf_pack(SdfField& field) {
    const nerf::SdfLayers& at = field.layers;
    pack_matrix(field.weights + at.sdf0, field.packed + at.sdf0, kHidden, at.encoded, kHidden);
    pack_matrix(field.weights + at.sdf1, field.packed + at.sdf1, kOutputs, kHidden, kOutputs);
    pack_matrix(field.weights + at.colour0, field.packed + at.colour0, kHidden, nerf::kColourRow, kHidden);
    pack_matrix(field.weights + at.colour1, field.packed + at.colour1, kHidden, kHidden, kHidden);
    pack_matrix(field.weights + at.colour2, field.packed + at.colour2, nerf::kColours, kHidden, nerf::kColoursPadded);
}

}  // namespace

namespace nerf {

#define NERF_TEXT_(x) #x
#define NERF_TEXT(x) NERF_TEXT_(x)
#define NERF_JOIN_(a, b) a##b
#define NERF_JOIN(a, b) NERF_JOIN_(a, b)

extern const SdfKernels NERF_JOIN(sdf_kernels_, NERF_ISA);
const SdfKernels NERF_JOIN(sdf_kernels_, NERF_ISA) = {
    NERF_TEXT(NERF_ISA), sdf_pack, sdf_values, sdf_forward, sdf_backward, sdf_regress,
};

}  // namespace nerf
